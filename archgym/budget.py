"""What a search may spend besides its windows: one budget of greedy evaluations, known before it begins.

An evaluation of n episodes takes n times the task's episode limit, in inner environment steps, however well or badly
it goes (`archgym.greedy`). So searches with equal windows and equal budgets take equally many steps, exactly,
whatever their agents ask for: what an agent has not asked for is spent by the evaluation at the end.
"""

import math

from archgym.problem import Problem

FINAL_EPISODES = 10  # greedy episodes of every member that are kept for the end, where networks are trained


class Evaluations:
    """The budget of an environment: what is left of it, and what is kept for the end.

    Args:
        problem: What is searched; `Settings.evaluation_steps` is the budget, None: there is no limit.
        members: K.

    Attributes:
        left: Inner environment steps that are left; None: there is no limit.

    Raises:
        ValueError: If the budget is no whole number of episodes, or not enough for the end.
    """

    def __init__(self, problem: Problem, members: int) -> None:
        self.episode, self.members = problem.task.episode_limit, members
        self.kept = kept(problem, members)
        self.budget = self.left = problem.settings.evaluation_steps
        if self.budget is not None:
            check(problem, members, self.budget)

    def begin(self) -> None:
        """Begin anew, with new lifetimes."""
        self.left = self.budget

    def need(self, episodes: int) -> None:
        """Refuse to play so many episodes if only what is kept for the end could pay for them."""
        asked = episodes * self.episode
        if self.left is not None and asked > self.left - self.kept:
            raise ValueError(
                f"evaluate: expected at most the {max(0, self.left - self.kept):,} inner steps that are left of "
                f"evaluation_steps={self.budget:,} beside the {self.kept:,} kept for the end, got {episodes} episodes "
                f"of {self.episode} steps, {asked:,}. Give the search more (--evaluation-steps), or let the agent say "
                "what it asks for (`asked_episodes`)."
            )

    def spend(self, steps: int) -> None:
        """Take what was played off the budget."""
        if self.left is not None:
            self.left -= steps

    def rest(self) -> list[int]:
        """Deal what is left out to the members, as episodes: the first ones get one more where it does not divide.

        Raises:
            ValueError: If there is no limit.
        """
        if self.left is None:
            raise ValueError("evaluate_rest: expected an environment with a budget (evaluation_steps=...), got none.")
        each, more = divmod(self.left // self.episode, self.members)
        return [each + (member < more) for member in range(self.members)]


def kept(problem: Problem, members: int) -> int:
    """Count the inner steps that are kept for the end."""
    return FINAL_EPISODES * members * problem.task.episode_limit if problem.trains else 0


def unit(problem: Problem) -> int:
    """Give the inner steps that every budget is a multiple of.

    Whole episodes, and whole steps of all inner environments of a member, so that a training can spend as much.
    """
    return math.lcm(problem.task.episode_limit, problem.settings.envs_per_member)


def check(problem: Problem, members: int, steps: int, asked: int = 0) -> None:
    """Refuse a budget of evaluations that does not do.

    Args:
        problem: What is searched.
        members: K.
        steps: The budget.
        asked: Episodes that the agent says it will ask for.

    Raises:
        ValueError: If it is no whole number of episodes, or too little.
    """
    limit, least = problem.task.episode_limit, kept(problem, members) + asked * problem.task.episode_limit
    if steps < least:
        end = f"{kept(problem, members) // limit} episodes at the end"
        agents = f"{asked} that the agent asks for and " if asked else ""
        raise ValueError(
            f"evaluation_steps: expected at least {least:,} ({agents}{end}, of {limit} steps each), got {steps:,}."
        )
    if steps % unit(problem):
        nearest = -(-steps // unit(problem)) * unit(problem)
        raise ValueError(
            f"evaluation_steps: expected a multiple of {unit(problem)} (an episode of {problem.task.id} is {limit} "
            f"steps), got {steps:,}. Nearest above: {nearest:,}."
        )


def planned(problem: Problem, members: int, given: int | None, asked: int) -> int:
    """Settle the budget of evaluations of a search.

    Args:
        problem: What is searched.
        members: K.
        given: What the user wants; None: what the agent asks for, and `FINAL_EPISODES` of every member at the end.
        asked: Episodes that the agent asks for, all its evaluations together.

    Returns:
        Inner environment steps.

    Raises:
        ValueError: If what is given does not do.
    """
    if given is None:
        least = kept(problem, members) + asked * problem.task.episode_limit
        return -(-least // unit(problem)) * unit(problem)
    check(problem, members, given, asked)
    return given


def search_steps(problem: Problem, members: int, evaluation_steps: int) -> int:
    """Count all inner environment steps of a search: its windows, their evaluations, and its budget of evaluations."""
    return members * problem.settings.windows * (problem.window_steps + played(problem)) + evaluation_steps


def played(problem: Problem) -> int:
    """Count the inner environment steps of the greedy evaluation that belongs to a window; 0 where none does."""
    settings = problem.settings
    return settings.evaluation_episodes * problem.task.episode_limit if settings.reward == "evaluation" else 0


def check_equal_windows(problem: Problem, call: str) -> None:
    """Refuse windows that end with episodes where searches are to take equally many steps.

    Args:
        problem: What is searched.
        call: What is asked for, as its caller knows it.

    Raises:
        ValueError: If `window_episodes` is set.
    """
    if problem.settings.window_episodes is not None:
        raise ValueError(
            f"{call}: expected windows of equally many steps (--window-steps), as equal budgets need; got "
            f"window_episodes={problem.settings.window_episodes}."
        )
