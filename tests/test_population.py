import copy
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import archgym.population
from archgym.evaluator import State
from archgym.lookup import names
from archgym.population import Population, find_device
from archgym.problem import Problem
from archgym.replay import REWARD
from archgym.settings import TRANSFERS, Settings
from archgym.supernet import FIELDS
from archgym.window import WindowResult

SMALL = {"windows": 6, "window_steps": 120, "learning_rate": 1e-3}
OF_TRAINER: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 40, "batch_size": 16, "train_frequency": 4, "target_network_frequency": 60},
    "pqn": {"num_steps": 8, "num_minibatches": 2, "layer_norm": True},
    "ppo": {"num_steps": 8, "num_minibatches": 2, "actor_critic": True},
}
for name in ("dqn", "pqn"):
    OF_TRAINER[name]["exploration_fraction"] = 0.5
TRAINERS = names("archgym.trainers")
PAIRS = [(one, trainer) for one in TRANSFERS for trainer in TRAINERS if one != "distil" or trainer == "dqn"]
OF_TRANSFER = {"distil": {"distil_steps": 5}}
A, B, C = [0, 0, 1], [1, 1, 2], [0, 2, 0]  # depth, width, activation: they share slices


def problem(trainer: str = "dqn", **keywords: Any) -> Problem:
    own = {**OF_TRAINER.get(trainer, {}), **OF_TRANSFER.get(keywords.get("transfer", ""), {})}
    return Problem(Settings.from_keywords({**SMALL, **own, "trainer": trainer, **keywords}))


def population(members: int = 1, seeds: Sequence[int] | None = None, **keywords: Any) -> Population:
    made = Population(problem(**keywords), members)
    made.reset(range(members) if seeds is None else seeds)
    return made


def run(made: Population, plan: Sequence[Sequence[Sequence[int]]]) -> list[list[WindowResult]]:
    """Train the architectures (windows, members, choices)."""
    return [made.train_window(np.array(architectures)) for architectures in plan]


def numbers(state: State) -> dict[str, Any]:
    """A state in a form that == compares bit for bit."""
    return {"meta": state.meta, **{name: array.tobytes() for name, array in state.arrays.items()}}


PLAN = [[A, B, A], [A, A, B], [B, A, B], [B, C, A], [A, B, A], [C, B, A]]


# Seeds and members.


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
def test_equal_seeds_give_equal_lives_bit_for_bit_and_others_do_not(transfer: str, trainer: str) -> None:
    one, again, other = (
        population(3, seeds, transfer=transfer, trainer=trainer) for seeds in ([1, 2, 3], [1, 2, 3], [4, 2, 5])
    )
    assert run(one, PLAN[:3]) == run(again, PLAN[:3])
    assert numbers(one.get_state()) == numbers(again.get_state())
    results = run(other, PLAN[:3])
    for first, second in zip(
        run(population(3, [1, 2, 3], transfer=transfer, trainer=trainer), PLAN[:3]), results, strict=True
    ):
        assert first[0] != second[0]
        assert first[2] != second[2]


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
def test_an_exact_member_lives_as_if_it_were_alone(transfer: str, trainer: str) -> None:
    together = population(3, [7, 8, 9], transfer=transfer, trainer=trainer, exact=True)
    results = run(together, PLAN)
    state = together.get_state()
    for member in range(3):
        alone = population(1, [7 + member], transfer=transfer, trainer=trainer, exact=True)
        single = run(alone, [[architectures[member]] for architectures in PLAN])
        assert [row[0] for row in single] == [row[member] for row in results]
        own = alone.get_state()
        for name, array in own.arrays.items():
            _, _, rest = name.partition("/")
            assert np.array_equal(array, state.arrays[f"{member}/{rest}"]), name


