"""Takes a subnet away: as a plain `torch.nn.Module`, or as two files that torch alone can read (see the README)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from archgym.files import share
from archgym.problem import Problem
from archgym.search_space import Architecture
from archgym.supernet import family_of


def module(problem: Problem, architecture: Architecture, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build a plain module that needs no archgym to run.

    It gives the values of all actions; an actor-critic (`actor_critic`) the logits of its policy, and behind them the
    value of what it sees.

    Args:
        problem: Where the architecture comes from.
        architecture: Which one.
        weights: Its tensors by name, as `Population.weights` gives them.
    """
    with torch.random.fork_rng(devices=[]):  # layers draw weights before they get theirs; not from a user's generator
        return family_of(problem.space).module(problem.space.network_of(architecture), weights)


def save(
    folder: Path, problem: Problem, architecture: Architecture, weights: Mapping[str, Tensor], name: str = "best"
) -> None:
    """Write `<name>.json`, which describes the network, and `<name>.safetensors`, which holds its weights.

    Args:
        folder: Where; it is made if it is not there.
        problem: Where the architecture comes from.
        architecture: Which one.
        weights: Its tensors by name, as `Population.weights` gives them.
        name: Of the files.
    """
    network = problem.space.network_of(architecture)
    card: dict[str, Any] = {
        "architecture": problem.space.label(architecture),
        "action": architecture.tolist(),
        "space": problem.space.name,
        "task": problem.task.id,
        "inputs": problem.inputs,
        "outputs": problem.outputs,
        **({"actor_critic": True} if problem.settings.actor_critic else {}),
        "parameters": network.parameters(problem.inputs, problem.outputs),
        "flops": network.flops(problem.inputs, problem.outputs),
        **family_of(problem.space).card(network),
    }
    # The head of this depth is the only head that the exported network has.
    tensors = {
        ("head" + key[key.index(".") :] if key.startswith("head_") else key): tensor.detach().cpu().contiguous()
        for key, tensor in weights.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / f"{name}.safetensors")
    share(folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
