"""The inner PPO; the agent of that name is tested in test_ppo.py."""

import copy
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from archgym import export
from archgym.greedy import play
from archgym.inner_envs import open_inner_envs
from archgym.learners.ppo import Config, Rollout
from archgym.learners.ppo_torch import TorchLearners, policy_and_value
from archgym.learners.rollouts import lambda_returns
from archgym.learners.sampling import Sampler
from archgym.lookup import load
from archgym.population import Population
from archgym.search_space import SearchSpace
from archgym.search_spaces.mlp import MLP
from archgym.seeding import Consumer, env_seeds, generator
from archgym.settings import Problem, Settings
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_in, check_out, family_of, variants
from archgym.tasks import TASKS
from archgym.trainers.ppo import PRESETS, Trainer
from archgym.training import Group, Outcome

CPU, TWICE = torch.device("cpu"), torch.float64
SPACE: SearchSpace = load("archgym.search_spaces", "mlp", "search space").SPACE
FAMILY = family_of(SPACE)
INPUTS, ACTIONS = 4, 2  # CartPole
OUTPUTS = ACTIONS + 1
ENVS = 4
NETWORK = MLP((32, 32), "tanh")
CONFIG = Config(learning_rate=1e-3, num_steps=16, update_epochs=2, num_minibatches=3, anneal_lr=False, gae_lambda=0.7)
TASK = replace(TASKS["CartPole-v1"], episode_limit=15)  # many episodes end, most of them by the limit
LEARNED = tuple(name for name in FIELDS if name != "target")
PARAMETERS = NETWORK.parameters(INPUTS, OUTPUTS)


def store(network: MLP = NETWORK, seed: int = 0, dtype: torch.dtype = torch.float32) -> Supernet:
    net = Supernet(Layout(FAMILY, [network], INPUTS, OUTPUTS), np.random.default_rng(seed), CPU)
    net.fields = {name: field.to(dtype) for name, field in net.fields.items()}
    return net


def subnets_of(nets: Sequence[Supernet], network: MLP = NETWORK) -> Subnets:
    return check_out(nets, network, [False] * len(nets))


def learners_of(config: Config, nets: Sequence[Supernet], network: MLP = NETWORK) -> TorchLearners:
    return TorchLearners(config, [Group(list(range(len(nets))), subnets_of(nets, network), 0)], ACTIONS, CPU)


def fields(learners: TorchLearners, number: int = 0) -> dict[str, Tensor]:
    return learners.learners[number].subnets.fields


def random_rollout(seed: int, members: int = 1, length: int = 12, dtype: type = np.float32) -> Rollout:
    """About one slot in five only resets; policies are far enough from the networks' for some ratios to be clipped."""
    rng = np.random.default_rng(seed)
    shape = (length, members, ENVS)
    # Numbers that float32 holds: what a learner is told of a rollout is rounded to it.
    chances, values, returns = (rng.normal(size=(3, *shape)) * [[[[0.2]]], [[[1.0]]], [[[1.0]]]]).astype(np.float32)
    return Rollout(
        observations=rng.normal(size=(*shape, INPUTS)).astype(dtype),
        actions=rng.integers(0, ACTIONS, shape),
        log_probabilities=(chances - np.float32(0.7)).astype(np.float64),
        values=values.astype(np.float64),
        returns=returns.astype(np.float64),
        valid=rng.random(shape) < 4 / 5,
    )


def of_member(rollout: Rollout, member: int) -> Rollout:
    return Rollout(**{name: value[:, member : member + 1] for name, value in vars(rollout).items()})


def orders_of(seed: int, rollout: Rollout, epochs: int) -> NDArray[np.int64]:
    length, members, envs = rollout.actions.shape
    rng = np.random.default_rng(seed)
    return np.array([[rng.permutation(length * envs) for _ in range(epochs)] for _ in range(members)])


