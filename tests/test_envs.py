"""The environments as their users meet them: contract tests over every registered id, and what each promise means."""

import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import archgym  # noqa: F401  (registers the ids)
from archgym import table_card
from archgym.envs import core
from archgym.envs.lifetimes import SCALARS
from archgym.settings import TRANSFERS
from archgym.stats import detrend

IDS = sorted(id for id in gym.registry if id.startswith("ArchSearch-"))
DQN = "ArchSearch-DQN-v0"
FULL = {"windows": 3, "envs_per_member": 1, "window_steps": 625}  # the shortest window without a warning
SHORT = {"windows": 3, "envs_per_member": 2, "window_steps": 60, "learning_starts": 16, "batch_size": 8}
SETTINGS = {  # by trainer
    "dqn": {"learning_starts": 16, "batch_size": 8, "gamma": 0.9},
    "pqn": {"num_steps": 8, "gamma": 0.9},
    "ppo": {"num_steps": 8, "gamma": 0.9},
    "synthetic": {"noise": 0.2},
}
WILD = {  # settings under which nothing works
    "dqn": {"learning_rate": 1e30},
    "pqn": {"learning_rate": 1e30},
    "ppo": {"learning_rate": 1e30},
    "synthetic": {"noise": 1e30},
}
SHORT_WINDOW = "ignore:window_steps=60 is shorter"

pytestmark = [pytest.mark.filterwarnings(SHORT_WINDOW), pytest.mark.usefixtures("recorded")]


def short(keywords: dict[str, Any]) -> dict[str, Any]:
    """Add what makes windows and switches short, unless given."""
    return {**SHORT, **({"distil_steps": 3} if keywords.get("transfer") == "distil" else {}), **keywords}


def make(**keywords: Any) -> gym.Env[Any, Any]:
    return gym.make(DQN, **short(keywords))


def make_vec(members: int, **keywords: Any) -> Any:
    return gym.make_vec(DQN, num_envs=members, **short(keywords))


def make_id(id: str, **keywords: Any) -> gym.Env[Any, Any]:
    """Make an environment of any id, short."""
    sizes = {name: SHORT[name] for name in ("windows", "envs_per_member", "window_steps")}
    return gym.make(id, **{**sizes, **SETTINGS[trainer_of(id)], **keywords})


def trainer_of(id: str) -> str:
    return str(gym.spec(id).kwargs["trainer"])


def draw(env: Any, count: int, seed: int = 0) -> np.ndarray:
    """Draw architectures, (count, choices)."""
    rng = np.random.default_rng(seed)
    return np.stack([env.unwrapped.search_space.sample(rng) for _ in range(count)])


def act(env: Any, info: dict[str, Any]) -> Any:
    """Draw an action of any id, under its mask if it has one."""
    mask = info.get("action_mask")
    return env.action_space.sample() if mask is None else env.action_space.sample(mask)


def story(env: Any, actions: Any) -> list[Any]:
    """Step, and keep what can be compared."""
    told = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        told.append((observation.tolist(), np.asarray(reward).tolist(), terminated, truncated, info))
    return told


