"""Search spaces: one file = one family of networks, its choices and constraints, without torch.

To add one, add `<name>.py` with a `SPACE`, and the network it describes to `archgym/supernets`. The contract tests run
over whatever is found in this folder. A module elsewhere works by its dotted name (`space="mylab.spaces.conv"`).
"""