def learn(learners: TorchLearners, rollout: Rollout, seed: int = 0) -> None:
    config = learners.config
    rates = np.full(rollout.actions.shape[1], config.learning_rate)
    learners.learn(rollout, orders_of(seed, rollout, config.update_epochs), rates)


def flat(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


class Plain:
    """PPO on one `nn.Module` with torch's distributions, Adam and clipping, written as anybody would."""

    def __init__(self, config: Config, net: Supernet, network: MLP = NETWORK) -> None:
        weights = {name: view[0] for name, view in subnets_of([net], network).views("weight").items()}
        self.config, self.module = config, FAMILY.module(network, weights).to(net.fields["weight"].dtype)
        nn.utils.vector_to_parameters(torch.cat([w.flatten() for w in weights.values()]), self.module.parameters())
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=config.learning_rate)
        self.clipped = self.ratios_clipped = self.values_clipped = 0

    def look(self, observations: Any) -> tuple[torch.distributions.Categorical, Tensor]:
        outputs = self.module(torch.as_tensor(observations))
        return torch.distributions.Categorical(logits=outputs[..., :ACTIONS]), outputs[..., ACTIONS]

    def update(self, transitions: Sequence[tuple[Any, int, float, float, float]]) -> None:
        """Make one gradient step on (observation, action, log-probability, value, return)."""
        config = self.config
        dtype = next(self.module.parameters()).dtype
        observations = torch.from_numpy(np.stack([one[0] for one in transitions]))
        actions = torch.tensor([one[1] for one in transitions])
        old, before, returns = torch.tensor([one[2:] for one in transitions], dtype=dtype).T
        advantages = returns - before
        if config.norm_adv:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        policy, value = self.look(observations)
        ratio = torch.exp(policy.log_prob(actions) - old)
        low, high = 1 - config.clip_coef, 1 + config.clip_coef
        surrogate = torch.max(-advantages * ratio, -advantages * torch.clamp(ratio, low, high)).mean()
        self.ratios_clipped += int(((ratio < low) | (ratio > high)).sum())
        errors = (value - returns) ** 2
        if config.clip_vloss:
            near = before + torch.clamp(value - before, -config.clip_coef, config.clip_coef)
            self.values_clipped += int(((near - returns) ** 2 > errors).sum())
            errors = torch.max(errors, (near - returns) ** 2)
        loss = surrogate - config.ent_coef * policy.entropy().mean() + config.vf_coef * 0.5 * errors.mean()
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), config.max_grad_norm)
        self.clipped += bool(norm > config.max_grad_norm)
        self.optimizer.step()


# The advantages.


@st.composite
def experiences(draw: st.DrawFn) -> list[list[tuple[float, str]]]:
    """Episodes of one environment, one after the other: rewards and how each step ended (`reset`: no step at all)."""
    number = st.floats(-10, 10, width=32)
    episodes, length = [], draw(st.integers(1, 12))
    while sum(map(len, episodes)) < length:
        steps = [(draw(number), "on") for _ in range(draw(st.integers(0, 5)))]
        steps += [(draw(number), draw(st.sampled_from(["terminated", "truncated"]))), (0.0, "reset")]
        episodes.append(steps)
    return episodes


@given(experiences(), st.integers(0, 3), st.integers(0, 8), st.floats(0, 1), st.floats(0, 1), st.randoms())
def test_returns_less_values_are_the_generalised_advantages_of_a_plain_loop(
    episodes: list[list[tuple[float, str]]], skipped: int, cut: int, gamma: float, decay: float, random: Any
) -> None:
    """As the GAE paper sums them: of each episode alone, errors of one step, weighted by gamma lambda."""
    rows = [(number, *step) for number, steps in enumerate(episodes) for step in steps]
    rows = rows[min(skipped, len(rows) - 1) :]
    rows = rows[: max(1, len(rows) - cut)]
    values = [random.uniform(-10, 10) for _ in range(len(rows) + 1)]
    columns = [np.array(column)[:, None] for column in zip(*rows, strict=True)]
    got = lambda_returns(
        columns[1].astype(float), columns[2] == "terminated", columns[2] != "reset", np.array(values)[:, None],
        gamma, decay,
    )[:, 0] - values[:-1]  # fmt: skip
    for slot, (episode, _, ended) in enumerate(rows):
        if ended == "reset":
            continue
        expected, weight = 0.0, 1.0
        for later in range(slot, len(rows)):
            number, reward, end = rows[later]
            if number != episode or end == "reset":
                break
            expected += weight * (reward + gamma * values[later + 1] * (end != "terminated") - values[later])
            weight *= gamma * decay
        assert got[slot] == pytest.approx(expected, abs=1e-9)


