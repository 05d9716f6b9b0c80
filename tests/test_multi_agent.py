"""The PettingZoo views: PettingZoo's own tests for real, and what the docstrings promise beyond them."""

import importlib
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from pettingzoo.env_registry.exceptions import NameNotFound
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)
from pettingzoo.test.save_obs_test import test_save_obs as save_obs_test
from pettingzoo.utils import aec_to_parallel, parallel_to_aec

from archgym.envs import multi_agent
from archgym.envs.team import possible_options
from archgym.search_space import SAMPLE_TRIES, Architecture, Constraint, Network, SearchSpace, max_params
from archgym.search_spaces import mlp, mlp_wide

ENTRY = "archgym.envs.single:ArchSearchEnv"
IDS = sorted(id for id, spec in gym.registry.items() if id.startswith("ArchSearch-") and spec.entry_point == ENTRY)
DQN = "ArchSearch-DQN-v0"
TOY = {"windows": 3, "envs_per_member": 2, "window_steps": 60}
LEARN = {"learning_starts": 16, "batch_size": 8}  # so that the short windows do train
SHORT_WINDOW = "window_steps=60 is shorter"
CREDITS = ("shared", "difference")
FORMS = ("parallel", "aec", "aec_to_parallel", "parallel_to_aec")
ACTIONS = ([0, 1, 2], [2, 0, 1], [2, 0, 1])

pytestmark = [pytest.mark.filterwarnings(f"ignore:{SHORT_WINDOW}"), pytest.mark.usefixtures("recorded")]


def make(form: str, id: str = DQN, **keywords: Any) -> Any:
    """Make any form; the converted ones by PettingZoo's own wrappers."""
    keywords = {**TOY, **(LEARN if id == DQN else {}), **keywords}
    if form == "aec_to_parallel":
        return aec_to_parallel(pettingzoo.make("aec", id, **keywords))
    if form == "parallel_to_aec":
        return parallel_to_aec(pettingzoo.make("parallel", id, **keywords))
    return pettingzoo.make(form, id, **keywords)


def single(**keywords: Any) -> Any:
    return gym.make(DQN, **{**TOY, **LEARN, **keywords}).unwrapped


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=SHORT_WINDOW)
        warnings.filterwarnings("ignore", message=".*precision lowered by casting")  # of EnvPool's spaces
        yield


def play(env: Any, form: str, options: Sequence[int]) -> tuple[Any, ...]:
    """Let the team decide once: rewards, terminations, infos, state; the same for any form."""
    agents = env.possible_agents
    if form in ("parallel", "aec_to_parallel"):
        _, rewards, over, never, infos = env.step(dict(zip(agents, options, strict=True)))
        rewards = dict(rewards)
    else:
        for agent, option in zip(agents, options, strict=True):
            assert env.agent_selection == agent
            env.step(option)
        rewards, over, never, infos = (
            dict(told) for told in (env.rewards, env.terminations, env.truncations, env.infos)
        )
        assert env._cumulative_rewards == rewards
    assert not any(never.values())
    return rewards, over, infos, env.state().tolist()


def same(one: Any, other: Any) -> None:
    """Compare what was told to the last bit."""
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


# PettingZoo's own tests


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("id", IDS)
def test_pettingzoos_tests_of_the_turn_by_turn_form_pass(id: str, credit: str) -> None:
    with no_warning():
        api_test(make("aec", id, credit=credit), num_cycles=10)
        api_test(make("parallel_to_aec", id, credit=credit), num_cycles=10)
        seed_test(lambda: make("aec", id, credit=credit), num_cycles=10)


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("id", IDS)
def test_pettingzoos_tests_of_the_parallel_form_pass(id: str, credit: str) -> None:
    with no_warning():
        parallel_api_test(make("parallel", id, credit=credit), num_cycles=10)
        parallel_api_test(make("aec_to_parallel", id, credit=credit), num_cycles=10)
        parallel_seed_test(lambda: make("parallel", id, credit=credit), num_cycles=10)


@pytest.mark.parametrize("id", IDS)
def test_pettingzoos_test_of_states_passes(id: str) -> None:
    with no_warning():
        state_test(make("aec", id), make("parallel", id))
        state_test(make("parallel_to_aec", id), make("aec_to_parallel", id))


