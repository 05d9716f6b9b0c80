import json
import os
import subprocess
from collections.abc import Callable
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import stats as reference

from archgym.compare.stats import (
    holm,
    improvement_p_value,
    iqm,
    performance_profile,
    performance_profile_interval,
    probability_of_improvement,
    smallest_p_value,
    stratified_interval,
)

Scores = NDArray[np.float64]
SCORES = st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=40)  # whole numbers: some are equal
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def normal(seed: int, *shape: int) -> Scores:
    """Draw standard normal scores."""
    return np.random.default_rng(seed).normal(size=shape)


def test_the_iqm_cuts_whole_entries_rounded_down() -> None:
    assert iqm([5.0]) == 5.0
    assert iqm([0.0, 1.0, 100.0]) == pytest.approx(101 / 3)  # three quarters of an entry: none is cut
    assert iqm([100.0, 2.0, 0.0, 1.0]) == 1.5
    assert iqm([0.0, 1.0, 2.0, 3.0, 100.0]) == 2.0
    assert iqm([[0.0, 10.0], [1.0, 20.0], [2.0, 30.0], [3.0, 1000.0]]) == (2 + 3 + 10 + 20) / 4  # over all entries


@given(SCORES)
def test_the_iqm_is_the_mean_trimmed_by_a_quarter(scores: list[float]) -> None:
    assert iqm(scores) == pytest.approx(reference.trim_mean(scores, 0.25), rel=1e-12, abs=1e-12)


@given(SCORES, st.randoms(use_true_random=False), st.integers(-50, 50), st.integers(0, 9))
def test_the_iqm_knows_no_order_and_moves_with_the_scores(
    scores: list[float], random: Random, shift: int, scale: int
) -> None:
    before, shuffled = iqm(scores), list(scores)
    random.shuffle(shuffled)
    assert iqm(shuffled) == before
    assert min(scores) - 1e-9 <= before <= max(scores) + 1e-9
    assert iqm([scale * score + shift for score in scores]) == pytest.approx(scale * before + shift, abs=1e-8)


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=4, max_size=40))
def test_one_outlier_of_any_size_moves_the_iqm_no_further_than_the_rest_reaches(scores: list[float]) -> None:
    assert min(scores) <= iqm([*scores[1:], 1e12]) <= max(scores[1:])


def test_a_profile_is_the_share_of_runs_above_each_threshold() -> None:
    scores = [[0.0, 10.0], [1.0, 10.0], [2.0, 30.0]]
    np.testing.assert_allclose(
        performance_profile(scores, [-1.0, 0.0, 1.5, 2.0, 10.0, 29.0, 30.0]),
        [1.0, (2 / 3 + 1) / 2, (1 / 3 + 1) / 2, 1 / 2, (1 / 3) / 2, (1 / 3) / 2, 0.0],
    )
    np.testing.assert_allclose(performance_profile([1.0, 2.0], [1.0, 0.0]), [0.5, 1.0])


def test_the_interval_of_a_profile_is_that_of_each_share() -> None:
    scores, thresholds = normal(0, 12, 3), [-5.0, -1.0, 0.0, 1.0, 5.0]
    low, high = performance_profile_interval(scores, thresholds, seed=3, draws=500)
    profile = performance_profile(scores, thresholds)
    assert low.shape == high.shape == (5,)
    assert (low <= profile).all()
    assert (profile <= high).all()
    assert low[0] == high[0] == 1.0
    assert low[-1] == high[-1] == 0.0
    for index in (1, 2, 3):
        alone = stratified_interval(
            lambda runs, index=index: (runs > thresholds[index]).mean(), scores, seed=3, draws=500
        )
        assert (low[index], high[index]) == pytest.approx(alone, abs=1e-12)
        assert low[index] < profile[index] < high[index]


def test_the_probability_of_improvement_counts_pairs_and_half_of_the_equal_ones() -> None:
    assert probability_of_improvement([1.0, 2.0], [0.0, 1.0, 3.0]) == pytest.approx((1 + 0.5 + 2) / 6)
    assert probability_of_improvement([2.0, 2.0], [2.0]) == 0.5
    assert probability_of_improvement([5.0], [1.0, 2.0]) == 1.0
    assert probability_of_improvement([[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0]]) == pytest.approx((1 + 0.5) / 2)


@given(SCORES, SCORES)
def test_the_probability_of_improvement_is_the_u_of_mann_and_whitney(x: list[float], y: list[float]) -> None:
    u = reference.mannwhitneyu(x, y, method="asymptotic").statistic if len(set(x + y)) > 1 else len(x) * len(y) / 2
    assert probability_of_improvement(x, y) == pytest.approx(u / (len(x) * len(y)), abs=1e-12)
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1.0, abs=1e-12)


