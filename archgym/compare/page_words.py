"""What the words on the page of a comparison mean: its last section but one."""

from html import escape
from typing import Any

from archgym.compare import page_planted, page_tabular
from archgym.compare.board import LEVEL
from archgym.compare.comparison import FIXED, RANDOM
from archgym.compare.content import is_planted
from archgym.pages.page import count


def reading(content: dict[str, Any]) -> str:
    """Write the section that explains the words of the page; tables and planted landscapes have some of their own."""
    args, drawn = content["plan"]["args"], content["best_of_k"]
    controls = content["boards"]["recommendation"].get("controls", {})
    words = {
        "Search": f"one agent with its {count(args['num_envs'], 'member')}: the unit of every statistic. Members share "
        "an agent, so they are no independent evidence: they are averaged, and never resampled on their own.",
        "IQM": "interquartile mean: the mean of what is left of all searches of all tasks without the lowest and the "
        "highest quarter.",
        "95 % interval": "percentile bootstrap that draws whole searches with replacement, within each task on its own "
        "(stratified). With few searches it is too narrow: for the IQM of normal scores it covers the truth in 73 % of "
        "the cases with 3 searches, 90 % with 5 and 93 % with 10. Bands of mean curves are Student's intervals.",
        "Probability of improvement": "that a search of one arm scores higher than one of the other; ties count half; "
        "mean over the tasks. An interval without width, 1.000 to 1.000, says that these scores do not overlap, not "
        "that others could not.",
        "p and Holm": "two-sided permutation test of a probability of improvement of ½, exact where there are few "
        "searches. Each board tests all its pairs; Holm's correction keeps the probability of even one false verdict "
        f"on a board at most {LEVEL}.",
        "Common random numbers": "all arms run on the same seeds, and recommendations are trained from scratch on the "
        "same further seeds: arms that recommend the same architecture for a seed have the same score there. Intervals "
        "of pairs draw the same seeds on both sides.",
        RANDOM: "draws every architecture at random; recommends by the rule of all agents that have none of their own.",
        FIXED: "keeps the default architecture in every window, and recommends it.",
    }
    if "best_of_k" in controls:
        words[controls["best_of_k"]] = (
            f"no search: {count(drawn, 'random architecture')} (k = {drawn}, as many as a search's inner steps pay "
            "for), each trained from scratch once, all of them together for just these steps; the best of them is the "
            "recommendation, and is trained anew like all others."
        )
    if "whole_budget" in controls:
        words[controls["whole_budget"]] = (
            "no search: the default architecture spends a search's inner steps and those of all trainings from scratch "
            "of a recommendation on one training; scored is its end, as long as a training from scratch."
        )
    if "table" in content:
        words |= page_tabular.words(content)
    if is_planted(content):
        words |= page_planted.words(content)
    items = "".join(f'<p class="note"><b>{escape(word)}</b>: {escape(text)}</p>' for word, text in words.items())
    return f"<h2>How to read this</h2>{items}"
