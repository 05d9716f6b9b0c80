"""One search: an agent acts on an environment until the lifetimes end, and leaves a run folder behind."""

import importlib.util
import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archgym import budget
from archgym.files import read_json, write_json
from archgym.journal import read_rows
from archgym.lookup import unknown
from archgym.problem import Problem
from archgym.provenance import versions
from archgym.runs import agent_state
from archgym.search_space import Architecture, SearchSpace
from archgym.settings import INHERITED, Settings
from archgym.stats import ranking, switch_rates
from archgym.window import WindowResult

RECOMMENDATIONS = 3
LISTED = 8  # members whose rates are printed one by one
TABULAR = "-Tabular"  # in the ids of environments on recorded tables
SEQUENTIAL = "-Sequential-v0"  # ids of the views that ask one choice at a time
AGENT_SECONDS = "charts/agent_seconds"  # tag of what the agent took to decide on a window, and to learn from it
AGENT_STREAM = 100  # key of the agent's own random numbers below the seed


@dataclass(frozen=True)
class SearchArgs:
    """What every search has; agents add their own arguments below these."""

    env_id: str = "ArchSearch-DQN-v0"
    """The environment."""
    task: str = "CartPole-v1"
    """The inner problem: see `archgym list`, or any Gymnasium id."""
    space: str = "mlp"
    """The search space: see `archgym list`, or the dotted name of a module."""
    windows: int = 24
    """Windows in a lifetime: how many architectures a member tries."""
    window_steps: int | None = None
    """Inner environment steps of one member in a window; None: follows from the task."""
    window_episodes: int | None = None
    """A window lasts until so many of its member's episodes have ended, or --window-steps are taken; None: these."""
    num_envs: int = 1
    """Lifetimes side by side, K."""
    transfer: str | None = None
    """What an architecture inherits at a switch: shared, matching, net2net, distil, own or fresh; None: as the
    environment says, shared where networks are trained and own on a table."""
    distil_steps: int | None = None
    """Gradient steps of distil at a switch; None: 400."""
    optimizer: str | None = None
    """Adam's moments of what is inherited at a switch: keep or reset; None: as the environment says (keep)."""
    replay_keep: float | None = None
    """Share of the replay that is kept at a switch; None: as the environment says (1)."""
    exploration: str | None = None
    """The exploration rate at a switch: continue, bump or restart; None: as the environment says (continue)."""
    reset_layers: int | None = None
    """So many of the last layers begin anew in every window; None: as the environment says (0)."""
    reward: str = "return"
    """What a window earns: return, improvement or evaluation."""
    evaluation_steps: int | None = None
    """Inner environment steps for greedy evaluations: those that the agent asks for, and the one at the end, which
    takes what is left; None: what the agent says it asks for, and 10 episodes of every lifetime at the end."""
    cost_weight: float = 0.0
    """The reward loses this much times log(FLOPs / FLOPs of the default architecture)."""
    max_params: int | None = None
    """Most parameters that an architecture may have."""
    preset: str = "default"
    """Settings of the inner trainer by name: default, cleanrl, or atari (of the DQN)."""
    inner: tuple[str, ...] = ()
    """Single settings of the inner trainer, as name=value."""
    seed: int = 1
    """Seed of everything."""
    device: str = "cpu"
    """Where the inner networks lie."""
    table: str | None = None
    """A recorded table that windows are looked up in, not trained: a file (.npz) or a name of `archgym list`; None: as
    the environment says. With the ids of tables (`ArchSearch-DQN-Tabular-v0`)."""
    recommendations: int = RECOMMENDATIONS
    """How many architectures the search recommends at its end, best first."""
    paper: str | None = None
    """A paper's experiment (`archgym list`): its task, space and settings hold where no flag says otherwise."""
    out: Path | None = None
    """Run folder; None: runs/<env>__<agent>__<seed>__<time>."""
    resume: bool = False
    """Go on with the search in --out."""
    start_from: Path | None = None
    """Begin with what an earlier search of the same agent has learned: its run folder, or the agent.npz in it."""
    retrain: int | None = None
    """Afterwards train the recommended architectures from scratch for so many steps, beside random search's and the
    default, and compare."""

    def environment(self) -> dict[str, Any]:
        """Give the environment's keyword arguments."""
        names = (
            *("task", "space", "windows", "window_steps", "reward", "evaluation_steps"),
            *("cost_weight", "max_params", "preset", "device"),
        )
        inner = parse_settings(self.inner)
        for name in inner:
            if name in SearchArgs.__dataclass_fields__ or name in ("journal", "illegal"):
                raise ValueError(f"--inner: expected settings without a flag of their own, got {name}.")
        given = {name: getattr(self, name) for name in names}
        asked = ("transfer", "distil_steps", *INHERITED, "table", "window_episodes", "paper")
        optional = {name: getattr(self, name) for name in asked}
        return given | {name: value for name, value in optional.items() if value is not None} | inner

    @property
    def transfer_rule(self) -> str:
        """What an architecture inherits, by the environment's id where no flag says it."""
        return self.transfer or str(gym.spec(self.env_id).kwargs.get("transfer", Settings.transfer))

    @property
    def proxy(self) -> str | None:
        """What recommendations are ranked by, if that takes no training from scratch: what `study one-shot` is about.

        None where an agent ranks by what the windows earned.
        """
        return None

    def settings(self) -> Settings:
        """Give the settings of the environment, its trainer included."""
        return Settings.from_keywords({**gym.spec(self.env_id).kwargs, **self.environment()})


