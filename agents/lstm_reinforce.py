"""An autoregressive LSTM trained by REINFORCE, the controller of Zoph & Le, ENAS and NAS-DQN; or by PPO, as NASNet's.

    grad J = mean_k [ A_k sum_t grad log P(a_t | a_<t) ] + c grad H        (a_t: option of choice t, H: entropy)

Papers: arXiv 1611.01578, 1802.03268, 2510.19872; NASNet 1707.07012 (`--update ppo`). The LSTM reads the option that it
chose last and gives the logits of the next choice; options that lead to no architecture are masked.

What differs: with K lifetimes the advantage A_k is the reward less the mean of the other members at the same window,
over their spread, because rewards rise while the inner learner learns and a moving average lags behind them (it is used
at K = 1); nothing is learned in the first fifth of the windows, whose rewards say little; and the learning rate is
higher, because a search is a few hundred samples and not 12,800. `--controller enas` takes the settings of ENAS's
published script (Adam 1e-3, entropy 1e-4, temperature 5, tanh constant 2.5, baseline decay 0.999): they leave the
controller near uniform within a search of this size.

`--update ppo` takes `update_epochs` steps on PPO's clipped surrogate (arXiv 1707.06347) over the window's K
architectures,

    J = mean_k min(r_k A_k, clip(r_k, 1 - e, 1 + e) A_k) + c H        (r_k = P(a_k) / P(a_k) at the time of the choice)

with the same advantages and settings; its first step is REINFORCE's. An action of it is a whole architecture, so a
ratio is that of joint probabilities; that, the number of steps and the range e are this project's choices, and NASNet's
own batches, step size and entropy weight, which could not be verified, are not taken over. It is not combined with
`--controller enas`, which stands for published settings of REINFORCE.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archgym import launch, search
from archgym.lookup import unknown
from archgym.search_space import Architecture, SearchSpace

ENUMERATED = 100_000  # spaces up to this many option vectors are ranked whole
DRAWN = 4_096  # samples that stand in for larger ones


@dataclass(frozen=True)
class Args(search.SearchArgs):
    controller: str = "default"
    """`default`, or `enas` for its published settings in place of those below."""
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
    """Of the moving-average baseline (K = 1, or `enas`)."""
    warmup: float = 0.2
    """Share of the windows before the first update."""


UPDATES = ("ppo", "reinforce")
ENAS = {
    "learning_rate": 1e-3,
    "entropy_coefficient": 1e-4,
    "temperature": 5.0,
    "tanh_constant": 2.5,
    "baseline_decay": 0.999,
    "warmup": 0.0,
}


class Controller(nn.Module):
    """The policy over architectures."""

    def __init__(self, space: SearchSpace, hidden_size: int, temperature: float, tanh_constant: float | None) -> None:
        super().__init__()
        self.space, self.temperature, self.tanh_constant = space, temperature, tanh_constant
        self.embed = nn.Embedding(1 + sum(space.counts), hidden_size)  # 0: the start
        self.offsets = np.cumsum([1, *space.counts[:-1]])
        self.lstm = nn.LSTMCell(hidden_size, hidden_size)
        self.heads = nn.ModuleList(nn.Linear(hidden_size, count) for count in space.counts)

    def forward(
        self, count: int, given: NDArray[np.int64] | None = None, rng: np.random.Generator | None = None
    ) -> tuple[NDArray[np.int64], Tensor, Tensor]:
        """Sample `count` architectures, or score given ones.

        Returns:
            Architectures (count, choices), their log probabilities (count,), and the entropies on the way (count,).
        """
        chosen = np.zeros((count, 0), dtype=np.int64)
        state = (torch.zeros(count, self.lstm.hidden_size), torch.zeros(count, self.lstm.hidden_size))
        token = torch.zeros(count, dtype=torch.int64)
        log_probability, entropy = torch.zeros(count), torch.zeros(count)
        for choice, head in enumerate(self.heads):
            state = self.lstm(self.embed(token), state)
            logits = head(state[0]) / self.temperature  # (count, options)
            if self.tanh_constant is not None:
                logits = self.tanh_constant * torch.tanh(logits)
            allowed = torch.from_numpy(np.stack([self.space.mask(prefix) for prefix in chosen.tolist()]) > 0)
            logs = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
            probabilities = logs.exp()
            if given is not None:
                index = given[:, choice]
            else:
                assert rng is not None, "sampling needs a generator"
                cumulative = probabilities.detach().double().numpy().cumsum(-1)
                draw = rng.random((count, 1)) * cumulative[:, -1:]
                index = (cumulative <= draw).sum(-1)
            picked = torch.from_numpy(index)
            log_probability = log_probability + logs.gather(-1, picked[:, None])[:, 0]
            entropy = entropy - (probabilities * logs.masked_fill(~allowed, 0.0)).sum(-1)
            chosen = np.concatenate([chosen, index[:, None]], axis=1)
            token = picked + int(self.offsets[choice])
        return chosen, log_probability, entropy


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.controller not in ("default", "enas"):
            raise unknown("controller", args.controller, ("default", "enas"))
        if args.update not in UPDATES:
            raise unknown("update", args.update, UPDATES)
        if args.update == "ppo" and args.controller == "enas":
            raise ValueError("update: expected 'reinforce' beside controller 'enas', whose paper uses it, got 'ppo'.")
        for name in ("update_epochs", "clip_coef") if args.update == "reinforce" else ():
            if getattr(args, name) != getattr(Args, name):
                raise ValueError(f"{name}: expected no value beside update 'reinforce', got {getattr(args, name)}.")
        for name in ENAS if args.controller == "enas" else ():
            if getattr(args, name) != getattr(Args, name):
                raise ValueError(f"{name}: expected no value beside controller 'enas', got {getattr(args, name)}.")
        for name in ("learning_rate", "hidden_size", "temperature", "update_epochs", "clip_coef"):
            if not getattr(args, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(args, name)}.")
        settings = {**vars(args), **(ENAS if args.controller == "enas" else {})}
        self.settings, self.windows, self.seen = settings, args.windows, 0
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rng = search.agent_rng(args)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.rng.integers(2**31)))
            self.controller = Controller(
                self.space, args.hidden_size, settings["temperature"], settings["tanh_constant"]
            )
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=settings["learning_rate"])
        self.baseline: float | None = None

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        self.actions, self.log_probability, self.entropy = self.controller(len(observations), rng=self.rng)
        return np.array(self.actions)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.seen += 1
        advantage = torch.from_numpy(self.advantage(rewards)).float()
        entropy = self.entropy.mean()
        if self.seen > self.settings["warmup"] * self.windows:
            if self.settings["update"] == "ppo":
                self.ascend_clipped(advantage)
            else:
                self.ascend((advantage * self.log_probability).mean(), entropy)
        return {"losses/controller_entropy": float(entropy.detach())}

    def ascend(self, surrogate: Tensor, entropy: Tensor) -> None:
        loss = -surrogate - self.settings["entropy_coefficient"] * entropy
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def ascend_clipped(self, advantage: Tensor) -> None:
        """Take PPO's steps on the last window's architectures, with advantages (K,)."""
        before, reach = self.log_probability.detach(), self.settings["clip_coef"]
        for _ in range(self.settings["update_epochs"]):
            _, log_probability, entropy = self.controller(len(self.actions), given=self.actions)
            ratio = (log_probability - before).exp()
            clipped = ratio.clamp(1 - reach, 1 + reach)
            self.ascend(torch.min(ratio * advantage, clipped * advantage).mean(), entropy.mean())

    def advantage(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reward less a baseline that does not depend on the member's own action."""
        count = len(rewards)
        if count > 1 and self.settings["controller"] == "default":
            others = (rewards.sum() - rewards) / (count - 1)
            return np.asarray((rewards - others) / (rewards.std() + 1e-8))
        before = float(rewards.mean()) if self.baseline is None else self.baseline
        decay = self.settings["baseline_decay"]
        self.baseline = decay * before + (1 - decay) * float(rewards.mean())
        return np.asarray(rewards - before)

    @torch.no_grad()
    def recommend(self, k: int) -> list[Architecture]:
        """The k most probable architectures: of all of them, or of 4,096 draws where there are too many."""
        if np.prod(self.space.counts, dtype=np.float64) <= ENUMERATED:
            candidates = np.stack(list(self.space.enumerate()))
        else:
            candidates = np.unique(self.controller(DRAWN, rng=self.rng)[0], axis=0)
        scores = self.controller(len(candidates), given=candidates)[1].numpy()
        return [candidates[index] for index in np.argsort(-scores, kind="stable")[:k]]


if __name__ == "__main__":
    launch.main(Agent, Args, "lstm-reinforce")