# The gradient steps of a rollout.

KINDS = {
    "CleanRL's": {},
    "plain": {"norm_adv": False, "clip_vloss": False, "ent_coef": 0.0},
    "narrow": {"clip_coef": 0.05, "ent_coef": 0.1, "vf_coef": 0.25, "max_grad_norm": 0.3},
}


@pytest.mark.parametrize("network", [NETWORK, MLP((32, 64), "relu", True, True)], ids=["plain", "skips"])
@pytest.mark.parametrize("kind", KINDS)
def test_updates_are_those_of_a_plain_network_with_torchs_adam_and_clipping(network: MLP, kind: str) -> None:
    """In double precision, where rounding hides no fault."""
    config = replace(CONFIG, learning_rate=3e-3, **KINDS[kind])
    net = store(network, dtype=TWICE)
    learners, plain, skipped = learners_of(config, [net], network), Plain(config, net, network), 0
    for number in range(4):
        rollout = random_rollout(number, dtype=np.float64)
        learn(learners, rollout, number)
        columns = [part.reshape(-1, *part.shape[3:]) for part in vars(rollout).values()]
        every = [(*one[:5], bool(one[5])) for one in zip(*columns, strict=True)]
        for order in orders_of(number, rollout, 2)[0].tolist():
            for start in (0, 16, 32):
                batch = [every[i] for i in order[start : start + 16]]
                skipped += sum(not one[5] for one in batch)
                plain.update([(one[0], int(one[1]), *map(float, one[2:5])) for one in batch if one[5]])  # type: ignore[misc]
        torch.testing.assert_close(fields(learners)["weight"][0], flat(plain.module), rtol=1e-9, atol=1e-9)
    assert plain.ratios_clipped > 50, "what clipping does is tested"
    assert (plain.values_clipped > 20) == config.clip_vloss
    assert (plain.clipped > 12) == (config.max_grad_norm < 1), "the limit is tested on both sides"
    assert skipped > 20
    assert learners.finish().gradient_steps.tolist() == [24]
    assert float((flat(plain.module) - store(network).fields["weight"]).abs().max()) > 0.02


def test_loss_and_value_are_the_squared_error_and_the_mean_of_the_critic() -> None:
    config = replace(CONFIG, update_epochs=1, num_minibatches=1)
    learners, plain, rollout = learners_of(config, [store()]), Plain(config, store()), random_rollout(0)
    with torch.no_grad():
        _, value = plain.look(rollout.observations[rollout.valid])
    learn(learners, rollout)
    told = learners.finish()
    errors = value.numpy() - rollout.returns[rollout.valid]
    assert told.loss[0] == pytest.approx(np.mean(errors**2), rel=1e-5)
    assert told.value[0] == pytest.approx(float(value.mean()), rel=1e-4)


@pytest.mark.parametrize("poison", [1e6, -1e6, 1e30, np.nan])
def test_steps_that_only_reset_never_enter_a_gradient(poison: float) -> None:
    rollout = random_rollout(0)
    assert 0 < rollout.valid.sum() < rollout.valid.size
    poisoned, empty = copy.deepcopy(rollout), ~rollout.valid
    for part in (poisoned.returns, poisoned.values, poisoned.log_probabilities):
        part[empty] = poison
    poisoned.actions[empty] = 1 - poisoned.actions[empty]
    poisoned.observations[empty] = 50.0
    moved, told = [], []
    for one in (rollout, poisoned):
        learners = learners_of(CONFIG, [store()])
        learn(learners, one)
        moved.append(fields(learners)["weight"].clone())
        told.append(learners.finish())
    assert not torch.equal(moved[0], store().fields["weight"][None])
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-5, atol=1e-6)
    assert told[0].loss[0] == pytest.approx(told[1].loss[0], rel=1e-4)
    assert told[0].value[0] == pytest.approx(told[1].value[0], rel=1e-3)


