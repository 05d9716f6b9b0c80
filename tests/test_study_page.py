"""The page about a study: its numbers, its escaping, what it refuses, and that a real browser shows it."""

import json
import re
import runpy
import shlex
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from archgym import lookup
from archgym.__main__ import main
from archgym.running.launch import parse
from archgym.study import command as study_command
from archgym.study import page as study_page
from archgym.study import stats

NASTY = "score<script>alert(1)</script>&'$x^2$'"
BROWSER = runpy.run_path(str(Path(__file__).with_name("test_report_browser.py")))
needs_browser = pytest.mark.skipif(BROWSER["CHROMIUM"] is None, reason="no chromium on PATH")


def content_of(**other: Any) -> dict[str, Any]:
    """Invent the numbers of a study."""
    row = {"arm": NASTY, "against": "fixed", "value": 0.25, "low": 0.125, "high": 0.5, "verdict": "better"}
    steps = [1000.0, 2000.0, 3000.0]
    lines: list[Any] = [steps, [0.1, 0.2, 0.3], [0.0, 0.1, 0.2], [0.2, 0.3, 0.4]]
    return {
        "study": "nas-dqn",
        "title": "NAS-DQN's claims on CartPole-v1",
        "source": "arXiv 2510.19872",
        "question": "Does it?",
        "method": ["Ten seeds."],
        "arms": [
            {"name": NASTY, "text": "a <b>controller</b>", "command": "archgym search x", "control": False},
            {"name": "fixed", "text": "stays", "command": "archgym search fixed", "control": True},
        ],
        "tables": [{"title": "How well", "header": ["arm", "final"], "rows": [[NASTY, "0.987"]], "note": "Means."}],
        "figures": [
            {
                "kind": "curves",
                "title": "Return over a lifetime",
                "caption": "Mean.",
                "across": "environment steps",
                "up": "normalised return",
                "rows": {NASTY: lines, "fixed": [steps, [0.2, 0.2, 0.2], None, None]},
            },
            {
                "kind": "values",
                "title": "Final return",
                "caption": "Mean.",
                "label": "return",
                "rows": {NASTY: [0.1, 0.2, 0.3, [0.15, 0.25]], "fixed": [None, 0.4, None, [0.4]]},
            },
            {
                "kind": "differences",
                "title": "Better?",
                "caption": "Less.",
                "label": "difference",
                "rows": {"fixed": [0.125, 0.25, 0.5]},
            },
        ],
        "answers": [
            {"claim": "Final return is better", "measured": "At the end.", "answer": "yes", "level": 0.9875}
            | {"rows": [row], "note": "By <others>."},
            {"claim": "It is cheap", "measured": "In time.", "answer": "undecided", "level": 0.95}
            | {"rows": [{**row, "low": None, "high": None, "verdict": "undecided"}]},
        ],
        "limits": ["One task."],
        "seeds": [3, 5],
        "command": "archgym study nas-dqn --seeds 2",
        "args": {"seeds": 2},
        "machine": {"processor": "abacus", "cores": 2},
        "versions": {"archgym": "0.1.0"},
        "failures": [],
        **other,
    }


def page_of(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "study.json").write_text(json.dumps(content))
    return study_page.write(folder)


def text_of(page: Path) -> str:
    """Take the tags out of a page."""
    html = page.read_text(encoding="utf-8")
    body = re.sub(r"<wbr>", "", html[html.index("<body>") :])
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_the_page_says_everything_in_the_order_of_a_paper(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, content_of()))
    order = ["Question", "Does it?", "Short answers", "✓ yes", "○ undecided", "Method", "Ten seeds.", "Arms"]
    order += ["Results", "0.987", "Return over a lifetime", "Answers", "0.250 [0.125, 0.500]", "▲ better", "One task."]
    order += ["archgym study nas-dqn --seeds 2", "abacus", "Seeds of the repeats: 3, 5."]
    places = [text.index(word, 0) for word in order]
    assert places == sorted(places)
    assert "difference (98.75 %)" in text
    assert "failed" not in text


def test_differences_have_the_colours_of_the_arms_and_large_ones_are_readable(tmp_path: Path) -> None:
    content = content_of()
    content["figures"][2]["rows"] = {"median fixed": [-50_000.0, 25_000.0, 90_000.0], NASTY: [-1.0, 0.0, 1.0]}
    html = page_of(tmp_path, content).read_text(encoding="utf-8")
    _, curves, _, differences = html.split("<figure", 3)
    assert "#0072b2" in curves, "the only arm that is no control"
    assert "#0072b2" in differences
    assert "#e69f00" not in differences, "what is no arm has no arm's colour"
    assert re.search(r">\d0,000<", differences)


