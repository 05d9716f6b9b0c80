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
from archgym.inner.envs import open_inner_envs
from archgym.inner.episodes import EpisodeCounter
from archgym.inner.tasks import TASKS
from archgym.learners.ppo import Config, Rollout
from archgym.learners.ppo_torch import TorchLearners
from archgym.learners.rollouts import lambda_returns
from archgym.learners.sampling import Sampler
from archgym.lookup import load
from archgym.population import Population
from archgym.problem import Problem
from archgym.search_space import SearchSpace
from archgym.search_spaces.mlp import MLP
from archgym.seeding import Consumer, env_seeds, generator
from archgym.settings import Settings
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_in, check_out, family_of, variants
from archgym.trainers.ppo import PRESETS, Trainer
from archgym.training import Group, Outcome, Window

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
    supernet, network = made.lifetimes[0].stores[""].supernet, made.problem.space.network_of(architecture)
    for name, places in supernet.layout.views(network, supernet.layout.positions(network)[None]).items():
        if name.startswith("head"):
            supernet.fields["weight"][places[0, -1]] = value if name.endswith("bias") else 0.0
    return architecture


def exported(made: Population, architecture: NDArray[np.int64]) -> nn.Module:
    return export.module(made.problem, architecture, made.weights(0, architecture))


def test_an_evaluation_takes_the_most_probable_action_and_never_the_value() -> None:
    made = Population(problem(), 1)
    made.reset([1])
    made.train_window(made.problem.space.default_architecture[None])
    architecture = with_value(made, 1e9)
    scored, _ = made.evaluate(architecture[None], [0], 2)
    module = exported(made, architecture)
    seeds = env_seeds(1, Consumer.EVALUATION, count=2)
    returns, alive = np.zeros(2), np.ones(2, dtype=bool)
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


def test_an_exported_network_gives_logits_and_then_the_value_and_its_card_says_so(tmp_path: Path) -> None:
    made = Population(problem(), 1)
    made.reset([1])
    made.train_window(made.problem.space.default_architecture[None])
    architecture = with_value(made, 7.5)
    outputs = exported(made, architecture)(torch.randn(5, INPUTS))
    assert outputs.shape == (5, OUTPUTS)
    assert outputs[:, -1].tolist() == [7.5] * 5
    export.save(tmp_path, made.problem, architecture, made.weights(0, architecture))
    assert '"outputs": 3,\n  "actor_critic": true' in (tmp_path / "best.json").read_text()


# A whole window.


def window(
    config: Config,
    subnets: Subnets,
    *,
    slots: int = 40,
    steps: int = 0,
    horizon: int = 2000,
    members: Sequence[int] = (0,),
    number: int = 0,
) -> Outcome:
    """Train one group for a window on CartPole."""
    seeds = [seed for member in members for seed in env_seeds(member, Consumer.INNER_ENVS, number, count=ENVS)]
    trainer, group = Trainer(config, horizon, CPU), Group(list(range(len(members))), subnets, steps)
    length = Window(slots, EpisodeCounter(len(members), ENVS, TASK.episode_limit))
    with closing(open_inner_envs(TASK, seeds)) as envs:
        return trainer.train([group], list(members), None, envs, [(member, number) for member in members], length)


