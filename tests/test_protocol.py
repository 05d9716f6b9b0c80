"""The comparison from scratch, end to end, and the network that is taken away from it."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import archgym  # noqa: F401  (registers the ids)
from archgym import journal, stats
from archgym.agents import dqn, lstm_reinforce
from archgym.problem import Problem
from archgym.running import launch, protocol, scratch
from archgym.search_spaces.mlp import SPACE
from archgym.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
STEPS = 1250  # two windows of one inner environment each
INNER = ("envs_per_member=1", "batch_size=16", "learning_starts=50", "train_frequency=50")
FLAGS = ["--windows", "3", "--window-steps", "100", "--num-envs", "2", "--seed", "2", "--inner", *INNER]
FLAGS += ["--retrain", str(STEPS)]
ONE_CORE = "import os; os.cpu_count = lambda: 1; from archgym.__main__ import main; main()"
ARMS = ["lstm-reinforce", "random-search", "drawn", "default"]

pytestmark = pytest.mark.xdist_group("protocol")  # the comparison is made once, in one worker

LOADER = """import json, struct
import torch
from torch.nn import functional as F

def load(path):  # "best" reads best.json and best.safetensors; gives a function from observations to action values
    card, data = json.load(open(path + ".json")), bytearray(open(path + ".safetensors", "rb").read())
    start = 8 + struct.unpack("<Q", data[:8])[0]
    weights = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            weights[name] = torch.frombuffer(data[start + begin:start + end], dtype=torch.float32).view(entry["shape"])
    def network(x):
        for i, width in enumerate(card["hidden"]):
            y = F.linear(x, weights[f"layer_{i}.weight"], weights[f"layer_{i}.bias"])
            if card["layer_norm"]:
                y = F.layer_norm(y, (width,), weights[f"norm_{i}.weight"], weights[f"norm_{i}.bias"])
            y = {"relu": F.relu, "tanh": torch.tanh, "elu": F.elu}[card["activation"]](y)
            x = y + F.pad(x, (0, width - x.shape[-1])) if card["skip"] and i else y
        return F.linear(x, weights["head.weight"], weights["head.bias"])
    return network
