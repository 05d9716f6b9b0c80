"""One given architecture in every window: the control arm, plain DQN training of one network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.running import launch
from archgym.running.arguments import SearchArgs


@dataclass(frozen=True)
class Args(SearchArgs):
    architecture: str = "default"
    """The architecture, as the report writes it ("depth=2 width=64 activation=relu"), or `default`."""


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        self.architecture = envs.unwrapped.search_space.parse(args.architecture)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.tile(self.architecture, (len(observations), 1))

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        return {}


if __name__ == "__main__":
    launch.main(Agent, Args, "fixed")
