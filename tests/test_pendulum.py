import runpy
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from archgym.inner import pendulum
from archgym.inner.envs import Policy, episode_returns, open_inner_envs
from archgym.inner.tasks import TASKS

ID = "archgym:NASDQNPendulum-v0"
TASK = TASKS["NASDQNPendulum-v0"]
SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "reference_returns.py"


@pytest.fixture(scope="module")
def expert() -> Policy:
    policy: Policy = runpy.run_path(str(SCRIPT))["expert"]
    return policy


def column(angle: float, speed: float) -> NDArray[np.float64]:
    return np.array([[angle], [speed]])


def torque(value: float = 0.0) -> NDArray[np.float64]:
    return np.array([value])


def test_gymnasiums_checker_finds_nothing_to_complain_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(ID).unwrapped)


def test_a_step_is_the_published_semi_implicit_one() -> None:
    angle, speed = pendulum.advance(column(0.1, 0.5), torque(2.0))[:, 0]
    assert speed == pytest.approx(0.5 + (9.8 * np.sin(0.1) + 2.0) * 0.02, abs=1e-15)
    assert angle == pytest.approx(0.1 + speed * 0.02, abs=1e-15)


def test_the_pendulum_rests_at_the_top_and_at_the_bottom() -> None:
    assert pendulum.advance(column(0.0, 0.0), torque()) == pytest.approx(column(0.0, 0.0))
    angle, speed = pendulum.advance(column(np.pi, 0.0), torque())[:, 0]
    assert (abs(angle), speed) == pytest.approx((np.pi, 0.0))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_speed_is_limited_and_the_angle_stays_within_half_a_turn(sign: int) -> None:
    state = column(sign * 3.0, sign * 7.9)
    for _ in range(100):
        state = pendulum.advance(state, torque(sign * 100.0))
        assert abs(state[0, 0]) <= np.pi
        assert abs(state[1, 0]) <= 8.0
    assert state[1, 0] == sign * 8.0


def test_without_torque_the_energy_hardly_drifts() -> None:
    state = column(2.0, 0.0)
    energies = []
    for _ in range(500):
        energies.append(state[1, 0] ** 2 / 2 + 9.8 * np.cos(state[0, 0]))
        state = pendulum.advance(state, torque())
    assert np.ptp(energies) < 0.05 * 2 * 9.8


@pytest.mark.parametrize("push", [-4.0, 4.0])
def test_the_largest_torque_alone_does_not_lift_it(push: float) -> None:
    state = column(np.pi, 0.0)
    for _ in range(500):
        state = pendulum.advance(state, torque(push))
        assert np.cos(state[0, 0]) < 0.5


def test_the_reward_is_gymnasiums_cost_over_the_seconds_of_a_step() -> None:
    def reward(angle: float, speed: float, push: float) -> float:
        return float(pendulum.reward(column(angle, speed), torque(push))[0])

    assert reward(0.0, 0.0, 0.0) == 0.0
    assert reward(np.pi, 0.0, 0.0) == pytest.approx(-0.02 * np.pi**2)
    assert reward(0.0, 8.0, -4.0) == pytest.approx(-0.02 * (6.4 + 0.016))


def test_starts_fill_the_stated_range_and_no_more() -> None:
    rng = np.random.default_rng(0)
    starts = np.abs([pendulum.start(rng) for _ in range(2000)])
    assert (starts <= [np.pi, 1.0]).all()
    assert (starts.max(axis=0) > [3.1, 0.99]).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17])
def test_every_pendulum_of_a_batch_is_the_single_one_with_its_seed(count: int) -> None:
    limit, seeds = 30, [7 * i for i in range(count)]
    batch = gym.make_vec(ID, num_envs=count, max_episode_steps=limit)
    assert isinstance(batch, pendulum.PendulumVector)
    singles = [gym.make(ID, max_episode_steps=limit) for _ in seeds]
    rng = np.random.default_rng(1)

    def agree(rows: NDArray[np.float32], single: list[NDArray[np.float32]]) -> None:
        np.testing.assert_array_equal(rows, np.stack(single), strict=True)

    agree(batch.reset(seed=seeds)[0], [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)])
    for t in range(1, 3 * (limit + 1)):
        actions = rng.integers(5, size=count)
        rows, rewards, terminated, truncated, _ = batch.step(actions)
        assert not terminated.any()
        if t % (limit + 1) == 0:  # the step after the end of an episode
            agree(rows, [env.reset()[0] for env in singles])
            assert not rewards.any()
            assert not truncated.any()
            continue
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        agree(rows, [step[0] for step in steps])
        assert rewards.tolist() == [step[1] for step in steps]
        assert truncated.tolist() == [step[3] for step in steps] == [t % (limit + 1) == limit] * count


def test_an_integer_seeds_a_batch_with_the_integers_that_follow() -> None:
    batch = pendulum.PendulumVector(3)
    np.testing.assert_array_equal(batch.reset(seed=5)[0], batch.reset(seed=[5, 6, 7])[0])


@pytest.mark.parametrize("action", [-1, 5])
def test_actions_outside_the_torques_are_refused(action: int) -> None:
    single, batch = pendulum.Pendulum(), pendulum.PendulumVector(2)
    single.reset(seed=0)
    batch.reset(seed=0)
    with pytest.raises(AssertionError, match="expected an action in"):
        single.step(np.int64(action))
    with pytest.raises(AssertionError, match="expected actions in"):
        batch.step(np.array([0, action]))


def test_the_expert_balances_from_every_start_and_reaches_the_recorded_return(expert: Policy) -> None:
    envs = open_inner_envs(TASK, range(200))
    observation = envs.reset()
    for _ in range(TASK.episode_limit - 50):
        observation = envs.step(expert(observation)).observation
    for _ in range(50):  # the last second
        observation = envs.step(expert(observation)).observation
        assert (observation[:, 0] > np.cos(0.1)).all()
    returns = episode_returns(TASK, range(200), expert)
    assert returns.mean() == pytest.approx(TASK.reference_return, abs=3 * returns.std() / np.sqrt(200))
