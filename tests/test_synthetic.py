"""The planted landscape: its optimum is the optimum, its parts do what they say, its lifetimes keep the contract."""

import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archgym
from archgym.evaluator import State
from archgym.landscape import Config, Landscape
from archgym.lookup import load
from archgym.problem import Problem
from archgym.search_space import SearchSpace
from archgym.search_spaces import grid
from archgym.settings import Settings
from archgym.synthetic import Synthetic

SYNTHETIC = "ArchSearch-Synthetic-v0"
SHORT = {"windows": 6, "window_steps": 2500}


def make(**keywords: Any) -> Any:
    return gym.make(SYNTHETIC, **{**SHORT, **keywords}).unwrapped


def synthetic(members: int = 1, **keywords: Any) -> Synthetic:
    made = Synthetic(Problem(Settings.from_keywords({"trainer": "synthetic", **SHORT, **keywords})), members)
    made.reset(list(range(members)))
    return made


def space_of(name: str) -> SearchSpace:
    space: SearchSpace = load("archgym.search_spaces", name, "search space").SPACE
    return space


@given(
    st.integers(0, 10_000),
    st.sampled_from(["mlp", "grid:4x3", "grid:2x5"]),
    st.tuples(*[st.floats(0, 2) for _ in range(3)]).filter(lambda weights: sum(weights) > 0.01),
)
def test_the_planted_architecture_is_the_best_and_all_values_lie_between_0_and_1(
    seed: int, name: str, weights: tuple[float, float, float]
) -> None:
    space = grid.sized(name.split(":")[1]) if ":" in name else space_of(name)
    landscape = Landscape(space, Config(seed, *weights))
    values = {tuple(a.tolist()): landscape.value(tuple(a.tolist())) for a in space.enumerate()}
    planted = tuple(landscape.optimum.tolist())
    assert values[planted] == 1.0
    assert max(values.values()) == 1.0
    assert min(values.values()) >= 0.0
    if weights[0] > 0:
        assert [key for key, value in values.items() if value == 1.0] == [planted]


def test_inactive_choices_and_constraints_leave_the_optimum_an_architecture_of_the_space() -> None:
    for landscape in range(20):
        env = make(space="mlp-wide", max_params=2000, landscape=landscape, noise=0.0)
        best = env.best()
        env.search_space.canonical(best)
        rng = np.random.default_rng(landscape)
        assert all(env.regret(env.search_space.sample(rng)) >= 0 for _ in range(50))
        assert env.regret(best) == 0


def test_a_landscape_without_interactions_is_additive_and_one_with_them_is_not() -> None:
    space = grid.sized("3x3")

    def interaction(config: Config) -> float:
        value = Landscape(space, config).value
        return abs(value((0, 0, 0)) - value((1, 0, 0)) - value((0, 1, 0)) + value((1, 1, 0)))

    additive = Config(additive=1.0, pairwise=0.0, ruggedness=0.0)
    assert all(interaction(Config(seed, 1.0, 0.0, 0.0)) < 1e-12 for seed in range(20))
    assert interaction(additive) < 1e-12
    assert np.mean([interaction(Config(seed, 1.0, 1.0, 0.0)) for seed in range(20)]) > 0.01
    assert np.mean([interaction(Config(seed, 1.0, 0.0, 1.0)) for seed in range(20)]) > 0.01


def test_seeds_plant_different_landscapes_and_the_same_seed_the_same() -> None:
    optima = {tuple(Landscape(grid.sized("6x4"), Config(seed)).optimum.tolist()) for seed in range(20)}
    assert len(optima) > 15
    one, again = (Landscape(grid.sized("6x4"), Config(3)) for _ in range(2))
    assert all(one.value((n % 4, 0, 1, 2, 3, 0)) == again.value((n % 4, 0, 1, 2, 3, 0)) for n in range(4))


def test_another_task_has_another_landscape_and_other_noise() -> None:
    one, other = make(space="grid:6x4"), make(space="grid:6x4", task="Acrobot-v1")
    assert one.best().tolist() != other.best().tolist()
    rewards = []
    for env in (make(), make(task="Acrobot-v1")):
        env.reset(seed=0)
        rewards.append(env.step(env.best())[1])  # its value is 1 on every task
    assert rewards[0] != pytest.approx(rewards[1])


def test_rewards_scatter_around_the_value_as_the_noise_says() -> None:
    made = synthetic(members=400, noise=0.2)
    architecture = np.tile(made.problem.space.default_architecture, (400, 1))
    rewards = np.array([result.normalised_return for result in made.train_window(architecture)])
    assert rewards.mean() == pytest.approx(made.value(architecture[0]), abs=0.04)
    assert rewards.std() == pytest.approx(0.2, rel=0.15)
    scores = made.evaluate(architecture, list(range(400)), 16)[0]
    assert made.problem.normalise(float(scores.std()) + made.problem.random_return) == pytest.approx(0.05, rel=0.15)


