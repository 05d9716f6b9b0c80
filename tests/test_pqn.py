import copy
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from archgym.inner.envs import open_inner_envs
from archgym.inner.episodes import EpisodeCounter
from archgym.inner.tasks import TASKS
from archgym.learners.pqn import Config, Rollout
from archgym.learners.pqn_torch import Learner, TorchLearners
from archgym.learners.rollouts import lambda_returns
from archgym.lookup import load
from archgym.population import Population
from archgym.problem import Problem, with_layer_norm
from archgym.search_space import SearchSpace
from archgym.search_spaces.mlp import MLP
from archgym.seeding import Consumer, env_seeds, generator
from archgym.settings import Settings
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_in, check_out, family_of, variants
from archgym.trainers.pqn import PRESETS, Trainer
from archgym.training import Group, Outcome, Window

CPU = torch.device("cpu")
SPACE: SearchSpace = with_layer_norm(load("archgym.search_spaces", "mlp", "search space").SPACE)
FAMILY = family_of(SPACE)
INPUTS, OUTPUTS = 4, 2  # CartPole
ENVS = 4
NETWORK = MLP((32, 32), "tanh", layer_norm=True)
CONFIG = Config(learning_rate=1e-3, num_steps=16, update_epochs=2, num_minibatches=3, anneal_lr=False, q_lambda=0.7)
TASK = replace(TASKS["CartPole-v1"], episode_limit=15)  # many episodes end, most of them by the limit
LEARNED = tuple(name for name in FIELDS if name != "target")


def store(network: MLP = NETWORK, seed: int = 0) -> Supernet:
    return Supernet(Layout(FAMILY, [network], INPUTS, OUTPUTS), np.random.default_rng(seed), CPU)


def subnets_of(nets: Sequence[Supernet], network: MLP = NETWORK) -> Subnets:
    return check_out(nets, network, [False] * len(nets))


def learners_of(config: Config, nets: Sequence[Supernet], network: MLP = NETWORK) -> TorchLearners:
    return TorchLearners(config, [Group(list(range(len(nets))), subnets_of(nets, network), 0)], OUTPUTS, CPU)


def fields(learners: TorchLearners, number: int = 0) -> dict[str, Tensor]:
    return learners.learners[number].subnets.fields


def random_rollout(seed: int, members: int = 1, length: int = 12, scale: float = 1.0) -> Rollout:
    """About one slot in five only resets."""
    rng = np.random.default_rng(seed)
    shape = (length, members, ENVS)
    return Rollout(
        observations=(scale * rng.normal(size=(*shape, INPUTS))).astype(np.float32),
        actions=rng.integers(0, OUTPUTS, shape),
        returns=rng.normal(size=shape).astype(np.float32),
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
    """PQN on one `nn.Module`, written as anybody would."""

    def __init__(self, config: Config, net: Supernet, network: MLP = NETWORK) -> None:
        weights = {name: view[0] for name, view in subnets_of([net], network).views("weight").items()}
        self.config, self.module = config, FAMILY.module(network, weights)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=config.learning_rate)
        self.clipped = 0

    def value(self, observation: NDArray[np.float32]) -> float:
        with torch.no_grad():
            return float(self.module(torch.from_numpy(observation)).max())

    def update(self, transitions: Sequence[tuple[NDArray[np.float32], int, float, bool]]) -> None:
        """Make one gradient step on (observation, action, return, valid)."""
        errors = [
            (self.module(torch.from_numpy(observation)[None])[0, action] - target) ** 2
            for observation, action, target, valid in transitions
            if valid
        ]
        self.optimizer.zero_grad()
        (torch.stack(errors).sum() / len(transitions)).backward()  # a mean over the whole minibatch
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.config.max_grad_norm)
        self.clipped += bool(norm > self.config.max_grad_norm)
        self.optimizer.step()


