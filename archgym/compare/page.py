"""One self-contained HTML page about a comparison: no scripts, no fonts and no pictures from elsewhere.

Everything on it comes from `compare.json` alone, and the same file gives the same bytes. One function per section, in
the order of the page; the two scoreboards are in `archgym.compare.board`, what words mean in
`archgym.compare.page_words`, what is drawn in `archgym.pages.charts`.
"""

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from archgym.compare import page_planted, page_tabular, page_words
from archgym.compare.board import (
    LEVEL,
    TITLES,
    bands,
    controls_of,
    mean_curve,
    present,
    ranked,
    section,
)
from archgym.compare.comparison import FIXED, RANDOM
from archgym.compare.content import is_planted, read
from archgym.compare.scoreboard import pair_of, verdict
from archgym.compare.stats import enough_draws, smallest_p_value
from archgym.pages.charts import Curve, Look, draw_costs, draw_curves, height, looks
from archgym.pages.page import HALF, SIGNS, WIDE, breakable, count, document, figure, listing, number, save

MOST_NAMED = 5  # agents that the summary names one by one
TRANSFERS = {
    "shared": "a new architecture inherits the weights that it shares with those before it",
    "matching": "a new architecture inherits the layers whose shape matches, and starts afresh in all others",
    "restart": "a new architecture inherits no weights, but the replay",
    "net2net": "a new architecture computes what the one before it did, where it is as wide and as deep",
    "distil": "a new architecture inherits the layers whose shape matches, and is taught what the one before it knew",
    "own": "every architecture keeps weights of its own and goes on with them when it comes back",
    "fresh": "nothing is carried over",
}
STYLE = """
.failed { border: 2px solid var(--chosen); border-radius: 8px; padding: 10px 14px; margin: 16px 0 }
.failed h2 { border: 0; margin: 0 0 6px; padding: 0 } .failed ul { margin: 0; padding-left: 18px }
.verdicts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 12px }
.verdicts > div { border: 1px solid var(--rule); border-radius: 8px; padding: 12px 16px; break-inside: avoid }
.verdicts h3 { margin: 0 0 4px } .verdicts table { margin-bottom: 8px } .verdicts tr { border: 0 }
.verdicts td { padding-bottom: 1px; overflow-wrap: anywhere } .verdicts td:first-child { width: 8em }
.verdicts > p { grid-column: 1 / -1 } .verdicts div p { margin: 6px 0 2px; font-size: 13.5px; color: var(--muted) }
.board { border-top: 4px solid var(--ink); margin-top: 40px } .board h2 { border: 0; margin-top: 0; font-size: 21px }
.board td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 12em }
.board td, .board th { padding-right: 14px }
.board tr td:not(:first-child):not(.a) { white-space: nowrap }
.board figure, .board h3 { margin-top: 20px } .board .two { margin-top: 12px }
.single { max-width: 540px }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(158px, 1fr)); gap: 14px 16px }
.small > div { min-width: 0; display: flex; flex-direction: column; justify-content: flex-end }
.small span { font-size: 12.5px; line-height: 1.25; overflow-wrap: anywhere }
.matrix table { width: auto } .matrix th, .matrix td { padding: 4px 3px; text-align: center }
.matrix tr > :first-child { text-align: left; position: sticky; left: 0; background: #fff; padding-left: 0;
  font-weight: 400; color: var(--ink); min-width: 9em; max-width: 17em; overflow-wrap: anywhere }
.matrix td { border-left: 2px solid #fff } .matrix small { display: block; font-size: 10.5px; min-width: 54px }
.matrix .d { font-weight: 700 } .matrix td small { color: var(--ink); white-space: nowrap; font-weight: 400 }
@media (max-width: 600px) { .board td:first-child { min-width: 9em } .matrix tr > :first-child { min-width: 8em } }
@media print { .small { grid-template-columns: repeat(4, 1fr) } .board td, .board th { padding-right: 8px } }
"""


def write(folder: Path) -> Path:
    """Write the page of a comparison as its `report.html`.

    Returns:
        The page's path.

    Raises:
        ValueError: If `compare.json` is missing or damaged.
    """
    return save(folder, render(read(folder)))


def render(content: dict[str, Any]) -> str:
    """Build the page."""
    tasks, arms = content["tasks"], content["plan"]["arms"]
    title = f"Comparison of {count(len(arms), 'agent')} on {_listed(tasks)}"
    style = looks(_best_first(content), controls_of(content))
    parts = [f"<h1>{escape(title)}</h1><p>{escape(_summary(content))}</p>", _failures(content["failures"])]
    parts += [_verdicts(content), *(section(content, name, style) for name in TITLES)]
    parts.append(page_tabular.regret(content, style) if "table" in content else _regret(content, style))
    parts += [_costs(content, style), page_words.reading(content), _again(content["plan"])]
    return document(title, parts, STYLE)