def test_every_window_and_every_lifetime_has_its_own_noise() -> None:
    made = synthetic(members=2)
    architectures = np.tile(made.problem.space.default_architecture, (2, 1))
    rewards = [result.reward for _ in range(3) for result in made.train_window(architectures)]
    assert len(set(rewards)) == 6


def test_the_noise_of_one_architecture_says_nothing_about_that_of_another() -> None:
    made = synthetic(members=1, noise=0.2)
    left = []
    for architecture in made.problem.space.enumerate():
        made.reset([7])
        reward = made.train_window(architecture[None])[0].normalised_return
        left.append(reward - made.value(architecture, 0.0))
    assert np.std(left) == pytest.approx(0.2, rel=0.4)


def test_a_fork_lives_on_by_itself() -> None:
    made, alone = synthetic(members=2), synthetic(members=2)
    architectures = np.tile(made.problem.space.default_architecture, (2, 1))
    for one in (made, alone):
        one.train_window(architectures)
        one.fork(0, 1)
    made.train_window(architectures[:1], [0])  # the source goes on, and the copy does not
    assert made.train_window(architectures[:1], [1]) == alone.train_window(architectures[:1], [1])


def test_a_fork_of_one_learner_carries_its_age() -> None:
    made = synthetic(members=2, transfer="own", rise=0.5, noise=0.0, windows=9, space="grid:6x4")
    one, other = np.array([0] * 6), np.array([1] * 6)
    for _ in range(4):
        made.train_window(np.stack([one, other]))
    young = made.train_window(np.stack([other, other]))
    made.fork(0, 1, one)
    assert made.lives[1].visits == {made.problem.space.label(one): 4, made.problem.space.label(other): 5}
    assert made.lives[1].windows == 5
    assert young[0].reward != young[1].reward
    results = made.train_window(np.stack([one, one]))
    assert results[0].reward == results[1].reward  # without noise: of the same age
    with pytest.raises(ValueError, match="fork: expected an architecture that member 1 has trained, got 'c0=3 "):
        made.fork(1, 0, np.array([3] * 6))


def test_being_inactive_is_an_option_of_its_own() -> None:
    space = space_of("mlp-wide")
    landscape = Landscape(space, Config())
    one_layer, two_layers = space.default_architecture.copy(), space.default_architecture.copy()
    one_layer[:3], two_layers[:3] = (0, 0, 0), (1, 0, 0)  # depth, width_1, width_2: its first option, or inactive
    assert landscape._positions(space.canonical(one_layer))[2] != landscape._positions(space.canonical(two_layers))[2]


def test_without_noise_a_reward_is_the_value_and_the_raw_return_lies_on_the_tasks_scale() -> None:
    env = make(noise=0.0, task="Acrobot-v1")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.best())
    assert reward == pytest.approx(1.0)
    assert info["raw_return"] == pytest.approx(-100.0)
    assert info["normalised_return"] == pytest.approx(1.0)


def test_returns_rise_over_a_lifetime_as_a_learner_does() -> None:
    env = make(noise=0.0, rise=0.8)
    env.reset(seed=0)
    rewards = [env.step(env.best())[1] for _ in range(6)]
    assert rewards == pytest.approx([0.2, 0.36, 0.52, 0.68, 0.84, 1.0])


def test_with_own_every_architecture_has_its_own_age_and_with_fresh_none() -> None:
    first, second = np.array([0, 0, 0]), np.array([1, 0, 0])
    for transfer, ages in (("own", [0, 0, 1]), ("shared", [0, 1, 2]), ("fresh", [5, 5, 5])):
        env = make(noise=0.0, rise=1.0, ruggedness=0.0, transfer=transfer)
        env.reset(seed=0)
        value = env._lives.evaluator.value
        for age, architecture in zip(ages, (first, second, first), strict=True):
            assert env.step(architecture)[1] == pytest.approx(value(architecture, age / 5))


def test_a_drifting_landscape_ends_with_another_optimum_which_is_found_by_looking() -> None:
    env = make(noise=0.0, drift=1.0)
    start, end = (landscape.optimum for landscape in env._lives.evaluator.landscapes)
    assert start.tolist() != end.tolist()
    assert env.best().tolist() == end.tolist()
    env.reset(seed=0)
    rewards = [env.step(start)[1] for _ in range(6)]
    assert rewards[0] == pytest.approx(1.0)
    assert rewards == sorted(rewards, reverse=True)
    with pytest.raises(ValueError, match="best: expected a space of at most 100,000 option vectors"):
        make(space="grid:20x4", drift=0.5).best()


def test_steps_are_counted_as_if_something_were_trained() -> None:
    env = make(reward="evaluation", evaluation_episodes=3)
    env.reset(seed=0)
    *_, info = env.step([0, 0, 0])
    assert info["env_steps"] == 2500 + 3 * 500
    assert info["gradient_steps"] == 0


def test_there_are_no_weights_to_take_away() -> None:
    env = make()
    env.reset(seed=0)
    assert env.trains is False
    with pytest.raises(ValueError, match="got a planted landscape"):
        env.export([0, 0, 0])