def test_the_probability_of_improvement_compares_within_tasks_only() -> None:
    x, y = normal(0, 6, 2) + np.array([0, 100]), normal(1, 8, 2) + np.array([0, 100])
    tasks = [probability_of_improvement(x[:, task], y[:, task]) for task in range(2)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(tasks), abs=1e-12)


def test_intervals_repeat_with_their_seed_and_widen_with_their_level() -> None:
    scores = normal(0, 20, 2)
    first = stratified_interval(iqm, scores)
    assert first == stratified_interval(iqm, scores)
    assert first != stratified_interval(iqm, scores, seed=1)
    wide = stratified_interval(iqm, scores, level=0.99)
    assert wide[0] < first[0] < iqm(scores) < first[1] < wide[1]
    np.testing.assert_array_equal(scores, normal(0, 20, 2))


def test_scores_without_an_axis_of_tasks_are_those_of_one_task() -> None:
    x, y = normal(0, 9), normal(1, 9)
    assert stratified_interval(iqm, x) == stratified_interval(iqm, x[:, None])
    assert stratified_interval(iqm, x, draws=100) == stratified_interval(iqm, x.tolist(), draws=100)
    assert probability_of_improvement(x, y) == probability_of_improvement(x[:, None], y)
    np.testing.assert_array_equal(performance_profile(x, [0.0]), performance_profile(x[:, None], [0.0]))