@pytest.mark.parametrize("trainer", TRAINERS)
def test_stacked_members_live_nearly_as_if_they_were_alone(trainer: str) -> None:
    stacked, exact = population(3, trainer=trainer), population(3, trainer=trainer, exact=True)
    run(stacked, [[A, A, A]])
    run(exact, [[A, A, A]])
    for one, other in zip(stacked.lifetimes, exact.lifetimes, strict=True):
        torch.testing.assert_close(
            one.stores[""].supernet.fields["weight"], other.stores[""].supernet.fields["weight"], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_window_of_some_members_leaves_the_others_alone(trainer: str) -> None:
    made = population(3, trainer=trainer)
    run(made, PLAN[:1])
    before = made.get_state()
    (result,) = made.train_window(np.array([B]), [1])
    after = made.get_state()
    assert result.action == B
    for name, array in after.arrays.items():
        changed = name.startswith("1/") and not name.endswith(("exp_avg_sq", "target"))  # PQN has no target
        assert np.array_equal(array, before.arrays[name]) or name.startswith("1/"), name
        assert not changed or not np.array_equal(array, before.arrays[name]), name
    for member in (0, 2):
        assert before.meta["lifetimes"][member] == after.meta["lifetimes"][member]
    assert after.meta["lifetimes"][1]["windows"] == 2


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
def test_members_may_be_trained_in_any_order_and_company(transfer: str, trainer: str) -> None:
    together, apart = (population(3, transfer=transfer, trainer=trainer, exact=True) for _ in range(2))
    expected = run(together, PLAN[:3])
    for window, members in ((0, [2, 0]), (0, [1]), (1, [1]), (1, [0, 2]), (2, [0]), (2, [2]), (2, [1])):
        results = apart.train_window(np.array([PLAN[window][member] for member in members]), members)
        assert results == [expected[window][member] for member in members]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_member_can_begin_anew_while_the_others_go_on(trainer: str) -> None:
    made, undisturbed = population(3, trainer=trainer, exact=True), population(3, trainer=trainer, exact=True)
    run(made, PLAN[:2])
    expected = run(undisturbed, PLAN[:3])[2]
    made.reset([77], [1])
    results = run(made, PLAN[2:3])[0]
    assert [results[0], results[2]] == [expected[0], expected[2]]
    (fresh,) = population(1, [77], trainer=trainer, exact=True).train_window(np.array([PLAN[2][1]]))
    assert results[1] == fresh


# State, fork, evaluation.


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
@pytest.mark.parametrize("members", [1, 3])
def test_a_life_goes_on_from_its_state_as_if_nothing_had_happened(transfer: str, members: int, trainer: str) -> None:
    plan = [architectures[:members] for architectures in PLAN]
    whole = population(members, transfer=transfer, trainer=trainer)
    expected = run(whole, plan)
    for stop in (0, 3) if members == 3 else (1, 4):
        first = population(members, transfer=transfer, trainer=trainer)
        assert run(first, plan[:stop]) == expected[:stop]
        state = first.get_state()
        run(first, plan[stop : stop + 1])  # the copy must not move along
        second = Population(first.problem, members)
        second.set_state(state)
        assert numbers(second.get_state()) == numbers(state)
        assert run(second, plan[stop:]) == expected[stop:]
        assert numbers(second.get_state()) == numbers(whole.get_state())


def test_a_state_may_be_used_many_times_and_by_a_population_that_has_lived() -> None:
    made = population(2)
    run(made, [[A, B]])
    state = made.get_state()
    expected, before = run(made, [[B, B]]), copy.deepcopy(numbers(state))
    for _ in range(2):
        made.set_state(state)
        assert run(made, [[B, B]]) == expected
        assert numbers(state) == before


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"space": "mlp-wide"}, "belongs to another search space or task"),
        ({"task": "Acrobot-v1"}, "belongs to another search space or task"),
        ({"transfer": "own"}, "belongs to another transfer than 'shared'"),
        ({"envs_per_member": 2}, "belongs to another envs_per_member or buffer_size"),
        ({"buffer_size": 50}, "belongs to another envs_per_member or buffer_size"),
    ],
)
def test_the_state_of_another_population_is_refused_and_changes_nothing(other: dict[str, Any], sentence: str) -> None:
    made, foreign = population(2), population(2, **other)
    architectures = np.stack([foreign.problem.space.default_architecture] * 2)
    foreign.train_window(architectures)
    run(made, [[A, B]])
    before = numbers(made.get_state())
    with pytest.raises(ValueError, match=f"state: it {sentence}"):
        made.set_state(foreign.get_state())
    assert numbers(made.get_state()) == before
    with pytest.raises(ValueError, match="state: expected 2 members, got 3"):
        made.set_state(population(3).get_state())


