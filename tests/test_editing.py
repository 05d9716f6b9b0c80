"""The editing view: an action changes one choice of the present architecture."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import archgym  # noqa: F401  (registers the ids)
from archgym.envs.draft import ILLEGAL_PENALTY
from archgym.envs.editing import EditingEnv
from archgym.envs.edits import Edits
from archgym.search_spaces import mlp_wide

ENTRY = "archgym.envs.single:ArchSearchEnv"
IDS = sorted(id for id, spec in gym.registry.items() if id.startswith("ArchSearch-") and spec.entry_point == ENTRY)
SYNTHETIC, DQN, PQN = "ArchSearch-Synthetic-v0", "ArchSearch-DQN-v0", "ArchSearch-PQN-v0"
FULL = {"windows": 3, "envs_per_member": 1, "window_steps": 625}  # the shortest window without a warning
SHORT = {"windows": 3, "envs_per_member": 2, "window_steps": 60, "learning_starts": 16, "batch_size": 8}
SHORT_PQN = {"windows": 3, "envs_per_member": 2, "window_steps": 60, "num_steps": 8}
WIDE = {"space": "mlp-wide", "max_params": 5000}
SPACES: list[dict[str, Any]] = [
    {},
    {"space": "mlp-wide"},
    WIDE,
    {"max_params": 5000},
    {"space": "grid:5x3", "max_params": 5},
    {"space": "MIDDLE"},
]
DEEP = "depth=3 width_1=32 width_2=16 width_3=32 activation=tanh layer_norm=True skip=True"

# A space whose constraint forbids in the middle, so that it is not monotone, and one without neighbours.
OWN = {
    "MIDDLE": """
from archgym.search_space import Constraint
from archgym.search_spaces.grid import sized
SPACE = sized("3x3").constrained(Constraint("a sum other than 2", lambda a: int(a.sum()) != 2))
""",
    "LONELY": """
from archgym.search_space import Constraint
from archgym.search_spaces.grid import sized
SPACE = sized("3x2").constrained(Constraint("an even sum", lambda a: int(a.sum()) % 2 == 0))
""",
}

pytestmark = pytest.mark.usefixtures("recorded")


def make(id: str = SYNTHETIC, start: str = "default", illegal: str = "refuse", **keywords: Any) -> EditingEnv:
    return EditingEnv(gym.make(id, **{"windows": 40, **keywords}), start=start, illegal=illegal)


def number(env: EditingEnv, setting: str) -> int:
    """Find the action that sets a choice, "width_1=32"."""
    name, _, option = setting.partition("=")
    actions = [
        (choice.name, str(value)) for choice in env.search_space.choices for value in choice.options
    ]  # in the order that the docstring promises
    return actions.index((name, option))


def walk(env: EditingEnv, seed: int, count: int) -> Iterator[tuple[int, np.ndarray, dict[str, Any]]]:
    """Take legal actions at random: each action, the mask before it, and the info after it."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    for _ in range(count):
        mask = info["action_mask"]
        action = int(rng.choice(np.flatnonzero(mask)))
        *_, info = env.step(action)
        yield action, mask, info


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*precision lowered by casting")  # of EnvPool's spaces
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")  # it is a wrapper
        yield


@pytest.fixture
def own_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where keywords name a space of this file, write it as a module and give the keywords with its dotted name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(keywords: dict[str, Any]) -> dict[str, Any]:
        if keywords.get("space") not in OWN:
            return keywords
        package = tmp_path / f"editing_{tmp_path.name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "space.py").write_text(OWN[keywords["space"]], encoding="utf-8")
        return {**keywords, "space": f"{package.name}.space"}

    return write


# The contract of every environment


@pytest.mark.parametrize("keywords", [{}, WIDE], ids=["mlp", "constrained"])
@pytest.mark.parametrize("id", IDS)
def test_both_checkers_have_nothing_to_say(id: str, keywords: dict[str, Any]) -> None:
    with no_warning():
        check_env(make(id, illegal="penalise", **FULL, **keywords), skip_render_check=bool(keywords))
        check_env_sb3(make(id, illegal="penalise", start="random", **FULL, **keywords))


