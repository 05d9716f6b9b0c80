"""Lifetimes on recorded tables: what is looked up, that training gives the same, and that agents see one half only."""

import copy
import json
import logging
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archgym
from archgym import table as tables
from archgym.envs import multi_agent, table_kernel, table_lives
from archgym.envs.core import Lives
from archgym.envs.table_lives import TableLives
from archgym.seeding import MANY, Consumer, words
from archgym.table import Table

ID = "ArchSearch-DQN-Tabular-v0"
MEMBERS = 7
FOLDER = Path(archgym.__file__).parent
Make = Callable[..., Table]

compiled = pytest.mark.skipif(
    table_kernel.library() is None, reason="lives.cpp was not built: no C++ compiler at installation"
)


@pytest.fixture(scope="module")
def planted(planted_table: Make) -> Table:
    """Learning curves of drawn numbers, some of learners that diverged: 27 architectures, 10 seeds, 6 windows."""
    table = planted_table(seeds=10, windows=6, ages=(2, 6))
    table.columns["diverged"][:] = np.random.default_rng(1).random(table.columns["diverged"].shape) < 0.1
    return table


@pytest.fixture(scope="module")
def path(planted: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("tables") / "planted.npz"
    tables.save(planted, file)
    return str(file)


def make(path: str, **keywords: Any) -> Any:
    return gym.make(ID, table=path, **{"windows": 6, **keywords}).unwrapped


def make_vec(path: str, members: int = MEMBERS, **keywords: Any) -> Any:
    return gym.make_vec(ID, num_envs=members, table=path, **{"windows": 6, **keywords})


def same(one: Any, other: Any) -> None:
    """Compare what two environments told to the last bit, types included."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        np.testing.assert_array_equal(one, other, strict=True)


def reference(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]) -> Any:
    """Make an environment as where nothing is compiled."""
    with monkeypatch.context() as patch:
        patch.setattr(table_kernel, "library", lambda: None)
        made = make()
    assert type(made.unwrapped._lives) is Lives
    return made


# What is looked up


def test_a_repeat_visit_continues_the_curve_of_that_architecture(path: str, planted: Table) -> None:
    env = make(path)
    env.reset(seed=3)
    curves, seen = env._lives.evaluator.draw([env._lives._seeds.item()])[0], {}
    for row in (4, 9, 4, 4, 9):
        window = seen[row] = seen.get(row, -1) + 1
        *_, info = env.step(planted.architectures[row])
        for name in ("raw_return", "episodes", "env_steps", "loss", "replay_fill", "diverged"):
            assert info[name] == planted.columns[name][row, curves[row], window]
        assert info["architecture"] == planted.space.label(planted.architectures[row])
        assert info["from_table"] is True
    assert max(curves) < 5


def test_beyond_its_record_an_architecture_repeats_its_last_window_at_its_price(path: str, planted: Table) -> None:
    with pytest.warns(UserWarning, match="windows=9 is more than the 6 that the table holds of an architecture"):
        env = make(path, windows=9)
    env.reset(seed=0)
    told = [env.step(planted.architectures[0])[-1] for _ in range(9)]
    assert told[4] != told[5]
    assert told[5] == told[6] == told[8]
    assert told[8]["env_steps"] == 400


def test_with_fresh_every_visit_is_a_first_window_of_some_seed(path: str, planted: Table) -> None:
    with pytest.warns(UserWarning, match=r"first of 6 recorded ones, on their schedule of 2,400 steps \(horizon\)"):
        env = make(path, transfer="fresh", windows=60)
    env.reset(seed=0)
    returns = [env.step(planted.architectures[5])[-1]["raw_return"] for _ in range(60)]
    assert set(returns) == set(planted.columns["raw_return"][5, :5, 0].tolist())


def test_several_recorded_windows_may_be_one(path: str, planted: Table) -> None:
    env = make(path, window_steps=800, windows=3)
    env.reset(seed=3)
    curves = env._lives.evaluator.draw([env._lives._seeds.item()])[0]
    for pair in (slice(0, 2), slice(2, 4), slice(4, 6)):
        *_, info = env.step(planted.architectures[4])
        own = {name: column[4, curves[4], pair] for name, column in planted.columns.items()}
        assert info["raw_return"] == own["raw_return"].mean()
        assert (info["episodes"], info["env_steps"]) == (own["episodes"].sum(), own["env_steps"].sum())
        assert (info["loss"], info["epsilon"]) == (own["loss"][-1], own["epsilon"][-1])
        assert info["diverged"] == own["diverged"].any()
    assert env.evaluate([planted.architectures[4]])[0] == planted.evaluations[4, curves[4], 1]  # after six windows
    with pytest.raises(ValueError, match="expected an architecture that was trained for 1 windows or more"):
        env.evaluate([planted.architectures[5]])  # the first ones are known after two, which are one here


def test_where_no_greedy_episodes_were_played_at_the_end_of_a_window_none_are_looked_up(
    planted_table: Make, tmp_path: Path
) -> None:
    tables.save(planted_table(windows=6, ages=(1, 4)), tmp_path / "a.npz")
    env = make(str(tmp_path / "a.npz"), window_steps=1200, windows=2)
    env.reset(seed=0)
    env.step([0, 0, 0])
    with pytest.raises(ValueError, match=r"evaluate: expected .* none was played at a multiple of window_steps=1,200"):
        env.evaluate([[0, 0, 0]])


@pytest.mark.filterwarnings("error")
def test_with_fresh_a_window_of_the_whole_record_is_a_training_from_one_of_the_search_seeds(
    path: str, planted: Table
) -> None:
    """As NAS-Bench answers queries: the reward is the area under the curve, and no schedule is another than live."""
    env = make(path, window_steps=2400, transfer="fresh", windows=40, reference_return=1e6)
    env.reset(seed=3)
    seen = {env.step(planted.architectures[7])[-1]["raw_return"] for _ in range(40)}
    assert seen == {float(own) for own in planted.columns["raw_return"][7, :5].mean(1)}
    whole = planted.merged(6)
    assert (whole.windows, whole.problem.window_steps, whole.card.ages) == (1, 2400, [1])
    assert whole.scores("area") == pytest.approx(planted.scores("area"))
    assert env.unwrapped.regret(planted.architectures[7]) == pytest.approx(
        (planted.truth().max() - planted.truth()[7]) * 452.7 / (1e6 - 22.3), rel=1e-6
    )


def test_a_lifetime_meets_curves_of_all_search_seeds_and_other_lifetimes_meet_others(path: str) -> None:
    env = make(path)
    drawn = env._lives.evaluator.draw(list(range(400)))
    assert drawn.shape == (400, 27)
    shares = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    assert np.abs(shares - 0.2).max() < 0.02
    assert len({tuple(curves) for curves in drawn.tolist()}) == 400


@pytest.mark.filterwarnings("ignore:transfer='fresh' on a table")
@given(st.integers(0, 2**32), st.sampled_from(["own", "fresh"]))
def test_agents_never_see_the_test_seeds(path: str, planted: Table, seed: int, transfer: str) -> None:
    other = Path(path).with_name("other.npz")
    if not other.exists():
        columns = {name: values.copy() for name, values in planted.columns.items()}
        for values in (columns["raw_return"], columns["loss"], columns["epsilon"]):
            values[:, 5:] = -1.0
        columns["diverged"][:, 5:] = True
        tables.save(Table(planted.card, planted.architectures, columns, planted.evaluations), other)
    told = []
    for file in (path, str(other)):
        env, rng = make(file, transfer=transfer), np.random.default_rng(seed)
        told.append([env.reset(seed=seed), *(env.step(rng.integers(0, 3, 3)) for _ in range(6))])
    same(*told)


def test_the_best_and_regret_stand_on_the_test_seeds(path: str, planted: Table) -> None:
    env = make(path)
    truth = planted.normalised[:, 5:].mean((1, 2))
    assert env.best().tolist() == planted.architectures[truth.argmax()].tolist()
    for row in (0, 13, 26):
        assert env.regret(planted.architectures[row]) == pytest.approx(truth.max() - truth[row])
    assert planted.normalised[:, :5].mean((1, 2)).argmax() != truth.argmax()


def test_greedy_episodes_are_those_of_the_last_age_that_was_reached(path: str, planted: Table) -> None:
    env = make(path)
    env.reset(seed=1)
    architecture = planted.architectures[8]
    for _ in range(3):
        env.step(architecture)
    curve = env._lives.evaluator.draw([env._lives._seeds.item()])[0][8]
    assert env.evaluate([architecture]).tolist() == [planted.evaluations[8, curve, 0]]
    with pytest.raises(ValueError, match=r"trained for 2 windows or more, when greedy .* has had 0"):
        env.evaluate([planted.architectures[9]])
    with pytest.raises(ValueError, match="episodes: expected 10, as the table was recorded, got 3"):
        env.evaluate([architecture], episodes=3)


def test_off_a_sampled_table_the_nearest_architecture_is_looked_up(planted_table: Make, tmp_path: Path) -> None:
    table = planted_table(rows=6, draw=2)
    tables.save(table, tmp_path / "sample.npz")
    env = make(str(tmp_path / "sample.npz"), windows=5)
    space = table.space
    for architecture in space.enumerate():
        env.reset(seed=0)
        *_, info = env.step(architecture)
        found = space.parse(info["architecture"])
        differences = (table.architectures != architecture).sum(1)
        assert (found != architecture).sum() == differences.min()
        near = table.sizes[differences == differences.min(), 0]
        own = space.network_of(architecture).parameters(4, 2)
        assert abs(np.log(info["parameters"] / own)) == pytest.approx(np.abs(np.log(near / own)).min())
        assert env.regret(architecture) == env.regret(found)


def test_off_a_sample_the_environment_looks_up_what_the_table_calls_the_nearest(
    planted_table: Make, tmp_path: Path
) -> None:
    table = planted_table(space="mlp-wide", rows=40)
    tables.save(table, tmp_path / "wide.npz")
    env = make(str(tmp_path / "wide.npz"), space="mlp-wide", windows=5)
    rng, off = np.random.default_rng(0), 0
    for _ in range(60):
        architecture = table.space.sample(rng)
        env.reset(seed=0)
        *_, info = env.step(architecture)
        assert info["architecture"] == table.space.label(table.architectures[table.nearest(architecture)])
        off += not table.is_valid(architecture)
    assert off > 50


def test_what_the_constraints_forbid_is_neither_looked_up_nor_the_best(path: str, planted: Table) -> None:
    limit = int(np.median(planted.sizes[:, 0]))
    env = make(path, max_params=limit)
    env.reset(seed=0)
    allowed = planted.sizes[:, 0] <= limit
    truth = np.where(allowed, planted.normalised[:, 5:].mean((1, 2)), -np.inf)
    assert env.best().tolist() == planted.architectures[truth.argmax()].tolist()
    with pytest.raises(ValueError, match=f"expected at most {limit} parameters"):
        env.step(planted.architectures[planted.sizes[:, 0].argmax()])


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"transfer": "shared"}, "transfer: expected 'own' or 'fresh' with a table, .* got 'shared'"),
        ({"reward": "evaluation"}, "reward: expected 'return' or 'improvement' with a table"),
        ({"share_weights": True}, "share_weights: expected networks that are trained, got a table"),
        ({"evaluation_steps": 5000}, "evaluation_steps: expected None or 0 with a table, .* got 5,000"),
        ({"window_steps": 1600}, "window_steps: expected 400, .* or several of its 6 windows .* of 2,400; got 1600"),
        ({"window_steps": 600}, "window_steps: expected 400, .* got 600"),
        ({"envs_per_member": 8}, "envs_per_member: expected 4, which the table was recorded with, got 8"),
        ({"horizon": 5}, "horizon: expected 2400, which the table was recorded with, got 5"),
        ({"task": "Acrobot-v1"}, "task: expected 'CartPole-v1', which the table was recorded with, got 'Acrobot-v1'"),
        ({"learning_rate": 1.0}, "learning_rate: the table was recorded with its default, got 1.0"),
        ({"table": ""}, "table: expected a file .* with an environment on recorded tables, got ''"),
        ({"table": 3}, r"table: expected a name, got 3\."),
        ({"table": None}, "with an environment on recorded tables, got None"),
        ({"device": "nonsense"}, "device: expected 'cpu' with a table, where .* nothing is computed, got 'nonsense'"),
        ({"learner": "native"}, "learner: expected 'auto' with a table, .* got 'native'"),
        ({"threads": 7}, "threads: expected 1 with a table, .* got 7"),
        ({"evaluation_episodes": 5}, "evaluation_episodes: expected 10 with a table, .* got 5"),
        ({"table": "nowhere.npz"}, "table: there is no file nowhere.npz"),
        ({"table": "dqn--mlp--CartPole-v7"}, "table: expected a file .* got 'dqn--mlp--CartPole-v7'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_table_cannot_answer_is_refused_with_a_sentence(
    path: str, keywords: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        gym.make(ID, **{"table": path, "windows": 6, **keywords})


@pytest.mark.parametrize("make", [gym.make, gym.make_vec, lambda id, **own: multi_agent.parallel_env(**own)])
def test_no_id_of_tables_trains_networks(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="table: expected a file"):
        make(ID, **{**gym.spec(ID).kwargs, "table": ""})


def test_what_means_nothing_on_a_table_may_be_given_as_it_is(path: str, planted: Table) -> None:
    given = {name: planted.card.settings[name] for name in ("device", "learner", "threads", "evaluation_episodes")}
    for exact in (True, False):  # recorded, and the default
        assert make(path, **given, exact=exact).problem.settings.exact is exact


def test_settings_of_the_trainer_are_compared_with_all_that_were_recorded(planted: Table, tmp_path: Path) -> None:
    trainer = "learning_rate=0.001 batch_size=128 tau=1.0 double=False"
    own = replace(planted.card, computed={"trainer": trainer})
    tables.save(Table(own, planted.architectures, planted.columns, planted.evaluations), tmp_path / "a.npz")
    kept: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 128, "tau": 1, "double": False}
    assert make(str(tmp_path / "a.npz"), **kept).problem.settings.trainer_settings == {}
    for name, value in {"learning_rate": 0.002, "batch_size": 64, "tau": 0.5, "double": True}.items():
        with pytest.raises(ValueError, match=rf"{name}: the table was recorded with {kept[name]}(\.0)?, got {value}\."):
            make(str(tmp_path / "a.npz"), **{name: value})
    for name, near in {"tabel": "table", "leaning_rate": "learning_rate", "windws": "windows"}.items():
        with pytest.raises(ValueError, match=rf"unknown environment keyword .* {name!r}: .* Did you mean {near!r}\?"):
            make(str(tmp_path / "a.npz"), **{name: 3})


def test_rewards_are_on_the_scale_of_the_record_unless_another_is_given(planted_table: Make, tmp_path: Path) -> None:
    table = planted_table(windows=6, random_return=10.0, reference_return=50.0)
    tables.save(table, tmp_path / "a.npz")
    env = make(str(tmp_path / "a.npz"))
    assert (env.problem.random_return, env.problem.reference_return) == (10.0, 50.0)
    assert env.regret([0, 0, 0]) == pytest.approx(table.regret([0, 0, 0]))
    env = make(str(tmp_path / "a.npz"), reference_return=90.0)
    assert (env.problem.random_return, env.problem.reference_return) == (10.0, 90.0)


def test_there_are_no_weights_to_take_away(path: str) -> None:
    env = make(path)
    env.reset(seed=0)
    assert env.trains is False
    with pytest.raises(ValueError, match="expected an environment that trains networks, got a recorded table"):
        env.export([0, 0, 0])


@pytest.fixture(scope="module")
def trained_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table of real training: 2 architectures, 4 seeds, 3 windows."""
    from archgym.table_tools.build import Build, build

    out = tmp_path_factory.mktemp("trained") / "own.npz"
    inner = ("learning_starts=16", "batch_size=8")
    sizes: dict[str, Any] = {"windows": 3, "window_steps": 240, "envs_per_member": 2, "sample": 2, "seeds": 4}
    return str(build(Build(**sizes, ages=(1, 3), episodes=1, inner=inner, out=out), "archgym table build"))


@pytest.fixture
def trained(trained_path: str) -> Table:
    return tables.load(trained_path)


LIVED = (0, 1, 1, 0, 0, 1)  # rows of `trained`, the windows of one lifetime
ROUNDED = ("loss", "value")  # of the infos: a table keeps these in single precision


@pytest.mark.filterwarnings("ignore:windows=6 is more than", "ignore:window_steps=240 is shorter")
def test_a_live_run_with_own_is_the_recorded_one_step_for_step(trained: Table, trained_path: str) -> None:
    seeds = trained.card.seeds[:2]
    settings = {**trained.card.settings, "windows": 6, "horizon": 720}  # the card's own horizon: its windows' steps
    twins = gym.make_vec("ArchSearch-DQN-v0", num_envs=2, **settings), make_vec(trained_path, 2)
    seen = [envs.reset(options={"lifetime_seeds": seeds})[0] for envs in twins]
    np.testing.assert_array_equal(*seen)
    windows = [0, 0]
    for row in LIVED:
        told = [envs.step(trained.architectures[[row, row]]) for envs in twins]
        (seen, rewards, over, _, infos), (also_seen, also_rewards, also_over, _, looked_up) = told
        np.testing.assert_allclose(seen, also_seen, rtol=0, atol=1e-6)  # what is rounded is in there
        np.testing.assert_array_equal(rewards, also_rewards)
        np.testing.assert_array_equal(over, also_over)
        assert list(infos) == list(looked_up)
        for name in set(infos) - {"from_table"}:
            own = infos[name].astype(np.float32) if name in ROUNDED else infos[name]
            np.testing.assert_array_equal(own, looked_up[name], name)
        assert infos["raw_return"].tolist() == trained.columns["raw_return"][row, :2, windows[row]].tolist()
        windows[row] += 1
    assert windows == [3, 3]
    assert over.all()


@pytest.mark.filterwarnings("ignore:windows=6 is more than")
def test_the_same_seed_alone_means_other_lifetimes_on_a_table(trained: Table, trained_path: str) -> None:
    env, returns = make(trained_path), []
    for how in ({"seed": 1}, {"seed": 1, "options": {"lifetime_seed": trained.card.seeds[0]}}):
        env.reset(**how)
        returns.append([env.step(trained.architectures[row])[-1]["raw_return"] for row in LIVED])
    met = env._lives.evaluator.draw([lifetime_of(1)])[0].tolist()
    assert returns[0] == returns_on(trained, met)
    assert returns[1] == returns_on(trained, [0, 0])


def lifetime_of(seed: int) -> int:
    """Draw the seed of the first lifetime after `reset(seed=seed)`."""
    return int(np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))).integers(2**63))