def test_the_state_of_another_trainer_is_refused() -> None:
    """With equal networks, so that the replay alone tells them apart."""
    states = {}
    for trainer in TRAINERS:
        made = population(1, trainer=trainer, layer_norm=True)
        run(made, [[A]])
        states[trainer] = made.get_state()
    for trainer, foreign in (("dqn", "pqn"), ("pqn", "dqn")):
        with pytest.raises(ValueError, match="state: it belongs to another trainer"):
            population(1, trainer=trainer, layer_norm=True).set_state(states[foreign])


def test_a_trainer_without_a_replay_holds_none() -> None:
    made = population(2, trainer="pqn", transfer="own")
    results = run(made, [[A, B], [B, A], [A, B]])
    assert made.replay is None
    assert {result.replay_fill for row in results for result in row} == {0.0}
    assert all(store.replay is None for life in made.lifetimes for store in life.stores.values())
    assert {name.rpartition("/")[2] for name in made.get_state().arrays} == set(FIELDS)


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
@pytest.mark.parametrize("exact", [False, True])
def test_a_fork_lives_the_life_of_its_source_until_their_choices_differ(
    transfer: str, exact: bool, trainer: str
) -> None:
    made = population(3, [5, 6, 7], transfer=transfer, trainer=trainer, exact=exact)
    run(made, PLAN[:2])
    third = numbers(made.get_state())["meta"]["lifetimes"][2]
    made.fork(0, 1)
    results = run(made, [[A, A, B], [B, B, B], [C, A, A]])
    for one, other, _ in results[:2]:
        if exact or trainer != "ppo":
            assert one == other
        else:  # torch steps the last numbers of a stack otherwise than the first ones, in their last bits
            told = [(result.raw_return, result.loss, result.value) for result in (one, other)]
            assert told[0] == pytest.approx(told[1], rel=1e-4)
    assert results[2][0] != results[2][1]
    undisturbed = population(3, [5, 6, 7], transfer=transfer, trainer=trainer, exact=True)
    run(undisturbed, PLAN[:2])
    assert third == undisturbed.get_state().meta["lifetimes"][2]
    if exact:
        expected = run(undisturbed, [[A, B, B], [B, B, B], [C, A, A]])
        assert [(row[0], row[2]) for row in results] == [(row[0], row[2]) for row in expected]


def learner(made: Population, member: int, architecture: list[int]) -> dict[str, Any]:
    """Everything that one learner of `own` is, its replay included."""
    state = made.get_state()
    entry = state.meta["lifetimes"][member]["stores"][made.problem.space.label(np.array(architecture))]
    arrays = {name.removeprefix(entry["name"]): one for name, one in state.arrays.items()}
    kept = {name: one.tobytes() for name, one in arrays.items() if f"{entry['name']}{name}" in state.arrays}
    return {**{name: value for name, value in entry.items() if name != "name"}, **kept}