# The returns.


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
def test_returns_are_those_of_each_episode_by_itself(
    episodes: list[list[tuple[float, str]]], skipped: int, cut: int, gamma: float, q_lambda: float, random: Any
) -> None:
    """Against a recursion over what is left of each episode, which cannot see another one."""
    rows = [(number, *step) for number, steps in enumerate(episodes) for step in steps]
    rows = rows[min(skipped, len(rows) - 1) :]
    rows = rows[: max(1, len(rows) - cut)]
    values = [random.uniform(-10, 10) for _ in range(len(rows) + 1)]

    def expected(slot: int) -> float:
        episode, reward, ended = rows[slot]
        if ended == "terminated":
            return reward
        on = slot + 1 < len(rows) and rows[slot + 1][0] == episode and ended != "truncated"
        further = expected(slot + 1) if on else values[slot + 1]
        return reward + gamma * ((1 - q_lambda) * values[slot + 1] + q_lambda * further)

    columns = [np.array(column)[:, None] for column in zip(*rows, strict=True)]
    got = lambda_returns(
        columns[1].astype(float), columns[2] == "terminated", columns[2] != "reset", np.array(values)[:, None],
        gamma, q_lambda,
    )  # fmt: skip
    for slot, (_, _, ended) in enumerate(rows):
        if ended != "reset":
            assert got[slot, 0] == pytest.approx(expected(slot), abs=1e-9)


def test_the_two_ends_of_lambda_look_one_step_and_a_whole_rollout_ahead() -> None:
    rewards, values = np.array([1.0, 2.0, 4.0]), np.array([9.0, 10.0, 20.0, 40.0])
    none, every = np.zeros(3, dtype=bool), np.ones(3, dtype=bool)
    assert lambda_returns(rewards, none, every, values, 0.5, 0.0).tolist() == [6.0, 12.0, 24.0]
    assert lambda_returns(rewards, none, every, values, 0.5, 1.0).tolist() == [8.0, 14.0, 24.0]


# The gradient steps of a rollout.


@pytest.mark.parametrize("network", [NETWORK, MLP((32, 64), "relu", True, True)], ids=["plain", "skips"])
@pytest.mark.parametrize("norm", [10.0, 0.5])
def test_updates_are_those_of_a_plain_network_with_torchs_adam_and_clipping(network: MLP, norm: float) -> None:
    config, net = replace(CONFIG, max_grad_norm=norm, learning_rate=3e-3), store(network)
    learners, plain = learners_of(config, [net], network), Plain(config, net, network)
    for number in range(4):
        rollout = random_rollout(number)
        learn(learners, rollout, number)
        steps = [tuple(part.reshape(-1, *part.shape[3:]) for part in vars(rollout).values())]
        every = [(steps[0][0][i], int(steps[0][1][i]), float(steps[0][2][i]), bool(steps[0][3][i])) for i in range(48)]
        for order in orders_of(number, rollout, 2)[0].tolist():
            for start in (0, 16, 32):
                plain.update([every[i] for i in order[start : start + 16]])
        torch.testing.assert_close(fields(learners)["weight"][0], flat(plain.module), rtol=1e-3, atol=1e-4)
    assert (plain.clipped > 12) == (norm < 1), "the limit is tested on both sides"
    assert learners.finish().gradient_steps.tolist() == [24]
    assert float((flat(plain.module) - store(network).fields["weight"]).abs().max()) > 0.02


@pytest.mark.parametrize("poison", [1e6, -1e6, 1e30])
def test_steps_that_only_reset_never_enter_a_gradient(poison: float) -> None:
    rollout = random_rollout(0)
    assert 0 < rollout.valid.sum() < rollout.valid.size
    poisoned, empty = copy.deepcopy(rollout), ~rollout.valid
    poisoned.returns[empty] = poison
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
    assert [one.loss[0] for one in told] == pytest.approx([told[0].loss[0]] * 2, rel=1e-4)
    assert [one.value[0] for one in told] == pytest.approx([told[0].value[0]] * 2, rel=1e-4)


def test_every_transition_is_learned_from_once_in_every_epoch() -> None:
    learners, rollout = learners_of(replace(CONFIG, num_minibatches=5), [store()]), random_rollout(0)
    seen: list[Tensor] = []
    update = learners.learners[0].update
    learners.learners[0].update = lambda *given: (seen.append(given[0][0]), update(*given))[1]  # type: ignore[method-assign, func-returns-value]
    learn(learners, rollout)
    assert [len(part) for part in seen] == [9, 10, 9, 10, 10] * 2
    every = torch.from_numpy(rollout.observations.reshape(-1, INPUTS))
    for epoch in (seen[:5], seen[5:]):
        assert torch.equal(torch.cat(epoch).sort(0).values, every.sort(0).values)
    assert not torch.equal(torch.cat(seen[:5]), torch.cat(seen[5:]))


