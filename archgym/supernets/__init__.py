"""Supernets: one file = one family of networks, in two parts.

The first part says which slices of the shared weights an architecture uses, the second is the plain network's forward
pass. To add one, add its file: `archgym.supernet` stores, checks out and checks in for every family alike, and the
contract tests run over whatever is found in this folder.
"""