def returns_on(table: Table, curves: list[int]) -> list[float]:
    """Look up the windows of `LIVED` by hand."""
    found, windows = [], [0, 0]
    for row in LIVED:
        found.append(table.columns["raw_return"][row, curves[row], windows[row]].item())
        windows[row] += 1
    return found


VIEWS = ("single", "vector", "sequential", "sequential vector", "editing", "editing vector", "parallel", "aec")


def story(view: str, path: str, seed: int, more: dict[str, Any]) -> list[float]:
    """Live a recorded lifetime in a view; gives the raw returns of 4 windows of architectures along one choice."""
    from archgym.envs.editing import EditingEnv, EditingVectorEnv

    rows = [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 0]]
    one, many = {"lifetime_seed": seed}, {"lifetime_seeds": [seed, None]}
    if view in ("single", "sequential", "editing"):
        env: Any = gym.make(ID.replace("-v0", "-Sequential-v0") if view == "sequential" else ID, table=path, windows=4)
        env = EditingEnv(env, start="depth=2 width=32 activation=elu") if view == "editing" else env
        env.reset(options={**more, **one})
        edits = [[6], [7], [8], [6]]  # of the third choice
        actions = {"single": [[row] for row in rows], "sequential": rows, "editing": edits}[view]
        return [[env.step(np.array(action))[-1] for action in own][-1]["raw_return"] for own in actions]
    if "vector" in view:
        envs: Any = gym.make_vec(
            ID.replace("-v0", "-Sequential-v0") if "seq" in view else ID, num_envs=2, table=path, windows=4
        )
        envs = EditingVectorEnv(envs, start="depth=2 width=32 activation=elu") if "edi" in view else envs
        envs.reset(options={**more, **many})
        actions = {"v": [[row] for row in rows], "s": rows, "e": [[6], [7], [8], [6]]}[view[0]]
        return [[envs.step(np.array([one, one]))[-1] for one in own][-1]["raw_return"][0].item() for own in actions]
    team: Any = (multi_agent.parallel_env if view == "parallel" else multi_agent.env)(
        table=path, trainer="dqn", transfer="own", windows=4, credit="difference"
    )
    team.reset(options={**more, **one})
    found = []
    for row in rows:
        if view == "parallel":
            *_, infos = team.step(dict(zip(team.possible_agents, row, strict=True)))
        else:
            for option in row:
                team.step(option)
            infos = team.infos
        found.append(infos["choice_0"]["raw_return"])
    return found


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_lives_a_recorded_lifetime_by_its_seed(view: str, path: str, planted: Table) -> None:
    for place in (0, 4):
        told = story(view, path, planted.card.seeds[place], {"unknown": 1})
        recorded, rows = planted.columns["raw_return"][:, place], [planted.index([0, 0, last]) for last in range(3)]
        assert told == [recorded[rows[0], 0], recorded[rows[1], 0], recorded[rows[2], 0], recorded[rows[0], 1]]


