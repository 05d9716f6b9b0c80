"""What a recorded table is to hold: settings, seeds and architectures, checked before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archgym.problem import Problem
from archgym.search_space import Architecture
from archgym.seeding import Consumer, generator
from archgym.settings import Settings
from archgym.table_tools.log import Log, planned

SEEDS, SAMPLE, DRAWS = 0, 1, 2  # keys of random numbers below the table's seed
LARGEST = 100_000  # architectures that are all trained; of larger spaces a sample must be asked for


@dataclass(frozen=True)
class Plan:
    """What a table is to hold.

    Args:
        settings: Of the training of one architecture from scratch; see `settings_of`.
        seeds: Learning curves per architecture.
        ages: Windows after which networks are evaluated greedily.
        episodes: Of one evaluation.
        sample: Number of architectures, drawn without repeats behind the default one; None: all of them.
        supernet_seeds: Supernets trained on uniformly drawn architectures, whose scores are recorded.
        supernet_windows: Length of their lifetimes; scored after each fifth of it.
        seed: Root of everything random.
        command: What asked for it.
    """

    settings: Settings
    seeds: int
    ages: tuple[int, ...]
    episodes: int = 10
    sample: int | None = None
    supernet_seeds: int = 0
    supernet_windows: int = 0
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be built, before anything is trained or written."""
        windows, space = self.settings.windows, Problem(self.settings).space
        for name, least in (("seeds", 2), ("episodes", 1), ("supernet_seeds", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}.")
        if (
            not self.ages
            or list(self.ages) != sorted({*self.ages})
            or not 1 <= self.ages[0] <= self.ages[-1] <= windows
        ):
            raise ValueError(f"ages: expected rising numbers of windows from 1 to {windows}, got {list(self.ages)}.")
        if self.supernet_seeds and (self.supernet_windows < 5 or self.supernet_windows % 5):
            raise ValueError(f"supernet_windows: expected a multiple of 5, got {self.supernet_windows}.")
        if self.sample is not None and not 1 <= self.sample <= space.size:
            raise ValueError(
                f"sample: expected 1 to {space.size:,} architectures, which {space.name!r} has, got {self.sample}."
            )
        if self.sample is None and space.size > LARGEST:
            raise ValueError(
                f"sample: expected a number, for {space.name!r} has {space.size:,} architectures and at most "
                f"{LARGEST:,} are trained without one."
            )

    def architectures(self) -> list[Architecture]:
        """List what is trained; a larger sample begins with a smaller one."""
        space = Problem(self.settings).space
        if self.sample is None:
            return list(space.enumerate())
        rng = generator(self.seed, Consumer.TABLE, SAMPLE)
        found: dict[bytes, Architecture] = {}
        own = space.default_architecture
        while len(found) < self.sample:
            found.setdefault(own.tobytes(), own)
            own = space.sample(rng)
        return list(found.values())

    def seed_list(self, count: int) -> list[int]:
        """List seeds of lifetimes; more seeds begin with fewer."""
        return [int(generator(self.seed, Consumer.TABLE, SEEDS, number).integers(2**63)) for number in range(count)]

    @property
    def supernet_ages(self) -> list[int]:
        """Windows after which a supernet is scored."""
        return [self.supernet_windows * part // 5 for part in range(1, 6)] if self.supernet_seeds else []

    def sample_rule(self) -> str:
        """Say how the architectures were chosen."""
        if self.sample in (None, Problem(self.settings).space.size):
            return "all architectures of the space"
        return f"the default and others drawn uniformly without repeats, {self.sample} in all, seed {self.seed}"

    def fixed(self) -> dict[str, Any]:
        """Give what a log must have been made with; the numbers of seeds and architectures may grow."""
        return {
            "settings": self.settings.to_dict(),
            "ages": list(self.ages),
            "episodes": self.episodes,
            "seed": self.seed,
            "supernet_windows": self.supernet_windows,
            "drawn": self.sample is not None,
        }


def settings_of(keywords: Mapping[str, Any]) -> Settings:
    """Complete the settings of a training from scratch: every learner alone, the same numbers in any batch."""
    return Settings.from_keywords({**keywords, "transfer": "own", "exact": True})


def going_on(plan: Plan, path: Path) -> Plan:
    """Fit a plan to the log that is there: the whole space goes on behind a sample, which its architectures begin with.

    Raises:
        ValueError: If a sample is asked for where the log is of the whole space, or supernets where it is of none.
    """
    if plan.supernet_seeds and planned(path, "supernet_windows") == 0:
        raise ValueError(
            f"--supernet-seeds: expected none, for {path} was made without supernets; got {plan.supernet_seeds}. A "
            "finished table gets them with another log (--log) and the same --out: what it holds is taken over."
        )
    drawn = planned(path, "drawn")
    if drawn and plan.sample is None:
        return replace(plan, sample=Problem(plan.settings).space.size)
    if drawn is False and plan.sample is not None:
        raise ValueError(
            f"--sample: expected none, for {path} was made for all architectures of the space; got {plan.sample}. "
            "Another table needs another log (--log)."
        )
    return plan


def open_log(plan: Plan, path: Path) -> Log:
    """Open the work log of a table; what it raises is `Log`'s."""
    return Log(path, plan.fixed(), {"settings": Settings().to_dict()})