class Agent(Protocol):
    """What acts on the vector environment. `recommend(k)` is optional: the incumbent's rule stands in for it.

    An agent that scores architectures by `envs.unwrapped.evaluate` has an attribute `asked_episodes`: how many greedy
    episodes it will ask for at most, all of them together, the selection in `recommend` included. The budget of a
    search has room for these, and what is not asked for is spent by the evaluation at the end.

    An agent acts on one kind of view, that of its default `--env-id`. On a sequential one an action decides one choice
    and most rewards are 0; the infos of a step that trained windows hold `env_steps`. `envs.unwrapped.action_masks()`
    tells what is legal there.

    An agent whose learning another search may go on with has `state` and `load_state` (`archgym.runs.agent_state`).
    """

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Choose actions, (K, choices) or (K,) on a sequential view, on observations (K, observation size)."""

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        """Learn from the rewards (K,) of the last actions; gives numbers to log, by tag."""


def incumbents(histories: Sequence[Sequence[WindowResult]], count: int) -> list[Architecture]:
    """Rank by the incumbent's rule (`stats.scores`), pooled over members.

    Args:
        histories: Windows of every member; what some members are ahead of the others does not count yet.
        count: How many to give.
    """
    windows = list(zip(*histories, strict=False))
    actions = np.array([[result.action for result in window] for window in windows])
    rewards = np.array([[result.reward for result in window] for window in windows])
    return [np.array(vector, dtype=np.int64) for vector in ranking(actions, rewards)[:count]]


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
    check(args)
    folder = run_folder(args, name)
    spent = planned(args, rehearse(agent_class, args, name))  # what is wrong is refused before anything is written
    if args.resume:
        check_resume(folder, args, name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
    envs = make(replace(args, evaluation_steps=spent), str(folder / "journal.jsonl"), args.resume)
    write_config(folder, args, name, envs)
    agent = begin(agent_class, envs, args, name)
    begun(folder)
    act(envs, agent, args, name, folder)
    if agent_state.continues(agent):
        agent_state.save(folder, agent, name, envs.unwrapped.search_space)
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
    from archgym.runs.events import EventWriter
    from archgym.runs.progress import Progress

    begin, steps, done = time.monotonic(), 0, 0
    seconds: list[float] = []
    space: SearchSpace = envs.unwrapped.search_space
    total, looks_up = args.windows * envs.num_envs, bool(envs.unwrapped.problem.settings.table)
    with Progress(f"{name} on {args.task}", total) as progress, EventWriter(folder) as writer:
        for rewards, infos, scalars in windows(envs, agent, args.seed):
            steps, done = steps + int(infos["env_steps"].sum()), done + envs.num_envs
            speed = steps / max(1e-9, time.monotonic() - begin)
            seconds.append(round(scalars[AGENT_SECONDS], 7))
            writer.add(steps, speed, rewards, infos, scalars)
            if progress.due(done):
                label = space.label(incumbents(envs.unwrapped.histories, 1)[0])
                median = np.median(infos["raw_return"])
                pace = f"{done / max(1e-9, time.monotonic() - begin):,.0f} windows/s looked up, nothing trained"
                pace = pace if looks_up else f"{speed:,.0f} steps/s"
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
    """
    observations, _ = envs.reset(seed=seed)
    over, seconds = False, 0.0
    while not over:
        clock = time.perf_counter()
        actions = agent.act(observations)
        seconds += time.perf_counter() - clock
        observations, rewards, terminations, _, infos = envs.step(actions)
        clock = time.perf_counter()
        scalars, over = agent.learn(rewards, infos), bool(terminations.all())
        seconds += time.perf_counter() - clock
        if "env_steps" in infos:
            yield rewards, infos, {**scalars, AGENT_SECONDS: seconds}
            seconds = 0.0


