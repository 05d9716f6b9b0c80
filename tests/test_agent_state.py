"""What an agent has learned: it goes through a file unchanged, another search goes on from it, others refuse it."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import archgym  # noqa: F401  (registers the ids)
from archgym import lookup
from archgym.running import agent_state, protocol, search
from archgym.running.agent import view
from archgym.running.arguments import SearchArgs

AGENTS = [
    name
    for name in lookup.names("archgym.agents")
    if hasattr(lookup.load("archgym.agents", name, "agent").Agent, "state")
]
WINDOWS, MEMBERS = 16, 3

pytestmark = pytest.mark.filterwarnings("ignore:window_steps=1000 is shorter")


def asked(name: str, **arguments: Any) -> tuple[Any, Any]:
    """Give the class of an agent, and arguments on a planted landscape."""
    module = lookup.load("archgym.agents", name, "agent")
    env_id = view("ArchSearch-Synthetic-v0", module.Args)
    given = {"env_id": env_id, "space": "grid:4x4", "windows": WINDOWS, "num_envs": MEMBERS, "window_steps": 1000}
    return module.Agent, module.Args(**{**given, **arguments})


def ran(name: str, out: Path, **arguments: Any) -> Path:
    agent_class, args = asked(name, out=out, **arguments)
    return search.run(agent_class, args, name, page=False)


def made(name: str, **arguments: Any) -> Any:
    """Make an agent as a search begins with it."""
    agent_class, args = asked(name, **arguments)
    return search.begin(agent_class, search.make(args), args, name)


def actions_of(folder: Path) -> list[Any]:
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [row["action"] for row in rows if row.get("call") == "train_window"]


def test_the_three_of_the_papers_can_be_continued() -> None:
    assert set(AGENTS) >= {"enas", "lstm-reinforce", "score-keeping"}


@pytest.mark.parametrize("name", AGENTS)
def test_what_an_agent_has_learned_comes_back_to_the_last_bit(name: str, tmp_path: Path) -> None:
    folder = ran(name, tmp_path / "one", seed=3)
    _, written = agent_state.read(folder / agent_state.FILE)
    begun = made(name, start_from=folder, seed=9).state()
    assert begun.keys() == written.keys()
    for key, value in begun.items():
        assert value.dtype == written[key].dtype
        assert np.array_equal(value, written[key])
    new = made(name, seed=9).state()
    assert any(not np.array_equal(value, new.get(key)) for key, value in begun.items())


@pytest.mark.parametrize("name", AGENTS)
def test_a_search_begins_where_another_ended_and_not_at_the_beginning(name: str, tmp_path: Path) -> None:
    first = ran(name, tmp_path / "one", seed=3, windows=60)
    new = actions_of(ran(name, tmp_path / "new", seed=5))
    begun = actions_of(ran(name, tmp_path / "begun", seed=5, start_from=first))
    again = actions_of(ran(name, tmp_path / "again", seed=5, start_from=first / agent_state.FILE))
    assert begun == again != new


def test_a_controller_that_was_continued_is_ahead_of_a_new_one_on_the_same_landscape(tmp_path: Path) -> None:
    first = ran("enas", tmp_path / "one", seed=3, windows=80)
    means = {}
    for name, start in (("new", None), ("begun", first)):
        folder = ran("enas", tmp_path / name, seed=5, start_from=start)
        rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        means[name] = np.mean([row["reward"] for row in rows if row.get("call") == "train_window"])
    assert means["begun"] > means["new"] + 0.1


@pytest.mark.parametrize("name", AGENTS)
def test_a_resumed_search_needs_the_same_start_and_ends_as_it_would_have(name: str, tmp_path: Path) -> None:
    first = ran(name, tmp_path / "one", seed=3)
    whole = ran(name, tmp_path / "whole", seed=5, start_from=first)
    (cut := tmp_path / "cut").mkdir()
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "journal.jsonl").write_bytes(b"".join(lines[:8]))
    (cut / "config.json").write_bytes((whole / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"--resume: expected the arguments .* start_from was '.*' and is now None"):
        ran(name, cut, seed=5, resume=True)
    ran(name, cut, seed=5, resume=True, start_from=first)
    assert actions_of(cut) == actions_of(whole)
    for own, other in zip(
        *(agent_state.read(folder / agent_state.FILE)[1].items() for folder in (cut, whole)), strict=True
    ):
        assert own[0] == other[0]
        assert np.array_equal(own[1], other[1])
    (first / agent_state.FILE).write_bytes((whole / agent_state.FILE).read_bytes())
    with pytest.raises(ValueError, match=r"--resume: .*one is not what .*cut began with; it was written anew since"):
        ran(name, cut, seed=5, resume=True, start_from=first)


# Refusals, before anything is written


def refused(name: str, out: Path, start: Path, **arguments: Any) -> str:
    with pytest.raises(ValueError, match=r"^--start-from: ") as caught:
        ran(name, out, start_from=start, **arguments)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path) -> None:
    start, out = ran("lstm-reinforce", tmp_path / "one"), tmp_path / "out"
    assert "expected an agent that can go on" in refused("random-search", out, start)
    assert "expected what 'enas' has learned, got that of 'lstm-reinforce'" in refused("enas", out, start)
    said = refused("lstm-reinforce", out, start, space="grid:3x4")
    assert "expected what was learned on the choices of 'grid:3x4'" in said
    assert "expected an agent of the same settings" in refused("lstm-reinforce", out, start, hidden_size=32)
    assert "found none at" in refused("lstm-reinforce", out, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "found none at" in refused("lstm-reinforce", out, tmp_path / "empty")
    scores = ran("score-keeping", tmp_path / "scores")
    assert "expected 2 tables of scores" in refused("score-keeping", out, scores, num_envs=2)


@pytest.mark.parametrize("name", ["enas", "lstm-reinforce"])
def test_a_controller_of_another_policy_is_refused_though_its_weights_would_fit(name: str, tmp_path: Path) -> None:
    start, out = ran(name, tmp_path / "one"), tmp_path / "out"
    said = refused(name, out, start, temperature=2.0)
    assert said.endswith("of the same settings as this one; temperature is 2.0 here and 1.0 in what was learned.")
    said = refused(name, out, start, tanh_constant=2.5)
    assert said.endswith("of the same settings as this one; tanh_constant is 2.5 here and None in what was learned.")
    limited = ran(name, tmp_path / "two", tanh_constant=2.5)
    assert "tanh_constant is None here and 2.5 in what" in refused(name, out, limited)
    made(name, tanh_constant=2.5, learning_rate=1e-4, start_from=limited)


@pytest.mark.parametrize(
    ("name", "arguments", "first"),
    [
        ("enas", {"baseline_momentum": 0.9, "update_every": 2}, None),
        ("enas", {"baseline_momentum": 0.9, "update_every": 2, "first_baseline": 0.25}, 0.25),
        ("lstm-reinforce", {}, None),
    ],
)
def test_a_search_that_goes_on_begins_with_the_level_of_its_own_rewards(
    name: str, arguments: dict[str, Any], first: float | None, tmp_path: Path
) -> None:
    start = ran(name, tmp_path / "one", num_envs=1, **arguments)
    agent = made(name, num_envs=1, start_from=start, **arguments)
    assert agent.baseline == first
    assert "baseline" not in agent_state.read(start / agent_state.FILE)[1]


def test_a_damaged_file_is_refused_in_a_sentence_wherever_it_is_damaged(tmp_path: Path) -> None:
    start, out, rng = ran("score-keeping", tmp_path / "one"), tmp_path / "out", np.random.default_rng(0)
    whole = (start / agent_state.FILE).read_bytes()
    file = tmp_path / "damaged.npz"
    sums = whole.index(b"sums.npy") + 200  # in the numbers of an entry
    altered = [whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :] for place in (0, sums)]
    cuts = [whole[: int(cut)] for cut in rng.integers(0, len(whole), 5)]
    for content in (b"", b"no archive", *altered, *cuts):
        file.write_bytes(content)
        assert f"{file} is damaged, or not what an agent has learned" in refused("score-keeping", out, file)
    np.savez(file, numbers=np.arange(3))
    assert "is damaged, or not what an agent has learned" in refused("score-keeping", out, file)
    np.savez(file, card=np.array([{"agent": "score-keeping"}], dtype=object))  # would be unpickled
    assert "is damaged, or not what an agent has learned" in refused("score-keeping", out, file)


def test_the_file_tells_whose_it_is_without_archgym(tmp_path: Path) -> None:
    folder = ran("score-keeping", tmp_path / "one")
    with zipfile.ZipFile(folder / agent_state.FILE), np.load(folder / agent_state.FILE, allow_pickle=False) as found:
        card = json.loads(found["card"].tobytes())
        assert found["windows"].sum() == WINDOWS * MEMBERS
    assert card["agent"] == "score-keeping"
    assert len(card["choices"]) == 4
    config = json.loads((folder / "config.json").read_text())
    assert config["start"] is None


def test_an_agent_that_learns_nothing_leaves_no_file(tmp_path: Path) -> None:
    assert not (ran("random-search", tmp_path / "one") / agent_state.FILE).exists()


def test_random_search_the_control_does_not_start_from_the_agents_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[SearchArgs] = []

    class Context:
        def Process(self, target: Any, args: tuple[SearchArgs, Path]) -> Any:
            given.append(args[0])
            return SimpleNamespace(start=lambda: None)

    monkeypatch.setattr(protocol, "get_context", lambda method: Context())
    folder = ran("enas", tmp_path / "one")
    _, args = asked("enas", start_from=folder)
    protocol.Control(args, "enas").start(folder)
    assert given[0].start_from is None
    assert given[0].windows == WINDOWS
