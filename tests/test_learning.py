"""The inner trainers learn. The longer proof, to a return of 475, is a command with figures in the README."""

import numpy as np

from archgym.population import Population
from archgym.problem import Problem
from archgym.settings import Settings


def trained(windows: int, **keywords: object) -> np.ndarray:
    problem = Problem(Settings.from_keywords({"window_steps": 2_500, **keywords}))
    population = Population(problem, 4)
    population.reset([1, 2, 3, 4])
    actions = np.tile(problem.space.default_architecture, (4, 1))
    return np.array([[one.raw_return for one in population.train_window(actions)] for _ in range(windows)])


def test_pqn_solves_the_task_within_two_fifths_of_a_lifetime() -> None:
    returns = trained(10, trainer="pqn", layer_norm=True)
    assert np.median(returns[0]) < 50
    assert np.median(returns[-3:]) > 400
    assert returns[-3:].mean(0).min() > 150


def test_ppo_leaves_the_random_policy_far_behind_within_a_third_of_a_lifetime() -> None:
    returns = trained(8, trainer="ppo", actor_critic=True)
    assert np.median(returns[0]) < 60
    assert np.median(returns[-1]) > 150
    assert returns[-1].min() > 80


def test_the_default_network_leaves_the_random_policy_far_behind_within_a_quarter_of_a_lifetime() -> None:
    returns = trained(6)
    assert np.median(returns[0]) < 50  # of about 22, what a random policy has
    assert np.median(returns[-1]) > 150
    assert returns[-1].min() > 80


def test_architectures_drawn_at_random_learn_together_in_one_supernet() -> None:
    problem = Problem(Settings(window_steps=2_500))
    population = Population(problem, 4)
    population.reset([1, 2, 3, 4])
    rng = np.random.default_rng(0)
    returns = np.array(
        [
            [one.raw_return for one in population.train_window(np.stack([problem.space.sample(rng) for _ in range(4)]))]
            for _ in range(9)
        ]
    )
    assert returns[-4:].mean() > 2.5 * returns[0].mean()
