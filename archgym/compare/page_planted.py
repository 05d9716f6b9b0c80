"""What is said of a comparison on a planted landscape, where nothing is trained and steps are counted as if it were."""

from typing import Any

from archgym.pages.page import count

INHERITS = "Nothing was trained: returns are those of a planted landscape, and windows stand for steps."
JUDGED = "scored on the landscape as if it were trained from scratch"
QUESTION = (
    "How good is the architecture that a search recommends? Nothing was trained: it is scored on the planted landscape "
    "as if it were trained from scratch, on seeds that no search has seen. The score is the normalised return, "
    "averaged over these windows and seeds."
)


def words(content: dict[str, Any]) -> dict[str, str]:
    """What words mean on a planted landscape."""
    drawn, controls = content["best_of_k"], content["boards"]["recommendation"].get("controls", {})
    meanings = {
        "Common random numbers": "all arms run on the same seeds, and recommendations are scored on the same further "
        "seeds: arms that recommend the same architecture for a seed have the same score there. Intervals of pairs "
        "draw the same seeds on both sides.",
        "Inner steps": "what windows stand for: as many as their training would take.",
    }
    if "best_of_k" in controls:
        meanings[controls["best_of_k"]] = (
            f"no search: {count(drawn, 'random architecture')} (k = {drawn}, as many as a search's inner steps would "
            "pay for), each scored once, in windows that stand for just these steps together; the best of them is the "
            "recommendation, and is scored anew like all others."
        )
    if "whole_budget" in controls:
        meanings[controls["whole_budget"]] = (
            "no search: the default architecture, in windows that stand for a search's inner steps and those that a "
            "recommendation is scored on; scored is their end, as long as that of a recommendation."
        )
    return meanings
