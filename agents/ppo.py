"""PPO on the sequential view: an action decides one choice, a rollout is whole architectures of all K members.

    L = E_t [ min(r_t A_t, clip(r_t, 1 - e, 1 + e) A_t) ] + c1 H - c2 (V - R)^2      r_t = pi(a_t|s_t) / pi_old(a_t|s_t)

Paper: arXiv 1707.06347; advantages by GAE, arXiv 1506.02438. Names, losses, initialisation, clipped value loss,
normalised advantages and annealing are those of CleanRL's `ppo.py`.

What differs: illegal options are masked (their logits are minus infinity). A rollout is a few architectures and not 128
steps, each one batch, and the learning rate is 20 times higher, because a search is a few hundred architectures. Gamma
is 1, and credit ends with the architecture: a window's reward belongs to the decisions that led to it, and what comes
after a window belongs to the next architecture (a lifetime's carry-over is thus not planned for). The reward learned
from is the window's less the mean of the other members at the same window, over the spread of all members (at K = 2
that is 2 or -2, however large the difference), because rewards rise while the inner learner learns; at K = 1 less a
moving average, not scaled. Policy and value read the architecture under construction alone: the fields about the
lifetime say more, but in a search of this size they mislead (`--inputs all`).

It recommends by beam search the architectures that the policy finds most probable: that averages over all that was
learned.
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
from archgym.running.agent import agent_rng, check_finite, check_idle, check_learns
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace

INPUTS = ("all", "draft")
BEAM = 64  # prefixes that the search for the most probable architectures keeps
ROLLOUT = 4  # architectures of all members together in a rollout, at least
SMALL = 1e-8


@dataclass(frozen=True)
class Args(SearchArgs):
    env_id: str = "ArchSearch-DQN-Sequential-v0"
    """The environment, a sequential one."""
    learning_rate: float = 5e-3
    """Adam's step size."""
    num_steps: int | None = None
    """Decisions of one member in a rollout; None: those of the fewest architectures that make 4 with all members."""
    anneal_lr: bool = True
    """Whether the learning rate falls linearly to 0."""
    gamma: float = 1.0
    """The discount between the decisions of an architecture."""
    gae_lambda: float = 0.95
    """Lambda of the generalised advantage estimation."""
    num_minibatches: int = 1
    """Minibatches of a rollout."""
    update_epochs: int = 4
    """Passes over a rollout."""
    norm_adv: bool = True
    """Whether advantages are normalised in every minibatch."""
    clip_coef: float = 0.2
    """How far the ratio of probabilities may leave 1, e."""
    clip_vloss: bool = True
    """Whether values, too, may move by no more than that."""
    ent_coef: float = 0.01
    """Weight of the entropy, c1."""
    vf_coef: float = 0.5
    """Weight of the value loss, c2."""
    max_grad_norm: float = 0.5
    """Longest gradient."""
    target_kl: float | None = None
    """Passes end once the policy has moved this far; None: never."""
    baseline_decay: float = 0.9
    """Of the moving average that rewards are compared with at K = 1."""
    inputs: str = "draft"
    """What the networks read: `draft`, the architecture under construction, or `all` of the observation."""