@pytest.mark.parametrize("at_source", [A, B], ids=["in the ring", "paused"])
@pytest.mark.parametrize("at_target", [A, B], ids=["over the ring", "beside the ring"])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_fork_of_one_learner_carries_it_over_and_nothing_else(
    at_source: list[int], at_target: list[int], trainer: str
) -> None:
    made = population(3, [5, 6, 7], transfer="own", exact=True, trainer=trainer)
    run(made, [[A, B, C], [A, at_target, C], [at_source, at_target, C]])
    before = [learner(made, 0, A), learner(made, 1, B), learner(made, 2, C)]
    plain = [{**life, "stores": None} for life in made.get_state().meta["lifetimes"]]
    made.fork(0, 1, np.array(A))
    assert [learner(made, 0, A), learner(made, 1, B), learner(made, 2, C)] == before
    assert learner(made, 1, A) == before[0]
    assert [{**life, "stores": None} for life in made.get_state().meta["lifetimes"]] == plain
    ((own, other),) = (window[:2] for window in run(made, [[A, A, C]]))
    assert (own.epsilon, own.gradient_steps) == (other.epsilon, other.gradient_steps)  # they are of the same age
    assert own.raw_return != other.raw_return  # under luck of their own
    again, _ = run(made, [[B, B, C]])[0][:2]
    assert again.env_steps == 120


def test_a_learner_that_is_not_there_or_goes_nowhere_changes_nothing() -> None:
    made = population(2, transfer="own")
    run(made, [[A, B]])
    before = numbers(made.get_state())
    with pytest.raises(ValueError, match="fork: expected an architecture that member 0 has trained, got 'depth=2 "):
        made.fork(0, 1, np.array(C))
    made.fork(0, 0, np.array(A))
    assert numbers(made.get_state()) == before


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
def test_evaluating_changes_nothing_and_repeats(transfer: str, trainer: str) -> None:
    made, undisturbed = (population(2, transfer=transfer, trainer=trainer) for _ in range(2))
    architectures, members = np.array([A, B, C, A]), [0, 1, 0, 1]
    for window in PLAN[:3]:
        before = numbers(made.get_state())
        returns, steps = made.evaluate(architectures, members, 3)
        again, _ = made.evaluate(architectures, members, 3)
        assert returns.tolist() == again.tolist()
        assert (returns * 3 == np.round(returns * 3)).all(), "CartPole pays 1 a step"
        assert steps == [3 * 500] * 4, "however short the episodes were"
        assert numbers(made.get_state()) == before
        assert run(made, [window[:2]]) == run(undisturbed, [window[:2]])


def test_an_evaluation_plays_whole_greedy_episodes_with_the_present_weights() -> None:
    made = population(2)
    run(made, [[A, A]])
    weights = made.weights(1, np.array(A))
    with torch.no_grad():
        field = made.lifetimes[1].stores[""].supernet.fields["weight"]
        head = next(name for name in weights if name.startswith("head") and name.endswith("weight"))
        network = made.problem.space.network_of(np.array(A))
        layout = made.lifetimes[1].stores[""].supernet.layout
        positions = layout.positions(network)
        inside = layout.views(network, positions[None].clone())
        field[inside[head].flatten()] = 0.0
        field[inside[head.replace("weight", "bias")].flatten()] = torch.tensor([0.0, 1.0])
    returns, steps = made.evaluate(np.array([A, A]), [0, 1], 5)
    assert 8 <= returns[1] <= 11, "a cart that is pushed to the right alone drops its pole in about nine steps"
    assert returns[0] != returns[1]
    assert steps == [5 * 500] * 2
    mixed, spent = made.evaluate(np.array([A, A, A]), [1, 0, 1], [5, 1, 2])
    assert mixed[0] == returns[1]
    assert spent == [2500, 500, 1000]
    parts = [made.evaluate(np.array([A]), [member], count)[0][0] for member, count in ((1, 5), (0, 1), (1, 2))]
    assert mixed.tolist() == parts


def test_weights_are_copies_of_what_the_subnet_computes_with() -> None:
    made = population(1)
    run(made, [[A]])
    before = numbers(made.get_state())
    weights = made.weights(0, np.array(A))
    for weight in weights.values():
        weight.zero_()
    assert numbers(made.get_state()) == before
    assert sum(weight.numel() for weight in weights.values()) == run(made, [[A]])[0][0].parameters


# Rewards.