def same(one: Any, other: Any) -> None:
    """Compare stories or infos of any nesting to the last bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        np.testing.assert_array_equal(one, other, strict=True)


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*precision lowered by casting")  # of EnvPool's spaces
        yield


# Every registered id


@pytest.mark.parametrize("id", IDS)
def test_gymnasiums_checker_has_nothing_to_say(id: str) -> None:
    with no_warning():
        check_env(gym.make(id, **FULL).unwrapped)


@pytest.mark.parametrize("id", IDS)
def test_stable_baselines3s_checker_has_nothing_to_say(id: str) -> None:
    with no_warning():
        check_env_sb3(gym.make(id, render_mode="rgb_array", **FULL).unwrapped, skip_render_check=False)


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize(
    "keywords",
    [
        {"task": "Acrobot-v1", "reward": "improvement", "transfer": "own", "cost_weight": 1.0},
        {"task": "MountainCar-v0", "transfer": "fresh", "space": "mlp-wide", "max_params": 5000},
        {"wild": True},
    ],
    ids=lambda keywords: next(iter(keywords)) + str(len(keywords)),
)
def test_an_observation_lies_in_its_finite_box_whatever_happens(id: str, keywords: dict[str, Any]) -> None:
    env = make_id(id, **(WILD[trainer_of(id)] if "wild" in keywords else keywords))
    space = env.observation_space
    assert isinstance(space, gym.spaces.Box)
    assert np.isfinite([space.low, space.high]).all()
    observation, info = env.reset(seed=0)
    rng, over = np.random.default_rng(0), False
    while not over:
        assert observation in space
        assert observation.dtype == np.float32
        whole = "action_mask" not in info
        action = env.unwrapped.search_space.sample(rng) if whole and "max_params" in keywords else act(env, info)
        observation, reward, over, _, info = env.step(action)
        assert -1 <= reward <= 2
    assert observation in space


@pytest.mark.parametrize("id", IDS)
def test_the_spec_survives_json(id: str) -> None:
    env = make_id(id, task="Acrobot-v1")
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.problem == env.unwrapped.problem
    assert again.unwrapped.problem.settings.trainer_settings == SETTINGS[trainer_of(id)]


def fresh_process(ids: list[str]) -> tuple[list[str], str]:
    """Make environments where archgym was not imported; gives a line for each, and what was said on stderr."""
    code = f"import gymnasium\nfor id in {ids}:\n    gymnasium.make('archgym:' + id)\n"
    code += "    print(gymnasium.make_vec('archgym:' + id, num_envs=2))"
    environment = {name: value for name, value in os.environ.items() if name != "ARCHGYM_JOURNAL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return done.stdout.splitlines(), done.stderr


def without_a_table(id: str) -> bool:
    return "Tabular" in id and f"{trainer_of(id)}--mlp--CartPole-v1" not in table_card.shipped()


@pytest.mark.parametrize("first", [id for id in IDS if id in (DQN, "ArchSearch-DQN-Tabular-v0")])
def test_they_are_made_in_a_fresh_process_without_an_import(first: str) -> None:
    ids = [first, *(id for id in IDS if ("Tabular" in id) == ("Tabular" in first) and id != first)]
    ids = [id for id in ids if not without_a_table(id)]
    told, errors = fresh_process(ids)
    assert len(told) == len(ids), errors
    assert all("num_envs=2" in line for line in told)


@pytest.mark.parametrize("id", list(filter(without_a_table, IDS)))
def test_the_command_that_builds_a_missing_table_is_said(id: str) -> None:
    assert f"archgym table build --trainer {trainer_of(id)} --space mlp --task CartPole-v1" in fresh_process([id])[1]


@pytest.mark.parametrize("id", IDS)
def test_no_argument_is_needed_and_there_is_no_time_limit(id: str) -> None:
    env: gym.Env[Any, Any] | None = gym.make(id)
    while isinstance(env, gym.Wrapper):
        assert not isinstance(env, gym.wrappers.TimeLimit)
        env = env.env
    assert gym.spec(id).max_episode_steps is None


@pytest.mark.parametrize("id", IDS)
def test_an_episode_terminates_after_its_windows_and_never_truncates(id: str) -> None:
    env = make_id(id)
    _, info = env.reset(seed=0)
    trained, over = 0, False
    while not over:
        _, _, over, truncated, info = env.step(act(env, info))
        trained += "raw_return" in info
        assert truncated is False
        assert isinstance(over, bool)
    assert trained == SHORT["windows"]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(act(env, info))
    env.reset()
    env.step(act(env, info))


# Seeds


def test_reset_seeds_the_action_space_too() -> None:
    first, second = [], []
    for samples in (first, second):
        env = make()
        env.reset(seed=5)
        samples += [env.action_space.sample().tolist() for _ in range(5)]
    assert first == second
    env.reset(seed=6)
    assert [env.action_space.sample().tolist() for _ in range(5)] != first


def test_seed_zero_seeds_the_action_space() -> None:
    samples = []
    for _ in range(2):
        env = make()
        env.reset(seed=0)
        samples.append([env.action_space.sample().tolist() for _ in range(5)])
    assert samples[0] == samples[1]


def test_the_vector_action_space_is_seeded_too() -> None:
    samples = []
    for seed in (5, 5, 6):
        envs = make_vec(2)
        envs.reset(seed=seed)
        samples.append(envs.action_space.sample().tolist())
    assert samples[0] == samples[1] != samples[2]


def test_seed_zero_is_a_seed_like_any_other() -> None:
    actions = draw(make(), 2)
    told = []
    for seed in (0, 0, 1):
        env = make()
        env.reset(seed=seed)
        told.append(story(env, actions))
    same(told[0], told[1])
    assert told[0] != told[2]


def test_a_reset_without_a_seed_goes_on_with_the_stream_of_the_last_seed() -> None:
    actions = draw(make(), 3)
    told = []
    for _ in range(2):
        env = make()
        env.reset(seed=3)
        first = story(env, actions)
        env.reset()
        told.append((first, story(env, actions)))
    same(told[0], told[1])
    assert told[0][0] != told[0][1]


def test_options_that_reset_does_not_know_pass() -> None:
    make().reset(seed=0, options={"somebody": "else's"})
    make_vec(2).reset(seed=0, options={"somebody": "else's"})


# What a step says


def test_the_observation_holds_what_its_table_says() -> None:
    env = make(task="MountainCar-v0", windows=4)
    observation, _ = env.reset(seed=0)
    space = env.unwrapped.search_space
    size = sum(space.counts)
    one, scalars, visits, means = np.split(observation, [size, size + SCALARS, 2 * size + SCALARS])
    assert scalars.tolist() == [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    assert not one.any()
    assert not visits.any()
    assert not means.any()
    actions = [[0, 1, 2], [1, 1, 2], [1, 1, 2]]
    told = [env.step(np.array(action)) for action in actions]
    rewards, infos = [step[1] for step in told], [step[4] for step in told]
    one, scalars, visits, means = np.split(told[-1][0], [size, size + SCALARS, 2 * size + SCALARS])
    last = infos[-1]
    assert one.tolist() == space.encode(np.array(actions[-1])).tolist()
    assert scalars[:10] == pytest.approx(
        [
            *(rewards[-1], max(rewards), 1 / 4, 1 / 4, last["epsilon"], last["replay_fill"], math.tanh(last["loss"])),
            *(math.tanh(last["value"] / 100), math.tanh(last["episodes"] / 100), last["cut_share"]),
        ],
        abs=1e-6,
    )
    assert scalars[10] == 0
    codes = np.stack([space.encode(np.array(action)) for action in actions])
    assert visits == pytest.approx(codes.mean(0))
    residuals = detrend(np.array(rewards)[:, None])[:, 0]
    assert means == pytest.approx((codes * residuals[:, None]).sum(0) / (codes.sum(0) + 4), abs=1e-6)


def test_the_reward_is_the_normalised_return_or_its_improvement_less_the_cost() -> None:
    architectures = [[0, 0, 0], [2, 2, 2], [0, 2, 1]]
    infos = {}
    for kind, weight in (("return", 0.0), ("improvement", 0.0), ("return", 0.05)):
        env = make(reward=kind, cost_weight=weight)
        env.reset(seed=2)
        infos[kind, weight] = [env.step(np.array(one))[1::3] for one in architectures]
    told = [info for _, info in infos["return", 0.0]]
    returns = [min(2.0, max(-1.0, (info["raw_return"] - 22.3) / (475 - 22.3))) for info in told]
    assert [reward for reward, _ in infos["return", 0.0]] == pytest.approx(returns)
    assert [info["normalised_return"] for info in told] == pytest.approx(returns)
    gains = np.diff([0.0, *returns])
    assert [reward for reward, _ in infos["improvement", 0.0]] == pytest.approx(gains)
    default = 2 * (4 * 128 + 128 * 128 + 128 * 2)
    costs = [0.05 * math.log(info["flops"] / default) for info in told]
    assert [reward for reward, _ in infos["return", 0.05]] == pytest.approx(np.array(returns) - costs)


def test_an_evaluation_reward_is_what_evaluate_says_after_the_window() -> None:
    env = make(reward="evaluation", evaluation_episodes=3)
    env.reset(seed=2)
    action = np.array([0, 0, 0])
    _, _, _, _, info = env.step(action)
    assert info["raw_return"] == env.unwrapped.evaluate(action[None], episodes=3)[0]
    assert info["env_steps"] > SHORT["window_steps"]


def test_a_learner_that_diverges_earns_minus_one_and_the_lifetime_goes_on() -> None:
    env = make(learning_rate=1e30, windows=4)
    env.reset(seed=0)
    told = [env.step(action) for action in draw(env, 4)]
    assert any(info["diverged"] for *_, info in told)
    assert [reward == -1 for _, reward, *_ in told] == [info["diverged"] for *_, info in told]
    assert told[-1][2]


def test_info_names_the_network_that_was_trained() -> None:
    env = make(space="mlp-wide")
    env.reset(seed=0)
    shallow = np.array([0, 1, 3, 3, 3, 1, 1, 1])  # one layer: the other widths and the skip are not there
    *_, info = env.step(shallow)
    assert info["architecture"] == "depth=1 width_1=32 activation=tanh layer_norm=True"
    module = env.unwrapped.export(shallow)
    assert info["parameters"] == sum(tensor.numel() for tensor in module.parameters())


def test_timings_are_seconds_that_add_up_to_less_than_the_clock() -> None:
    begin = time.perf_counter()
    env = make()
    env.reset(seed=0)
    story(env, draw(env, 2))
    env.unwrapped.evaluate(draw(env, 1))
    timings = env.unwrapped.timings
    assert timings.keys() >= {"open", "switch", "evaluate", "env", "act", "learn"}
    assert all(seconds > 0 for seconds in timings.values())
    assert sum(timings.values()) < time.perf_counter() - begin


def test_two_actions_train_different_weights_and_compute_different_values() -> None:
    small, large = np.array([0, 0, 0]), np.array([2, 2, 2])
    observations = torch.linspace(-1, 1, 40).view(10, 4)
    values = {}
    for action in (small, large):
        env = make()
        env.reset(seed=0)
        before = [env.unwrapped.export(one)(observations).detach().numpy() for one in (small, large)]
        env.step(action)
        after = [env.unwrapped.export(one)(observations).detach().numpy() for one in (small, large)]
        assert np.abs(before[0] - before[1]).max() > 1e-3
        values[tuple(action)] = after
        own = int(action is large)
        assert np.abs(after[own] - before[own]).max() > 1e-4
    assert np.abs(values[0, 0, 0][0] - values[2, 2, 2][0]).max() > 1e-4


# The vector environment is so many single ones


def alike(members: int, **keywords: Any) -> tuple[Any, Any]:
    """Make the population and Gymnasium's own vector of single environments."""
    population = make_vec(members, exact=True, **keywords)
    loop = make_vec(members, exact=True, vectorization_mode="sync", **keywords)
    assert type(loop) is gym.vector.SyncVectorEnv
    assert type(population) is not type(loop)
    return population, loop


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_members_are_single_environments_bit_for_bit_across_lifetimes(transfer: str) -> None:
    told = []
    for envs in alike(3, transfer=transfer, windows=2):
        observations, infos = envs.reset(seed=7)
        actions = draw(make(), 18, seed=1).reshape(6, 3, -1)  # the third step resets
        told.append([observations.tolist(), infos, story(envs, actions)])
    same(*told)


