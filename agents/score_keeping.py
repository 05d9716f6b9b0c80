"""Score-keeping: the controller of NAS-DQN, which keeps the mean reward of every architecture and chooses by it.

    score(a) = (sum of the rewards of a's windows + m) / (n(a) + 1)      (m: mean of all rewards so far; n: windows)

    softmax          draw a with probability proportional to exp(score(a) / (T s))      (s: deviation of all rewards)
    epsilon-greedy   with probability e any a, else the one with the highest score
    ucb              the a with the highest  score(a) + c s sqrt(2 ln N / (n(a) + 1))   (N: windows so far)

Paper: Rahmani et al., arXiv 2510.19872: 27 networks, one of which trains for 200 episodes; its reward is added to the
scores, and these decide which one goes on. By which rule was not published, as far as this project knows: the three
above are those that such scores suggest, and so are the imagined window of average reward that every architecture
begins with (one never tried has the score m), and the unit s of temperature and bonus, which makes them mean the same
on every task. Ties are broken at random. `ucb` is the default, for on planted landscapes of 4,096 architectures its
windows find the best recommendation of the three (`tests/test_agents.py`).

Every member keeps its own scores, so that K members are K independent lifetimes; with `--pool` they keep one table,
and a choice counts as a window of average reward until its own reward is known. Scores are plain means, as in the
paper: what is tried late, when the inner learner has learned more, has the better ones. The incumbent's rule, by which
is recommended, takes that trend out.

What differs: of a space that is larger than `--unseen` only those seen are kept, and so many others, drawn anew for
every decision, stand beside them; of the paper's 27 always all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archgym.lookup import unknown
from archgym.running import launch
from archgym.running.agent import agent_rng, check_finite, check_idle
from archgym.running.arguments import SearchArgs
from archgym.search_space import SearchSpace

Key = tuple[int, ...]  # an architecture
RULES = ("epsilon-greedy", "softmax", "ucb")
OF_A_RULE = {"temperature": "softmax", "epsilon": "epsilon-greedy", "exploration_weight": "ucb"}
FLAT = 1e-8  # deviation of rewards below which they count as equal


@dataclass(frozen=True)
class Args(SearchArgs):
    rule: str = "ucb"
    """How scores choose: softmax, epsilon-greedy or ucb."""
    temperature: float = 0.25
    """T of softmax."""
    epsilon: float = 0.2
    """e of epsilon-greedy."""
    exploration_weight: float = 0.5
    """c of ucb."""
    unseen: int = 27
    """Architectures without a window that stand beside those with one, at every decision."""
    pool: bool = False
    """Keep one table of scores for all members."""


class Scores:
    """The windows of every architecture and the sum of their rewards, of one member or of all.

    Attributes:
        windows: Windows by architecture, those under way among them.
        sums: Sums of their rewards; a window under way counts with the mean of all rewards when it began.
        moments: How many rewards there are, their sum, and the sum of their squares, (3,).
    """

    def __init__(self) -> None:
        self.windows: dict[Key, int] = {}
        self.sums: dict[Key, float] = {}
        self.moments = np.zeros(3)

    @property
    def mean(self) -> float:
        """Mean of all rewards; 0 where there is none."""
        return float(self.moments[1] / max(1.0, self.moments[0]))

    @property
    def deviation(self) -> float:
        """Their standard deviation; 1 where they are equal."""
        found = math.sqrt(max(0.0, float(self.moments[2] / max(1.0, self.moments[0])) - self.mean**2))
        return found if found > FLAT else 1.0

    def begin(self, key: Key) -> float:
        """Begin a window; gives the reward that it counts with for now."""
        imagined = self.mean
        self.windows[key] = self.windows.get(key, 0) + 1
        self.sums[key] = self.sums.get(key, 0.0) + imagined
        return imagined

    def end(self, key: Key, imagined: float, reward: float) -> None:
        """Put the reward of a window in the place of the imagined one."""
        self.sums[key] += reward - imagined
        self.moments += (1.0, reward, reward**2)

    def of(self, keys: Sequence[Key]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the scores of architectures and their windows, the imagined one among them, both (keys,)."""
        counts = 1 + np.array([self.windows.get(key, 0) for key in keys], dtype=np.float64)
        sums = self.mean + np.array([self.sums.get(key, 0.0) for key in keys])
        return sums / counts, counts