def plain_window(config: Config, net: Supernet, lengths: Sequence[int], horizon: int) -> tuple[Plain, list[float]]:
    """The same window as a loop over transitions, each environment's kept apart."""
    plain, taken = Plain(config, net), 0
    noise = generator(0, Consumer.EXPLORATION, 0).gumbel(size=(64, ENVS, ACTIONS))
    shuffle = generator(0, Consumer.REPLAY, 0)
    returns, running, resets = list[float](), [0.0] * ENVS, [False] * ENVS
    with closing(open_inner_envs(TASK, env_seeds(0, Consumer.INNER_ENVS, 0, count=ENVS))) as envs:
        observation, slot = envs.reset(), 0
        for length in lengths:
            plain.optimizer.param_groups[0]["lr"] = config.learning_rate * (1 - taken / horizon)
            rows: list[list[Any]] = []
            for _ in range(length):
                with torch.no_grad():
                    policy, value = plain.look(observation)
                actions = (policy.logits.double().numpy() + noise[slot]).argmax(-1)
                chances = policy.log_prob(torch.from_numpy(actions)).tolist()
                step = envs.step(actions)
                row = []
                for env in range(ENVS):
                    terminated, truncated = bool(step.terminated[env]), bool(step.truncated[env])
                    end = "reset" if resets[env] else "terminated" if terminated else "truncated" if truncated else "on"
                    reward = float(step.reward[env])
                    row.append((observation[env], int(actions[env]), chances[env], float(value[env]), reward, end))
                    if not resets[env]:
                        running[env] += reward
                        if end != "on":
                            returns.append(running[env])
                            running[env] = 0.0
                    resets[env] = terminated or truncated
                rows.append(row)
                observation = step.observation
                slot += 1
                taken += ENVS
            with torch.no_grad():
                last = plain.look(observation)[1].tolist()

            def advantage(slot: int, env: int) -> float:
                _, _, _, value, reward, end = rows[slot][env]  # noqa: B023  (called in this iteration)
                final = slot + 1 == len(rows)  # noqa: B023
                following = last[env] if final else rows[slot + 1][env][3]  # noqa: B023
                error = reward + config.gamma * following * (end != "terminated") - value
                goes_on = end == "on" and not final
                further = advantage(slot + 1, env) if goes_on else 0.0
                return float(error + config.gamma * config.gae_lambda * further)

            told = [(slot, env) for slot in range(length) for env in range(ENVS)]
            transitions = [(*rows[slot][env][:4], advantage(slot, env) + rows[slot][env][3]) for slot, env in told]
            real = [rows[slot][env][5] != "reset" for slot, env in told]
            for _ in range(config.update_epochs):
                order = shuffle.permutation(length * ENVS).tolist()
                ends = [part * len(order) // config.num_minibatches for part in range(config.num_minibatches + 1)]
                for start, stop in pairwise(ends):
                    plain.update([transitions[index] for index in order[start:stop] if real[index]])
    return plain, returns


@pytest.mark.parametrize("anneal", [False, True])
def test_a_window_is_that_of_a_plain_ppo(anneal: bool) -> None:
    config, horizon = replace(CONFIG, anneal_lr=anneal), 400 if anneal else 10**9
    net = store()
    subnets = subnets_of([net])
    outcome = window(config, subnets, slots=50, horizon=horizon)
    plain, returns = plain_window(config, net, [13, 13, 12, 12], horizon)  # 50 slots, in rollouts of at most 16
    assert outcome.gradient_steps.tolist() == [4 * 2 * 3]
    torch.testing.assert_close(subnets.fields["weight"][0], flat(plain.module), rtol=1e-3, atol=1e-4)
    assert (outcome.episodes[0], outcome.returns[0]) == (len(returns), pytest.approx(np.mean(returns)))
    assert len(returns) > 8
    assert outcome.epsilon.tolist() == [0.0]


def test_the_returns_of_an_episode_are_not_mixed_between_environments_nor_cut_at_anothers_reset() -> None:
    """Defect 6 of the code published with arXiv 2011.14632: there rewards of all environments ran together."""
    subnets = subnets_of([store()])
    outcome = window(CONFIG, subnets, slots=50)
    _, returns = plain_window(CONFIG, store(), [13, 13, 12, 12], 10**9)
    assert len(set(returns)) > 3, "environments end their episodes at different times"
    assert (outcome.episodes[0], outcome.returns[0]) == (len(returns), pytest.approx(np.mean(returns)))


def test_members_anywhere_are_trained_as_alone() -> None:
    nets = [store(seed=seed) for seed in (0, 1)]
    together = subnets_of(nets)
    outcome = window(CONFIG, together, members=(3, 1))
    for row, member in enumerate((3, 1)):
        alone = subnets_of([nets[row]])
        single = window(CONFIG, alone, members=(member,))
        assert single.returns[0] == outcome.returns[row]
        torch.testing.assert_close(alone.fields["weight"][0], together.fields["weight"][row], rtol=1e-3, atol=1e-4)


def test_choice_layers_and_both_heads_are_in_the_optimizer_and_move() -> None:
    """Defect 1 of the code published with arXiv 2011.14632: Adam was made before the chosen layers were."""
    net = Supernet(Layout(FAMILY, variants(SPACE), INPUTS, OUTPUTS), np.random.default_rng(0), CPU)
    for number, architecture in enumerate(SPACE.enumerate()):
        network = SPACE.network_of(architecture)
        before = {name: net.fields[name].clone() for name in FIELDS}
        subnets = check_out([net], network, [False])
        window(CONFIG, subnets, slots=20, number=number)
        check_in([net], subnets, [True])
        inside = torch.zeros(net.layout.size, dtype=torch.bool)
        inside[net.layout.positions(network)] = True
        assert torch.equal(net.fields["target"], before["target"]), "there is no target network"
        for name in LEARNED:
            moved = net.fields[name] != before[name]
            assert not moved[~inside].any(), (name, SPACE.label(architecture))
            views = net.layout.views(network, moved[net.layout.positions(network)][None])
            for tensor, view in views.items():
                assert float(view.float().mean()) > 0.2, (name, tensor, SPACE.label(architecture))
            for tensor in (one for one in views if one.startswith("head")):
                assert views[tensor][0, :ACTIONS].any(), "the policy"
                assert views[tensor][0, ACTIONS].any(), "the value"
        assert (net.fields["steps"] - before["steps"])[inside].unique().tolist() == [12.0]


def test_a_huge_learning_rate_is_noticed_and_warns_of_nothing() -> None:
    for rate, diverged in ((1e-3, False), (1e30, True)):
        outcome = window(replace(CONFIG, learning_rate=rate), subnets_of([store()]))
        assert outcome.diverged.tolist() == [diverged]
        assert np.isfinite(outcome.returns).all()


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_step_size_falls_to_nothing_by_the_learners_age(kind: str) -> None:
    config = replace(CONFIG, anneal_lr=True, schedule=kind)
    ages = np.array([0, 250, 500, 1000, 2000])
    middle = {"linear": 7.5e-4, "cosine": 1e-3 * (1 + np.cos(np.pi / 4)) / 2}[kind]
    assert config.rate(ages, 1000).tolist() == pytest.approx([1e-3, middle, 5e-4, 0.0, 0.0])
    assert replace(config, anneal_lr=False).rate(ages, 1000).tolist() == [1e-3] * 5
    one = replace(config, num_minibatches=1, update_epochs=1)  # a single step of Adam is as long as its rate
    for steps, rate in ((0, 1e-3), (500, 5e-4), (1000, 0.0)):
        subnets = subnets_of([store()])
        before = subnets.fields["weight"].clone()
        window(one, subnets, slots=10, steps=steps, horizon=1000)
        assert float((subnets.fields["weight"] - before).abs().median()) == pytest.approx(rate, rel=1e-2)


def test_clipped_rewards_are_learned_from_and_whole_ones_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[NDArray[np.float64]] = []
    monkeypatch.setattr(TorchLearners, "learn", lambda self, rollout, orders, rates: told.append(rollout.returns))
    counted = []
    for clip in (False, True):
        made = Population(problem(task="LunarLander-v3", window_steps=480, gamma=0.0, clip_rewards=clip), 1)
        made.reset([1])
        (result,) = made.train_window(made.problem.space.default_architecture[None])
        counted.append(result.raw_return)
    whole, cut = np.concatenate(told[: len(told) // 2]), np.concatenate(told[len(told) // 2 :])
    assert np.abs(whole).max() > 50  # a crash costs 100
    np.testing.assert_array_equal(cut, np.clip(whole, -1.0, 1.0))
    assert counted[0] == counted[1] < -20


# Populations of actor-critics.


@pytest.mark.parametrize(
    ("space", "precision"),
    [("mini-kernels", "float32"), ("mini-kernels", "bfloat16"), ("nature-kernels", "float32")],
)
def test_convolutional_networks_train_and_all_their_layers_move(space: str, precision: str) -> None:
    images: dict[str, Any] = {"task": "Orchard-v0", "window_steps": 64, "num_steps": 16}
    if space != "mini-kernels":
        pytest.importorskip("envpool", reason="EnvPool, which alone has Atari, has no build for this platform")
        images = {"task": "Breakout-v5", "preset": "mazyavkina", "window_steps": 16, "envs_per_member": 2}
        images |= {"num_steps": 8, "update_epochs": 2, "num_minibatches": 1}
    made = Population(problem(**images, space=space, precision=precision), 1)
    made.reset([1])
    architecture = made.problem.space.default_architecture
    network = made.problem.space.network_of(architecture)
    store = made.transfer.begin(made.lifetimes[0], made.problem.space.label(architecture))
    before = check_out([store.supernet], network, [False]).views("weight")
    (result,) = made.train_window(architecture[None])
    assert result.gradient_steps > 0
    assert not result.diverged
    assert result.parameters == network.parameters(made.problem.inputs, made.problem.outputs)
    after = made.weights(0, architecture)
    assert after["head.weight"].shape[0] == made.problem.outputs
    for name, tensor in after.items():
        assert (tensor != before[name][0]).float().mean() > 0.05, name
    for row in range(made.problem.outputs):
        assert not torch.equal(after["head.weight"][row], before["head.weight"][0, row])


@pytest.mark.parametrize("trainer", ["dqn", "pqn", "ppo"])
def test_networks_that_do_not_fit_the_trainer_are_refused(trainer: str) -> None:
    wrong = trainer != "ppo"
    sentence = f"actor_critic: expected {not wrong} with trainer '{trainer}', whose networks .* value, got {wrong}"
    with pytest.raises(ValueError, match=sentence):
        Population(Problem(Settings(trainer=trainer, actor_critic=wrong)), 1)
    with pytest.raises(ValueError, match="actor_critic: expected True or False, got 1"):
        Settings(actor_critic=1)  # type: ignore[arg-type]


def test_parameters_operations_and_limits_count_the_value() -> None:
    plain, critic = Problem(Settings()), problem()
    network = plain.space.network_of(plain.space.default_architecture)
    assert critic.outputs == plain.outputs + 1
    more = network.parameters(INPUTS, critic.outputs) - network.parameters(INPUTS, plain.outputs)
    assert more == network.hidden[-1] + 1  # type: ignore[attr-defined]
    smallest = min(plain.space.network_of(one).parameters(INPUTS, 2) for one in plain.space.enumerate())
    assert problem(max_params=smallest + 33).space.size == 3
    with pytest.raises(ValueError, match="max_params"):
        problem(max_params=smallest + 32)


def test_what_an_on_policy_learner_lacks_is_nothing() -> None:
    made = Population(problem(), 2)
    made.reset([1, 2])
    results = made.train_window(np.stack([made.problem.space.default_architecture] * 2))
    assert made.replay is None
    assert {(one.epsilon, one.replay_fill) for one in results} == {(0.0, 0.0)}
    assert all(one.loss > 0 for one in results)


def test_there_is_no_compiled_learner_and_asking_for_it_says_so() -> None:
    assert Population(problem(), 1).learner == "reference"
    with pytest.raises(ValueError, match="learner: expected 'torch' or 'auto', got 'native': this trainer has no"):
        Population(problem(learner="native"), 1)


@pytest.mark.filterwarnings("ignore:window_steps")
def test_a_search_that_was_killed_goes_on_from_its_journal_with_the_same_rewards(tmp_path: Path) -> None:
    settings = {"windows": 4, "window_steps": 120, "num_steps": 8, "journal": str(tmp_path / "one.jsonl")}

    def story(env: Any, steps: int) -> list[float]:
        env.reset(seed=3)
        rng = np.random.default_rng(0)
        return [env.step(env.unwrapped.search_space.sample(rng))[1] for _ in range(steps)]

    whole = story(gym.make("archgym:ArchSearch-PPO-v0", **{**settings, "journal": str(tmp_path / "two.jsonl")}), 4)
    begun = gym.make("archgym:ArchSearch-PPO-v0", **settings)
    assert story(begun, 2) == whole[:2]
    begun.close()
    assert story(gym.make("archgym:ArchSearch-PPO-v0", **settings, resume=True), 4) == whole


# Settings.


def test_the_preset_named_after_cleanrl_has_its_values() -> None:
    assert PRESETS["cleanrl"] == Config(
        learning_rate=2.5e-4,
        anneal_lr=True,
        schedule="linear",
        num_steps=128,
        gamma=0.99,
        gae_lambda=0.95,
        num_minibatches=4,
        update_epochs=4,
        norm_adv=True,
        clip_coef=0.2,
        clip_vloss=True,
        ent_coef=0.01,
        vf_coef=0.5,
        max_grad_norm=0.5,
    )
    assert PRESETS["atari"] == replace(PRESETS["cleanrl"], clip_coef=0.1, clip_rewards=True)


def test_the_preset_named_after_mazyavkina_has_what_their_table_4_gives() -> None:
    preset = PRESETS["mazyavkina"]
    assert (preset.num_steps, preset.clip_coef, preset.vf_coef, preset.gae_lambda) == (128, 0.1, 0.25, 0.95)
    assert (preset.ent_coef, preset.learning_rate, preset.schedule) == (0.01, 2.5e-4, "cosine")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"num_steps": 0}, "num_steps: expected a positive integer, got 0"),
        ({"num_minibatches": True}, "num_minibatches: expected a positive integer, got True"),
        ({"gae_lambda": 1.5}, r"gae_lambda: expected a number from 0 to 1, got 1\.5"),
        ({"gamma": "0.9"}, "gamma: expected a number from 0 to 1, got '0.9'"),
        ({"clip_coef": 0}, "clip_coef: expected a positive number, got 0"),
        ({"ent_coef": -0.1}, r"ent_coef: expected a number of at least 0, got -0\.1"),
        ({"vf_coef": float("nan")}, "vf_coef: expected a number of at least 0, got nan"),
        ({"max_grad_norm": -1}, "max_grad_norm: expected a positive number, got -1"),
        ({"norm_adv": 1}, "norm_adv: expected True or False, got 1"),
        ({"clip_vloss": None}, "clip_vloss: expected True or False, got None"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': expected one of cosine, linear. Did you mean 'cosine'?"),
        ({"precision": "half"}, "unknown precision 'half': expected one of bfloat16, float32"),
    ],
)
def test_a_setting_that_cannot_train_is_refused(setting: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Config(**setting)