@pytest.mark.parametrize("start", ["default", "random"])
@pytest.mark.parametrize("id", IDS)
def test_the_spec_makes_the_same_view_again(id: str, start: str) -> None:
    env = make(id, start=start, illegal="penalise", **FULL)
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    told = []
    for one in (env, again):
        observation, info = one.reset(seed=4)
        told.append((observation.tolist(), info["action_mask"].tolist(), one.step(np.int64(99))[1]))
    assert told[0] == told[1]


def test_an_id_of_ones_own_may_name_the_view() -> None:
    spec = gym.spec(SYNTHETIC)
    view = EditingEnv.wrapper_spec(start="random", illegal="penalise")
    gym.register("Edited-v0", entry_point=spec.entry_point, kwargs=spec.kwargs, additional_wrappers=(view,))
    env = gym.make("Edited-v0", windows=2)
    assert isinstance(env.action_space, gym.spaces.Discrete)
    env.reset(seed=0)
    assert env.step(99)[1] == -ILLEGAL_PENALTY
    del gym.registry["Edited-v0"]


def test_the_seed_decides_the_action_space_and_every_lifetime_after_it() -> None:
    told = []
    for seed in (0, 0, 1):
        env = make(start="random", windows=2, **WIDE)
        story = [[info["architecture"], info["raw_return"]] for _, _, info in walk(env, seed, 2)]
        samples = [int(env.action_space.sample()) for _ in range(5)]
        second = env.reset()[0].tolist()
        third = env.reset()[0].tolist()
        assert second != third
        told.append((story, samples, second, third))
    assert told[0] == told[1]
    for one, other in zip(told[0], told[2], strict=True):
        assert one != other


@pytest.mark.parametrize("id", IDS)
def test_a_lifetime_is_as_long_as_its_windows_and_then_wants_a_reset(id: str) -> None:
    env = make(id, illegal="penalise", **FULL)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        env.action_masks()
    _, info = env.reset(seed=0)
    over, trained = False, 0
    while not over:
        *_, over, truncated, _ = env.step(99)  # illegal: uses up nothing
        assert (over, truncated) == (False, False)
        observation, _, over, truncated, info = env.step(int(np.flatnonzero(info["action_mask"])[0]))
        assert observation in env.observation_space
        assert truncated is False
        trained += 1
    assert trained == FULL["windows"]
    for action in (99, int(np.flatnonzero(info["action_mask"])[0])):
        with pytest.raises(gym.error.ResetNeeded):
            env.step(action)


# What an action means


def test_an_action_sets_the_same_choice_to_the_same_option_in_every_state() -> None:
    env = make(**WIDE, windows=200)
    actions = [f"{choice.name}={value}" for choice in env.search_space.choices for value in choice.options]
    assert env.action_space == gym.spaces.Discrete(len(actions))
    for action, _, info in walk(env, 3, 200):
        assert actions[action] in info["architecture"].split()


def test_what_becomes_active_again_has_the_option_it_had() -> None:
    env = make(start=DEEP, space="mlp-wide")
    env.reset(seed=0)
    labels = []
    for setting in ("depth=1", "activation=elu", "depth=4", "depth=3", "activation=tanh"):
        *_, info = env.step(number(env, setting))
        labels.append(info["architecture"])
    assert labels == [
        "depth=1 width_1=32 activation=tanh layer_norm=True",
        "depth=1 width_1=32 activation=elu layer_norm=True",
        "depth=4 width_1=32 width_2=16 width_3=32 width_4=16 activation=elu layer_norm=True skip=True",
        DEEP.replace("tanh", "elu"),
        DEEP,
    ]


