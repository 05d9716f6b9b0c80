"""Random search: architectures drawn uniformly from the space, window after window.

The baseline that every controller has to beat (Li & Talwalkar, arXiv 1902.07638). With `--transfer shared` it is random
search with weight sharing, with `--transfer fresh` without. It recommends by the incumbent's rule.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym import launch, search


@dataclass(frozen=True)
class Args(search.SearchArgs):
    pass


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        self.envs = envs
        self.rng = search.agent_rng(args)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        space = self.envs.unwrapped.search_space
        return np.stack([space.sample(self.rng) for _ in observations])

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        return {}


if __name__ == "__main__":
    launch.main(Agent, Args, "random-search")
