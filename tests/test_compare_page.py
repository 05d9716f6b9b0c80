"""The page about a comparison: its numbers, what it says plainly, its escaping, and what it refuses."""

import json
import re
import runpy
import shutil
from collections.abc import Callable
from html import escape, unescape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym.compare import board as compare_board
from archgym.compare import page as compare_page
from archgym.compare import scoreboard
from archgym.compare.stats import iqm
from archgym.pages import charts, page

NASTY = "tpe:name=<script>alert(1)</script>&'$x^2$'"
LONG = "multi-agent:team=one_per_choice_with_comms"
CONTROLS = ("best-of-k-random", "fixed-whole-budget")
BROWSER = runpy.run_path(str(Path(__file__).with_name("test_report_browser.py")))


def invented_statistics(scores: dict[str, list[list[float | None]]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Invent what a scoreboard computes: true intervals and tests take long, and their values do not matter here."""
    statistics: dict[str, Any] = {}
    for arm, rows in scores.items():
        values = [value for row in rows for value in row if value is not None]
        middle, several = (iqm(values) if values else None), len(values) > len(rows)
        ends = {"low": middle - 0.013, "high": middle + 0.017} if middle and several else {"low": None, "high": None}
        statistics[arm] = {"iqm": middle, **ends, "searches": len(values) // len(rows)}
    pairs = []
    for first, second in combinations(scores, 2):
        if statistics[first]["low"] and statistics[second]["low"]:
            chance = 0.9 if statistics[first]["iqm"] > statistics[second]["iqm"] else 0.1
            ends = {"low": chance - 0.08, "high": chance + 0.06}
            pairs.append({"first": first, "second": second, "improvement": chance, **ends, "p": 0.003, "holm": 0.03})
    return statistics, pairs


def content_of(
    arms: tuple[str, ...] = ("tpe", "random-search", "fixed"),
    tasks: tuple[str, ...] = ("CartPole-v1",),
    seeds: int = 6,
    failed: tuple[str, ...] = (),
    *,
    regret: bool = False,
) -> dict[str, Any]:
    """Invent the numbers of a comparison in which each arm is better than the next by as much."""
    rng = np.random.default_rng(3)
    names, windows = [*arms, *CONTROLS], 8

    def each(arm: str, value: Callable[[float], object]) -> list[list[Any]]:
        level = 0.8 - 0.1 * names.index(arm)
        return [[None if arm in failed else value(level) for _ in range(seeds)] for _ in tasks]

    def near(level: float) -> float:
        return float(level + rng.normal(0, 0.02))

    def progress(_: float) -> dict[str, list[float]]:
        steps = np.arange(1.0, windows + 1)
        values = np.linspace(0.5, 0.01, windows)
        return {"steps": (1e4 * steps).tolist(), "seconds": (0.1 * steps).tolist(), "values": values.tolist()}

    curves = {arm: each(arm, lambda level: [near(level * k / 8) for k in range(1, windows + 1)]) for arm in arms}
    lifetime: dict[str, Any] = {
        "curves": curves,
        "scores": {arm: [[one and float(np.mean(one)) for one in row] for row in curves[arm]] for arm in arms},
        "final": {arm: each(arm, lambda level: None if regret else near(level)) for arm in arms},
        "steps": {arm: None if arm in failed else 40_000.0 for arm in arms},
    }
    recommendation: dict[str, Any] = {
        "scores": {arm: each(arm, near) for arm in names},
        "last_fifth": {arm: each(arm, lambda level: near(level + 0.1)) for arm in names},
        "architectures": {arm: each(arm, lambda level: f"depth=2 level={level:.1f}") for arm in names},
        "parameters": {arm: each(arm, lambda _: int(rng.integers(1000, 9000))) for arm in names},
        "steps": {arm: None if arm in failed else 50_000.0 for arm in names},
        "controls": {"best_of_k": CONTROLS[0], "whole_budget": CONTROLS[1]},
    }
    for board in (lifetime, recommendation):
        board["statistics"], board["pairs"] = invented_statistics(board["scores"])
    args = {"env_id": "ArchSearch-DQN-v0", "task": ",".join(tasks), "space": "mlp", "windows": windows}
    args |= {"window_steps": 2500, "num_envs": 2, "transfer": "shared", "retrain": 10_000, "retrain_seeds": 2}
    args |= {"seed": 1, "seeds": seeds, "inner": ["start_e=0.5"], "max_params": None}
    return {
        "trains": True,
        "tasks": list(tasks),
        "seeds": list(range(1, seeds + 1)),
        "plan": {"arms": list(arms), "args": args, "versions": {"archgym": "0.1.0"}},
        "boards": {"lifetime": lifetime, "recommendation": recommendation},
        "regret": {arm: each(arm, progress if regret else lambda _: None) for arm in arms},
        "cost": {arm: {"decision_ms": None if arm in failed else 1.5 + place} for place, arm in enumerate(arms)},
        "trained_steps": dict.fromkeys(tasks, 10_000),
        "best_of_k": 4,
        "failures": [{"job": f"{arm}, seed 1", "reason": "KilledError: died", "trace": "line 7"} for arm in failed],
    }


def page_of(folder: Path, content: dict[str, Any], *, drawn: bool = False) -> str:
    """Write a page; pictures take nearly all of the time, and most tests are about the words."""
    (folder / "compare.json").write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        for module in () if drawn else (page, compare_board):
            patch.setattr(module, "svg", lambda title, *_: f'<svg aria-label="{escape(title)}"></svg>')
        return compare_page.write(folder).read_text(encoding="utf-8")


def text_of(html: str) -> str:
    """Take the tags out of a page."""
    body = re.sub(r"<wbr>", "", html[html.index("<body>") :])
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_the_numbers_on_the_page_are_those_of_the_file(tmp_path: Path) -> None:
    content = content_of()
    text = text_of(page_of(tmp_path, content))
    for name, more, steps in (("lifetime", "final", "40,000"), ("recommendation", "last_fifth", "50,000")):
        board = content["boards"][name]
        for arm, row in board["statistics"].items():
            score = f"{arm} 6 of 6 {row['iqm']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
            pair = scoreboard.pair_of(board["pairs"], arm, "random-search")
            middle = "- - reference"
            if pair:
                chance = f"{pair['improvement']:.3f} ({pair['low']:.3f} to {pair['high']:.3f})"
                middle = f"{chance} {pair['holm']:.3f} {page.SIGNS[scoreboard.verdict(pair)]}"
            assert f"{score} {middle} {np.mean(board[more][arm]):.3f} {steps} " in text


def test_the_parameters_are_those_of_the_architecture_recommended_most_often(tmp_path: Path) -> None:
    content = content_of()
    board = content["boards"]["recommendation"]
    board["architectures"]["tpe"] = [["small", "large", None, "large", "small", "large"]]
    board["parameters"]["tpe"] = [[100, 5000, None, 5000, 100, 5000]]
    assert "tpe 3 of 5 large 5,000 " in text_of(page_of(tmp_path, content))


@pytest.mark.parametrize("name", ["lifetime", "recommendation"])
def test_another_number_in_the_file_is_another_on_the_page(tmp_path: Path, name: str) -> None:
    content = content_of()
    before = page_of(tmp_path, content)
    content["boards"][name]["statistics"]["tpe"]["iqm"] = 0.6789
    after = page_of(tmp_path, content)
    assert "0.679" not in text_of(before)
    assert text_of(after).count("0.679 (") == 1


def test_the_boards_are_never_mixed(tmp_path: Path) -> None:
    html = page_of(tmp_path, content_of())
    boards = re.findall(r'<section class="board">.*?</section>', html, flags=re.DOTALL)
    assert [re.findall("<h2>(.*?)</h2>", board) for board in boards] == [["Lifetimes"], ["Recommendations"]]
    assert not any(control in boards[0] for control in CONTROLS)
    assert "Return over the windows" not in boards[1]


def test_verdicts_good_and_bad_and_undecided_are_all_told(tmp_path: Path) -> None:
    content = content_of()
    for pair in content["boards"]["lifetime"]["pairs"]:
        pair["holm"] = 0.2
    text = text_of(page_of(tmp_path, content))
    assert "Lifetimes against random-search ▲ better none ▼ worse none ○ undecided tpe, fixed" in text
    assert "Recommendations against random-search ▲ better tpe ▼ worse fixed ○ undecided none" in text
    assert "against best-of-k-random (k = 4) ▲ better tpe, fixed ▼ worse none ○ undecided none" in text


def test_every_pair_is_in_the_matrix_from_both_sides(tmp_path: Path) -> None:
    content = content_of()
    pair = content["boards"]["recommendation"]["pairs"][0]
    pair.update({"improvement": 0.8125, "low": 0.61, "high": 0.93, "holm": 0.04})
    html = page_of(tmp_path, content)
    assert re.search(r'title="tpe against random-search: better, p = 0.040">▲ 0.81<small>0.61-0.93<', html)
    assert re.search(r'title="random-search against tpe: worse, p = 0.040">▼ 0.19<small>0.07-0.39<', html)
    pair["holm"] = 0.06
    assert re.search(r'title="tpe against random-search: undecided, p = 0.060">0.81<', page_of(tmp_path, content))


def test_too_few_seeds_to_decide_anything_are_named(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, content_of(seeds=3)))
    assert "Lifetimes: with 3 searches of an arm and 3 pairs no p value can fall below 0.3, whatever the scores" in text
    assert "whatever the scores" not in text_of(page_of(tmp_path, content_of(seeds=6)))


def test_failures_stand_before_everything_else(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, content_of(("dqn", "tpe", "random-search", "fixed"), failed=("dqn",))))
    assert "1 job failed" in text
    assert "dqn, seed 1 : KilledError: died trace line 7" in text
    assert text.index("1 job failed") < text.index("Verdicts")
    assert text.count("dqn 0 of 6 - - - all failed - -") == 2
    assert "failed" not in text_of(page_of(tmp_path, content_of()))


def test_the_best_arm_comes_first_and_one_without_scores_last(tmp_path: Path) -> None:
    html = page_of(tmp_path, content_of(("fixed", "dqn", "tpe", "random-search"), failed=("fixed",)))
    board = html[html.index('<section class="board">') :]
    assert re.findall(r"<tr><td>([\w-]+)</td>", board)[:4] == ["dqn", "tpe", "random-search", "fixed"]


def test_a_comparison_in_which_everything_failed_has_a_page(tmp_path: Path) -> None:
    arms = ("tpe", "random-search", "fixed")
    html = page_of(tmp_path, content_of(arms, failed=(*arms, *CONTROLS)))
    assert "5 jobs failed" in html
    assert "<svg" not in html
    assert text_of(html).count("all failed") == 8
    assert "Not known: no search ended." in html


def test_one_seed_has_scores_but_neither_intervals_nor_tests(tmp_path: Path) -> None:
    content = content_of(seeds=1)
    text = text_of(page_of(tmp_path, content, drawn=True))
    score = content["boards"]["lifetime"]["scores"]["tpe"][0][0]
    assert f"tpe 1 of 1 {score:.3f} - - no test " in text
    assert "Lifetimes: no test without two searches of two arms." in text
    assert "There is no second search to test against random-search." in text
    assert "all pairs." not in text


def test_regret_is_drawn_where_it_is_known_and_else_said_to_be_unknown(tmp_path: Path) -> None:
    without, known = page_of(tmp_path, content_of()), page_of(tmp_path, content_of(regret=True))
    assert "Not known: these lifetimes are really trained" in without
    assert 'aria-label="Regret' not in without
    assert "Not known" not in known
    for unit in ("inner steps", "wall-clock seconds"):
        assert f'aria-label="Regret over {unit} on CartPole-v1"' in known
    assert "greedy at end" not in known


def test_several_tasks_have_their_own_curves_and_numbers(tmp_path: Path) -> None:
    tasks = ("CartPole-v1", "Acrobot-v1")
    html = page_of(tmp_path, content_of(tasks=tasks))
    for task in tasks:
        assert f'aria-label="Return over the windows on {task}"' in html
    assert "on each of CartPole-v1 and Acrobot-v1" in html
    assert html.count("IQM (95 %) by task") == 2


def test_the_summary_states_the_budget_and_the_command_does_it_again(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, content_of()))
    assert "tpe, random-search and fixed searched the space mlp in ArchSearch-DQN-v0 on CartPole-v1, with 6" in text
    assert "2 lifetimes side by side (K = 2) through 8 windows of 2,500 inner steps; a search took 40,000 inner" in text
    assert "trained from scratch for 10,000 inner steps on 2 seeds of its own" in text
    command = "archgym compare tpe random-search fixed --env-id ArchSearch-DQN-v0 --task CartPole-v1 --space mlp"
    assert f"{command} --windows 8 --window-steps 2500 --num-envs 2 --transfer shared --retrain 10000" in text
    assert "--seeds 6 --inner start_e=0.5 Settings" in text


def test_the_length_of_a_training_is_the_true_one_of_every_task(tmp_path: Path) -> None:
    tasks = ("CartPole-v1", "Acrobot-v1")
    content = content_of(tasks=tasks)
    content["plan"]["args"]["retrain"] = 11_000
    assert "trained from scratch for 10,000 inner steps on 2 seeds" in text_of(page_of(tmp_path, content))
    content["trained_steps"]["Acrobot-v1"] = 12_500
    said = "trained from scratch for 10,000 (CartPole-v1) and 12,500 (Acrobot-v1) inner steps on 2 seeds"
    assert said in text_of(page_of(tmp_path, content))


def test_a_name_that_holds_markup_stays_text(tmp_path: Path) -> None:
    html = page_of(tmp_path, content_of((NASTY, "random-search", "fixed"), failed=("fixed",), regret=True), drawn=True)
    assert "<script" not in html
    assert escape(NASTY) in html
    assert NASTY in text_of(html)


def test_the_page_needs_nothing_from_elsewhere_and_its_ids_are_unique(tmp_path: Path) -> None:
    html = page_of(tmp_path, content_of(tasks=("CartPole-v1", "Acrobot-v1"), regret=True), drawn=True)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", html) + re.findall(r"url\(([^)]*)\)", html)
    assert all(link.startswith(("#", "data:")) for link in links)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', html)) <= set(ids)


def test_the_same_file_gives_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    content = content_of(regret=True)
    assert page_of(tmp_path, content, drawn=True) == page_of(tmp_path, content, drawn=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare.json", "report.html"]


def damage(part: str) -> dict[str, Any]:
    content = content_of()
    board = content["boards"]["lifetime"]
    if part == "seed":
        board["scores"]["tpe"][0].pop()
    elif part == "arm":
        del board["statistics"]["tpe"]
    elif part == "curves":
        del board["curves"]
    elif part == "length":
        content["trained_steps"] = {"Acrobot-v1": 10_000}
    elif part == "args":
        del content["plan"]["args"]["retrain"]
    else:
        del content[part]
    return content


@pytest.mark.parametrize(
    "part", ["seed", "arm", "curves", "args", "length", "tasks", "boards", "failures", "best_of_k", "trained_steps"]
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, part: str) -> None:
    with pytest.raises(ValueError, match=r"^report: .*compare\.json is damaged: expected .*\.$"):
        page_of(tmp_path, damage(part))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("text", [None, "", "[1]", '{"half": '])
def test_a_folder_without_a_comparison_is_refused_in_one_sentence(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "compare.json").write_text(text)
    with pytest.raises(ValueError, match=r"^report: .*\.$"):
        compare_page.write(tmp_path)


def test_only_the_best_of_many_arms_have_colours_of_their_own() -> None:
    arms = [f"arm-{place}" for place in range(9)]
    style = charts.looks([*arms, "fixed"], ["fixed"])
    colors = [style[arm].color for arm in arms]
    assert len(set(colors[:5])) == 5
    assert len(set(colors[5:])) == 1
    assert style["fixed"].control


def test_names_at_the_ends_of_lines_keep_their_distance_and_their_order() -> None:
    spread = charts.spread([0.1, 0.5, 0.5, 0.51, 0.99, 1.0], 0.08)
    assert spread == sorted(spread)
    assert min(np.diff(spread)) >= 0.08 - 1e-9
    assert 0 <= spread[0] <= spread[-1] <= 1
    assert spread[0] == pytest.approx(0.1)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_a_browser_is_silent_and_neither_screen_nor_phone_scrolls_sideways(tmp_path: Path) -> None:
    arms = (*(f"{LONG[:38]}{place:02d}" for place in range(10)), "random-search", "fixed")
    html = page_of(tmp_path, content_of(arms, seeds=3, failed=arms[:1], regret=True), drawn=True)
    document, console = BROWSER["browse"](tmp_path / "report.html")
    assert console == []
    assert document.count("<svg") == html.count("<svg")
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{escape(html)}"></iframe>'
        for width in (400, 1200)
    )
    wide = "[...document.querySelectorAll('iframe')].map(f => f.contentDocument.documentElement.scrollWidth)"
    (tmp_path / "screens.html").write_text(
        f'<title></title><body onload="document.title = {wide}">{frames}</body>', encoding="utf-8"
    )
    document, _ = BROWSER["browse"](tmp_path / "screens.html")
    found = re.search(r"<title>(\d+),(\d+)</title>", document)
    assert found is not None
    assert int(found[1]) <= 400
    assert int(found[2]) <= 1200


def test_a_planted_landscape_is_not_said_to_train(tmp_path: Path) -> None:
    content = content_of(regret=True)
    trained = text_of(page_of(tmp_path, content))
    assert "Nothing was trained" not in trained
    text = text_of(page_of(tmp_path, {**content, "trains": False}))
    assert "Nothing was trained: returns are those of a planted landscape" in text
    assert "8 windows that stand for 2,500 inner steps each; a search counts 40,000 inner steps in all" in text
    scored = "scored on the landscape as if it were trained from scratch for 10,000 inner steps on 2 seeds"
    assert scored in text
    claim = re.compile("(?<!as if it were )trained from scratch|trainings? from scratch|each trained|on one training")
    assert claim.search(trained)
    assert not claim.search(text)


def test_the_terminal_takes_no_brackets_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    arm = "mylab.agent:sizes=[small,large]"
    content = content_of((arm, "random-search"), failed=(arm,))
    content["failures"][0]["reason"] = "ValueError: expected [small, large], got [/]."
    scoreboard.print_tables(content)
    said = "".join(capsys.readouterr().out.replace("│", "").split())
    assert f"failed:{arm},seed1:ValueError:expected[small,large],got[/]." in said
    assert said.count(arm) > 1  # in its row too


def test_the_terminal_does_not_say_that_a_planted_landscape_was_trained(capsys: pytest.CaptureFixture[str]) -> None:
    content = content_of()
    scoreboard.print_tables(content)
    assert "Recommendations: trained from scratch" in capsys.readouterr().out
    scoreboard.print_tables({**content, "trains": False})
    said = capsys.readouterr().out
    assert "Recommendations: nothing was trained, scored on the landscape" in said
    assert "trained from scratch" not in said