def test_the_interval_of_a_mean_is_what_theory_says_of_independent_tasks() -> None:
    scores = normal(0, 40, 4) + np.array([0, 100, -100, 1000])  # drawn across tasks, a mean would be off by a hundred
    error = np.sqrt((scores.var(0) / 40).sum()) / 4  # the tasks are drawn independently
    low, high = stratified_interval(np.mean, scores, draws=20_000)
    assert low == pytest.approx(scores.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(scores.mean() + 1.96 * error, abs=0.1 * error)


def test_resamples_hold_runs_of_their_own_task_and_sample_with_repetitions() -> None:
    seen: list[tuple[Scores, ...]] = []
    x, y = np.arange(12.0).reshape(6, 2), 100 + np.arange(8.0).reshape(4, 2)

    def watch(*drawn: Scores) -> float:
        seen.append(drawn)
        return 0.0

    stratified_interval(watch, x, y, draws=300)
    assert len(seen) == 300
    for sample, drawn in zip((x, y), map(np.array, zip(*seen, strict=True)), strict=True):
        assert drawn.shape == (300, *sample.shape)
        for task in range(2):
            values, counts = np.unique(drawn[..., task], return_counts=True)
            np.testing.assert_array_equal(values, sample[:, task])
            assert counts == pytest.approx(np.full(len(sample), 300), abs=80)  # standard deviation 16
        assert any(len(np.unique(one)) < one.size for one in drawn)
        assert any((drawn[:, :, 0] - sample[0, 0] != drawn[:, :, 1] - sample[0, 1]).ravel())  # each task on its own


def test_paired_samples_are_drawn_together_and_others_are_not() -> None:
    shared = normal(0, 12, 2)
    x, y = shared + 1.0, shared
    assert stratified_interval(lambda x, y: iqm(x) - iqm(y), x, y, paired=True) == pytest.approx((1.0, 1.0))
    low, high = stratified_interval(lambda x, y: iqm(x) - iqm(y), x, y)
    assert low < 0.8 < 1.2 < high
    of_differences = stratified_interval(np.mean, normal(1, 9, 3) - normal(2, 9, 3), seed=4)
    paired = stratified_interval(
        lambda x, y: x.mean() - y.mean(), normal(1, 9, 3), normal(2, 9, 3), seed=4, paired=True
    )
    assert paired == pytest.approx(of_differences)


@pytest.mark.parametrize(("runs", "share"), [(3, 0.73), (5, 0.90), (10, 0.93), (30, 0.94)])
def test_the_interval_of_an_iqm_covers_it_as_often_as_documented(runs: int, share: float) -> None:
    samples = normal(runs, 500, runs)
    ends = np.array([stratified_interval(iqm, sample, seed=seed, draws=200) for seed, sample in enumerate(samples)])
    covered = ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean()
    assert covered == pytest.approx(share, abs=0.05)  # standard deviation 0.02 at 3 runs, else about 0.012


def test_the_interval_of_a_probability_of_improvement_covers_it_mostly() -> None:
    truth = reference.norm.cdf(0.8 / np.sqrt(2))  # of two normal arms 0.8 apart
    x, y = normal(0, 200, 20, 2) + 0.8, normal(1, 200, 20, 2)
    ends = np.array(
        [stratified_interval(probability_of_improvement, *arms, draws=200) for arms in zip(x, y, strict=True)]
    )
    assert ((ends[:, 0] <= truth) & (ends[:, 1] >= truth)).mean() == pytest.approx(0.94, abs=0.05)


@pytest.mark.parametrize(("runs", "others"), [(1, 1), (3, 4), (5, 2), (7, 7)])
def test_few_relabellings_give_the_exact_p_value_of_mann_and_whitney(runs: int, others: int) -> None:
    for seed in range(5):
        x, y = normal(seed, runs) + 0.7, normal(100 + seed, others)
        expected = reference.mannwhitneyu(x, y, method="exact").pvalue
        assert improvement_p_value(x, y) == pytest.approx(expected, rel=1e-12)
        assert improvement_p_value(x, y) == improvement_p_value(x, y, seed=1, draws=1)  # none is drawn


def listed_p_value(x: list[float], y: list[float]) -> float:
    """Relabel in every way and count, by the definition."""
    pooled, far = x + y, []
    for chosen in combinations(range(len(pooled)), len(x)):
        others = [pooled[index] for index in range(len(pooled)) if index not in chosen]
        far.append(abs(probability_of_improvement([pooled[index] for index in chosen], others) - 0.5))
    observed = abs(probability_of_improvement(x, y) - 0.5)
    return sum(one >= observed - 1e-9 for one in far) / len(far)


@given(
    st.lists(st.integers(0, 4).map(float), min_size=1, max_size=4),
    st.lists(st.integers(0, 4).map(float), min_size=1, max_size=4),
)
def test_the_exact_p_value_is_the_share_of_relabellings_at_least_as_far_from_a_half(
    x: list[float], y: list[float]
) -> None:
    assert improvement_p_value(x, y) == pytest.approx(listed_p_value(x, y), abs=1e-12)
    assert improvement_p_value(x, y) == improvement_p_value(y, x)


def test_two_runs_that_win_against_two_are_one_of_three_pairs_of_arms() -> None:
    assert improvement_p_value([3.0, 4.0], [1.0, 2.0]) == pytest.approx(2 / 6)
    assert improvement_p_value([1.0, 2.0], [3.0, 4.0]) == pytest.approx(2 / 6)
    assert improvement_p_value([1.0, 4.0], [2.0, 3.0]) == 1.0
    assert improvement_p_value(np.arange(7.0) + 7, np.arange(7.0)) == pytest.approx(2 / 3432)


@pytest.mark.parametrize("runs", [1, 5, 7, 8, 20])
def test_equal_arms_have_a_p_value_of_one(runs: int) -> None:
    same = normal(0, runs)
    assert improvement_p_value(same, same[::-1], draws=500) == 1.0
    assert improvement_p_value(np.ones(runs), np.ones(runs + 3), draws=500) == 1.0


def test_many_relabellings_are_drawn_and_the_observed_one_counts() -> None:
    x, y = np.arange(20.0) + 20, np.arange(20.0)  # no relabelling but two is as far from 1/2
    assert improvement_p_value(x, y, draws=999) == pytest.approx(1 / 1000)
    x, y = normal(0, 15) + 0.6, normal(1, 12)
    drawn = [improvement_p_value(x, y, seed=seed) for seed in range(5)]
    assert drawn == [improvement_p_value(x, y, seed=seed) for seed in range(5)]
    assert len(set(drawn)) > 1
    expected = reference.mannwhitneyu(x, y, method="exact").pvalue
    assert drawn == pytest.approx([expected] * 5, abs=0.02)  # standard deviation 0.005
    assert round(improvement_p_value(x, y, draws=99) * 100, 9).is_integer()


def test_the_p_value_of_arms_that_do_not_differ_is_below_a_level_as_often_as_it_says() -> None:
    data = np.random.default_rng(0).integers(0, 6, (600, 18)).astype(float)  # many equal scores
    p = np.array([improvement_p_value(one[:9], one[9:], draws=199) for one in data])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 600)
    assert (p <= 0.2).mean() > 0.13


