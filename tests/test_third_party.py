"""Agents that nobody here wrote: other libraries, unmodified, through the ids alone.

Mostly on the planted landscape, where a step takes microseconds, and once per kind of agent on real training.
"""

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import optuna
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from archgym.envs.draft import ILLEGAL_PENALTY
from archgym.envs.editing import EditingEnv

# With the module that registers them, so that neither a script nor a spawned process has to import it.
WHOLE, SEQUENTIAL = "archgym:ArchSearch-Synthetic-v0", "archgym:ArchSearch-Synthetic-Sequential-v0"
DQN_WHOLE, DQN_SEQUENTIAL = "archgym:ArchSearch-DQN-v0", "archgym:ArchSearch-DQN-Sequential-v0"
SHORT = {"windows": 2, "envs_per_member": 2, "window_steps": 60, "learning_starts": 16, "batch_size": 8}
FLAT = {"windows": 12, "noise": 0.0}  # on mlp; the best architecture in every window earns 12 in a lifetime
WIDE = {"space": "mlp-wide", "max_params": 5000, "windows": 4}  # options of unequal number, constraints, inactive ones
ROLLOUT = {"n_steps": 16, "batch_size": 16}  # the default of 2048 would not update once in 100 windows
REPLAY = {"learning_starts": 20, "batch_size": 16, "train_freq": 1, "target_update_interval": 50, "buffer_size": 5000}

pytestmark = [
    pytest.mark.filterwarnings("ignore:window_steps=60 is shorter"),
    pytest.mark.filterwarnings("ignore:.*You are trying to run (PPO|A2C) on the GPU"),
]


