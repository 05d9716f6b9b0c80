"""Windows that end with episodes, and inner environments that are kept alive between windows."""

import gc
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import archgym  # noqa: F401  (registers the environments)
from archgym import journal
from archgym.__main__ import main
from archgym.budget import FINAL_EPISODES
from archgym.envs.team import Team
from archgym.inner import engines
from archgym.inner.carried import Carried
from archgym.inner.envs import dimensions, open_inner_envs
from archgym.inner.episodes import UNDER_WAY, EpisodeCounter
from archgym.inner.tasks import TASKS, Task, get_task
from archgym.lookup import load, names
from archgym.native import library
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import VALID
from archgym.running import search
from archgym.running.arguments import SearchArgs
from archgym.running.outcome import reached
from archgym.seeding import Consumer, env_seeds
from archgym.settings import Settings
from archgym.supernet import FIELDS
from archgym.training import WindowTrainer
from archgym.window import WindowResult

TRAINERS = names("archgym.trainers")
SHARING = [one for one in TRAINERS if getattr(load("archgym.trainers", one, "trainer"), "SHARES_WEIGHTS", False)]
COMPILED = [one for one in TRAINERS if "native" in getattr(load("archgym.trainers", one, "trainer"), "LEARNERS", ())]
SMALL = {"windows": 6, "envs_per_member": 2, "horizon": 4_000}
ROLLOUTS = {"num_steps": 8, "num_minibatches": 2, "update_epochs": 1}
OF_TRAINER: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 40, "batch_size": 8, "train_frequency": 8, "target_network_frequency": 60},
    "pqn": {**ROLLOUTS, "layer_norm": True},
    "ppo": {**ROLLOUTS, "actor_critic": True},
}
SPACES = {"CartPole-v1": "mlp", "NASDQNPendulum-v0": "mlp", "Orchard-v0": "mini-kernels"}
A, B = [0, 0, 1], [1, 1, 2]  # of either space
INNER = ("envs_per_member=2", "batch_size=8", "learning_starts=40")
CARRY = {"inner_envs": "carry"}

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=.* is shorter")
needs_native = pytest.mark.skipif(library() is None, reason="the compiled learners were not built")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")


@pytest.fixture(params=TRAINERS)
def trainer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SPACES)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def keywords_of(trainer: str, task: str = "CartPole-v1", **keywords: Any) -> dict[str, Any]:
    return {**SMALL, **OF_TRAINER.get(trainer, {}), "task": task, "space": SPACES[task], **keywords}


def population(trainer: str = "dqn", members: int = 1, seeds: Sequence[int] = (), **keywords: Any) -> Population:
    made = Population(
        Problem(Settings.from_keywords({"trainer": trainer, **keywords_of(trainer, **keywords)})), members
    )
    made.reset(seeds or range(members))
    return made


def run(made: Population, plan: Sequence[Sequence[int]]) -> list[list[WindowResult]]:
    """Train these architectures, one after the other, the same in every member."""
    return [made.train_window(np.array([architecture] * made.members)) for architecture in plan]


def weights(made: Population, member: int = 0) -> dict[str, bytes]:
    """All numbers of a member's learners, so that == compares them bit for bit."""
    stores = made.lifetimes[member].stores.items()
    return {f"{key}/{name}": store.supernet.fields[name].numpy().tobytes() for key, store in stores for name in FIELDS}


# Windows that end with episodes.


@pytest.mark.parametrize("task", ["Orchard-v0", "NASDQNPendulum-v0"])
def test_a_window_is_over_with_the_step_or_the_rollout_in_which_its_last_episode_ends(task: str, trainer: str) -> None:
    """All episodes of these tasks are of one length, so it is known when that is."""
    length = TASKS[task].episode_limit
    most, ends = 3 * length, 2 * length + 1  # slots; the third episode ends with the fourth, after one reset
    made = population(trainer, task=task, window_episodes=3, window_steps=2 * most)
    rollouts = getattr(made.config, "rollouts", lambda slots: [1] * slots)(most)  # the DQN looks behind every slot
    expected = next(slots for slots in np.cumsum(rollouts) if slots >= ends)
    for window in range(2):
        ((result,),) = run(made, [A])
        assert result.env_steps == 2 * expected
        assert (result.episodes, result.cut_share) == (4, 0.0 if expected <= ends + 1 else pytest.approx(1 / 3))
        assert made.lifetimes[0].stores[""].steps == 2 * expected * (window + 1)