def test_members_of_equal_architecture_are_single_environments_too() -> None:
    told = []
    for envs in alike(3, windows=2, space="mlp-wide"):
        envs.reset(seed=7)
        action = draw(make(space="mlp-wide"), 1)
        told.append(story(envs, [np.tile(action, (3, 1))] * 2))
    same(*told)


def test_each_member_may_have_a_seed_of_its_own() -> None:
    told = []
    for envs in alike(3):
        envs.reset(seed=[11, 3, 11])
        told.append(story(envs, np.tile(draw(make(), 2)[:, None], (1, 3, 1))))
    same(*told)
    last = told[0][-1][0]
    assert last[0] == last[2] != last[1]


def test_some_members_may_be_reset_while_others_go_on() -> None:
    mask = np.array([True, False, True])
    told = []
    for envs in alike(3, windows=2):
        envs.reset(seed=7)
        actions = draw(make(), 15, seed=1).reshape(5, 3, -1)
        first = story(envs, actions[:1])
        observations, infos = envs.reset(seed=[20, None, None], options={"reset_mask": mask})
        told.append([first, observations.tolist(), infos, story(envs, actions[1:])])
    same(*told)
    infos = told[0][-1][1][-1]  # the second step: member 1 begins anew while the others train
    assert infos["_raw_return"].tolist() == [True, False, True]


