import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from archgym.inner import engines
from archgym.inner import envs as inner_envs
from archgym.inner.envs import (
    InnerEnvs,
    Step,
    backend,
    dimensions,
    episode_returns,
    look,
    open_inner_envs,
    random_returns,
)
from archgym.inner.tasks import TASKS, Task
from archgym.observations import dtype_of, shape_of

CARTPOLE = replace(TASKS["CartPole-v1"], episode_limit=15)
PENDULUM = replace(TASKS["NASDQNPendulum-v0"], episode_limit=15)
ORCHARD = replace(TASKS["Orchard-v0"], episode_limit=15)
SEEDS = [3, 2**31 - 1, 40]


@pytest.fixture(
    params=[
        *(CARTPOLE, replace(CARTPOLE, backend="gymnasium"), PENDULUM, replace(PENDULUM, backend="gymnasium")),
        *(ORCHARD, replace(ORCHARD, backend="gymnasium")),
    ],
    ids=lambda task: f"{task.id}-{task.backend}",
)
def task(request: pytest.FixtureRequest) -> Task:
    param: Task = request.param
    return param


def actions_for(task: Task, steps: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(dimensions(task)[1], size=(steps, count))


def play(envs: InnerEnvs, actions: NDArray[np.int64]) -> tuple[NDArray[Any], list[Step]]:
    return envs.reset(), [envs.step(row) for row in actions]


def observations(task: Task, seeds: Sequence[int], actions: NDArray[np.int64]) -> NDArray[Any]:
    first, steps = play(open_inner_envs(task, seeds), actions)
    return np.stack([first, *(step.observation for step in steps)])


def test_shapes_and_types_are_the_same_in_every_backend(task: Task) -> None:
    envs = open_inner_envs(task, SEEDS)
    assert (envs.num_envs, envs.inputs, envs.action_count) == (3, *look(task))
    first, (step,) = play(envs, actions_for(task, 1, 3))
    assert first.shape == step.observation.shape == (3, *shape_of(envs.inputs))
    assert first.dtype == step.observation.dtype == dtype_of(envs.inputs)
    assert (step.reward.shape, step.reward.dtype.name) == ((3,), "float64")
    for flag in (step.terminated, step.truncated):
        assert (flag.shape, flag.dtype.name) == ((3,), "bool")


def test_the_step_after_an_end_ignores_the_action_and_returns_the_first_observation(task: Task) -> None:
    actions = actions_for(task, 70, 3)
    one, other = open_inner_envs(task, SEEDS), open_inner_envs(task, SEEDS)
    np.testing.assert_array_equal(one.reset(), other.reset())
    ended, elapsed, resets = np.zeros(3, dtype=bool), np.zeros(3, dtype=int), 0
    for row in actions:
        changed = np.where(ended, (row + 1) % one.action_count, row)
        step, twin = one.step(row), other.step(changed)
        np.testing.assert_array_equal(step.observation, twin.observation)
        for value in (step.reward, step.terminated, step.truncated):
            assert not value[ended].any()
        assert step.reward[~ended].all() or task.id == "Orchard-v0"  # the other two tasks pay at every real step
        elapsed = np.where(ended, 0, elapsed + 1)
        resets += int(ended.sum())
        np.testing.assert_array_equal(step.truncated, elapsed == task.episode_limit)
        ended = step.terminated | step.truncated
    assert resets >= 3 * (70 // (task.episode_limit + 1))


def test_the_step_that_ends_an_episode_returns_its_true_last_observation() -> None:
    for task in (CARTPOLE, replace(CARTPOLE, backend="gymnasium")):
        envs = open_inner_envs(replace(task, episode_limit=500), [0])
        envs.reset()
        step = envs.step(np.array([1]))
        while not step.terminated[0]:
            step = envs.step(np.array([1]))
        assert abs(step.observation[0, 2]) > 0.2095, "the pole lies beyond 12 degrees"
        assert abs(envs.step(np.array([1])).observation[0]).max() <= 0.05, "a start"


def test_an_environment_depends_on_its_own_seed_alone(task: Task) -> None:
    actions = actions_for(task, 50, 3)
    together = observations(task, SEEDS, actions)
    for i, seed in enumerate(SEEDS):
        alone = observations(task, [seed], actions[:, i : i + 1])
        np.testing.assert_array_equal(together[:, i], alone[:, 0])


def test_equal_seeds_tell_the_same_story_and_others_another(task: Task) -> None:
    actions = actions_for(task, 50, 3)
    first = observations(task, SEEDS, actions)
    np.testing.assert_array_equal(first, observations(task, SEEDS, actions))
    neighbours = observations(task, [4, 5, 6], np.repeat(actions[:, :1], 3, axis=1))
    assert not (neighbours[:, 0] == neighbours[:, 1]).all()
    assert not any(np.array_equal(one, other) for one, other in zip(neighbours[0], first[0], strict=True))


def test_a_window_begins_with_a_reset_and_later_ones_with_what_was_seen_last(task: Task) -> None:
    envs, other = open_inner_envs(task, SEEDS), open_inner_envs(task, SEEDS)
    np.testing.assert_array_equal(envs.begin(), other.reset())
    for row in actions_for(task, 20, 3):  # the 15th ends an episode
        seen = envs.step(row).observation
        np.testing.assert_array_equal(envs.begin(), seen)
    again = envs.reset()
    np.testing.assert_array_equal(envs.begin(), again)


def test_a_second_reset_goes_on_with_the_generators(task: Task) -> None:
    one, other = open_inner_envs(task, SEEDS), open_inner_envs(task, SEEDS)
    first, second = one.reset(), one.reset()
    assert not any(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    other.reset()
    np.testing.assert_array_equal(second, other.reset())


@pytest.mark.usefixtures("_no_envpool")
def test_without_envpool_atari_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="task 'Pong-v5': expected EnvPool, which alone has it; it cannot be imported"):
        look(TASKS["Pong-v5"])


def test_an_envpool_without_a_task_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    envpool = pytest.importorskip("envpool", reason="EnvPool has no build for this platform")
    monkeypatch.setattr(envpool, "list_all_envs", lambda: ["CartPole-v1"])
    forget()
    try:
        with pytest.raises(ValueError, match="task 'Pong-v5': expected an EnvPool that has it, got one without"):
            look(TASKS["Pong-v5"])
    finally:
        forget()


def test_later_steps_overwrite_nothing(task: Task) -> None:
    envs = open_inner_envs(task, SEEDS)
    first, steps = play(envs, actions_for(task, 20, 3))
    kept = [first.copy(), *(np.copy(value) for step in steps for value in vars(step).values())]
    for row in actions_for(task, 20, 3, seed=1):
        envs.step(row)
    envs.reset()
    for value, copy in zip([first, *(value for step in steps for value in vars(step).values())], kept, strict=True):
        assert value.flags.writeable, "torch.from_numpy warns of arrays that are not"
        np.testing.assert_array_equal(value, copy)


@pytest.mark.parametrize("task", [replace(CARTPOLE, backend="gymnasium"), PENDULUM], ids=lambda task: task.id)
def test_an_environment_is_the_one_that_gymnasium_makes_with_its_seed(task: Task) -> None:
    env = gym.make(task.id, max_episode_steps=task.episode_limit)
    actions = actions_for(task, 15, 2)
    first, steps = play(open_inner_envs(task, [8, 9]), actions)
    np.testing.assert_array_equal(first[1], env.reset(seed=9)[0])
    for step, row in zip(steps, actions, strict=True):
        observation, reward, terminated, truncated, _ = env.step(row[1])
        np.testing.assert_array_equal(step.observation[1], observation)
        assert (step.reward[1], step.terminated[1], step.truncated[1]) == (reward, terminated, truncated)
        if terminated or truncated:
            return


@pytest.mark.parametrize(
    "task", [task for task in TASKS.values() if backend(task) == "envpool"], ids=lambda task: task.id
)
def test_a_pool_tells_what_the_public_interface_of_envpool_tells(task: Task) -> None:
    pytest.importorskip("envpool", reason="no EnvPool on this platform")
    import envpool

    task = replace(task, episode_limit=7, search_episode_limit=None)
    settings = {"num_envs": 3, "num_threads": 1, "max_episode_steps": 7}
    public = envpool.make_gymnasium(task.id, seed=SEEDS, **settings)
    envs, seen = open_inner_envs(task, SEEDS), [public.reset()[0]]
    first, steps = play(envs, actions_for(task, 12, 3))
    for step, row in zip(steps, actions_for(task, 12, 3), strict=True):
        observation, reward, terminated, truncated, _ = public.step(row)
        seen.append(observation)
        for own, other in zip(
            (step.reward, step.terminated, step.truncated), (reward, terminated, truncated), strict=True
        ):
            np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal([first, *(step.observation for step in steps)], seen)


@pytest.mark.skipif(backend(CARTPOLE) != "envpool", reason="no EnvPool on this platform")
def test_a_closed_pool_is_deleted_but_not_at_once() -> None:
    envs: Any = open_inner_envs(CARTPOLE, SEEDS)
    play(envs, actions_for(CARTPOLE, 3, 3))
    pool = weakref.ref(envs._engine._pool)
    envs.close()
    assert pool() is not None, "it may still wait for a thread of its own"
    end = time.monotonic() + 100 * engines.REST
    while pool() is not None and time.monotonic() < end:
        time.sleep(engines.REST / 10)
    assert pool() is None


def test_envpool_and_gymnasium_compute_the_same_cartpole() -> None:
    pool = open_inner_envs(TASKS["CartPole-v1"], [5])
    env: Any = gym.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    env.state = pool.reset()[0].astype(np.float64)
    for row in np.random.default_rng(2).integers(2, size=(200, 1)):
        step = pool.step(row)
        observation, reward, terminated, _, _ = env.step(row[0])
        np.testing.assert_allclose(step.observation[0], observation, rtol=0, atol=1e-6)
        assert (step.reward[0], step.terminated[0]) == (reward, terminated)
        if terminated:
            return
    pytest.fail("a random policy does not balance for 200 steps")


@pytest.mark.parametrize("engine", ["envpool", "gymnasium"])
def test_a_true_end_on_the_very_limit_is_reported_as_documented(engine: str) -> None:
    def last(limit: int) -> tuple[int, Step]:
        envs = open_inner_envs(replace(CARTPOLE, backend=engine, episode_limit=limit), [0])
        envs.reset()
        steps = [envs.step(np.array([1]))]
        while not (steps[-1].terminated[0] or steps[-1].truncated[0]):
            steps.append(envs.step(np.array([1])))
        return len(steps), steps[-1]

    length, step = last(500)
    assert (step.terminated[0], step.truncated[0]) == (True, False)
    cut, step = last(length)
    assert cut == length
    assert (step.terminated[0], step.truncated[0]) == (engine == "gymnasium", True)


class Shifted(gym.Env[Any, Any]):
    """Observes and pays the action it got; actions are 5, 6 and 7, observations whole numbers."""

    action_space = gym.spaces.Discrete(3, start=5)
    observation_space = gym.spaces.Box(0, 100, (1,), np.int32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.int32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.full(1, action, np.int32), int(action), False, False, {}


def test_actions_count_from_zero_and_observations_are_floats_whatever_the_spaces_say() -> None:
    gym.register("Shifted-v0", entry_point=lambda **_: Shifted())
    try:
        envs = open_inner_envs(Task("Shifted-v0", 9, 0.0, 1.0, "made up"), [0, 1, 2])
        first, (step,) = play(envs, np.array([[0, 1, 2]]))
    finally:
        del gym.registry["Shifted-v0"]
    assert first.dtype == step.observation.dtype == np.float32
    assert step.observation[:, 0].tolist() == step.reward.tolist() == [5, 6, 7]


class Picture(gym.Env[Any, Any]):
    """Shows one pixel, where the seed says, in an image with the channels last."""

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 255, (6, 7, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.image = np.zeros((6, 7, 3), np.uint8)
        self.image[2, self.np_random.integers(7), 1] = 200
        return self.image, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.image, 0.0, False, False, {}


def test_the_channels_of_an_image_come_first_and_its_bytes_stay_bytes(forget: Callable[[], None]) -> None:
    gym.register("Picture-v0", entry_point=lambda **_: Picture())
    try:
        task = Task("Picture-v0", 9, 0.0, 1.0, "made up")
        envs = open_inner_envs(task, [0, 1])
        first, (step,) = play(envs, np.array([[0, 1]]))
        alone = gym.make("Picture-v0").reset(seed=1)[0]
    finally:
        del gym.registry["Picture-v0"]
        forget()
    assert envs.inputs == (3, 6, 7)
    assert first.shape == (2, 3, 6, 7)
    assert first.dtype == step.observation.dtype == np.uint8
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(first[1], alone.transpose(2, 0, 1))
    assert first[1, 1, 2].max() == 200


@pytest.mark.parametrize("action", [-1, 2])
@pytest.mark.parametrize("engine", ["envpool", "gymnasium"])
def test_an_action_out_of_range_is_refused(engine: str, action: int) -> None:
    envs = open_inner_envs(replace(CARTPOLE, backend=engine), [0, 1])
    envs.reset()
    with pytest.raises(ValueError, match="inner actions: expected 0 to 1, got"):
        envs.step(np.array([0, action]))


@pytest.mark.parametrize("seeds", [[], [-1], [0, 2**31]])
def test_seeds_that_envpool_cannot_take_are_refused_for_every_backend(task: Task, seeds: list[int]) -> None:
    with pytest.raises(ValueError, match="seeds of inner environments: expected integers from 0 to 2147483647, got"):
        open_inner_envs(task, seeds)


def test_seeds_may_be_numbers_of_numpy_but_not_fractions(task: Task) -> None:
    actions = actions_for(task, 5, 3)
    np.testing.assert_array_equal(
        observations(task, list(np.array(SEEDS)), actions), observations(task, SEEDS, actions)
    )
    with pytest.raises(TypeError):
        open_inner_envs(task, [0.5])  # type: ignore[list-item]


@pytest.mark.usefixtures("_no_envpool")
def test_without_envpool_its_tasks_run_in_gymnasium_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    actions = actions_for(CARTPOLE, 40, 3)
    fallen_back = observations(CARTPOLE, SEEDS, actions)
    np.testing.assert_array_equal(fallen_back, observations(replace(CARTPOLE, backend="gymnasium"), SEEDS, actions))
    assert (backend(CARTPOLE), backend(PENDULUM)) == ("gymnasium", "gymnasium-vector")
    (line,) = [record for record in caplog.records if record.name == "archgym"]
    assert "its tasks run in Gymnasium" in line.getMessage()


@pytest.mark.parametrize("id", TASKS)
def test_opening_and_stepping_a_listed_task_warns_of_nothing(id: str, forget: Callable[[], None]) -> None:
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(open_inner_envs(TASKS[id], [0, 1]), actions_for(TASKS[id], 3, 2))


def test_other_warnings_are_not_silenced_while_spaces_are_read() -> None:
    with pytest.warns(UserWarning, match="something else"), inner_envs._no_casting_warnings():
        warnings.warn("something else", stacklevel=1)


def test_returns_are_those_of_one_whole_episode_per_seed(task: Task) -> None:
    def policy(observations: NDArray[Any]) -> NDArray[np.int64]:
        return (observations.reshape(len(observations), -1)[:, -1] > 0).astype(np.int64)

    returns = episode_returns(task, SEEDS, policy)
    for total, seed in zip(returns, SEEDS, strict=True):
        envs = open_inner_envs(task, [seed])
        observation, expected, ended = envs.reset(), 0.0, False
        while not ended:
            step = envs.step(policy(observation))
            observation, expected = step.observation, expected + step.reward[0]
            ended = bool(step.terminated[0] or step.truncated[0])
        assert total == expected


def test_the_random_policy_plays_the_same_episodes_at_every_call(task: Task) -> None:
    first = random_returns(task, 5)
    assert first.shape == (5,)
    np.testing.assert_array_equal(first, random_returns(task, 5))