@pytest.mark.parametrize("real", [0, 1])
def test_a_minibatch_with_one_transition_or_none_keeps_all_numbers_finite(real: int) -> None:
    rollout = random_rollout(0, length=1)
    rollout.valid[...] = False
    rollout.valid[0, 0, :real] = True
    learners = learners_of(CONFIG, [store()])
    learn(learners, rollout)
    told = learners.finish()
    assert not told.diverged.any()
    assert np.isfinite(told.loss).all()


def test_members_of_a_stack_learn_what_they_learn_alone_in_whatever_order_they_stand() -> None:
    nets = [store(seed=seed) for seed in (0, 1, 2)]
    rollout = random_rollout(0, members=3)
    orders, rates = orders_of(0, rollout, 2), np.full(3, 1e-3)
    groups = [Group([2, 0], subnets_of([nets[2], nets[0]]), 0), Group([1], subnets_of([nets[1]]), 0)]
    together = TorchLearners(CONFIG, groups, ACTIONS, CPU)
    together.learn(rollout, orders, rates)
    seen = rollout.observations[0]
    policies, values = together.act(seen)
    told = together.finish()
    for member, (group, row) in enumerate([(0, 1), (1, 0), (0, 0)]):
        alone = learners_of(CONFIG, [nets[member]])
        alone.learn(of_member(rollout, member), orders[member : member + 1], rates[:1])
        own = alone.act(seen[member : member + 1])
        np.testing.assert_allclose(policies[member], own[0][0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(values[member], own[1][0], rtol=1e-4, atol=1e-5)
        single = alone.finish()
        for name in LEARNED:
            expected = fields(alone)[name][0]
            torch.testing.assert_close(fields(together, group)[name][row], expected, rtol=1e-4, atol=1e-5)
        assert told.loss[member] == pytest.approx(single.loss[0], rel=1e-4)
        assert told.value[member] == pytest.approx(single.value[0], rel=1e-3)


def test_a_gradient_is_cut_to_the_length_of_its_own_member_and_not_of_the_stack() -> None:
    """One step of Adam has the same length whatever the gradient's; the moments keep the gradient."""
    config = replace(CONFIG, update_epochs=1, num_minibatches=1, max_grad_norm=0.2, ent_coef=0.0)
    rollout = random_rollout(0, members=2)
    rollout.returns[:, 0] *= 100
    learners = learners_of(config, [store(), store()])
    learn(learners, rollout)
    lengths = (fields(learners)["exp_avg"] / 0.1).norm(dim=1)
    assert lengths.tolist() == pytest.approx([0.2, 0.2], rel=1e-4)


def test_a_member_that_diverges_does_not_touch_the_others_of_its_stack() -> None:
    nets = [store(seed=seed) for seed in (0, 1)]
    sound, spoilt = learners_of(CONFIG, nets), learners_of(CONFIG, nets)
    rollout = random_rollout(0, members=2)
    learn(sound, rollout)
    rollout.returns[:, 0] = 1e30
    learn(spoilt, rollout)
    assert sound.finish().diverged.tolist() == [False, False]
    assert spoilt.finish().diverged.tolist() == [True, False]
    for name in FIELDS:
        assert torch.equal(fields(sound)[name][1], fields(spoilt)[name][1])


# Acting.


def test_actions_are_drawn_from_the_policy_by_each_members_own_generator() -> None:
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    policies = np.log(np.broadcast_to(shares[:, None], (2, 5, 3)))
    sampler, alone = Sampler([(3, 0), (8, 1)], 5, 3), Sampler([(8, 1)], 5, 3)
    drawn = np.stack([sampler.choose(slot, policies) for slot in range(2_000)])
    for member in range(2):
        found = np.bincount(drawn[:, member].ravel(), minlength=3) / drawn[:, member].size
        np.testing.assert_allclose(found, shares[member], atol=0.02)  # 10,000 draws each: four deviations
    again = np.stack([alone.choose(slot, policies[1:]) for slot in range(2_000)])
    np.testing.assert_array_equal(drawn[:, 1], again[:, 0])
    assert len({tuple(row) for row in drawn[:, 0].T}) == 5, "environments of a member draw apart"


def test_acting_gives_the_policy_and_the_value_of_each_network() -> None:
    nets = [store(), store(seed=1)]
    learners, rng = learners_of(CONFIG, nets), np.random.default_rng(0)
    observations = rng.normal(size=(2, ENVS, INPUTS)).astype(np.float32)
    policies, values = learners.act(observations)
    for member, net in enumerate(nets):
        with torch.no_grad():
            policy, value = Plain(CONFIG, net).look(observations[member])
        np.testing.assert_allclose(policies[member], policy.logits, atol=1e-5)
        np.testing.assert_allclose(values[member], value, atol=1e-5)


def problem(**keywords: Any) -> Problem:
    given = {"trainer": "ppo", "actor_critic": True, "windows": 2, "window_steps": 120, "num_steps": 8, **keywords}
    return Problem(Settings.from_keywords(given))


def with_value(made: Population, value: float) -> NDArray[np.int64]:
    """Give the critic of the default architecture this value, whatever it sees."""
    architecture = made.problem.space.default_architecture
    field = made.lifetimes[0].stores[""].supernet
    views = field.layout.views(made.problem.space.network_of(architecture), torch.arange(field.layout.size)[None][:, field.layout.positions(made.problem.space.network_of(architecture))])
    for name, view in views.items():
        if name.startswith("head"):
            field.fields["weight"][view[0, -1]] = value if name.endswith("bias") else 0.0
    return architecture


def test_an_evaluation_takes_the_most_probable_action_and_never_the_value() -> None:
    made = Population(problem(), 1)
    made.reset([1])
    made.train_window(made.problem.space.default_architecture[None])
    architecture = with_value(made, 1e9)
    scored, _ = made.evaluate(architecture[None], [0], 4)
    assert scored[0] == made.evaluate(with_value(made, -1e9)[None], [0], 4)[0][0]
    module = made_module(made, architecture)
    seeds = env_seeds(1, Consumer.EVALUATION, count=4)
    returns, alive = np.zeros(4), np.ones(4, dtype=bool)
    with closing(open_inner_envs(made.problem.task, seeds)) as envs:
        observation = envs.reset()
        while alive.any():
            with torch.no_grad():
                actions = module(torch.from_numpy(observation))[:, :ACTIONS].argmax(-1).numpy()
            step = envs.step(actions)
            returns[alive] += step.reward[alive]
            alive &= ~(step.terminated | step.truncated)
            observation = step.observation
    assert scored[0] == returns.mean()


def made_module(made: Population, architecture: NDArray[np.int64]) -> nn.Module:
    return export.module(made.problem, architecture, made.weights(0, architecture))


def test_an_exported_network_gives_logits_and_then_the_value_and_its_card_says_so(tmp_path: Path) -> None:
    made = Population(problem(), 1)
    made.reset([1])
    made.train_window(made.problem.space.default_architecture[None])
    architecture = with_value(made, 7.5)
    outputs = made_module(made, architecture)(torch.randn(5, INPUTS))
    assert outputs.shape == (5, OUTPUTS)
    assert outputs[:, -1].tolist() == [7.5] * 5
    export.save(tmp_path, made.problem, architecture, made.weights(0, architecture))
    assert '"outputs": 3,\n  "actor_critic": true' in (tmp_path / "best.json").read_text()
