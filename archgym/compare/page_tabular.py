"""What the page of a comparison says where windows were looked up in recorded tables."""

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

import numpy as np

from archgym.compare.board import LEVEL, bands
from archgym.compare.comparison import BEST_OF_K
from archgym.compare.scoreboard_tabular import bias_said, said
from archgym.pages.charts import Curve, Look, draw_curves
from archgym.pages.page import WIDE, count, figure, table
from archgym.tabular import LOOKED_UP


def inherits(transfer: str) -> str:
    """Say what a window is, by the transfer."""
    return f"Nothing is trained: windows are looked up in recorded tables, {LOOKED_UP[transfer]}."


def regret(content: dict[str, Any], style: Mapping[str, Look]) -> str:
    """Regret on recorded tables, over simulated cost, and ranks over the tasks."""
    found, tasks = content["table"], content["tasks"]
    header = ["arm", *(f"regret on {task}" for task in tasks), "finds the best", "mean rank (95 %)"]
    rows = [
        (arm, *map(said, own["regret"]), f"{100 * float(np.mean(own['found'])):.0f} %", said(own["rank"], 1))
        for arm, own in sorted(found["final"].items(), key=lambda item: item[1]["rank"]["value"])
    ]
    note = (
        "Distance of what a search recommends to the best architecture of the table, both by their area on the test "
        "seeds, mean over the searches; how many of them recommend that very architecture; and the arm's rank by mean "
        f"regret, 1 the lowest, averaged over the tasks. Lower is better. {bias_said(content)}"
    )
    parts = ["<h2>Regret</h2>", table(header, rows, names=True), f'<p class="note">{escape(note)}</p>']
    arms = [arm for arm in style if found["curves"].get(arm)]
    if not arms:
        return f"{''.join(parts)}<p>Not known: there is no seed that all arms have ended.</p>"
    for place, own in enumerate(found["tasks"]):
        steps, curves = np.array(found["steps"][place], dtype=np.float64), {}
        for arm in arms:
            values = found["curves"][arm][place]
            ends = [None if values[end] is None else np.array(values[end]) for end in ("low", "high")]
            curves[arm] = Curve(steps, np.array(values["mean"]), *ends)
        draw = partial(
            draw_curves, curves=curves, style=style, across="inner steps looked up (logarithmic)",
            up="regret of the incumbent", logarithmic=True, floor=0.0,
        )  # fmt: skip
        caption = (
            f"Mean over the searches of the incumbent's regret on the {own['test_seeds']} test seeds, with its 95 % "
            f"interval, against simulated cost{bands(content, style)}"
        )
        parts.append(figure(f"Regret over simulated cost on {own['task']}", caption, draw, (WIDE, 3.4)))
    if len(tasks) > 1:
        windows = np.array(found["windows"], dtype=np.float64)
        curves = {arm: Curve(windows, np.array(found["ranks"][arm])) for arm in arms}
        draw = partial(draw_curves, curves=curves, style=style, across="windows", up="mean rank", logarithmic=True)
        caption = (
            f"Rank of the arms by the mean regret of their incumbents, averaged over {len(tasks)} tasks; 1 is best."
        )
        parts.append(figure("Average ranks", caption, draw, (WIDE, 3.4)))
    return "".join(parts)


def words(content: dict[str, Any]) -> dict[str, str]:
    """What words mean on recorded tables."""
    found = content["table"]
    recorded = "; ".join(
        f"{own['file']} ({count(own['architectures'], 'architecture')}, {own['search_seeds']} search seeds and "
        f"{own['test_seeds']} test seeds, {count(own['windows'], 'window')} each)"
        for own in found["tasks"]
    )
    drawn = count(content["best_of_k"], "random architecture")
    meanings = {
        "95 % interval": f"two-level bootstrap. The searches are dealt out to {found['worlds']} worlds, tables whose "
        "search seeds were drawn anew with replacement. A resample picks a world and draws a share of the searches "
        "from it, so large that resampled means spread as the worlds do, the rest from all; and it draws the test "
        f"seeds anew. {found['draws']:,} resamples, stretched by Student's t for the number of seeds. On simulated "
        "tables with 5 search and 5 test seeds they cover mean scores in 84 to 99 of 100 cases, regrets in 95 to 99, "
        "means over a lifetime in 87 to 98, and probabilities of improvement in 98 or more.",
        "p and Holm": "two-sided, from the share of stretched resamples on the other side of ½. Each board tests all "
        f"its pairs; Holm's correction keeps the probability of even one false verdict on a board at most {LEVEL}.",
        "Common random numbers": "all arms run on the same seeds in the same worlds, and are judged on the same test "
        "seeds: arms that recommend the same architecture have the same score there.",
        BEST_OF_K: f"no search: {drawn} of the table (k = {content['best_of_k']}, as many as a search's inner steps "
        "pay for), one recorded curve of each; the one with the largest area is the recommendation.",
        "Tables": recorded,
        "Best architecture": "the one with the largest area on the test seeds. That is itself a maximum over noisy "
        "means: `archgym table describe` tells how far it can be trusted.",
    }
    if content["plan"]["args"]["windows"] > min(own["windows"] for own in found["tasks"]):
        meanings["Long lifetimes"] = (
            "a lifetime has more windows than a recorded curve: an architecture that is visited more often is trained "
            "no further, and repeats its last window."
        )
    return meanings