def test_seeds_and_masks_that_do_not_fit_are_refused() -> None:
    envs = make_vec(2)
    with pytest.raises(ValueError, match="expected 2 seeds, got 3"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="reset_mask: expected 2 booleans, got int64"):
        envs.reset(options={"reset_mask": np.array([0, 1])})
    with pytest.raises(ValueError, match="reset_mask: expected 2 booleans"):
        envs.reset(options={"reset_mask": np.array([True])})
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(draw(envs, 2))


def test_a_seed_may_be_an_integer_of_numpy() -> None:
    told = []
    for seed in (5, np.int64(5)):
        envs = make_vec(2)
        envs.reset(seed=seed)
        told.append(story(envs, [draw(envs, 2)]))
    same(*told)


@pytest.mark.parametrize("members", [0, -1, 1.5, True, "2"])
def test_a_number_of_members_must_be_a_positive_integer(members: Any) -> None:
    with pytest.raises(ValueError, match="num_envs: expected a positive integer"):
        gym.make_vec(DQN, num_envs=members, **SHORT)


# States, forks, evaluation


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_state_set_after_reset_continues_through_wrappers(transfer: str) -> None:
    def wrap() -> Any:
        env = make(windows=4, transfer=transfer)
        return gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TransformReward(env, lambda reward: 2 * reward))

    env = wrap()
    actions = draw(env, 7, seed=3)
    env.reset(seed=1)
    story(env, actions[:2])
    state = env.get_wrapper_attr("get_state")()

    def rest(env: Any) -> list[Any]:
        told = story(env, actions[2:4])
        for step in told:
            step[4].pop("episode", None)  # what wrappers keep themselves is not restored
        env.reset()
        return [*told, *story(env, actions[4:])]

    straight = rest(env)
    other = wrap()
    other.reset(seed=99)
    other.unwrapped.set_state(state)
    same(straight, rest(other))
    env.unwrapped.set_state(state)  # and once more, in the environment that has gone on
    same(straight, rest(env))


