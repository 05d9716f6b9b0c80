"""One integer seeds a lifetime: every consumer of random numbers has its own child of `numpy.random.SeedSequence`.

What happens in a window is a function of (lifetime's seed, consumer, window), so no generator has to be stored.
"""

from enum import IntEnum

import numpy as np


class Consumer(IntEnum):
    """Who draws; the first key below the seed. Numbers are part of every recorded result: never renumber."""

    WEIGHTS = 0
    INNER_ENVS = 1
    EXPLORATION = 2
    REPLAY = 3
    EVALUATION = 4
    NOISE = 5  # of a planted landscape
    TABLE = 6  # which seeds and architectures a table records, and which of its curves a lifetime meets


def generator(seed: int, consumer: Consumer, *path: int) -> np.random.Generator:
    """Build the generator of one consumer, for instance of window `path[0]`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(consumer, *path)))


def env_seeds(seed: int, consumer: Consumer, *path: int, count: int) -> list[int]:
    """Derive seeds for inner environments: 31 bits, which is what EnvPool takes."""
    words = np.random.SeedSequence(seed, spawn_key=(consumer, *path)).generate_state(count, np.uint32)
    return [int(word) for word in words & 0x7FFFFFFF]
