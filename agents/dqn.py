"""DQN on the sequential view: an action decides one choice, and Q tells what the best completion will earn.

    L = (Q(s, a) - y)^2      y = R(window) at an architecture's last choice, else max over legal a' of Q_target(s', a')

Papers: arXiv 1312.5602, and Nature 518 (2015). Names, network (120 and 84 units), exploration rate, target network and
uniform replay are those of CleanRL's `dqn.py`; decisions count as its environment steps, per member.

What differs: illegal options are masked, in acting, exploring and in the maximum. Gamma is 1, and an episode is one
architecture: a window's reward belongs to the decisions that led to it, and what comes after a window belongs to the
next architecture (a lifetime's carry-over is thus not planned for). There is a gradient step at every decision, with a
step size of 1e-3 and not 2.5e-4, from the second tenth of the windows on, and the target network follows with tau =
0.05 and is not copied every 500 steps, because a search is a few hundred architectures. Q reads the architecture under
construction alone (`--inputs all`: the whole observation).

Rewards rise while the inner learner learns, so old ones in the replay would count for too little. Taking out the plain
trend would also take out what the agent improved. So the trend is that of what Q does not explain:

    R = Q(a) + detrend(r - Q(a))        (r: rewards (windows, K), Q(a): of the architectures' last decisions)

computed anew after each window for all of the replay. It recommends by beam search on Q and not by the incumbent's
rule, whose trend does contain that improvement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archgym import drafts
from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, check_finite, check_learns
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import detrend

INPUTS = ("all", "draft")
BEAM = 16  # prefixes that the search for the highest Q keeps


@dataclass(frozen=True)
class Args(SearchArgs):
    env_id: str = "ArchSearch-DQN-Sequential-v0"
    """The environment, a sequential one."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    buffer_size: int = 10_000
    """Decisions in the replay, of all members together; whole windows of them."""
    gamma: float = 1.0
    """The discount between the decisions of an architecture."""
    tau: float = 0.05
    """How far the target network moves towards the weights."""
    target_network_frequency: int = 1
    """Decisions between such moves."""
    batch_size: int = 128
    """Decisions in a minibatch."""
    start_e: float = 1.0
    """Exploration rate at the beginning."""
    end_e: float = 0.05
    """Exploration rate at the end."""
    exploration_fraction: float = 0.5
    """Share of the decisions within which the exploration rate falls linearly."""
    learning_starts: int | None = None
    """Decisions before the first gradient step; None: those of a tenth of the windows."""
    train_frequency: int = 1
    """Decisions between gradient steps."""
    inputs: str = "draft"
    """What the network reads: `draft`, the architecture under construction, or `all` of the observation."""


def network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, outputs))


