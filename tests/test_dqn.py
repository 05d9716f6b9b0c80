import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archgym.inner.envs import open_inner_envs
from archgym.inner.episodes import EpisodeCounter
from archgym.inner.tasks import TASKS
from archgym.learners.dqn import Config
from archgym.learners.dqn_torch import DRAWS, Learner, sync_targets
from archgym.lookup import load
from archgym.native import library
from archgym.replay import REWARD, TERMINATED, VALID, Batch, Content, Replay
from archgym.search_space import SearchSpace
from archgym.search_spaces.mlp import MLP
from archgym.seeding import Consumer, env_seeds, generator
from archgym.supernet import FIELDS, Layout, Subnets, Supernet, check_in, check_out, family_of, variants
from archgym.trainers.dqn import PRESETS, Trainer
from archgym.training import Group, Outcome, Window

CPU = torch.device("cpu")
SPACE: SearchSpace = load("archgym.search_spaces", "mlp", "search space").SPACE
WIDE: SearchSpace = load("archgym.search_spaces", "mlp-wide", "search space").SPACE
FAMILY = family_of(SPACE)
INPUTS, OUTPUTS = 4, 2  # CartPole
ENVS = 4
NETWORK = MLP((32, 32), "tanh")
CONFIG = Config(
    learning_rate=1e-3, batch_size=16, train_frequency=4, target_network_frequency=60, buffer_size=10_000,
    learning_starts=20,
)  # fmt: skip
TASK = replace(TASKS["CartPole-v1"], episode_limit=15)  # many episodes end, most of them by the limit


def store(network: MLP = NETWORK, seed: int = 0) -> Supernet:
    return Supernet(Layout(FAMILY, [network], INPUTS, OUTPUTS), np.random.default_rng(seed), CPU)


def learner_of(config: Config, nets: Sequence[Supernet], network: MLP = NETWORK) -> Learner:
    rows = list(range(len(nets)))
    subnets = check_out(nets, network, [False] * len(nets))
    return Learner(config, Group(rows, subnets, 0), [np.random.default_rng(row) for row in rows], CPU)


def random_batch(seed: int, members: int = 1, size: int = 16, scale: float = 1.0) -> Batch:
    """Transitions of which about one in five is none and one in three is an end."""
    rng = np.random.default_rng(seed)

    def tensor(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    return Batch(
        observations=tensor(scale * rng.normal(size=(members, size, INPUTS))),
        actions=torch.from_numpy(rng.integers(0, OUTPUTS, (members, size))),
        rewards=tensor(rng.normal(size=(members, size))),
        next_observations=tensor(scale * rng.normal(size=(members, size, INPUTS))),
        terminated=tensor(rng.random((members, size)) < 1 / 3),
        valid=tensor(rng.random((members, size)) < 4 / 5),
    )


def of_member(batch: Batch, member: int) -> Batch:
    return Batch(**{name: value[member : member + 1] for name, value in vars(batch).items()})


class Plain:
    """DQN on one `nn.Module`, written as anybody would."""

    def __init__(self, config: Config, net: Supernet, network: MLP = NETWORK) -> None:
        weights = {name: view[0] for name, view in check_out([net], network, [False]).views("weight").items()}
        self.config, self.online = config, FAMILY.module(network, weights)
        self.target = copy.deepcopy(self.online)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=config.learning_rate)

    def update(self, batch: Batch) -> None:
        rows: Any = zip(*(value[0] for value in vars(batch).values()), strict=True)
        errors = []
        for observation, action, reward, following, terminated, valid in rows:
            if not valid:
                continue
            with torch.no_grad():
                values = self.target(following[None])[0]
                best = self.online(following[None])[0].argmax() if self.config.double else values.argmax()
                target = reward if terminated else reward + self.config.gamma * values[best]
            errors.append((self.online(observation[None])[0, action] - target) ** 2)
        self.optimizer.zero_grad()
        (torch.stack(errors).sum() / len(batch.valid[0])).backward()  # a mean over the whole minibatch
        self.optimizer.step()

    def sync(self) -> None:
        self.target.load_state_dict(self.online.state_dict())


