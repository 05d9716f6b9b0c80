"""One self-contained HTML page about a recorded table; everything on it comes from `describe.json` alone."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from archgym.pages.page import count, document, figure, listing, number, save
from archgym.table_describe.drawing import MOST_NAMED, draw_bands, draw_curves, draw_heat_map, draw_shares
from archgym.table_describe.layout import KINDS, grids, remarks, swamped, verdict

WIDE, HALF = 9.4, 4.7  # inches of figures
MOST_SHARES = 14  # bars of one figure
EXPLAINED = {
    "scores": "area: the mean normalised return over the whole curve; last fifth: that over its last fifth; both of "
    "episodes with exploration. Greedy: the newest greedy evaluation, without.",
    "repeatability": "intraclass correlation: the share of the variance of single curves' scores that is between "
    "architectures (ICC(2,1) of Shrout and Fleiss). 0: the seeds decide, 1: the architecture does. The first window's "
    'return is all that an environment with `transfer="fresh"` draws from.',
    "its rank": "of the default among the architectures by their mean scores, 1 the best, with an interval that ranks "
    "anew on the seeds that are drawn.",
    "Share of the variance": "functional analysis of variance of the mean scores. A single choice's share is what it "
    "explains beside all others, a pair's what it explains beside all single choices; the noise of the seeds is "
    "taken off, so that a share can fall below 0, which is shown as 0; none are given by a score by which the seeds "
    "swamp the architectures. Where a choice decides whether others matter (a depth, of widths), its share is what it "
    "explains beside the choices that do not hang on it; theirs is what they explain where they matter.",
    "Margin over the default": "the best architecture is chosen on the search seeds and judged on the test seeds; the "
    "interval is of this one network. Where it was chosen it looks better than it is (the winner's curse). The rule "
    "behind it chooses on one half of the seeds and judges on the other: its mean over all ways to halve them, and an "
    "interval in which the choice is made anew as well.",
    "Kendall's tau": "1: two rankings agree, 0: they have nothing to do with each other. Budgets and final scores, and "
    "scores on other seeds, never share a seed. A short budget is the first part of the long training, with its "
    "schedule, and no training that was planned to be short. The broken line tells how well the score itself repeats "
    "on other seeds; means over more windows are less noisy, so some can rank better than that.",
    "Shared weights": "greedy returns with the weights of one supernet that was trained on uniformly drawn "
    "architectures, at several of its ages. `one supernet`: tau and regret by the scores of one, mean over the "
    "supernets; `mean of`: those by the mean of their scores. Yardsticks are a single training of every architecture "
    "from scratch: its newest greedy evaluation, of as few episodes as a supernet's score, and the score itself; seeds "
    "of one half of the table rank for the mean of the other half, so that no seed ranks for itself. Supernets rank "
    "for the mean of all seeds. Regrets are distances to a maximum over noisy means, and too high by that; so are "
    "those of random guesses.",
    "Seeds needed": "trainings from scratch of each of two architectures with which Welch's test finds the difference "
    "with a probability of 80 %, at the level 5 %, by the normal theory of the test. The intervals are those of the "
    "difference; `or more`: at the interval's other end there is no advantage.",
    "95 % intervals": "bootstrap that draws the table's seeds anew (all architectures together), centred on the "
    "estimate and stretched as Student's t asks for so few seeds. Of a mean of 5 normal scores they cover the truth in "
    "95 of 100 cases, of 5 skewed ones (exponential, lognormal) in 87 and 82. Differences between two named "
    "architectures have Student's interval over the seeds, and so have the bands of learning curves.",
}
STYLE = """
.verdict { border-left: 4px solid var(--chosen); padding: 4px 14px; font-size: 16px }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 9em }
td:not(:first-child) { white-space: nowrap }
"""


def write(folder: Path, content: dict[str, Any]) -> Path:
    """Write the page of a description as its `report.html`; gives its path."""
    return save(folder, render(content))


def render(content: dict[str, Any]) -> str:
    """Build the page."""
    title = f"Recorded table: {content['space']} on {content['task']}, {content['trainer'].upper()}"
    parts = [f"<h1>{escape(title)}</h1><p>{escape(_summary(content))}</p>"]
    parts.append(f'<p class="verdict">{escape(verdict(content))}</p>')
    parts += [f"<p>{escape(sentence)}</p>" for sentence in remarks(content)]
    parts.append(_curves(content))
    tables = [_table(*grid) for grid in grids(content)]
    parts += [f"<h2>Spread</h2>{tables.pop(0)}{tables.pop(0)}{_heat_map(content)}"]
    parts += [f"<h2>Which choices matter</h2>{tables.pop(0)}{_shares(content)}"]
    parts += [f"<h2>The best architecture</h2>{tables.pop(0)}"]
    parts += [f"<h2>How scores agree</h2>{tables.pop(0)}"]
    parts += [f"<h2>Short budgets</h2>{tables.pop(0)}{_budgets(content)}"]
    if content["shared"]:
        parts += [f"<h2>Shared weights</h2>{tables.pop(0)}{tables.pop(0)}{_shared(content)}"]
    parts += [f"<h2>How many seeds a difference takes</h2>{tables.pop(0)}"]
    words = (f'<p class="note"><b>{escape(word)}</b>: {escape(text)}</p>' for word, text in EXPLAINED.items())
    parts.append(f"<h2>How to read this</h2>{''.join(words)}")
    command = f"archgym table describe {content['asked']} --draws {content['draws']} --seed {content['seed']}"
    made = f"<h2>To do it again</h2><pre>{escape(content['card']['command'])}\n{escape(command)}</pre>"
    parts.append(
        made + listing("Computed with", {**content["card"]["computed"], "checksum": content["card"]["checksum"]})
    )
    return document(title, parts, STYLE)


def _summary(content: dict[str, Any]) -> str:
    """What was recorded, in plain words."""
    search, seeds = content["search_seeds"], content["seeds"]
    return (
        f"{count(content['architectures'], 'architecture')} of the space {content['space']} ({content['sample']}), "
        f"each trained from scratch on {content['task']} for {number(content['steps'])} environment steps "
        f"({content['windows']} windows of {number(content['window_steps'])}), on {seeds} seeds: {search} for "
        f"searches, and {seeds - search} on which they are judged. Scores are normalised returns "
        "(random policy 0, reference 1): the mean over the whole curve (its area), over its last fifth, and of the "
        "newest greedy evaluation."
    )


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One table, its numbers set to the right."""
    head = "".join(f"<th{' class=n' if place else ''}>{escape(name)}</th>" for place, name in enumerate(header))
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if place else ''}>{escape(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<h3>{escape(title)}</h3><div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _curves(content: dict[str, Any]) -> str:
    curves = content["curves"]
    draw = partial(draw_curves, curves=curves, steps=content["steps"], levels=content["levels"])
    names = "; ".join(f"{word}: {curves['labels'][own['row']]}" for word, own in curves["named"].items())
    caption = (
        f"Thin: the mean curve of every architecture, all seeds. Bold: {names} (best and worst by area on the search "
        f"seeds), on the {content['seeds'] - content['search_seeds']} test seeds, which had no part in that choice, "
        "with the 95 % interval of the mean (Student's t), cut off at the lowest and highest return of any window."
    )
    return figure("Learning curves", caption, draw, (WIDE, 3.8))


def _heat_map(content: dict[str, Any]) -> str:
    curves, few = content["curves"], content["architectures"] <= MOST_NAMED
    draw = partial(
        draw_heat_map, areas=curves["areas"], labels=curves["labels"], search_seeds=content["search_seeds"],
        default=curves["named"]["default"]["row"],
    )  # fmt: skip
    caption = (
        "Normalised area under the learning curve, architectures by their mean over all seeds. Rows of one colour: the "
        "architecture decides; speckled rows: the seed does."
    )
    height = 1.0 + 0.15 * content["architectures"] if few else 4.5
    return figure("Scores by architecture and seed", caption, draw, (WIDE, height))


def _shares(content: dict[str, Any]) -> str:
    figures = []
    for kind, words in KINDS.items():
        if swamped(content, kind):
            continue  # shares of nothing
        rows = sorted(content["choices"][kind]["shares"], key=lambda row: -row["value"])[:MOST_SHARES]
        named = [(" x ".join(row["choices"]), row, len(row["choices"]) == 1) for row in rows]
        more = "" if len(rows) == len(content["choices"][kind]["shares"]) else f" The first {len(rows)}."
        caption = f"Blue: single choices; grey: pairs beyond their single choices. Lines: 95 % intervals.{more}"
        draw = partial(draw_shares, rows=named)
        figures.append(figure(f"Shares of choices, {words}", caption, draw, (HALF, 0.8 + 0.22 * len(rows))))
    return f'<div class="two">{"".join(figures)}</div>'


def _budgets(content: dict[str, Any]) -> str:
    own = content["budgets"]
    draw = partial(
        draw_bands, x=own["steps"], series={KINDS[kind]: own[kind] for kind in KINDS}, across="steps (logarithmic)",
        up="Kendall's tau", levels={KINDS[kind]: own["again"][kind]["value"] for kind in KINDS}, logarithmic=True,
    )  # fmt: skip
    caption = (
        "Rank correlation of the mean return up to a budget, the first part of the long training, with the final score "
        "on seeds of the other half. Broken: how well the final score repeats on the other half."
    )
    return figure("How well a short budget ranks", caption, draw, (WIDE, 3.1))


def _shared(content: dict[str, Any]) -> str:
    own = content["shared"]
    across = "environment steps of the supernet"
    ages, area, together = slice(len(own["steps"])), own["area"], f"mean of {own['seeds']}"
    series = {"one supernet": area["one"]["tau"][ages], together: area["mean"]["tau"][ages]}
    taus = partial(
        draw_bands, x=own["steps"], series=series, across=across, up="Kendall's tau (area)",
        levels={"from scratch": area["scratch"]["tau"][0]["value"], "no relation": 0.0},
    )  # fmt: skip
    left = figure(
        "Shared weights against training from scratch",
        f"Rank correlation with the area, by one supernet (mean of {own['seeds']} such correlations) and by the mean "
        f"of {count(own['seeds'], 'supernet')}. Broken: by one greedy evaluation after training from scratch.",
        taus,
        (HALF, 3.0),
    )
    names = [f"best of {top}" if top > 1 else "the first" for top in own["top"]]
    lost = partial(
        draw_bands, x=own["steps"], across=across, up="regret (area)",
        series={name: regret[ages] for name, regret in zip(names, area["one"]["regret"], strict=True)},
        levels=dict(zip(names, area["random"], strict=True)),
    )  # fmt: skip
    right = figure(
        "Regret of the first k by shared weights",
        "Distance of the best of the k that one supernet ranks highest to the best of all, in area, mean of "
        f"{count(own['seeds'], 'supernet')}. Broken: k drawn at random.",
        lost,
        (HALF, 3.0),
    )
    return f'<div class="two">{left}{right}</div>'
