"""An autoregressive LSTM trained by REINFORCE, the controller of Zoph & Le and ENAS; or by PPO, as NASNet's.

    grad J = mean_k [ A_k sum_t grad log P(a_t | a_<t) ] + c grad H        (a_t: option of choice t, H: entropy)

Papers: arXiv 1611.01578, 1802.03268; NASNet 1707.07012 (`--update ppo`). The LSTM reads the option that it chose last
and gives the logits of the next choice; options that lead to no architecture are masked.

What differs: with K lifetimes the advantage A_k is the reward less the mean of the other members at the same window,
over the spread of all members (at K = 2 that is 2 or -2, however large the difference), because rewards rise while the
inner learner learns and a moving average lags behind them (it is used at K = 1, where A_k is not scaled); nothing is
learned in the first fifth of the windows, whose rewards say little; and the learning rate is higher, because a search
is a few hundred samples and not 12,800. ENAS's own settings are those of the agent `enas`.

`--update ppo` takes `update_epochs` steps on PPO's clipped surrogate (arXiv 1707.06347) over the window's K
architectures,

    J = mean_k min(r_k A_k, clip(r_k, 1 - e, 1 + e) A_k) + c H        (r_k = P(a_k) / P(a_k) at the time of the choice)

with the same advantages and settings; its first step is REINFORCE's. An action of it is a whole architecture, so a
ratio is that of joint probabilities; that, the number of steps and the range e are this project's choices, and NASNet's
own batches, step size and entropy weight, which could not be verified, are not taken over.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archgym import lstm_controller
from archgym.lookup import unknown
from archgym.running import agent_state, launch
from archgym.running.agent import agent_rng, check_finite, check_idle
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace

UPDATES = ("ppo", "reinforce")


@dataclass(frozen=True)
class Args(SearchArgs):
    update: str = "reinforce"
    """`reinforce`: one step per window; `ppo`: several, clipped."""
    update_epochs: int = 4
    """Steps per window of PPO."""
    clip_coef: float = 0.2
    """How far PPO lets the ratio of probabilities leave 1, e."""
    learning_rate: float = 5e-3
    """Adam's step size."""
    hidden_size: int = 64
    """Units of the LSTM."""
    entropy_coefficient: float = 1e-2
    """Weight of the entropy bonus, c."""
    temperature: float = 1.0
    """Logits are divided by this."""
    tanh_constant: float | None = None
    """Logits are limited to plus and minus this by a tanh; None: not."""
    baseline_decay: float = 0.9
    """Of the moving-average baseline (K = 1)."""
    warmup: float = 0.2
    """Share of the windows before the first update."""

    @property
    def proxy(self) -> str:
        return "the probability that its controller gives them"


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.update not in UPDATES:
            raise unknown("update", args.update, UPDATES)
        if args.update == "reinforce":
            check_idle(args, ("update_epochs", "clip_coef"), "update 'reinforce'")
        if args.num_envs > 1:
            check_idle(args, ["baseline_decay"], f"num_envs {args.num_envs}")
        for name in ("learning_rate", "hidden_size", "temperature", "update_epochs", "clip_coef", "tanh_constant"):
            if getattr(args, name) is not None and not getattr(args, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(args, name)}.")
        check_finite(args, "learning_rate", "entropy_coefficient", "temperature", "tanh_constant")
        if not args.entropy_coefficient >= 0:
            raise ValueError(f"entropy_coefficient: expected a number of at least 0, got {args.entropy_coefficient}.")
        if not 0 <= args.baseline_decay <= 1:
            raise ValueError(f"baseline_decay: expected a number from 0 to 1, got {args.baseline_decay}.")
        if not 0 <= args.warmup < 1:
            raise ValueError(f"warmup: expected a share of the windows from 0 to less than 1, got {args.warmup}.")
        self.args, self.seen = args, 0
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rng = agent_rng(args)
        self.controller = lstm_controller.drawn(
            self.space, args.hidden_size, args.temperature, args.tanh_constant, self.rng
        )
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=args.learning_rate)
        self.baseline: float | None = None

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        self.actions, self.log_probability, self.entropy = self.controller(len(observations), rng=self.rng)
        return np.array(self.actions)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.seen += 1
        advantage = torch.from_numpy(self.advantage(rewards)).float()
        entropy = self.entropy.mean()
        if self.seen > self.args.warmup * self.args.windows:
            if self.args.update == "ppo":
                self.ascend_clipped(advantage)
            else:
                self.ascend((advantage * self.log_probability).mean(), entropy)
        return {"losses/controller_entropy": float(entropy.detach())}

    def ascend(self, surrogate: Tensor, entropy: Tensor) -> None:
        loss: Any = -surrogate - self.args.entropy_coefficient * entropy  # Any: torch leaves `backward` untyped
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def ascend_clipped(self, advantage: Tensor) -> None:
        """Take PPO's steps on the last window's architectures, with advantages (K,)."""
        before, reach = self.log_probability.detach(), self.args.clip_coef
        for _ in range(self.args.update_epochs):
            _, log_probability, entropy = self.controller(len(self.actions), given=self.actions)
            ratio = (log_probability - before).exp()
            clipped = ratio.clamp(1 - reach, 1 + reach)
            self.ascend(torch.min(ratio * advantage, clipped * advantage).mean(), entropy.mean())

    def advantage(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reward less a baseline that does not depend on the member's own action."""
        count = len(rewards)
        if count > 1:
            others = (rewards.sum() - rewards) / (count - 1)
            return np.asarray((rewards - others) / (rewards.std() + 1e-8))
        before = float(rewards.mean()) if self.baseline is None else self.baseline
        decay = self.args.baseline_decay
        self.baseline = decay * before + (1 - decay) * float(rewards.mean())
        return np.asarray(rewards - before)

    def recommend(self, k: int) -> list[Architecture]:
        """The k most probable architectures."""
        return lstm_controller.most_probable(self.controller, k, self.rng)

    def state(self) -> dict[str, NDArray[Any]]:
        """Give weights and Adam's moments; the baseline is none of it, for it is the level of a task's rewards."""
        return agent_state.of_network(self.controller, self.optimizer, self.controller.settings)

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        agent_state.into_network(self.controller, self.optimizer, self.controller.settings, state)


if __name__ == "__main__":
    launch.main(Agent, Args, "lstm-reinforce")
