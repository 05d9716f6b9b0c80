"""The sequential view: one choice at a time, masks, illegal actions, and the very lifetimes of the other views."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archgym  # noqa: F401  (registers the ids)
from archgym import drafts
from archgym.envs.draft import ILLEGAL_PENALTY, Draft
from archgym.search_space import max_params
from archgym.search_spaces.mlp import SPACE as MLP
from archgym.search_spaces.mlp_wide import SPACE as WIDE

BASES = sorted(id for id in gym.registry if id.startswith("ArchSearch-") and "Sequential" not in id)
SIZES = {"windows": 3, "envs_per_member": 1, "window_steps": 625}
SETTINGS = {
    "dqn": {"learning_starts": 16, "batch_size": 8, "train_frequency": 50},
    "pqn": {"num_steps": 200, "update_epochs": 1},
    "ppo": {"num_steps": 200, "update_epochs": 1},
    "synthetic": {"noise": 0.2},
}
SMALL = {"space": "mlp-wide", "max_params": 1500}  # constraints and inactive choices

pytestmark = pytest.mark.usefixtures("recorded")


def sequential(id: str) -> str:
    return id.removesuffix("-v0") + "-Sequential-v0"


def make(id: str, **keywords: Any) -> gym.Env[Any, Any]:
    return gym.make(id, **{**SIZES, **SETTINGS[gym.spec(id).kwargs["trainer"]], **keywords})


def make_vec(id: str, members: int, **keywords: Any) -> Any:
    own = {**SIZES, **SETTINGS[gym.spec(id).kwargs["trainer"]], **keywords}
    return gym.make_vec(id, num_envs=members, **own)


def drawn(env: Any, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([env.unwrapped.search_space.sample(rng) for _ in range(count)])


# The same problem


@pytest.mark.parametrize("keywords", [{}, SMALL], ids=["free", "constrained"])
@pytest.mark.parametrize("id", BASES)
def test_the_same_seed_and_decisions_give_the_same_rewards_as_whole_architectures(
    id: str, keywords: dict[str, Any]
) -> None:
    whole, parts = make(id, **keywords), make(sequential(id), **keywords)
    first, _ = whole.reset(seed=11)
    begin, info = parts.reset(seed=11)
    size = len(first)
    np.testing.assert_array_equal(begin[:size], first)
    for architecture in drawn(whole, 3):
        observation, reward, terminated, _, told = whole.step(architecture)
        for option in architecture[:-1]:
            assert info["action_mask"][option]
            seen, earned, over, truncated, info = parts.step(option)
            assert (earned, over, truncated) == (0.0, False, False)
            assert set(info) == {"action_mask"}
        seen, earned, over, _, info = parts.step(architecture[-1])
        assert (earned, over) == (reward, terminated)
        assert {name: value for name, value in info.items() if name != "action_mask"} == told
        np.testing.assert_array_equal(seen[:size], observation)


@pytest.mark.parametrize("id", BASES)
def test_a_member_of_the_vector_form_lives_the_single_form_s_lifetime(id: str) -> None:
    envs = make_vec(sequential(id), 3, exact=True, **SMALL)
    singles = [make(sequential(id), exact=True, **SMALL) for _ in range(3)]
    observations, infos = envs.reset(seed=[5, 6, 7])
    alone = [env.reset(seed=seed) for env, seed in zip(singles, (5, 6, 7), strict=True)]
    plans = [drawn(env, 3, seed).ravel() for seed, env in enumerate(singles)]
    for decisions in zip(*plans, strict=True):
        for member in range(3):
            np.testing.assert_array_equal(observations[member], alone[member][0])
            np.testing.assert_array_equal(infos["action_mask"][member], alone[member][-1]["action_mask"])
        observations, rewards, terminations, truncations, infos = envs.step(np.array(decisions))
        alone = [env.step(option) for env, option in zip(singles, decisions, strict=True)]
        assert rewards.tolist() == [one[1] for one in alone]
        assert terminations.tolist() == [one[2] for one in alone]
        assert not truncations.any()
    assert terminations.all()
    assert infos["_env_steps"].all()
    assert infos["architecture"].tolist() == [one[-1]["architecture"] for one in alone]


def test_members_out_of_step_live_their_own_lifetimes() -> None:
    id = "ArchSearch-Synthetic-Sequential-v0"
    envs, single = make_vec(id, 2, illegal="penalise"), make(id, illegal="penalise")
    envs.reset(seed=[3, 4])
    single.reset(seed=4)
    late = [2, 99, 1, 0, 2, 2, 99, 1, 0, 0, 0]  # 99 is no option of mlp: two penalties in nine decisions
    for option in late:
        _, rewards, terminations, _, _ = envs.step([0, option])
        _, reward, terminated, _, _ = single.step(option)
        assert (rewards[1], terminations[1]) == (reward, terminated)
    assert terminated


def test_an_ended_member_begins_anew_and_its_action_is_ignored() -> None:
    envs = make_vec("ArchSearch-Synthetic-Sequential-v0", 2, windows=1)
    first, _ = envs.reset(seed=1)
    for _ in range(3):
        _, _, terminations, _, _ = envs.step([0, 0])
    assert terminations.all()
    observations, rewards, terminations, _, infos = envs.step([99, 99])
    assert not terminations.any()
    assert not rewards.any()
    assert "env_steps" not in infos
    np.testing.assert_array_equal(observations, first)


# Masks and illegal actions


@pytest.mark.parametrize(("space", "largest"), [("mlp", 3), ("mlp-wide", 4), ("grid:2x7", 7)])
def test_an_action_is_one_of_the_largest_number_of_options(space: str, largest: int) -> None:
    id = "ArchSearch-Synthetic-Sequential-v0"
    env, envs = make(id, space=space), make_vec(id, 2, space=space)
    assert env.action_space == envs.single_action_space == gym.spaces.Discrete(largest)
    _, info = env.reset(seed=0)
    assert info["action_mask"].shape == (largest,)


def test_the_mask_shows_exactly_what_leads_to_an_architecture() -> None:
    env = make("ArchSearch-Synthetic-Sequential-v0", **SMALL)
    space = env.unwrapped.search_space
    _, info = env.reset(seed=0)
    for architecture in drawn(env, 3, seed=4):
        for position in range(len(architecture)):
            mask = info["action_mask"]
            own = space.mask(architecture[:position])
            assert mask.dtype == np.int8
            assert mask[: len(own)].tolist() == own.tolist()
            assert not mask[len(own) :].any()
            np.testing.assert_array_equal(env.unwrapped.action_masks(), mask.astype(bool))
            mask[:] = 7  # a fresh copy: nothing else changes
            assert env.unwrapped.action_masks()[: len(own)].tolist() == own.astype(bool).tolist()
            assert env.unwrapped._draft.mask().max() == 1
            _, _, _, _, info = env.step(architecture[position])


@given(st.data())
def test_following_the_masks_always_ends_in_an_architecture(data: st.DataObject) -> None:
    limit = data.draw(st.integers(150, 4000))
    space = WIDE.constrained(max_params(WIDE, limit, 4, 2))
    draft = Draft(space)
    while not draft.complete:
        option = data.draw(st.sampled_from(np.flatnonzero(draft.mask()).tolist()))
        assert draft.refusal(option) is None
        draft.decide(option)
    assert space.canonical(draft.architecture).tolist() == draft.prefix


def test_an_inactive_choice_takes_any_of_its_options_and_has_no_effect() -> None:
    draft = Draft(WIDE)
    draft.decide(0)  # one layer
    draft.decide(1)
    assert WIDE.choices[2].name == "width_2"
    assert draft.mask().tolist() == [1, 0, 0, 0]
    assert draft.refusal(3) is None
    draft.decide(3)
    assert draft.prefix == [0, 1, 0]
    assert draft.refusal(4) is not None


@pytest.mark.parametrize("action", [3, -1, 1.0, True, None, "relu", np.array([1])], ids=repr)
def test_what_is_no_option_is_refused_with_a_sentence_and_changes_nothing(action: Any) -> None:
    env = make("ArchSearch-Synthetic-Sequential-v0").unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"option of 'depth': expected .*, got "):
        env.step(action)
    for option in (1, 1, 1):
        _, _, _, _, info = env.step(option)
    assert info["architecture"] == "depth=3 width=64 activation=tanh"


def test_an_option_that_the_constraints_forbid_is_refused_with_what_was_decided_and_what_is_legal() -> None:
    env = make("ArchSearch-Synthetic-Sequential-v0", max_params=2000).unwrapped
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ValueError, match=r"'width'.*decided: depth=2; legal: 32\), got 128"):
        env.step(2)


def test_a_penalised_action_costs_the_penalty_and_leaves_the_state_as_it_was() -> None:
    id = "ArchSearch-Synthetic-Sequential-v0"
    plain, penal = make(id, max_params=2000), make(id, max_params=2000, illegal="penalise")
    before, _ = plain.reset(seed=1)
    seen, info = penal.reset(seed=1)
    plain.step(0)
    penal.step(0)
    for wrong in (2, 2, 99):
        seen, reward, terminated, _, info = penal.step(wrong)
        assert (reward, terminated) == (-ILLEGAL_PENALTY, False)
        assert info["action_mask"].tolist() == [1, 0, 0]
    for option in (0, 0):
        before, reward, *_ = plain.step(option)
        seen, earned, *_ = penal.step(option)
    assert earned == reward
    np.testing.assert_array_equal(seen, before)


def test_a_vector_environment_refuses_before_any_member_decides() -> None:
    envs = make_vec("ArchSearch-Synthetic-Sequential-v0", 3)
    envs.reset(seed=0)
    before = envs.unwrapped.action_masks()
    with pytest.raises(ValueError, match="member 1: option of 'depth': expected 0 to 2"):
        envs.step([0, 5, 0])
    with pytest.raises(ValueError, match=r"expected 3 options, got an array of shape \(2,\)"):
        envs.step([0, 0])
    for _ in range(2):
        envs.step([1, 1, 1])
    *_, infos = envs.step([1, 1, 1])
    assert set(infos["architecture"]) == {"depth=3 width=64 activation=tanh"}
    assert before.all()


def test_a_rule_that_does_not_exist_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"illegal.*'penalize'.*Did you mean 'penalise'"):
        gym.make("ArchSearch-Synthetic-Sequential-v0", illegal="penalize")


# What an agent sees, and states


def test_the_observation_tells_which_choice_is_asked_what_was_decided_and_what_is_legal() -> None:
    env = make("ArchSearch-Synthetic-Sequential-v0").unwrapped
    env.reset(seed=0)
    observation, *_ = env.step(2)
    asked, decided, mask = np.split(observation[-(3 + 9 + 3) :], [3, 12])
    assert asked.tolist() == [0, 1, 0]
    assert decided.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert mask.tolist() == [1, 1, 1]
    assert drafts.size(MLP) == 15


@pytest.mark.parametrize("vector", [False, True], ids=["single", "vector"])
def test_a_state_taken_in_the_middle_of_an_architecture_goes_on_there(vector: bool) -> None:
    id = "ArchSearch-Synthetic-Sequential-v0"

    def story(env: Any, options: list[int]) -> list[Any]:
        steps = [env.step([option, 0] if vector else option) for option in options]
        return [(np.asarray(step[0]).tolist(), np.asarray(step[1]).tolist()) for step in steps]

    env = (make_vec(id, 2) if vector else make(id)).unwrapped
    env.reset(seed=9)
    story(env, [0, 1, 2, 2])
    state = env.get_state()
    after = story(env, [1, 0, 2, 2])
    env.set_state(state)
    assert story(env, [1, 0, 2, 2]) == after
    if not vector:
        env.set_state(state)
        copy = env.fork()
        assert story(copy, [1, 0, 2, 2]) == after
    else:
        env.set_state(state)
        env.fork(0, 1)
        observations, *_ = env.step([1, 1])
        assert observations[0].tolist() == observations[1].tolist()


def test_a_journal_of_the_sequential_view_resumes(tmp_path: Any) -> None:
    path = str(tmp_path / "journal.jsonl")
    id = "ArchSearch-Synthetic-Sequential-v0"
    env = make(id, journal=path)
    env.reset(seed=2)
    rewards = [env.step(option)[1] for option in (0, 1, 2, 1, 1, 1)]
    env.close()
    again = make(id, journal=path, resume=True)
    again.reset(seed=2)
    assert [again.step(option)[1] for option in (0, 1, 2, 1, 1, 1)] == rewards
    assert again.step(0)[1] == 0.0