def test_a_return_is_normalised_by_the_tasks_references() -> None:
    made = population(2, random_return=10.0, reference_return=110.0)
    for row in run(made, [[A, B]]):
        for result in row:
            assert result.normalised_return == pytest.approx((result.raw_return - 10.0) / 100.0)
            assert result.reward == result.normalised_return


@pytest.mark.parametrize(("low", "high", "reward"), [(0.0, 1.0, 2.0), (1000.0, 1001.0, -1.0)])
def test_the_reward_is_limited_and_the_normalised_return_is_not(low: float, high: float, reward: float) -> None:
    ((result,),) = run(population(1, random_return=low, reference_return=high), [[A]])
    assert result.reward == reward
    assert abs(result.normalised_return) > 5


def test_improvement_is_the_difference_to_the_window_before() -> None:
    plain = [row[0] for row in run(population(1), [[A], [A], [B], [B]])]
    better = [row[0] for row in run(population(1, reward="improvement"), [[A], [A], [B], [B]])]
    levels = [0.0, *(result.normalised_return for result in plain)]
    for result, before, now in zip(better, levels, levels[1:], strict=False):
        assert result.reward == pytest.approx(now - before)
        assert result.normalised_return == now


def test_improvement_counts_from_the_limits() -> None:
    bounds = {"random_return": 0.0, "reference_return": 1.0}  # every return is far above the reference
    results = run(population(1, reward="improvement", **bounds), [[A], [B], [A]])
    assert [row[0].reward for row in results] == [2.0, 0.0, 0.0]


def test_evaluation_rewards_greedy_episodes_and_counts_their_steps() -> None:
    made, plain = population(2, reward="evaluation", evaluation_episodes=3), population(2)
    results, trained = run(made, [[A, B]])[0], run(plain, [[A, B]])[0]
    returns, steps = made.evaluate(np.array([A, B]), [0, 1], 3)
    for row in range(2):
        assert results[row].raw_return == returns[row]
        assert results[row].reward == made.problem.normalise(returns[row])
        assert results[row].env_steps == 120 + steps[row]
        assert (trained[row].env_steps, trained[row].episodes) == (120, results[row].episodes)
        assert trained[row].raw_return != results[row].raw_return


def test_costs_are_the_logarithm_of_the_flops_beside_the_defaults() -> None:
    free, costly = population(2), population(2, cost_weight=0.1)
    default = free.problem.space.default_architecture.tolist()
    for plain, charged in zip(run(free, [[A, default]])[0], run(costly, [[A, default]])[0], strict=True):
        flops = {tuple(A): 2 * (4 * 32 + 32 * 32 + 32 * 2), tuple(default): 2 * (4 * 128 + 128 * 128 + 128 * 2)}
        assert charged.flops == flops[tuple(charged.action)]
        expected = plain.reward - 0.1 * np.log(charged.flops / flops[tuple(default)])
        assert charged.reward == pytest.approx(expected)
        assert charged.raw_return == plain.raw_return
    bounds = {"random_return": 0.0, "reference_return": 1.0}
    assert run(population(1, cost_weight=1.0, **bounds), [[A]])[0][0].reward == 2.0, "limited after costs, too"


def test_what_a_window_reports_adds_up() -> None:
    made = population(1)
    first, second, third = (row[0] for row in run(made, [[A], [A], [B]]))
    assert [result.switched for result in (first, second, third)] == [False, False, True]
    assert [result.gradient_steps for result in (first, second, third)] == [20, 30, 30]
    assert [result.env_steps for result in (first, second, third)] == [120] * 3
    network = made.problem.space.network_of(np.array(B))
    assert (third.parameters, third.flops) == (network.parameters(4, 2), network.flops(4, 2))
    assert first.epsilon > second.epsilon >= third.epsilon
    slots = made.replay.slots
    assert [result.replay_fill for result in (first, second, third)] == [31 / slots, 62 / slots, 93 / slots]
    assert first.loss > 0
    assert not first.diverged
    assert not first.from_table


