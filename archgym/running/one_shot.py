"""Scores with the weights of a supernet: greedy episodes of architectures that were not trained by themselves.

What weight sharing selects by (RSWS, arXiv 1902.07638; SPOS, 1904.00420). The episodes are played on seeds that
training never uses, through the environment's `evaluate`, and paid from the search's budget of evaluations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.running.arguments import SearchArgs
from archgym.settings import WEIGHTLESS

Key = tuple[int, ...]  # an architecture


def check(args: SearchArgs, what: str) -> None:
    """Refuse settings under which scores with shared weights mean nothing.

    A planted landscape (`ArchSearch-Synthetic-v0`) is not refused, though it trains nothing: its scores are the true
    values with noise, which tell whether a selection finds the best that it can.

    Args:
        args: Of the search.
        what: Asks for such scores, as a sentence names it.

    Raises:
        ValueError: If architectures share no weights, or rewards count more than returns.
    """
    if args.transfer_rule in WEIGHTLESS:
        raise ValueError(f"transfer: expected one that shares weights beside {what}, got {args.transfer_rule!r}.")
    if args.cost_weight:
        raise ValueError(
            f"cost_weight: expected 0 beside {what}, which scores by returns alone, got {args.cost_weight}."
        )


def score(envs: Any, pairs: Sequence[tuple[Key, int]], episodes: int) -> NDArray[np.float64]:
    """Score architectures with the weights of members: mean raw returns, (pairs,)."""
    architectures = np.array([key for key, _ in pairs], dtype=np.int64)
    return np.array(envs.unwrapped.evaluate(architectures, episodes, [member for _, member in pairs]))


def score_by_all(envs: Any, keys: Sequence[Key], episodes: int) -> NDArray[np.float64]:
    """Score architectures with the weights of every member, so many episodes each: the mean over members, (keys,)."""
    members = envs.num_envs
    pairs = [(key, member) for key in keys for member in range(members)]
    return np.asarray(score(envs, pairs, episodes).reshape(-1, members).mean(1))