def test_a_state_of_the_vector_environment_continues_every_member() -> None:
    envs = make_vec(3, windows=2)
    actions = draw(make(), 15, seed=3).reshape(5, 3, -1)
    envs.reset(seed=1)
    envs.step(actions[0])
    envs.reset(options={"reset_mask": np.array([True, False, False])})
    state = envs.get_state()
    straight = story(envs, actions[1:])
    other = make_vec(3, windows=2)
    other.reset(seed=99)
    other.set_state(state)
    same(straight, story(other, actions[1:]))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"windows": 4}, "windows 3, got one with 4"),
        ({"window_steps": 100}, "window_steps 60, got one with 100"),
        ({"transfer": "own"}, "transfer 'shared', got one with 'own'"),
        ({"space": "mlp-wide"}, "space 'mlp', got one with 'mlp-wide'"),
        ({"max_params": 3000}, "max_params None, got one with 3000"),
        ({"task": "Acrobot-v1"}, "task 'CartPole-v1', got one with 'Acrobot-v1'"),
        ({"id": "ArchSearch-Synthetic-v0"}, "trainer 'dqn', got one with 'synthetic'"),
        ({"id": "ArchSearch-PPO-v0"}, "trainer 'dqn', got one with 'ppo'"),
        ({"id": "ArchSearch-DQN-Tabular-v0"}, "transfer 'shared', got one with 'own'"),
    ],
)
@pytest.mark.usefixtures("recorded")
@pytest.mark.filterwarnings("ignore:window_steps=")
def test_a_state_of_another_environment_is_refused_and_changes_nothing(other: dict[str, Any], sentence: str) -> None:
    told = []
    for refused in (False, True):
        env: Any = make()
        env.reset(seed=1)
        actions = draw(env, 2)
        env.step(actions[0])
        if refused:
            foreign: Any = make_id(**{"id": DQN, **other})
            foreign.reset(seed=2)
            foreign.step(draw(foreign, 1)[0])
            with pytest.raises(ValueError, match=f"state: expected one of an environment with {sentence}"):
                env.unwrapped.set_state(foreign.unwrapped.get_state())
            with pytest.raises(ValueError, match="state: expected one that get_state gave, got dict"):
                env.unwrapped.set_state({})
        told.append([env.unwrapped.history, *story(env, actions[1:])])
    same(*told)


def test_a_state_that_does_not_say_where_it_is_from_is_gone_on_from() -> None:
    env: Any = make()
    other: Any = make()
    env.reset(seed=1)
    other.reset(seed=2)
    state = env.unwrapped.get_state()
    del state.meta["identity"]  # as in those that an older archgym took
    other.unwrapped.set_state(state)
    actions = draw(env, 2)
    same(story(env, actions), story(other, actions))


def test_a_fork_has_the_budget_that_is_left() -> None:
    env: Any = gym.make("ArchSearch-Synthetic-v0", windows=3, evaluation_steps=10_000)
    env.reset(seed=1)
    env.step(draw(env, 1)[0])
    env.unwrapped.evaluate(draw(env, 2), 3)
    copy = env.unwrapped.fork()
    assert copy.evaluation_left == env.unwrapped.evaluation_left == 10_000 - 6 * 500
    copy.evaluate(draw(env, 1), 1)
    assert env.unwrapped.evaluation_left == 7_000  # each spends its own


def test_the_rest_of_a_budget_is_for_one_architecture_per_member() -> None:
    envs: Any = gym.make_vec("ArchSearch-Synthetic-v0", num_envs=2, windows=3, evaluation_steps=10_000)
    envs.reset(seed=1)
    for count in (1, 3):
        with pytest.raises(ValueError, match=f"evaluate_rest: expected one architecture .* 2 members, got {count}"):
            envs.unwrapped.evaluate_rest(draw(envs, count))
    assert envs.unwrapped.evaluation_left == 10_000


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("id", [DQN, "ArchSearch-DQN-Sequential-v0", "ArchSearch-DQN-Tabular-v0"])
def test_rows_of_different_lengths_are_refused_with_a_sentence(id: str) -> None:
    ragged: Any = [[0, 1], [2]]
    env: Any = make_id(id).unwrapped
    envs: Any = gym.make_vec(id, num_envs=2, windows=3, window_steps=60, envs_per_member=2)
    env.reset(seed=0)
    envs.reset(seed=0)
    calls = [lambda: env.evaluate(ragged), lambda: envs.unwrapped.evaluate(ragged), lambda: envs.step(ragged)]
    calls += [] if "Sequential" in id else [lambda: env.step(ragged)]
    for call in calls:
        with pytest.raises(ValueError, match="expected rows of equal length, got rows of different lengths"):
            call()


