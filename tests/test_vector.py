"""The vector forms of all views, against Gymnasium's own loop over single environments; and the rest of its API."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import archgym  # noqa: F401  (registers the ids)
from archgym.envs import multi_agent
from archgym.envs.draft import ILLEGAL_PENALTY
from archgym.envs.editing import EditingEnv, EditingVectorEnv

IDS = sorted(id for id in gym.registry if id.startswith("ArchSearch-"))
VIEWS = [*IDS, *(f"editing {id}" for id in IDS if "Sequential" not in id)]
PLANTED = [view for view in VIEWS if "Synthetic" in view]
MASKED = [view for view in PLANTED if view != "ArchSearch-Synthetic-v0"]
EDITING = "editing ArchSearch-Synthetic-v0"
SHORT = {"windows": 2, "envs_per_member": 2, "window_steps": 60}
SETTINGS = {
    "dqn": {"learning_starts": 16, "batch_size": 8},
    "pqn": {"num_steps": 8},
    "ppo": {"num_steps": 8},
    "synthetic": {"noise": 0.2},
}
WIDE = {"space": "mlp-wide", "max_params": 5000}  # constraints, and choices without effect
NOWHERE = 99  # is no option of any choice, and no edit

pytestmark = [pytest.mark.filterwarnings("ignore:window_steps=60 is shorter"), pytest.mark.usefixtures("recorded")]


def masked(view: str) -> bool:
    return "Sequential" in view or view.startswith("editing")


def keywords_of(view: str, own: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Split a view into its id, the keywords of the environment and those of the view around it."""
    id = view.removeprefix("editing ")
    given = {**SHORT, **SETTINGS[str(gym.spec(id).kwargs["trainer"])], **own}
    around = {name: given.pop(name) for name in ("start", "illegal") if name in given and view != id}
    return id, given, around


def make(view: str, **own: Any) -> gym.Env[Any, Any]:
    id, given, around = keywords_of(view, own)
    env = gym.make(id, **given)
    return env if view == id else EditingEnv(env, **around)


def make_vec(view: str, members: int, **own: Any) -> Any:
    id, given, around = keywords_of(view, own)
    envs = gym.make_vec(id, num_envs=members, **given)
    return envs if view == id else EditingVectorEnv(envs, **around)


def choose(envs: Any, infos: dict[str, Any], rng: np.random.Generator, wrong: float = 0.0) -> np.ndarray:
    """Draw an action for every member, under the masks if there are any, and some that are none."""
    if "action_mask" not in infos:
        return np.stack([envs.unwrapped.search_space.sample(rng) for _ in range(envs.num_envs)])
    actions = [rng.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]]
    return np.where(rng.random(envs.num_envs) < wrong, NOWHERE, actions)


def plain(told: Any) -> Any:
    """Copy what an environment told, so that it can be compared later."""
    if isinstance(told, dict):
        return {name: plain(value) for name, value in told.items()}
    return tuple(plain(one) for one in told) if isinstance(told, tuple | list) else np.array(told)


def same(one: Any, other: Any) -> None:
    """Compare what two environments told to the last bit, types included."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        np.testing.assert_array_equal(one, other, strict=True)


def streams(envs: Any) -> Any:
    """Tell where the members' generators stand."""
    return [generator.bit_generator.state["state"]["state"] for generator in envs.np_random]


# Gymnasium's own loop over single environments