def test_only_lifetimes_that_begin_are_given_and_the_others_are_drawn_as_ever(path: str, planted: Table) -> None:
    seed, zeros = planted.card.seeds[2], np.zeros((MEMBERS, 3), dtype=np.int64)
    envs, others = make_vec(path, windows=2), make_vec(path, windows=2)
    for one in (envs, others):
        one.reset(seed=3)
        one.step(zeros)
    mask = np.arange(MEMBERS) < 2
    envs.reset(options={"reset_mask": mask, "lifetime_seeds": [seed, None, *[seed] * (MEMBERS - 2)]})
    others.np_random[1].integers(2**63)  # the only member that drew a lifetime
    told = envs.step(zeros)[-1]["raw_return"]
    assert told[0] == planted.columns["raw_return"][0, 2, 0]
    went_on = others.step(zeros)[-1]["raw_return"]
    assert told[2:].tolist() == went_on[2:].tolist()
    stands = [[str(one.bit_generator.state) for one in both.np_random] for both in (envs, others)]
    assert stands[0] == stands[1]


def test_a_given_lifetime_is_in_the_journal_and_in_copies(trained: Table, path: str, tmp_path: Path) -> None:
    for made in (
        lambda **keywords: make(path, **keywords),
        lambda **keywords: gym.make("ArchSearch-Synthetic-v0", space="grid:3x3", windows=6, **keywords).unwrapped,
    ):
        record = tmp_path / f"{made(journal='').problem.settings.trainer}.jsonl"
        seed = tables.load(path).card.seeds[1]
        env = made(journal=str(record))
        env.reset(seed=5, options={"lifetime_seed": seed})
        actions = np.random.default_rng(0).integers(0, 3, (6, 3))
        told = [env.step(action) for action in actions[:3]]
        copies = [env.fork(), made()]
        copies[1].reset(seed=0)
        copies[1].set_state(env.get_state())
        env.close()
        assert json.loads(record.read_text().splitlines()[1])["seeds"] == [seed]
        again = made(journal=str(record), resume=True)
        again.reset(seed=5, options={"lifetime_seed": seed})
        same([again.step(action) for action in actions[:3]], told)
        rest = [again.step(action) for action in actions[3:]]
        for copy_ in copies:
            same([copy_.step(action) for action in actions[3:]], rest)
        same(again.reset()[0], copies[0].reset()[0])
        same(again.step(actions[0]), copies[0].step(actions[0]))  # the lifetimes behind it are drawn alike
        again.close()
        with pytest.raises(ValueError, match="call 0 of the agent is seeds="):
            made(journal=str(record), resume=True).reset(seed=5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lifetime_seed": 7}, r"lifetime_seed: expected a search seed of the table \(\d+, .*\), got 7\."),
        ({"lifetime_seed": "test"}, r"got \d+, which is one of its test seeds: no search sees these\."),
        ({"lifetime_seed": 1.0}, r"lifetime_seed: expected an integer from 0 to 2\*\*63 - 1, got 1\.0\."),
        ({"lifetime_seed": True}, "got True"),
        ({"lifetime_seed": -1}, "got -1"),
        ({"lifetime_seed": 2**63}, "got 9223372036854775808"),
        ({"lifetime_seeds": [1]}, "lifetime_seeds: expected lifetime_seed, one integer, for a single lifetime"),
    ],
    ids=str,
)
@pytest.mark.parametrize("view", ["single", "sequential", "editing", "team"])
def test_a_lifetime_that_is_not_recorded_for_searches_is_refused_and_nothing_begins(
    path: str, planted: Table, view: str, options: dict[str, Any], sentence: str
) -> None:
    from archgym.envs.editing import EditingEnv

    options = {name: planted.card.seeds[7] if value == "test" else value for name, value in options.items()}
    env: Any = {
        "single": lambda: gym.make(ID, table=path, windows=6),
        "sequential": lambda: gym.make(ID.replace("-v0", "-Sequential-v0"), table=path, windows=6),
        "editing": lambda: EditingEnv(gym.make(ID, table=path, windows=6), start="random"),
        "team": lambda: multi_agent.parallel_env(table=path, trainer="dqn", transfer="own", windows=6),
    }[view]()
    env.reset(seed=1)
    before = generators(env)
    with pytest.raises(ValueError, match=sentence):
        env.reset(seed=2, options=options)
    assert generators(env) == before