def test_names_and_sentences_are_escaped(tmp_path: Path) -> None:
    html = page_of(tmp_path, content_of()).read_text(encoding="utf-8")
    assert "<script" not in html
    assert escape(NASTY).split("&lt;")[0] in html
    assert "By &lt;others&gt;." in html
    assert "a &lt;b&gt;controller" in html


@pytest.mark.parametrize(
    ("value", "ends", "said"),
    [
        (0.25, (0.125, 0.5), "0.250 [0.125, 0.500]"),
        (-98750.5, (-1e5, 9.0), "-98,750 [-100,000, 9]"),
        (0.5, (), "0.500"),
    ],
)
def test_numbers_have_the_decimals_that_one_reads(value: float, ends: tuple[float, ...], said: str) -> None:
    low, high = ends or (None, None)
    assert study_page.interval({"value": value, "low": low, "high": high}) == said


def test_a_withheld_interval_and_a_measure_that_is_better_when_low_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = content_of()
    assert "lower is better" not in text_of(page_of(tmp_path, content))
    few = stats.compared("score", "fixed", stats.paired([3.0, 2.0], [1.0, 2.0], 0.95), higher=False)
    content["answers"][0]["rows"] = [few]
    said = "1.000 [no interval: 2 seeds] ○ undecided (lower is better)"
    assert f"score fixed {said}" in text_of(page_of(tmp_path, content))
    study_command.print_tables(content)
    assert f"score against fixed: {said}\n" in capsys.readouterr().out
    assert "(lower is better)" not in study_page.comparison_said(stats.compared("score", "fixed", few))


def test_failures_stand_before_the_numbers(tmp_path: Path) -> None:
    failures = [{"job": "score, repeat 3", "reason": "RuntimeError: out of <ideas>", "trace": ""}]
    html = page_of(tmp_path, content_of(failures=failures)).read_text(encoding="utf-8")
    assert html.index("out of &lt;ideas&gt;") < html.index("<h2>Results")


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    first = page_of(tmp_path, content_of()).read_bytes()
    assert page_of(tmp_path, content_of()).read_bytes() == first
    assert len(first) < 100_000


def test_archgym_report_writes_it_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(tmp_path, content_of())
    before = page.read_bytes()
    page.unlink()
    main(["report", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.unlink(), "expected a study.json in"),
        (lambda path: path.write_text("{"), "found no JSON"),
        (lambda path: path.write_text("[]"), "is damaged: expected 'study', a str"),
        (lambda path: path.write_text(json.dumps({"study": "x"})), "is damaged: expected 'title', a str"),
    ],
)
def test_what_is_no_study_is_refused_in_a_sentence(
    tmp_path: Path, change: Callable[[Path], Any], sentence: str
) -> None:
    page_of(tmp_path, content_of())
    change(tmp_path / "study.json")
    with pytest.raises(ValueError, match=sentence):
        study_page.write(tmp_path)


KEPT = sorted((Path(__file__).resolve().parent.parent / "benchmarks" / "studies").glob("*.html"))


@pytest.mark.parametrize("page", KEPT, ids=lambda page: page.stem)
def test_the_pages_that_are_kept_are_small_and_name_a_command_that_is_still_understood(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert len(html) < 400_000
    assert not re.search(r"/(tmp|work|root|home)/", html)
    found = re.search(r"<h2>To do it again</h2><pre>archgym study ([\w-]+)(.*?)</pre>", html)
    assert found is not None
    module = lookup.load("archgym.studies", found[1], "study")
    own = module.Study(parse(module.Args, shlex.split(unescape(found[2])), "archgym study"))
    assert all(f"<tr><td>{arm}</td>" in html for arm in own.arms)


def test_pages_of_every_study_are_kept() -> None:
    told = {re.search(r"archgym study ([\w-]+)", page.read_text(encoding="utf-8")) for page in KEPT}
    assert {found[1] for found in told if found} == set(lookup.names("archgym.studies"))


@needs_browser
def test_a_browser_shows_it_without_a_word_and_with_all_figures(tmp_path: Path) -> None:
    document, console = BROWSER["browse"](page_of(tmp_path, content_of()))
    assert console == []
    assert document.count("<svg") == 3


@needs_browser
def test_a_phone_shows_the_whole_width(tmp_path: Path) -> None:
    page = page_of(tmp_path, content_of()).read_text(encoding="utf-8")
    measure = "document.title = document.querySelector('iframe').contentDocument.documentElement.scrollWidth"
    width = BROWSER["PHONE"]
    frame = f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{escape(page)}"></iframe>'
    phone = tmp_path / "phone.html"
    phone.write_text(f'<title></title><body onload="{measure}">{frame}</body>', encoding="utf-8")
    found = re.search(r"<title>(\d+)</title>", BROWSER["browse"](phone)[0])
    assert found is not None
    assert int(found[1]) <= width