@pytest.mark.parametrize("keywords", SPACES, ids=repr)
def test_every_edit_can_be_taken_back_at_once(keywords: dict[str, Any], own_space: Any) -> None:
    env = make(**own_space(keywords), windows=90)
    blocks = np.cumsum([0, *env.search_space.counts])
    options = blocks[-1]
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=0)
    for _ in range(30):
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        position = np.searchsorted(blocks, action, side="right") - 1
        present = observation[-2 * options : -options]
        back = int(blocks[position] + present[blocks[position] : blocks[position + 1]].argmax())
        before, (edited, *_) = observation, env.step(action)
        assert np.flatnonzero(edited[-2 * options : -options] != present).tolist() == sorted([action, back])
        after, *_ = env.step(back)
        assert after[-2 * options :].tolist() == before[-2 * options :].tolist()
        observation, *_, info = env.step(action)  # onwards


@pytest.mark.parametrize("keywords", SPACES, ids=repr)
def test_legal_actions_are_those_that_lead_to_a_neighbour(keywords: dict[str, Any], own_space: Any) -> None:
    env = make(**own_space(keywords), windows=30)
    space = env.search_space
    settings = [(choice.name, value) for choice in space.choices for value in choice.options]
    start = space.describe(space.default_architecture)
    genes = {choice.name: start.get(choice.name, choice.options[0]) for choice in space.choices}
    for action, mask, info in walk(env, 2, 30):
        neighbours = {space.label(one) for one in space.neighbours(space.encode_options(genes))}
        for candidate, (name, value) in enumerate(settings):
            edited = space.encode_options({**genes, name: value})
            edited[list(space.inactive_positions(edited))] = 0
            assert mask[candidate] == (space.label(edited) in neighbours)
        genes[settings[action][0]] = settings[action][1]
        assert info["architecture"] == space.label(space.canonical(space.encode_options(genes)))


# What an agent is told


def test_the_observation_is_the_base_one_then_the_present_options_then_the_mask() -> None:
    env, base = make(start=DEEP, space="mlp-wide"), gym.make(SYNTHETIC, windows=40, space="mlp-wide")
    inner, options = base.observation_space.shape[0], sum(env.search_space.counts)
    observation, info = env.reset(seed=5)
    seen, _ = base.reset(seed=5)
    assert observation.dtype == np.float32
    assert observation.shape == env.observation_space.shape == (inner + 2 * options,)
    for setting in ("depth=1", "width_1=64", "depth=2"):
        assert observation[:inner].tolist() == seen.tolist()
        assert observation[-options:].tolist() == info["action_mask"].tolist() == env.action_masks().tolist()
        present = observation[inner:-options]
        assert present[number(env, "width_3=32")] == 1  # remembered, active or not
        assert present.sum() == len(env.search_space.choices)
        observation, reward, *_, info = env.step(number(env, setting))
        assert observation[inner:-options][number(env, setting)] == 1
        seen, same, *_ = base.step(env.search_space.parse(info["architecture"]))
        assert reward == same
    assert info["action_mask"].dtype == np.int8


def test_masks_are_fresh_and_writing_into_one_changes_nothing() -> None:
    env = make(**WIDE)
    _, info = env.reset(seed=0)
    legal = info["action_mask"].copy()
    info["action_mask"][:] = 0
    env.action_masks()[:] = False
    assert env.action_masks().tolist() == legal.astype(bool).tolist()
    *_, info = env.step(int(np.flatnonzero(legal)[0]))
    info["action_mask"][:] = 0
    assert env.action_masks().any()


@pytest.mark.parametrize("start", ["default", "random", "depth=4 width=32 activation=elu"])
@pytest.mark.parametrize(
    ("id", "short"), [(SYNTHETIC, {}), (DQN, SHORT), (PQN, SHORT_PQN)], ids=["synthetic", "dqn", "pqn"]
)
@pytest.mark.filterwarnings("ignore:window_steps=60 is shorter")
def test_the_same_architectures_earn_the_same_rewards_as_in_the_base(id: str, short: Any, start: str) -> None:
    env, base = make(id, start=start, **short), gym.make(id, **{"windows": 40, **short})
    for seed in (9, None):  # this lifetime and the next
        (_, info), _, over = env.reset(seed=seed), base.reset(seed=seed), False
        rng = np.random.default_rng(1)
        while not over:
            _, reward, over, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))
            _, same, also, _, told = base.step(env.search_space.parse(info["architecture"]))
            assert (reward, over) == (same, also)
            assert told == {name: value for name, value in info.items() if name != "action_mask"}


