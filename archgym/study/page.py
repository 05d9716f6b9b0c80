"""One self-contained HTML page about a study, in the order of a paper; everything on it comes from `study.json` alone.

Figures are `curves` (lines over windows or steps, with bands), `values` (one row per arm, with intervals and single
seeds) or `differences` (one row per comparison, with intervals, around 0).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from archgym.pages.charts import Curve, Look, draw_curves, draw_intervals, height, looks
from archgym.pages.drawing import LARGE, MUTED, draw_differences
from archgym.pages.page import HALF, SIGNS, WIDE, breakable, document, figure, listing, save, table

SWITCHING = (
    "Switches: share of the windows whose network differs from the one before; oscillates: share of the windows that "
    "go back to the network before the last (A, B, A)."
)
WORDS = {"yes": "✓ yes", "no": "✗ no", "undecided": "○ undecided"}
NEEDED = {
    "study": str,
    "title": str,
    "source": str,
    "question": str,
    "method": list,
    "arms": list,
    "tables": list,
    "figures": list,
    "answers": list,
    "limits": list,
    "seeds": list,
    "command": str,
    "args": dict,
    "machine": dict,
    "versions": dict,
    "failures": list,
}
STYLE = """
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); gap: 10px }
.answers div { border: 1px solid var(--rule); border-left: 4px solid var(--muted); border-radius: 8px;
  padding: 10px 14px; break-inside: avoid } .answers b { display: block }
