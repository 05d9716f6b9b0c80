"""The page about a run folder: its numbers, its escaping, and what it refuses."""

import json
import re
import zlib
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rcParams

from archgym import stats
from archgym.problem import Problem
from archgym.running import report
from archgym.settings import Settings

NASTY = "archgym search --name '<script>alert(1)</script>' & \"$x^2$\""


def write_journal(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as `archgym.journal` does: a checksum chained over all lines in front of each."""
    check, lines = 0, []
    for row in rows:
        body = json.dumps(row)
        check = zlib.crc32(body.encode(), check)
        lines.append(f'{{"check": "{check:08x}", {body[1:]}\n')
    path.write_text("".join(lines))


def write_run(folder: Path, space: str = "mlp", members: int = 4, windows: int = 10, *, protocol: bool = True) -> Path:
    """Write the folder of an invented search in which good options are taken more and more often."""
    rng = np.random.default_rng(5)
    settings = Settings(space=space, windows=windows, window_steps=2500)
    problem = Problem(settings)
    liking = [np.sort(rng.normal(0, 1, count)) for count in problem.space.counts]
    rows: list[dict[str, Any]] = [{"call": "header", "schema": 1, "settings": settings.to_dict()}]
    rows += [{"call": "reset", "seeds": [7], "members": list(range(members)), "seconds": {"open": 0.1, "agent": 0.2}}]
    last: list[str] = [""] * members
    for window in range(windows):
        heat = 3.0 * window / windows
        options = [[int(rng.choice(len(x), p=np.exp(heat * x) / np.exp(heat * x).sum())) for x in liking] for _ in last]
        chosen = [problem.space.canonical(vector) for vector in options]
        sizes = [problem.space.network_of(vector) for vector in chosen]
        quality = [sum(x[o] for x, o in zip(liking, vector, strict=True)) / len(liking) for vector in chosen]
        level = 1.05 * (1 - np.exp(-3.5 * (window + 1) / windows))
        values = (level * (0.85 + 0.12 * np.array(quality)) + rng.normal(0, 0.13, members)).tolist()
        labels = [problem.space.label(vector) for vector in chosen]
        row: dict[str, Any] = {"call": "train_window", "members": list(range(members))}
        row["action"] = [vector.tolist() for vector in chosen]
        row["reward"] = np.clip(values, -1, 2).tolist()
        row["raw_return"] = [22.3 + value * 452.7 for value in values]
        row["normalised_return"] = values
        row["parameters"] = [net.parameters(problem.inputs, problem.outputs) for net in sizes]
        row["flops"] = [net.flops(problem.inputs, problem.outputs) for net in sizes]
        row["env_steps"] = [2504] * members
        row["diverged"] = [bool(rng.random() < 0.01) for _ in chosen]
        row["switched"] = [one not in ("", two) for one, two in zip(last, labels, strict=True)]
        row["cut_share"] = rng.uniform(0.02, 0.2, members).tolist()
        seconds = {"env": 3.1, "act": 2.2, "learn": 9.6, "switch": 0.3, "open": 0.2, "evaluate": 0.0, "agent": 0.4}
        rows.append({**row, "seconds": seconds})
        last = labels
    write_journal(folder / "journal.jsonl", rows)
    config = {"agent": "lstm-reinforce", "command": NASTY, "args": {"seed": 7, "num_envs": members}}
    config |= {"settings": settings.to_dict(), "versions": {"archgym": "0.1.0", "torch": "2.13.0"}}
    (folder / "config.json").write_text(json.dumps(config))
    if protocol:
        (folder / "protocol.json").write_text(json.dumps(_invented_protocol(problem, rng)))
    return folder


def _invented_protocol(problem: Problem, rng: np.random.Generator) -> dict[str, Any]:
    arms: list[dict[str, Any]] = []
    candidates = []
    for arm, level in (("default", 0.62), ("lstm-reinforce", 0.72), ("random-search", 0.62)):
        vector = problem.space.default_architecture if arm == "default" else problem.space.sample(rng)
        net, scores = problem.space.network_of(vector), rng.normal(level, 0.03, 5)
        x = np.linspace(0, 1, 24)
        curves = 22.3 + 452.7 * np.clip((1 - np.exp(-8 * level * x)) + rng.normal(0, 0.06, (5, 24)), 0, 1.05)
        gap = float(np.mean(scores) - np.mean(arms[0]["scores"])) if arms else 0.0
        verdict = "better" if gap > 0.05 else "undecided"
        place = {"arm": arm, "architecture": problem.space.label(vector), "action": vector.tolist()}
        arms.append(
            {
                **place,
                "parameters": net.parameters(problem.inputs, problem.outputs),
                "flops": net.flops(problem.inputs, problem.outputs),
                "scores": scores.tolist(),
                "last_fifth": curves[:, -5:].mean(1).tolist(),
                "curves": curves.tolist(),
                "difference": {"low": gap - 0.05, "high": gap + 0.05, "verdict": verdict} if arms else None,
            }
        )
        others = [problem.space.sample(rng) for _ in range(3) if arm != "default"]
        for other in (vector, *others) if others else ():
            tried = {"arm": arm, "architecture": problem.space.label(other), "action": other.tolist()}
            candidates.append({**tried, "scores": rng.normal(level, 0.04, 3).tolist()})
    spent = {"lstm-reinforce": 961536, "random-search": 961536}
    return {"steps": 60000, "search_steps": spent, "retraining_steps": 1080000, "candidates": candidates, "arms": arms}


def edit_journal(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of a journal and write it anew, with checksums that fit."""
    lines = (folder / "journal.jsonl").read_text().splitlines()
    rows = [{key: value for key, value in json.loads(line).items() if key != "check"} for line in lines]
    change(rows)
    write_journal(folder / "journal.jsonl", rows)


def page_of(folder: Path) -> str:
    return report.write(folder).read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """Take the tags out of a page."""
    body = page[page.index("<body>") :]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


SPACES = pytest.mark.parametrize("space", ["mlp", "mlp-wide"])


@SPACES
def test_the_numbers_on_the_page_are_those_of_the_journal(tmp_path: Path, space: str) -> None:
    text = text_of(page_of(write_run(tmp_path, space)))
    run = report.read(tmp_path)
    journal = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    windows = [row for row in journal if row["call"] == "train_window"]
    best = stats.ranking([row["action"] for row in windows], [row["reward"] for row in windows])[0]
    network = run.problem.space.network_of(np.array(best))
    raw = np.array([row["raw_return"] for row in windows])
    switched = np.mean([row["switched"] for row in windows[1:]])
    spent = sum(sum(row.get("seconds", {}).values()) for row in journal)
    learning = sum(row.get("seconds", {}).get("learn", 0.0) for row in journal)
    assert "with 4 members for 10 windows: 100,160 environment steps in all" in text
    assert f"{len({tuple(a) for row in windows for a in row['action']})} architectures trained, seed 7." in text
    assert f"Incumbent {run.problem.space.label(np.array(best))} " in text
    assert f"Parameters {network.parameters(4, 2):,} {network.parameters(4, 2) / 17410:.2f} times" in text
    assert f"FLOPs of a forward pass {network.flops(4, 2):,} " in text
    assert f"Return, last 2 windows {np.median(raw[-2:].mean(0)):.3g} median" in text
    assert f"best member {raw[-2:].mean(0).max():.3g};" in text
    assert f"Switches {100 * switched:.3g} %" in text
    assert f"mean {100 * switched:.3g} %" in text
    assert f"Cut episodes {100 * np.mean([row['cut_share'] for row in windows]):.3g} %" in text
    assert f"learn {100 * learning / spent:.1f} %" in text


@SPACES
def test_scores_follow_the_rule_of_the_incumbent(tmp_path: Path, space: str) -> None:
    run = report.read(write_run(tmp_path, space, members=3))
    ranking = stats.ranking(run.actions, run.columns["reward"])
    assert sorted(run.scores, key=lambda key: -run.scores[key]) == ranking
    ends, found = report.incumbents(run)
    assert ends == list(range(1, 11))
    for end, key in zip(ends, found, strict=True):
        assert key == stats.ranking(run.actions[:end], run.columns["reward"][:end])[0]


def test_every_members_switch_rate_and_oscillation_are_on_the_page_with_their_mean(tmp_path: Path) -> None:
    one, two, three = [0, 0, 0], [1, 0, 0], [2, 1, 0]
    lives = [[one, two] * 5, [one] * 10, [one, two, three, three, two, three, two, two, one, one]]

    def plant(rows: list[dict[str, Any]]) -> None:
        for window, row in enumerate(row for row in rows if row["call"] == "train_window"):
            row["action"] = [life[window] for life in lives]

    edit_journal(write_run(tmp_path, members=3), plant)
    text = text_of(page_of(tmp_path))
    # The third switches 6 times in 9 windows, and comes back twice in 8.
    assert "member 1 100 % 100 % member 2 0 % 0 % member 3 66.7 % 25 % mean 55.6 % 41.7 %" in text
    assert "Switches 55.6 %" in text
    assert "Oscillation 41.7 %" in text


def test_a_choice_that_is_inactive_counts_for_no_option(tmp_path: Path) -> None:
    run = report.read(write_run(tmp_path, "mlp-wide"))
    place = [choice.name for choice in run.problem.space.choices].index("width_4")
    shallow = run.actions[run.actions[..., 0] < 3]
    assert len(shallow)
    assert not shallow[:, place].any()
    assert page_of(tmp_path).count('aria-label="Choice ') == 8


def test_the_comparison_is_told_plainly(tmp_path: Path) -> None:
    text = text_of(page_of(write_run(tmp_path)))
    arms = json.loads((tmp_path / "protocol.json").read_text())["arms"]
    assert "Trained from scratch, against the default: lstm-reinforce better, random-search undecided." in text
    for arm in arms[1:]:
        gap = arm["difference"]
        mean = np.mean(arm["scores"]) - np.mean(arms[0]["scores"])
        interval = f"{mean:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
        low, high = stats.mean_interval(arm["scores"])
        area = f"{np.mean(arm['scores']):.3f} ({low:.3f} to {high:.3f})"
        assert f"{arm['arm']} {gap['verdict']} {interval} {area} {np.mean(arm['last_fifth']):.3g} " in text


def test_a_planted_landscape_is_not_said_to_train(tmp_path: Path) -> None:
    path = write_run(tmp_path) / "config.json"
    assert "architectures trained, seed 7" in text_of(page_of(tmp_path))
    config = json.loads(path.read_text())
    config["settings"] = Settings(trainer="synthetic", windows=10, window_steps=2500).to_dict()
    path.write_text(json.dumps(config))
    text = text_of(page_of(tmp_path))
    assert "on a planted landscape, with 4 members for 10 windows. Nothing was trained: 40 windows of " in text
    assert "which stand for 100,160 environment steps; seed 7." in text
    assert "Scored on the landscape, against the default: lstm-reinforce better" in text
    assert "rained from scratch" not in text
    assert "From scratch" not in text


def test_without_a_comparison_there_is_no_word_of_one(tmp_path: Path) -> None:
    assert "from scratch" not in text_of(page_of(write_run(tmp_path, protocol=False)))


def test_an_exported_architecture_other_than_the_incumbent_is_named(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "best.json").write_text(json.dumps({"architecture": "depth=9", "parameters": 1, "flops": 2}))
    assert "best.json holds depth=9" in text_of(page_of(tmp_path))


def test_nothing_that_a_user_wrote_becomes_markup(tmp_path: Path) -> None:
    write_run(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "agent": NASTY, "args": {"name": NASTY}}))
    page = page_of(tmp_path)
    assert "<script" not in page
    assert escape(NASTY) in page
    assert NASTY in unescape(page)