def _summary(content: dict[str, Any]) -> str:
    """What was compared, in plain words."""
    args, arms, seeds = content["plan"]["args"], content["plan"]["arms"], content["seeds"]
    members, windows = args["num_envs"], args["windows"]
    spent = [round(steps) for steps in content["boards"]["lifetime"]["steps"].values() if steps is not None]
    length, total = f"of {number(args['window_steps'])} inner steps", ""
    verb = "took"
    if is_planted(content):
        length, verb = f"that stand for {number(args['window_steps'])} inner steps each", "counts"
    if spent:
        ends = number(min(spent)) if min(spent) == max(spent) else f"{number(min(spent))} to {number(max(spent))}"
        total = f"; a search {verb} {ends} inner steps in all, greedy evaluations included"
    transfer = TRANSFERS.get(args["transfer"], "what a new architecture inherits follows a rule of its own")
    inherits = f"Between windows, {transfer} (transfer: {args['transfer']})."
    if "table" in content:
        inherits = page_tabular.inherits(args["transfer"])
    elif is_planted(content):
        inherits = page_planted.INHERITS
    named = _listed(arms) if len(arms) <= MOST_NAMED else f"{len(arms)} agents"
    where = ("" if len(content["tasks"]) == 1 else "each of ") + _listed(content["tasks"])
    searches = "1 search" if len(seeds) == 1 else f"{len(seeds)} searches"
    return (
        f"{named} searched the space {args['space']} in {args['env_id']} on {where}, with {searches} each "
        f"({_spans(seeds)}, the same for all). In a search, one agent leads {count(members, 'lifetime')} side by side "
        f"(K = {members}) through {count(windows, 'window')} {length}{total}. {inherits} All agents have the same "
        "windows, and the same inner steps for greedy evaluations. What a search recommends was "
        f"{_judged(content)} for {_trained_steps(content)} inner steps on {count(args['retrain_seeds'], 'seed')} of "
        f"its own. {RANDOM} and {FIXED} are controls. Returns are normalised "
        "(random policy 0, reference 1); higher is better."
    )


def _judged(content: dict[str, Any]) -> str:
    if is_planted(content):
        return page_planted.JUDGED
    return "looked up as it was trained from scratch" if "table" in content else "trained from scratch"


def _trained_steps(content: dict[str, Any]) -> str:
    """Say how long a training from scratch was: whole windows, of a length that tasks need not have in common."""
    steps = content["trained_steps"]
    if len(set(steps.values())) == 1:
        return number(next(iter(steps.values())))
    return _listed([f"{number(own)} ({task})" for task, own in steps.items()])


def _failures(failures: list[dict[str, str]]) -> str:
    """What went wrong, with its traces."""
    if not failures:
        return ""
    items = (
        f"<li><b>{escape(str(one.get('job')))}</b>: {escape(str(one.get('reason')))}"
        f"<details><summary>trace</summary><pre>{escape(str(one.get('trace')))}</pre></details></li>"
        for one in failures
    )
    text = "What failed is left out of every number below. Compare with care: an arm may fail where it is bad."
    head = f"<h2>{count(len(failures), 'job')} failed</h2><p>{text}</p>"
    return f'<div class="failed" role="alert">{head}<ul>{"".join(items)}</ul></div>'


def _verdicts(content: dict[str, Any]) -> str:
    """Who is better and who is worse than the controls, on each board; that nobody is, is said as well."""
    cards = []
    for name, title in TITLES.items():
        board, parts = content["boards"][name], [f"<h3>{title}</h3>"]
        references = [RANDOM, *board.get("controls", {}).values()]
        tested = [arm for arm in content["plan"]["arms"] if arm != RANDOM]
        for reference in references:
            found: dict[str, list[str]] = {"better": [], "worse": [], "undecided": [], "no test": []}
            for arm in tested:
                found[verdict(pair_of(board["pairs"], arm, reference)).replace("-", "no test")].append(arm)
            rows = (
                f"<tr><td>{escape(SIGNS.get(kind, kind))}</td><td>{'<b>' if kind in ('better', 'worse') else ''}"
                f"{', '.join(map(breakable, arms)) or 'none'}{'</b>' if kind in ('better', 'worse') else ''}</td></tr>"
                for kind, arms in found.items()
                if arms or kind != "no test"
            )
            words = f"against {reference}{_explained(content, reference)}"
            parts.append(f"<p>{escape(words)}</p><table>{''.join(rows)}</table>")
        cards.append(f"<div>{''.join(parts)}</div>")
    note = (
        f"Verdicts at the level {LEVEL}, with p values corrected for all pairs of a board (Holm). Undecided does not "
        "mean equal: these searches do not tell."
    )
    blind = f"<p><b>{escape(_power(content))}</b></p>" if _power(content) else ""
    cards.append(f'<p class="note">{escape(note)}</p>')
    return f'<h2>Verdicts</h2>{blind}<div class="verdicts">{"".join(cards)}</div>'