def test_a_state_and_a_fork_go_on_alike() -> None:
    env = make()
    env.reset(seed=3)
    env.step([0, 1, 2])
    state, copy = env.get_state(), env.fork()
    after = [env.step([n % 3, 0, 0])[1] for n in range(4)]
    assert [copy.step([n % 3, 0, 0])[1] for n in range(4)] == after
    env.set_state(state)
    assert [env.step([n % 3, 0, 0])[1] for n in range(4)] == after
    with pytest.raises(ValueError, match="expected 1 members of a planted landscape, got 2"):
        env._lives.evaluator.set_state(synthetic(2).get_state())
    with pytest.raises(ValueError, match="expected one of a planted landscape, got one of a recorded table"):
        env._lives.evaluator.set_state(State({"lives": [{"curves": [0]}]}, {}))


def test_it_needs_neither_torch_nor_a_window_of_training() -> None:
    code = (
        "import sys, gymnasium as gym\n"
        "env = gym.make('archgym:ArchSearch-Synthetic-v0')\n"
        "env.reset(seed=0); env.step(env.action_space.sample()); print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_a_landscape_remembers_so_many_values_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archgym.landscape, "REMEMBERED", 3)
    space = grid.sized("2x3")
    small, whole = Landscape(space, Config()), Landscape(space, Config())
    vectors = [tuple(one.tolist()) for one in space.enumerate()] * 2
    assert [small.value(one) for one in vectors] == [whole._value(one) for one in vectors]
    assert small.value.cache_info().currsize == 3


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"noise": -1}, "noise: expected a number of at least 0, got -1"),
        ({"rise": 2.0}, "rise: expected a number from 0 to 1, got 2.0"),
        ({"drift": True}, "drift: expected a number of at least 0, got True"),
        ({"landscape": -3}, "landscape: expected an integer of at least 0, got -3"),
        ({"additive": 0, "pairwise": 0, "ruggedness": 0}, "expected one of them above 0, got 0"),
        ({"noise": 1e308}, r"noise: expected a number of at most 1e\+100, got 1e\+308"),
        ({"pairwise": 10**400}, r"pairwise: expected a number of at most 1e\+100, got 10{400}"),
        ({"space": "grid:1000000x1000000"}, "at most 65,536 options of all choices together, .* 1,000,000,000,000"),
        ({"space": f"grid:2x{'9' * 5000}"}, "expected 'grid:CHOICESxOPTIONS' .*, got '2x9999"),
        ({"random_return": -1e200}, r"random_return: expected a number from -1e\+150 to 1e\+150, got -1e\+200"),
        (
            {"random_return": 0, "reference_return": 1e-320},
            "expected a value above random_return .* by at least 1e-150",
        ),
        ({"windows": 2**62}, r"windows, window_steps: expected fewer than 2\*\*63 inner steps in a lifetime"),
        ({"nois": 0.1}, "unknown environment keyword or trainer setting 'nois': .* Did you mean 'noise'"),
        ({"space": "grid:6"}, "expected 'grid:CHOICESxOPTIONS' .*, got '6'"),
        ({"space": "grid:0x4"}, "at least 1 choice and 2 options, got '0x4'"),
        ({"space": "mlp:3x3"}, "search space 'mlp' comes in one size: expected 'mlp', got 'mlp:3x3'"),
        ({"preset": "cleanrl"}, "unknown preset 'cleanrl': expected one of default"),
        *(
            ({"transfer": name}, f"transfer: expected 'shared', 'own' or 'fresh' on a planted.*got '{name}'")
            for name in ("matching", "net2net", "distil")
        ),
    ],
)
def test_what_is_no_landscape_is_refused_with_a_sentence(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**keywords)


def test_a_landscape_that_finds_no_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "triu", full)
    with pytest.raises(
        ValueError, match=r"choices, options: expected sizes that fit into memory, got choices=6, opt.*=24"
    ):
        make(space="grid")


def test_returns_are_finite_however_large_the_noise_is() -> None:
    env = make(noise=1e100, random_return=-1e150, reference_return=1e150)
    env.reset(seed=0)
    for _ in range(3):
        seen, reward, _, _, info = env.step([0, 0, 0])
        assert np.isfinite([*seen, reward, info["raw_return"], info["normalised_return"]]).all()


def test_a_grid_is_not_for_training() -> None:
    with pytest.raises(ValueError, match="'grid' has no networks to train: it is for ArchSearch-Synthetic-v0"):
        gym.make("ArchSearch-DQN-v0", space="grid")


def test_nobody_knows_the_best_network_of_a_task() -> None:
    env: Any = gym.make("ArchSearch-DQN-v0").unwrapped
    with pytest.raises(ValueError, match="expected a recorded table or a planted landscape"):
        env.best()
    with pytest.raises(ValueError, match="expected a recorded table or a planted landscape"):
        env.regret([0, 0, 0])
