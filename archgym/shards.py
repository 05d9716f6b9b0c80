"""The members of a window, shared out among threads: each shard has learners and inner environments of its own.

Members never see each other, so the result does not depend on how they are shared out. The compiled learners and
EnvPool release the interpreter's lock, which is what makes threads worth while. Members of a shard train in step, so
where windows end with episodes (`window_episodes`), and thus not together, every member is a shard.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from archgym.training import Group, Outcome


@dataclass
class Shard:
    """What trains in step, in one thread.

    Attributes:
        rows: Which of the window's members, positions in (0, ..., M - 1).
        groups: These members by architecture; their rows are positions in `rows`.
    """

    rows: list[int]
    groups: list[Group]


def share_out(costs: Sequence[int], count: int) -> list[list[int]]:
    """Share rows out so that the shares cost about the same: the dearest first, each to the lightest share.

    Args:
        costs: (M,) what each row costs.
        count: How many shares, of which empty ones are left out.

    Returns:
        The rows of each share, in order.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for row in sorted(range(len(costs)), key=lambda row: -costs[row]):
        lightest = loads.index(min(loads))
        shares[lightest].append(row)
        loads[lightest] += costs[row]
    return [sorted(share) for share in shares if share]


def train_side_by_side(train: Callable[[int, Shard], Outcome], shards: Sequence[Shard], threads: int) -> Outcome:
    """Train the shards, each in one of the threads; in this thread if that is the only one, or the shard.

    Args:
        train: Trains a shard, given its number.
        shards: A partition of the rows.
        threads: How many.

    Returns:
        The outcome of all rows.
    """
    if len(shards) == 1:
        return train(0, shards[0])
    if threads == 1:
        parts = list(map(train, range(len(shards)), shards))
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(train, range(len(shards)), shards))
    return Outcome.joined(parts, [shard.rows for shard in shards])