# A learner that diverges.


def test_a_learner_that_diverges_earns_the_least_and_keeps_its_weights_and_its_life() -> None:
    made = population(2, learning_rate=1e30)
    labels = [made.problem.space.label(np.array(one)) for one in (A, B)]
    start = [made.transfer.begin(*one) for one in zip(made.lifetimes, labels, strict=True)]
    for window in ([A, B], [A, A], [B, C]):
        for result in run(made, [window])[0]:
            assert result.diverged
            assert result.reward == -1.0
            assert all(np.isfinite([result.raw_return, result.loss, result.value, result.normalised_return]))
    for life, begun in zip(made.lifetimes, start, strict=True):
        store = life.stores[""]
        assert torch.equal(store.supernet.fields["weight"], begun.supernet.fields["weight"])
        assert not store.supernet.fields["steps"].any()
        assert (life.windows, store.steps) == (3, 360)


@pytest.mark.parametrize("reward", ["improvement", "evaluation"])
def test_divergence_earns_the_least_in_every_mode_of_reward(reward: str) -> None:
    ((result,),) = run(population(1, learning_rate=1e30, reward=reward, cost_weight=0.5), [[A]])
    assert (result.diverged, result.reward) == (True, -1.0)


def poison(made: Population, member: int, value: float) -> None:
    made.replay.steps[member, ..., REWARD] = value


def test_a_member_that_diverges_does_not_touch_its_neighbours() -> None:
    sound, spoilt = population(2), population(2)
    for made in (sound, spoilt):
        run(made, [[A, A]])
    poison(spoilt, 0, 1e30)
    expected, results = run(sound, [[A, A]])[0], run(spoilt, [[A, A]])[0]
    assert [result.diverged for result in results] == [True, False]
    assert results[1] == expected[1]


def test_after_divergence_the_target_still_follows_the_architecture_that_is_trained() -> None:
    keywords = {"target_network_frequency": 10_000, "transfer": "shared"}  # nothing but switches moves the target
    made = population(1, **keywords)
    run(made, [[A]])
    kept = made.replay.get(0)
    poison(made, 0, 1e30)
    assert run(made, [[B]])[0][0].diverged
    made.replay.set(0, kept)
    store = made.lifetimes[0].stores[""]
    before = store.supernet.fields["weight"].clone()
    (result,) = run(made, [[B]])[0]
    assert (result.diverged, result.switched) == (False, True)
    inside = store.supernet.layout.positions(made.problem.space.network_of(np.array(B)))
    assert torch.equal(store.supernet.fields["target"][inside], before[inside])


# Tasks beyond the table, and bad input.


