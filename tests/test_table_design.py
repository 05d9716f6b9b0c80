"""Shares of choices in the variance between architectures, against the definition and planted spaces."""

from itertools import combinations, product

import numpy as np
import pytest

from archgym.search_spaces.mlp import SPACE as MLP
from archgym.search_spaces.mlp_wide import SPACE as WIDE
from archgym.table_describe.design import Design, deciding

GRID = np.array(list(product(range(3), range(4), range(2))))
NESTED = np.array([[depth, width, kind] for depth in (0, 1) for width in range(1 + depth) for kind in range(3)])
DECIDING = {1: {0}}  # in `NESTED`, of depth, width and kind: without depth there is no width


def marginals(levels: np.ndarray, means: np.ndarray) -> dict[tuple[int, ...], float]:
    """Functional analysis of variance of a full grid, by the definition."""
    overall, total = means.mean(), means.var()
    mains = {}
    for choice in range(levels.shape[1]):
        own = {level: means[levels[:, choice] == level].mean() - overall for level in np.unique(levels[:, choice])}
        mains[choice] = np.array([own[level] for level in levels[:, choice]])
    found: dict[tuple[int, ...], float] = {(choice,): float((main**2).mean() / total) for choice, main in mains.items()}
    for i, j in combinations(range(levels.shape[1]), 2):
        joint = np.array(
            [means[(levels[:, i] == row[i]) & (levels[:, j] == row[j])].mean() - overall for row in levels]
        )
        found[i, j] = float(((joint - mains[i] - mains[j]) ** 2).mean() / total)
    return found


def test_shares_of_a_full_grid_are_exact_marginals() -> None:
    means = np.random.default_rng(3).normal(size=len(GRID))
    scores = np.stack([means, means], axis=1)  # without noise
    design = Design(GRID)
    assert design.balanced
    assert design.shares(scores) == pytest.approx(marginals(GRID, means))


def test_shares_of_all_orders_add_up_where_only_pairs_interact() -> None:
    means = GRID[:, 0] + 2.0 * GRID[:, 1] * GRID[:, 2]
    assert sum(Design(GRID).shares(np.stack([means, means], axis=1)).values()) == pytest.approx(1)


def test_the_noise_of_seeds_is_taken_off() -> None:
    rng, effect = np.random.default_rng(4), 1.5 * GRID[:, 0].astype(float)
    found = [Design(GRID).shares(effect[:, None] + rng.normal(0, 2, (len(GRID), 5))) for _ in range(300)]
    means = {key: np.median([one[key] for one in found]) for key in found[0]}
    assert means[0,] == pytest.approx(1, abs=0.05)
    assert all(abs(share) < 0.05 for key, share in means.items() if key != (0,))


def test_a_sample_is_said_to_be_one_and_finds_the_planted_choice() -> None:
    levels = GRID[np.random.default_rng(5).permutation(len(GRID))[:17]]
    means = levels[:, 1].astype(float)
    design = Design(levels)
    assert not design.balanced
    shares = design.shares(np.stack([means, means], axis=1))
    assert max(shares, key=lambda key: shares[key]) == (1,)
    assert shares[0,] == pytest.approx(0, abs=1e-9)


def test_nothing_but_noise_gives_no_shares() -> None:
    assert set(Design(GRID).shares(np.tile(np.arange(3.0), (len(GRID), 1))).values()) == {0.0}


# Choices that are not always there


def exact(means: np.ndarray) -> np.ndarray:
    return np.stack([means, means], axis=1)  # without noise


def test_what_decides_and_what_hangs_on_it_share_the_variance_between_and_within() -> None:
    depth, width, _ = NESTED.T.astype(float)
    shares = Design(NESTED, DECIDING).shares(exact(3 * depth + width))
    between = 3 * 6 / 9 * 3.5**2  # of 3 architectures with a mean of 0 and 6 with one of 3.5
    within = 6 * 0.5**2
    assert shares[0,] == pytest.approx(between / (between + within))
    assert shares[1,] == pytest.approx(within / (between + within))
    assert shares[2,] == pytest.approx(0)


def test_how_a_depth_goes_with_another_choice_is_not_put_down_to_its_widths() -> None:
    depth, _, kind = NESTED.T.astype(float)
    shares = Design(NESTED, DECIDING).shares(exact(depth * kind))
    assert shares[1, 2] == pytest.approx(0)
    assert shares[0, 2] > 0.1
    assert sum(shares.values()) == pytest.approx(1)


def test_what_option_an_inactive_choice_counts_as_makes_no_difference() -> None:
    rng = np.random.default_rng(6)
    levels = np.stack([WIDE.sample(rng) for _ in range(150)])
    own = levels.copy()
    for row, architecture in enumerate(levels):
        own[row, list(WIDE.inactive_positions(architecture))] = -1
    scores, above = rng.normal(size=(150, 4)), deciding(WIDE, levels)
    assert (own != levels).any()
    assert Design(own, above).shares(scores) == pytest.approx(Design(levels, above).shares(scores))


def test_the_depth_decides_about_widths_and_skips() -> None:
    names = [choice.name for choice in WIDE.choices]
    found = deciding(WIDE, WIDE.enumerate())
    assert {names[place] for place in found} == {"width_2", "width_3", "width_4", "skip"}
    assert {names[place] for above in found.values() for place in above} == {"depth"}
    assert deciding(MLP, MLP.enumerate()) == {}
