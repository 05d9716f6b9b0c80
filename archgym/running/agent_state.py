"""What an agent has learned, as one file: `agent.npz` of a run folder, and `--start-from`.

An agent that can be continued has two methods. `state()` gives what it has learned as arrays by name; `load_state`
takes that back, in an agent made with the same arguments. What follows the seed of a search (random numbers, warm-ups)
is no part of it, nor is a baseline: the level of the rewards is the task's. The file is a NumPy archive without pickled
objects; its entry `card` is JSON that tells agent and choices.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archgym import files
from archgym.search_space import SearchSpace

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

FILE = "agent.npz"
CARD = "card"
SCHEMA = 1
SETTING = "setting."  # what the names of a network's settings begin with
State = dict[str, NDArray[Any]]


def continues(agent: object) -> bool:
    """Tell whether an agent gives what it has learned, and takes it back."""
    return hasattr(agent, "state") and hasattr(agent, "load_state")


def save(folder: Path, agent: Any, name: str, space: SearchSpace) -> None:
    """Write what an agent has learned into a run folder, wholly or not at all.

    Args:
        folder: The run folder.
        agent: One that `continues`.
        name: Its name.
        space: What it searched.
    """
    card = json.dumps({"schema": SCHEMA, "agent": name, "choices": choices(space)}).encode()
    buffer = io.BytesIO()
    np.savez(buffer, **{CARD: np.frombuffer(card, np.uint8), **agent.state()})
    files.write(folder / FILE, buffer.getvalue())


def load(path: Path, agent: Any, name: str, space: SearchSpace) -> None:
    """Let an agent begin with what another search of it has learned.

    Args:
        path: A run folder, or the file in it.
        agent: That is to begin.
        name: Its name.
        space: What it will search.

    Raises:
        ValueError: If the agent has nothing to begin with, or the file is missing, damaged, of another agent, of
            another search space, or of other settings of the agent.
    """
    if not continues(agent):
        raise ValueError(
            f"--start-from: expected an agent that can go on with what another search has learned, got {name!r}."
        )
    file = file_of(path)
    if not file.is_file():
        raise ValueError(f"--start-from: expected a run folder with an {FILE}, or such a file, found none at {path}.")
    card, state = read(file)
    if card.get("agent") != name:
        raise ValueError(
            f"--start-from: expected what {name!r} has learned, got that of {card.get('agent')!r} in {file}."
        )
    if card.get("choices") != choices(space):
        raise ValueError(
            f"--start-from: expected what was learned on the choices of {space.name!r} ({said(choices(space))}), got "
            f"{said(card.get('choices'))} in {file}."
        )
    agent.load_state(state)


def read(file: Path) -> tuple[dict[str, Any], State]:
    """Read a file: its card, and the arrays.

    Raises:
        ValueError: If it is damaged, or none of archgym's.
    """
    try:
        with zipfile.ZipFile(file) as archive, np.load(file, allow_pickle=False) as found:
            broken = archive.testzip()
            if broken is not None:
                raise ValueError(f"{broken} was altered")
            arrays = {name: found[name] for name in found.files}
        card = json.loads(arrays.pop(CARD).tobytes())
        if card["schema"] != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}, got {card['schema']!r}")
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"--start-from: {file} is damaged, or not what an agent has learned ({error}).") from error
    return card, arrays


def file_of(path: Path) -> Path:
    """Give the file of a run folder, or the file itself."""
    return path / FILE if path.is_dir() else path


def check_of(path: Path | None) -> str | None:
    """Give a checksum of what a search begins with, for its record; None: it begins with nothing."""
    return None if path is None else f"{zlib.crc32(file_of(path).read_bytes()):08x}"


def choices(space: SearchSpace) -> list[Any]:
    """List the choices with their options, as JSON takes them."""
    return [[choice.name, list(choice.options)] for choice in space.choices]


def said(own: Any) -> str:
    """Write such a list in a sentence."""
    return ", ".join(f"{name} {'/'.join(map(str, options))}" for name, options in own or []) or "none"


def same_shape(state: Mapping[str, NDArray[Any]], own: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a state whose arrays are not those that an agent itself would give.

    Raises:
        ValueError: If one is missing, strange, or of another shape: the agent had other settings.
    """
    for name in sorted({*state, *own}):
        was, now = (part[name].shape if name in part else None for part in (state, own))
        if was != now:
            raise ValueError(
                f"--start-from: expected an agent of the same settings as this one; {name} has shape {now} here and "
                f"{was} in what was learned."
            )


def of_network(network: "nn.Module", optimizer: "Optimizer", settings: Mapping[str, float]) -> State:
    """Give the weights of a network and its optimizer's numbers (0 where it has made no step yet).

    Args:
        network: Whose weights.
        optimizer: Adam of these.
        settings: What they are read with, numbers by name.
    """
    state: State = {f"{SETTING}{name}": np.array(value) for name, value in settings.items()}
    state |= {f"network.{name}": value.detach().numpy().copy() for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            own = optimizer.state[parameter].get(key) if parameter in optimizer.state else None
            shape = () if key == "step" else tuple(parameter.shape)
            state[f"{key}.{name}"] = np.zeros(shape, np.float32) if own is None else own.detach().numpy().copy()
    return state


def into_network(
    network: "nn.Module", optimizer: "Optimizer", settings: Mapping[str, float], state: Mapping[str, NDArray[Any]]
) -> None:
    """Put weights and Adam's numbers back, as `of_network` gave them.

    Raises:
        ValueError: If they are those of another network, or of one with other settings.
    """
    import torch

    same_shape(state, of_network(network, optimizer, settings))
    for name, value in settings.items():
        if (was := float(state[f"{SETTING}{name}"])) != value:
            raise ValueError(
                f"--start-from: expected an agent of the same settings as this one; {name} is {_limit(value)} here and "
                f"{_limit(was)} in what was learned."
            )
    weights = {name: torch.from_numpy(state[f"network.{name}"].copy()) for name in network.state_dict()}
    network.load_state_dict(weights)
    for name, parameter in network.named_parameters():
        keys = ("step", "exp_avg", "exp_avg_sq")
        optimizer.state[parameter] = {key: torch.from_numpy(state[f"{key}.{name}"].copy()) for key in keys}


def _limit(value: float) -> float | None:
    """Write a setting in a sentence as it is given; infinity is a limit that there is not."""
    return value if math.isfinite(value) else None