"""


def loader() -> Any:
    """Take the loader that the README prints."""
    printed = re.search(r"```python\n(import json, struct\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(printed[1] if printed else LOADER, names)
    return names["load"]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "journal.jsonl"
    return journal.read_rows(path.read_bytes(), path)[0]


def search(folder: Path, *more: str) -> str:
    """Search and compare in this process and, for the training from scratch, one other: what was printed."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(os, "cpu_count", lambda: 1)
        words = [*FLAGS, "--out", str(folder), *more]
        launch.main(lstm_reinforce.Agent, lstm_reinforce.Args, "lstm-reinforce", words)
    return said.getvalue()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Search and compare once: the run folder, and what was printed."""
    folder = tmp_path_factory.mktemp("protocol") / "run"
    return folder, search(folder)


@pytest.fixture(scope="module")
def content(compared: tuple[Path, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((compared[0] / "protocol.json").read_text())
    return found


# The comparison


def test_every_arm_brings_its_candidates(compared: tuple[Path, str], content: dict[str, Any]) -> None:
    folder, _ = compared
    assert [arm["arm"] for arm in content["arms"]] == ARMS
    brought = {arm: [c["architecture"] for c in content["candidates"] if c["arm"] == arm] for arm in ARMS}
    for arm, path in (("lstm-reinforce", folder), ("random-search", folder / "random-search")):
        assert brought[arm] == json.loads((path / "recommendation.json").read_text())["labels"]
        assert len(brought[arm]) == 3
    assert len(brought["drawn"]) == 3
    assert brought["default"] == ["depth=2 width=128 activation=relu"]
    for candidate in content["candidates"]:
        assert candidate["architecture"] == SPACE.label(np.array(candidate["action"]))
        assert len(candidate["scores"]) == 3


def test_each_arm_is_selected_on_its_selection_scores_and_so_is_the_winner(content: dict[str, Any]) -> None:
    means = {c["architecture"]: np.mean(c["scores"]) for c in content["candidates"]}
    for arm in content["arms"]:
        own = [means[c["architecture"]] for c in content["candidates"] if c["arm"] == arm["arm"]]
        assert means[arm["architecture"]] == max(own)
    best = max(content["arms"], key=lambda arm: means[arm["architecture"]])
    assert content["winner"] == best["arm"]


def test_only_fresh_seeds_are_reported(compared: tuple[Path, str], content: dict[str, Any]) -> None:
    orders = {
        path.name: json.loads(path.read_text())["order"] for path in (compared[0] / "retrain").glob("*.result.json")
    }
    selection = {tuple(order["seeds"]) for name, order in orders.items() if name.startswith("selection-")}
    report = {tuple(order["seeds"]) for name, order in orders.items() if name.startswith("report-")}
    assert len(selection) == len(report) == 1  # all architectures on the same seeds
    (chosen,), (reported,) = selection, report
    assert (len(set(chosen)), len(set(reported))) == (3, 5)
    assert not set(chosen) & set(reported)
    searched = {seed for row in rows_of(compared[0]) for seed in row.get("seeds", ())}
    assert not searched & {*chosen, *reported}
    assert sum(name.startswith("selection-") for name in orders) == len(
        {c["architecture"] for c in content["candidates"]}
    )
    assert sum(name.startswith("report-") for name in orders) == len({a["architecture"] for a in content["arms"]})


def test_scores_are_normalised_areas_under_the_reported_curves(content: dict[str, Any]) -> None:
    for arm in content["arms"]:
        curves = np.array(arm["curves"])
        assert curves.shape == (5, 2)
        assert arm["scores"] == pytest.approx(((curves - 22.3) / (475 - 22.3)).mean(1))
        assert arm["last_fifth"] == pytest.approx(curves[:, -1])
        network = SPACE.network_of(np.array(arm["action"]))
        assert (arm["parameters"], arm["flops"]) == (network.parameters(4, 2), network.flops(4, 2))


def test_the_differences_are_paired_and_undecided_where_they_contain_zero(content: dict[str, Any]) -> None:
    arms = {arm["arm"]: arm for arm in content["arms"]}
    assert arms["default"]["difference"] is None
    for arm in arms.values():
        if arm["architecture"] == arms["default"]["architecture"]:
            assert arm["scores"] == arms["default"]["scores"]
            continue
        low, high = stats.mean_interval(np.array(arm["scores"]) - arms["default"]["scores"])
        verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
        assert arm["difference"] == {"low": low, "high": high, "verdict": verdict}


def test_all_steps_are_counted_those_of_the_searches_included(
    compared: tuple[Path, str], content: dict[str, Any]
) -> None:
    folder, said = compared
    assert content["steps"] == STEPS
    candidates, arms = ({one["architecture"] for one in content[key]} for key in ("candidates", "arms"))
    assert content["retraining_steps"] == STEPS * (3 * len(candidates) + 5 * len(arms))
    searched = {"lstm-reinforce": folder, "random-search": folder / "random-search"}
    for arm, path in searched.items():
        counted = sum(sum(row.get("env_steps", ())) for row in rows_of(path))
        assert counted > 3 * 2 * 100  # the windows, and the episodes that chose the member to export
        assert content["search_steps"][arm] == counted
    total = content["retraining_steps"] + sum(content["search_steps"].values())
    assert f"together {total:,}" in said


def test_the_control_searched_at_the_same_budget(compared: tuple[Path, str]) -> None:
    own, control = (rows_of(folder) for folder in (compared[0], compared[0] / "random-search"))
    assert own[0]["settings"] == control[0]["settings"]
    assert [row["call"] for row in own] == [row["call"] for row in control]
    assert [row.get("action") for row in own] != [row.get("action") for row in control]


def test_the_table_prints_every_arm_and_the_files_are_named(
    compared: tuple[Path, str], content: dict[str, Any]
) -> None:
    folder, said = compared
    for arm in content["arms"]:
        (line,) = [line for line in said.splitlines() if line.startswith(f"│ {arm['arm']}")]
        assert f"{np.mean(arm['scores']):.3f}" in line
        assert (arm["difference"] or {"verdict": "is the default"})["verdict"] in line
        assert ("(selected)" in line) == (arm["arm"] == content["winner"])
    for file in ("protocol.json", "report.html", "best.json", "best.safetensors"):
        assert str(folder / file) in said
        assert (folder / file).exists()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "[+0.100, +0.200]  better"), (-0.2, -0.1, "worse"), (-0.1, 0.1, "[-0.100, +0.100]  undecided")],
)
def test_an_interval_is_printed_with_what_it_decides(
    low: float, high: float, words: str, content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    difference = {"low": low, "high": high, "verdict": words.split()[-1]}
    changed = {**content, "arms": [{**content["arms"][0], "difference": difference}, *content["arms"][1:]]}
    protocol.print_table(changed)
    assert words in capsys.readouterr().out


def test_retraining_starts_from_scratch_in_full_windows_whatever_the_search_did() -> None:
    settings = Settings(transfer="shared", reward="improvement", cost_weight=1.0, windows=30, window_steps=100)
    own, steps = scratch.retraining(settings, 60_000)
    assert (own.window_steps, own.windows, steps) == (2500, 24, 60_000)
    assert (own.transfer, own.reward, own.cost_weight) == ("own", "return", 0.0)
    assert Problem(own).horizon == 60_000


# Going on


def test_a_comparison_killed_while_it_retrains_goes_on_and_ends_alike(
    compared: tuple[Path, str], content: dict[str, Any], kill: Callable[[subprocess.Popen[str]], int], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-W", "ignore", "-c", ONE_CORE, "search", "lstm-reinforce", *FLAGS, "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(list(folder.glob("retrain/*.result.json"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    assert kill(process) > 0
    assert not (folder / "protocol.json").exists()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("retrain/*.result.json")}

    search(folder, "--resume")
    assert json.loads((folder / "protocol.json").read_text()) == content
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was done is not done again
    for file in ("best.safetensors", "best.json"):
        assert (folder / file).read_bytes() == (compared[0] / file).read_bytes()


def test_a_control_that_fails_is_told_with_the_place_of_its_words(tmp_path: Path) -> None:
    args = lstm_reinforce.Args(windows=1, window_steps=100, inner=INNER, out=tmp_path)
    (tmp_path / "random-search").write_text("a file where a folder is needed")
    (tmp_path / "config.json").write_text('{"settings": {"evaluation_steps": 5000}}')
    with protocol.Control(args, "lstm-reinforce") as control:
        control.start(tmp_path)
        with pytest.raises(ValueError, match=r"random search, the control, failed: see .*random-search\.log"):
            control.finish(tmp_path)
    assert "Error" in (tmp_path / "random-search.log").read_text()


def test_the_control_of_an_agent_of_single_choices_acts_by_whole_architectures(tmp_path: Path) -> None:
    own = {"env_id": "ArchSearch-Synthetic-Sequential-v0", "space": "grid:2x2", "windows": 2, "out": tmp_path}
    (tmp_path / "config.json").write_text('{"settings": {"evaluation_steps": 0}}')
    with protocol.Control(dqn.Args(**own), "dqn") as control:
        control.start(tmp_path)
        control.finish(tmp_path)
    config = json.loads((tmp_path / "random-search" / "config.json").read_text())
    assert config["args"]["env_id"] == "ArchSearch-Synthetic-v0"


def test_the_table_of_a_planted_landscape_does_not_say_trained(
    content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    protocol.print_table(content, trains=False)
    said = capsys.readouterr().out
    assert "Nothing trained: scored on the planted landscape as if trained for " in said
    assert "from scratch for" not in said


def test_random_search_needs_no_control(tmp_path: Path) -> None:
    with protocol.Control(lstm_reinforce.Args(out=tmp_path), "random-search") as control:
        control.start(tmp_path)
        control.finish(tmp_path)
    assert not any(tmp_path.iterdir())


# The network that is taken away


def test_the_winner_is_exported_with_the_weights_of_its_best_seed(
    compared: tuple[Path, str], content: dict[str, Any]
) -> None:
    folder, _ = compared
    (winner,) = [arm for arm in content["arms"] if arm["arm"] == content["winner"]]
    card = json.loads((folder / "best.json").read_text())
    assert card["action"] == winner["action"]
    assert card["parameters"] == winner["parameters"]
    kept = folder / "retrain" / protocol.slug("report", winner["architecture"])
    assert (folder / "best.safetensors").read_bytes() == kept.with_name(f"{kept.name}.safetensors").read_bytes()

    settings, _ = scratch.retraining(Settings(**rows_of_settings(folder)), STEPS)
    seeds = json.loads(kept.with_name(f"{kept.name}.result.json").read_text())["order"]["seeds"]
    best = int(np.argmax(winner["last_fifth"]))
    keywords = {name: value for name, value in settings.to_dict().items() if name != "trainer_settings"}
    envs = gym.make_vec("ArchSearch-DQN-v0", num_envs=5, **{**keywords, **settings.trainer_settings})
    envs.unwrapped._lives.reset(seeds, range(5))
    for _ in range(settings.windows):
        envs.step(np.tile(winner["action"], (5, 1)))
    observations = torch.linspace(-2, 2, 40).view(10, 4)
    expected = envs.unwrapped.export(np.array(winner["action"]), best)(observations)
    assert torch.equal(loader()(str(folder / "best"))(observations), expected)


def rows_of_settings(folder: Path) -> dict[str, Any]:
    return {
        name: value
        for name, value in rows_of(folder)[0]["settings"].items()
        if name not in ("num_envs", "task_settings")
    }


@pytest.mark.filterwarnings("ignore:window_steps=60 is shorter")
@pytest.mark.parametrize(
    ("space", "label"),
    [
        ("mlp", "depth=3 width=64 activation=elu"),
        ("mlp", "depth=2 width=32 activation=tanh"),
        ("mlp-wide", "depth=1 width_1=16 activation=relu layer_norm=True"),
        ("mlp-wide", "depth=4 width_1=16 width_2=64 width_3=32 width_4=32 activation=elu layer_norm=False skip=True"),
        ("mlp-wide", "depth=3 width_1=128 width_2=16 width_3=64 activation=tanh layer_norm=True skip=True"),
    ],
)
def test_twenty_lines_that_need_torch_alone_load_what_was_saved(space: str, label: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"envs_per_member": 1, "window_steps": 60, "learning_starts": 20, "batch_size": 8}
    env = gym.make("ArchSearch-DQN-v0", space=space, **settings)
    env.reset(seed=0)
    action = env.unwrapped.search_space.parse(label)
    env.step(action)
    env.unwrapped.save(str(tmp_path), action)
    observations = torch.linspace(-2, 2, 40).view(10, 4)
    network = loader()(str(tmp_path / "best"))
    torch.testing.assert_close(network(observations), env.unwrapped.export(action)(observations), rtol=0, atol=1e-6)
    observations.requires_grad_()
    assert network(observations[0]).shape == (2,)


def test_the_loader_is_at_most_twenty_lines_and_imports_torch_alone() -> None:
    assert len([line for line in LOADER.splitlines() if line.strip()]) <= 20
    imported = {word for line in LOADER.splitlines() if "import" in line for word in re.findall(r"\w+", line)}
    assert imported == {"import", "from", "as", "json", "struct", "torch", "nn", "functional", "F"}