def layer(inputs: int, outputs: int, deviation: float = 2**0.5) -> nn.Linear:
    """Make an affine layer with orthogonal weights."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, deviation)
    nn.init.zeros_(linear.bias)
    return linear


def network(inputs: int, outputs: int, deviation: float) -> nn.Sequential:
    return nn.Sequential(layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, outputs, deviation))


def advantages(
    rewards: NDArray[np.float64], values: NDArray[np.float64], last: NDArray[np.bool_], gamma: float, gae_lambda: float
) -> NDArray[np.float64]:
    """Estimate advantages (T, K) of decisions; `last` (T,) tells which ones complete an architecture."""
    found = np.zeros_like(rewards)
    after, value_after = np.zeros(rewards.shape[1]), np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        goes_on = 1.0 - last[t]
        delta = rewards[t] + gamma * value_after * goes_on - values[t]
        found[t] = after = delta + gamma * gae_lambda * goes_on * after
        value_after = values[t]
    return found


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        self.envs, self.args = envs.unwrapped, args
        self.space: SearchSpace = self.envs.search_space
        members, choices = self.envs.num_envs, len(self.space.choices)
        self.num_steps = choices * -(-ROLLOUT // members) if args.num_steps is None else args.num_steps
        check(args, self.num_steps, members, choices)
        self.draft = drafts.size(self.space)
        size = self.draft if args.inputs == "draft" else self.envs.single_observation_space.shape[0]
        self.rng = agent_rng(args)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.rng.integers(2**31)))
            self.actor = network(size, max(self.space.counts), 0.01)
            self.critic = network(size, 1, 1.0)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=args.learning_rate, eps=1e-5, fused=True)
        self.updates, self.total = 0, max(1, args.windows * choices // self.num_steps)
        self.rollout: list[tuple[NDArray[Any], ...]] = []
        self.baseline: float | None = None
        self.scalars: dict[str, float] = {}

    def log_probabilities(self, inputs: Tensor, masks: Tensor) -> Tensor:
        logits: Tensor = self.actor(inputs).masked_fill(~masks, -torch.inf)  # (N, options)
        return logits.log_softmax(-1)

    @torch.no_grad()
    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        masks = self.envs.action_masks()
        self.lives = observations[:, : -self.draft]
        inputs = observations[:, -self.draft :] if self.args.inputs == "draft" else observations
        logs = self.log_probabilities(torch.from_numpy(inputs), torch.from_numpy(masks)).double().numpy()
        values = self.critic(torch.from_numpy(inputs))[:, 0].double().numpy()
        cumulative = np.exp(logs).cumsum(-1)
        draw = self.rng.random((len(masks), 1)) * cumulative[:, -1:]
        actions = np.asarray((cumulative <= draw).sum(-1))
        picked = np.take_along_axis(logs, actions[:, None], axis=1)[:, 0]
        self.decision = (inputs, masks, actions, picked, values)
        return actions

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        completed = "env_steps" in infos
        merit = self.merit(rewards) if completed else np.zeros(len(rewards))
        self.rollout.append((*self.decision, merit, np.array(completed)))
        if len(self.rollout) == self.num_steps:
            self.update()
            self.rollout = []
        return self.scalars

    def merit(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compare the rewards of a window (K,) with the other members', or with a moving average at K = 1."""
        if len(rewards) > 1:
            others = (rewards.sum() - rewards) / (len(rewards) - 1)
            return np.asarray((rewards - others) / (rewards.std() + SMALL))
        before = float(rewards[0]) if self.baseline is None else self.baseline
        self.baseline = self.args.baseline_decay * before + (1 - self.args.baseline_decay) * float(rewards[0])
        return np.asarray(rewards - before)

    def update(self) -> None:
        args = self.args
        inputs, masks, actions, old_logs, values, merits, last = map(np.stack, zip(*self.rollout, strict=True))
        advantage = advantages(merits, values, last, args.gamma, args.gae_lambda)  # (num_steps, K)
        b_inputs, b_masks = (torch.from_numpy(part.reshape(-1, part.shape[-1])) for part in (inputs, masks))
        b_actions = torch.from_numpy(actions.ravel())
        b_logs, b_advantages, b_values, b_returns = (
            torch.from_numpy(part.ravel()).float() for part in (old_logs, advantage, values, advantage + values)
        )
        if args.anneal_lr:
            self.optimizer.param_groups[0]["lr"] = args.learning_rate * max(0.0, 1.0 - self.updates / self.total)
        self.updates += 1
        for _ in range(args.update_epochs):
            for own in np.array_split(self.rng.permutation(len(b_logs)), args.num_minibatches):
                mb = torch.from_numpy(own)
                logs = self.log_probabilities(b_inputs[mb], b_masks[mb])
                log_ratio = logs.gather(-1, b_actions[mb, None])[:, 0] - b_logs[mb]
                ratio = log_ratio.exp()
                merit = b_advantages[mb]
                if args.norm_adv:
                    merit = (merit - merit.mean()) / (merit.std(correction=0) + SMALL)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = -torch.min(merit * ratio, merit * clipped).mean()
                value = self.critic(b_inputs[mb])[:, 0]
                errors = (value - b_returns[mb]) ** 2
                if args.clip_vloss:
                    moved = (value - b_values[mb]).clamp(-args.clip_coef, args.clip_coef)
                    errors = torch.max(errors, (b_values[mb] + moved - b_returns[mb]) ** 2)
                value_loss = 0.5 * errors.mean()
                entropy = -(logs.exp() * logs.masked_fill(~b_masks[mb], 0.0)).sum(-1).mean()
                loss = policy_loss - args.ent_coef * entropy + args.vf_coef * value_loss
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, args.max_grad_norm)
                self.optimizer.step()
            approx_kl = float((ratio - 1 - log_ratio).mean().detach())
            if args.target_kl is not None and approx_kl > args.target_kl:
                break
        told = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
        self.scalars = {f"losses/{name}": float(number.detach()) for name, number in told.items()}
        self.scalars["losses/approx_kl"] = approx_kl

    @torch.no_grad()
    def recommend(self, k: int) -> list[Architecture]:
        """Search with a beam for the most probable architectures; on the whole observation, of the members' mean."""
        lives = self.lives if self.args.inputs == "all" else self.lives[:1, :0]

        def totals(prefixes: NDArray[np.int64], before: NDArray[np.float64]) -> NDArray[np.float64]:
            rows = drafts.encode(self.space, prefixes)
            masks = torch.from_numpy(rows[:, -max(self.space.counts) :] > 0)
            logs = [
                self.log_probabilities(torch.from_numpy(np.hstack([np.tile(life, (len(rows), 1)), rows])), masks)
                for life in lives
            ]
            return np.asarray(before[:, None] + torch.stack(logs).mean(0).double().numpy())

        return drafts.beam_search(self.space, max(k, BEAM), totals)[:k]


