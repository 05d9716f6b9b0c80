"""One search: an agent acts on an environment until the lifetimes end, and leaves a run folder behind."""

import shlex
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym import budget
from archgym.files import read_json, write_json
from archgym.problem import Problem
from archgym.provenance import versions
from archgym.running import agent_state, claim
from archgym.running.agent import Agent, check_view, incumbents, own_code
from archgym.running.arguments import SearchArgs, as_json, check_arguments, flags
from archgym.running.outcome import finish
from archgym.search_space import SearchSpace

LONG = 20_000  # inner steps of an evaluation that is announced
AGENT_SECONDS = "charts/agent_seconds"  # tag of what the agent took to decide on a window, and to learn from it


def run(
    agent_class: Callable[[Any, Any], Agent],
    args: SearchArgs,
    name: str,
    begun: Callable[[Path], None] = lambda folder: None,
    page: bool = True,
) -> Path:
    """Run one search.

    Args:
        agent_class: Called with the environment and the arguments; once before, on an environment without a record, to
            see that it accepts them.
        args: What to search.
        name: The agent's, for folder and report.
        begun: Called with the run folder once everything is accepted and before anything is trained.
        page: Whether to write `report.html`.

    Returns:
        The run folder: `config.json`, `journal.jsonl`, TensorBoard events, `best.json`, `best.safetensors`,
        `recommendation.json`, `agent_seconds.json` (what the agent took, by window), `agent.npz` (what it has learned,
        of an agent that can go on with it), `report.html`.

    Raises:
        ValueError: If an argument is wrong; nothing has been trained or written then.
    """
    check_arguments(args)
    folder = run_folder(args, name)
    spent = planned(args, rehearse(agent_class, args, name))  # what is wrong is refused before anything is written
    if args.resume:
        check_resume(folder, args, name)
    else:
        if (folder / claim.FILE).exists():
            raise ValueError(f"{folder} holds a comparison or a study: choose another folder (--out).")
        folder.mkdir(parents=True, exist_ok=True)
    envs = make(replace(args, evaluation_steps=spent), str(folder / "journal.jsonl"), args.resume)
    write_config(folder, args, name, envs)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # it was said in the rehearsal
        agent = begin(agent_class, envs, args, name)
    begun(folder)
    act(envs, agent, args, name, folder)
    if agent_state.continues(agent):
        agent_state.save(folder, agent, name, envs.unwrapped.search_space)
    if (rest := envs.unwrapped.evaluation_left or 0) >= LONG:
        print(f"evaluating: {rest:,} inner steps of greedy episodes", flush=True)
    finish(envs, agent, folder, args.recommendations, page)
    return folder


def make(args: SearchArgs, journal: str = "", resume: bool = False) -> Any:
    """Make the environment of a search; without a journal nothing is recorded."""
    return gym.make_vec(args.env_id, num_envs=args.num_envs, journal=journal, resume=resume, **args.environment())


def begin(agent_class: Callable[[Any, Any], Agent], envs: Any, args: SearchArgs, name: str) -> Agent:
    """Make an agent, with what `--start-from` holds.

    Raises:
        ValueError: If the agent refuses its arguments, or what it is to start from.
    """
    agent = agent_class(envs, args)
    if args.start_from is not None:
        agent_state.load(args.start_from, agent, name, envs.unwrapped.search_space)
    return agent


def rehearse(agent_class: Callable[[Any, Any], Agent], args: SearchArgs, name: str) -> int:
    """Make the agent on an environment without a record, to see that it accepts its arguments.

    Returns:
        How many greedy episodes it says it will ask for.

    Raises:
        ValueError: If the environment or the agent refuses an argument, or the agent acts on another kind of view.
    """
    envs = make(args)
    check_view(envs, args)
    asked = getattr(begin(agent_class, envs, args, name), "asked_episodes", 0)
    envs.close()
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 0:
        raise ValueError(f"asked_episodes of the agent: expected an integer of at least 0, got {asked!r}.")
    return int(asked)


def planned(args: SearchArgs, asked: int) -> int:
    """Settle the inner steps of all evaluations of a search whose agent asks for so many episodes.

    Raises:
        ValueError: If it was given less than that.
    """
    problem = Problem(args.settings())
    return budget.planned(problem, args.num_envs, args.evaluation_steps, asked)


