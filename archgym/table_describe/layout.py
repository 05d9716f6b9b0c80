"""The findings about a recorded table as words and rows, for the terminal and the page alike."""

from typing import Any

import numpy as np

from archgym.table_describe.stats import MOST_SEEDS

KINDS = {"area": "area under the curve", "last_fifth": "last fifth", "greedy": "greedy"}
CHANCE = 0.025  # that a 95 % interval of nothing lies above 0
WORDS = {
    "area": "the area under the curve",
    "last_fifth": "the last fifth",
    "greedy": "the newest greedy evaluation",
}


def said(found: dict[str, Any], digits: int = 2) -> str:
    """Write an estimate with its interval."""
    return f"{found['value']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def percent(found: dict[str, Any]) -> str:
    """Write a share with its interval."""
    value, low, high = (100 * max(0.0, found[name]) for name in ("value", "low", "high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def seeds_said(row: dict[str, Any]) -> str:
    """Write a number of seeds with its interval, or that there is no advantage that seeds could show."""
    if row["difference"]["value"] <= 0:
        return "not better on the test seeds"
    value, low, high = (row["seeds"][name] for name in ("value", "low", "high"))
    most = f"more than {MOST_SEEDS:,}"
    if low is None:
        return most
    interval = f"{low:.0f} or more" if high is None else f"{low:.0f} to {high:.0f}"
    return f"{most if value is None else f'{value:.0f}'} ({interval})"


def grids(content: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Lay the numbers out as tables: title, header, rows."""
    margins = content["margin"]
    spreads = {KINDS[kind]: own for kind, own in content["spread"].items()}
    rows = [
        [word, *(said(own[name], 3) for name in ("architectures", "seeds", "rest")), said(own["repeatability"])]
        for word, own in {**spreads, "the first window's return": content["first_window"]}.items()
    ]
    header = ["score", "between architectures", "between seeds", "rest", "repeatability of one curve"]
    found = [("Standard deviations of normalised scores", header, rows)]
    rows = [
        [KINDS[kind], *(f"{value:.3f}" for value in (*own["quartiles"], own["default"])), said(own["rank"], 0)]
        for kind, own in content["standing"].items()
    ]
    header = ["score", "lowest", "lower quartile", "median", "upper quartile", "highest", "the default", "its rank"]
    found.append(("Mean scores of the architectures, all seeds", header, rows))
    how = "regression on a sample" if content["left_out"] else "regression"
    how = "exact marginals over all architectures" if content["choices"]["area"]["exact"] else how
    shares = sorted(content["choices"]["area"]["shares"], key=lambda row: -row["value"])
    by_kind = {kind: {tuple(row["choices"]): row for row in own["shares"]} for kind, own in content["choices"].items()}
    every = {key: [own[key] for own in by_kind.values()] for key in (tuple(row["choices"]) for row in shares)}
    shown = [kind for kind in KINDS if not swamped(content, kind)]
    rows = [
        [" x ".join(key), *(percent(row) if kind in shown else "-" for kind, row in zip(KINDS, own, strict=True))]
        for key, own in every.items()
        if any(row["value"] >= 0.005 for kind, row in zip(KINDS, own, strict=True) if kind in shown)
    ]
    found.append((f"Share of the variance between architectures ({how})", ["choice", *KINDS.values()], rows))
    rows = [
        [
            *(KINDS[kind], own["best"], said(own["margin"], 3), f"{own['where_chosen']:.3f}"),
            *(f"{own['over_splits']:.3f}", f"{own['rule']['low']:.3f} to {own['rule']['high']:.3f}"),
        ]
        for kind, own in margins.items()
    ]
    header = ["score", "best on the search seeds", "margin over the default", "where chosen"]
    header += ["the rule: mean of all splits", "the rule's interval"]
    found.append((f"Best architecture against the default ({margins['area']['default']}), test seeds", header, rows))
    rows = [
        [" and ".join(KINDS[kind] for kind in row["scores"]), said(row["same"]), said(row["other"])]
        for row in content["agreement"]["taus"]
    ]
    found.append(("Kendall's tau of two scores", ["scores", "same seeds", "other seeds"], rows))
    own = content["budgets"]
    rows = [[f"{steps:,}", *(said(own[kind][place]) for kind in KINDS)] for place, steps in enumerate(own["steps"])]
    rows.append(["the score itself, other seeds", *(said(own["again"][kind]) for kind in KINDS)])
    found.append(
        ("Kendall's tau of the mean return up to a budget with the final score", ["steps", *KINDS.values()], rows)
    )
    if content["shared"]:
        found += _shared(content["shared"])
    rows = [
        [KINDS[kind], row["against"], row["other"], said(row["difference"], 3), seeds_said(row)]
        for kind, rows in content["needed"].items()
        for row in rows
    ]
    header = ["score", "best against", "architecture", "difference", "seeds of each"]
    found.append(("Seeds for Welch's test to tell the best from others (80 % power, level 5 %)", header, rows))
    return found


def _shared(own: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Lay out how shared weights rank, beside training from scratch: correlations, and regrets."""
    ages = [*(f"{steps:,} steps" for steps in own["steps"]), "mean of these ages"]
    guesses = {
        "one": [f"one supernet, {age}" for age in ages],
        "mean": [f"mean of {own['seeds']} supernets, {age}" for age in ages],
        "scratch": ["from scratch, one seed: newest greedy evaluation", "from scratch, one seed: the score itself"],
    }
    named = [(word, place, name) for word, names in guesses.items() for place, name in enumerate(names)]
    taus = [[name, *(said(own[kind][word]["tau"][place]) for kind in KINDS)] for word, place, name in named]
    lost = [[name, *(said(regret[place], 3) for regret in own["area"][word]["regret"])] for word, place, name in named]
    taus.append(["at random", *("0.00" for _ in KINDS)])
    lost.append(["at random", *(f"{value:.3f}" for value in own["area"]["random"])])
    header = ["ranked by", *(f"best of the first {count}" for count in own["top"])]
    return [
        (
            "Kendall's tau of scores with shared weights with training from scratch",
            ["ranked by", *KINDS.values()],
            taus,
        ),
        ("Regret in area by scores with shared weights", header, lost),
    ]


def swamped(content: dict[str, Any], kind: str) -> bool:
    """Tell whether, by a score, no spread between architectures can be told from chance."""
    return bool(content["spread"][kind]["repeatability"]["low"] <= 0)


def verdict(content: dict[str, Any]) -> str:
    """Say what the spread means, by every score."""
    return " ".join(_spread_said(content, kind) for kind in KINDS)


def _spread_said(content: dict[str, Any], kind: str) -> str:
    own, seeds = content["spread"][kind], content["seeds"] - content["search_seeds"]
    between, noise = own["architectures"]["value"], np.hypot(own["seeds"]["value"], own["rest"]["value"])
    by, deviations = f"By {WORDS[kind]}", f"(standard deviations {between:.3f} and {noise:.3f})"
    if swamped(content, kind):
        return (
            f"{by} the seeds swamp the architectures {deviations}: no spread between architectures can be told from "
            "chance, and neither rankings nor regrets by this score mean much."
        )
    return (
        f"{by} architectures differ by {'more' if between > noise else 'less'} than the seeds of one architecture do "
        f"{deviations}: one training repeats to {100 * own['repeatability']['value']:.0f} %, the mean of {seeds} test "
        f"seeds to {100 * own['repeatability_of_truth']['value']:.0f} %."
    )


def remarks(content: dict[str, Any]) -> list[str]:
    """Say in sentences what no table holds: the ends of the curves, the greedy returns, and biases."""
    end, own = content["end"], content["agreement"]
    found = [
        f"Still rising at the end: {end['rising']} of {content['architectures']} architectures; falling: "
        f"{end['falling']}. That is, Student's 95 % interval, over {content['seeds']} seeds, of the normalised return "
        f"in the last fifth less that in the fifth before ({end['steps']:,} steps each) lies above (below) 0. If none "
        f"rose or fell, about {CHANCE * content['architectures']:.1f} would be counted as rising all the same, and as "
        "many as falling, for these tests are not corrected for their number. A test of one architecture misses small "
        f"rises: {end['positive']} "
        f"({100 * end['positive'] / content['architectures']:.0f} %) have a mean difference above 0, where chance "
        f"would give about half (on the same seeds, so that they rise and fall together), and the mean over all is "
        f"{said(end['rise'], 3)}. {end['reached']} have a mean of {end['level']} or more in the last fifth (the "
        "reference policy has 1).",
        f"Greedy at {own['age']:,} steps: mean return {own['greedy']:.1f} over all networks ({own['episodes']} "
        f"episodes each); with exploration, in the window before, {own['training']:.1f}.",
        "The best of many noisy means is too high, and every regret with it; by the bootstrap's estimate, on the test "
        f"seeds, by {', '.join(f'{bias:.3f} ({KINDS[kind]})' for kind, bias in content['bias'].items())}.",
    ]
    if content["left_out"]:
        found.append(_left_out_said(content))
    if content["shared"]:
        found.append(_noise_said(content))
    if content["shared"] and content["shared"]["same_seed"]:
        same = content["shared"]["same_seed"]
        found.append(
            "Supernets begin with the seeds of some of the curves, whose inner environments they meet. Tau with "
            f"the area on the supernet's own seed is {same['own']:.2f}, on a single other one {same['others']:.2f}: a "
            f"difference of {said(same['difference'])}. Intervals draw both sides as if they were independent."
        )
    return found


def _left_out_said(content: dict[str, Any]) -> str:
    """Say what a sample leaves out, and what that means for the intervals."""
    own, (held, *shares) = content["left_out"], content["left_out"]["shares"]
    every = own["counted"] == own["size"]
    away = [f"{100 * share:.0f} % in {choices}" for choices, share in enumerate(shares, 1)]
    return (
        f"The table is a sample. Its intervals draw the seeds anew and keep its architectures: they are about these "
        f"{content['architectures']}, and say nothing of how other {content['architectures']} would differ. Of the "
        f"space's {own['size']:,} architectures {'' if every else 'about '}{100 * (1 - held):.0f} % are not in the "
        f"table; by the number of choices in which the nearest recorded one differs from them, {', '.join(away)}."
    )


def _noise_said(content: dict[str, Any]) -> str:
    """Say how much of a low tau of shared weights is noise of the score."""
    own = content["shared"]
    one, together, scratch = (own["area"][word]["tau"] for word in ("one", "mean", "scratch"))
    return (
        f"A score with shared weights is {own['episodes']} greedy episodes in one supernet, and such a score is noisy "
        f"whatever the weights are: one greedy evaluation after training from scratch ({content['agreement']['age']:,} "
        f"steps) has a tau of {said(scratch[0])} with the area on other seeds. By one supernet tau is {said(one[-2])} "
        f"at its last age, by the mean of {own['seeds']} supernets {said(together[-2])}, and by their mean over the "
        f"ages {said(together[-1])}; by the area of one curve of each from scratch {said(scratch[1])}."
    )