def check(args: Args, num_steps: int, members: int, choices: int) -> None:
    """Refuse settings that cannot work, or with which nothing would be learned."""
    if args.inputs not in INPUTS:
        raise unknown("inputs", args.inputs, INPUTS)
    if num_steps < 1 or num_steps % choices:
        raise ValueError(f"num_steps: expected a multiple of the {choices} choices of a space, got {num_steps}.")
    if args.norm_adv and num_steps * members < 2 * choices:
        raise ValueError(
            f"num_steps: expected at least {2 * choices} for one member alone (normalised advantages compare "
            f"architectures), got {num_steps}."
        )
    least = 2 if args.norm_adv else 1  # one decision alone has the normalised advantage 0
    most, each = num_steps * members // least, ", two in each to be normalised" if args.norm_adv else ""
    if not 1 <= args.num_minibatches <= most:
        raise ValueError(
            f"num_minibatches: expected 1 to {most} (a rollout's decisions{each}), got {args.num_minibatches}."
        )
    for name in ("learning_rate", "update_epochs", "clip_coef", "max_grad_norm", "target_kl"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            raise ValueError(f"{name}: expected a positive number, got {getattr(args, name)}.")
    for name in ("ent_coef", "vf_coef"):
        if not getattr(args, name) >= 0:
            raise ValueError(f"{name}: expected a number of at least 0, got {getattr(args, name)}.")
    check_finite(args, "learning_rate", "ent_coef", "vf_coef", "target_kl")
    if members > 1:
        check_idle(args, ["baseline_decay"], f"num_envs {members}")
    for name in ("gamma", "gae_lambda", "baseline_decay"):
        if not 0 <= getattr(args, name) <= 1:
            raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(args, name)}.")
    most = args.windows * choices
    expected = f"at most {most} (a member's decisions in this search)"
    check_learns(args, "num_steps", num_steps <= most, expected, num_steps)


if __name__ == "__main__":
    launch.main(Agent, Args, "ppo")
