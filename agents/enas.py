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
    enas         what ENAS published to search PTB: Adam 1e-3 without a first moment, epsilon 1e-3, 100 units,
                 temperature 5, tanh constant 2.5, an update after ten windows; the reward counts with 1e-3 H, which has
                 no gradient then; b begins at 0, m = 0.99^10, which is 0.99 for each of the ten

Of 2011.14632 the text has an update every ten steps, the code one after three architectures of ten PPO updates each
(`--update-every 3`); a step is taken for a window here, and its Table 5 is taken as far as this project knows it. Its
kernels share no weights (every combination has a convolution of its own), here a smaller one is the middle of the
largest. The code averages log P and H over the decisions, which are summed here.

Of ENAS it is the code (github.com/melodyguan/enas: `scripts/ptb_search.sh` and `src/ptb`). What differs from that: b
moves once an update, by the mean of its windows, the code's with every sample. H is the entropy of all options of every
decision, the code's the -p log p of the option that was drawn. The code chooses the links between nodes by attention,
with a penalty for distance, and decides the rest by one softmax for all; here each choice has a head of its own. There
are biases, and weights begin as torch's and not uniform within 0.1. The code's reward is 80 over the perplexity of a
batch for validation, with shared weights that stand still for 100 updates after every pass through the training data;
here it is the window's, which trains them. (The script for CIFAR-10's macro space has other values: 20 samples, no
temperature, tanh constant 1.5, entropy 1e-4.)

Both presets leave the controller near uniform within a search of a few hundred windows. The preset `default`, this
project's own, learns there: instead of R_i - b it takes the reward less its trend (`archgym.stats.detrend`, as known at
the update) over the deviation of all of these; the entropy weighs more, steps are larger, and nothing is learned in the
first fifth of the windows.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from archgym import lstm_controller
from archgym.lookup import unknown
from archgym.running import agent_state, launch
from archgym.running.agent import agent_rng, check_finite, check_idle, check_learns
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
    adam_beta1: float = 0.9
    """Adam's decay of the first moment; 0: it has none."""
    adam_epsilon: float = 1e-8
    """Adam's epsilon."""
    max_grad_norm: float | None = 0.5
    """Gradients are cut to this norm; None: not."""
    hidden_size: int = 64
    """Units of the LSTM."""
    entropy_coefficient: float = 1e-2
    """Weight of the entropy bonus, c."""
    entropy_in_reward: bool = False
    """Add c H to the rewards, and to no gradient."""
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
        "update_every": 10,
        "learning_rate": 1e-3,
        "adam_beta1": 0.0,
        "adam_epsilon": 1e-3,
        "max_grad_norm": None,
        "hidden_size": 100,
        "entropy_coefficient": 1e-3,
        "entropy_in_reward": True,
        "temperature": 5.0,
        "tanh_constant": 2.5,
        "baseline_momentum": 0.99**10,
        "first_baseline": 0.0,
        "warmup": 0.0,
    },
}


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.controller not in PRESETS:
            raise unknown("controller", args.controller, PRESETS)
        check_idle(args, PRESETS[args.controller], f"controller {args.controller!r}")
        positive = ("update_every", "learning_rate", "hidden_size", "temperature", "adam_epsilon")
        for name in (*positive, "max_grad_norm", "tanh_constant"):
            if getattr(args, name) is not None and not getattr(args, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(args, name)}.")
        finite = ("learning_rate", "entropy_coefficient", "temperature", "adam_epsilon", "first_baseline")
        check_finite(args, *finite, "tanh_constant")
        if not 0 <= args.adam_beta1 < 1:
            raise ValueError(f"adam_beta1: expected a number from 0 to less than 1, got {args.adam_beta1}.")
        if not args.entropy_coefficient >= 0:
            raise ValueError(f"entropy_coefficient: expected a number of at least 0, got {args.entropy_coefficient}.")
        if args.baseline_momentum is not None and not 0 <= args.baseline_momentum <= 1:
            raise ValueError(f"baseline_momentum: expected a number from 0 to 1, got {args.baseline_momentum}.")
        if not 0 <= args.warmup < 1:
            raise ValueError(f"warmup: expected a share of the windows from 0 to less than 1, got {args.warmup}.")
        self.args = replace(args, **PRESETS[args.controller])
        if self.args.baseline_momentum is None:
            check_idle(args, ["first_baseline"], "baseline_momentum None")
        check_updates(args, self.args)
        self.rng = agent_rng(args)
        self.controller = lstm_controller.drawn(
            envs.unwrapped.search_space, self.args.hidden_size, self.args.temperature, self.args.tanh_constant, self.rng
        )
        self.optimizer = torch.optim.Adam(
            self.controller.parameters(),
            lr=self.args.learning_rate,
            betas=(self.args.adam_beta1, 0.999),
            eps=self.args.adam_epsilon,
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
            share = (len(self.rewards) - len(self.waiting)) / self.args.windows  # the first step is a whole one
            self.optimizer.param_groups[0]["lr"] = self.args.learning_rate * 0.5 * (1 + np.cos(np.pi * share))
        architectures = np.concatenate(self.waiting)
        _, log_probability, entropy = self.controller(len(architectures), given=architectures)
        coefficient, earned = self.args.entropy_coefficient, self.args.entropy_in_reward
        bonus = coefficient * entropy.detach().double().numpy() if earned else 0.0
        advantage = torch.from_numpy(self.advantage(len(self.waiting), bonus)).float()
        loss = -(advantage * log_probability).mean()
        if not earned:
            loss = loss - coefficient * entropy.mean()
        self.optimizer.zero_grad()
        loss.backward()
        if self.args.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.controller.parameters(), self.args.max_grad_norm)
        self.optimizer.step()

    def advantage(self, windows: int, bonus: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
        """Give the rewards of the last windows less the baseline or the trend, (windows * K,).

        Args:
            windows: How many.
            bonus: What is added to each reward, (windows * K,).
        """
        if self.args.baseline_momentum is None:
            scores = detrend(self.rewards)
            return np.asarray(scores[-windows:].ravel() / (scores.std() + 1e-8)) + bonus
        last = np.concatenate(self.rewards[-windows:]) + bonus
        before = float(last.mean()) if self.baseline is None else self.baseline
        self.baseline = self.args.baseline_momentum * before + (1 - self.args.baseline_momentum) * float(last.mean())
        return last - before

    def recommend(self, k: int) -> list[Architecture]:
        """The k most probable architectures."""
        return lstm_controller.most_probable(self.controller, k, self.rng)

    def state(self) -> dict[str, NDArray[Any]]:
        """Give weights and Adam's moments; the baseline is none of it, for it is the level of a task's rewards."""
        return agent_state.of_network(self.controller, self.optimizer, self.controller.settings)

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        agent_state.into_network(self.controller, self.optimizer, self.controller.settings, state)


def check_updates(args: Args, preset: Args) -> None:
    """Refuse settings under which a search ends before the controller's first update.

    Args:
        args: As given.
        preset: With the settings of the preset in their place.
    """
    most = args.windows * args.num_envs
    reached = preset.update_every <= most
    said = f"at most {most} (the windows of all members in this search)"
    check_learns(args, "update_every", reached, said, preset.update_every)
    between = -(-preset.update_every // args.num_envs)  # windows of a member
    last = args.windows - args.windows % between
    said = f"less than {last / args.windows:.3g} (the last update is after {last} of {args.windows} windows)"
    check_learns(args, "warmup", not reached or last > preset.warmup * args.windows, said, preset.warmup)


if __name__ == "__main__":
    launch.main(Agent, Args, "enas")
