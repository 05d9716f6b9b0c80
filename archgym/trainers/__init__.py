"""Trainers: one file = one inner algorithm, a `Config` and the training of checked-out subnets for one window.

To add one, add its file, and a row in `archgym.TRAINERS` if it is to have ids of its own; the contract tests run over
whatever is found. It defines `PRESETS`, its `Config`s by name, `default` among them, each with a method
`resolved(horizon, lifetime)` that fills in what follows from these environment steps; `Trainer`, a
`archgym.training.WindowTrainer` whose `train` is that of the others; and `LEARNERS`, where there are more than the
reference. A trainer sees plain networks of their exact shapes and knows neither the supernet's slices, nor the
outer agent, nor Gymnasium's outer spaces. Where its `Config` has a `buffer_size` it is given a replay of so many
transitions per member, else None. A module that says `SHARES_WEIGHTS = True` also trains groups whose subnets are
parts of one supernet (`archgym.learners.sharing`); one that says `ACTOR_CRITIC = True` needs networks with
an output for the value behind those for the actions.
"""