def test_a_state_of_another_number_of_members_is_refused() -> None:
    envs, env = make_vec(2), make()
    envs.reset(seed=0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected 1 members, got 2"):
        env.unwrapped.set_state(envs.get_state())
    env.step(draw(env, 1)[0])


def test_a_fork_goes_the_same_way_until_it_chooses_otherwise() -> None:
    env = make(windows=4)
    actions = draw(env, 4, seed=5)
    env.reset(seed=1)
    story(env, actions[:1])
    fork, apart = env.unwrapped.fork(), env.unwrapped.fork()
    other = story(apart, actions[3:0:-1])
    straight = story(env, actions[1:])
    same(straight, story(fork, actions[1:]))
    assert straight != other
    env.reset()
    fork.reset()
    same(story(env, actions), story(fork, actions))


def test_a_forked_member_goes_the_same_way_in_this_lifetime_and_the_next() -> None:
    envs = make_vec(3, exact=True)
    actions = np.tile(draw(make(), 7, seed=5)[:, None], (1, 3, 1))
    envs.reset(seed=1)
    envs.step(actions[0])
    envs.fork(np.int64(0), 2)
    told = story(envs, actions[1:])
    assert all(observations[0] == observations[2] for observations, *_ in told)
    returns = [infos["raw_return"].tolist() for *_, infos in told if infos]
    assert len(returns) == 5
    assert all(one == three != two for one, two, three in returns)


def test_a_forked_member_is_as_old_as_its_source() -> None:
    for pair in ((0, 1), (1, 0)):
        envs = make_vec(2, windows=2)
        envs.reset(seed=1)
        envs.step(draw(envs, 2))
        envs.reset(options={"reset_mask": np.array([False, True])})
        *_, over, _, _ = envs.step(draw(envs, 2))
        assert over.tolist() == [True, False]
        envs.fork(*pair)
        observations, _, over, _, infos = envs.step(draw(envs, 2))
        began = pair == (0, 1)  # a lifetime that has ended is copied: both begin anew
        assert over.tolist() == [not began] * 2
        assert ("raw_return" in infos) == (not began)
        assert observations[:, sum(envs.search_space.counts) + 2].tolist() == [1.0 if began else 0.0] * 2


@pytest.mark.parametrize("pair", [(0, 3), (-1, 0), (0.5, 1), (True, 1)])
def test_a_fork_of_members_that_are_not_there_is_refused(pair: tuple[Any, Any]) -> None:
    envs = make_vec(3)
    envs.reset(seed=1)
    with pytest.raises(ValueError, match="member: expected an integer from 0 to 2"):
        envs.fork(*pair)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_evaluate_scores_without_training(transfer: str) -> None:
    told, scores = [], []
    for episodes in (0, 2):
        env = make(transfer=transfer)
        actions = draw(env, 3, seed=4)
        env.reset(seed=1)
        first = story(env, actions[:1])
        if episodes:
            scores += [env.unwrapped.evaluate(actions, episodes) for _ in range(2)]
            scores.append(env.unwrapped.evaluate(actions[1:2], episodes))
        told.append([first, story(env, actions[1:])])
    same(*told)
    assert scores[0].shape == (3,)
    assert scores[0].tolist() == scores[1].tolist()
    assert scores[2][0] == scores[0][1]


def test_members_evaluate_with_their_own_weights() -> None:
    envs = make_vec(3)
    envs.reset(seed=1)
    envs.step(draw(envs, 3))
    architecture = draw(envs, 1)
    own = envs.evaluate(np.tile(architecture, (3, 1)), 5)
    again = envs.evaluate(np.tile(architecture, (2, 1)), 5, members=[2, 0])
    assert again.tolist() == [own[2], own[0]]
    assert len(set(own.tolist())) > 1
    with pytest.raises(ValueError, match="one architecture for each of the 3 members, got 2"):
        envs.evaluate(np.tile(architecture, (2, 1)))
    with pytest.raises(ValueError, match="member: expected an integer from 0 to 2, got 3"):
        envs.evaluate(architecture, members=[3])
    with pytest.raises(ValueError, match="episodes: expected a positive integer, got 0"):
        envs.evaluate(architecture, 0, members=[0])


@pytest.mark.parametrize("call", ["evaluate", "export", "get_state", "save", "step", "fork"])
def test_what_needs_a_lifetime_says_so_before_the_first_reset(call: str, tmp_path: Path) -> None:
    env = make().unwrapped
    action = draw(env, 1)
    given: dict[str, tuple[Any, ...]] = {"evaluate": (action,), "export": (action[0],), "step": (action[0],)}
    given["save"] = (str(tmp_path), action[0])
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        getattr(env, call)(*given.get(call, ()))


@pytest.mark.parametrize("label", ["depth=3 width=64 activation=elu", "wide"])
def test_an_exported_network_pickles_and_runs_where_there_is_no_archgym(label: str, tmp_path: Path) -> None:
    wide = "depth=3 width_1=16 width_2=64 width_3=32 activation=tanh layer_norm=True skip=True"
    env = make(space="mlp-wide" if label == "wide" else "mlp")
    env.reset(seed=0)
    action = env.unwrapped.search_space.parse(wide if label == "wide" else label)
    env.step(action)
    module = env.unwrapped.export(action)
    observations = torch.linspace(-2, 2, 40).view(10, 4)
    expected = module(observations)
    torch.save({"module": module, "observations": observations, "expected": expected.detach()}, tmp_path / "x.pt")
    code = (
        "import sys; sys.modules['archgym'] = None\n"
        "import torch; x = torch.load('x.pt', weights_only=False)\n"
        "assert torch.equal(x['module'](x['observations']), x['expected'])\n"
        "assert not [name for name in sys.modules if name.startswith('archgym.')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_exported_network_is_a_copy_that_later_windows_leave_alone() -> None:
    env = make()
    env.reset(seed=0)
    action = draw(env, 1)[0]
    env.step(action)
    module, observations = env.unwrapped.export(action), torch.ones(1, 4)
    before = module(observations)
    env.step(action)
    assert torch.equal(module(observations), before)
    assert not torch.equal(env.unwrapped.export(action)(observations), before)


# Pictures


def test_ansi_tells_the_last_window_in_a_line() -> None:
    env = make(render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "a new lifetime: no window yet"
    *_, info = env.step(np.array([0, 0, 0]))
    text = env.render()
    assert isinstance(text, str)
    assert "window 1/3" in text
    assert info["architecture"] in text
    assert f"{info['raw_return']:.1f}" in text


def test_rgb_array_draws_a_picture_that_changes_with_the_path() -> None:
    pictures = []
    for action in ([0, 0, 0], [2, 2, 2]):
        env = make(render_mode="rgb_array")
        env.reset(seed=0)
        pictures.append(env.render())
        env.step(np.array(action))
        pictures.append(env.render())
    for picture in pictures:
        assert isinstance(picture, np.ndarray)
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert picture.std() > 5
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[3])


def test_human_prints_every_window(capsys: pytest.CaptureFixture[str]) -> None:
    env = make(render_mode="human")
    env.reset(seed=0)
    env.step(np.array([0, 0, 0]))
    assert env.render() is None
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "window 1/3" in lines[1]


def test_the_vector_environment_renders_every_member(capsys: pytest.CaptureFixture[str]) -> None:
    for mode, kind in (("ansi", str), ("rgb_array", np.ndarray)):
        envs = make_vec(2, render_mode=mode)
        envs.reset(seed=0)
        envs.step(draw(envs, 2))
        pictures = envs.render()
        assert [type(picture) for picture in pictures] == [kind, kind]
    envs = make_vec(2, render_mode="human")
    envs.reset(seed=0)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")
def test_an_unknown_render_mode_is_refused() -> None:
    for maker in (make, lambda **keywords: make_vec(2, **keywords)):
        with pytest.raises(ValueError, match=r"render_mode: expected None or one of ansi, human, rgb_array, got 'rgb'"):
            maker(render_mode="rgb")


# What is refused, and that nothing is lost by it

MISTAKES: dict[str, tuple[Any, str]] = {
    "too short": (np.array([0, 1]), r"expected 3 integers \(depth, width, activation\), got int64 of shape \(2,\)"),
    "too long": (np.array([0, 1, 0, 0]), r"got int64 of shape \(4,\)"),
    "a number": (np.int64(1), r"expected 3 integers"),
    "a table": (np.zeros((1, 3), dtype=np.int64), r"of shape \(1, 3\)"),
    "floats": (np.array([0.0, 1.0, 2.0]), r"expected 3 integers .* got float64"),
    "booleans": (np.array([True, False, True]), r"got bool of shape \(3,\)"),
    "words": (np.array(["relu", "64", "2"]), r"expected 3 integers"),
    "nothing": (None, r"expected 3 integers .* got object"),
    "too large": (np.array([0, 3, 0]), r"expected width from 0 to 2 \(options 32, 64, 128\), got 3"),
    "negative": (np.array([0, 0, -1]), r"expected activation from 0 to 2 .* got -1"),
    "forbidden": (np.array([2, 2, 0]), r"expected at most 20000 parameters"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_action_is_refused_and_nothing_is_lost(mistake: str) -> None:
    wrong, sentence = MISTAKES[mistake]
    told = []
    for mistaken in (False, True):
        env = make(max_params=20_000).unwrapped
        actions = draw(env, 2, seed=6)
        env.reset(seed=1)
        first = story(env, actions[:1])
        if mistaken:
            with pytest.raises(ValueError, match=sentence):
                env.step(wrong)
        told.append([first, story(env, actions[1:])])
    same(*told)


@pytest.mark.parametrize("mistake", ["floats", "too large", "forbidden"])
def test_one_members_wrong_action_costs_no_member_anything(mistake: str) -> None:
    wrong, sentence = MISTAKES[mistake]
    told = []
    for mistaken in (False, True):
        envs = make_vec(2, max_params=20_000)
        actions = draw(envs, 4, seed=6).reshape(2, 2, -1)
        envs.reset(seed=1)
        first = story(envs, actions[:1])
        if mistaken:
            with pytest.raises(ValueError, match=sentence):
                envs.step(np.stack([actions[1, 0], wrong]))
            with pytest.raises(ValueError, match="actions: expected 2 architectures"):
                envs.step(actions[1, :1])
        told.append([first, story(envs, actions[1:])])
    same(*told)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"taks": "CartPole-v1"}, "unknown .*'taks'.* Did you mean 'task'"),
        ({"learning_rat": 1e-3}, "unknown .*'learning_rat'.* Did you mean 'learning_rate'"),
        ({"task": "CartPol-v1"}, "unknown task 'CartPol-v1'.* Did you mean 'CartPole-v1'"),
        ({"space": "mpl"}, "unknown search space 'mpl'.* Did you mean 'mlp'"),
        ({"transfer": "share"}, "unknown transfer 'share'.* Did you mean 'shared'"),
        ({"reward": "returns"}, "unknown reward 'returns'.* Did you mean 'return'"),
        ({"preset": "clean"}, "unknown preset 'clean'.* Did you mean 'cleanrl'"),
        ({"windows": 0}, "windows: expected a positive integer, got 0"),
        ({"windows": -1}, "windows: expected a positive integer, got -1"),
        ({"windows": 2.0}, "windows: expected a positive integer, got 2.0"),
        ({"windows": True}, "windows: expected a positive integer, got True"),
        ({"window_steps": 1}, "window_steps: expected a multiple of envs_per_member .2., .* got 1. Nearest: 2"),
        ({"window_steps": "60"}, "window_steps: expected a positive integer, got '60'"),
        ({"max_params": 10}, "max_params: expected at least 1282 .* got 10"),
        ({"cost_weight": -1.0}, "cost_weight: expected a number of at least 0, got -1.0"),
        ({"learning_starts": 180}, "learning_starts: expected fewer than the 180 steps .* got 180"),
        ({"device": "tpu"}, "device: expected one of cpu.* got 'tpu'"),
        ({"trainer": "archgym.stats"}, "trainer 'archgym.stats': expected a module that defines PRESETS and Trainer"),
        ({"trainer": "archgym.agents.enas"}, "expected a module that defines PRESETS and Trainer"),  # it has the first
        ({"journal": 3}, "journal: expected the path of a file, got 3"),
        ({"resume": True}, "resume: expected a journal"),
    ],
)
@pytest.mark.parametrize("maker", [make, lambda **keywords: make_vec(2, **keywords)], ids=["single", "vector"])
def test_a_wrong_keyword_is_refused_with_the_nearest_right_one(
    maker: Callable[..., Any], keywords: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    journal = {} if "resume" in keywords else {"journal": str(tmp_path / "journal.jsonl")}
    with pytest.raises(ValueError, match=sentence):
        maker(**{**journal, **keywords})
    assert not any(tmp_path.iterdir())


def test_a_window_too_short_for_an_episode_warns_once() -> None:
    for maker in (gym.make, lambda id, **keywords: gym.make_vec(id, num_envs=2, **keywords)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            env = maker(DQN, **SHORT)
            env.reset(seed=0)
            env.step(draw(env, 1)[0] if maker is gym.make else draw(env, 2))
        ours = [str(one.message) for one in caught if "window_steps" in str(one.message)]
        assert len(ours) == 1
        assert "window_steps=60 is shorter than 1250" in ours[0]
    with no_warning():
        gym.make(DQN, **FULL)


@pytest.mark.parametrize("given", [3, [0, 1, 0], [], np.zeros((1, 1, 3), dtype=np.int64)])
@pytest.mark.parametrize("maker", [make, lambda **keywords: make_vec(2, **keywords)], ids=["single", "vector"])
def test_what_is_no_list_of_architectures_is_not_scored(maker: Callable[..., Any], given: Any) -> None:
    env = maker().unwrapped
    env.reset(seed=0)
    for score in (env.evaluate, env.evaluate_rest):
        with pytest.raises(ValueError, match=r"^architectures: expected an array \(N, choices\), got one of shape \("):
            score(given)


@pytest.mark.parametrize("id", ["ArchSearch-Synthetic-v0", "ArchSearch-Synthetic-Sequential-v0"])
@pytest.mark.parametrize("journal", ["", "journal.jsonl"])
def test_a_closed_environment_refuses_to_go_on_and_with_a_journal_to_begin_anew(
    id: str, journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env: Any = gym.make(id, windows=3, journal=journal)
    env.reset(seed=0)
    env.close()
    refused = pytest.raises(gym.error.ClosedEnvironmentError, match=r"expected an open environment, got one after clo")
    with refused:
        env.step(env.action_space.sample())
    with refused if journal else nullcontext():
        env.reset(seed=1)
    with refused if journal else nullcontext():
        env.step(env.action_space.sample())


# The record


def test_the_variable_gives_every_environment_of_a_process_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_recorded", 0)
    monkeypatch.setenv(core.JOURNAL_VARIABLE, str(tmp_path / "journal.jsonl"))
    with pytest.raises(ValueError, match="unknown task"):
        make(task="nosuch")  # takes no number
    (tmp_path / "journal.jsonl").write_text("of another run")
    with pytest.raises(ValueError, match=r"journal: .* is already there"):
        make()  # nor does a journal that cannot be opened
    (tmp_path / "journal.jsonl").unlink()
    told = []
    for maker in (make, lambda: make_vec(2), lambda: make(journal=str(tmp_path / "named.jsonl"))):
        env = maker()
        env.reset(seed=0)
        told.append(story(env, [draw(make(journal=""), 1)[0]] if isinstance(env, gym.Env) else [draw(env, 2)]))
        if isinstance(env, gym.Env):
            env.unwrapped.fork().step(draw(env, 1)[0])  # a fork has none
        env.close()
        env.close()  # twice does no harm
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["journal-2.jsonl", "journal.jsonl", "named.jsonl"]
    monkeypatch.setattr(core, "_recorded", 0)
    again = make(resume=True)
    again.reset(seed=0)
    same(told[0], story(again, [draw(make(journal=""), 1)[0]]))