def test_no_window_goes_on_behind_its_last_episode(trainer: str) -> None:
    made = population(trainer, window_episodes=5, window_steps=1_600)
    ((whole,),) = run(made, [A])
    rollout = getattr(made.config, "num_steps", 1)  # the DQN looks behind every slot
    shorter = {"window_episodes": 5, "window_steps": whole.env_steps - 2 * rollout, "windows": 60}
    ((cut,),) = run(population(trainer, **shorter), [A])
    assert cut.env_steps == whole.env_steps - 2 * rollout
    assert cut.episodes < 5 <= whole.episodes
    assert whole.env_steps < 1_600


def test_a_window_of_episodes_is_the_window_of_as_many_steps(trainer: str) -> None:
    episodes, steps = (population(trainer, window_steps=1_600, **own) for own in ({"window_episodes": 5}, {}))
    for window in range(3):
        ((result,),) = run(episodes, [A if window % 2 else B])
        steps.problem.__dict__["window_steps"] = result.env_steps
        ((other,),) = run(steps, [A if window % 2 else B])
        assert result == other
        assert result.gradient_steps > 0 or window == 0
        assert weights(episodes) == weights(steps)
    assert episodes.lifetimes[0].stores[""].steps == steps.lifetimes[0].stores[""].steps < 4_800


def test_schedules_count_the_steps_that_were_really_taken(trainer: str) -> None:
    made, taken = population(trainer, window_episodes=4, transfer="own"), {"A": 0, "B": 0}
    for name, architecture in (("A", A), ("B", B), ("A", A)):
        ((result,),) = run(made, [architecture])
        taken[name] += result.env_steps
        if hasattr(made.config, "epsilon"):
            assert result.epsilon == float(made.config.epsilon(taken[name], 4_000)) < 1
    assert sorted(store.steps for store in made.lifetimes[0].stores.values()) == sorted(taken.values())