def generators(env: Any) -> list[str]:
    """Tell how the generators of a view stand."""
    if hasattr(env, "base"):
        own = [env.base.np_random, *(env.action_space(agent).np_random for agent in env.possible_agents)]
    else:
        own = [env.unwrapped.np_random, env.action_space.np_random]
        own += [env._generator] if hasattr(env, "_generator") else []
    return [str(generator.bit_generator.state) for generator in own]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lifetime_seed": 7}, "lifetime_seed: expected lifetime_seeds, one .* for each of the 7 members"),
        ({"lifetime_seeds": 7}, "lifetime_seeds: expected one .* for each of the 7 members, got 7"),
        ({"lifetime_seeds": [1, 2]}, "lifetime_seeds: expected one .* for each of the 7 members, got 2"),
        ({"lifetime_seeds": [None] * 6 + [3]}, "lifetime_seed: expected a search seed of the table"),
        ({"lifetime_seeds": [None] * 6 + ["a"]}, "lifetime_seed: expected an integer from 0 .* got 'a'"),
    ],
    ids=str,
)
def test_lifetimes_of_members_that_do_not_fit_are_refused(path: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_vec(path).reset(options=options)


@pytest.mark.filterwarnings("ignore:transfer='fresh' on a table")
def test_with_fresh_no_lifetime_can_be_asked_for(path: str, planted: Table) -> None:
    with pytest.raises(ValueError, match=r"lifetime_seed: expected none with transfer='fresh' on a table, .* got"):
        make(path, transfer="fresh").reset(options={"lifetime_seed": planted.card.seeds[0]})


# The compiled kernel against the reference


@compiled
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"reward": "improvement", "cost_weight": 0.3},
        {"transfer": "fresh", "windows": 9},
        {"windows": 14, "cost_weight": 1.0, "reference_return": 100.0},
        {"max_params": 20_000},
        {"window_steps": 800, "windows": 3},
        {"window_steps": 2400, "transfer": "fresh", "windows": 9},
    ],
    ids=lambda keywords: "-".join(keywords) or "default",
)
@pytest.mark.filterwarnings("ignore:windows=14 is more", "ignore:transfer='fresh' on a table")
def test_the_kernel_tells_what_the_reference_tells(
    path: str, monkeypatch: pytest.MonkeyPatch, keywords: dict[str, Any]
) -> None:
    fast, plain = make_vec(path, **keywords), reference(monkeypatch, lambda: make_vec(path, **keywords))
    assert type(fast._lives) is TableLives
    rng, states = np.random.default_rng(0), []
    same(fast.reset(seed=5), plain.reset(seed=5))
    for step in range(45):
        if step % 13 == 6:
            mask = rng.random(MEMBERS) < 0.4
            mask[0] = True
            same(*(envs.reset(options={"reset_mask": mask}) for envs in (fast, plain)))
        if step % 11 == 3:
            source, target = rng.integers(MEMBERS, size=2).tolist()
            for envs in (fast, plain):
                envs.fork(source, target)
        if step % 7 == 3:
            assert fast.histories == plain.histories
        if step == 20:
            states = [envs.get_state() for envs in (fast, plain)]
            assert states[0].meta == states[1].meta
        if step == 30:
            for envs, state in zip((fast, plain), states, strict=True):
                envs.set_state(replace(state, meta=json.loads(json.dumps(state.meta))))
        actions = np.stack([fast.search_space.sample(rng) for _ in range(MEMBERS)])
        actions[:, :] = 0 if step % 5 else actions  # visit one of them beyond the end of its record
        same(fast.step(actions), plain.step(actions))