def act(envs: Any, agent: Agent, args: SearchArgs, name: str, folder: Path) -> None:
    """Let the agent act until every lifetime has had its windows."""
    from archgym.running.events import EventWriter
    from archgym.running.progress import Progress

    begin, steps, done = time.monotonic(), 0, 0
    seconds: list[float] = []
    space: SearchSpace = envs.unwrapped.search_space
    total, trains = args.windows * envs.num_envs, envs.unwrapped.trains
    found = "looked up" if envs.unwrapped.problem.settings.table else "scored"
    with Progress(f"{name} on {args.task}", total) as progress, EventWriter(folder) as writer:
        for rewards, infos, scalars in windows(envs, agent, args.seed):
            steps, done = steps + int(infos["env_steps"].sum()), done + envs.num_envs
            speed = steps / max(1e-9, time.monotonic() - begin)
            seconds.append(round(scalars[AGENT_SECONDS], 7))
            writer.add(steps, speed, rewards, infos, scalars)
            if progress.due(done):
                label = space.label(incumbents(envs.unwrapped.histories, 1)[0])
                median = np.median(infos["raw_return"])
                pace = f"{done / max(1e-9, time.monotonic() - begin):,.0f} windows/s {found}, nothing trained"
                pace = f"{speed:,.0f} steps/s" if trains else pace
                progress.update(done, f"return {median:.1f} (median), incumbent {label}, {pace}")
    write_json(folder / "agent_seconds.json", {"by_window": seconds})


def windows(
    envs: Any, agent: Agent, seed: int
) -> Iterator[tuple[NDArray[np.float64], dict[str, Any], dict[str, float]]]:
    """Let the agent act until every lifetime has had its windows, on any view.

    Args:
        envs: A vector environment whose members train their windows together, as they do if nothing illegal is done.
        agent: What acts.
        seed: Of the lifetimes.

    Yields:
        Rewards (K,), infos and the agent's scalars, whenever the members have trained a window; among the scalars the
        seconds that the agent took for it.

    Raises:
        RuntimeError: From a ValueError of the agent's own.
    """
    observations, _ = envs.reset(seed=seed)
    over, seconds = False, 0.0
    while not over:
        clock = time.perf_counter()
        with own_code():
            actions = agent.act(observations)
        seconds += time.perf_counter() - clock
        observations, rewards, terminations, _, infos = envs.step(actions)
        clock = time.perf_counter()
        with own_code():
            scalars = agent.learn(rewards, infos)
        over = bool(terminations.all())
        seconds += time.perf_counter() - clock
        if "env_steps" in infos:
            yield rewards, infos, {**(scalars or {}), AGENT_SECONDS: seconds}
            seconds = 0.0


def run_folder(args: SearchArgs, name: str) -> Path:
    """Name the run folder."""
    if args.out is not None:
        return args.out
    if args.resume:
        raise ValueError("--resume: expected the folder of the search to go on with (--out DIR), got none.")
    return Path("runs") / f"{args.env_id.split(':')[-1]}__{name}__{args.seed}__{int(time.time())}"


def check_resume(folder: Path, args: SearchArgs, name: str) -> None:
    """Refuse to go on with other arguments than a folder was made with.

    Raises:
        ValueError: If the agent is another, or one of its arguments, or the record of them is damaged.
    """
    recorded = read_json(folder / "config.json")
    if recorded is None:
        return
    if recorded["agent"] != name:
        raise ValueError(f"--resume: {folder} holds a search of {recorded['agent']!r}, not of {name!r}.")
    for key, value in as_json(args).items():
        if key not in ("resume", "out", "retrain") and recorded["args"].get(key) != value:
            raise ValueError(
                f"--resume: expected the arguments that {folder} was made with; {key} was "
                f"{recorded['args'].get(key)!r} and is now {value!r}. They were: {recorded['command']}."
            )
    if recorded.get("start") != agent_state.check_of(args.start_from):
        raise ValueError(f"--resume: {args.start_from} is not what {folder} began with; it was written anew since.")


def write_config(folder: Path, args: SearchArgs, name: str, envs: Any) -> None:
    """Write what was asked for, unless a resume finds it there."""
    path = folder / "config.json"
    if args.resume and path.exists():
        return
    config = {
        "agent": name,
        "command": " ".join(["archgym", "search", name, *map(shlex.quote, flags(args))]),
        "args": as_json(args),
        "start": agent_state.check_of(args.start_from),
        "settings": envs.unwrapped.problem.settings.to_dict(),
        "task_settings": envs.unwrapped.problem.task_settings,
        "versions": versions(),
    }
    write_json(path, config)
