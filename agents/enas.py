"""ENAS on reinforcement learning: an LSTM controller beside the weights that its architectures share.

    loss = - mean_i [ (R_i - b) log P(a_i) ] - c mean_i H_i        (i: the windows since the last update)
    b <- m b + (1 - m) mean_i R_i

Papers: Pham et al., arXiv 1802.03268; Mazyavkina et al., arXiv 2011.14632, who trained agents of Atari so. Windows
train the drawn architectures' part of the supernet (transfer `shared`; `--inner share_weights=true`: one supernet for
all members), and after every `--update-every` windows, all members' together, the controller takes a step of REINFORCE.
The LSTM's state is carried from decision to decision (`archgym/lstm_controller.py`; the code of 2011.14632 began every
decision from zeros). Recommended are its most probable architectures, the proxy of 2011.14632.

`--controller` takes the settings of a paper:

    mazyavkina   Adam 1e-3 with a cosine to 0, epsilon 1e-5, gradients clipped at 0.5, entropy 1e-4, an update after ten
                 windows; b begins at 0, m = 0.2 is the weight of its old value (so in the published code)
    enas         Adam 1e-3, entropy 1e-4, temperature 5, tanh constant 2.5, an update after every window, m = 0.999;
                 b begins with the first rewards

Of 2011.14632 the text has an update every ten steps, the code one after three architectures of ten PPO updates each
(`--update-every 3`); a step is taken for a window here, and its Table 5 is taken as far as this project knows it. Its
kernels share no weights (every combination has a convolution of its own), here a smaller one is the middle of the
largest. The code averages log P and H over the decisions, which are summed here. Both presets leave the controller near
uniform within a search of a few hundred windows. The preset `default`, this project's own, learns there: instead of R_i
- b it takes the reward less its trend (`archgym.stats.detrend`, as known at the update) over the deviation of all of
these; the entropy weighs more, steps are larger, and nothing is learned in the first fifth of the windows.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from archgym import lstm_controller
from archgym.lookup import unknown
from archgym.running import agent_state, launch
from archgym.running.agent import agent_rng
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture
from archgym.stats import detrend


@dataclass(frozen=True)
class Args(SearchArgs):
    controller: str = "default"
    """`default`, or the settings of a paper in place of those below: `mazyavkina` or `enas`."""
    update_every: int = 10
    """Windows, all members' together, between two updates of the controller."""
    learning_rate: float = 2e-2
    """Adam's step size."""
    cosine: bool = False
    """Let the step size fall to 0 over the search, by a cosine."""
    adam_epsilon: float = 1e-8
    """Adam's epsilon."""
    max_grad_norm: float | None = 0.5
    """Gradients are cut to this norm; None: not."""
    hidden_size: int = 64
    """Units of the LSTM."""
    entropy_coefficient: float = 1e-2
    """Weight of the entropy bonus, c."""
    temperature: float = 1.0
    """Logits are divided by this."""
    tanh_constant: float | None = None
    """Logits are limited to plus and minus this by a tanh; None: not."""
    baseline_momentum: float | None = None
    """m; None: no baseline, but rewards less their trend."""
    first_baseline: float | None = None
    """b at the beginning; None: the mean of the first rewards."""
    warmup: float = 0.2
    """Share of the windows before the first update."""

    @property
    def proxy(self) -> str:
        return "the probability that its controller gives them"


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "mazyavkina": {
        "learning_rate": 1e-3,
        "cosine": True,
        "adam_epsilon": 1e-5,
        "entropy_coefficient": 1e-4,
        "baseline_momentum": 0.2,
        "first_baseline": 0.0,
        "warmup": 0.0,
    },
    "enas": {
        "update_every": 1,
        "learning_rate": 1e-3,
        "max_grad_norm": None,
        "entropy_coefficient": 1e-4,
        "temperature": 5.0,
        "tanh_constant": 2.5,
        "baseline_momentum": 0.999,
        "warmup": 0.0,
    },
}


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.controller not in PRESETS:
            raise unknown("controller", args.controller, PRESETS)
        for name in PRESETS[args.controller]:
            if getattr(args, name) != getattr(Args, name):
                raise ValueError(
                    f"{name}: expected no value beside controller {args.controller!r}, got {getattr(args, name)}."
                )
        positive = ("update_every", "learning_rate", "hidden_size", "temperature", "adam_epsilon")
        for name in (*positive, "max_grad_norm", "tanh_constant"):
            if getattr(args, name) is not None and not getattr(args, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(args, name)}.")
        if not args.entropy_coefficient >= 0:
            raise ValueError(f"entropy_coefficient: expected a number of at least 0, got {args.entropy_coefficient}.")
        if args.baseline_momentum is not None and not 0 <= args.baseline_momentum <= 1:
            raise ValueError(f"baseline_momentum: expected a number from 0 to 1, got {args.baseline_momentum}.")
        if not 0 <= args.warmup < 1:
            raise ValueError(f"warmup: expected a share of the windows from 0 to less than 1, got {args.warmup}.")
        self.args = replace(args, **PRESETS[args.controller])
        self.rng = agent_rng(args)
        self.controller = lstm_controller.drawn(
            envs.unwrapped.search_space, args.hidden_size, self.args.temperature, self.args.tanh_constant, self.rng
        )
        self.optimizer = torch.optim.Adam(
            self.controller.parameters(), lr=self.args.learning_rate, eps=self.args.adam_epsilon
        )
        self.baseline = self.args.first_baseline
        self.rewards: list[NDArray[np.float64]] = []  # of all windows, (K,) each
        self.waiting: list[NDArray[np.int64]] = []  # architectures since the last update, (K, choices) each

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        with torch.no_grad():
            actions, _, entropy = self.controller(len(observations), rng=self.rng)
        self.waiting.append(actions)
        self.entropy = float(entropy.mean())
        return np.array(actions)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.rewards.append(rewards)
        if sum(map(len, self.waiting)) >= self.args.update_every:
            if len(self.rewards) > self.args.warmup * self.args.windows:
                self.update()
            self.waiting = []
        return {"losses/controller_entropy": self.entropy}

    def update(self) -> None:
        """Take one step on the windows since the last one."""
        if self.args.cosine:
            share = len(self.rewards) / self.args.windows
            self.optimizer.param_groups[0]["lr"] = self.args.learning_rate * 0.5 * (1 + np.cos(np.pi * share))
        advantage = torch.from_numpy(self.advantage(len(self.waiting))).float()
        architectures = np.concatenate(self.waiting)
        _, log_probability, entropy = self.controller(len(architectures), given=architectures)
        loss = -(advantage * log_probability).mean() - self.args.entropy_coefficient * entropy.mean()
        self.optimizer.zero_grad()
        loss.backward()
        if self.args.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.controller.parameters(), self.args.max_grad_norm)
        self.optimizer.step()

    def advantage(self, windows: int) -> NDArray[np.float64]:
        """Give the rewards of the last windows less the baseline or the trend, (windows * K,)."""
        if self.args.baseline_momentum is None:
            scores = detrend(self.rewards)
            return np.asarray(scores[-windows:].ravel() / (scores.std() + 1e-8))
        last = np.concatenate(self.rewards[-windows:])
        before = float(last.mean()) if self.baseline is None else self.baseline
        self.baseline = self.args.baseline_momentum * before + (1 - self.args.baseline_momentum) * float(last.mean())
        return last - before

    def recommend(self, k: int) -> list[Architecture]:
        """The k most probable architectures."""
        return lstm_controller.most_probable(self.controller, k, self.rng)

    def state(self) -> dict[str, NDArray[Any]]:
        """Give weights, Adam's moments and the baseline."""
        baseline = np.array([] if self.baseline is None else [self.baseline])
        return {**agent_state.of_network(self.controller, self.optimizer), "baseline": baseline}

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        agent_state.into_network(self.controller, self.optimizer, state)
        self.baseline = float(state["baseline"][0]) if len(state["baseline"]) else None


if __name__ == "__main__":
    launch.main(Agent, Args, "enas")