@SPACES
def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path, space: str) -> None:
    page = page_of(write_run(tmp_path, space))
    assert "default-src 'none'" in page
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in page


@SPACES
def test_ids_are_unique_and_every_reference_finds_one(tmp_path: Path, space: str) -> None:
    page = page_of(write_run(tmp_path, space))
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(ids)


def test_every_picture_says_what_it_shows(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path))
    pictures = re.findall(r"<svg [^>]*>", page)
    assert len(pictures) == 8
    assert all('role="img" aria-label="' in picture and "viewBox" in picture for picture in pictures)
    assert page.count("<figcaption>") == page.count("<figure") == 6


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    before = dict(rcParams)
    first = report.write(write_run(tmp_path)).read_bytes()
    assert report.write(tmp_path).read_bytes() == first
    assert dict(rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("config.json", "journal.jsonl", "protocol.json", "report.html"),
    ]


def test_members_may_train_in_turns(tmp_path: Path) -> None:
    def thin(rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(row for row in rows if row["call"] == "train_window"):
            if number >= 6:  # half of the members are given up, the others train one after the other
                kept = [number % 2]
                row.update({key: [row[key][k] for k in kept] for key in row if key not in ("call", "seconds")})

    edit_journal(write_run(tmp_path), thin)
    run = report.read(tmp_path)
    assert (~np.isnan(run.columns["reward"])).sum(0).tolist() == [8, 8, 6, 6]
    assert (run.actions[6:, 2:] == -1).all()
    text = text_of(page_of(tmp_path))
    assert f"with 4 members for 8 windows: {28 * 2504:,} environment steps" in text


@pytest.mark.parametrize(("members", "windows"), [(1, 1), (1, 3), (2, 1)])
def test_the_smallest_search_has_a_page(tmp_path: Path, members: int, windows: int) -> None:
    text = text_of(page_of(write_run(tmp_path, members=members, windows=windows)))
    assert f"with {members} member{'s' * (members > 1)} for {windows} window{'s' * (windows > 1)}:" in text


def test_other_calls_and_a_half_written_line_do_not_disturb(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path))
    edit_journal(tmp_path, lambda rows: rows.append({"call": "fork", "source": 0, "target": 1}))
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"check": "0000')
    assert page_of(tmp_path) == page


@pytest.mark.parametrize("name", ["config.json", "journal.jsonl"])
@pytest.mark.parametrize("content", [None, "", "{}", "[1]\n", '{"half": '])
def test_a_folder_that_is_no_run_is_refused_in_one_sentence(tmp_path: Path, name: str, content: str | None) -> None:
    write_run(tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"^(report: |journal: |.*config\.json is damaged: ).*\.$"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_an_altered_journal_is_refused(tmp_path: Path) -> None:
    journal = write_run(tmp_path) / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"env_steps": [2504', '"env_steps": [9504', 1))
    with pytest.raises(ValueError, match="was altered"):
        report.write(tmp_path)
