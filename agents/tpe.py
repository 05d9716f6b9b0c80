"""Optuna's samplers, of which the tree-structured Parzen estimator (TPE) is the default, through ask and tell.

    argmax over 24 draws a ~ l of  l(a) / g(a)     (l: density of the best trials, g: of all others)

Papers: Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011), and arXiv 2304.11127. The code is Optuna's
(`pip install 'archgym[optuna]'`). The best are a tenth of all trials, and at most 25; what was rejected (see below)
counts in the tenth, but ranks below everything else. One trial per member and window, told after the window; the trials
under way count as bad ones for the next member (`constant_liar`), so that members spread.

What differs: members ask together and tell together, and an architecture may be asked for again. TPE and GP begin once
`--startup` rewards are in, with random draws until then: Optuna's, and the space's own as soon as one of Optuna's was
rejected, for TPE would count rejected trials too, which in a narrow space would be most of them. Rewards are told as
they are: to take out the trend (`--detrended`: `archgym.stats.detrend`, as known then) also takes out what the search
itself has gained; on planted landscapes what was tried late got worse by it, whether rewards rose or not, and the
recommendations differed both ways.

Only active choices are suggested, and with `group` TPE models choices that occur together as one. Optuna cannot shorten
the list of options from trial to trial, so a proposal outside the space is told as pruned, which ranks below everything
complete, and another is asked for, at most 20 times; then the space's own sample is tried. `--sampler` leaves out those
that cannot search here: CMA-ES takes no categorical choices (QMC draws them at random), and the grid and brute force
would list the space. GP and QMC need scipy.
"""

import importlib.util
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, check_idle
from archgym.running.arguments import SearchArgs
from archgym.search_space import Architecture, SearchSpace
from archgym.stats import detrend

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "random", "nsga2", "nsga3", "gp", "qmc")
NEED_SCIPY = ("gp", "qmc")
OF_SAMPLERS = {"startup": ("gp", "tpe"), "population": ("nsga2", "nsga3")}
TRIES = 20  # proposals per member before the space is sampled


@dataclass(frozen=True)
class Args(SearchArgs):
    sampler: str = "tpe"
    """Optuna's sampler: tpe, random, nsga2, nsga3, gp or qmc."""
    startup: int = 10
    """Rewards of random architectures before tpe and gp begin."""
    population: int = 16
    """Individuals of a generation of nsga2 and nsga3 (Optuna's own default, 50, is most of a search of a few hundred
    windows)."""
    detrended: bool = False
    """Tell rewards less their trend."""


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise ValueError(
                "sampler: expected the package optuna (pip install 'archgym[optuna]'), got none installed."
            )
        if args.sampler not in SAMPLERS:
            raise unknown("sampler", args.sampler, SAMPLERS)
        if args.sampler in NEED_SCIPY and importlib.util.find_spec("scipy") is None:
            raise ValueError(f"sampler: expected the package scipy for {args.sampler!r}, got none installed.")
        idle = [name for name, samplers in OF_SAMPLERS.items() if args.sampler not in samplers]
        check_idle(args, idle, f"sampler {args.sampler!r}")
        if args.startup < 1:
            raise ValueError(f"startup: expected a positive number of rewards, got {args.startup}.")
        if args.population < 2:
            raise ValueError(f"population: expected at least 2 individuals, got {args.population}.")
        self.args, self.rng = args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        self.study = make_study(args, int(self.rng.integers(2**31)))
        self.trials: list[optuna.Trial] = []  # of the window under way, one per member
        self.rewards: list[NDArray[np.float64]] = []
        self.rejected = 0  # proposals of the window under way
        self.narrow = False  # whether one was ever rejected

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        self.trials, self.rejected = [], 0
        return np.stack([self.propose() for _ in observations])

    def propose(self) -> Architecture:
        """Ask for an architecture; its trial joins those under way."""
        from optuna.trial import TrialState

        waits = self.args.sampler in OF_SAMPLERS["startup"] and sum(map(len, self.rewards)) < self.args.startup
        for _ in range(0 if waits and self.narrow else TRIES):
            trial = self.study.ask()
            architecture = self.suggested(trial)
            if self.space.mask(architecture[:-1].tolist())[architecture[-1]]:
                break
            self.study.tell(trial, state=TrialState.PRUNED)
            self.rejected, self.narrow = self.rejected + 1, True
            if waits:
                return self.drawn()
        else:
            return self.drawn()
        self.trials.append(trial)
        return architecture

    def drawn(self) -> Architecture:
        """Draw an architecture of the space; its trial joins those under way."""
        vector = self.space.sample(self.rng).tolist()
        self.study.enqueue_trial({choice.name: index for choice, index in zip(self.space.choices, vector, strict=True)})
        self.trials.append(self.study.ask())
        return self.suggested(self.trials[-1])

    def suggested(self, trial: "optuna.Trial") -> Architecture:
        """Suggest the active choices of a trial; what comes may break a constraint."""
        architecture = np.zeros(len(self.space.choices), dtype=np.int64)
        for position, choice in enumerate(self.space.choices):
            if position not in self.space.inactive_positions(architecture):
                architecture[position] = trial.suggest_categorical(choice.name, range(len(choice.options)))
        return architecture

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        self.rewards.append(rewards)
        told = detrend(self.rewards)[-1] if self.args.detrended else rewards
        for trial, value in zip(self.trials, told.tolist(), strict=True):
            self.study.tell(trial, value)
        return {"charts/rejected_proposals": float(self.rejected)}


def make_study(args: Args, seed: int) -> "optuna.Study":
    """Make a study in memory that says nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler: optuna.samplers.BaseSampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match args.sampler:
            case "tpe":
                sampler = optuna.samplers.TPESampler(
                    seed=seed, n_startup_trials=args.startup, multivariate=True, group=True, constant_liar=True
                )
            case "nsga2":
                sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=args.population)
            case "nsga3":
                sampler = optuna.samplers.NSGAIIISampler(seed=seed, population_size=args.population)
            case "gp":
                sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=args.startup)
            case "qmc":
                sampler = optuna.samplers.QMCSampler(seed=seed, warn_independent_sampling=False)
            case _:
                sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.create_study(sampler=sampler, direction="maximize")


if __name__ == "__main__":
    launch.main(Agent, Args, "tpe")