def test_a_mask_that_is_remembered_for_all_members_cannot_be_written_into() -> None:
    edits = Edits(mlp_wide.SPACE)
    for genes in ((1, 2, 1, 0, 0, 0, 0, 0), (0, 2, 1, 0, 0, 0, 0, 0)):
        mask = edits.mask(genes)
        with pytest.raises(ValueError, match="read-only"):
            mask[0] = 0
        assert edits.mask(genes) is mask


# Where it starts


def test_the_start_is_the_default_or_what_was_named() -> None:
    for start in ("default", "depth=4 width=32 activation=elu"):
        env = make(start=start)
        for seed in (0, 1):
            env.reset(seed=seed)
            edit = int(np.flatnonzero(env.action_masks())[0])
            *_, info = env.step(edit)
            expected = env.search_space.describe(env.search_space.parse(start))
            got = dict(part.split("=") for part in info["architecture"].split())
            assert sum(str(expected[name]) != got[name] for name in got) == 1


def test_a_random_start_is_any_architecture_and_a_function_of_the_seed_alone() -> None:
    def start(env: EditingEnv, seed: int) -> tuple[int, ...]:
        observation, _ = env.reset(seed=seed)
        return tuple(np.flatnonzero(observation[-18:-9]).tolist())

    env = make(start="random")
    starts = [start(env, seed) for seed in range(300)]
    assert len(set(starts)) == env.search_space.size
    assert [start(make(start="random", reward="improvement", windows=3), seed) for seed in range(10)] == starts[:10]


# What is illegal

MISTAKES: dict[str, tuple[Any, str]] = {
    "too large": (27, "action: expected an integer from 0 to 26, got 27"),
    "negative": (-1, "from 0 to 26, got -1"),
    "a fraction": (1.0, "expected an integer .*got 1.0"),
    "truth": (True, "expected an integer .*got True"),
    "a vector": (np.zeros(8, dtype=np.int64), "expected an integer .*got array"),
    "nothing": (None, "expected an integer .*got None"),
    "the same": ("depth=2", "depth=2.: expected an edit that leads to another .*'mlp-wide', but .* has this option"),
    "inactive": ("width_3=64", "width_3=64.: .* but width_3 has no effect in 'depth=2 width_1"),
    "forbidden": ("width_2=128", "width_2=128.: .*at most 5000 parameters.*, got an edit of 'depth=2 width_1=64"),
}
TWO = "depth=2 width_1=64 width_2=32 activation=relu layer_norm=False skip=False"