def finish(envs: Any, agent: Agent, folder: Path, count: int, page: bool) -> None:
    """Write down what the search came to."""
    space: SearchSpace = envs.unwrapped.search_space
    histories = envs.unwrapped.histories
    incumbent = incumbents(histories, 1)[0]
    chosen = agent.recommend(count) if hasattr(agent, "recommend") else incumbents(histories, count)
    chosen = [space.canonical(architecture) for architecture in chosen]
    scores = envs.unwrapped.evaluate_rest(np.tile(incumbent, (envs.num_envs, 1)))
    if envs.unwrapped.trains:  # the weights of the member that does best are exported
        envs.unwrapped.save(folder, incumbent, int(np.argmax(scores)))
    envs.close()
    path = folder / "journal.jsonl"
    steps = sum(sum(row["env_steps"]) for row in read_rows(path.read_bytes(), path)[0] if "env_steps" in row)
    content = {"architectures": [c.tolist() for c in chosen], "labels": [space.label(c) for c in chosen]}
    write_json(folder / "recommendation.json", {**content, "search_steps": steps})
    if page:
        from archgym.runs import report  # here: matplotlib is slow to load

        report.write(folder)
    print(f"\nRecommended: {'; '.join(content['labels'])}")
    if envs.unwrapped.problem.settings.table:
        print(f"Regret of the first, on the table's test seeds: {envs.unwrapped.regret(chosen[0]):.3f}.")
    print(reached(envs.unwrapped.problem, histories))
    print(switches(np.array([[result.action for result in history] for history in histories]).swapaxes(0, 1)))


def reached(problem: Problem, histories: Sequence[Sequence[WindowResult]]) -> str:
    """Tell how many members came up to the reference, and after how many steps of training, from their windows."""
    first = []
    for history in histories:
        solved = [result.normalised_return >= 1 for result in history]
        if any(solved):
            until = history[: solved.index(True) + 1]
            first.append(sum(result.env_steps - budget.played(problem) for result in until))
    text = f"{len(first)} of {len(histories)} members had a window with a return of {problem.reference_return:g}"
    return text + (f", the reference; the median of them after {np.median(first):,.0f} steps." if len(first) else ".")


def switches(actions: NDArray[np.int64]) -> str:
    """Tell how often members exchanged their architecture and went back, from actions (windows, members, choices)."""
    texts = []
    for name, values in zip(("Switch rate", "oscillation (A, B, A)"), switch_rates(actions), strict=True):
        each, rates = "", [f"{100 * value:.0f}" for value in (*values, np.median(values), min(values), max(values))]
        if 1 < len(values) <= LISTED:
            each = f" (by member {', '.join(rates[:-3])})"
        elif len(values) > LISTED:
            each = f" (of the {len(values)} members: median {rates[-3]}, range {rates[-2]} to {rates[-1]})"
        texts.append(f"{name} {100 * values.mean():.1f} %{each}")
    return f"{', '.join(texts)}."


def view(env_id: str, args_class: type[SearchArgs]) -> str:
    """Give the view of an environment that an agent acts on: the one that its own default is."""
    whole = env_id.removesuffix(SEQUENTIAL) + "-v0" if env_id.endswith(SEQUENTIAL) else env_id
    return whole.removesuffix("-v0") + SEQUENTIAL if _by_choices(args_class) else whole