def test_members_of_a_stack_learn_what_they_learn_alone_in_whatever_order_they_stand() -> None:
    nets = [store(seed=seed) for seed in (0, 1, 2)]
    rollout = random_rollout(0, members=3)
    orders, rates = orders_of(0, rollout, 2), np.full(3, 1e-3)
    groups = [Group([2, 0], subnets_of([nets[2], nets[0]]), 0), Group([1], subnets_of([nets[1]]), 0)]
    together = TorchLearners(CONFIG, groups, OUTPUTS, CPU)
    together.learn(rollout, orders, rates)
    seen = rollout.observations[0]
    actions, values = together.act(seen)
    told = together.finish()
    for member, (group, row) in enumerate([(0, 1), (1, 0), (0, 0)]):
        alone = learners_of(CONFIG, [nets[member]])
        alone.learn(of_member(rollout, member), orders[member : member + 1], rates[:1])
        own = alone.act(seen[member : member + 1])
        assert actions[member].tolist() == own[0][0].tolist()
        np.testing.assert_allclose(values[member], own[1][0], rtol=1e-4, atol=1e-5)
        single = alone.finish()
        for name in LEARNED:
            expected = fields(alone)[name][0]
            torch.testing.assert_close(fields(together, group)[name][row], expected, rtol=1e-4, atol=1e-5)
        assert told.loss[member] == pytest.approx(single.loss[0], rel=1e-4)
        assert told.value[member] == pytest.approx(single.value[0], rel=1e-3)


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