@pytest.mark.parametrize(
    ("keywords", "most"),
    [
        ({"window_episodes": 1}, 4 * 501),
        ({"window_episodes": 4}, 4 * 501),
        ({"window_episodes": 5}, 8 * 501),
        ({"window_episodes": 200}, 200 * 501),
        ({"window_episodes": 200, "window_steps": 800}, 800),
        ({"window_episodes": 5, "task": "Breakout-v5", "space": "nature-kernels"}, 8 * 2_101),
        ({"window_episodes": 5, "task": "Breakout-v5", "space": "nature-kernels", **CARRY}, 8 * 27_001),
        ({"task": "Breakout-v5", "space": "nature-kernels", **CARRY}, 4 * 2_100 * 5 // 4),
    ],
)
def test_a_window_has_a_limit_and_schedules_are_laid_out_for_it(keywords: dict[str, Any], most: int) -> None:
    problem = Problem(Settings.from_keywords({"windows": 7, **keywords}))
    assert problem.window_steps == most
    assert problem.horizon == problem.learner_steps == 7 * most
    assert Problem(Settings.from_keywords({**keywords, "horizon": 900})).horizon == 900
    assert Problem(Settings.from_keywords({**keywords, "transfer": "fresh"})).horizon == most


def test_a_limit_too_short_for_an_episode_is_told_but_the_default_is_not() -> None:
    with pytest.warns(UserWarning, match="window_steps=800 is shorter than 2500"):
        gym.make("ArchSearch-DQN-v0", window_episodes=3, window_steps=800)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gym.make("ArchSearch-DQN-v0", window_episodes=1)
        gym.make("ArchSearch-DQN-v0", window_steps=800, **CARRY)  # its episodes go on in the next window


@pytest.mark.parametrize("play", [{"window_episodes": 3, "window_steps": 800}, {"window_steps": 80, **CARRY}])
@pytest.mark.parametrize("transfer", ["shared", "own", "fresh"])
def test_members_live_as_if_they_were_alone_in_any_company(play: dict[str, Any], transfer: str, trainer: str) -> None:
    made = {"trainer": trainer, "transfer": transfer, "exact": True, **play}
    plan = [[A, B, A], [A, A, B], [B, A, B]]
    together, apart = population(members=3, seeds=[7, 8, 9], **made), population(members=3, seeds=[7, 8, 9], **made)
    expected = [together.train_window(np.array(architectures)) for architectures in plan]
    assert len({result.env_steps for row in expected for result in row}) > 1 or "inner_envs" in play
    for window, members in ((0, [2, 0]), (0, [1]), (1, [1]), (1, [0, 2]), (2, [0]), (2, [2]), (2, [1])):
        results = apart.train_window(np.array([plan[window][member] for member in members]), members)
        assert results == [expected[window][member] for member in members]
    for member in range(3):
        alone = population(seeds=[7 + member], **made)
        single = [alone.train_window(np.array([architectures[member]])) for architectures in plan]
        assert [row[0] for row in single] == [row[member] for row in expected]
        assert weights(alone) == weights(together, member) == weights(apart, member)


@pytest.mark.parametrize("play", [{"window_episodes": 3, "window_steps": 800}, {"window_steps": 80, **CARRY}])
def test_a_member_of_a_vector_environment_is_the_single_one(play: dict[str, Any], trainer: str) -> None:
    env_id, own = f"ArchSearch-{trainer.upper()}-v0", {**keywords_of(trainer, exact=True, **play), "windows": 2}
    for name in ("layer_norm", "actor_critic"):  # the id says so
        own.pop(name, None)
    envs: Any = gym.make_vec(env_id, num_envs=2, **own)
    envs.reset(seed=[5, 6])
    told = [envs.step(np.array([B, A]))[1:] for _ in range(2)]
    for member in range(2):
        env: Any = gym.make(env_id, **own)
        env.reset(seed=5 + member)
        for rewards, over, _, infos in told:
            _, reward, terminated, _, info = env.step([B, A][member])
            assert (reward, terminated) == (rewards[member], over[member])
            assert info == {name: column[member] for name, column in infos.items() if not name.startswith("_")}
        env.close()
    envs.close()


@needs_native
@pytest.mark.parametrize("play", [{"window_episodes": 3, "window_steps": 800}, {"window_steps": 80, **CARRY}])
@pytest.mark.parametrize("trainer", COMPILED)
def test_the_result_does_not_depend_on_the_number_of_threads(play: dict[str, Any], trainer: str) -> None:
    told = []
    for threads in (1, 2, 8):
        made = population(trainer, members=5, threads=threads, learner="native", **play)
        told.append((run(made, [A, B, A]), [weights(made, member) for member in range(5)]))
        assert made.timings["learn"] > 0
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"window_episodes": 0}, "window_episodes: expected a positive integer, got 0"),
        ({"window_episodes": 2.5}, r"window_episodes: expected a positive integer, got 2\.5"),
        ({"window_episodes": True}, "window_episodes: expected a positive integer, got True"),
        ({"window_episodes": 2, "window_steps": 6}, r"window_steps: expected a multiple of envs_per_member \(4\)"),
        ({"inner_envs": "cary"}, "unknown inner_envs 'cary': expected one of carry, fresh. Did you mean 'carry'"),
        (
            {"inner_envs": "carry", "window_steps": 4},
            "window_steps: expected at least 8 with inner_envs='carry'",
        ),
        (
            {"window_episodes": 9, "share_weights": True},
            "share_weights: expected windows of equally many steps.*got window_episodes=9",
        ),
        (
            {"window_episodes": 9, "trainer": "synthetic"},
            "window_episodes: expected None with a planted landscape, where windows are looked up.* got 9",
        ),
        ({**CARRY, "trainer": "synthetic"}, "inner_envs: expected 'fresh' with a planted landscape.* got 'carry'"),
        (
            {"window_episodes": 9, "table": "auto", "transfer": "own"},
            "window_episodes: expected None with a table, where windows are looked up .* got 9",
        ),
        ({**CARRY, "table": "auto", "transfer": "own"}, "inner_envs: expected 'fresh' with a table.* got 'carry'"),
    ],
)
def test_what_does_not_go_together_is_refused(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Problem(Settings.from_keywords(keywords))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["search", "fixed", "--window-episodes", "3", "--retrain", "4000"],
            "--retrain: expected windows of equally",
        ),
        (["compare", "fixed", "--window-episodes", "3", "--seeds", "2"], "compare: expected windows of equally many"),
        (["table", "build", "--inner", "window_episodes=3"], "--inner: .*got window_episodes"),
        (["table", "build", "--inner", "inner_envs=carry"], "--inner: .*got inner_envs"),
    ],
)
def test_equal_budgets_and_recordings_are_refused_windows_that_end_with_episodes(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert re.search(sentence, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_a_search_says_after_how_many_true_steps_the_reference_was_reached(tmp_path: Path) -> None:
    args = SearchArgs(windows=2, window_episodes=3, num_envs=2, inner=INNER, out=tmp_path / "run", seed=2)
    assert args.settings().window_episodes == 3
    assert "window_episodes" not in SearchArgs().environment(), "environments of others need not know it"
    module = load("archgym.agents", "fixed", "agent")
    folder = search.run(module.Agent, module.Args(**vars(args)), "fixed", page=False)
    path = folder / "journal.jsonl"
    rows = [row for row in journal.read_rows(path.read_bytes(), path)[0] if row["call"] == "train_window"]
    assert len({steps for row in rows for steps in row["env_steps"]}) > 1
    assert all(count >= 3 for row in rows for count in row["episodes"])
    spent = json.loads((folder / "recommendation.json").read_text())["search_steps"]
    assert spent == sum(sum(row["env_steps"]) for row in rows) + 2 * FINAL_EPISODES * 500

    problem, made = Problem(args.settings()), population(window_episodes=3, reward="evaluation", evaluation_episodes=2)
    windows = [replace(row[0], normalised_return=value) for row, value in zip(run(made, [A, B]), (0.5, 1), strict=True)]
    evaluated = Problem(replace(args.settings(), reward="evaluation", evaluation_episodes=2))
    own = sum(window.env_steps for window in windows)
    assert reached(problem, [windows]).endswith(f"after {own:,} steps.")
    assert reached(evaluated, [windows, windows[:1]]).endswith(f"after {own - 4 * 500:,} steps.")


# Inner environments that are kept alive.


def scripted(task: Task, slots: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng(3).integers(dimensions(task)[1], size=(slots, count))


@pytest.mark.parametrize("backend", ["own", "gymnasium"])
def test_carried_windows_are_one_long_window_in_any_company(task: str, backend: str) -> None:
    played = replace(TASKS[task], episode_limit=12)
    played = replace(played, backend="gymnasium") if backend == "gymnasium" else played
    seeds, slots = [4, 9, 2], 60
    alone = [open_inner_envs(played, env_seeds(seed, Consumer.INNER_ENVS, 0, count=2)) for seed in seeds]
    actions = scripted(played, slots, 6)
    expected = [(one.reset(), EpisodeCounter(1, 2, 12)) for one in alone]
    whole = [[first] for first, _ in expected]
    for slot in range(slots):
        for member, (one, (_, counter)) in enumerate(zip(alone, expected, strict=True)):
            step = one.step(actions[slot, 2 * member : 2 * member + 2])
            counter.add(step.reward[None], (step.terminated | step.truncated)[None])
            whole[member].append(step.observation)

    carried, seen = Carried(played, 2, 12), list[list[Any]]([[], [], []])
    carried.begin([0, 1, 2])
    total, finished, at = np.zeros((3, 2)), np.zeros((3, 2), dtype=int), [0, 0, 0]
    companies = ([2, 0], [1], [0, 1, 2], [0], [2, 1], [2], [1, 0])
    for company, length in zip([*companies, [0, 1, 2]], (13, 4, 5, 20, 12, 1, 7, 100), strict=True):
        envs, counter = carried.open(company, [(seeds[member], 77) for member in company])
        assert envs.num_envs == 2 * len(company)
        length = min(length, *(slots - at[member] for member in company))
        seen_now = envs.begin()
        for turn in range(length):
            for row, member in enumerate(company):
                seen[member].append(seen_now[2 * row : 2 * row + 2])
            own = np.concatenate([actions[at[member] + turn, 2 * member : 2 * member + 2] for member in company])
            step = envs.step(own)
            done = (step.terminated | step.truncated).reshape(-1, 2)
            counter.add(step.reward.reshape(-1, 2), done)
            seen_now = step.observation
        for row, member in enumerate(company):
            at[member] += length
            total[member] += counter.total[row]
            finished[member] += counter.finished[row]
        carried.end(company, (envs, counter))
    for member in range(3):
        np.testing.assert_array_equal(seen[member], whole[member][: at[member]])
        envs, counter = carried.open([member], [(seeds[member], 0)])
        np.testing.assert_array_equal(envs.begin(), whole[member][at[member]])
        if at[member] == slots:
            reference = expected[member][1]
            np.testing.assert_array_equal(finished[member], reference.finished[0])
            np.testing.assert_array_equal(total[member], reference.total[0])
            for name in UNDER_WAY:
                np.testing.assert_array_equal(getattr(counter, name), getattr(reference, name))
    assert slots in at
    assert finished.min() >= 2


def test_a_first_carried_window_is_a_fresh_one_and_the_second_goes_on(task: str, trainer: str) -> None:
    keywords = {"task": task, "window_steps": 96, "transfer": "own"}
    carried, fresh = population(trainer, **keywords, **CARRY), population(trainer, **keywords)
    assert run(carried, [A]) == run(fresh, [A])
    assert weights(carried) == weights(fresh)
    assert run(carried, [A]) != run(fresh, [A])
    ((envs, counter),) = carried.inner_envs._kept.values()  # type: ignore[attr-defined]
    assert envs.num_envs == 2
    if task != "CartPole-v1":
        assert counter.elapsed.tolist() == [[96, 96]], "no episode of these is so short"
        assert counter.running.any()
    again = population(trainer, **keywords, **CARRY)
    assert run(again, [A, A])[1] == run(population(trainer, **keywords, **CARRY), [A, A])[1]


def test_windows_shorter_than_an_episode_come_to_its_end_and_count_it_whole(trainer: str) -> None:
    """An episode of Orchard takes 100 slots and a reset; a window has 30."""
    play = {"task": "Orchard-v0", "window_steps": 60, "windows": 12}
    carried, fresh = (run(population(trainer, **play, **own), [A] * 12) for own in (CARRY, {}))
    assert [row[0].episodes for row in fresh] == [0] * 12
    assert [row[0].episodes for row in carried] == [0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 2, 0]
    assert [row[0].cut_share for row in carried] == [1, 1, 1, 0.5, 1, 1, 0.5, 1, 1, 1, 0.5, 1]
    running = [row[0].raw_return for row in carried]
    assert running[:4] == sorted(running[:4]), "the return so far, until the episode ends"
    assert running[3] > 0
    assert sum(running[4::3]) < sum(running[3:11:3]), "a new episode begins with nothing"


def test_the_reset_that_an_episode_leaves_to_the_next_window_is_no_transition() -> None:
    """A window has exactly 100 slots, so the second one begins with a reset; and each leaves a slot without action."""
    made = population(task="Orchard-v0", window_steps=200, buffer_size=1_000, **CARRY)
    run(made, [A, A])
    assert made.replay is not None
    valid = made.replay.steps[0, :202, :, VALID].numpy().all(-1)
    assert np.flatnonzero(~valid).tolist() == [100, 101, 201]
    seen = made.replay.observations[0]
    assert (seen[100] == seen[101]).all(), "the last observation of a window is the first of the next"


def test_a_carried_game_is_as_long_as_the_task_says_and_not_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(TASKS["Orchard-v0"], search_episode_limit=20)
    monkeypatch.setitem(TASKS, "Orchard-v0", short)
    get_task.cache_clear()
    try:
        play = {"task": "Orchard-v0", "window_steps": 84, "windows": 12}
        carried, fresh = population(**play, **CARRY), population(**play)
        assert [row[0].episodes for row in run(fresh, [A] * 3)] == [4] * 3
        assert [row[0].episodes for row in run(carried, [A] * 3)] == [0, 0, 2]
        assert carried.evaluate(np.array([A]), [0], 2)[1] == [40], "evaluations cost what the search's episodes do"
        assert carried.problem.full_window_steps == fresh.problem.full_window_steps == 50
    finally:
        get_task.cache_clear()


def test_late_states_of_breakout_are_reached_in_short_windows() -> None:
    made = Population(
        Problem(
            Settings.from_keywords(
                {"task": "Breakout-v5", "space": "nature-kernels", "preset": "atari", "windows": 3, "window_steps": 40}
                | {"envs_per_member": 2, "learning_starts": 16, "batch_size": 4, "train_frequency": 20, **CARRY}
            )
        ),
        1,
    )
    made.reset([3])
    last: Any = None
    for window in range(3):
        architecture = made.problem.space.default_architecture
        (result,) = made.train_window(architecture[None])
        assert result.gradient_steps > 0
        ((envs, counter),) = made.inner_envs._kept.values()  # type: ignore[attr-defined]
        assert (counter.elapsed + 40 * counter.finished).max() <= 20 * (window + 1)
        assert made.replay is not None
        first = made.replay.observations[0, 21 * window].numpy()
        assert last is None or (first == last).all(), "the first observation is the last of the window before"
        last = envs.begin()
    assert counter.elapsed.max() > 40
    made.close()


@pytest.mark.parametrize("transfer", ["shared", "own", "fresh"])
def test_a_lifetime_that_keeps_games_alive_cannot_be_copied(transfer: str, trainer: str) -> None:
    made = population(trainer, members=2, transfer=transfer, window_steps=48, **CARRY)
    run(made, [A])
    fresh = population(trainer, members=2, transfer=transfer, window_steps=48)
    run(fresh, [A])
    state = fresh.get_state()
    for call, copy in (
        ("get_state", made.get_state),
        ("set_state", lambda: made.set_state(state)),
        ("fork", lambda: made.fork(0, 1)),
    ):
        with pytest.raises(ValueError, match=f"{call}: expected inner_envs='fresh', got 'carry': inner environments"):
            copy()
    assert run(made, [B]) == run(population(trainer, 2, transfer=transfer, window_steps=48, **CARRY), [A, B])[1:]


def test_a_learner_can_be_handed_over_for_the_games_stay_where_they_are(trainer: str) -> None:
    told = []
    for _ in range(2):
        made = population(trainer, members=2, transfer="own", window_steps=40, **CARRY)
        run(made, [A])
        made.fork(0, 1, np.array(A))
        assert weights(made, 0) == weights(made, 1)
        told.append(run(made, [A]))
        assert weights(made, 0) != weights(made, 1)
    assert told[0] == told[1]


def test_views_refuse_copies_of_living_games_too() -> None:
    env: Any = gym.make("ArchSearch-DQN-v0", **keywords_of("dqn", window_steps=48, **CARRY))
    env.reset(seed=1)
    for copy in (env.unwrapped.get_state, env.unwrapped.fork):
        with pytest.raises(ValueError, match="get_state: expected inner_envs='fresh'"):
            copy()
    own = {**keywords_of("dqn", window_steps=48, **CARRY), "credit": "difference"}
    with pytest.raises(ValueError, match="inner_envs: expected 'fresh' with credit='difference'"):
        Team(**own)


def test_a_member_can_begin_anew_while_the_games_of_others_go_on(trainer: str) -> None:
    made, undisturbed = (population(trainer, members=3, exact=True, window_steps=80, **CARRY) for _ in range(2))
    run(made, [A, B])
    expected = run(undisturbed, [A, B, A])[2]
    made.reset([77], [1])
    results = run(made, [A])[0]
    assert [results[0], results[2]] == [expected[0], expected[2]]
    assert results[1] == run(population(trainer, seeds=[77], exact=True, window_steps=80, **CARRY), [A])[0][0]


@pytest.mark.parametrize("trainer", SHARING)
def test_members_of_one_supernet_keep_their_own_games(trainer: str) -> None:
    play = {"task": "Orchard-v0", "window_steps": 80, "share_weights": True, "members": 2, **CARRY}
    results = run(population(trainer, **play), [A, B, A])
    assert [[result.episodes for result in row] for row in results] == [[0, 0], [0, 0], [2, 2]]
    assert results == run(population(trainer, **play), [A, B, A])


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@on_linux
def test_kept_environments_end_with_their_lifetime_with_close_and_with_the_last_reference() -> None:
    """EnvPool steps every pool in threads of its own."""
    run(population(members=3, window_steps=48), [A])  # whatever else begins threads has begun them then
    gc.collect()
    time.sleep(5 * engines.REST)
    none, pool = threads(), open_inner_envs(TASKS["CartPole-v1"], [1, 2])
    each = threads() - none
    pool.close()
    assert each > 0

    def alive(pools: int) -> bool:
        """Tell whether so many pools are alive, once those that were closed have rested."""
        end = time.monotonic() + 30 * engines.REST
        while threads() != none + pools * each and time.monotonic() < end:
            time.sleep(engines.REST / 10)
        return threads() == none + pools * each

    assert alive(0)

    envs: Any = gym.make_vec("ArchSearch-DQN-v0", num_envs=3, **keywords_of("dqn", window_steps=48, **CARRY))
    envs.reset(seed=1)
    assert alive(0), "they are opened with the first window"
    envs.step(np.array([A, A, B]))
    assert alive(3)
    envs.step(np.array([B, A, B]))
    assert alive(3)
    envs.reset(seed=[None, 5, None], options={"reset_mask": np.array([False, True, False])})
    assert alive(2)
    envs.step(np.array([A, A, A]))
    assert alive(3)
    envs.reset(seed=2)
    assert alive(0)
    envs.step(np.array([A, A, A]))
    evaluator = envs.unwrapped._lives.evaluator
    envs.close()
    assert alive(0)
    with pytest.raises(ValueError, match=r"train_window: expected living inner environments .* member 0 ended with"):
        evaluator.train_window(np.array([A, A, A]))
    assert evaluator.weights(0, np.array(A)), "what was learned can still be taken out"

    env: Any = gym.make("ArchSearch-DQN-v0", **keywords_of("dqn", window_steps=48, **CARRY))
    env.reset(seed=1)
    env.step(A)
    assert alive(1)
    del env
    gc.collect()
    assert alive(0)


def test_a_window_that_breaks_off_ends_the_games_of_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    made = population(members=2, window_steps=48, **CARRY)
    run(made, [A])
    with monkeypatch.context() as broken:
        broken.setattr(WindowTrainer, "_took", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.train_window(np.array([A]), [1])
    with pytest.raises(ValueError, match=r"those of member 1 ended with close\(\), or with a window that broke off"):
        run(made, [A])
    made.reset([0, 1])
    assert run(made, [A]) == run(population(members=2, window_steps=48, **CARRY), [A])


# The record.


@pytest.mark.parametrize("play", [{"window_episodes": 3, "window_steps": 800}, {"window_steps": 60, **CARRY}])
@pytest.mark.parametrize("left", [1, 2, 4])
def test_a_record_goes_on_with_the_very_same_windows(
    play: dict[str, Any], left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    own, path = {**keywords_of("dqn", **play), "windows": 2}, tmp_path / "journal.jsonl"
    plan = [[A, B], [B, B], [A, A], [B, A], [B, B]]  # the third begins new lifetimes

    def live(count: int, *, resume: bool, record: str) -> list[Any]:
        envs: Any = gym.make_vec("ArchSearch-DQN-v0", num_envs=2, journal=record, resume=resume, **own)
        told = [envs.reset(seed=4)[0].tolist()]
        for actions in plan[:count]:
            observations, rewards, over, _, infos = envs.step(np.array(actions))
            told.append([observations.tolist(), rewards.tolist(), over.tolist(), infos.get("env_steps", over).tolist()])
        if count < len(plan):
            envs.unwrapped._lives.evaluator._file.close()  # as if it had been killed: nothing is written any more
            return told
        told.append(envs.unwrapped.evaluate([A, B], 1, [0, 1]).tolist())
        envs.close()
        return told

    straight = live(5, resume=False, record="")
    assert live(left, resume=False, record=str(path)) == straight[: left + 1]
    assert live(5, resume=True, record=str(path)) == straight
    assert path.with_suffix(".checkpoint.safetensors").exists() == ("inner_envs" not in play)