def flat(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


# One gradient step.


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("network", [NETWORK, MLP((32, 64), "relu", layer_norm=True, skip=True)], ids=["plain", "rich"])
def test_updates_are_those_of_a_plain_network_with_torchs_adam(network: MLP, double: bool) -> None:
    config, net = replace(CONFIG, double=double, learning_rate=1e-2), store(network)
    learner, plain = learner_of(config, [net], network), Plain(config, net, network)
    for step in range(12):
        batch = random_batch(step)
        learner.update(batch)
        plain.update(batch)
        if step % 4 == 3:
            sync_targets([learner])
            plain.sync()
        torch.testing.assert_close(learner.subnets.fields["weight"][0], flat(plain.online), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learner.subnets.fields["target"][0], flat(plain.target), rtol=1e-4, atol=1e-5)
    assert float((flat(plain.online) - store(network).fields["weight"]).abs().max()) > 0.05


def test_double_dqn_differs_from_dqn_once_target_and_weights_differ() -> None:
    learners = [learner_of(replace(CONFIG, double=double, learning_rate=1e-2), [store()]) for double in (False, True)]
    weights = []
    for learner in learners:
        for step in range(6):
            learner.update(random_batch(step, scale=3.0))
        weights.append(learner.subnets.fields["weight"])
    assert not torch.allclose(weights[0], weights[1], atol=1e-5)


@pytest.mark.parametrize("poison", [1e6, -1e6])
def test_rows_without_a_transition_never_enter_a_gradient(poison: float) -> None:
    batch = random_batch(0)
    assert 0 < batch.valid.sum() < batch.valid.numel()
    poisoned, empty = copy.deepcopy(batch), batch.valid == 0
    poisoned.rewards[empty] = poison
    poisoned.actions[empty] = 1 - poisoned.actions[empty]
    poisoned.observations[empty] = 50.0
    poisoned.next_observations[empty] = -50.0
    moved = []
    for one in (batch, poisoned):
        learner = learner_of(CONFIG, [store()])
        learner.update(one)
        moved.append(learner.subnets.fields["exp_avg"].clone())
    assert moved[0].abs().max() > 0
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-6, atol=1e-7)


def test_an_end_is_worth_its_reward_and_everything_else_its_future_too() -> None:
    future = random_batch(1)
    for terminated, matters in ((1.0, False), (0.0, True)):
        gradients = []
        for scale in (1.0, 5.0):
            batch = random_batch(0)
            batch.terminated.fill_(terminated)
            batch.next_observations = scale * future.next_observations
            learner = learner_of(CONFIG, [store()])
            learner.update(batch)
            gradients.append(learner.subnets.fields["exp_avg"].clone())
        assert torch.equal(*gradients) != matters


