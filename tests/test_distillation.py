from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from archgym.learners.distillation import distil
from archgym.learners.dqn import Config
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import Replay
from archgym.search_spaces import mlp
from archgym.search_spaces.mlp import MLP
from archgym.settings import Settings
from archgym.supernet import Layout, Subnets, Supernet, check_out, family_of

CPU = torch.device("cpu")
INPUTS, ACTIONS = 4, 2
OLD, NEW = MLP((16,), "tanh"), MLP((8, 8), "tanh")
SMALL = {"windows": 6, "window_steps": 120, "learning_starts": 40, "batch_size": 16, "train_frequency": 4}
A, B = [0, 0, 1], [1, 1, 2]


def network(described: MLP, seed: int) -> Subnets:
    layout = Layout(family_of(mlp.SPACE), [described], INPUTS, ACTIONS)
    return check_out([Supernet(layout, np.random.default_rng(seed), CPU)], described, [False])


def ring() -> Replay:
    rng, row = np.random.default_rng(4), torch.tensor([0])
    made = Replay(1, 2, INPUTS, 100, CPU)
    for _ in range(51):
        made.write(row, torch.from_numpy(rng.normal(size=(1, 2, INPUTS)).astype(np.float32)), torch.ones(1, 2))
        made.complete(row, torch.from_numpy(np.stack([rng.normal(size=(1, 2)), *np.ones((2, 1, 2))], -1)).float())
    return made


def values(subnets: Subnets, observations: Tensor) -> Tensor:
    return subnets.forward(subnets.views("weight"), observations)


def taught(steps: int, **config: Any) -> tuple[Subnets, Subnets, Replay]:
    pupil, teacher, replay = network(NEW, 1), network(OLD, 2), ring()
    settings = Config(batch_size=32, learning_rate=1e-2, **config).resolved(1000, 1000)
    distil(settings, pupil, teacher, replay, 0, steps, np.random.default_rng(3))
    return pupil, teacher, replay


@pytest.mark.parametrize("huber", [False, True])
def test_every_step_follows_the_mixture_of_both_losses_by_adam(huber: bool) -> None:
    """By hand: three steps, whose weights are 1, 1/2 and 0, with torch's own Adam."""
    pupil, teacher, replay = taught(3, huber=huber, gamma=0.9)
    by_hand, rng = network(NEW, 1), np.random.default_rng(3)
    weights = {name: view.clone().requires_grad_() for name, view in by_hand.views("weight").items()}
    adam = torch.optim.Adam(weights.values(), lr=1e-2)
    draws = torch.from_numpy(rng.random((64, 32)))
    for step, weight in enumerate((1.0, 0.5, 0.0)):
        batch = replay.sample(torch.tensor([0]), draws[step][None])
        known, following = (values(teacher, seen) for seen in (batch.observations, batch.next_observations))
        target = batch.rewards + 0.9 * (1 - batch.terminated) * following.max(-1).values
        own = by_hand.forward(weights, batch.observations)
        error = target - own[..., 1]
        size = error.abs()
        td = torch.where(size < 1, error**2 / 2, size - 0.5) if huber else error**2
        adam.zero_grad()
        (weight * ((own - known) ** 2).mean() + (1 - weight) * td.mean()).backward()
        adam.step()
    for name, view in pupil.views("weight").items():
        torch.testing.assert_close(view, weights[name].detach(), rtol=1e-4, atol=1e-6)
    assert pupil.fields["steps"].unique().tolist() == [3]
    assert torch.equal(pupil.fields["target"], pupil.fields["weight"])


def test_the_pupil_comes_to_know_what_the_teacher_knows() -> None:
    apart = []
    for steps in (1, 100):
        pupil, teacher, replay = taught(steps, gamma=0.0)
        seen = replay.observations[:1, :50].flatten(1, 2)
        apart.append(float((values(pupil, seen) - values(teacher, seen))[..., 0].square().mean()))
    assert apart[1] < 0.2 * apart[0], "of the action that was never taken only the teacher can tell"


def population(**keywords: Any) -> Population:
    made = Population(
        Problem(Settings.from_keywords({**SMALL, "transfer": "distil", "distil_steps": 7, **keywords})), 1
    )
    made.reset([0])
    return made


def train(made: Population, architecture: list[int]) -> Any:
    return made.train_window(np.array([architecture]))[0]


def test_a_switch_teaches_before_the_window_and_its_steps_count() -> None:
    made, plain = population(), population(transfer="matching", distil_steps=None)
    steps = [[train(one, architecture).gradient_steps for architecture in (A, B, B)] for one in (made, plain)]
    assert steps == [[20, 37, 30], [20, 30, 30]]
    supernet = made.lifetimes[0].stores[""].supernet
    assert supernet.fields["steps"].unique().tolist() == [67]


def test_what_is_taught_depends_on_the_seed_and_on_nothing_else() -> None:
    made, again, other = population(), population(), population()
    other.reset([1])
    for one in (made, again, other):
        train(one, A)
    asked = [one.weights(0, np.array(B))["layer_0.weight"] for one in (made, again, made, other)]
    assert torch.equal(asked[0], asked[1])
    assert torch.equal(asked[0], asked[2])
    assert not torch.equal(asked[0], asked[3])


def test_asking_for_weights_teaches_on_the_share_of_the_replay_that_a_switch_would_leave() -> None:
    made = population(replay_keep=0.25, learning_starts=700)
    train(made, A)
    asked, filled = made.weights(0, np.array(B)), int(made.replay.filled[0])
    assert filled == 31
    train(made, B)  # learns nothing itself
    now = made.weights(0, np.array(B))
    assert all(torch.equal(now[name], weight) for name, weight in asked.items())


def test_nothing_is_taught_where_less_than_a_minibatch_is_left() -> None:
    made = population(replay_keep=0.01)
    train(made, A)
    assert train(made, B).gradient_steps == 26, "those of the window, from step 16 on"


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"replay_keep": 0}, "replay_keep: expected a number above 0 with transfer='distil', got 0"),
        ({"distil_steps": 0}, "distil_steps: expected a positive integer, got 0"),
        ({"distil_steps": True}, "distil_steps: expected a positive integer, got True"),
        ({"transfer": "shared"}, "distil_steps: expected None with transfer='shared', which teaches nothing, got 7"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        population(**keywords)


def test_a_trainer_without_a_replay_cannot_distil() -> None:
    with pytest.raises(
        ValueError, match=r"transfer: expected one that needs no replay .* with trainer 'pqn', got 'distil'"
    ):
        Population(Problem(Settings(transfer="distil", trainer="pqn", layer_norm=True)), 1)