class Watch(BaseCallback):
    """Count what a learner's environments do.

    Attributes:
        windows: Windows trained in every finished lifetime.
        returns: Sum of the rewards of every finished lifetime.
        illegal: Steps that were penalised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[int] = []
        self.returns: list[float] = []
        self.illegal = 0

    def _on_training_start(self) -> None:
        self._trained = [0] * self.training_env.num_envs
        self._earned = [0.0] * self.training_env.num_envs
        self.before = [parameter.detach().clone() for parameter in self.model.policy.parameters()]

    def _on_step(self) -> bool:
        told = zip(self.locals["rewards"], self.locals["dones"], self.locals["infos"], strict=True)
        for member, (reward, done, info) in enumerate(told):
            trained = "raw_return" in info
            self.illegal += not trained and reward == pytest.approx(-ILLEGAL_PENALTY)
            self._trained[member] += trained
            self._earned[member] += float(reward)
            if done:
                self.windows.append(self._trained[member])
                self.returns.append(self._earned[member])
                self._trained[member], self._earned[member] = 0, 0.0
        return True


def learn(model: BaseAlgorithm, steps: int, windows: int) -> Watch:
    """Train, and check what holds for every learner."""
    watch = Watch()
    model.learn(steps, callback=watch)
    pairs = zip(watch.before, model.policy.parameters(), strict=True)
    assert any(not torch.equal(before, after) for before, after in pairs)
    assert watch.windows
    assert set(watch.windows) == {windows}
    logged = [episode["r"] for episode in model.ep_info_buffer or []]
    assert logged == pytest.approx(watch.returns[-100:], abs=1e-4)  # what SB3 prints as ep_rew_mean
    return watch


def gain(watch: Watch) -> float:
    """Compare the last eight lifetimes with the first eight."""
    return float(np.mean(watch.returns[-8:]) - np.mean(watch.returns[:8]))


# Stable-Baselines3


@pytest.mark.parametrize(
    ("agent", "id", "settings", "steps"),
    [
        (PPO, WHOLE, {"n_steps": 16, "batch_size": 64, "learning_rate": 3e-3, "gamma": 0.0}, 1600),
        (A2C, WHOLE, {"n_steps": 8, "learning_rate": 3e-3, "gamma": 0.0}, 1600),
        (PPO, SEQUENTIAL, {"n_steps": 36, "batch_size": 72, "learning_rate": 3e-3}, 4000),
        (A2C, SEQUENTIAL, {"n_steps": 9, "learning_rate": 3e-3}, 4000),
        (DQN, SEQUENTIAL, {**REPLAY, "learning_rate": 1e-3, "gamma": 0.9, "exploration_fraction": 0.5}, 2000),
    ],
    ids=lambda value: getattr(value, "__name__", str(value).removeprefix("archgym:") if isinstance(value, str) else ""),
)
def test_stable_baselines3_finds_the_better_architectures(agent: Any, id: str, settings: Any, steps: int) -> None:
    env = make_vec_env(id, n_envs=1 if agent is DQN else 4, seed=0, env_kwargs=FLAT)
    assert isinstance(env, DummyVecEnv)
    watch = learn(agent("MlpPolicy", env, seed=0, device="cpu", **settings), steps, FLAT["windows"])
    assert gain(watch) > 1.5  # of the 12 that there are


@pytest.mark.parametrize(
    ("agent", "id", "settings"),
    [
        (PPO, DQN_WHOLE, {"n_steps": 4, "batch_size": 4}),
        (A2C, DQN_WHOLE, {"n_steps": 4}),
        (PPO, DQN_SEQUENTIAL, ROLLOUT),
        (A2C, DQN_SEQUENTIAL, {"n_steps": 8}),
        (DQN, DQN_SEQUENTIAL, {**REPLAY, "learning_starts": 8}),
        (MaskablePPO, DQN_SEQUENTIAL, ROLLOUT),
    ],
    ids=lambda value: getattr(value, "__name__", value.rpartition(":")[2] if isinstance(value, str) else ""),
)
def test_every_kind_of_agent_learns_from_real_training(agent: Any, id: str, settings: Any) -> None:
    env = gym.make(id, **SHORT)
    learn(agent("MlpPolicy", env, seed=0, device="cpu", **settings), 24, SHORT["windows"])


@pytest.mark.parametrize("agent", [PPO, DQN])
def test_an_id_alone_is_enough(agent: Any) -> None:
    settings = ROLLOUT if agent is PPO else REPLAY
    learn(agent("MlpPolicy", SEQUENTIAL, seed=0, device="cpu", **settings), 160, 24)


@pytest.mark.parametrize(
    ("agent", "settings"), [(PPO, ROLLOUT), (A2C, {"n_steps": 8}), (DQN, REPLAY)], ids=["PPO", "A2C", "DQN"]
)
@pytest.mark.parametrize("view", ["sequential", "editing"])
def test_agents_that_cannot_mask_are_penalised_and_go_on(agent: Any, settings: Any, view: str) -> None:
    def make() -> gym.Env[Any, Any]:
        if view == "sequential":
            return gym.make(SEQUENTIAL, illegal="penalise", **WIDE)
        return EditingEnv(gym.make(WHOLE, **WIDE), start="random", illegal="penalise")

    env = make_vec_env(make, n_envs=1 if agent is DQN else 2, seed=0)
    watch = learn(agent("MlpPolicy", env, seed=0, device="cpu", **settings), 500, WIDE["windows"])
    assert watch.illegal > 20


def test_an_illegal_decision_stops_an_agent_that_cannot_mask() -> None:
    model = PPO("MlpPolicy", gym.make(SEQUENTIAL, **WIDE), seed=0, device="cpu", **ROLLOUT)
    with pytest.raises(ValueError, match=r"option of '\w+': expected"):
        model.learn(200)


@pytest.mark.parametrize("cls", [DummyVecEnv, SubprocVecEnv])
def test_the_vectors_of_stable_baselines3_are_so_many_single_environments(cls: type[VecEnv]) -> None:
    spawn = {"vec_env_kwargs": {"start_method": "spawn"}} if cls is SubprocVecEnv else {}
    env = make_vec_env(WHOLE, n_envs=2, seed=5, env_kwargs={"windows": 3}, vec_env_cls=cls, **spawn)
    actions = np.random.default_rng(0).integers(3, size=(6, 2, 3))
    env.seed(5)
    told = [env.reset(), *(env.step(action) for action in actions)]
    env.close()
    for member in range(2):
        single = gym.make(WHOLE, windows=3)
        assert told[0][member].tolist() == single.reset(seed=5 + member)[0].tolist()
        for (observations, rewards, dones, infos), action in zip(told[1:], actions[:, member], strict=True):
            observation, reward, over, _, info = single.step(action)
            assert rewards[member] == pytest.approx(reward, rel=1e-6)  # float32 in one of them
            assert dones[member] == over
            assert infos[member]["architecture"] == info["architecture"]
            if over:
                assert infos[member]["terminal_observation"].tolist() == observation.tolist()
                assert infos[member]["TimeLimit.truncated"] is False
                observation, _ = single.reset()
            assert observations[member].tolist() == observation.tolist()


def test_an_agent_in_this_process_learns_from_environments_in_others() -> None:
    spawn = {"start_method": "spawn"}
    env = make_vec_env(
        SEQUENTIAL, n_envs=2, seed=0, env_kwargs={"windows": 3}, vec_env_cls=SubprocVecEnv, vec_env_kwargs=spawn
    )
    learn(PPO("MlpPolicy", env, seed=0, device="cpu", **ROLLOUT), 96, 3)
    env.close()


@pytest.mark.parametrize("agent", [PPO, A2C, DQN, MaskablePPO])
def test_what_an_agent_predicts_for_one_environment_is_an_action(agent: Any) -> None:
    ids = [SEQUENTIAL] if agent in (DQN, MaskablePPO) else [SEQUENTIAL, WHOLE]
    envs = [gym.make(id, windows=2) for id in ids] + [EditingEnv(gym.make(WHOLE, windows=2), illegal="penalise")]
    for env in envs:
        model = agent("MlpPolicy", env, seed=0, device="cpu")
        observation, _ = env.reset(seed=0)
        for _ in range(6):
            masks = {"action_masks": get_action_masks(env)} if agent is MaskablePPO else {}
            action, _ = model.predict(observation, **masks)  # a 0-d array where actions are Discrete
            observation, _, over, _, _ = env.step(action)
            if over:
                observation, _ = env.reset()


# sb3-contrib


@pytest.mark.parametrize("view", ["sequential", "editing"])
def test_maskable_ppo_never_takes_an_illegal_action(view: str) -> None:
    def make() -> gym.Env[Any, Any]:  # illegal="refuse": an illegal action would raise
        if view == "sequential":
            return gym.make(SEQUENTIAL, noise=0.0, **WIDE)
        return EditingEnv(gym.make(WHOLE, noise=0.0, **WIDE), start="random")

    env = make_vec_env(make, n_envs=2, seed=0)
    model = MaskablePPO("MlpPolicy", env, seed=0, device="cpu", learning_rate=3e-3, **ROLLOUT)
    watch = learn(model, 1000, WIDE["windows"])
    assert watch.illegal == 0


def test_maskable_ppo_finds_the_better_architectures_of_a_constrained_space() -> None:
    env = make_vec_env(SEQUENTIAL, n_envs=4, seed=0, env_kwargs={**WIDE, "noise": 0.0})
    model = MaskablePPO("MlpPolicy", env, seed=0, device="cpu", learning_rate=3e-3, n_steps=32, batch_size=64)
    assert gain(learn(model, 6000, WIDE["windows"])) > 0.4  # of 4


# Optuna


def test_optuna_asks_and_tells_over_steps() -> None:
    env = gym.make(WHOLE, windows=60, landscape=3)
    env.reset(seed=0)
    space = env.unwrapped.search_space
    sampler = optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="maximize", sampler=sampler)
    over, rewards = False, []
    while not over:
        trial = study.ask()
        options = {choice.name: trial.suggest_categorical(choice.name, choice.options) for choice in space.choices}
        _, reward, over, _, _ = env.step(space.encode_options(options))
        study.tell(trial, reward)
        rewards.append(reward)
    assert len(study.trials) == 60
    assert study.best_value == max(rewards)
    assert np.mean(rewards[-15:]) > np.mean(rewards[:15])
    assert env.unwrapped.regret(space.encode_options(study.best_params)) < 0.3


# Gymnasium's wrappers and vectors


@pytest.mark.parametrize("id", [WHOLE, SEQUENTIAL])
def test_the_episode_statistics_of_a_lifetime_are_its_rewards(id: str) -> None:
    windows = 4
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(id, windows=windows))
    env.reset(seed=0)
    env.action_space.seed(0)
    over, rewards = False, []
    while not over:
        _, reward, over, _, info = env.step(env.action_space.sample())
        rewards.append(reward)
    assert info["episode"]["r"] == pytest.approx(sum(rewards))
    assert info["episode"]["l"] == len(rewards) == windows * (1 if id == WHOLE else 3)


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
@pytest.mark.parametrize("id", [WHOLE, SEQUENTIAL])
def test_the_vector_statistics_of_lifetimes_are_their_rewards(id: str, mode: str) -> None:
    envs = gym.make_vec(id, num_envs=3, vectorization_mode=mode, windows=4)
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    totals = np.zeros(3)
    for _ in range(2 * (4 if id == WHOLE else 12) + 2):  # two lifetimes, and the step that begins each
        _, rewards, over, _, infos = envs.step(envs.action_space.sample())
        totals += rewards
        if over.any():
            assert over.all()
            assert infos["_episode"].all()
            assert infos["episode"]["r"] == pytest.approx(totals, abs=1e-5)
            totals[:] = 0
    assert envs.episode_count == 6


@pytest.mark.parametrize("id", [WHOLE, SEQUENTIAL])
def test_async_and_sync_vectors_tell_what_single_environments_tell(id: str) -> None:
    def thunk() -> gym.Env[Any, Any]:
        return gym.make(id, windows=2)

    envs = [AsyncVectorEnv([thunk] * 2, context="spawn"), SyncVectorEnv([thunk] * 2)]
    singles = [thunk(), thunk()]
    first = [vector.reset(seed=4)[0] for vector in envs]
    expected = np.stack([single.reset(seed=4 + member)[0] for member, single in enumerate(singles)])
    for observations in first:
        np.testing.assert_array_equal(observations, expected, strict=True)
    rng = np.random.default_rng(0)
    for _ in range(2 if id == WHOLE else 6):
        actions = rng.integers(3, size=(2, 3) if id == WHOLE else 2)
        told = [single.step(action) for single, action in zip(singles, actions, strict=True)]
        for vector in envs:
            observations, rewards, over, truncated, infos = vector.step(actions)
            np.testing.assert_array_equal(observations, np.stack([one[0] for one in told]), strict=True)
            assert rewards.tolist() == [one[1] for one in told]
            assert over.tolist() == [one[2] for one in told]
            assert not truncated.any()
            assert [name for name in told[0][4] if name not in infos] == []
            if "architecture" in infos:
                assert infos["architecture"].tolist() == [one[4]["architecture"] for one in told]
    assert over.all()
    for vector in envs:
        vector.close()


@pytest.mark.parametrize("id", [WHOLE, SEQUENTIAL])
def test_wrappers_of_observations_and_rewards_fit(id: str) -> None:
    env = gym.make(id, windows=3, max_episode_steps=50)  # TimeAwareObservation wants a limit; there is none by itself
    size = env.observation_space.shape[0]
    for wrapped, more in (
        (gym.wrappers.FlattenObservation(env), 0),
        (gym.wrappers.NormalizeReward(env), 0),
        (gym.wrappers.NormalizeObservation(env), 0),
        (gym.wrappers.TimeAwareObservation(env), 1),
        (gym.wrappers.FrameStackObservation(env, 2), None),
    ):
        observation, info = wrapped.reset(seed=0)
        over, rewards = False, []
        while not over:
            assert observation.shape == wrapped.observation_space.shape
            assert more is None or observation.shape == (size + more,)
            mask = info.get("action_mask")
            action = env.action_space.sample() if mask is None else env.action_space.sample(mask)
            observation, reward, over, truncated, info = wrapped.step(action)
            assert not truncated
            rewards.append(reward)
        assert np.isfinite(rewards).all()
    over = False
    env = gym.make(id, windows=3, max_episode_steps=2)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.step(env.action_space.sample())[2:4] == (False, True)  # who asks for a limit gets it


@pytest.mark.parametrize("id", [WHOLE, SEQUENTIAL])
def test_pictures_pass_through_gymnasiums_wrappers(id: str, tmp_path: Path) -> None:
    env = gym.wrappers.RenderCollection(gym.make(id, windows=2, render_mode="rgb_array"))
    env.reset(seed=0)
    for _ in range(2):
        env.step(env.action_space.sample())
    frames = env.render()
    assert len(frames) == 3
    assert all(frame.shape == frames[0].shape and frame.dtype == np.uint8 for frame in frames)
    seen = gym.wrappers.AddRenderObservation(gym.make(id, windows=2, render_mode="rgb_array"))
    picture, _ = seen.reset(seed=0)
    assert picture in seen.observation_space
    assert picture.shape == frames[0].shape


def test_a_lifetime_becomes_a_video(tmp_path: Path) -> None:
    pytest.importorskip("moviepy", reason="gymnasium.wrappers.RecordVideo needs moviepy: pip install moviepy")
    env = gym.wrappers.RecordVideo(gym.make(WHOLE, windows=3, render_mode="rgb_array"), str(tmp_path))
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    env.close()
    assert [path.suffix for path in tmp_path.glob("*.mp4")] == [".mp4"]


@pytest.mark.parametrize("id", [WHOLE, SEQUENTIAL, DQN_WHOLE, DQN_SEQUENTIAL])
def test_an_agents_own_random_numbers_and_torch_settings_are_left_alone(id: str) -> None:
    def state() -> list[Any]:
        threads = torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()
        return [str(random.getstate()), str(np.random.get_state()), torch.get_rng_state().tolist(), threads]  # noqa: NPY002

    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before = state()
    env = gym.make(id, **({**SHORT, "windows": 1} if "DQN" in id else {"windows": 1}))
    env.reset(seed=0)
    over = False
    while not over:
        *_, over, _, _ = env.step(env.action_space.sample())
    assert state() == before


# CleanRL: what its scripts rely on, in a loop of our own, and the scripts themselves where somebody has them


def cleanrl_vector(id: str, count: int, **keywords: Any) -> SyncVectorEnv:
    """Make the environments as those scripts do."""

    def thunk() -> gym.Env[Any, Any]:
        return gym.wrappers.RecordEpisodeStatistics(gym.make(id))

    return SyncVectorEnv([thunk] * count, **keywords)


# The module by which the settings of a lifetime reach a script that takes an id alone. Under Gymnasium 1 the scripts
# look in vain for the returns of finished episodes; `Returns` tells them in the form that they know.
LAB = """
from types import MappingProxyType
import gymnasium as gym