class Agent:
    def __init__(self, envs: Any, args: Args) -> None:
        if args.rule not in RULES:
            raise unknown("rule", args.rule, RULES)
        check_idle(args, [name for name, rule in OF_A_RULE.items() if args.rule != rule], f"rule {args.rule!r}")
        check_finite(args, "temperature", "exploration_weight")
        if not args.temperature > 0:
            raise ValueError(f"temperature: expected a positive number, got {args.temperature}.")
        if not 0 <= args.epsilon <= 1:
            raise ValueError(f"epsilon: expected a number from 0 to 1, got {args.epsilon}.")
        if not args.exploration_weight >= 0:
            raise ValueError(f"exploration_weight: expected a number of at least 0, got {args.exploration_weight}.")
        if args.unseen < 1:
            raise ValueError(f"unseen: expected a positive integer, got {args.unseen}.")
        self.args, self.rng = args, agent_rng(args)
        self.space: SearchSpace = envs.unwrapped.search_space
        first = [tuple(one.tolist()) for one in islice(self.space.enumerate(), args.unseen + 1)]
        self.everything = first if len(first) <= args.unseen else []
        self.tables = [Scores() for _ in range(1 if args.pool else args.num_envs)]
        self.under_way: list[tuple[Scores, Key, float]] = []

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        self.under_way = []
        for member in range(len(observations)):
            scores = self.tables[0 if self.args.pool else member]
            key = self.choose(scores)
            self.under_way.append((scores, key, scores.begin(key)))
        return np.array([key for _, key, _ in self.under_way], dtype=np.int64)

    def learn(self, rewards: NDArray[np.float64], infos: dict[str, Any]) -> dict[str, float]:
        for (scores, key, imagined), reward in zip(self.under_way, rewards.tolist(), strict=True):
            scores.end(key, imagined, reward)
        return {"charts/architectures_kept": float(np.mean([len(scores.windows) for scores in self.tables]))}

    def choose(self, scores: Scores) -> Key:
        """Choose by the rule."""
        if self.args.rule == "epsilon-greedy" and self.rng.random() < self.args.epsilon:
            return self.draw()
        keys = self.candidates(scores)
        values, counts = scores.of(keys)
        if self.args.rule == "softmax":
            logits = values / (self.args.temperature * scores.deviation)
            weights = np.exp(logits - logits.max())
            return keys[int(self.rng.choice(len(keys), p=weights / weights.sum()))]
        if self.args.rule == "ucb":
            bonus = np.sqrt(2 * math.log(max(1.0, counts.sum() - len(keys))) / counts)
            values = values + self.args.exploration_weight * scores.deviation * bonus
        return keys[int(self.rng.choice(np.flatnonzero(values == values.max())))]

    def candidates(self, scores: Scores) -> list[Key]:
        """List the whole space where it is small, else what has been seen and some of what has not."""
        return self.everything or list(
            dict.fromkeys([*scores.windows, *(self.draw() for _ in range(self.args.unseen))])
        )

    def draw(self) -> Key:
        """Draw an architecture uniformly."""
        return tuple(self.space.sample(self.rng).tolist())

    def state(self) -> dict[str, NDArray[Any]]:
        """Give the tables: architectures, their table, windows and sums, (n, ...); the moments of each, (tables, 3)."""
        rows = [(place, key) for place, scores in enumerate(self.tables) for key in scores.windows]
        return {
            "architecture": np.array([key for _, key in rows], dtype=np.int64).reshape(-1, len(self.space.choices)),
            "table": np.array([place for place, _ in rows], dtype=np.int64),
            "windows": np.array([self.tables[place].windows[key] for place, key in rows], dtype=np.int64),
            "sums": np.array([self.tables[place].sums[key] for place, key in rows]),
            "moments": np.stack([scores.moments for scores in self.tables]),
        }

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Take tables back, without the architectures that the space has no more (another limit, or another task's)."""
        if len(state["moments"]) != len(self.tables):
            raise ValueError(
                f"--start-from: expected {len(self.tables)} tables of scores, one of each member or a common one, got "
                f"{len(state['moments'])}."
            )
        self.tables = [Scores() for _ in self.tables]
        for vector, place, windows, total in zip(
            state["architecture"],
            state["table"].tolist(),
            state["windows"].tolist(),
            state["sums"].tolist(),
            strict=True,
        ):
            key = tuple(vector.tolist())
            if self.space.mask(key[:-1])[key[-1]]:
                self.tables[place].windows[key], self.tables[place].sums[key] = windows, total
        for scores, moments in zip(self.tables, state["moments"], strict=True):
            scores.moments = moments.copy()


if __name__ == "__main__":
    launch.main(Agent, Args, "score-keeping")