def test_members_of_a_stack_learn_what_they_learn_alone() -> None:
    nets = [store(seed=seed) for seed in (0, 1, 2)]
    together = learner_of(CONFIG, nets)
    alone = [learner_of(CONFIG, [net]) for net in nets]
    for step in range(8):
        batch = random_batch(step, members=3)
        together.update(batch)
        for member, learner in enumerate(alone):
            learner.update(of_member(batch, member))
        if step == 4:
            for learner in (together, *alone):
                sync_targets([learner])
    for name in FIELDS:
        stacked = torch.cat([learner.subnets.fields[name] for learner in alone])
        torch.testing.assert_close(together.subnets.fields[name], stacked, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(together.loss, torch.cat([learner.loss for learner in alone]), rtol=1e-4, atol=1e-5)


def test_a_member_that_diverges_does_not_touch_the_others_of_its_stack() -> None:
    nets = [store(seed=seed) for seed in (0, 1)]
    sound, spoilt = learner_of(CONFIG, nets), learner_of(CONFIG, nets)
    for step in range(4):
        batch = random_batch(step, members=2)
        sound.update(batch)
        batch.rewards[0] = 1e30
        spoilt.update(batch)
    assert not sound.adam.finish().any()
    assert spoilt.adam.finish().tolist() == [True, False]
    for name in FIELDS:
        assert torch.equal(sound.subnets.fields[name][1], spoilt.subnets.fields[name][1])


def test_an_overflowed_moment_counts_as_divergence_though_weights_look_sound() -> None:
    learner = learner_of(CONFIG, [store()])
    batch = random_batch(0)
    batch.rewards *= 1e25  # the square of its gradient overflows: these weights would never move again
    learner.update(batch)
    assert learner.subnets.fields["weight"].isfinite().all()
    assert learner.adam.finish().tolist() == [True]


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_the_target_moves_towards_the_weights_by_tau(tau: float) -> None:
    learner = learner_of(replace(CONFIG, tau=tau), [store()])
    before = learner.subnets.fields["target"].clone()
    learner.update(random_batch(0))
    sync_targets([learner])
    expected = before + tau * (learner.subnets.fields["weight"] - before)
    torch.testing.assert_close(learner.subnets.fields["target"], expected)


# Adam with a step count per number.


def test_the_first_step_of_a_slice_is_the_learning_rate_whenever_it_is_first_used() -> None:
    narrow, wide = MLP((16, 16), "tanh"), MLP((32, 64), "tanh")
    net = Supernet(Layout(family_of(WIDE), variants(WIDE), INPUTS, OUTPUTS), np.random.default_rng(0), CPU)
    first = learner_of(CONFIG, [net], narrow)
    for step in range(50):
        first.update(random_batch(step))
    first.adam.finish()
    check_in([net], first.subnets, [True])
    before = {name: net.fields[name].clone() for name in FIELDS}
    second = learner_of(replace(CONFIG, learning_rate=1e-2), [net], wide)
    steps = second.subnets.fields["steps"].clone()
    assert set(steps.unique().tolist()) == {0.0, 50.0}, "one subnet, two ages"
    second.update(random_batch(99))
    second.adam.finish()
    check_in([net], second.subnets, [True])

    inside = net.layout.positions(wide)
    fresh = inside[before["steps"][inside] == 0]
    moved = (net.fields["weight"] - before["weight"]).abs()
    gradient = second.subnets.fields["exp_avg"][0][steps[0] == 0].abs() / (1 - 0.9)
    clear = gradient > 1e-5  # Adam's epsilon of 1e-8 no longer shows
    assert clear.float().mean() > 0.9
    torch.testing.assert_close(moved[fresh][clear], torch.full_like(moved[fresh][clear], 1e-2), rtol=2e-3, atol=1e-6)
    old = inside[before["steps"][inside] == 50]
    assert moved[old].max() < 0.9e-2
    assert net.fields["steps"][old].unique().tolist() == [51.0]
    assert net.fields["steps"][fresh].unique().tolist() == [1.0]


@pytest.mark.parametrize("ages", [(0, 0), (7, 7), (0, 7), (3, 2000)])
def test_each_number_takes_adams_step_of_its_own_age(ages: tuple[int, int]) -> None:
    rng, net = np.random.default_rng(0), store()
    size = net.layout.size
    steps = rng.choice(ages, size)
    net.fields["steps"] = torch.from_numpy(steps.astype(np.float32))
    moments = rng.normal(size=size) * (steps > 0), rng.random(size) * (steps > 0)
    net.fields["exp_avg"], net.fields["exp_avg_sq"] = (torch.from_numpy(one.astype(np.float32)) for one in moments)
    learner, weight = learner_of(CONFIG, [net]), net.fields["weight"].numpy().astype(np.float64)
    for update in range(5):
        gradient = rng.normal(size=size)
        learner.adam.step(torch.from_numpy(gradient.astype(np.float32))[None], CONFIG.learning_rate)
        moments = 0.9 * moments[0] + 0.1 * gradient, 0.999 * moments[1] + 0.001 * gradient**2
        age = steps + update + 1
        weight -= 1e-3 * moments[0] / (1 - 0.9**age) / (np.sqrt(moments[1] / (1 - 0.999**age)) + 1e-8)
    np.testing.assert_allclose(learner.subnets.fields["weight"][0].numpy(), weight, rtol=1e-4, atol=1e-5)


# A whole window.


LEARNER = ["torch"]  # what trains in the tests below: each runs with any of them


@pytest.fixture(params=["reference", "torch", "native"])
def learner(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "native" and library() is None:
        pytest.skip("the compiled learners were not built: no C++ compiler at installation")
    LEARNER[0] = request.param
    yield request.param
    LEARNER[0] = "torch"


def lasting(slots: int, members: int = 1, envs: int = ENVS) -> Window:
    return Window(slots, EpisodeCounter(members, envs, TASK.episode_limit))


def window(
    config: Config,
    subnets: Subnets,
    replay: Replay,
    *,
    slots: int = 40,
    steps: int = 0,
    number: int = 0,
    horizon: int = 2000,
    task: Any = TASK,
    members: Sequence[int] = (0,),
) -> Outcome:
    """Train one group for a window on CartPole."""
    seeds = [seed for member in members for seed in env_seeds(member, Consumer.INNER_ENVS, number, count=replay.envs)]
    trainer, streams = Trainer(config, horizon, CPU, LEARNER[0]), [(member, number) for member in members]
    group = Group(list(range(len(members))), subnets, steps)
    with closing(open_inner_envs(task, seeds)) as envs:
        return trainer.train([group], list(members), replay, envs, streams, lasting(slots, len(members), replay.envs))


def ring(members: int = 1, capacity: int = 10_000, envs: int = ENVS) -> Replay:
    return Replay(members, envs, INPUTS, capacity, CPU)


def plain_window(config: Config, net: Supernet, slots: int, horizon: int) -> tuple[Plain, list[float]]:
    """The same window as a loop over transitions, with lists for a replay."""
    plain, history = Plain(config, net), list[tuple[Tensor, list[tuple[int, float, bool, bool]]]]()
    explore, sample = (generator(0, consumer, 0) for consumer in (Consumer.EXPLORATION, Consumer.REPLAY))
    draws: list[NDArray[np.float64]] = []
    returns, running, resets = list[float](), [0.0] * ENVS, [False] * ENVS
    with closing(open_inner_envs(TASK, env_seeds(0, Consumer.INNER_ENVS, 0, count=ENVS))) as envs:
        observation = torch.from_numpy(envs.reset())
        for slot in range(slots):
            epsilon = config.epsilon(slot * ENVS, horizon)
            luck, which = explore.random((2, ENVS))
            with torch.no_grad():
                actions = plain.online(observation).argmax(-1).tolist()
            actions = [int(which[env] * OUTPUTS) if luck[env] < epsilon else actions[env] for env in range(ENVS)]
            step = envs.step(np.array(actions))
            row = []
            for env in range(ENVS):
                done = bool(step.terminated[env] or step.truncated[env])
                row.append((actions[env], float(step.reward[env]), bool(step.terminated[env]), not resets[env]))
                if not resets[env]:
                    running[env] += float(step.reward[env])
                    if done:
                        returns.append(running[env])
                        running[env] = 0.0
                resets[env] = done
            history.append((observation, row))
            observation = torch.from_numpy(step.observation)
            taken = (slot + 1) * ENVS
            due = taken % config.train_frequency == 0 and slot * ENVS >= (config.learning_starts or 0)
            for _ in range(config.gradient_steps if due else 0):
                if not draws:
                    draws = list(sample.random((DRAWS, config.batch_size)))
                found = [divmod(int(draw * (len(history) - 1) * ENVS), ENVS) for draw in draws.pop(0)]
                columns = list(zip(*(history[time][1][env] for time, env in found), strict=True))
                plain.update(
                    Batch(
                        torch.stack([history[time][0][env] for time, env in found])[None],
                        torch.tensor([columns[0]]),
                        torch.tensor([columns[1]]),
                        torch.stack([history[time + 1][0][env] for time, env in found])[None],
                        torch.tensor([columns[2]], dtype=torch.float32),
                        torch.tensor([columns[3]], dtype=torch.float32),
                    )
                )
            if taken % config.target_network_frequency == 0:
                plain.sync()
    return plain, returns


@pytest.mark.parametrize(
    ("changes", "updates"),
    [({}, 55), ({"double": True}, 55), ({"train_frequency": 40, "gradient_steps": 9}, 54)],
    ids=["dqn", "double", "steps in bulk"],
)
@pytest.mark.usefixtures("learner")
def test_a_window_is_that_of_a_plain_dqn(changes: dict[str, Any], updates: int) -> None:
    config, net = replace(CONFIG, **changes, exploration_fraction=0.1), store()
    subnets = check_out([net], NETWORK, [False])
    outcome = window(config, subnets, ring(), slots=60, horizon=2000)
    plain, returns = plain_window(config, net, 60, 2000)
    assert outcome.gradient_steps.tolist() == [updates]
    torch.testing.assert_close(subnets.fields["weight"][0], flat(plain.online), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(subnets.fields["target"][0], flat(plain.target), rtol=1e-3, atol=1e-4)
    assert (outcome.episodes[0], outcome.returns[0]) == (len(returns), pytest.approx(np.mean(returns)))
    assert outcome.epsilon.tolist() == [0.05]


@pytest.mark.usefixtures("learner")
def test_what_the_replay_holds_is_what_the_environments_gave() -> None:
    replay = ring()
    window(CONFIG, check_out([store()], NETWORK, [False]), replay, slots=60)
    content = replay.get(0)
    assert content.filled == content.head == 61, "one more for the last observation"
    steps, valid = content.steps[:61], content.steps[:61, :, VALID].bool()
    assert not valid[60].any(), "the last observation has no action"
    rewards = steps[..., REWARD]
    assert torch.equal(rewards[:60] == 1.0, valid[:60]), "CartPole pays 1 for every step that is one"
    resets = ~valid[:60]
    assert 0.04 < float(resets.float().mean()) < 0.2
    twice = (resets[1:] & resets[:-1]).any()
    assert not twice, "one step resets"
    assert not resets[0].any()
    ends = resets.roll(-1, 0)[:59]  # the step before a reset ended an episode
    terminated = steps[:59, :, TERMINATED].bool()
    assert not (terminated & ~ends).any()
    truncated = ends & ~terminated
    assert truncated.any()
    assert terminated.any()
    following = content.observations[1:60]
    angle = following[..., 2].abs()
    assert (angle[terminated] > 0.2095).all(), "an end is followed by its true last observation"
    assert (angle[truncated] <= 0.2095).any(), "all but the true ends on the very limit, which EnvPool calls cut"
    starts = content.observations[1:61][resets]
    assert (starts.abs() <= 0.05).all(), "a reset is followed by a start"


@pytest.mark.usefixtures("learner")
def test_resets_and_ends_of_windows_never_move_a_weight() -> None:
    weights = []
    for poison in (0.0, 1e6):
        replay, net = ring(), store()
        window(CONFIG, check_out([net], NETWORK, [False]), replay)
        content = replay.get(0)
        empty = content.steps[..., VALID] == 0
        content.steps[..., REWARD][empty] = poison
        replay.set(0, Content(content.observations, content.steps, content.head, content.filled))
        subnets = check_out([net], NETWORK, [False])
        outcome = window(CONFIG, subnets, replay, steps=160, number=1)
        assert outcome.gradient_steps.tolist() == [40]
        assert int(empty[:41].sum()) > 2 * ENVS
        weights.append(subnets.fields["weight"])
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("learner")
def test_the_second_window_learns_from_the_first() -> None:
    weights = []
    for reward in (0.0, 1.0):
        replay = ring()
        window(CONFIG, check_out([store()], NETWORK, [False]), replay)
        replay.steps[..., REWARD] = reward
        subnets = check_out([store()], NETWORK, [False])
        window(CONFIG, subnets, replay, steps=160, number=1)
        weights.append(subnets.fields["weight"])
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("frequency", "starts", "slots", "expected"),
    [(4, 20, 40, 35), (4, 160, 41, 1), (10, 20, 40, 14), (1, 20, 10, 20), (4, 1, 10, 9), (1, 1, 10, 36)],
)
@pytest.mark.usefixtures("learner")
def test_gradient_steps_begin_and_come_as_the_settings_say(
    frequency: int, starts: int, slots: int, expected: int
) -> None:
    config = replace(CONFIG, train_frequency=frequency, learning_starts=starts)
    outcome = window(config, check_out([store()], NETWORK, [False]), ring(), slots=slots)
    assert outcome.gradient_steps.tolist() == [expected]


@pytest.mark.usefixtures("learner")
def test_no_gradient_step_draws_a_slot_whose_successor_is_not_there_yet() -> None:
    config = replace(CONFIG, learning_starts=1, train_frequency=1)
    weights = []
    for rubbish in (0.0, 100.0):
        replay = ring()
        replay.observations.fill_(rubbish)
        subnets = check_out([store()], NETWORK, [False])
        window(config, subnets, replay, slots=4)
        weights.append(subnets.fields["weight"])
    assert torch.equal(weights[0], weights[1])


@pytest.mark.usefixtures("learner")
def test_before_learning_starts_nothing_moves() -> None:
    subnets = check_out([store()], NETWORK, [False])
    before = copy.deepcopy(subnets.fields)
    outcome = window(replace(CONFIG, learning_starts=1000), subnets, ring())
    assert (outcome.gradient_steps.tolist(), outcome.loss.tolist()) == ([0], [0.0])
    assert all(torch.equal(before[name], subnets.fields[name]) for name in FIELDS)


@pytest.mark.usefixtures("learner")
def test_the_target_is_copied_by_the_steps_that_the_learner_has_behind_it() -> None:
    def synced(steps: int) -> bool:
        subnets = check_out([store()], NETWORK, [False])
        before = subnets.fields["target"].clone()
        window(replace(CONFIG, target_network_frequency=1000), subnets, ring(), steps=steps, slots=25)
        return not torch.equal(before, subnets.fields["target"])

    assert [synced(steps) for steps in (0, 896, 900, 1000, 1900)] == [False, False, True, False, True]


@pytest.mark.usefixtures("learner")
def test_members_with_rings_anywhere_are_trained_as_alone() -> None:
    nets = [store(seed=seed) for seed in (0, 1)]
    together, replay = check_out(nets, NETWORK, [False, False]), ring(5)
    outcome = window(CONFIG, together, replay, members=(3, 1))
    for row, member in enumerate((3, 1)):
        alone, own = check_out([nets[row]], NETWORK, [False]), ring(5)
        single = window(CONFIG, alone, own, members=(member,))
        assert single.returns[0] == outcome.returns[row]
        assert torch.equal(own.observations[member], replay.observations[member])
        torch.testing.assert_close(alone.fields["weight"][0], together.fields["weight"][row], rtol=1e-4, atol=1e-5)
    assert replay.filled.tolist() == [0, 41, 0, 41, 0]


@pytest.mark.usefixtures("learner")
def test_what_one_group_draws_does_not_depend_on_when_another_begins_to_learn() -> None:
    """A member that has learned before is trained beside one that has not."""
    alone = check_out([store(seed=1)], NETWORK, [False])
    window(CONFIG, alone, ring(2), members=(1,))
    old, new = (check_out([store(seed=seed)], NETWORK, [False]) for seed in (0, 1))
    replay, trainer = ring(2), Trainer(CONFIG, 2000, CPU, LEARNER[0])
    window(CONFIG, old, replay)
    seeds = [seed for member in (0, 1) for seed in env_seeds(member, Consumer.INNER_ENVS, 0, count=ENVS)]
    groups = [Group([0], old, 160), Group([1], new, 0)]
    with closing(open_inner_envs(TASK, seeds)) as envs:
        outcome = trainer.train(groups, [0, 1], replay, envs, [(0, 0), (1, 0)], lasting(40, 2))
    assert outcome.gradient_steps.tolist() == [40, 35]
    assert torch.equal(alone.fields["weight"], new.fields["weight"])


@pytest.mark.usefixtures("learner")
def test_every_tensor_of_every_architecture_is_trained_and_nothing_else_moves() -> None:
    net = Supernet(Layout(FAMILY, variants(SPACE), INPUTS, OUTPUTS), np.random.default_rng(0), CPU)
    for number, architecture in enumerate(SPACE.enumerate()):
        network = SPACE.network_of(architecture)
        before = {name: net.fields[name].clone() for name in FIELDS}
        subnets = check_out([net], network, [True])
        window(replace(CONFIG, target_network_frequency=40), subnets, ring(), slots=20, number=number)
        check_in([net], subnets, [True])
        inside = torch.zeros(net.layout.size, dtype=torch.bool)
        inside[net.layout.positions(network)] = True
        for name in FIELDS:
            moved = net.fields[name] != before[name]
            assert not moved[~inside].any(), (name, SPACE.label(architecture))
            views = net.layout.views(network, moved[net.layout.positions(network)][None])
            for tensor, view in views.items():
                share = float(view.float().mean())
                assert share > (0.2 if network.activation == "relu" else 0.99), (
                    name,
                    tensor,
                    SPACE.label(architecture),
                )
        assert (net.fields["steps"] - before["steps"])[inside].unique().tolist() == [15.0]


@pytest.mark.usefixtures("learner")
def test_every_tensor_of_wide_architectures_with_norms_and_skips_is_trained() -> None:
    net = Supernet(Layout(family_of(WIDE), variants(WIDE), INPUTS, OUTPUTS), np.random.default_rng(0), CPU)
    rng = np.random.default_rng(1)
    for number in range(10):
        network = WIDE.network_of(WIDE.sample(rng))
        subnets = check_out([net], network, [True])
        before = {name: view.clone() for name, view in subnets.views("weight").items()}
        window(CONFIG, subnets, ring(), slots=20, number=number)
        for name, view in subnets.views("weight").items():
            assert float((view != before[name]).float().mean()) > 0.2, (name, network)


@pytest.mark.usefixtures("learner")
def test_a_changed_learning_rate_takes_effect_in_the_next_window() -> None:
    subnets = check_out([store()], NETWORK, [False])
    trainer = Trainer(replace(CONFIG, learning_starts=76), 2000, CPU, LEARNER[0])
    for rate in (1e-3, 1e-2):  # one gradient step each, which Adam makes as long as its rate
        subnets = check_out([store()], NETWORK, [False])
        before = subnets.fields["weight"].clone()
        trainer.config = replace(trainer.config, learning_rate=rate)
        with closing(open_inner_envs(TASK, list(range(ENVS)))) as envs:
            outcome = trainer.train([Group([0], subnets, 0)], [0], ring(), envs, [(0, 0)], lasting(20))
        assert outcome.gradient_steps.tolist() == [1]
        moved = (subnets.fields["weight"] - before).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=1e-2)


@pytest.mark.usefixtures("learner")
def test_a_huge_learning_rate_is_noticed() -> None:
    for rate, diverged in ((1e-3, False), (1e30, True)):
        subnets = check_out([store()], NETWORK, [False])
        outcome = window(replace(CONFIG, learning_rate=rate), subnets, ring())
        assert outcome.diverged.tolist() == [diverged]
        assert np.isfinite(outcome.returns).all()


# Settings.


def test_the_exploration_rate_falls_in_a_line_and_stays() -> None:
    config = Config(start_e=1.0, end_e=0.1, exploration_fraction=0.2)
    assert [config.epsilon(steps, 1000) for steps in (0, 50, 100, 200, 201, 5000)] == pytest.approx(
        [1.0, 0.775, 0.55, 0.1, 0.1, 0.1]
    )
    assert replace(config, exploration_fraction=0.0).epsilon(1, 1000) == 0.1


@pytest.mark.usefixtures("learner")
def test_the_window_explores_as_the_learners_age_says() -> None:
    config = replace(CONFIG, exploration_fraction=0.5, end_e=0.0, learning_starts=1999)
    right = {"head_2.bias": torch.tensor([0.0, 1e9])}  # a network that always pushes to the right

    def share(steps: int) -> float:
        subnets, replay = check_out([store()], NETWORK, [False]), ring()
        for name, bias in right.items():
            subnets.views("weight")[name][0] = bias
        window(config, subnets, replay, steps=steps, slots=100, horizon=100_000)
        return float(replay.steps[0, :100, :, 0].mean())

    assert share(0) == pytest.approx(0.5, abs=0.08)
    assert share(25_000) == pytest.approx(0.75, abs=0.08)
    assert share(50_000) == 1.0


def test_the_preset_named_after_cleanrl_has_its_values() -> None:
    preset = PRESETS["cleanrl"]
    assert preset == Config(
        learning_rate=2.5e-4,
        gamma=0.99,
        batch_size=128,
        train_frequency=10,
        target_network_frequency=500,
        tau=1.0,
        buffer_size=10_000,
        learning_starts=10_000,
        start_e=1.0,
        end_e=0.05,
        exploration_fraction=0.5,
        double=False,
    )
    assert preset.resolved(500_000, 500_000) == preset


def test_what_is_left_open_follows_the_horizon() -> None:
    resolved = Config(learning_starts=None, buffer_size=None).resolved(60_000, 60_000)
    assert (resolved.learning_starts, resolved.buffer_size) == (1000, 10_000)
    resolved = Config(learning_starts=None, buffer_size=None).resolved(2500, 2500)
    assert (resolved.learning_starts, resolved.buffer_size) == (250, 2500)
    assert Config(learning_starts=None).resolved(5, 5).learning_starts == 1


@pytest.mark.parametrize(("starts", "horizon"), [(1000, 1000), (10_000, 2500)])
def test_learning_that_would_start_after_the_learners_life_is_refused(starts: int, horizon: int) -> None:
    with pytest.raises(ValueError, match=f"learning_starts: expected fewer than the {horizon} steps .* got {starts}"):
        Config(learning_starts=starts).resolved(horizon, horizon)
    assert Config(learning_starts=horizon - 1).resolved(horizon, horizon).learning_starts == horizon - 1


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"batch_size": 0}, "batch_size: expected a positive integer, got 0"),
        ({"batch_size": 8.0}, r"batch_size: expected a positive integer, got 8\.0"),
        ({"gradient_steps": 0}, "gradient_steps: expected a positive integer, got 0"),
        ({"huber": 1}, "huber: expected True or False, got 1"),
        ({"train_frequency": True}, "train_frequency: expected a positive integer, got True"),
        ({"learning_starts": -1}, "learning_starts: expected a positive integer, got -1"),
        ({"gamma": 1.5}, r"gamma: expected a number from 0 to 1, got 1\.5"),
        ({"gamma": "0.9"}, "gamma: expected a number from 0 to 1, got '0.9'"),
        ({"tau": float("nan")}, "tau: expected a number from 0 to 1, got nan"),
        ({"end_e": None}, "end_e: expected a number from 0 to 1, got None"),
        ({"learning_rate": 0}, "learning_rate: expected a positive number, got 0"),
        ({"learning_rate": float("inf")}, "learning_rate: expected a positive number, got inf"),
        ({"learning_rate": "fast"}, "learning_rate: expected a positive number, got 'fast'"),
        ({"double": "no"}, "double: expected True or False, got 'no'"),
        ({"start_e": 1.5}, r"start_e: expected a number from 0 to 1, got 1\.5"),
        ({"end_e": -0.1}, r"end_e: expected a number from 0 to 1, got -0\.1"),
        ({"start_e": 0.1, "end_e": 0.2}, r"start_e: expected at least end_e \(0\.2\), .* falls, got 0\.1"),
        ({"start_e": 0.01}, r"start_e: expected at least end_e \(0\.05\), .* falls, got 0\.01"),
        ({"learning_rate": 10**400}, r"learning_rate: expected a number of at most 1\.79769e\+308, got 10{400}"),
        ({"buffer_size": 10**400}, r"buffer_size: expected an integer below 2\*\*63, got 10{400}"),
        ({"gamma": 10**400}, "gamma: expected a number from 0 to 1, got 10{400}"),
    ],
)
def test_a_setting_that_cannot_train_is_refused(setting: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Config(**setting)