class Corridor(gym.Env[NDArray[np.float32], int]):
    """Five rooms in a row; both ends end the episode, the one that is shown pays 1, and every step costs 0.05."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.room, self.shown = 0, int(self.np_random.choice([-2, 2]))
        return self._observation(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.room += 1 if action else -1
        return self._observation(), float(self.room == self.shown) - 0.05, abs(self.room) == 2, False, {}

    def _observation(self) -> NDArray[np.float32]:
        return np.array([self.room / 2, self.shown / 2], np.float32)


@pytest.fixture
def corridor() -> Iterator[str]:
    gym.register("Corridor-v0", entry_point=lambda **_: Corridor(), max_episode_steps=20, reward_threshold=0.85)
    yield "Corridor-v0"
    del gym.registry["Corridor-v0"]


def test_a_task_of_gymnasium_is_learned_too(corridor: str) -> None:
    made = population(1, [2], task=corridor, windows=4, window_steps=400, learning_rate=5e-3)
    assert made.problem.inputs == 2
    before, _ = made.evaluate(np.array([B]), [0], 10)
    results = run(made, [[B]] * 4)
    after, _ = made.evaluate(np.array([B]), [0], 10)
    assert after[0] > 0.8 > 0.6 > before[0]
    assert results[-1][0].reward > results[0][0].reward + 0.3
    assert results[-1][0].episodes > 60


def test_rewards_that_are_no_numbers_are_refused_and_never_told(corridor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = population(task=corridor)
    run(made, [[B]])
    step = Corridor.step
    monkeypatch.setattr(Corridor, "step", lambda self, action: (*step(self, action)[:1], float("nan"), True, False, {}))
    sentence = "task 'Corridor-v0': expected rewards whose sums are finite, .*, got a return of nan"
    with pytest.raises(ValueError, match=sentence):
        made.evaluate(np.array([B]), [0], 2)
    with pytest.raises(ValueError, match=sentence):
        run(made, [[B]])


def test_inner_environments_that_find_no_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    made = population(trainer="ppo")
    monkeypatch.setattr(made.inner_envs, "open", full)
    with pytest.raises(
        ValueError, match=r"envs_per_member, num_envs: expected sizes that fit into memory, got envs_.*=4"
    ):
        run(made, [[B]])


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        (
            {"buffer_size": 2**62},
            "buffer_size, envs_per_member, num_envs: expected sizes that fit into memory, got buffer_size=46116860184",
        ),
        (
            {"learning_rat": 1e-3},
            "unknown environment keyword or trainer setting 'learning_rat': .*mean 'learning_rate'",
        ),
        ({"windws": 3}, "unknown environment keyword or trainer setting 'windws': .*Did you mean 'windows'"),
        (
            {"preset": "cleanr1"},
            "unknown preset 'cleanr1': expected one of atari, cleanrl, default. Did you mean 'cleanrl'",
        ),
        ({"trainer": "dqm"}, "unknown trainer 'dqm': .*Did you mean 'dqn'"),
        ({"learning_starts": 720}, "learning_starts: expected fewer than the 720 steps .* got 720"),
        ({"horizon": 10_000, "learning_starts": 720}, "learning_starts: expected fewer than the 720 steps .* got 720"),
        ({"transfer": "fresh", "learning_starts": 120}, "learning_starts: expected fewer than the 120 steps"),
        ({"learning_rate": -1}, "learning_rate: expected a positive number, got -1"),
        ({"device": "cuda:99"}, "device: expected one of cpu.* on this machine, got 'cuda:99'"),
        ({"device": "cpu:x"}, "device: expected one of cpu.* on this machine, got 'cpu:x'"),
        ({"device": "gpu"}, "device: expected one of cpu.* on this machine, got 'gpu'"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_trained(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Population(problem(**keywords), 1)


def test_the_horizon_of_a_fresh_learner_is_a_window_and_of_others_a_lifetime() -> None:
    assert problem(transfer="fresh").horizon == 120
    assert {problem(transfer=name).horizon for name in TRANSFERS if name != "fresh"} == {720}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_a_card_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="device: expected one of cpu on this machine, got 'cuda'"):
        find_device("cuda")


def test_the_fields_that_a_state_holds_are_all_that_a_supernet_has() -> None:
    made = population(1)
    run(made, [[A]])
    state = made.get_state()
    assert set(state.arrays) == {f"0/0/{name}" for name in (*FIELDS, "observations", "steps_taken")}


def test_a_state_of_another_evaluator_is_refused() -> None:
    with pytest.raises(ValueError, match="state: expected one of networks that are trained, got another state"):
        population().set_state(State({"lives": []}, {}))


@pytest.mark.parametrize("transfer", ["own", "matching", "shared"])
def test_layouts_that_were_forgotten_are_made_anew(transfer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for kept in (1, 32):
        monkeypatch.setattr(archgym.population, "LAYOUTS", kept)
        made = population(2, transfer=transfer)
        made.reset([1, 2])
        for width in (0, 1, 2, 0, 1):
            made.train_window(np.array([[0, width, 0], [0, 1, 0]]))
        assert len(made._layouts) == min(kept, 3)  # `shared`: that of the space, and those that two members begin with
        told.append(numbers(made.get_state()))
    assert told[0] == told[1]
