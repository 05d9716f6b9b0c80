"""What `reset` is given, checked before anything begins: seeds, one per member, and the mask of the members.

`seed=` seeds the generators that the seeds of lifetimes are drawn from. `lifetime_seed` among the options is the seed
of a lifetime itself, so that one can be lived that somebody else has recorded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Seeds = int | Sequence[int | None] | None  # of a vector environment, as Gymnasium takes them
ONE, MANY = "lifetime_seed", "lifetime_seeds"  # options of a single and of a vector environment
LIFETIMES = 2**63  # seeds that environments draw for them


def check_seed(seed: object) -> int | None:
    """Refuse what is no seed: anything but None and integers, NumPy's included, from 0 upwards."""
    if seed is None:
        return None
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed: expected None or an integer from 0 upwards, got {seed!r}.")
    return int(seed)


def member_seeds(seed: Seeds, members: int) -> list[int | None]:
    """Give every member its seed: s, s + 1, ... for an integer s, else its own of the list.

    Raises:
        ValueError: If there are not so many, or one of them is no seed.
    """
    if not np.iterable(seed) or isinstance(seed, str):
        first = check_seed(seed)
        return [None if first is None else first + member for member in range(members)]
    given = list(seed)
    if len(given) != members:
        raise ValueError(f"seed: expected {members} seeds, got {len(given)}.")
    return [check_seed(one) for one in given]


def reset_mask(options: Mapping[str, Any] | None, members: int) -> NDArray[np.bool_]:
    """Read which members `options` wants reset, (members,); all of them if it does not say.

    Raises:
        ValueError: If the mask does not fit the number of members, or names none of them.
    """
    mask = np.asarray((options or {}).get("reset_mask", np.ones(members, dtype=bool)))
    if mask.shape != (members,) or mask.dtype != bool:
        raise ValueError(f"reset_mask: expected {members} booleans, got {mask.dtype} of shape {mask.shape}.")
    if not mask.any():
        raise ValueError(f"reset_mask: expected True for at least one of the {members} members, got none.")
    return mask


def lifetime_seed(options: Mapping[str, Any] | None) -> int | None:
    """Read the seed of the lifetime that `options` wants begun; None if it does not say.

    Raises:
        ValueError: If it is none.
    """
    if MANY in (options or {}):
        raise ValueError(f"{MANY}: expected {ONE}, one integer, for a single lifetime; got {(options or {})[MANY]!r}.")
    return _lifetime((options or {}).get(ONE))


def lifetime_seeds(options: Mapping[str, Any] | None, members: int) -> list[int | None]:
    """Read the seeds of the lifetimes that `options` wants begun, one of every member; None: it does not say.

    Raises:
        ValueError: If there are not so many, or one of them is none.
    """
    if ONE in (options or {}):
        raise ValueError(f"{ONE}: expected {MANY}, one (or None) for each of the {members} members, got {ONE} alone.")
    given = (options or {}).get(MANY)
    if given is None:
        return [None] * members
    if not np.iterable(given) or isinstance(given, str | Mapping):
        raise ValueError(f"{MANY}: expected one (or None) for each of the {members} members, got {given!r}.")
    if len(listed := list(given)) != members:
        raise ValueError(f"{MANY}: expected one (or None) for each of the {members} members, got {len(listed)}.")
    return [_lifetime(one) for one in listed]


def _lifetime(seed: Any) -> int | None:
    """Refuse what no environment could have drawn."""
    if seed is None:
        return None
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool | np.bool_)
    if not whole or not 0 <= seed < LIFETIMES:
        raise ValueError(f"{ONE}: expected an integer from 0 to 2**63 - 1, got {seed!r}.")
    return int(seed)


def seed_actions(space: gym.Space[Any], seed: Seeds, begun: Sequence[int | None]) -> None:
    """Seed the action space of a vector environment.

    Args:
        space: The batched action space.
        seed: As `reset` took it. An integer seeds the space itself.
        begun: Seeds of the members that begin. Those of a list seed the space by a `SeedSequence` of them all; a list
            without any leaves the space as it is.
    """
    given = [one for one in begun if one is not None]
    if isinstance(seed, int | np.integer):
        space.seed(int(seed))
    elif given:
        space.seed(int(np.random.SeedSequence(given).generate_state(1)[0]))
