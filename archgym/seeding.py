"""One integer seeds a lifetime: every consumer of random numbers has its own child of `numpy.random.SeedSequence`.

What happens in a window is a function of (lifetime's seed, consumer, window), so no generator has to be stored.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]


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


def words(seeds: Sequence[int], consumer: Consumer, *path: int, count: int) -> NDArray[np.uint32]:
    """Draw random words of one consumer for many seeds, (seeds, count): those of each seed's own `SeedSequence`.

    Args:
        seeds: From 0 to 2**64 - 1.
        consumer: Who draws.
        path: Keys below the consumer.
        count: Words of every seed.
    """
    keys = (consumer, *path)
    if len(seeds) < MANY:
        drawn = [np.random.SeedSequence(seed, spawn_key=keys).generate_state(count, np.uint32) for seed in seeds]
        return np.array(drawn)
    whole = np.array(seeds, dtype=np.uint64)
    halves = whole.astype(np.uint32), (whole >> np.uint64(32)).astype(np.uint32)
    return _generate(_pool([*halves, *(np.array([key], dtype=np.uint32) for key in (0, 0, *keys))]), count).T


# numpy's SeedSequence for many seeds at once: the functions and constants of M. E. O'Neill's `seed_seq_fe128`
# (https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html). All arithmetic is modulo 2**32.
MANY = 16  # seeds from which on this is faster
WORD = 0xFFFFFFFF


def _hashed(value: Words, constant: int) -> tuple[Words, int]:
    """Hash words of entropy; gives the next constant too."""
    following = constant * 0x931E8875 & WORD
    value = (value ^ np.uint32(constant)) * np.uint32(following)
    return value ^ (value >> np.uint32(16)), following


def _pool(entropy: Sequence[Words]) -> list[Words]:
    """Mix words of entropy, four or more of them, into a pool of four."""
    pool, constant = [], 0x43B0D7E5
    for value in entropy[:4]:
        hashed, constant = _hashed(value, constant)
        pool.append(hashed)
    pairs = [(pool, source, target) for source in range(4) for target in range(4) if source != target]
    pairs += [(list(entropy), source, target) for source in range(4, len(entropy)) for target in range(4)]
    for values, source, target in pairs:
        hashed, constant = _hashed(values[source], constant)
        mixed = pool[target] * np.uint32(0xCA01F9DD) - hashed * np.uint32(0x4973F715)
        pool[target] = mixed ^ (mixed >> np.uint32(16))
    return pool


def _generate(pool: Sequence[Words], count: int) -> Words:
    """Draw words from a pool of four, (count, seeds)."""
    constants = [0x8B51F9DD * pow(0x58F38DED, word, 2**32) & WORD for word in range(count + 1)]
    before, after = (np.array(part, dtype=np.uint32)[:, None] for part in (constants[:-1], constants[1:]))
    drawn = (np.array(pool)[np.arange(count) % 4] ^ before) * after
    return np.asarray(drawn ^ (drawn >> np.uint32(16)))


def env_seeds(seed: int, consumer: Consumer, *path: int, count: int) -> list[int]:
    """Derive seeds for inner environments: 31 bits, which is what EnvPool takes."""
    words = np.random.SeedSequence(seed, spawn_key=(consumer, *path)).generate_state(count, np.uint32)
    return [int(word) for word in words & 0x7FFFFFFF]