def linear_schedule(start_e: float, end_e: float, duration: float, t: int) -> float:
    return max(start_e + (end_e - start_e) / duration * t, end_e)


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        self.envs, self.args = envs.unwrapped, args
        check(args)
        self.space: SearchSpace = self.envs.search_space
        members, self.choices, self.options = self.envs.num_envs, len(self.space.choices), max(self.space.counts)
        self.draft = drafts.size(self.space)
        size = self.draft if args.inputs == "draft" else self.envs.single_observation_space.shape[0]
        self.rng = agent_rng(args)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.rng.integers(2**31)))
            self.q_network, self.target_network = network(size, self.options), network(size, self.options)
        self.target_network.load_state_dict(self.q_network.state_dict())
        self.optimizer = torch.optim.Adam(self.q_network.parameters(), lr=args.learning_rate, fused=True)
        self.total = args.windows * self.choices  # decisions of one member in a lifetime
        tenth = -(-args.windows // 10) * self.choices
        self.learning_starts = tenth if args.learning_starts is None else args.learning_starts
        check_reached(args, self.learning_starts, self.total)
        # Decision t of the lifetimes; row `total` stands for what follows the last one.
        self.inputs = np.zeros((self.total + 1, members, size), dtype=np.float32)
        self.masks = np.ones((self.total + 1, members, self.options), dtype=np.bool_)
        self.actions = np.zeros((self.total, members), dtype=np.int64)
        self.rewards = np.zeros((0, members))  # (windows so far, K)
        self.worth = self.rewards  # the same without their trend
        self.t = 0
        self.scalars: dict[str, float] = {}

    @torch.no_grad()
    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        masks, args = self.envs.action_masks(), self.args
        self.lives = observations[:, : -self.draft]
        self.inputs[self.t] = observations[:, -self.draft :] if args.inputs == "draft" else observations
        self.masks[self.t] = masks
        epsilon = linear_schedule(args.start_e, args.end_e, args.exploration_fraction * self.total, self.t)
        greedy = best(self.q_network(torch.from_numpy(self.inputs[self.t])), masks)[1].numpy()
        anything = np.where(masks, self.rng.random(masks.shape), -1.0).argmax(-1)
        self.actions[self.t] = np.where(self.rng.random(len(masks)) < epsilon, anything, greedy)
        return np.array(self.actions[self.t])

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.t += 1
        if "env_steps" in infos:
            self.rewards = np.concatenate([self.rewards, rewards[None]])
            self.worth = self.without_trend()
        if self.t >= self.learning_starts and len(self.rewards):
            if self.t % self.args.train_frequency == 0:
                self.train()
            if self.t % self.args.target_network_frequency == 0:
                with torch.no_grad():
                    pairs = zip(self.target_network.parameters(), self.q_network.parameters(), strict=True)
                    for target, weight in pairs:
                        target.lerp_(weight, self.args.tau)
        return self.scalars

    @torch.no_grad()
    def without_trend(self) -> NDArray[np.float64]:
        """Take out of the rewards the trend of what Q does not explain, (windows, K)."""
        last = np.arange(1, len(self.rewards) + 1) * self.choices - 1
        values = self.q_network(torch.from_numpy(self.inputs[last]))
        explained = values.gather(-1, torch.from_numpy(self.actions[last])[..., None])[..., 0].double().numpy()
        return np.asarray(explained + detrend(self.rewards - explained))

    def sample(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw decisions of windows that are over: when and whose, (batch_size,) each."""
        windows, members = self.rewards.shape
        first = max(0, windows - max(1, self.args.buffer_size // (members * self.choices)))
        t = self.rng.integers(first * self.choices, windows * self.choices, self.args.batch_size)
        return t, self.rng.integers(0, members, self.args.batch_size)

    @torch.no_grad()
    def targets(self, t: NDArray[np.int64], k: NDArray[np.int64]) -> Tensor:
        done = (t + 1) % self.choices == 0
        after = torch.from_numpy(self.inputs[t + 1, k])
        following = best(self.target_network(after), self.masks[t + 1, k])[0].double().numpy()
        y = np.where(done, self.worth[t // self.choices, k], self.args.gamma * following)
        return torch.from_numpy(y).float()

    def train(self) -> None:
        t, k = self.sample()
        values = self.q_network(torch.from_numpy(self.inputs[t, k]))  # (batch_size, options)
        q_values = values.gather(-1, torch.from_numpy(self.actions[t, k])[:, None])[:, 0]
        loss = ((q_values - self.targets(t, k)) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scalars = {"losses/td_loss": float(loss.detach()), "losses/q_values": float(q_values.detach().mean())}

    @torch.no_grad()
    def recommend(self, k: int) -> list[Architecture]:
        """Search with a beam for the highest Q; on the whole observation, of the members' mean."""
        lives = self.lives if self.args.inputs == "all" else self.lives[:1, :0]

        def values(prefixes: NDArray[np.int64], before: NDArray[np.float64]) -> NDArray[np.float64]:
            """Q of the last decision says all: it tells what the best completion will earn."""
            rows = drafts.encode(self.space, prefixes)
            found = [
                self.q_network(torch.from_numpy(np.hstack([np.tile(life, (len(rows), 1)), rows]))) for life in lives
            ]
            return np.where(rows[:, -self.options :] > 0, torch.stack(found).mean(0).numpy(), -np.inf)

        return drafts.beam_search(self.space, max(k, BEAM), values)[:k]


def best(values: Tensor, masks: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Give the highest value among the legal options (N, options), and the option."""
    found = values.masked_fill(torch.from_numpy(~masks), -torch.inf).max(-1)
    return found.values, found.indices


def check(args: Args) -> None:
    """Refuse settings that cannot work."""
    if args.inputs not in INPUTS:
        raise unknown("inputs", args.inputs, INPUTS)
    for name in ("learning_rate", "batch_size", "buffer_size", "train_frequency", "target_network_frequency"):
        if not getattr(args, name) > 0:
            raise ValueError(f"{name}: expected a positive number, got {getattr(args, name)}.")
    check_finite(args, "learning_rate")
    if args.learning_starts is not None and args.learning_starts < 0:
        raise ValueError(f"learning_starts: expected a number of at least 0, got {args.learning_starts}.")
    for name in ("gamma", "tau", "start_e", "end_e", "exploration_fraction"):
        least = "more than 0" if name in ("tau", "exploration_fraction") else "0"
        if not 0 <= getattr(args, name) <= 1 or (least != "0" and not getattr(args, name)):
            raise ValueError(f"{name}: expected a number from {least} to 1, got {getattr(args, name)}.")


def check_reached(args: Args, learning_starts: int, total: int) -> None:
    """Refuse settings under which the decisions of a search end before its first gradient step.

    Args:
        args: Of the agent.
        learning_starts: Decisions before the first gradient step.
        total: Decisions of one member in the search.
    """
    said = "a member's decisions in this search"
    frequent = args.train_frequency <= total
    check_learns(args, "train_frequency", frequent, f"at most {total} ({said})", args.train_frequency)
    last = total - total % args.train_frequency  # the last gradient step
    begins = learning_starts <= last or not frequent
    check_learns(args, "learning_starts", begins, f"at most {last} ({said})", learning_starts)


if __name__ == "__main__":
    launch.main(Agent, Args, "dqn")
