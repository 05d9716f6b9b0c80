"""Trainers: one file = one inner algorithm, a `Config` and the training of checked-out subnets for one window.

To add one, add its file; the contract tests run over whatever is found in this folder. A trainer sees plain networks of
their exact shapes and knows neither the supernet's slices, nor the outer agent, nor Gymnasium's outer spaces.
"""
