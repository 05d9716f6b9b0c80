"""`archgym doctor`: proves on this machine that an action takes effect. One line per check; fails if one does.

With `--speed` it measures instead, see `archgym.speed`.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from archgym import table, table_card
from archgym.inner.envs import backend, open_inner_envs
from archgym.inner.tasks import get_task
from archgym.population import Population, find_device
from archgym.problem import Problem
from archgym.settings import Settings
from archgym.supernet import FIELDS

SETTINGS: dict[str, Any] = {"windows": 4, "window_steps": 800, "learning_starts": 200}
STEPS = 300  # of the comparison of EnvPool with the fallback


class Failed(Exception):
    """What a check found wrong: no assertion, which `python -O` leaves out."""


@dataclass(frozen=True)
class Args:
    """Check this machine."""

    device: str = "cpu"
    """Where the networks lie."""
    speed: bool = False
    """Measure this machine against the bounds instead, in about half a minute."""


def main(args: Args) -> int:
    """Run all checks, or measure the machine.

    Returns:
        The exit code: 1 if a check failed.

    Raises:
        ValueError: If there is no such device, or the speed of another than the processor is asked for.
    """
    import torch

    find_device(args.device)
    torch.set_num_threads(1)
    if args.speed:
        if args.device != "cpu":
            raise ValueError(f"--speed: expected --device cpu (it measures one core), got {args.device!r}.")
        from archgym import speed

        return speed.main()
    checks: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("two architectures give different forward passes", forward_passes),
        ("a window changes exactly the weights of the chosen subnet", changed_weights),
        ("the same seed repeats, another does not", seeds),
        ("EnvPool and the fallback agree on CartPole's dynamics", dynamics),
        ("the device works", device_works),
        ("the tables that come with archgym are whole", tables_load),
    )
    failures = 0
    for name, check in checks:
        try:
            print(f"ok    {name}: {check(args.device)}", flush=True)
        except Failed as error:
            failures += 1
            print(f"FAIL  {name}: {error}", flush=True)
    print("all checks passed" if not failures else f"{failures} of {len(checks)} checks failed")
    return 1 if failures else 0


def expect(holds: bool, otherwise: str) -> None:
    """Let a check fail where something does not hold.

    Raises:
        Failed: If it does not.
    """
    if not holds:
        raise Failed(otherwise)


def population(device: str, seed: int = 1) -> Population:
    """Make a small one."""
    made = Population(Problem(Settings.from_keywords({**SETTINGS, "device": device})), 1)
    made.reset([seed])
    return made


def forward_passes(device: str) -> str:
    """Compare the values that two architectures of one supernet give the same observations."""
    import torch

    from archgym.export import module

    made = population(device)
    space = made.problem.space
    inputs = made.problem.inputs
    assert isinstance(inputs, int), "the task of these checks observes vectors"
    observations = torch.linspace(-1, 1, 8 * inputs).view(8, -1)
    outputs = []
    for architecture in (space.default_architecture, space.neighbours(space.default_architecture)[0]):
        outputs.append(module(made.problem, architecture, made.weights(0, architecture))(observations))
    gap = float((outputs[0] - outputs[1]).detach().abs().max())
    expect(gap > 1e-4, f"they differ by {gap} only")
    return f"they differ by up to {gap:.3f}"


def changed_weights(device: str) -> str:
    """Compare all weights of a supernet before and after a window."""
    made = population(device)
    architecture = np.zeros(len(made.problem.space.choices), dtype=np.int64)
    made.train_window(architecture[None])  # fills the replay, so that the next window trains from its first step on
    store = made.lifetimes[0].stores[""]
    before = {name: store.supernet.fields[name].clone() for name in FIELDS}
    made.train_window(architecture[None])
    inside = store.supernet.layout.positions(made.problem.space.network_of(architecture)).cpu()
    moved = (before["weight"] != store.supernet.fields["weight"]).cpu()
    outside = ~moved.new_zeros(moved.shape).scatter(0, inside, True)
    share = float(moved[inside].float().mean())
    still = all(bool((before[n] == store.supernet.fields[n]).cpu()[outside].all()) for n in FIELDS)
    expect(still, "numbers outside the chosen subnet moved")
    expect(share > 0.5, f"only {share:.0%} of the chosen subnet's weights moved")
    return f"{share:.0%} of its weights moved, nothing else did (dead units account for the rest)"


def seeds(device: str) -> str:
    """Train one window three times."""
    returns = []
    for seed in (1, 1, 2):
        made = population(device, seed)
        returns.append(made.train_window(made.problem.space.default_architecture[None])[0].raw_return)
    first, again, other = returns
    expect(first == again, f"the same seed gave returns of {first} and {again}")
    expect(first != other, f"two seeds gave the same return, {first}")
    return f"returns {first:.3f}, {again:.3f}; {other:.3f}"


def dynamics(device: str) -> str:
    """Step CartPole from the same state in EnvPool and in Gymnasium."""
    import gymnasium as gym

    task = get_task("CartPole-v1")
    used = backend(task)
    if used != "envpool":
        return "EnvPool is not installed here; Gymnasium steps all tasks"
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = open_inner_envs(replace(task, episode_limit=10_000), [7])
        single: Any = gym.make("CartPole-v1", max_episode_steps=10_000).unwrapped
        single.reset()
        observation, gap, fresh = pool.reset(), 0.0, True
        for _ in range(STEPS):
            action = int(rng.integers(2))
            if fresh:
                single.state = observation[0].astype(np.float64)
                single.steps_beyond_terminated = None
            own, _, done, _, _ = single.step(action)
            step = pool.step(np.array([action]))
            gap = max(gap, float(np.abs(own - step.observation[0]).max()))
            expect(done == step.terminated[0], "one ended an episode and the other did not")
            observation, fresh = step.observation, True
            if done:
                observation = pool.step(np.array([0])).observation
        pool.close()
    expect(gap < 1e-5, f"observations differ by {gap}")
    return f"{STEPS} steps differ by at most {gap:.0e}"


def device_works(device: str) -> str:
    """Train a window there."""
    made = population(device)
    result = made.train_window(made.problem.space.default_architecture[None])[0]
    expect(not result.diverged, "the learner diverged")
    expect(result.gradient_steps > 0, "no gradient step was made")
    return f"{device}: {result.gradient_steps} gradient steps"


def tables_load(device: str) -> str:
    """Load every shipped table, which verifies its checksum."""
    names = table_card.shipped()
    for name in names:
        try:
            table.load(name)
        except ValueError as error:
            raise Failed(str(error)) from error
    return f"{len(names)} loaded" if names else "none is installed"
