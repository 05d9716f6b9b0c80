"""Which learner computes the gradient steps: the compiled one where it can, else torch's, else the reference."""

from types import ModuleType

import torch

from archgym.lookup import unknown
from archgym.native import library
from archgym.supernet import Family
from archgym.supernets import mlp

LEARNERS = ("auto", "native", "torch", "reference")


def find_learner(name: str, device: torch.device, family: Family | ModuleType, trainer: ModuleType) -> str:
    """Decide between the learners.

    Args:
        name: `native`, the compiled learner; `torch`, where the trainer has it: without autograd for multilayer
            perceptrons, and the reference in CUDA graphs for other networks on another device than the CPU (where there
            is nothing to capture), else the reference; `reference`; or `auto` for the first of them that can train, on
            another device than the CPU the reference (no GPU has run the graphs of `torch` yet).
        device: Where networks and replay lie.
        family: What the networks are.
        trainer: The inner algorithm; its `LEARNERS` name those that it has, the reference alone where it names none.

    Returns:
        `native`, `torch` or `reference`.

    Raises:
        ValueError: If the name is unknown, or the compiled learner is asked for where it cannot train.
    """
    if name not in LEARNERS:
        raise unknown("learner", name, LEARNERS)
    if name == "reference":
        return name
    had = getattr(trainer, "LEARNERS", ("reference",))
    fallback = "torch" if "torch" in had and (family is mlp or device.type != "cpu") else "reference"
    if name == "torch":
        return fallback
    reason = ""
    if device.type != "cpu":
        reason = f"it runs on the CPU, and device is {str(device)!r}"
    elif family is not mlp:
        reason = "it trains multilayer perceptrons, and the networks of this space are others"
    elif "native" not in had:
        reason = "this trainer has no compiled learner"
    elif library() is None:
        reason = "it was not built when archgym was installed, or cannot be loaded; a line in the log says why"
    if reason and name == "native":
        raise ValueError(f"learner: expected 'torch' or 'auto', got 'native': {reason}.")
    if device.type != "cpu":
        return "reference"
    return fallback if reason else "native"