.answers .yes { border-left-color: #0072b2 } .answers .no { border-left-color: #d55e00 }
.source { color: var(--muted) } td:not(:first-child) { white-space: nowrap } td.text { white-space: normal }
.study td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8em }
.study td, .study th { padding-right: 9px }
.failed { border: 2px solid var(--chosen); border-radius: 8px; padding: 10px 14px; margin: 16px 0 }
@media (max-width: 600px) { td.text { min-width: 18em } }
"""


def write(folder: Path) -> Path:
    """Write the page of a study as its `report.html`.

    Returns:
        The page's path.

    Raises:
        ValueError: If `study.json` is missing or damaged.
    """
    path = folder / "study.json"
    if not path.exists():
        raise ValueError(f"report: expected a study.json in {folder}, found none.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"report: expected the numbers of a study in {path}, found no JSON: {error}.") from None
    for name, kind in NEEDED.items():
        if not isinstance(content, dict) or not isinstance(content.get(name), kind):
            raise ValueError(f"report: {path} is damaged: expected {name!r}, a {kind.__name__}.")
    return save(folder, render(content))


def render(content: Mapping[str, Any]) -> str:
    """Build the page."""
    parts = [f'<h1>{escape(content["title"])}</h1><p class="source">{escape(content["source"])}</p>']
    parts += [f"<h2>Question</h2><p>{escape(content['question'])}</p>", _short(content["answers"])]
    parts += [_failures(content["failures"]), "<h2>Method</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in content["method"]]
    parts += [_arms(content["arms"]), "<h2>Results</h2>", *map(_table, content["tables"])]
    style = looks(*([arm["name"] for arm in content["arms"] if arm["control"] == kind] for kind in (False, True)))
    drawn = (_figure(one, style) for one in content["figures"])
    parts += [f'<div class="two">{"".join(drawn)}</div>', "<h2>Answers</h2>", *map(_answer, content["answers"])]
    parts += ["<h2>What this does not say</h2>", *(f"<p>{escape(text)}</p>" for text in content["limits"])]
    parts += [f"<h2>To do it again</h2><pre>{escape(content['command'])}</pre>"]
    parts += [listing("Settings", content["args"]), listing("Machine", content["machine"])]
    parts += [listing("Versions", content["versions"])]
    seeds = ", ".join(map(str, content["seeds"]))
    parts.append(f'<p class="note">Seeds of the repeats: {escape(seeds)}.</p>')
    return document(content["title"], [part for part in parts if part], STYLE)


def comparison_said(row: Mapping[str, Any]) -> str:
    """Write one comparison as a line."""
    return f"{row['arm']} against {row['against']}: {interval(row)} {_verdict(row)}"


def interval(found: Mapping[str, Any], digits: int = 3) -> str:
    """Write a number with its interval, or of how `few` there are for one; large ones without decimals."""
    largest = max(abs(found[name] or 0.0) for name in ("value", "low", "high"))
    digits = 0 if largest >= LARGE else digits
    value = f"{found['value']:,.{digits}f}"
    if found["low"] is not None:
        return f"{value} [{found['low']:,.{digits}f}, {found['high']:,.{digits}f}]"
    return f"{value} [no interval: {found['few']}]" if "few" in found else value


def _verdict(row: Mapping[str, Any]) -> str:
    """Write a verdict, and say so where lower values are better."""
    return SIGNS[row["verdict"]] + ("" if row.get("higher", True) else " (lower is better)")


def _short(answers: Sequence[Mapping[str, Any]]) -> str:
    """The answers, each in a box."""
    boxes = (
        f'<div class="{escape(one["answer"].split()[0])}"><b>{escape(WORDS.get(one["answer"], one["answer"]))}</b>'
        f"{escape(one['claim'])}</div>"
        for one in answers
    )
    return f'<h2>Short answers</h2><div class="answers">{"".join(boxes)}</div>'


def _failures(failures: Sequence[Mapping[str, str]]) -> str:
    if not failures:
        return ""
    items = "".join(f"<li><b>{escape(one['job'])}</b>: {escape(one['reason'])}</li>" for one in failures)
    text = "What failed is left out of every number below."
    return f'<div class="failed" role="alert"><p>{text}</p><ul>{items}</ul></div>'


def _arms(arms: Sequence[Mapping[str, Any]]) -> str:
    """What was compared."""
    rows = "".join(
        f'<tr><td>{breakable(arm["name"])}</td><td class="text">{escape(arm["text"])}<br>'
        f"<code>{escape(arm['command'])}</code></td></tr>"
        for arm in arms
    )
    return f'<h2>Arms</h2><div class="scroll study"><table><tr><th>arm</th><th>what it is</th></tr>{rows}</table></div>'


def _table(own: Mapping[str, Any]) -> str:
    body = table(own["header"], own["rows"], names=True)
    return f'<h3>{escape(own["title"])}</h3><div class="study">{body}</div><p class="note">{escape(own["note"])}</p>'


def _figure(own: Mapping[str, Any], style: Mapping[str, Look]) -> str:
    rows = own["rows"]
    draw: Callable[[Axes], None]
    if own["kind"] == "curves":
        curves = {arm: _curve(*lines) for arm, lines in rows.items()}
        draw = partial(draw_curves, curves=curves, style=style, across=own["across"], up=own["up"])
        return figure(own["title"], own["caption"], draw, (WIDE, 3.8))
    ends = {name: tuple(row[:3]) for name, row in rows.items()}
    if own["kind"] == "values":
        singles = {name: row[3] for name, row in rows.items()}
        draw = partial(draw_intervals, rows=ends, style=style, label=own["label"], searches=singles)
    else:
        colors = {name: style[name].color if name in style else MUTED for name in rows}  # not all are arms
        draw = partial(draw_differences, intervals=ends, label=own["label"], colors=colors)
    return figure(own["title"], own["caption"], draw, (HALF, height(list(rows))))


def _curve(x: list[float], mean: list[float], low: list[float] | None, high: list[float] | None) -> Curve:
    ends = (None if one is None else np.array(one, dtype=np.float64) for one in (low, high))
    return Curve(np.array(x, dtype=np.float64), np.array(mean, dtype=np.float64), *ends)


def _answer(one: Mapping[str, Any]) -> str:
    """A claim, what was compared, and what follows."""
    rows = [(row["arm"], row["against"], interval(row), _verdict(row)) for row in one["rows"]]
    parts = [f"<h3>{escape(one['claim'])}: {escape(WORDS.get(one['answer'], one['answer']))}</h3>"]
    parts.append(f"<p>{escape(one['measured'])}</p>")
    if rows:
        header = ["arm", "against", f"difference ({100 * one['level']:.4g} %)", "verdict"]
        parts.append(f'<div class="study">{table(header, rows)}</div>')
    return "".join(parts) + (f'<p class="note">{escape(one["note"])}</p>' if one.get("note") else "")
