import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym.inner import envs
from archgym.inner.envs import dimensions, look, random_returns
from archgym.inner.tasks import TASKS, THRESHOLD, Task, get_task
from archgym.lookup import load
from archgym.observations import shape_of
from archgym.problem import Problem, trainer_config
from archgym.settings import Settings


class Toy(gym.Env[Any, Any]):
    """Pays the action, less a little that the seed decides; ends only by a limit."""

    def __init__(self, actions: gym.Space[Any] | None = None, observations: gym.Space[Any] | None = None) -> None:
        self.action_space = actions or gym.spaces.Discrete(3, start=-1)
        self.observation_space = observations or gym.spaces.Box(0, 1, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.random(2, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.np_random.random(2, dtype=np.float32), action - self.np_random.random() / 10, False, False, {}


@pytest.fixture(autouse=True)
def _fresh_registry() -> Iterator[None]:
    before = dict(gym.registry)
    yield
    gym.registry.clear()
    gym.registry.update(before)
    for cached in (get_task, look, envs._spaces):
        cached.cache_clear()


def register(id: str = "Toy-v0", **kwargs: Any) -> None:
    gym.register(id, entry_point=lambda **options: Toy(**options), **kwargs)


@pytest.mark.parametrize("id", TASKS)
def test_a_listed_task_is_found_under_its_id_and_can_be_trained_on(id: str) -> None:
    assert get_task(id) is TASKS[id]
    inputs, actions = dimensions(TASKS[id])
    assert (inputs, actions) == look(TASKS[id])
    assert math.prod(shape_of(inputs)) > 1
    assert actions > 1


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.id)
def test_the_recorded_random_return_is_what_a_short_measurement_gives(task: Task) -> None:
    episodes = {"Breakout-v5": 5, "Pong-v5": 3, "Freeway-v5": 2}.get(task.id, 100)  # those of Atari are long
    returns = random_returns(task, episodes)
    standard_error = returns.std(ddof=1) / math.sqrt(episodes)
    scale = task.reference_return - task.random_return  # for Acrobot: too few of its random episodes end by themselves
    assert task.random_return == pytest.approx(returns.mean(), abs=3 * standard_error + scale / 200)


ATARI = [task for task in TASKS.values() if task.search_episode_limit is not None]


@pytest.mark.parametrize("task", ATARI, ids=lambda task: task.id)
def test_atari_is_preprocessed_as_documented(task: Task) -> None:
    envpool = pytest.importorskip("envpool", reason="EnvPool has no build for this platform")
    config = envpool.make_spec(task.id).config
    assert (config.img_height, config.img_width, config.gray_scale, config.stack_num) == (84, 84, True, 4)
    assert (config.frame_skip, config.noop_max, config.use_fire_reset) == (4, 30, True)
    assert (config.reward_clip, config.episodic_life, config.repeat_action_probability) == (False, False, 0.0)
    assert task.episode_limit == config.max_episode_steps
    assert look(task)[0] == (4, 84, 84)


@pytest.mark.parametrize("task", [t for t in TASKS.values() if t not in ATARI], ids=lambda task: task.id)
def test_limits_and_references_are_those_of_gymnasiums_registry(task: Task) -> None:
    spec = gym.spec(task.id)
    assert task.episode_limit == spec.max_episode_steps
    assert (task.reference_source == THRESHOLD) == (task.reference_return == spec.reward_threshold)


def test_a_listed_task_is_found_under_its_module_and_id_too() -> None:
    assert get_task("archgym:NASDQNPendulum-v0") is TASKS["NASDQNPendulum-v0"]


def test_any_gymnasium_id_is_a_task_with_the_limit_and_threshold_of_its_registration() -> None:
    register(max_episode_steps=7, reward_threshold=3.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = get_task("Toy-v0")
    assert (task.id, task.episode_limit, task.backend) == ("Toy-v0", 7, "gymnasium")
    assert (task.reference_return, task.reference_source) == (3.5, THRESHOLD)
    assert task.random_return == random_returns(task, 20).mean()
    assert dimensions(task) == (2, 3)


def test_the_random_return_of_an_id_is_the_same_whenever_it_is_measured() -> None:
    register(max_episode_steps=7, reward_threshold=3.5)
    first = get_task("Toy-v0")
    get_task.cache_clear()
    assert get_task("Toy-v0") == first


def test_an_id_without_limit_gets_one_and_warns_once() -> None:
    register(reward_threshold=500.0)
    with pytest.warns(UserWarning, match="has no episode limit: its episodes are truncated after 1000 steps"):
        task = get_task("Toy-v0")
    assert task.episode_limit == 1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_task("Toy-v0") is task


@pytest.mark.parametrize("threshold", [None, -100.0])
def test_an_id_without_a_threshold_above_random_gets_an_arbitrary_one_and_says_so(threshold: float | None) -> None:
    register(max_episode_steps=7, reward_threshold=threshold)
    with pytest.warns(
        UserWarning, match="which is arbitrary.*keywords random_return and reference_return .--inner"
    ) as caught:
        task = get_task("Toy-v0")
    assert task.reference_return == task.random_return + max(abs(task.random_return), 1.0)
    assert task.reference_source.startswith("arbitrary")
    assert caught[0].filename == __file__


def test_a_module_named_before_the_id_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "import gymnasium as gym\ngym.register('Mine-v0', gym.spec('CartPole-v1').entry_point, 100.0, False, 50)\n"
    (tmp_path / "archgym_test_mine.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    task = get_task("archgym_test_mine:Mine-v0")
    assert (task.id, task.episode_limit, task.reference_return) == ("archgym_test_mine:Mine-v0", 50, 100.0)


def test_a_dependency_missing_inside_such_a_module_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archgym_test_broken.py").write_text("import archgym_test_absent\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="expected a module that can be imported, got No module named 'archgym_test_a"):
        get_task("archgym_test_broken:Mine-v0")


def needy(error: Exception) -> type[Toy]:
    """Make an environment that cannot be made here."""

    class Needy(Toy):
        def __init__(self, **keywords: Any) -> None:
            raise error

    return Needy


@pytest.mark.parametrize(
    "error",
    [
        gym.error.DependencyNotInstalled("Physics is not installed"),
        ModuleNotFoundError("No module named 'physics'"),
        ImportError("moved to another package"),
    ],
)
def test_a_task_whose_package_is_missing_is_refused_with_a_sentence_and_never_suggested(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(gym.registry, "Walnut-v0", raising=False)
    gym.register("Walnut-v0", needy(error), max_episode_steps=5)
    with pytest.raises(ValueError, match=f"task 'Walnut-v0': expected the packages .* one is missing: {error}"):
        get_task("Walnut-v0")
    with pytest.raises(ValueError, match="unknown task 'Walnut-v9'") as refusal:
        get_task("Walnut-v9")
    assert "Walnut-v0" not in str(refusal.value)
    gym.register("Walnut-v1", Toy, max_episode_steps=5)
    with pytest.raises(ValueError, match=r"Did you mean 'Walnut-v1'\?"):
        get_task("Walnut-v9")
    for version in (0, 1):
        del gym.registry[f"Walnut-v{version}"]


def test_what_a_near_environment_raises_does_not_take_the_place_of_the_refusal() -> None:
    gym.register("Walnut-v0", needy(RuntimeError("no display")), max_episode_steps=5)
    with pytest.raises(ValueError, match="unknown task 'Walnut-v9'") as refusal:
        get_task("Walnut-v9")
    assert "Walnut-v0" not in str(refusal.value)
    del gym.registry["Walnut-v0"]


def test_neither_continuous_actions_nor_searches_are_suggested() -> None:
    for id in ("Pendulum-v9", "ArchSearch-DQN-v9"):
        with pytest.raises(ValueError, match=f"unknown task {id!r}") as refusal:
            get_task(id)
        assert "Pendulum-v1" not in str(refusal.value)
        assert "ArchSearch-DQN-v0" not in str(refusal.value)


@pytest.mark.parametrize(
    ("id", "sentence"),
    [
        ("CartPol-v1", r"unknown task 'CartPol-v1': expected one of Acrobot-v1, .*Did you mean 'CartPole-v1'\?"),
        ("CartPole", r"Did you mean 'CartPole-v1'\? Any id registered with Gymnasium works too"),
        ("FrozenLake-v9", r"Did you mean 'FrozenLake-v1'\?"),
        ("not an id", "unknown task 'not an id': expected one of Acrobot-v1"),
        ("..:x", r"task '\.\.:x': expected the whole name of a module before the colon, got '\.\.'"),
        ("archgym_test_absent:Mine-v0", "there is no module 'archgym_test_absent' to import"),
        ("Pendulum-v1", r"task 'Pendulum-v1': expected discrete actions \(a Discrete space\), got Box\(-2.0, 2.0"),
        ("CliffWalking-v1", r"expected vectors as observations \(.*\), or images of bytes \(.*\), got Discrete\(48\)"),
        ("Blackjack-v1", r"expected vectors as observations \(.*\), or images of bytes \(.*\), got Tuple\("),
    ],
)
def test_what_cannot_be_a_task_is_refused_with_a_sentence(id: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        get_task(id)


@pytest.mark.parametrize("pay", [float("nan"), float("inf"), -1e200])
def test_a_task_whose_rewards_are_no_numbers_to_learn_from_is_refused(
    pay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(max_episode_steps=5, reward_threshold=4)
    monkeypatch.setattr(Toy, "step", lambda self, _: (self.np_random.random(2, np.float32), pay, False, False, {}))
    with pytest.raises(ValueError, match=r"task 'Toy-v0': expected rewards whose sums are finite, .*, got a return of"):
        get_task("Toy-v0")


@pytest.mark.parametrize(
    ("spaces", "sentence"),
    [
        ({"observations": gym.spaces.Box(0, 255, (4, 5), np.uint8)}, r"got Box\(0, 255, \(4, 5\), uint8\)"),
        ({"observations": gym.spaces.Box(0, 1, (3, 4, 5))}, r"or images of bytes .*, got Box\(0.0, 1.0, \(3, 4, 5\)"),
        ({"observations": gym.spaces.Dict(a=gym.spaces.Box(0, 1, (2,)))}, r"got Dict\("),
        ({"actions": gym.spaces.MultiDiscrete([2, 3])}, r"expected discrete actions .*, got MultiDiscrete\("),
    ],
)
def test_other_images_dictionaries_and_several_actions_at_once_are_refused(
    spaces: dict[str, Any], sentence: str
) -> None:
    register(max_episode_steps=7, kwargs=spaces)
    with pytest.raises(ValueError, match=sentence):
        get_task("Toy-v0")


def test_a_search_plays_a_task_with_the_limit_of_searches() -> None:
    task = replace(TASKS["CartPole-v1"], search_episode_limit=50)
    assert task.in_search() == replace(TASKS["CartPole-v1"], episode_limit=50)
    assert TASKS["CartPole-v1"].in_search() is TASKS["CartPole-v1"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"search_episode_limit": 0}, r"expected a search_episode_limit from 1 to 500 \(episode_limit\), got 0"),
        ({"search_episode_limit": 501}, "expected a search_episode_limit from 1 to 500"),
        ({"episode_limit": 0}, "expected an episode_limit of at least 1, got 0"),
        ({"reference_return": 22.3}, "expected a reference_return above random_return, got 22.3 and 22.3"),
        ({"random_return": math.nan}, "expected a reference_return above random_return, got 475.0 and nan"),
        ({"backend": "envpol"}, r"unknown backend 'envpol': .* Did you mean 'envpool'\?"),
    ],
)
def test_a_task_that_nothing_can_be_measured_with_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(TASKS["CartPole-v1"], **changes)


BRINGS = [(task, trainer) for task in TASKS.values() for trainer in task.settings]


def config_of(task: str, trainer: str, **keywords: Any) -> Any:
    """Give the settings that a population trains with."""
    problem = Problem(Settings.from_keywords({"task": task, "trainer": trainer, **keywords}))
    return trainer_config(load("archgym.trainers", trainer, "trainer").PRESETS, problem)


@pytest.mark.parametrize(("task", "trainer"), BRINGS, ids=[task.id for task, _ in BRINGS])
def test_a_tasks_own_settings_hold_where_nobody_says_otherwise(task: Task, trainer: str) -> None:
    own, default = task.settings[trainer], config_of("CartPole-v1", trainer)
    assert config_of(task.id, trainer) == replace(default, **own)
    assert all(getattr(default, name) != value for name, value in own.items())
    for name in own:  # what is given goes before the task's, and the others stay
        given = {name: getattr(default, name)}
        assert config_of(task.id, trainer, **given) == replace(default, **{**own, **given})
    assert config_of(task.id, trainer, preset="cleanrl") == config_of("CartPole-v1", trainer, preset="cleanrl")


def test_the_settings_of_a_task_are_for_the_trainer_that_they_name() -> None:
    assert TASKS["MountainCar-v0"].settings.keys() == {"dqn"}
    assert config_of("MountainCar-v0", "pqn", layer_norm=True) == config_of("CartPole-v1", "pqn", layer_norm=True)


def test_a_task_with_settings_is_told_from_others_and_found_in_caches() -> None:
    task = TASKS["MountainCar-v0"]
    assert hash(task) == hash(replace(task, settings={}))
    assert task != replace(task, settings={})