class Returns(gym.Wrapper):
    def reset(self, **keywords):
        self.r, self.l = 0.0, 0
        return self.env.reset(**keywords)

    def step(self, action):
        *told, info = self.env.step(action)
        self.r, self.l = self.r + told[1], self.l + 1
        if told[2]:
            info["final_info"] = MappingProxyType({"episode": {"r": self.r, "l": self.l}})
        return *told, info

wide = {"windows": 4, "space": "mlp-wide", "max_params": 5000, "illegal": "penalise", "trainer": "synthetic"}
real = {"windows": 2, "envs_per_member": 2, "window_steps": 60, "learning_starts": 16, "batch_size": 8}
returns = gym.envs.registration.WrapperSpec("Returns", "cleanrl_lab:Returns", {})
entry = "archgym.envs.sequential:SequentialEnv"
gym.register("Wide-v0", entry_point=entry, kwargs=wide)
gym.register("Told-v0", entry_point=entry, kwargs=wide, additional_wrappers=(returns,))
gym.register("Real-v0", entry_point=entry, kwargs={"trainer": "dqn", **real})
"""


@pytest.fixture
def own_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "cleanrl_lab.py").write_text(LAB, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cleanrl_lab", raising=False)
    yield tmp_path
    for id in ("Wide-v0", "Told-v0", "Real-v0"):
        gym.registry.pop(id, None)


@pytest.mark.parametrize(("id", "windows", "choices"), [(SEQUENTIAL, 24, 3), ("cleanrl_lab:Wide-v0", 4, 8)])
def test_what_cleanrls_scripts_ask_of_spaces_holds(id: str, windows: int, choices: int, own_ids: Path) -> None:
    envs = cleanrl_vector(id, 2)
    assert isinstance(envs.single_action_space, gym.spaces.Discrete)
    assert isinstance(envs.single_observation_space, gym.spaces.Box)
    numbers = int(np.array(envs.single_observation_space.shape).prod())
    network = nn.Linear(numbers, int(envs.single_action_space.n))
    observations, _ = envs.reset(seed=1)
    storage = torch.zeros((3, 2, *envs.single_observation_space.shape))
    storage[0] = torch.Tensor(observations)
    assert network(storage).shape == (3, 2, envs.single_action_space.n)
    assert torch.zeros((3, 2, *envs.single_action_space.shape)).shape == (3, 2)
    problem = envs.envs[0].unwrapped.problem
    assert (problem.settings.windows, len(problem.space.choices)) == (windows, choices)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
@pytest.mark.parametrize("id", [SEQUENTIAL, "cleanrl_lab:Wide-v0", "cleanrl_lab:Real-v0"])
def test_a_loop_as_in_cleanrls_scripts_sees_lifetimes_terminate_and_their_returns(
    id: str, mode: AutoresetMode, own_ids: Path
) -> None:
    envs = cleanrl_vector(id, 2, autoreset_mode=mode)
    settings = envs.envs[0].unwrapped.problem.settings
    torch.manual_seed(0)
    policy = nn.Linear(int(np.prod(envs.single_observation_space.shape)), int(envs.single_action_space.n))
    observations, _ = envs.reset(seed=1)
    earned, steps, ended, begins = np.zeros(2), np.zeros(2, dtype=int), 0, np.zeros(2, dtype=bool)
    while ended < 3:
        with torch.no_grad():
            actions = torch.distributions.Categorical(logits=policy(torch.Tensor(observations))).sample()
        observations, rewards, terminations, truncations, infos = envs.step(actions.cpu().numpy())
        assert rewards.dtype == np.float64
        assert terminations.dtype == truncations.dtype == bool
        assert not truncations.any()  # dqn.py would look for the key "final_observation", which Gymnasium 1 has not
        assert not rewards[begins].any()
        assert np.logical_or(terminations, truncations).tolist() == terminations.tolist()
        earned += rewards
        steps += ~begins
        told = infos.get("final_info", {}) if mode == AutoresetMode.SAME_STEP else infos
        assert ("episode" in told) == terminations.any()
        for member in np.flatnonzero(terminations):
            assert told["_episode"][member]
            assert told["episode"]["r"][member] == pytest.approx(earned[member])
            assert told["episode"]["l"][member] == steps[member]
            if settings.space == "mlp":
                assert steps[member] == 3 * settings.windows
            final = infos["final_obs"][member] if mode == AutoresetMode.SAME_STEP else observations[member]
            left = sum(envs.envs[0].unwrapped.search_space.counts) + 2  # where the share of the lifetime lies
            assert final[left] == 0
            assert (observations[member][left] == 1) == (mode == AutoresetMode.SAME_STEP)
            earned[member], steps[member] = 0.0, 0
            ended += 1
        begins = terminations & (mode == AutoresetMode.NEXT_STEP)


def test_a_wrapper_of_ones_own_tells_returns_where_cleanrls_scripts_look(own_ids: Path) -> None:
    envs = cleanrl_vector("cleanrl_lab:Told-v0", 2)
    envs.reset(seed=1)
    envs.single_action_space.seed(1)
    returns, told = [], []
    while len(returns) < 3:
        *_, infos = envs.step(np.array([envs.single_action_space.sample() for _ in range(2)]))
        found = [info for info in infos.get("final_info", ()) if info and "episode" in info]
        told += [(info["episode"]["r"], info["episode"]["l"]) for info in found]
        if "episode" in infos:
            numbers = zip(infos["episode"]["r"], infos["episode"]["l"], infos["_episode"], strict=True)
            returns += [(r, length) for r, length, over in numbers if over]
    assert told == returns


CLEANRL = "ARCHGYM_CLEANRL"
COMMANDS = {
    "ppo.py": "--num-envs 2 --num-steps 16 --total-timesteps 320",
    "dqn.py": "--learning-starts 50 --batch-size 16 --target-network-frequency 50 --total-timesteps 300",
}


@pytest.mark.parametrize("id", [SEQUENTIAL, "cleanrl_lab:Told-v0", "cleanrl_lab:Real-v0"])
@pytest.mark.parametrize("script", COMMANDS)
def test_the_unmodified_scripts_of_cleanrl_run(script: str, id: str, own_ids: Path) -> None:
    folder = os.environ.get(CLEANRL)
    if not folder:
        pytest.skip(f"needs CleanRL: git clone https://github.com/vwxyzjn/cleanrl && export {CLEANRL}=$PWD/cleanrl")
    command = [sys.executable, str(Path(folder, "cleanrl", script).resolve()), "--env-id", id]
    paths = os.pathsep.join([str(own_ids), str(Path(folder).resolve())])
    environment = {**os.environ, "PYTHONPATH": paths, "ARCHGYM_JOURNAL": str(own_ids / "journal.jsonl")}
    done = subprocess.run(
        [*command, *COMMANDS[script].split(), "--no-cuda"],
        cwd=own_ids,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run,) = (own_ids / "runs").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    loss = events.Scalars("losses/value_loss" if script == "ppo.py" else "losses/td_loss")
    assert np.isfinite([scalar.value for scalar in loss]).all()
    assert len(loss) > 1
    assert ("charts/episodic_return" in events.Tags()["scalars"]) == ("Told" in id)
    journal = (own_ids / "journal.jsonl").read_text(encoding="utf-8")
    assert journal.count('"call": "train_window"') > 2  # what the scripts do not log