def check_view(envs: Any, args: SearchArgs) -> None:
    """Refuse the view that an agent does not act on.

    Raises:
        ValueError: If it asks for single choices of an agent whose default asks for whole architectures, or the
            reverse.
    """
    by_choices = _by_choices(type(args))
    if hasattr(envs.unwrapped, "action_masks") != by_choices:
        kind, near = "single choices" if by_choices else "whole architectures", view(args.env_id, type(args))
        hint = f" ({near})" if near in gym.registry else ""
        raise ValueError(f"--env-id: expected a view whose actions are {kind}{hint}, got {args.env_id}.")


def _by_choices(args_class: type[SearchArgs]) -> bool:
    return str(args_class.__dataclass_fields__["env_id"].default).endswith(SEQUENTIAL)


def run_folder(args: SearchArgs, name: str) -> Path:
    """Name the run folder."""
    if args.out is not None:
        return args.out
    if args.resume:
        raise ValueError("--resume: expected the folder of the search to go on with (--out DIR), got none.")
    return Path("runs") / f"{args.env_id.split(':')[-1]}__{name}__{args.seed}__{int(time.time())}"


def check(args: SearchArgs) -> None:
    """Refuse what nothing else would refuse with a sentence."""
    if args.seed < 0:
        raise ValueError(f"--seed: expected an integer of at least 0, got {args.seed}.")
    if args.retrain is not None and args.retrain < 1:
        raise ValueError(f"--retrain: expected a positive number of steps, got {args.retrain}.")
    if args.recommendations < 1:
        raise ValueError(f"--recommendations: expected a positive number, got {args.recommendations}.")
    module, _, name = args.env_id.rpartition(":")
    if module and importlib.util.find_spec(module.split(".")[0]) is None:
        raise ValueError(f"unknown environment {args.env_id!r}: there is no module {module!r} to import.")
    known = [name for name in gym.registry if name.startswith("ArchSearch-")]
    if module in ("", "archgym") and name not in known:
        raise unknown("environment", args.env_id, known)
    if args.table and args.transfer is None and not _keywords(args.env_id).get("table"):
        ending = SEQUENTIAL if args.env_id.endswith(SEQUENTIAL) else "-v0"
        near = args.env_id.removesuffix(ending) + TABULAR + ending
        hint = f" (--env-id {near})" if near in gym.registry else ""
        raise ValueError(
            f"--table: expected an environment on recorded tables with it{hint}, got {args.env_id}, which trains "
            "networks."
        )


def trains(args: SearchArgs) -> bool:
    """Tell whether a search trains networks, as far as its arguments say."""
    own = _keywords(args.env_id)
    return not args.table and not own.get("table") and own.get("trainer") != "synthetic"


def _keywords(env_id: str) -> dict[str, Any]:
    """Give the keyword arguments that an environment's id brings along."""
    spec = gym.registry.get(env_id.rpartition(":")[2])
    return spec.kwargs if spec else {}


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
                f"{recorded['args'].get(key)!r} and is now {value!r}."
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


def as_json(args: SearchArgs) -> dict[str, Any]:
    """Give the arguments as JSON takes them."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(args), default=str))
    return content


def flags(args: Any) -> list[str]:
    """Write arguments, a dataclass, that differ from their defaults as flags, but not where and whether to resume."""
    words: list[str] = []
    for item in fields(args):
        value = getattr(args, item.name)
        if value == item.default or item.name in ("out", "resume"):
            continue
        flag = item.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read name=value pairs; values are JSON where they can be."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise ValueError(f"--inner: expected name=value, got {pair!r}.")
        try:
            settings[name] = json.loads(text.lower() if text in ("True", "False") else text)
        except json.JSONDecodeError:
            settings[name] = text
    return settings


def agent_rng(args: SearchArgs) -> np.random.Generator:
    """Build the agent's own generator, apart from everything the environment draws."""
    return np.random.default_rng(np.random.SeedSequence(args.seed, spawn_key=(AGENT_STREAM,)))
