"""How well shared weights rank, against planted scores: what is noise of a score, and what its seeds have in common."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archgym.table import Table
from archgym.table_describe.estimates import Estimates
from archgym.table_describe.ranks import Ranks
from archgym.table_describe.stats import kendall, top_regret

SEEDS, SUPERNETS = 10, 8


@pytest.fixture(scope="module")
def plant(planted_table: Callable[..., Table]) -> Callable[..., Table]:
    """Makes a table whose curves are level; their effect, and the noise of curves, evaluations and supernets."""

    def make(effect: float, curves: float, greedy: float, shared: float) -> Table:
        drawn = planted_table(seeds=SEEDS, windows=5, ages=(2, 5), supernet=True)
        rng, rows = np.random.default_rng(7), len(drawn.architectures)
        truth = 250 + effect * rng.permutation(np.linspace(-1, 1, rows))
        returns = truth[:, None, None] + rng.normal(0, 1, (rows, SEEDS, 1)) * curves + np.zeros((rows, SEEDS, 5))
        evaluations = returns[:, :, [1, 4]] + rng.normal(0, 1, (rows, SEEDS, 2)) * greedy
        supernet = truth + rng.normal(0, 1, (SUPERNETS, 3, rows)) * shared
        card = replace(drawn.card, supernet={**drawn.card.supernet, "seeds": list(range(SUPERNETS))})
        columns = {**drawn.columns, "raw_return": returns}
        return Table(card, drawn.architectures, columns, evaluations, supernet)

    return make


def shared(table: Table) -> dict[str, Any]:
    found = Ranks(table, Estimates(draws=100)).shared()
    assert found is not None
    return found


def test_the_mean_of_noisy_supernets_ranks_where_one_does_not(plant: Callable[..., Table]) -> None:
    """Shared weights that rank perfectly but for the noise of one evaluation."""
    own = shared(plant(effect=50, curves=1, greedy=100, shared=100))["area"]
    one, mean, scratch = (own[word]["tau"] for word in ("one", "mean", "scratch"))
    assert all(tau["value"] < 0.35 for tau in one[:3])
    assert all(many["value"] > few["value"] + 0.1 for few, many in zip(one[:3], mean[:3], strict=True))
    assert mean[3]["value"] > 0.5  # the mean over the ages as well
    assert scratch[0]["value"] < 0.35  # as noisy a score, so it ranks no better
    assert scratch[1]["value"] > 0.9  # the area is not noisy


def test_means_over_worthless_supernets_rank_nothing(plant: Callable[..., Table]) -> None:
    table = plant(effect=50, curves=1, greedy=1, shared=0)
    assert table.supernet is not None
    noise = np.random.default_rng(8).normal(250, 50, table.supernet.shape)
    own = shared(Table(table.card, table.architectures, table.columns, table.evaluations, noise))["area"]
    assert all(abs(tau["value"]) < 0.35 for tau in own["mean"]["tau"])
    assert own["scratch"]["tau"][0]["value"] > 0.9
    assert own["scratch"]["regret"][0][0]["value"] < 0.01


def test_a_seed_has_no_part_in_the_truth_that_it_ranks_for(plant: Callable[..., Table]) -> None:
    """Curves of noise alone: each ranks its own score perfectly, also within a mean that it belongs to."""
    table = plant(effect=0, curves=50, greedy=0, shared=1)
    own = shared(table)["area"]["scratch"]["tau"]
    assert own[0]["value"] == own[1]["value"]  # level curves: the newest evaluation is the area
    leaked = np.mean([kendall(area, table.scores("area").mean(1)) for area in table.scores("area").T])
    assert leaked > 0.15
    assert abs(own[0]["value"]) < 0.1
    assert own[0]["low"] < 0 < own[0]["high"]


def test_rankings_are_those_of_every_score_by_itself(plant: Callable[..., Table]) -> None:
    table = plant(effect=50, curves=30, greedy=40, shared=60)
    found, scores, greedy = shared(table), table.scores("last_fifth"), table.scores("greedy")
    own, half, means = found["last_fifth"], table.card.search_seeds, scores.mean(1)
    assert table.supernet is not None
    for age in range(3):
        taus = [kendall(one, means) for one in table.supernet[:, age]]
        assert own["one"]["tau"][age]["value"] == pytest.approx(np.mean(taus))
        together = table.supernet[:, age].mean(0)
        assert own["mean"]["tau"][age]["value"] == pytest.approx(kendall(together, means))
        assert own["mean"]["regret"][1][age]["value"] == pytest.approx(top_regret(together, means, 3))
    ages = table.supernet.mean(1)
    assert own["one"]["tau"][3]["value"] == pytest.approx(np.mean([kendall(one, means) for one in ages]))
    assert own["mean"]["tau"][3]["value"] == pytest.approx(kendall(ages.mean(0), means))
    judges = [scores[:, half:].mean(1) if seed < half else scores[:, :half].mean(1) for seed in range(SEEDS)]
    for place, guesses in enumerate((greedy, scores)):
        taus = [kendall(guess, truth) for guess, truth in zip(guesses.T, judges, strict=True)]
        assert own["scratch"]["tau"][place]["value"] == pytest.approx(np.mean(taus))
        lost = [top_regret(guess, truth, 5) for guess, truth in zip(guesses.T, judges, strict=True)]
        assert own["scratch"]["regret"][2][place]["value"] == pytest.approx(np.mean(lost))


def test_intervals_of_correlations_and_regrets_stay_where_these_can_be(plant: Callable[..., Table]) -> None:
    own = shared(plant(effect=50, curves=1, greedy=1, shared=1))["area"]
    for word in ("one", "mean", "scratch"):
        assert all(-1 <= tau["low"] <= tau["high"] <= 1 for tau in own[word]["tau"])
        assert all(lost["low"] >= 0 for row in own[word]["regret"] for lost in row)