@compiled
def test_a_forked_learner_goes_on_in_the_kernel_as_in_the_reference(
    path: str, planted: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, plain = make_vec(path), reference(monkeypatch, lambda: make_vec(path))
    actions = planted.architectures[[3, 4] * 3 + [3]]
    for envs in (fast, plain):
        envs.reset(seed=1)
        envs.step(actions)
        envs.step(actions)
        envs.fork(0, 1, actions[0])
    for _ in range(3):
        same(*(envs.step(planted.architectures[[3] * MEMBERS]) for envs in (fast, plain)))
    with pytest.raises(ValueError, match="fork: expected an architecture that member 0 has trained"):
        fast.fork(0, 1, planted.architectures[20])


@compiled
@pytest.mark.parametrize("id", [ID, "ArchSearch-DQN-Tabular-Sequential-v0"])
def test_a_single_environment_tells_what_the_reference_tells(
    id: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one() -> Any:
        return gym.make(id, table=path, windows=6, illegal="penalise") if "Seq" in id else gym.make(id, table=path)

    fast, plain = one(), reference(monkeypatch, one)
    rng = np.random.default_rng(0)
    same(fast.reset(seed=2), plain.reset(seed=2))
    for _ in range(80):
        action = rng.integers(4) if "Seq" in id else rng.integers(0, 3, 3)
        told = [env.step(action) for env in (fast, plain)]
        same(*told)
        if told[0][2]:
            assert fast.unwrapped.history == plain.unwrapped.history
            same(fast.reset(), plain.reset())
    copies = [env.unwrapped.fork() for env in (fast, plain)]
    same(*(copy.get_state().meta for copy in copies))


@compiled
@pytest.mark.parametrize("members", [1, 3])
def test_the_kernel_refuses_what_the_reference_refuses(
    path: str, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    both = [make_vec(path, members), reference(monkeypatch, lambda: make_vec(path, members))]
    good = np.zeros((members, 3), dtype=np.int64)
    wrong: list[Any] = [good - 1, good + 3, good.astype(float), good[:, :2], good.astype(bool)]
    for actions in wrong:
        said = []
        for envs in both:
            envs.reset(seed=0)
            with pytest.raises(ValueError, match="architecture of 'mlp': expected") as refusal:
                envs.step(actions)
            said.append(str(refusal.value))
        assert said[0] == said[1]
    for kind in (np.int32, np.uint8, np.uint64):
        same(*(envs.step(good.astype(kind)) for envs in both))
    assert both[0].histories == both[1].histories  # what was refused has left no trace


@compiled
def test_a_space_with_too_many_option_vectors_for_an_array_is_looked_up_all_the_same(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_vec(path)
    with monkeypatch.context() as patch:
        patch.setattr(table_lives, "CODES", 26)
        envs = make_vec(path)
    same(envs.reset(seed=0), plain.reset(seed=0))
    for actions in np.random.default_rng(0).integers(0, 3, (6, MEMBERS, 3)):
        same(envs.step(actions), plain.step(actions))


def test_what_an_environment_told_stays_as_it_was(path: str) -> None:
    envs, env = make_vec(path), make(path)
    observations, _ = envs.reset(seed=0)
    told = envs.step(np.zeros((MEMBERS, 3), dtype=np.int64))
    kept = (
        observations.copy(),
        told[0].copy(),
        told[1].copy(),
        {name: value.copy() for name, value in told[4].items()},
    )
    envs.step(np.ones((MEMBERS, 3), dtype=np.int64))
    same(kept, (observations, told[0], told[1], told[4]))
    env.reset(seed=0)
    observation, _, _, _, info = env.step([0, 0, 0])
    info["raw_return"], observation[:] = None, np.nan
    env.reset(seed=0)
    observation, _, _, _, info = env.step([0, 0, 0])
    assert info["raw_return"] is not None
    assert np.isfinite(observation).all()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_alike_and_by_itself(path: str, again: Callable[[Any], Any]) -> None:
    for env, actions in ((make(path), np.zeros(3, int)), (make_vec(path), np.zeros((MEMBERS, 3), int))):
        env.reset(seed=0)
        env.step(actions)
        other = again(env)
        told = env.step(actions), env.step(actions + 1)
        same((other.step(actions), other.step(actions + 1)), told)


def test_where_nothing_is_compiled_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(archgym, "__file__", str(tmp_path / "__init__.py"))
    with caplog.at_level(logging.WARNING, logger="archgym"):
        assert table_kernel.library.__wrapped__() is None
        assert "lives.cpp is missing (there was no C++ compiler" in caplog.text
        (tmp_path / "native").mkdir()
        own = next(iter(FOLDER.glob("native/_lives*.so")), None)
        if own is not None:  # as it is after an update that was not installed
            (tmp_path / "native" / own.name).write_bytes(own.read_bytes())
            monkeypatch.setattr(table_kernel, "VERSION", table_kernel.VERSION + 1)
            assert table_kernel.library.__wrapped__() is None
            assert "archgym has changed since it was installed; install it again" in caplog.text


def test_a_journal_records_every_step_and_resumes(path: str, tmp_path: Path) -> None:
    record = tmp_path / "journal.jsonl"
    actions = np.random.default_rng(0).integers(0, 3, (6, 3))
    env = make(path, journal=str(record))
    assert type(env._lives) is Lives
    told = [env.reset(seed=4), *(env.step(action) for action in actions[:3])]
    env.close()
    assert len(record.read_text().splitlines()) == 1 + 1 + 3  # header, reset, windows
    again = make(path, journal=str(record), resume=True)
    same([again.reset(seed=4), *(again.step(action) for action in actions[:3])], told)
    plain = make(path)
    same([plain.reset(seed=4), *(plain.step(action) for action in actions)][4:], [again.step(a) for a in actions[3:]])


@given(st.lists(st.integers(0, 2**64 - 1), min_size=MANY, max_size=40), st.integers(1, 30))
def test_words_of_many_seeds_are_those_of_each_seeds_own_sequence(seeds: list[int], count: int) -> None:
    drawn = words(seeds, Consumer.TABLE, 3, count=count)
    assert drawn.dtype == np.uint32
    for seed, own in zip(seeds, drawn, strict=True):
        sequence = np.random.SeedSequence(seed, spawn_key=(Consumer.TABLE, 3))
        assert own.tolist() == sequence.generate_state(count, np.uint32).tolist()


# From outside


def test_neither_torch_nor_envpool_is_loaded(path: str) -> None:
    code = (
        f"import sys, gymnasium as gym\n"
        f"for id in ('{ID}', 'ArchSearch-DQN-Tabular-Sequential-v0'):\n"
        f"    env = gym.make('archgym:' + id, table={path!r}, windows=6)\n"
        f"    env.reset(seed=0); env.step(env.action_space.sample())\n"
        f"    envs = gym.make_vec('archgym:' + id, num_envs=3, table={path!r}, windows=6)\n"
        f"    envs.reset(seed=0); envs.step(envs.action_space.sample())\n"
        f"env.unwrapped.best()\n"
        f"print(sorted({{'torch', 'envpool', 'scipy', 'matplotlib'}} & set(sys.modules)))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ARCHGYM_JOURNAL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_a_search_needs_the_id_and_no_other_flag(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archgym.__main__ import main

    words = ["search", "random-search", "--env-id", ID, "--table", path, "--windows", "6"]
    out = ["--out", str(tmp_path / "run")]
    main([*words, *out])
    said = capsys.readouterr().out
    regret = re.search(r"Regret of the first, on the table's test seeds: (\d\.\d+)\.", said)
    assert regret
    assert "windows/s looked up, nothing trained" in said
    assert "steps/s" not in said
    page = (tmp_path / "run" / "report.html").read_text()
    recorded = f"on the recorded table {path}, where every architecture has a curve of its own"
    assert recorded in page
    assert "Nothing was trained: 6 recorded windows of " in page
    assert "architectures trained" not in page
    assert f"<dt>Regret</dt><dd>{regret[1]}<small>distance of " in page
    assert ", recommended first, to the best architecture of the table" in page
    files = {file.name for file in (tmp_path / "run").iterdir()}
    assert {"config.json", "journal.jsonl", "recommendation.json", "report.html"} <= files
    assert "best.safetensors" not in files
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"]["transfer"] == "own"
    found = (tmp_path / "run" / "recommendation.json").read_text()
    main([*words, *out, "--resume"])
    assert (tmp_path / "run" / "recommendation.json").read_text() == found
    for more, sentence in (
        (["--retrain", "5000"], "--retrain: expected an environment that trains networks, got a recorded table"),
        (["--transfer", "shared"], "transfer: expected 'own' or 'fresh' with a table"),
        (["--evaluation-steps", "5000"], "evaluation_steps: expected None or 0 with a table"),
    ):
        with pytest.raises(SystemExit):
            main([*words, *more, "--out", str(tmp_path / "none")])
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


def test_a_search_on_a_table_loads_no_torch(path: str, tmp_path: Path) -> None:
    words = ["search", "random-search", "--env-id", ID, "--table", path, "--windows", "3", "--out", str(tmp_path / "a")]
    code = (
        f"import sys\nfrom archgym.__main__ import main\nmain({words!r})\n"
        "print(sorted({'torch', 'envpool'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("command", ["search", "compare"])
@pytest.mark.parametrize("view", ["", "-Sequential"])
def test_a_table_on_an_id_that_trains_is_refused_with_the_id_that_does_not(
    command: str, view: str, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from archgym.__main__ import main

    words = [command, "random-search", "--env-id", f"ArchSearch-DQN{view}-v0", "--table", path]
    with pytest.raises(SystemExit):
        main([*words, "--out", str(tmp_path / "none")])
    told = f"with it (--env-id ArchSearch-DQN-Tabular{view}-v0), got ArchSearch-DQN{view}-v0, which trains networks."
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none").exists()