@pytest.mark.parametrize("own", [{}, WIDE], ids=["free", "constrained"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_vector_form_tells_what_gymnasiums_loop_over_single_environments_tells(
    view: str, own: dict[str, Any]
) -> None:
    more = {"exact": True, **({"illegal": "penalise"} if masked(view) else {}), **own}
    more |= {"start": "random"} if view.startswith("editing") else {}
    population, loop = make_vec(view, 3, **more), SyncVectorEnv([lambda: make(view, **more)] * 3)
    assert type(population.unwrapped) is not SyncVectorEnv
    assert population.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for name in ("single_observation_space", "single_action_space", "observation_space", "action_space"):
        assert getattr(population, name) == getattr(loop, name)
    rng, penalties, anew = np.random.default_rng(0), 0, 0
    part = np.array([True, False, True])
    steps = 3 * 2 * (len(population.unwrapped.search_space.choices) if "Sequential" in view else 1)
    over = np.zeros(3, dtype=bool)
    told = [plain(envs.reset(seed=[11, 3, 12])) for envs in (population, loop)]
    same(*told)
    for step in range(steps):
        if step == steps // 3:  # in the middle of a lifetime, and of an architecture
            told = [plain(e.reset(seed=[20, None, None], options={"reset_mask": part})) for e in (population, loop)]
            same(*told)
            over &= ~part
            if masked(view):
                assert told[0][-1]["_action_mask"].tolist() == part.tolist()
                told[0][-1]["action_mask"] = population.action_masks()
        actions = choose(population, told[0][-1], rng, wrong=0.2 if masked(view) else 0.0)
        told = [plain(envs.step(actions)) for envs in (population, loop)]
        same(*told)
        assert population.np_random_seed == loop.np_random_seed
        assert streams(population) == streams(loop)
        penalties += int((told[0][1] == -ILLEGAL_PENALTY).sum())
        anew, over = anew + int(over.sum()), told[0][2]
    assert anew
    assert penalties or not masked(view)


@pytest.mark.parametrize("view", PLANTED)
def test_a_reset_of_no_member_is_refused_and_changes_nothing(view: str) -> None:
    told = []
    for refused in (False, True):
        envs = make_vec(view, 2)
        _, infos = envs.reset(seed=1)
        rng = np.random.default_rng(0)
        envs.step(choose(envs, infos, rng))
        if refused:
            with pytest.raises(ValueError, match="reset_mask: expected True for at least one of the 2 members"):
                envs.reset(seed=5, options={"reset_mask": np.zeros(2, dtype=bool)})
        told.append(plain(envs.step(envs.action_space.sample() if not masked(view) else legal(envs))))
    same(*told)


@pytest.mark.parametrize("view", PLANTED)
def test_the_first_reset_may_be_of_some_members(view: str) -> None:
    first, others = np.array([False, True]), np.array([True, False])
    envs, whole = make_vec(view, 2), make_vec(view, 2)
    seen, infos = envs.reset(seed=[None, 4], options={"reset_mask": first})
    expected, masks = whole.reset(seed=[3, 4])
    assert envs.observation_space.contains(seen)
    np.testing.assert_array_equal(seen[1], expected[1])
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(envs.action_space.sample())
    if masked(view):
        assert infos["_action_mask"].tolist() == [False, True]
        np.testing.assert_array_equal(infos["action_mask"], masks["action_mask"] * first[:, None])
    envs.reset(seed=[3, None], options={"reset_mask": others})
    actions = choose(whole, masks, np.random.default_rng(0))
    same(*(plain(one.step(actions)) for one in (envs, whole)))


def legal(envs: Any) -> np.ndarray:
    """Give the first legal action of every member."""
    first: np.ndarray = envs.action_masks().argmax(1)
    return first


@pytest.mark.parametrize("view", PLANTED)
def test_a_closed_vector_environment_refuses_to_go_on_and_may_be_closed_again(view: str) -> None:
    envs = make_vec(view, 2)
    _, infos = envs.reset(seed=1)
    actions = choose(envs, infos, np.random.default_rng(0))
    envs.close()
    envs.close()
    assert envs.closed
    for go_on in (lambda: envs.step(actions), lambda: envs.reset(seed=1)):
        with pytest.raises(gym.error.ClosedEnvironmentError, match=r"expected an open environment, got one after clo"):
            go_on()


# Seeds

BAD_SEEDS: list[Any] = [-1, np.int64(-1), 1.5, np.float64(1.0), True, "3", [4, -1], [4, 1.5], [4, True], (4, "3")]


@pytest.mark.parametrize("seed", BAD_SEEDS, ids=repr)
@pytest.mark.parametrize("view", PLANTED)
def test_what_is_no_seed_is_refused_by_every_vector_form_before_anything_begins(view: str, seed: Any) -> None:
    told = []
    for refused in (False, True):
        envs = make_vec(view, 2)
        _, infos = envs.reset(seed=1)
        if refused:
            with pytest.raises(ValueError, match="seed: expected None or an integer from 0 upwards, got "):
                envs.reset(seed=seed)
        told.append(
            [plain(envs.step(choose(envs, infos, np.random.default_rng(0)))), envs.action_space.sample().tolist()]
        )
    same(told[0][0], told[1][0])
    assert told[0][1] == told[1][1]


@pytest.mark.parametrize("seed", [seed for seed in BAD_SEEDS if not isinstance(seed, list | tuple)] + [[4]], ids=repr)
@pytest.mark.parametrize(
    "maker",
    [
        *(lambda view=view: make(view) for view in PLANTED),
        *(
            lambda name=name: getattr(multi_agent, name)(trainer="synthetic", **SHORT)
            for name in ("parallel_env", "env")
        ),
    ],
    ids=[*PLANTED, "parallel", "aec"],
)
def test_what_is_no_seed_is_refused_by_every_single_form(maker: Callable[[], Any], seed: Any) -> None:
    env = maker()
    with pytest.raises(ValueError, match="seed: expected None or an integer from 0 upwards, got "):
        env.reset(seed=seed)
    env.reset(seed=1)


@pytest.mark.parametrize("view", PLANTED)
def test_a_seed_may_be_an_integer_of_numpy_in_every_form(view: str) -> None:
    for maker, pairs in (
        (lambda: make(view, **start(view)), [(5, np.int64(5))]),
        (
            lambda: make_vec(view, 2, **start(view)),
            [(5, np.int32(5)), ([5, 6], np.array([5, 6])), ([5, 6], range(5, 7))],
        ),
    ):
        for pair in pairs:
            told = []
            for seed in pair:
                env: Any = maker()
                begun = plain(env.reset(seed=seed))
                told.append((*begun, np.array(env.action_space.sample()), *plain(env.reset())))
            same(*told)


def start(view: str) -> dict[str, str]:
    return {"start": "random"} if view.startswith("editing") else {}


@pytest.mark.parametrize("view", PLANTED)
def test_a_list_of_seeds_seeds_the_action_space_too(view: str) -> None:
    def drawn(seed: Any, options: Any = None) -> list[Any]:
        envs = make_vec(view, 2)
        envs.reset(seed=0)  # all of them go on from here
        envs.reset(seed=seed, options=options)
        return [envs.action_space.sample().tolist() for _ in range(6)]

    lists = [[5, 6], [6, 5], [5, 7], [5, None], [0, 1]]
    stories = [drawn(seed) for seed in lists]
    assert [drawn(seed) for seed in lists] == stories
    for number, one in enumerate(stories):
        assert one not in stories[:number]
    assert drawn([None, None]) == drawn(None)  # goes on
    only = {"reset_mask": np.array([False, True])}
    assert drawn([5, 6], only) == drawn([None, 6], only) != drawn([5, 6])  # a seed that is not used counts for nothing


def test_every_member_has_a_generator_and_its_seed() -> None:
    envs = make_vec("ArchSearch-Synthetic-v0", 3)
    assert len(set(envs.np_random_seed)) == 3  # drawn by the system
    envs.reset(seed=[4, 9, 4])
    assert envs.np_random_seed == (4, 9, 4)
    single = make("ArchSearch-Synthetic-v0")
    single.reset(seed=9)
    assert envs.np_random[1].random() == single.np_random.random()
    assert envs.np_random[0].random() == envs.np_random[2].random() != envs.np_random[1].random()
    envs.reset()
    assert envs.np_random_seed == (4, 9, 4)
    envs.fork(1, 0)
    assert envs.np_random_seed == (9, 9, 4)
    state = envs.get_state()
    envs.set_state(state)
    assert envs.np_random_seed == (-1, -1, -1)
    single.unwrapped.set_state(single.unwrapped.get_state())
    assert single.unwrapped.np_random_seed == -1


# The editing view's own


def number(envs: Any, setting: str) -> int:
    """Find the action that sets a choice, "width_1=32"."""
    name, _, option = setting.partition("=")
    settings = [(choice.name, str(value)) for choice in envs.search_space.choices for value in choice.options]
    return settings.index((name, option))


def test_members_edit_their_own_architectures() -> None:
    envs = make_vec(EDITING, 2, start="depth=2 width=64 activation=relu")
    envs.reset(seed=0)
    *_, infos = envs.step([number(envs, "depth=4"), number(envs, "activation=elu")])
    assert infos["architecture"].tolist() == ["depth=4 width=64 activation=relu", "depth=2 width=64 activation=elu"]
    *_, infos = envs.step([number(envs, "width=32"), number(envs, "width=128")])
    assert infos["architecture"].tolist() == ["depth=4 width=32 activation=relu", "depth=2 width=128 activation=elu"]
    assert infos["action_mask"].dtype == np.int8
    assert not infos["action_mask"][0, number(envs, "depth=4")]
    assert infos["action_mask"][1, number(envs, "depth=4")]
    assert [len(history) for history in envs.unwrapped.histories] == [2, 2]


def test_an_illegal_edit_is_refused_before_any_member_is_trained() -> None:
    envs = make_vec(EDITING, 2, start="depth=2 width=64 activation=relu")
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        envs.step([0, 0])
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        envs.action_masks()
    envs.reset(seed=0)
    good, set_already = number(envs, "depth=4"), number(envs, "depth=2")
    with pytest.raises(ValueError, match=r"member 1: action .*depth=2.*has this option"):
        envs.step([good, set_already])
    with pytest.raises(ValueError, match="member 0: action: expected an integer from 0 to 8, got "):
        envs.step([1.0, 2.0])
    with pytest.raises(ValueError, match=r"expected 2 edits, got an array of shape \(3,\)"):
        envs.step([good] * 3)
    assert [len(history) for history in envs.unwrapped.histories] == [0, 0]
    *_, infos = envs.step([good, good])
    assert set(infos["architecture"]) == {"depth=4 width=64 activation=relu"}


def test_a_penalised_member_trains_nothing_while_the_others_do() -> None:
    envs = make_vec(EDITING, 2, illegal="penalise")
    before, _ = envs.reset(seed=0)
    observations, rewards, *_, infos = envs.step([NOWHERE, legal(envs)[1]])
    assert rewards[0] == -ILLEGAL_PENALTY
    assert observations[0].tolist() == before[0].tolist()
    assert infos["_env_steps"].tolist() == [False, True]
    assert [len(history) for history in envs.unwrapped.histories] == [0, 1]
    _, rewards, *_, infos = envs.step([NOWHERE, NOWHERE])
    assert rewards.tolist() == [-ILLEGAL_PENALTY] * 2
    assert infos.keys() == {"action_mask", "_action_mask"}


@pytest.mark.parametrize("view", MASKED)
def test_masks_are_fresh_and_writing_into_them_changes_nothing(view: str) -> None:
    envs = make_vec(view, 2)
    _, infos = envs.reset(seed=0)
    for _ in range(2):
        before = envs.action_masks().copy()
        infos["action_mask"][:] = 0
        envs.action_masks()[:] = False
        assert envs.action_masks().tolist() == before.tolist()
        *_, infos = envs.step(legal(envs))


@pytest.mark.parametrize("view", PLANTED)
def test_a_state_goes_on_with_every_member_in_this_lifetime_and_the_next(view: str) -> None:
    def story(envs: Any, infos: dict[str, Any]) -> list[Any]:
        rng, told = np.random.default_rng(1), []
        for _ in range(9):
            infos = {"action_mask": envs.action_masks()} if masked(view) else {}
            told.append(plain(envs.step(choose(envs, infos, rng))))
        return told

    envs = make_vec(view, 2, **start(view))
    _, infos = envs.reset(seed=3)
    envs.step(choose(envs, infos, np.random.default_rng(0)))
    state = envs.get_state()
    straight = story(envs, infos)
    other = make_vec(view, 2, **start(view))
    _, infos = other.reset(seed=99)
    other.set_state(state)
    for one, again in zip(straight, story(other, infos), strict=True):
        same(one, again)


def test_a_fork_stands_where_its_source_stands_in_this_lifetime_and_the_next() -> None:
    envs = make_vec(EDITING, 2, start="random")
    observations, _ = envs.reset(seed=1)
    assert observations[0].tolist() != observations[1].tolist()
    envs.step(legal(envs))
    envs.fork(0, 1)
    for _ in range(4):  # through the end of the lifetime
        observations, rewards, *_ = envs.step(legal(envs))
        assert observations[0].tolist() == observations[1].tolist()
        assert rewards[0] == rewards[1]


def test_a_handed_over_learner_leaves_the_target_where_it_stands() -> None:
    starts = "depth=2 width=64 activation=relu"
    envs = make_vec("editing ArchSearch-DQN-v0", 2, start=starts, transfer="own")
    envs.reset(seed=1)
    envs.step([number(envs, "depth=4"), number(envs, "width=32")])
    stood = envs.action_masks()
    envs.fork(0, 1, envs.search_space.parse("depth=4 width=64 activation=relu"))
    assert envs.action_masks().tolist() == stood.tolist()


def test_what_is_no_vector_of_whole_architectures_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected an ArchSearchVectorEnv .*got Sequential"):
        EditingVectorEnv(make_vec("ArchSearch-Synthetic-Sequential-v0", 2))
    with pytest.raises(ValueError, match=r"expected an ArchSearchVectorEnv .*got SyncVectorEnv"):
        EditingVectorEnv(gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"))
    with pytest.raises(ValueError, match=r"expected an ArchSearchVectorEnv .*got <RecordEpisodeStatistics"):
        EditingVectorEnv(gym.wrappers.vector.RecordEpisodeStatistics(make_vec("ArchSearch-Synthetic-v0", 2)))
    with pytest.raises(ValueError, match="something to edit"):
        make_vec(EDITING, 2, space="grid:6x4", max_params=1)
    with pytest.raises(ValueError, match=r"unknown rule for illegal actions .*Did you mean 'penalise'"):
        make_vec(EDITING, 2, illegal="penalize")
    with pytest.raises(ValueError, match="unknown option of 'depth' '7'"):
        make_vec(EDITING, 2, start="depth=7")


def test_wrappers_go_around_the_editing_vector_view() -> None:
    envs = gym.wrappers.vector.RecordEpisodeStatistics(make_vec(EDITING, 2, start="random"))
    _, infos = envs.reset(seed=0)
    total, over = np.zeros(2), np.zeros(2, dtype=bool)
    while not over.all():
        _, rewards, over, _, infos = envs.step(infos["action_mask"].argmax(1))
        total += rewards
    assert infos["episode"]["r"] == pytest.approx(total)
    assert infos["episode"]["l"].tolist() == [SHORT["windows"]] * 2