def test_holm_adjusts_as_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.02, 0.021, 0.9]), [0.06, 0.06, 0.9])  # 2 * 0.021 is below 3 * 0.02
    np.testing.assert_allclose(holm([0.6, 0.9]), [1.0, 1.0])
    assert holm([0.3]).tolist() == [0.3]


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(given_p: list[float], random: Random) -> None:
    p, adjusted = np.array(given_p), holm(given_p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(p * len(p), 1)).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert adjusted.min() == min(1.0, p.min() * len(p))
    moved = list(range(len(p)))
    random.shuffle(moved)
    np.testing.assert_array_equal(holm(p[moved]), adjusted[moved])


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_its_sequence_of_tests_rejects(p: list[float], level: float) -> None:
    rejected = set()
    for done, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        if p[index] * (len(p) - done) > level:
            break
        rejected.add(index)
    assert set(np.flatnonzero(holm(p) <= level)) == rejected


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: iqm([]), r"iqm: expected scores of shape \(runs,\) or \(runs, tasks\), got \(0,\)."),
        (lambda: iqm(np.zeros((2, 0))), r"iqm: expected scores .* got \(2, 0\)."),
        (lambda: iqm(np.zeros((2, 2, 2))), r"iqm: expected scores .* got \(2, 2, 2\)."),
        (lambda: iqm(3.0), r"iqm: expected scores .* got \(\)."),
        (lambda: iqm([1.0, NAN]), r"iqm: expected finite scores, got nan."),
        (lambda: iqm([1.0, -np.inf]), r"iqm: expected finite scores, got -inf."),
        (lambda: performance_profile([], [1.0]), r"performance_profile: expected scores .* got \(0,\)."),
        (lambda: performance_profile([1.0], []), r"performance_profile: expected a list of thresholds, got shape \(0,"),
        (
            lambda: performance_profile([1.0], 1.0),
            r"performance_profile: expected a list of thresholds, got shape \(\)",
        ),
        (lambda: performance_profile([1.0], [NAN]), r"performance_profile: expected finite thresholds, got nan."),
        (
            lambda: probability_of_improvement(np.zeros((3, 2)), np.zeros((3, 1))),
            r"probability_of_improvement: expected samples of as many tasks each, got 2, 1.",
        ),
        (lambda: probability_of_improvement([1.0], [NAN]), r"probability_of_improvement: expected finite scores"),
        (lambda: stratified_interval(iqm), r"bootstrap interval: expected samples .* got no sample."),
        (lambda: stratified_interval(iqm, [1.0]), r"bootstrap interval: expected at least 2 runs, got 1."),
        (lambda: stratified_interval(iqm, [1.0, NAN]), r"bootstrap interval: expected finite scores, got nan."),
        (
            lambda: stratified_interval(max, np.zeros((3, 1)), np.zeros((3, 2))),
            r"bootstrap interval: expected samples of as many tasks each, got 1, 2.",
        ),
        (
            lambda: stratified_interval(max, [1.0, 2.0], [1.0, 2.0, 3.0], paired=True),
            r"bootstrap interval: expected paired samples of as many runs each, got 2, 3.",
        ),
        (lambda: stratified_interval(iqm, [1.0, 2.0], level=95), r"expected a level between 0 and 1, got 95."),
        (lambda: stratified_interval(iqm, [1.0, 2.0], level=1), r"expected a level between 0 and 1, got 1."),
        (lambda: stratified_interval(iqm, [1.0, 2.0], draws=0), r"interval: expected at least 1 draw, got 0."),
        (lambda: performance_profile_interval([1.0, NAN], [0.0]), r"bootstrap interval: expected finite scores"),
        (
            lambda: improvement_p_value(np.zeros((3, 2)), np.zeros((3, 1))),
            r"improvement_p_value: expected samples of as many tasks each, got 2, 1.",
        ),
        (lambda: improvement_p_value([], [1.0]), r"improvement_p_value: expected scores .* got \(0,\)."),
        (lambda: improvement_p_value([1.0], [NAN]), r"improvement_p_value: expected finite scores, got nan."),
        (lambda: improvement_p_value([1.0], [2.0], draws=0), r"improvement_p_value: expected at least 1 draw, got 0."),
        (lambda: holm([]), r"holm: expected a list of p values, got shape \(0,\)."),
        (lambda: holm([[0.1]]), r"holm: expected a list of p values, got shape \(1, 1\)."),
        (lambda: holm([0.1, NAN]), r"holm: expected finite p values, got nan."),
        (lambda: holm([0.1, 1.5]), r"holm: expected p values from 0 to 1, got 0.1 to 1.5."),
        (lambda: holm([-0.1, 0.5]), r"holm: expected p values from 0 to 1, got -0.1 to 0.5."),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^.*{sentence}"):
        call()