@pytest.mark.parametrize("illegal", ["refuse", "penalise"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_illegal_action_is_refused_or_penalised_and_nothing_is_lost(mistake: str, illegal: str) -> None:
    given, sentence = MISTAKES[mistake]
    told = []
    for mistaken in (False, True):
        env = make(start=TWO, illegal=illegal, **WIDE, windows=3)
        wrong = number(env, given) if isinstance(given, str) else given
        observation, info = env.reset(seed=1)
        story: list[Any] = []
        for setting in ("skip=True", "activation=elu"):
            if mistaken and illegal == "refuse":
                with pytest.raises(ValueError, match=sentence):
                    env.step(wrong)
            elif mistaken:
                again, reward, over, truncated, penalty = env.step(wrong)
                assert (reward, over, truncated) == (-ILLEGAL_PENALTY, False, False)
                assert again.tolist() == observation.tolist()
                assert penalty.keys() == {"action_mask"}
                assert penalty["action_mask"].tolist() == info["action_mask"].tolist()
            observation, reward, over, _, info = env.step(number(env, setting))
            story.append((observation.tolist(), reward, over, info["architecture"]))
        told.append(story)
        assert len(env.unwrapped.history) == 2
    assert told[0] == told[1]


@pytest.mark.parametrize("action", [np.array(4), np.int32(4), np.uint8(4)])
def test_an_action_may_be_any_integer_of_numpy(action: Any) -> None:
    env = make()
    env.reset(seed=0)
    *_, info = env.step(action)
    assert "width=64" in info["architecture"]


def test_what_cannot_be_edited_is_refused(own_space: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an ArchSearchEnv .*got .*Sequential"):
        EditingEnv(gym.make("ArchSearch-Synthetic-Sequential-v0"))
    with pytest.raises(ValueError, match=r"expected an ArchSearchEnv .*CartPole"):
        EditingEnv(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="expected whole architectures as actions, got Discrete"):
        EditingEnv(make())
    with pytest.raises(ValueError, match="expected flat observations, got Dict"):
        EditingEnv(gym.wrappers.TimeAwareObservation(gym.make(SYNTHETIC, max_episode_steps=9), flatten=False))
    with pytest.raises(ValueError, match="something to edit, 'grid:6x4' has 1 architecture"):
        make(space="grid:6x4", max_params=1)
    lonely = own_space({"space": "LONELY"})
    for start in ("random", "default"):
        with pytest.raises(ValueError, match="start: expected an architecture that an edit can leave, got 'c0="):
            make(**lonely, start=start).reset(seed=0)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"start": "depth=7"}, "unknown option of 'depth' '7'"),
        ({"start": "depth=4 width=128 activation=relu", "max_params": 5000}, "expected at most 5000 parameters"),
        ({"start": "radnom"}, "unknown choice of 'mlp' 'radnom'"),
        ({"illegal": "penalize"}, "unknown rule for illegal actions .*Did you mean 'penalise'"),
    ],
)
def test_a_wrong_argument_is_refused(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**keywords)


# In company


def test_a_state_goes_on_at_the_architecture_where_it_was_taken() -> None:
    env = make(start="random", illegal="penalise", windows=6, **WIDE)
    stories = []
    for seed, other in ((3, env), (99, make(start="random", illegal="penalise", windows=6, **WIDE))):
        if other is env:
            list(walk(env, seed, 3))
            state = env.get_state()
        else:
            other.reset(seed=seed)
            other.set_state(state)
        story, rng = [other.step(99)[0].tolist()], np.random.default_rng(0)
        for _ in range(3):
            seen, reward, *_ = other.step(int(rng.choice(np.flatnonzero(other.action_masks()))))
            story.append([seen.tolist(), reward])
        stories.append([*story, other.reset()[0].tolist()])
    assert stories[0] == stories[1]
    with pytest.raises(gym.error.ResetNeeded):
        make().get_state()


def test_it_stands_between_other_wrappers_and_in_vectors() -> None:
    def thunk() -> gym.Env[Any, Any]:
        scaled = gym.wrappers.TransformReward(gym.make(SYNTHETIC, windows=3), lambda reward: 10 * reward)
        return gym.wrappers.RecordEpisodeStatistics(EditingEnv(scaled, start="random"))

    envs = gym.vector.SyncVectorEnv([thunk] * 2)
    _, infos = envs.reset(seed=0)
    total = np.zeros(2)
    for _ in range(3):
        _, rewards, over, _, infos = envs.step(infos["action_mask"].argmax(1))
        total += rewards
    assert over.all()
    assert infos["episode"]["r"] == pytest.approx(total)
    assert infos["normalised_return"] * 10 == pytest.approx(rewards)


def test_it_adds_little_to_a_step() -> None:
    env = make(space="grid:10x4", windows=100)
    inner, spent = env.env.step, [0.0]

    def timed(action: Any) -> Any:
        clock = time.thread_time()
        told = inner(action)
        spent[0] += time.thread_time() - clock
        return told

    env.env.step = timed  # type: ignore[method-assign]
    added = []
    for seed in range(3):
        spent[0], clock = 0.0, time.thread_time()
        list(walk(env, seed, 100))
        added.append((time.thread_time() - clock - spent[0]) / 100)
    print(f"{min(added) * 1e6:.0f} microseconds a step")
    assert min(added) < 250e-6  # 35 when nothing else runs, the walk's own 15 among them