def test_acting_gives_the_best_action_and_its_value() -> None:
    learners, rng = learners_of(CONFIG, [store(), store(seed=1)]), np.random.default_rng(0)
    observations = rng.normal(size=(2, ENVS, INPUTS)).astype(np.float32)
    actions, values = learners.act(observations)
    learner: Learner = learners.learners[0]
    every = learner.values(torch.from_numpy(observations)).detach().numpy()
    np.testing.assert_array_equal(actions, every.argmax(-1))
    np.testing.assert_allclose(values, every.max(-1))
    assert len(set(actions.ravel().tolist())) == 2


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
    """The same window as a loop over transitions."""
    plain, taken = Plain(config, net), 0
    explore, shuffle = (generator(0, consumer, 0) for consumer in (Consumer.EXPLORATION, Consumer.REPLAY))
    returns, running, resets = list[float](), [0.0] * ENVS, [False] * ENVS
    with closing(open_inner_envs(TASK, env_seeds(0, Consumer.INNER_ENVS, 0, count=ENVS))) as envs:
        observation = envs.reset()
        for length in lengths:
            plain.optimizer.param_groups[0]["lr"] = config.learning_rate * (1 - taken / horizon)
            rows: list[list[Any]] = []
            for _ in range(length):
                epsilon = config.epsilon(taken, horizon)
                luck, which = explore.random((2, ENVS))
                with torch.no_grad():
                    actions = plain.module(torch.from_numpy(observation)).argmax(-1).tolist()
                actions = [int(which[env] * OUTPUTS) if luck[env] < epsilon else actions[env] for env in range(ENVS)]
                step = envs.step(np.array(actions))
                row = []
                for env in range(ENVS):
                    terminated, truncated = bool(step.terminated[env]), bool(step.truncated[env])
                    end = "terminated" if terminated else "truncated" if truncated else "on"
                    seen, then, reward = observation[env], step.observation[env], float(step.reward[env])
                    row.append((seen, actions[env], reward, then, "reset" if resets[env] else end))
                    if not resets[env]:
                        running[env] += reward
                        if end != "on":
                            returns.append(running[env])
                            running[env] = 0.0
                    resets[env] = terminated or truncated
                rows.append(row)
                observation = step.observation
                taken += ENVS

            def target(slot: int, env: int) -> float:
                _, _, reward, then, end = rows[slot][env]  # noqa: B023  (called in this iteration)
                if end == "terminated":
                    return float(reward)
                value = plain.value(then)
                last = slot + 1 == len(rows) or end == "truncated"  # noqa: B023
                further = value if last else target(slot + 1, env)
                return float(reward + config.gamma * ((1 - config.q_lambda) * value + config.q_lambda * further))

            transitions = [
                (rows[slot][env][0], rows[slot][env][1], target(slot, env), rows[slot][env][4] != "reset")
                for slot in range(length)
                for env in range(ENVS)
            ]
            for _ in range(config.update_epochs):
                order = shuffle.permutation(length * ENVS).tolist()
                ends = [part * len(order) // config.num_minibatches for part in range(config.num_minibatches + 1)]
                for start, stop in pairwise(ends):
                    plain.update([transitions[index] for index in order[start:stop]])
    return plain, returns


@pytest.mark.parametrize("anneal", [False, True])
def test_a_window_is_that_of_a_plain_pqn(anneal: bool) -> None:
    config = replace(CONFIG, anneal_lr=anneal, exploration_fraction=0.1, end_e=0.2)
    horizon = 400 if anneal else 10**9
    config = config if anneal else replace(config, exploration_fraction=2e-7)
    net = store()
    subnets = subnets_of([net])
    outcome = window(config, subnets, slots=50, horizon=horizon)
    plain, returns = plain_window(config, net, [13, 13, 12, 12], horizon)  # 50 slots, in rollouts of at most 16
    assert outcome.gradient_steps.tolist() == [4 * 2 * 3]
    torch.testing.assert_close(subnets.fields["weight"][0], flat(plain.module), rtol=1e-3, atol=1e-4)
    assert (outcome.episodes[0], outcome.returns[0]) == (len(returns), pytest.approx(np.mean(returns)))
    assert len(returns) > 8
    assert outcome.epsilon.tolist() == [0.2]


def test_neither_steps_are_lost_nor_repeated_where_a_rollout_does_not_divide_the_window() -> None:
    for slots, lengths in ((40, [14, 13, 13]), (16, [16]), (17, [9, 8]), (3, [3]), (1, [1])):
        assert CONFIG.rollouts(slots) == lengths
        outcome = window(CONFIG, subnets_of([store()]), slots=slots)
        assert outcome.gradient_steps.tolist() == [len(lengths) * 6]
    assert window(replace(CONFIG, num_minibatches=100), subnets_of([store()]), slots=1).gradient_steps.tolist() == [8]


@given(st.integers(1, 3000), st.integers(1, 200), st.integers(1, 40), st.integers(1, 500))
def test_windows_are_cut_into_rollouts_and_rollouts_into_minibatches(
    slots: int, most: int, minibatches: int, transitions: int
) -> None:
    config = Config(num_steps=most, num_minibatches=minibatches)
    lengths = config.rollouts(slots)
    assert sum(lengths) == slots
    assert max(lengths) <= most
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == -(-slots // most)
    cuts = config.minibatches(transitions)
    assert [index for cut in cuts for index in range(cut.start, cut.stop)] == list(range(transitions))
    sizes = [cut.stop - cut.start for cut in cuts]
    assert len(sizes) == min(minibatches, transitions)
    assert max(sizes) - min(sizes) <= 1


def test_members_anywhere_are_trained_as_alone() -> None:
    nets = [store(seed=seed) for seed in (0, 1)]
    together = subnets_of(nets)
    outcome = window(CONFIG, together, members=(3, 1))
    for row, member in enumerate((3, 1)):
        alone = subnets_of([nets[row]])
        single = window(CONFIG, alone, members=(member,))
        assert single.returns[0] == outcome.returns[row]
        torch.testing.assert_close(alone.fields["weight"][0], together.fields["weight"][row], rtol=1e-3, atol=1e-4)


def test_every_tensor_of_every_architecture_is_trained_and_nothing_else_moves() -> None:
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
            for tensor, view in net.layout.views(network, moved[net.layout.positions(network)][None]).items():
                assert float(view.float().mean()) > 0.2, (name, tensor, SPACE.label(architecture))
        assert (net.fields["steps"] - before["steps"])[inside].unique().tolist() == [12.0]


def test_a_huge_learning_rate_is_noticed_and_warns_of_nothing() -> None:
    for rate, diverged in ((1e-3, False), (1e30, True)):
        outcome = window(replace(CONFIG, learning_rate=rate), subnets_of([store()]))
        assert outcome.diverged.tolist() == [diverged]
        assert np.isfinite(outcome.returns).all()


def test_exploration_and_step_size_go_by_the_learners_age() -> None:
    config = replace(CONFIG, anneal_lr=True, end_e=0.1, exploration_fraction=0.2)
    assert window(config, subnets_of([store()]), slots=10, steps=0, horizon=1000).epsilon == pytest.approx([0.82])
    assert window(config, subnets_of([store()]), slots=10, steps=400, horizon=1000).epsilon == pytest.approx([0.1])
    ages = np.array([0, 250, 1000, 2000])
    assert config.rate(ages, 1000).tolist() == [1e-3, 7.5e-4, 0.0, 0.0]
    assert replace(config, anneal_lr=False).rate(ages, 1000).tolist() == [1e-3] * 4
    one = replace(config, num_minibatches=1, update_epochs=1)  # a single step of Adam is as long as its rate
    for steps, rate in ((0, 1e-3), (500, 5e-4), (1000, 0.0)):
        subnets = subnets_of([store()])
        before = subnets.fields["weight"].clone()
        assert window(one, subnets, slots=10, steps=steps, horizon=1000).gradient_steps.tolist() == [1]
        moved = (subnets.fields["weight"] - before).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=1e-2)


def test_clipped_rewards_are_learned_from_and_whole_ones_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[NDArray[np.float32]] = []
    monkeypatch.setattr(TorchLearners, "learn", lambda self, rollout, orders, rates: told.append(rollout.returns))
    keywords = {
        "task": "LunarLander-v3",
        "trainer": "pqn",
        "layer_norm": True,
        "learner": "torch",
        "windows": 1,
        "window_steps": 480,
        "gamma": 0.0,  # so that returns are rewards
    }
    counted = []
    for clip in (False, True):
        made = Population(Problem(Settings.from_keywords({**keywords, "clip_rewards": clip})), 1)
        made.reset([1])
        (result,) = made.train_window(made.problem.space.default_architecture[None])
        counted.append(result.raw_return)
    whole, cut = np.concatenate(told[: len(told) // 2]), np.concatenate(told[len(told) // 2 :])
    assert np.abs(whole).max() > 50  # a crash costs 100
    np.testing.assert_array_equal(cut, np.clip(whole, -1.0, 1.0))
    assert counted[0] == counted[1] < -20


# Settings.


def test_the_preset_named_after_cleanrl_has_its_values() -> None:
    assert PRESETS["cleanrl"] == Config(
        learning_rate=2.5e-4,
        anneal_lr=True,
        gamma=0.99,
        q_lambda=0.65,
        num_steps=128,
        update_epochs=4,
        num_minibatches=4,
        max_grad_norm=10.0,
        start_e=1.0,
        end_e=0.05,
        exploration_fraction=0.5,
    )


def test_the_preset_for_atari_has_the_authors_values_and_as_many_gradient_steps_per_environment_step() -> None:
    preset = PRESETS["atari"]
    assert preset == Config(
        learning_rate=2.5e-4,
        anneal_lr=False,
        gamma=0.99,
        q_lambda=0.65,
        num_steps=32,
        update_epochs=2,
        num_minibatches=2,
        max_grad_norm=10.0,
        start_e=1.0,
        end_e=0.001,
        exploration_fraction=0.1,
        clip_rewards=True,
    )
    theirs, ours = 128 * 32, 8 * preset.num_steps  # transitions of a rollout, which they cut into 32 minibatches
    assert {cut.stop - cut.start for cut in preset.minibatches(ours)} == {theirs // 32}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"num_steps": 0}, "num_steps: expected a positive integer, got 0"),
        ({"update_epochs": 2.0}, r"update_epochs: expected a positive integer, got 2\.0"),
        ({"num_minibatches": True}, "num_minibatches: expected a positive integer, got True"),
        ({"q_lambda": 1.5}, r"q_lambda: expected a number from 0 to 1, got 1\.5"),
        ({"gamma": "0.9"}, "gamma: expected a number from 0 to 1, got '0.9'"),
        ({"exploration_fraction": float("nan")}, "exploration_fraction: expected a number from 0 to 1, got nan"),
        ({"start_e": None}, "start_e: expected a number from 0 to 1, got None"),
        ({"learning_rate": 0}, "learning_rate: expected a positive number, got 0"),
        ({"max_grad_norm": -1}, "max_grad_norm: expected a positive number, got -1"),
        ({"anneal_lr": 1}, "anneal_lr: expected True or False, got 1"),
        ({"clip_rewards": 0}, "clip_rewards: expected True or False, got 0"),
        ({"precision": "half"}, "unknown precision 'half': expected one of bfloat16, float32"),
        ({"start_e": 1.5}, r"start_e: expected a number from 0 to 1, got 1\.5"),
        ({"end_e": -0.1}, r"end_e: expected a number from 0 to 1, got -0\.1"),
        ({"start_e": 0.1, "end_e": 0.2}, r"start_e: expected at least end_e \(0\.2\), .* falls, got 0\.1"),
        ({"start_e": 0.01}, r"start_e: expected at least end_e \(0\.05\), .* falls, got 0\.01"),
    ],
)
def test_a_setting_that_cannot_train_is_refused(setting: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Config(**setting)