# Its authors' library needs older releases of others than archgym's tests run with: it answers from its own Python.
RLIABLE_PYTHON = os.environ.get("ARCHGYM_RLIABLE_PYTHON")
MAKE_RLIABLE = (
    "python3.11 -m venv rliable_env && rliable_env/bin/pip install 'rliable==1.2.0' 'pandas<3' 'arch<8'"
    " && export ARCHGYM_RLIABLE_PYTHON=$PWD/rliable_env/bin/python"
)
RLIABLE_SCRIPT = """
import json, sys
import numpy as np
from rliable import library, metrics

given = json.load(sys.stdin)
x, y, thresholds = (np.array(given[name]) for name in ("x", "y", "thresholds"))
np.random.seed(0)  # its bootstrap draws from the global state


def estimate(scores, statistic):
    points, ends = library.get_interval_estimates({"": scores}, statistic, reps=given["draws"])
    return {"point": np.asarray(points[""]).tolist(), "interval": np.asarray(ends[""]).tolist()}


json.dump(
    {
        "iqm": estimate(x, lambda runs: np.array([metrics.aggregate_iqm(runs)])),
        "profile": estimate(x, lambda runs: library.score_distributions(runs, thresholds)),
        "improvement": estimate([x, y], lambda x, y: np.array([metrics.probability_of_improvement(x, y)])),
    },
    sys.stdout,
)
"""


@pytest.mark.skipif(RLIABLE_PYTHON is None, reason=f"no rliable; to compare with it: {MAKE_RLIABLE}")
def test_rliable_gives_the_same_numbers_and_within_noise_the_same_intervals() -> None:
    x = np.round(normal(0, 10, 3), 1) + np.array([0.3, 20, -50])  # rounded, so that some are equal
    y = np.round(normal(1, 14, 3), 1) + np.array([0, 20, -50])
    thresholds, draws = [-51.0, -50.0, -0.5, 0.0, 0.8, 19.5, 21.0], 5000
    asked = json.dumps({"x": x.tolist(), "y": y.tolist(), "thresholds": thresholds, "draws": draws})
    done = subprocess.run(
        [str(RLIABLE_PYTHON), "-c", RLIABLE_SCRIPT], input=asked, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)

    ours: dict[str, tuple[ArrayLike, ArrayLike]] = {
        "iqm": (iqm(x), stratified_interval(iqm, x, draws=draws)),
        "profile": (performance_profile(x, thresholds), performance_profile_interval(x, thresholds, draws=draws)),
        "improvement": (
            probability_of_improvement(x, y),
            stratified_interval(probability_of_improvement, x, y, draws=draws),
        ),
    }
    # Of the intervals: a twentieth of the width, and of shares of 30 entries one step.
    noise = {"profile": 1 / 30 + 1e-9, **{name: 0.05 * np.ptp(ours[name][1]) for name in ("iqm", "improvement")}}
    for name, (point, ends) in ours.items():
        np.testing.assert_allclose(np.ravel(theirs[name]["point"]), np.ravel(point), atol=1e-12, err_msg=name)
        np.testing.assert_allclose(np.ravel(theirs[name]["interval"]), np.ravel(ends), atol=noise[name], err_msg=name)


@pytest.mark.parametrize("runs", [2, 3, 5, 7])
def test_the_smallest_p_value_is_that_of_arms_that_never_overlap(runs: int) -> None:
    low, high = np.arange(runs), 100 + np.arange(runs)
    assert smallest_p_value(runs, 1) == improvement_p_value(low, high)


def test_no_p_value_is_below_what_the_draws_can_show() -> None:
    low, high = np.arange(10), 100 + np.arange(10)
    assert smallest_p_value(10, 1) == pytest.approx(improvement_p_value(low, high), rel=2)
    assert smallest_p_value(10, 1) >= 1 / 10_001
    assert smallest_p_value(3, 2) == 2 / 20**2
    assert smallest_p_value(1000, 3) == 1 / 10_001  # more relabellings than a float can count


def test_the_tasks_of_a_comparison_are_permuted_apart_and_tell_more_together() -> None:
    rng = np.random.default_rng(0)
    shift = np.array([0.0, 50.0])  # levels of the tasks: pooled, they would hide the difference
    x, y = rng.normal(size=(8, 2)) + shift + 1.0, rng.normal(size=(8, 2)) + shift
    together = improvement_p_value(x, y)
    assert together < 0.05
    assert improvement_p_value(x[:, 0], y[:, 0]) > together
    assert improvement_p_value(x, x) == 1.0
