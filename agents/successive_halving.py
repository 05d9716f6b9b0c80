"""Successive halving: many architectures for a short while, the better ones for eta times as long, and so on.

    rungs      r_i = min_resource eta^i up to max_resource   (resource: windows that an architecture was trained for)
    asha       a free member promotes from the highest rung that has an architecture among its top 1 / eta which was
               not promoted yet, and otherwise starts a new one
    halving    brackets of eta^s_max architectures; once all have reached a rung, the top 1 / eta of it go on
    hyperband  the same with s = s_max, ..., 0 in turn: ceil((s_max + 1) / (s + 1) eta^s) begin at rung s_max - s

Papers: Hyperband arXiv 1603.06560, ASHA arXiv 1810.05934. Architectures are compared within their rung only, where all
have had the same windows. What a window more is, is the transfer's business:

* `own`: training. A member keeps every architecture's learner, and choosing it again goes on exactly where it stopped.
  A rung is scored by the windows since the rung below. (A learner's schedule is laid out for
  `horizon` steps: give `--inner horizon=` of max_resource windows, or most of them are spent exploring.)
* `shared`, `fresh`: one more noisy measurement, on any member; a rung is scored by all of them, and the resource buys
  certainty. With `shared` rewards rise with the lifetime, so a trend is taken out: the smoothed first measurements of
  uniform draws, which do not depend on what was promoted meanwhile.

Workers of the papers load any paused learner, and so does a free member here (`--promotion fork`): with `own` it takes
a promoted architecture over from whichever member has it, by a fork of that learner alone (weights, optimizer, replay,
exploration). The learners that it has paused itself, its history and its seed stay: a fork of the whole member would
replace them, and ASHA may promote any paused learner while its rung grows. What was trained before was under the luck
of the member that began, what comes is under that of the one that goes on. What differs: a member does not give away
the last learner that it has, so that a small space never leaves it without one. With `--promotion owner` a promoted
architecture waits until the member that began it is free; others start new ones meanwhile (in the next bracket where
brackets are synchronous), so that rungs are pooled and nobody idles. With `shared` and `fresh` there is no learner to
carry, and a promotion is a measurement by any member.

`--sampler uniform` starts uniform draws, as the papers do. A search of a few hundred windows tries half as many
architectures that way as random search, and on planted landscapes its recommendation is no better. So two in three
starts are the best of 64 draws by a ridge regression of the scores on the options (the division of labour of BOHB,
arXiv 1807.01774, with another model: a choice of this project). It recommends the highest rung first, then the best
score there.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, check_idle
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.settings import SEPARATE

SCHEDULERS = ("asha", "halving", "hyperband")
SAMPLERS = ("model", "uniform")
PROMOTIONS = ("fork", "owner")
UNIFORM_SHARE = 1 / 3  # of the starts with `model`
CANDIDATES = 64  # uniform draws that the model chooses among
LEAST = 8  # architectures that the model is fitted to, at least
SMOOTHING = 0.15  # deviation of the trend's kernel, as a share of the lifetime


@dataclass(frozen=True)
class Args(SearchArgs):
    scheduler: str = "asha"
    """asha, halving or hyperband."""
    sampler: str = "model"
    """What is started: two in three by a `model` of the scores, or `uniform` draws, as in the papers."""
    promotion: str = "fork"
    """Who goes on with a promoted learner (`--transfer own`): any free member, by `fork`, or its `owner` alone."""
    eta: int = 3
    """One in eta architectures goes on from a rung to the next, which takes eta times the windows."""
    min_resource: int = 1
    """Windows of the first rung."""
    max_resource: int = 9
    """Most windows of one architecture; the last rung is the largest min_resource * eta^i that fits."""


@dataclass(eq=False)
class Trial:
    """One architecture on its way up.

    Attributes:
        architecture: Which.
        owner: The member that goes on with it: the one that began it, or that it was forked to last.
        bracket: Number of its bracket.
        goal: Rung that it is trained for.
        uniform: Whether it was drawn uniformly.
        reached: Highest rung that it reached; -1: none.
        samples: Window of the search and reward, for every window that it was trained for.
        left: Members that had it before; what they have of it is out of date.
    """

    architecture: Architecture
    owner: int
    bracket: int
    goal: int
    uniform: bool = True
    reached: int = -1
    samples: list[tuple[int, float]] = field(default_factory=list)
    left: set[int] = field(default_factory=set)

    def known_to(self, member: int) -> bool:
        return member == self.owner or member in self.left


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        for name, known in (("scheduler", SCHEDULERS), ("sampler", SAMPLERS), ("promotion", PROMOTIONS)):
            if getattr(args, name) not in known:
                raise unknown(name, getattr(args, name), known)
        if args.transfer_rule != "own":
            check_idle(args, ["promotion"], f"transfer {args.transfer_rule!r}")
        for name, least in (("eta", 2), ("min_resource", 1), ("max_resource", args.min_resource)):
            if getattr(args, name) < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {getattr(args, name)}.")
        if args.min_resource > args.windows:
            raise ValueError(f"min_resource: expected at most the {args.windows} windows, got {args.min_resource}.")
        self.envs, self.args, self.rng = envs, args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        self.rungs = [args.min_resource]
        while self.rungs[-1] * args.eta <= min(args.max_resource, args.windows):
            self.rungs.append(self.rungs[-1] * args.eta)
        self.trials: list[Trial] = []
        self.running: dict[int, Trial] = {}  # by member
        self.window = 0
        self.trend = np.zeros(args.windows)
        self.brackets: list[tuple[int, int]] = []  # (trials, first rung) of the synchronous brackets begun so far

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        for member in range(len(observations)):
            if member not in self.running:
                self.running[member] = self.next_trial(member)
        return np.stack([self.running[member].architecture for member in range(len(observations))])

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        for member, reward in enumerate(rewards.tolist()):
            trial = self.running[member]
            trial.samples.append((self.window, reward))
            if len(trial.samples) == self.resource(trial.goal):
                trial.reached = trial.goal
                del self.running[member]
        self.window += 1
        if self.args.transfer_rule not in SEPARATE:
            self.trend = self.smoothed()
        return {"charts/architectures": float(len(self.trials))}

    def resource(self, rung: int) -> int:
        """Count the windows of a rung; above the last one every further window is a rung."""
        last = len(self.rungs) - 1
        return self.rungs[min(rung, last)] + max(0, rung - last)

    def next_trial(self, member: int) -> Trial:
        """Find what a free member trains next: a promotion that it may train, or else a new architecture."""
        for rung in reversed(range(len(self.rungs) - 1)):
            for trial in self.promotable(rung):
                if self.may_train(member, trial):
                    self.hand_over(trial, member)
                    trial.goal = rung + 1
                    return trial
        return self.start(member)

    def may_train(self, member: int, trial: Trial) -> bool:
        """Tell whether a free member may go on with a paused trial."""
        if self.args.transfer_rule != "own" or trial.owner == member:
            return True
        same = [other for other in self.trials if key_of(other) == key_of(trial) and other is not trial]
        return (
            self.args.promotion == "fork"
            and sum(other.owner == trial.owner for other in self.trials) > 1
            and not any(other.known_to(member) for other in same)  # the fork would replace what it has of these
        )

    def hand_over(self, trial: Trial, member: int) -> None:
        """Let a member have the learner of a trial, if learners are kept apart."""
        if self.args.transfer_rule == "own" and trial.owner != member:
            self.envs.unwrapped.fork(trial.owner, member, trial.architecture)
            trial.left.add(trial.owner)
            trial.owner = member

    def promotable(self, rung: int) -> list[Trial]:
        """List what is to go on from a rung, best first."""
        brackets: dict[int, list[Trial]] = {}
        for trial in self.trials:
            if trial.reached >= rung >= self.brackets[trial.bracket][1]:
                brackets.setdefault(trial.bracket, []).append(trial)
        chosen = []
        for bracket, trials in brackets.items():
            places, first = self.brackets[bracket]
            if len(trials) < places // self.args.eta ** (rung - first):
                continue  # a synchronous rung is judged once it is full
            ranked = sorted(trials, key=lambda trial: -self.score(trial, rung))
            chosen += [trial for trial in ranked[: len(trials) // self.args.eta] if trial.goal == rung]
        return sorted(chosen, key=lambda trial: -self.score(trial, rung))

    def start(self, member: int) -> Trial:
        """Begin with a new architecture; a member that finds none which it has not begun goes on with its best."""
        own = self.args.transfer_rule == "own"
        tried = {key_of(trial) for trial in self.trials}
        blocked = {key_of(trial) for trial in self.trials if own and trial.known_to(member)}
        effects = self.effects() if self.args.sampler == "model" and self.rng.random() >= UNIFORM_SHARE else None
        drawn = [self.space.sample(self.rng) for _ in range(CANDIDATES)]
        new = [one for one in drawn if tuple(one.tolist()) not in tried]
        new = new or [one for one in drawn if tuple(one.tolist()) not in blocked]
        if new:
            chosen = 0 if effects is None else int(np.argmax([self.space.encode(one) @ effects for one in new]))
            bracket, rung = self.place()
            self.trials.append(Trial(new[chosen], member, bracket, rung, effects is None))
            return self.trials[-1]
        idle = [trial for trial in self.trials if trial.owner == member and trial not in self.running.values()]
        best = self.ranked(idle)[0]
        best.goal = best.reached + 1
        return best

    def effects(self) -> NDArray[np.float64] | None:
        """Estimate what every option adds to the score, (options,).

        With `own` in the highest rung that enough trials have reached; elsewhere all samples are measurements of the
        same, and all trials count. None: there are too few.
        """
        own = self.args.transfer_rule == "own"
        for rung in reversed(range(len(self.rungs) if own else 1)):
            trials = [trial for trial in self.trials if trial.reached >= rung >= self.brackets[trial.bracket][1]]
            if len(trials) >= max(LEAST, sum(self.space.counts) // 2 if rung else 0):
                return self.fitted(trials, [rung if own else trial.reached for trial in trials])
        return None

    def fitted(self, trials: list[Trial], rungs: list[int]) -> NDArray[np.float64]:
        """Fit the scores of trials at these rungs by ridge regression, (options,)."""
        own, penalty = self.args.transfer_rule == "own", len(self.space.counts)  # as much noise as signal
        codes = np.stack([self.space.encode(trial.architecture) for trial in trials]).astype(np.float64)
        counts = np.array([1 if own else self.resource(rung) for rung in rungs])  # windows behind a score
        scores = np.array([self.score(trial, rung) for trial, rung in zip(trials, rungs, strict=True)])
        codes -= counts @ codes / counts.sum()
        scores -= counts @ scores / counts.sum()
        weighted = codes.T * counts
        return np.asarray(np.linalg.solve(weighted @ codes + penalty * np.eye(codes.shape[1]), weighted @ scores))

    def place(self) -> tuple[int, int]:
        """Give the bracket and the first rung of a new trial; begins another bracket when the last one is full."""
        top = len(self.rungs) - 1
        begun = sum(trial.bracket == len(self.brackets) - 1 for trial in self.trials)
        if not self.brackets or (self.args.scheduler != "asha" and begun == self.brackets[-1][0]):
            s = top - len(self.brackets) % (top + 1) if self.args.scheduler == "hyperband" else top
            places = -(-(top + 1) * self.args.eta**s // (s + 1))
            self.brackets.append((0 if self.args.scheduler == "asha" else places, top - s))
        return len(self.brackets) - 1, self.brackets[-1][1]

    def score(self, trial: Trial, rung: int) -> float:
        """Average the rewards that count for a rung: with `own` those since the rung below, else all up to it."""
        begin = self.resource(rung - 1) if self.args.transfer_rule == "own" and rung > 0 else 0
        counted = trial.samples[begin : self.resource(rung)]
        return sum(reward - float(self.trend[window]) for window, reward in counted) / len(counted)

    def smoothed(self) -> NDArray[np.float64]:
        """Smooth the first measurements of architectures over the windows of the search, (windows,)."""
        times, rewards = np.array([trial.samples[0] for trial in self.trials if trial.uniform]).T
        distances = (np.arange(self.args.windows)[:, None] - times) / (SMOOTHING * self.args.windows)
        weights = np.exp(-(distances**2) / 2)  # (windows, trials)
        return np.asarray(weights @ rewards / weights.sum(1))

    def ranked(self, trials: list[Trial]) -> list[Trial]:
        """Sort trials: the highest rung first, then the best score there."""
        return sorted(trials, key=lambda trial: (-trial.reached, -self.score(trial, max(0, trial.reached))))

    def recommend(self, k: int) -> list[Architecture]:
        """The k best architectures: the highest rung first, then the best score there."""
        best: dict[tuple[int, ...], Architecture] = {}
        for trial in self.ranked(self.trials):
            best.setdefault(key_of(trial), trial.architecture)
        return list(best.values())[:k]


def key_of(trial: Trial) -> tuple[int, ...]:
    """Give a trial's architecture in a form that can be looked up."""
    return tuple(trial.architecture.tolist())


if __name__ == "__main__":
    launch.main(Agent, Args, "successive-halving")