@pytest.mark.parametrize("id", IDS)
def test_pettingzoos_test_of_the_horizon_passes_with_windows_for_max_cycles(id: str) -> None:
    """The horizon is called `windows` here, so the test gets makers that translate."""
    with no_warning():
        max_cycles_test(
            SimpleNamespace(
                parallel_env=lambda max_cycles: make("parallel", id, windows=max_cycles),
                env=lambda max_cycles: make("aec", id, windows=max_cycles),
            )
        )


def test_max_cycles_is_no_keyword_and_no_horizon() -> None:
    with pytest.raises(ValueError, match=r"unknown .*'max_cycles'"):
        make("parallel", max_cycles=3)
    env = make("parallel")
    env.max_cycles = 1  # parallel_api_test sets it
    env.reset(seed=0)
    assert [any(play(env, "parallel", options)[1].values()) for options in ACTIONS] == [False, False, True]


@pytest.mark.parametrize(("id", "credit"), [*((id, "shared") for id in IDS), (DQN, "difference")])
def test_pettingzoos_test_of_rendering_passes(id: str, credit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with no_warning():
        render_test(lambda render_mode: make("aec", id, credit=credit, render_mode=render_mode))
    assert "a new lifetime" in capsys.readouterr().out


def test_pettingzoos_test_of_saved_images_finds_none_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Observations are vectors and no images: the test then only prints that it saved none."""
    save_obs_test(make("aec"))
    assert "did not save the observations:  Observations must be 0 to 255" in capsys.readouterr().out
    assert not Path("saved_observations").exists()


# The registries


def test_the_ids_of_the_environment_are_pettingzoos_too() -> None:
    assert DQN in IDS
    for registry in (pettingzoo.parallel_registry, pettingzoo.aec_registry):
        assert sorted(id for id in registry if id.startswith("ArchSearch")) == IDS
    assert type(make("parallel")) is multi_agent.ArchSearchParallelEnv
    assert type(make("aec")) is multi_agent.ArchSearchAECEnv
    assert isinstance(multi_agent.env(**TOY), multi_agent.ArchSearchAECEnv)
    with pytest.raises(NameNotFound):
        pettingzoo.make("parallel", f"archgym.envs.multi_agent:{DQN}")


def test_without_pettingzoo_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    monkeypatch.delitem(sys.modules, "archgym.envs.multi_agent")
    with pytest.raises(ImportError, match=r"pip install 'archgym\[multiagent\]'"):
        importlib.import_module("archgym.envs.multi_agent")


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"credit": "differ"}, "unknown credit 'differ': .* Did you mean 'difference'"),
        ({"illegal": "penalize"}, "unknown .*illegal.* 'penalize': .* Did you mean 'penalise'"),
        ({"render_mode": "rgb"}, "render_mode: expected None or one of .* got 'rgb'"),
        ({"taks": "CartPole-v1"}, "unknown .*'taks'.* Did you mean 'task'"),
        ({"credit": "difference", "taks": "CartPole-v1"}, "unknown .*'taks'.* Did you mean 'task'"),
    ],
)
@pytest.mark.parametrize("form", ["parallel", "aec"])
def test_a_wrong_keyword_is_refused_with_the_nearest_right_one(
    form: str, keywords: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(form, **keywords)


# The same lifetime as in ArchSearchEnv


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("form", FORMS)
def test_same_seed_and_same_decisions_tell_the_story_of_the_single_environment(form: str, credit: str) -> None:
    alone, env = single(exact=True), make(form, exact=True, credit=credit)
    members = 4 if credit == "difference" else 1
    for seed in (3, None):  # the second lifetime goes on with the first one's stream
        alone.reset(seed=seed)
        env.reset(seed=seed)
        for number, options in enumerate(ACTIONS, start=1):
            observation, reward, over, _, info = alone.step(np.array(options))
            rewards, terminations, infos, state = play(env, form, options)
            assert set(terminations.values()) == {over} == {number == TOY["windows"]}
            assert all(type(value) is bool for value in terminations.values())
            same(state, observation.tolist())
            for agent in env.possible_agents:
                told = dict(infos[agent])
                assert told.pop("action_mask").tolist() == [1, 1, 1]
                same(told.pop("team_reward"), reward)
                assert told.pop("env_steps") == members * info["env_steps"]
                same(told, {name: value for name, value in info.items() if name != "env_steps"})
            if credit == "shared":
                same(rewards, dict.fromkeys(env.possible_agents, reward))


@pytest.mark.parametrize("id", IDS)
def test_a_lifetime_is_a_function_of_the_seed_and_the_decisions(id: str) -> None:
    told = []
    for seed in (0, 0, 1):
        env = make("parallel", id, credit="difference")
        env.reset(seed=seed)
        told.append([play(env, "parallel", options) for options in ([0] * env.num_agents, [1] * env.num_agents)])
    same(told[0], told[1])
    assert told[0][0][3] != told[2][0][3]


def test_reset_seeds_the_action_spaces_and_ignores_unknown_options() -> None:
    draws = []
    for seed in (5, 5, 6):
        env = make("aec")
        env.reset(seed=seed, options={"somebody": "else's"})
        draws.append([[int(env.action_space(agent).sample()) for _ in range(8)] for agent in env.agents])
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][0] != draws[0][1]


@pytest.mark.parametrize("form", ["parallel", "aec"])
def test_a_step_needs_a_lifetime_with_windows_left(form: str) -> None:
    env = make(form, windows=1)
    with pytest.raises(gym.error.ResetNeeded):
        env.state()
    for _ in range(2):
        with pytest.raises(gym.error.ResetNeeded):
            play(env, form, [0, 0, 0]) if form == "parallel" else env.step(0)
        env.reset(seed=0)
        play(env, form, [0, 0, 0])
        while form == "aec" and env.agents:
            env.step(None)
        assert env.agents == []


def test_agents_that_are_missing_or_unknown_are_refused() -> None:
    env = make("parallel", illegal="penalise")
    env.reset(seed=0)
    for actions, given in (({"choice_0": 0}, "choice_0"), ({}, "none"), (dict.fromkeys(["a", "b", "c"], 0), "a, b, c")):
        with pytest.raises(
            ValueError, match=f"one option of each of choice_0, choice_1, choice_2, got those of {given}"
        ):
            env.step(actions)


def test_a_journal_brings_a_team_back(tmp_path: Path) -> None:
    told = []
    for resume in (False, True):
        env = make("aec", credit="difference", journal=str(tmp_path / "journal.jsonl"), resume=resume)
        env.reset(seed=1)
        told.append([play(env, "aec", options) for options in ACTIONS[: 1 + resume]])
        env.close()
        env.close()  # twice does no harm
    same(told[0], told[1][:1])


# Spaces and observations


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("space", ["mlp", "mlp-wide"])
def test_all_agents_share_one_finite_layout(form: str, space: str) -> None:
    env = make(form, space=space)
    counts = env.unwrapped.search_space.counts
    base = single(space=space).observation_space
    assert env.possible_agents == [f"choice_{index}" for index in range(len(counts))]
    assert env.state_space == base
    for agent, count in zip(env.possible_agents, counts, strict=True):
        own = env.observation_space(agent)
        assert own is env.observation_space(agent)
        assert own == env.observation_space("choice_0")
        assert env.action_space(agent) is env.action_space(agent)
        assert env.action_space(agent) == gym.spaces.Discrete(count)
        assert own.dtype == np.float32
        assert own.shape == (base.shape[0] + len(counts) + sum(counts),)
        assert np.isfinite([own.low, own.high]).all()
    assert env.metadata["is_parallelizable"] is True


def test_an_agent_sees_who_it_is_and_what_was_decided_before_it() -> None:
    env = make("aec")
    env.reset(seed=0)
    size = env.state_space.shape[0]
    decided = [0] * 9
    for position, option in enumerate(ACTIONS[0]):
        observation, *_ = env.last()
        assert observation in env.observation_space(env.agent_selection)
        base, own, code = np.split(observation, [size, size + 3])
        same(base, env.state())
        assert own.tolist() == [float(index == position) for index in range(3)]
        assert code.tolist() == decided
        env.step(option)
        decided[3 * position + option] = 1
    assert not env.observe("choice_0")[size + 3 :].any()
    env.state()[:] = 0  # somebody else's copy
    assert env.state().any()


def test_parallel_agents_know_nothing_of_each_others_decisions() -> None:
    env = make("parallel")
    observations, _ = env.reset(seed=0)
    stepped = env.step(dict(zip(env.agents, ACTIONS[0], strict=True)))[0]
    for seen in (observations, stepped):
        own = np.stack([seen[agent] for agent in env.possible_agents])[:, env.state_space.shape[0] :]
        assert own.tolist() == np.eye(3, 12).tolist()


# Credit


@pytest.mark.parametrize("form", ["parallel", "aec"])
@pytest.mark.parametrize(
    ("keywords", "options", "replaced"),
    [
        ({}, [2, 1, 1], [[0, 1, 1], [2, 2, 1], [2, 1, 0]]),
        # four layers of the default's 128 units are too many, so choice_1 is compared with its first option
        ({"max_params": 20_000}, [2, 1, 2], [[0, 1, 2], [2, 0, 2], [2, 1, 0]]),
    ],
)
def test_difference_rewards_compare_with_the_default_option_from_the_same_state(
    form: str, keywords: dict[str, Any], options: list[int], replaced: list[list[int]]
) -> None:
    keywords = {
        **keywords,
        "exact": True,
        "start_e": 0.1,
        "cost_weight": 0.01,
    }  # so that every choice shows in the returns
    env, alone = make(form, credit="difference", **keywords), single(**keywords)
    env.reset(seed=4)
    alone.reset(seed=4)
    alone.step(np.array([1, 1, 1]))
    play(env, form, [1, 1, 1])
    instead = [alone.fork().step(np.array(other))[1] for other in replaced]
    reward = alone.step(np.array(options))[1]
    rewards, _, infos, _ = play(env, form, options)
    assert infos["choice_0"]["team_reward"] == reward
    assert rewards == {f"choice_{index}": reward - one for index, one in enumerate(instead)}
    assert len(set(rewards.values())) == 3


@pytest.mark.parametrize("exact", [True, False])
def test_choices_that_change_nothing_earn_nothing(exact: bool) -> None:
    env = make("parallel", space="mlp-wide", credit="difference", exact=exact)
    default = env.search_space.default_architecture
    for shallow in ([0, 1, 3, 3, 3, 0, 0, 1], default.tolist()):
        env.reset(seed=0)
        rewards, _, infos, _ = play(env, "parallel", shallow)
        idle = ["choice_2", "choice_3", "choice_4", "choice_7"] if shallow[0] == 0 else env.possible_agents
        assert {rewards[agent] for agent in idle} == {0.0}
        assert infos["choice_0"]["env_steps"] == 9 * 60


def test_a_team_of_difference_rewards_prints_one_line_per_window(capsys: pytest.CaptureFixture[str]) -> None:
    env = make("aec", credit="difference", render_mode="human")
    env.reset(seed=0)
    play(env, "aec", ACTIONS[0])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("window 1/3  depth=2 width=64 activation=elu")


# What is illegal

# the joint action, whose option is wrong, a legal one instead of it, and the sentence
WRONG: dict[str, tuple[list[Any], int, int, str]] = {
    "too large": ([0, 3, 0], 1, 0, "choice_1: .*width.* expected 0 to 2 .*got 3"),
    "negative": ([0, 0, -1], 2, 0, "choice_2: .*activation.* got -1"),
    "forbidden": ([2, 2, 0], 1, 1, "choice_1: .*width.*depth=4.*legal: 32, 64.*got 128"),
    "a fraction": ([0.5, 0, 0], 0, 0, "choice_0: .*depth.* expected an integer, got 0.5"),
    "truth": ([True, 0, 0], 0, 0, "choice_0: .* expected an integer, got True"),
}


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("form", ["parallel", "aec"])
@pytest.mark.parametrize("mistake", WRONG)
def test_an_illegal_joint_action_is_refused_and_nothing_is_lost(mistake: str, form: str, credit: str) -> None:
    options, position, instead, sentence = WRONG[mistake]
    legal = [*options[:position], instead, *options[position + 1 :]]
    told = []
    for mistaken in (False, True):
        env = make(form, max_params=20_000, credit=credit)
        env.reset(seed=1)
        first = play(env, form, [0, 1, 0])
        if mistaken:
            with pytest.raises(ValueError, match=sentence):
                play(env, form, options)
        if mistaken and form == "aec":  # the turn stays with the agent; the earlier ones have decided
            assert env.agent_selection == f"choice_{position}"
            for option in legal[position:]:
                env.step(option)
            second: tuple[Any, ...] = (env.rewards, env.terminations, env.infos, env.state().tolist())
        else:
            second = play(env, form, legal)
        told.append((first, second))
    same(*told)


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mistake", ["too large", "negative", "forbidden"])
def test_an_illegal_joint_action_is_penalised_and_uses_no_window(mistake: str, form: str, credit: str) -> None:
    options, _, _, sentence = WRONG[mistake]
    told = []
    for mistaken in (False, True):
        env = make(form, max_params=20_000, credit=credit, illegal="penalise", windows=2)
        env.reset(seed=1)
        story = [play(env, form, [0, 1, 0])]
        for _ in range(3 if mistaken else 0):
            rewards, over, infos, state = play(env, form, options)
            assert rewards == dict.fromkeys(env.possible_agents, -0.1)
            assert not any(over.values())
            assert state == story[0][3]
            for info in infos.values():
                assert info.keys() == {"illegal", "action_mask"}
                assert re.search(sentence, info["illegal"])
        story.append(play(env, form, [2, 0, 1]))
        told.append(story)
    same(*told)
    assert all(told[1][1][1].values())


def test_inactive_choices_take_any_option_and_none_has_an_effect() -> None:
    told = []
    for form in ("parallel", "aec"):
        for rest in ([3, 3, 3], [0, 0, 0]):
            env = make(form, space="mlp-wide", max_params=5000, exact=True)
            env.reset(seed=0)
            told.append(play(env, form, [0, 1, *rest, 1, 1, 1])[::3])
    for other in told[1:]:
        same(told[0], other)


# Masks


@pytest.mark.parametrize("form", FORMS)
def test_masks_show_what_leads_to_an_architecture(form: str) -> None:
    env = make(form, space="mlp-wide", max_params=850, windows=2)
    space: SearchSpace = env.unwrapped.search_space
    architectures = np.stack(list(space.enumerate()))
    every = {
        agent: [int(option in architectures[:, position]) for option in range(space.counts[position])]
        for position, agent in enumerate(env.possible_agents)
    }
    assert 0 in every["choice_1"]
    told = env.reset(seed=0)
    infos = told[1] if told else env.infos
    rng, chosen = np.random.default_rng(0), []
    assert {agent: info["action_mask"].tolist() for agent, info in infos.items()} == every
    if form == "aec":
        for position, agent in enumerate(env.possible_agents):
            mask = env.last()[4]["action_mask"]
            assert mask.dtype == np.int8
            after = architectures[(architectures[:, :position] == chosen).all(1)] if chosen else architectures
            assert mask.tolist() == [int(one in after[:, position]) for one in range(space.counts[position])]
            chosen.append(int(env.action_space(agent).sample(mask)))
            mask[:] = 0  # somebody else's copy
            env.step(chosen[-1])
        infos = env.infos
    else:
        chosen = space.sample(rng).tolist()
        for info in infos.values():
            info["action_mask"][:] = 0
        infos = play(env, form, chosen)[2]
    assert {agent: info["action_mask"].tolist() for agent, info in infos.items()} == every
    arrays = [info["action_mask"] for info in infos.values()]
    assert len({id(array) for array in arrays}) == len(arrays)


@pytest.mark.parametrize("space", [mlp.SPACE, mlp_wide.SPACE], ids=lambda space: space.name)
@pytest.mark.parametrize("limit", [None, 0, 100, 1000, 10**6, "odd"])
def test_the_possible_options_are_those_of_the_architectures(space: SearchSpace, limit: Any) -> None:
    if limit == "odd":
        wanted = Constraint("an odd sum above 14", lambda one: one.sum() % 2 == 1 and one.sum() >= len(one))
        space = space.constrained(wanted)
    elif limit is not None:
        smallest = space.network_of(np.zeros(len(space.choices), dtype=np.int64)).parameters(4, 2)
        space = space.constrained(max_params(space, smallest + limit, 4, 2))
    architectures = np.stack(list(space.enumerate()))
    for position, count in enumerate(space.counts):
        possible = possible_options(space, position)
        assert possible.dtype == np.int8
        assert possible.tolist() == [int(option in architectures[:, position]) for option in range(count)]


def test_masks_of_huge_spaces_under_a_limit_look_at_each_option_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, network_of = [], SearchSpace.network_of

    def counted(space: SearchSpace, architecture: Architecture) -> Network:
        looked.append(architecture)
        return network_of(space, architecture)

    monkeypatch.setattr(SearchSpace, "network_of", counted)
    env = make("parallel", "ArchSearch-Synthetic-v0", space="grid:30x10", max_params=6)
    _, infos = env.reset(seed=0)
    assert len(looked) <= 2 * SAMPLE_TRIES + 3 * sum(env.search_space.counts)  # two draws, and the masks
    assert infos["choice_29"]["action_mask"].tolist() == [1] * 6 + [0] * 4
    assert math.prod(env.search_space.counts) == 10**30


def test_rewards_are_plain_numbers() -> None:
    makers: list[Callable[[], Any]] = [lambda c=credit: make("parallel", credit=c) for credit in CREDITS]
    for maker in makers:
        env = maker()
        env.reset(seed=0)
        assert {type(reward) for reward in play(env, "parallel", ACTIONS[0])[0].values()} == {float}
