"""The findings about a recorded table as words and rows, for the terminal and the page alike."""

from typing import Any

import numpy as np

KINDS = {"area": "area under the curve", "last_fifth": "last fifth"}


def said(found: dict[str, Any], digits: int = 2) -> str:
    """Write an estimate with its interval."""
    return f"{found['value']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def percent(found: dict[str, Any]) -> str:
    """Write a share with its interval."""
    value, low, high = (100 * max(0.0, found[name]) for name in ("value", "low", "high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def seeds_said(seeds: dict[str, Any]) -> str:
    """Write a number of seeds with its interval."""
    value, low, high = ("never" if seeds[n] is None else f"{seeds[n]:.0f}" for n in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def grids(content: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Lay the numbers out as tables: title, header, rows."""
    spreads, margins = content["spread"], content["margin"]
    rows = [
        [KINDS[kind], *(said(own[name], 3) for name in ("architectures", "seeds", "rest")), said(own["repeatability"])]
        for kind, own in spreads.items()
    ]
    header = ["score", "between architectures", "between seeds", "rest", "repeatability of one curve"]
    found = [("Standard deviations of normalised scores", header, rows)]
    how = "exact marginals over all architectures" if content["choices"]["area"]["exact"] else "regression on a sample"
    shares = sorted(content["choices"]["area"]["shares"], key=lambda row: -row["value"])
    last = {tuple(row["choices"]): row for row in content["choices"]["last_fifth"]["shares"]}
    rows = [
        [" x ".join(row["choices"]), percent(row), percent(last[tuple(row["choices"])])]
        for row in shares
        if max(row["value"], last[tuple(row["choices"])]["value"]) >= 0.005
    ]
    found.append((f"Share of the variance between architectures ({how})", ["choice", *KINDS.values()], rows))
    rows = [
        [KINDS[kind], own["best"], said(own["margin"], 3), *(f"{own[n]:.3f}" for n in ("over_splits", "where_chosen"))]
        for kind, own in margins.items()
    ]
    header = ["score", "best on the search seeds", "margin over the default", "mean of all splits", "where chosen"]
    found.append((f"Best architecture against the default ({margins['area']['default']}), test seeds", header, rows))
    own = content["budgets"]
    rows = [[f"{steps:,}", *(said(own[kind][place]) for kind in KINDS)] for place, steps in enumerate(own["steps"])]
    rows.append(["the score itself, other seeds", *(said(own["ceiling"][kind]) for kind in KINDS)])
    found.append(
        ("Kendall's tau of the mean return up to a budget with the final score", ["steps", *KINDS.values()], rows)
    )
    if content["shared"]:
        own = content["shared"]
        rows = [
            [
                f"{steps:,}",
                *(said(own[kind]["tau"][age]) for kind in KINDS),
                *(said(own["area"]["regret"][row][age], 3) for row in range(len(own["top"]))),
            ]
            for age, steps in enumerate(own["steps"])
        ]
        rows.append(["guess at random", "0.00", "0.00", *(f"{value:.3f}" for value in own["area"]["random"])])
        header = ["steps of the supernet", *(f"tau, {word}" for word in KINDS.values())]
        header += [f"regret of the best of {count}" for count in own["top"]]
        found.append(("Scores with shared weights against training from scratch", header, rows))
    rows = [
        [KINDS[kind], row["against"], row["other"], said(row["difference"], 3), seeds_said(row["seeds"])]
        for kind, rows in content["needed"].items()
        for row in rows
    ]
    header = ["score", "best against", "architecture", "difference", "seeds of each"]
    found.append(("Seeds for Welch's test to tell the best from others (80 % power, level 5 %)", header, rows))
    return found


def verdict(content: dict[str, Any]) -> str:
    """Say in a sentence or two what the spread means."""
    own, seeds = content["spread"]["area"], content["seeds"] - content["search_seeds"]
    between, noise = own["architectures"]["value"], np.hypot(own["seeds"]["value"], own["rest"]["value"])
    if own["repeatability"]["low"] <= 0:
        return (
            "The seeds swamp the architectures: no spread between architectures can be told from chance, and neither "
            "rankings nor regrets on this table mean much."
        )
    words = "more" if between > noise else "less"
    return (
        f"Architectures differ by {words} than the seeds of one architecture do (standard deviations {between:.3f} and "
        f"{noise:.3f}): one learning curve repeats to {100 * own['repeatability']['value']:.0f} %, the mean of "
        f"{seeds} test seeds to {100 * own['repeatability_of_truth']['value']:.0f} %."
    )