def _power(content: dict[str, Any]) -> str:
    """Say where no score whatever could have been decided."""
    blind: list[str] = []
    if "table" in content:  # whose p values come from resamples, as many as it takes
        return ""
    for name, title in TITLES.items():
        board = content["boards"][name]
        most = max(row["searches"] for row in board["statistics"].values())
        draws = enough_draws(len(board["statistics"]))
        lowest = len(board["pairs"]) * smallest_p_value(most, len(content["tasks"]), draws=draws)
        if not board["pairs"]:
            blind.append(f"{title}: no test without two searches of two arms.")
        elif lowest >= LEVEL:
            blind.append(
                f"{title}: with {most} searches of an arm and {len(board['pairs'])} pairs no p value can fall below "
                f"{min(1, lowest):.2g}, whatever the scores: only more seeds can decide."
            )
    return " ".join(blind)


def _regret(content: dict[str, Any], style: Mapping[str, Look]) -> str:
    """How far the incumbent was from the best architecture, where that is known."""
    known = {arm: [[one for one in row if one] for row in rows] for arm, rows in content["regret"].items()}
    parts = ["<h2>Regret</h2>"]
    if not any(present(rows) for rows in known.values()):
        parts.append(
            "<p>Not known: these lifetimes are really trained, so that the best architecture's true return is unknown. "
            "Regret is shown for comparisons on a planted landscape or on a table, where it is known.</p>"
        )
        return "".join(parts)
    parts.append(
        "<p>Distance of the incumbent's true return to that of the best architecture, which is known here; lower is "
        "better, 0 is found.</p>"
    )
    for place, task in enumerate(content["tasks"]):
        over: dict[str, dict[str, Curve]] = {"steps": {}, "seconds": {}}
        for arm in [arm for arm in style if known.get(arm) and known[arm][place]]:
            found = known[arm][place]
            values = np.array([one["values"] for one in found], dtype=np.float64)
            for unit, curves in over.items():
                curves[arm] = mean_curve(np.mean([one[unit] for one in found], axis=0), values)
        if not over["steps"]:
            parts.append(f'<p class="note">{escape(task)}: not known.</p>')
            continue
        words = {
            "steps": ("inner steps", "of a search", ""),
            "seconds": (
                "wall-clock seconds",
                "of a search (logarithmic)",
                " Seconds: mean over the searches at the same window. Where regret is known, returns are looked up or "
                "computed, so that these are nearly all the agents' own decisions, not training.",
            ),
        }
        firsts = [curve.x[0] for arm, curve in over["seconds"].items() if arm != FIXED]
        ends = [curve.x[-1] / 2 for curve in over["seconds"].values()]  # no line ends before the axis begins
        begin = min(firsts + ends)
        for unit, curves in over.items():
            name, rest, more = words[unit]
            draw = partial(
                draw_curves, curves=curves, style=style, across=f"{name} {rest}", up="regret of the incumbent",
                logarithmic=unit == "seconds", floor=0.0, left=begin if unit == "seconds" else None,
            )  # fmt: skip
            title = f"Regret over {name} on {task}"
            parts.append(figure(title, f"Mean over the searches{bands(content, style)}{more}", draw, (WIDE, 3.1)))
    return "".join(parts)


def _costs(content: dict[str, Any], style: Mapping[str, Look]) -> str:
    """What decisions cost."""
    known = {arm: cost["decision_ms"] for arm, cost in content["cost"].items() if cost["decision_ms"]}
    if not known:
        return "<h2>What decisions cost</h2><p>Not known: no search ended.</p>"
    costs = dict(sorted(known.items(), key=lambda item: item[1]))
    picture = figure(
        "Milliseconds per decision",
        "Median over all windows of all searches: what the agent takes to decide on a window of all members, and to "
        "learn from it. Inner training is not counted.",
        partial(draw_costs, costs=costs, style=style),
        (HALF, height(list(costs))),
    )
    return f'<h2>What decisions cost</h2><div class="single">{picture}</div>'


def _again(plan: dict[str, Any]) -> str:
    """The command, the settings and the versions."""
    words = ["archgym", "compare", *plan["arms"]]
    looked_up = ("tables", "retrain", "retrain_seeds") if "tables" in plan["args"] else ()
    for name, value in plan["args"].items():
        if name in looked_up:
            continue
        if value is not None and value != [] and value is not False:
            flag = f"--{name.replace('_', '-')}"
            words += [flag, *map(str, value if isinstance(value, list) else [] if value is True else [value])]
    command = f"<h2>To do it again</h2><pre>{escape(shlex.join(words))}</pre>"
    return command + listing("Settings", plan["args"]) + listing("Versions", plan.get("versions", {}))


def _best_first(content: dict[str, Any]) -> list[str]:
    """Order the arms by the better of their places on the two boards: colours go to the best."""
    places: dict[str, int] = {}
    for board in content["boards"].values():
        searching = [arm for arm in ranked(board) if arm not in controls_of(content)]
        for place, arm in enumerate(searching):
            places[arm] = min(places.get(arm, place), place)
    return sorted(places, key=lambda arm: places[arm])


def _explained(content: dict[str, Any], control: str) -> str:
    best_of_k = content["boards"]["recommendation"].get("controls", {}).get("best_of_k")
    return f" (k = {content['best_of_k']})" if control == best_of_k else ""


def _listed(names: Sequence[str]) -> str:
    """Write names as a sentence does."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _spans(seeds: Sequence[int]) -> str:
    """Write seeds that count up as a range."""
    return f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
