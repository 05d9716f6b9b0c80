"""The pieces that pages are made of: their skeleton and style, tables, figures and numbers."""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archgym import files

HALF, WIDE = 4.7, 9.4  # inches of figures
SIGNS = {"better": "▲ better", "worse": "▼ worse", "undecided": "○ undecided"}
NUMERIC = (  # columns of tables that are set to the right
    *("parameters", "FLOPs", "area", "return", "difference", "by seed"),
    *("switch rate", "oscillation"),
    *("searches", "IQM (95 %)", "beats random (95 %)", "p (Holm)", "inner steps"),
    *("greedy at end", "last fifth", "greedy"),
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # no script, and nothing from elsewhere
BROAD = ' class="broad"'  # over the whole width of the page
STYLE = """
:root { color-scheme: light; --ink: #1f2a36; --muted: #5b6875; --rule: #dfe4ea; --data: #0072b2; --chosen: #d55e00 }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 28px 20px 48px; background: #fff; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em }
h2 { font-size: 18px; margin: 34px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule) }
h3 { font-size: 15px; margin: 20px 0 6px } p { margin: 0 0 10px; max-width: 85ch }
.note, figcaption, small, th, dt { color: var(--muted) } .note, figcaption { font-size: 13.5px; max-width: 85ch }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace }
code, pre { overflow-wrap: anywhere } pre { background: #f5f7f9; padding: 10px 12px; white-space: pre-wrap }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px; margin: 20px 0 0 }
.cards div { border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; break-inside: avoid }
.cards .wide { grid-column: 1 / -1; border-left: 4px solid var(--chosen) } .wide code { font-size: 16px }
dt { font-size: 13px } dd { margin: 0; font-size: 22px; line-height: 1.3; font-variant-numeric: tabular-nums }
dd small { display: block; font-size: 12.5px; line-height: 1.4; margin-top: 2px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px 32px }
.two .broad { grid-column: 1 / -1 } .two > * { min-width: 0 }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); gap: 14px 24px }
figure { margin: 4px 0; break-inside: avoid } figcaption { margin-top: 6px } .scroll { overflow-x: auto }
svg { display: block; width: 100%; height: auto } svg text { font-family: inherit !important }
table { border-collapse: collapse; font-size: 14px; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 500 } th, td { padding: 5px 16px 5px 0; vertical-align: top }
tr, .reign { border-bottom: 1px solid var(--rule); break-inside: avoid } .n { text-align: right }
.n, td:first-child { white-space: nowrap } .scroll + .note { margin-top: 8px }
.pairs { columns: 310px; column-gap: 32px; list-style: none; margin: 0; padding: 0; font-size: 14px }
.pairs li { display: flex; justify-content: space-between; gap: 14px; padding: 2px 0; break-inside: avoid }
.pairs code { text-align: right } .reign i, .key { border-radius: 2px }
.bar { display: flex; height: 16px; border-radius: 4px; overflow: hidden; margin: 8px 0; gap: 2px }
.keys { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13.5px; padding: 0; margin: 0; list-style: none }
.key { display: inline-block; width: 10px; height: 10px; margin-right: 6px }
.reign { display: grid; grid-template-columns: minmax(0, 4fr) minmax(0, 5fr); gap: 4px 20px; padding: 7px 0 }
.track { position: relative; height: 12px; background: #f0f3f6; border-radius: 3px; margin-top: 4px }
.track i { position: absolute; height: 100%; background: var(--data) } .now i { background: var(--chosen) }
.ramp { display: inline-block; width: 110px; height: 10px; border-radius: 2px; margin: 0 6px;
  background: linear-gradient(90deg, #f3f6f9, #8fc1e0, #0072b2, #003a5c) }
@media (max-width: 600px) { body { padding: 18px 14px 32px } .cards { grid-template-columns: 1fr 1fr }
  .cards div { padding: 8px 10px } dd { font-size: 19px } .reign { grid-template-columns: 1fr }
  .broad svg { min-width: 600px } .a { min-width: 26em } }
@media print { body { max-width: none; padding: 0; font-size: 12px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact } h2 { margin-top: 20px } h2, h3 { break-after: avoid } @page { margin: 15mm }
  .two { grid-template-columns: 1fr 1fr } .maps { grid-template-columns: repeat(4, 1fr) } table { font-size: 10.5px }
  .n { white-space: normal } td, th { padding-right: 10px } .note, figcaption, .keys { font-size: 11px } }
"""


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """Build a page from its parts; a style of its own comes after that of all pages."""
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style>"
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def save(folder: Path, text: str) -> Path:
    """Write a page as the `report.html` of its folder, wholly or not at all."""
    return files.write(folder / "report.html", text.encode())


def listing(title: str, pairs: Mapping[str, Any]) -> str:
    """List names with their values."""
    items = (f"<li>{escape(key)} <code>{escape(json.dumps(value))}</code></li>" for key, value in pairs.items())
    return f'<h3>{escape(title)}</h3><ul class="pairs">{"".join(items)}</ul>'


def breakable(name: str) -> str:
    """Escape a name of several parts, so that a narrow column may break it between them."""
    return "<wbr>".join(escape(part) for part in re.split(r"(?<=[:,_=])", name))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, names: bool = False) -> str:
    """Build a table from plain text; its first column may hold long names, which it then breaks between their parts."""
    kinds = [' class="n"' if name in NUMERIC else ' class="a"' if name == "architecture" else "" for name in header]
    first = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, header, strict=True))
    lines = [
        "".join(
            f"<td{kind}>{breakable(cell) if names and not place else escape(cell)}</td>"
            for place, (kind, cell) in enumerate(zip(kinds, row, strict=True))
        )
        for row in rows
    ]
    return f'<div class="scroll"><table><tr>{first}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def figure(title: str, caption: str, draw: Callable[[Axes], None], inches: tuple[float, float] = (4.7, 3.1)) -> str:
    """Build a figure with its caption from what draws it; inches are width and height."""
    kind = BROAD if inches[0] > 8 else ""
    text = f"<figcaption><b>{escape(title)}.</b> {escape(caption)}</figcaption>"
    return f'<figure{kind}><div class="scroll">{svg(title, draw, inches)}</div>{text}</figure>'


def svg(title: str, draw: Callable[[Axes], None], inches: tuple[float, float]) -> str:
    """Draw into an SVG element whose text stays text; the title keeps its ids apart from those of other figures."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    opening, rest = stream.getvalue().split("<svg ", 1)[1].split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    rest = re.sub(r' id="(?!C[0-9a-f]+_)[A-Za-z][\w.]*_\d+"', "", rest)  # figure_1, axes_1: the same in every figure
    return f'<svg role="img" aria-label="{escape(title)}" {box[0] if box else ""}>{rest}'


def number(value: float) -> str:
    """Write a number for reading."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def percent(values: NDArray[np.float64]) -> str:
    """Write the mean of shares as a percentage."""
    return f"{100 * float(np.nanmean(values)):.3g} %" if values.size else "none"


def count(number: int, thing: str) -> str:
    """Write how many things there are."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
