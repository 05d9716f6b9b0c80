"""Architectures under construction: how they are written, and the beam search through them."""

import numpy as np
import pytest

from archgym import drafts
from archgym.envs.draft import Draft
from archgym.search_space import SearchSpace, max_params
from archgym.search_spaces.grid import sized
from archgym.search_spaces.mlp_wide import SPACE as WIDE

LIMITED = WIDE.constrained(max_params(WIDE, 3000, 4, 2))


@pytest.mark.parametrize("space", [WIDE, LIMITED], ids=["wide", "wide limited"])
def test_many_are_written_as_the_sequential_view_writes_each(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    whole = np.stack([space.sample(rng) for _ in range(30)])
    for decided in range(len(space.choices)):
        written = drafts.encode(space, whole[:, :decided])
        assert written.shape == (30, drafts.size(space))
        for row, prefix in zip(written, whole[:, :decided].tolist(), strict=True):
            assert (row == Draft(space, prefix).observation()).all()


def sums(space: SearchSpace, worth: np.ndarray) -> list[tuple[int, ...]]:
    """Search with a beam of 20 for the highest sums of what the options are worth, (choices, options)."""

    def values(prefixes: np.ndarray, before: np.ndarray) -> np.ndarray:
        options = worth[prefixes.shape[1], : max(space.counts)]
        return np.where(drafts.masks(space, prefixes) > 0, before[:, None] + options, -np.inf)

    return [tuple(one.tolist()) for one in drafts.beam_search(space, 20, values)]


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_finds_the_highest_sums_best_first(seed: int) -> None:
    space, worth = sized("5x4"), np.random.default_rng(seed).normal(size=(5, 4))
    scores = {tuple(one.tolist()): worth[range(5), one].sum() for one in space.enumerate()}
    assert sums(space, worth) == sorted(scores, key=lambda key: -scores[key])[:20]


def test_a_beam_keeps_to_the_constraints_and_gives_no_more_than_there_are() -> None:
    for one in sums(LIMITED, np.random.default_rng(0).normal(size=(8, 4))):
        assert LIMITED.canonical(np.array(one)).tolist() == list(one)
    assert sums(sized("2x3"), np.zeros((2, 3))) == [(first, second) for first in range(3) for second in range(3)]
