"""What is told of a recorded table: against planted ones, on the terminal, as numbers, and as a page."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

from archgym import table as tables
from archgym.__main__ import main
from archgym.table import Table
from archgym.table_describe import page as table_page
from archgym.table_describe.findings import describe
from archgym.table_describe.layout import grids, remarks, said, seeds_said, verdict
from archgym.table_describe.stats import kendall

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)


def with_returns(table: Table, returns: np.ndarray, supernet: np.ndarray | None = None) -> Table:
    """The table with other returns; greedy ones are as high as those of the window before."""
    shape = table.columns["raw_return"].shape
    columns = {**table.columns, "raw_return": np.broadcast_to(returns, shape).astype(float)}
    shared = table.supernet if supernet is None else supernet
    evaluations = columns["raw_return"][:, :, np.array(table.card.ages) - 1]
    return Table(table.card, table.architectures, columns, evaluations, shared)


@pytest.fixture(scope="module")
def by_width(planted_table: Callable[..., Table]) -> Table:
    """Width alone decides, the seeds add little, and shared weights rank perfectly from the second age on."""
    drawn = planted_table(seeds=10, windows=10, ages=(5, 10), supernet=True)
    rng, space = np.random.default_rng(0), drawn.space
    place = [choice.name for choice in space.choices].index("width")
    effect = 100.0 + 100 * drawn.architectures[:, place]
    returns = effect[:, None, None] * np.linspace(0.1, 1, 10) + rng.normal(0, 8, (len(effect), 10, 1))
    shared = np.stack([rng.permutation(effect), effect, effect])[None] + rng.normal(0, 1, (2, 1, len(effect)))
    return with_returns(drawn, returns, shared)


@pytest.fixture(scope="module")
def told(by_width: Table) -> dict[str, Any]:
    return describe(by_width, "planted.npz", draws=200)


@pytest.fixture(scope="module")
def noise(planted_table: Callable[..., Table]) -> dict[str, Any]:
    """A table in which the seeds are everything."""
    drawn = planted_table(seeds=6, windows=5)
    returns = np.random.default_rng(1).normal(200, 50, drawn.columns["raw_return"].shape[:2])
    return describe(with_returns(drawn, returns[:, :, None]), "noise", draws=300)


def shares_of(content: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """The grid of the shares of choices."""
    return next(grid for grid in grids(content) if grid[0].startswith("Share of the variance"))


# Numbers


def test_the_planted_choice_has_all_of_the_variance(told: dict[str, Any]) -> None:
    assert told["choices"]["area"]["exact"]
    shares = {tuple(row["choices"]): row for row in told["choices"]["area"]["shares"]}
    assert shares["width",]["value"] == pytest.approx(1, abs=0.02)
    assert shares["width",]["low"] > 0.95
    assert all(abs(row["value"]) < 0.02 for names, row in shares.items() if names != ("width",))


def test_architectures_are_told_from_seeds(told: dict[str, Any], noise: dict[str, Any]) -> None:
    assert told["spread"]["area"]["repeatability"]["value"] > 0.9
    assert verdict(told).count("architectures differ by more than the seeds") == 3  # scores
    assert noise["spread"]["area"]["repeatability"]["low"] == 0
    assert verdict(noise).count("the seeds swamp the architectures") == 3


def test_the_verdict_speaks_of_every_score(by_width: Table) -> None:
    """The architecture decides how fast a curve rises, and nothing at its end."""
    rng, shape = np.random.default_rng(3), by_width.columns["raw_return"].shape
    returns = by_width.columns["raw_return"].copy()
    returns[:, :, 8:] = rng.normal(200, 50, (*shape[:2], 2))
    said = verdict(describe(with_returns(by_width, returns), "x", draws=200))
    assert "By the area under the curve architectures differ by more" in said
    assert "By the last fifth the seeds swamp the architectures" in said
    assert "By the newest greedy evaluation the seeds swamp the architectures" in said


def test_no_shares_are_given_of_what_the_seeds_swamp(noise: dict[str, Any], told: dict[str, Any]) -> None:
    assert shares_of(noise)[2] == []
    assert all(len(row) == 4 and "-" not in row for row in shares_of(told)[2])


# The ends of the curves


def test_architectures_that_still_rise_at_the_end_are_counted(by_width: Table) -> None:
    returns = np.full(by_width.columns["raw_return"].shape, 300.0)
    returns += np.random.default_rng(4).normal(0, 1, returns.shape)
    returns[:5, :, 8:] += 100  # the last fifth
    returns[5:8, :, 8:] -= 100
    returns[8:20, :, :6] -= 100  # which have ended to rise before
    returns[20:, :, :] += 190
    content = describe(with_returns(by_width, returns), "x", draws=100)
    assert content["end"]["steps"] == 800
    assert content["end"]["rising"] in (5, 6)  # of 27 level ones one may seem to rise by chance
    assert content["end"]["falling"] in (3, 4)
    low, high = by_width.problem.random_return, by_width.problem.reference_return
    assert content["end"]["rise"]["value"] == pytest.approx(2 / 27 * 100 / (high - low), rel=0.05)
    assert content["end"]["reached"] == 7
    assert content["end"]["positive"] in range(5 + 6, 5 + 19)  # of the 19 others that are level some, by chance
    said = " ".join(remarks(content))
    assert f"Still rising at the end: {content['end']['rising']} of 27 architectures" in said
    assert "If none rose or fell, about 0.7 would be counted as rising all the same, and as many as falling" in said


# Scores beside each other


def test_scores_agree_across_seeds_as_far_as_the_architecture_decides(by_width: Table, told: dict[str, Any]) -> None:
    own = {tuple(row["scores"]): row for row in told["agreement"]["taus"]}
    assert set(own) == {("area", "last_fifth"), ("area", "greedy"), ("last_fifth", "greedy")}
    means = [by_width.scores(kind).mean(1) for kind in ("area", "greedy")]
    assert own["area", "greedy"]["same"]["value"] == pytest.approx(kendall(*means))
    half = by_width.card.search_seeds
    ways = ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half)))
    across = [
        kendall(by_width.scores("area")[:, one].mean(1), by_width.scores("greedy")[:, other].mean(1))
        for one, other in ways
    ]
    assert own["area", "greedy"]["other"]["value"] == pytest.approx(np.mean(across))


def test_greedy_returns_stand_beside_those_with_exploration(by_width: Table) -> None:
    worse = Table(by_width.card, by_width.architectures, by_width.columns, by_width.evaluations - 30, by_width.supernet)
    content = describe(worse, "x", draws=100)
    own = content["agreement"]
    assert own["greedy"] == pytest.approx(own["training"] - 30)
    assert own["age"] == 4000
    assert f"mean return {own['greedy']:.1f} over all networks" in " ".join(remarks(content))


def test_supernets_with_the_seeds_of_curves_are_said_to_have_them(by_width: Table, told: dict[str, Any]) -> None:
    assert told["shared"]["same_seed"] is None  # theirs are of their own
    seeds = [by_width.card.seeds[place] for place in (7, 2)]
    card = replace(by_width.card, supernet={**by_width.card.supernet, "seeds": seeds})
    assert by_width.supernet is not None
    shared = np.stack([[by_width.scores("area")[:, place]] * 3 for place in (7, 2)])  # ranks its own seed perfectly
    table = Table(card, by_width.architectures, by_width.columns, by_width.evaluations, shared)
    content = describe(table, "x", draws=100)
    own = content["shared"]["same_seed"]
    assert own["own"] == 1
    assert own["others"] < 0.9
    assert own["difference"]["value"] == pytest.approx(own["own"] - own["others"])
    assert any(sentence.startswith("Supernets begin with the seeds") for sentence in remarks(content))


def test_the_best_is_chosen_on_search_seeds_and_judged_on_test_seeds(by_width: Table, told: dict[str, Any]) -> None:
    scores, half = by_width.scores("area"), by_width.card.search_seeds
    best = int(scores[:, :half].mean(1).argmax())
    default = by_width.index(by_width.space.default_architecture)
    own = told["margin"]["area"]
    assert own["best"] == by_width.space.label(by_width.architectures[best])
    assert own["margin"]["value"] == pytest.approx(scores[best, half:].mean() - scores[default, half:].mean())
    exact = reference.ttest_rel(scores[best, half:], scores[default, half:]).confidence_interval()
    assert (own["margin"]["low"], own["margin"]["high"]) == pytest.approx((exact.low, exact.high), rel=2e-3)
    assert own["where_chosen"] == pytest.approx(scores[best, :half].mean() - scores[default, :half].mean())


def test_quartiles_and_the_place_of_the_default_are_told(by_width: Table, told: dict[str, Any]) -> None:
    means = by_width.scores("area").mean(1)
    default = means[by_width.index(by_width.space.default_architecture)]
    own = told["standing"]["area"]
    assert own["quartiles"] == pytest.approx(np.percentile(means, [0, 25, 50, 75, 100]))
    assert own["default"] == pytest.approx(default)
    assert own["rank"]["value"] == 1 + np.sum(means > default) <= 9  # as wide as it can be, as nine are
    assert 1 <= own["rank"]["low"] <= own["rank"]["high"] <= 15
    rows = next(grid[2] for grid in grids(told) if grid[0].startswith("Mean scores of the architectures"))
    assert rows[0][-2:] == [f"{default:.3f}", said(own["rank"], 0)]


def test_the_first_window_is_told_apart_from_the_whole_curve(by_width: Table) -> None:
    """Nothing but seeds in the first window, nothing but architectures after it."""
    returns = by_width.columns["raw_return"].copy()
    returns[:, :, 0] = np.random.default_rng(5).normal(20, 5, returns.shape[:2])
    content = describe(with_returns(by_width, returns), "x", draws=100)
    assert content["first_window"]["repeatability"]["value"] < 0.1
    assert content["spread"]["area"]["repeatability"]["value"] > 0.9
    assert grids(content)[0][2][-1][0] == "the first window's return"


def test_a_sample_is_said_to_be_one_and_how_much_it_leaves_out(
    planted_table: Callable[..., Table], told: dict[str, Any]
) -> None:
    drawn = planted_table(rows=12, seeds=4)
    vectors = drawn.architectures.copy()
    if not drawn.is_valid(drawn.space.default_architecture):
        vectors[0] = drawn.space.default_architecture
    content = describe(Table(drawn.card, vectors, drawn.columns, drawn.evaluations), "x", draws=100)
    words = " ".join(remarks(content))
    assert "keep its architectures: they are about these 12" in words
    assert "Of the space's 27 architectures 56 % are not in the table" in words
    assert not any(sentence.startswith("The table is a sample") for sentence in remarks(told))


def test_the_winners_curse_shows_where_there_is_nothing_to_win(noise: dict[str, Any]) -> None:
    own = noise["margin"]["area"]
    assert own["where_chosen"] > 0.05
    assert abs(own["over_splits"]) < own["where_chosen"] / 2
    assert own["margin"]["low"] < 0 < own["margin"]["high"]


def test_one_difference_has_one_interval(told: dict[str, Any], noise: dict[str, Any]) -> None:
    for content in (told, noise):
        for kind in ("area", "last_fifth", "greedy"):
            rows = [row["difference"] for row in content["needed"][kind] if row["against"] == "default"]
            assert all(row == content["margin"][kind]["margin"] for row in rows)
            assert content["margin"][kind]["rule"]["value"] == pytest.approx(content["margin"][kind]["margin"]["value"])
    assert noise["margin"]["area"]["rule"]["low"] != noise["margin"]["area"]["margin"]["low"]


def test_a_short_training_is_ranked_across_seeds(by_width: Table, told: dict[str, Any]) -> None:
    curves, half = by_width.normalised, by_width.card.search_seeds
    halves = curves[:, :half].mean(1), curves[:, half:].mean(1)
    both = [
        kendall(short[:, :1].mean(1), long[:, 8:].mean(1)) for short, long in (halves, halves[::-1])
    ]  # the first window against the last fifth
    assert told["budgets"]["steps"][0] == 400
    assert told["budgets"]["steps"][-1] == 4000
    assert told["budgets"]["last_fifth"][0]["value"] == pytest.approx(np.mean(both))
    again = kendall(halves[0][:, 8:].mean(1), halves[1][:, 8:].mean(1))
    assert told["budgets"]["again"]["last_fifth"]["value"] == pytest.approx(again)
    taus = [one["value"] for one in told["budgets"]["last_fifth"]]
    assert taus[-1] > taus[0]


def test_noise_ranks_nothing_beyond_its_own_seed(noise: dict[str, Any]) -> None:
    """On the same seeds a curve without change would rank its own end perfectly."""
    for one in noise["budgets"]["last_fifth"]:
        assert abs(one["value"]) < 0.3


def test_shared_weights_are_ranked_by_age(told: dict[str, Any]) -> None:
    own = told["shared"]["area"]
    taus, regrets = own["one"]["tau"], own["one"]["regret"]
    assert abs(taus[0]["value"]) < 0.4
    assert taus[1]["value"] > 0.6
    assert told["shared"]["top"] == [1, 3, 5]
    assert regrets[0][1]["value"] < own["random"][0]
    assert regrets[2][0]["value"] <= regrets[0][0]["value"]  # the best of five is no worse than the first


def test_the_noise_of_a_shared_score_is_said_beside_it(told: dict[str, Any]) -> None:
    own = told["shared"]["area"]
    sentence = next(sentence for sentence in remarks(told) if sentence.startswith("A score with shared weights"))
    for tau in (own["scratch"]["tau"][0], own["one"]["tau"][2], own["mean"]["tau"][2], own["mean"]["tau"][3]):
        assert said(tau) in sentence
    taus = next(grid for grid in grids(told) if grid[0].startswith("Kendall's tau of scores with shared weights"))
    assert [row[0] for row in taus[2]][2:5] == [
        *("one supernet, 1,200 steps", "one supernet, mean of these ages", "mean of 2 supernets, 400 steps")
    ]
    assert taus[2][-2][1] == said(own["scratch"]["tau"][1])


def test_without_a_supernet_nothing_is_said_of_it(noise: dict[str, Any]) -> None:
    assert noise["shared"] is None
    assert "Shared weights</h2>" not in table_page.render(noise)


def test_large_differences_take_few_seeds_and_none_takes_all(told: dict[str, Any], noise: dict[str, Any]) -> None:
    rows = {row["against"]: row for row in told["needed"]["area"]}
    assert rows["middle"]["seeds"]["value"] <= 3
    assert rows["runner-up"]["seeds"]["value"] is None or rows["runner-up"]["seeds"]["value"] > 10
    for row in noise["needed"]["area"]:
        low, high = (np.inf if row["seeds"][end] is None else row["seeds"][end] for end in ("low", "high"))
        assert low <= (np.inf if row["seeds"]["value"] is None else row["seeds"]["value"]) <= high
        assert row["seeds"]["high"] is None  # its difference may well be none
        assert seeds_said(row) == "not better on the test seeds" or seeds_said(row).endswith(" or more)")


@pytest.mark.parametrize(
    ("difference", "seeds", "words"),
    [
        (-0.1, (None, 363, None), "not better on the test seeds"),
        (0.0, (None, None, None), "not better on the test seeds"),
        (0.1, (9, 3, None), "9 (3 or more)"),
        (0.1, (5, 3, 60), "5 (3 to 60)"),
        (1e-6, (None, 40, None), "more than 10,000 (40 or more)"),
        (1e-6, (None, None, None), "more than 10,000"),
    ],
)
def test_a_number_of_seeds_is_said_in_words(difference: float, seeds: tuple[Any, ...], words: str) -> None:
    row = {"difference": {"value": difference}, "seeds": dict(zip(("value", "low", "high"), seeds, strict=True))}
    assert seeds_said(row) == words


def test_bold_curves_are_of_the_test_seeds_and_bands_stay_among_the_returns(by_width: Table) -> None:
    returns = np.minimum(by_width.columns["raw_return"] * 2.5, 500)  # many reach the most there is
    curves = describe(with_returns(by_width, returns), "x", draws=100)["curves"]
    half, cut = by_width.card.search_seeds, 0
    for own in curves["named"].values():
        np.testing.assert_allclose(own["mean"], returns[own["row"], half:].mean(0), atol=1e-6)
        assert returns.min() <= min(own["low"])
        assert max(own["high"]) <= returns.max()
        cut += max(own["high"]) == returns.max()
    assert cut
    np.testing.assert_allclose(curves["mean"], returns.mean(1), atol=1e-6)


def test_what_a_choice_leaves_inactive_is_put_down_to_that_choice(planted_table: Callable[..., Table]) -> None:
    """Depth alone decides; the widths tell it too, by the layers that are not there."""
    drawn = planted_table(space="mlp-wide", rows=150, seeds=4, windows=5)
    vectors, space = drawn.architectures.copy(), drawn.space
    if not drawn.is_valid(space.default_architecture):
        vectors[0] = space.default_architecture
    place = [choice.name for choice in space.choices].index("depth")
    rng = np.random.default_rng(2)
    returns = (100.0 + 50 * vectors[:, place])[:, None, None] + rng.normal(0, 1, (150, 4, 1))
    planted = with_returns(Table(drawn.card, vectors, drawn.columns, drawn.evaluations), returns)
    content = describe(planted, "wide", draws=100)
    own = content["choices"]["area"]
    assert not own["exact"]
    assert "regression on a sample" in shares_of(content)[0]
    shares = {tuple(row["choices"]): row["value"] for row in own["shares"]}
    assert shares.pop(("depth",)) > 0.95  # the rest is what other choices of a sample have in common with it
    assert max(shares.values()) < 0.02


def test_the_same_seed_gives_the_same_numbers(by_width: Table, told: dict[str, Any]) -> None:
    assert describe(by_width, "planted.npz", draws=200) == told
    assert describe(by_width, "planted.npz", draws=200, seed=1)["spread"] != told["spread"]


def test_one_window_is_too_few(planted_table: Callable[..., Table]) -> None:
    with pytest.raises(ValueError, match="expected learning curves of at least 2 windows, got 1"):
        describe(planted_table(windows=1, ages=(1,)), "x")


def test_three_seeds_are_too_few(planted_table: Callable[..., Table]) -> None:
    with pytest.raises(ValueError, match=r"expected at least 2 architectures and 4 seeds.* has 27 and 3"):
        describe(planted_table(seeds=3), "x")


# The command and the page


def test_the_command_prints_and_writes(by_width: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.npz"
    tables.save(by_width, path)
    with pytest.raises(SystemExit) as end:
        main(["table", "describe", str(path), "--draws", "100", "--out", str(tmp_path / "out")])
    assert not end.value.code
    said = capsys.readouterr().out
    for words in (
        *("Standard deviations", "exact marginals", "Kendall's tau", "shared weights", "Welch's test"),
        *("By the last fifth architectures", "Still rising at the end:", "mean return", "The best of many noisy means"),
    ):
        assert words in " ".join(said.split())
    content = json.loads((tmp_path / "out" / "describe.json").read_text())
    assert content["name"] == "own"
    assert (tmp_path / "out" / "report.html").read_text() == table_page.render(content)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "describe: expected the name or the file (.npz) of a table, got none."),
        (["nowhere.npz"], "there is no file nowhere.npz"),
        (["x.npz", "--draws", "3"], "--draws: expected at least 100, got 3."),
        (["x.npz", "--drwas", "3"], "Did you mean '--draws'?"),
    ],
)
def test_wrong_input_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["table", "describe", *words])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_page_names_everything_and_takes_nothing_from_elsewhere(told: dict[str, Any]) -> None:
    text = table_page.render(told)
    assert text.count("<svg") == 8
    assert text == table_page.render(json.loads(json.dumps(told)))
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    for title, header, rows in grids(told):
        for words in (title, *header, *(cell for row in rows for cell in row)):
            assert escape(words) in text


def test_words_of_a_table_are_escaped(told: dict[str, Any]) -> None:
    text = table_page.render({**told, "sample": "<b>all</b>", "asked": "<i>.npz"})
    assert "<b>all</b>" not in text
    assert "<i>.npz" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_browser_shows_it_silently_and_a_phone_wholly(told: dict[str, Any], tmp_path: Path) -> None:
    page = table_page.write(tmp_path, told).read_text()
    measure = "document.title = document.querySelector('iframe').contentDocument.documentElement.scrollWidth"
    frame = f'<iframe style="width:400px;height:800px;border:0" srcdoc="{escape(page)}"></iframe>'
    phone = tmp_path / "phone.html"
    phone.write_text(f'<title></title><body onload="{measure}">{frame}</body>')
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", phone.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    found = re.search(r"<title>(\d+)</title>", done.stdout)
    assert found is not None
    assert int(found[1]) <= 400
