from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from archgym.lookup import names
from archgym.population import Population
from archgym.problem import Problem, find_space
from archgym.seeding import Consumer, generator
from archgym.settings import Settings
from archgym.supernet import FIELDS
from archgym.transfer import Lifetime
from archgym.window import WindowResult

SMALL = {"windows": 6, "window_steps": 120, "learning_rate": 1e-3}
OF_TRAINER: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 40, "batch_size": 16, "train_frequency": 4, "target_network_frequency": 60},
    "pqn": {"num_steps": 8, "num_minibatches": 2, "layer_norm": True},
    "ppo": {"num_steps": 8, "num_minibatches": 2, "actor_critic": True},
}
for name in ("dqn", "pqn"):
    OF_TRAINER[name]["exploration_fraction"] = 0.5
TRAINERS = sorted(OF_TRAINER)
# Of a learner's first window, and of every later one.
GRADIENT_STEPS = {"dqn": (20, 30), "pqn": (32, 32), "ppo": (32, 32)}
A, B, C = [0, 0, 1], [1, 1, 2], [0, 2, 0]  # depth, width, activation: they share slices


def population(transfer: str, members: int = 1, trainer: str = "dqn", **keywords: Any) -> Population:
    settings = {**SMALL, **OF_TRAINER[trainer], "transfer": transfer, "trainer": trainer, **keywords}
    made = Population(Problem(Settings.from_keywords(settings)), members)
    made.reset(range(members))
    return made


def run(made: Population, plan: Sequence[Sequence[int]]) -> list[WindowResult]:
    """Train member 0 for these windows, and all others in the same way."""
    return [made.train_window(np.array([architecture] * made.members))[0] for architecture in plan]


def label(made: Population, architecture: Sequence[int] | NDArray[np.int64]) -> str:
    return made.problem.space.label(np.array(architecture))


def fields(made: Population, key: str) -> dict[str, torch.Tensor]:
    return {name: field.clone() for name, field in made.lifetimes[0].stores[key].supernet.fields.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in FIELDS)


def part(made: Population, architecture: Sequence[int]) -> torch.Tensor:
    """Positions of an architecture in the shared supernet."""
    layout = made.lifetimes[0].stores[""].supernet.layout
    return layout.positions(made.problem.space.network_of(np.array(architecture)))


# shared


@pytest.mark.parametrize("trainer", TRAINERS)
def test_shared_inherits_the_weights_moments_and_steps_of_overlapping_slices(trainer: str) -> None:
    made = population("shared", trainer=trainer)
    run(made, [A])
    before = fields(made, "")
    run(made, [B])
    after = fields(made, "")
    overlap = set(part(made, A).tolist()) & set(part(made, B).tolist())
    assert overlap
    only = torch.tensor(sorted(set(part(made, A).tolist()) - overlap))
    shared, new = torch.tensor(sorted(overlap)), torch.tensor(sorted(set(part(made, B).tolist()) - overlap))
    for name in FIELDS:
        assert torch.equal(after[name][only], before[name][only]), name
    early, late = GRADIENT_STEPS[trainer]
    assert after["steps"][shared].unique().tolist() == [early + late]
    assert after["steps"][new].unique().tolist() == [late]
    assert after["steps"][only].unique().tolist() == [early]
    assert not torch.equal(after["weight"][shared], before["weight"][shared])


def test_shared_goes_on_with_replay_and_exploration() -> None:
    made = population("shared")
    first, second = run(made, [A, B])
    assert second.epsilon < first.epsilon
    assert second.gradient_steps == 30, "from the first step on: the replay is full enough"
    assert int(made.replay.filled[0]) == 2 * 31


def test_shared_synchronises_the_target_at_a_switch_and_only_then() -> None:
    made = population("shared", target_network_frequency=10_000)  # nothing else moves the target
    run(made, [A])
    start = fields(made, "")["target"]
    run(made, [A])
    assert torch.equal(fields(made, "")["target"], start), "no switch"
    weight = fields(made, "")["weight"]
    run(made, [B])
    target, inside = fields(made, "")["target"], part(made, B)
    assert torch.equal(target[inside], weight[inside]), "the weights that the window began with"
    assert not torch.equal(target[inside], start[inside])
    outside = torch.ones(len(target), dtype=torch.bool)
    outside[inside] = False
    assert torch.equal(target[outside], start[outside])


# own


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(("exact", "members"), [(True, 1), (False, 1), (False, 3)])
def test_own_continues_a_repeat_visit_as_if_nothing_had_happened_between(
    exact: bool, members: int, trainer: str
) -> None:
    made, straight = (population("own", members, trainer, exact=exact) for _ in range(2))
    away = run(made, [A, B, A, C, B, A])
    stayed = run(straight, [A, A, A])
    for index, result in zip((0, 2, 5), stayed, strict=True):
        differing = {name for name in vars(result) if vars(result)[name] != vars(away[index])[name]}
        assert differing <= {"switched"}
    assert same(fields(made, label(made, A)), fields(straight, label(straight, A)))
    if made.replay is not None and straight.replay is not None:
        ring = made.replay.get(0), straight.replay.get(0)
        assert torch.equal(ring[0].observations, ring[1].observations)
        assert torch.equal(ring[0].steps, ring[1].steps)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_own_repeats_the_curve_from_scratch_of_every_architecture(trainer: str) -> None:
    alone = run(population("own", trainer=trainer), [B, B])
    between = run(population("own", trainer=trainer), [A, B, A, A, B])
    assert [between[1].reward, between[4].reward] == [result.reward for result in alone]
    assert [between[1].gradient_steps, between[4].gradient_steps] == list(GRADIENT_STEPS[trainer])


def test_own_neither_touches_nor_synchronises_an_architecture_that_rests() -> None:
    made = population("own", target_network_frequency=10_000)
    run(made, [A])
    first = fields(made, label(made, A))
    run(made, [B, C])
    assert same(fields(made, label(made, A)), first)
    run(made, [A])
    assert torch.equal(fields(made, label(made, A))["target"], first["target"])
    assert set(made.lifetimes[0].stores) == {label(made, one) for one in (A, B, C)}


# fresh


@pytest.mark.parametrize("trainer", TRAINERS)
def test_fresh_inherits_nothing(trainer: str) -> None:
    one, other = run(population("fresh", trainer=trainer), [A, B]), run(population("fresh", trainer=trainer), [C, B])
    assert [one[1].switched, other[1].switched] == [True, True]
    assert one[1] == other[1]
    assert one[1].gradient_steps == GRADIENT_STEPS[trainer][0], "DQN waits for its own replay"
    assert one[1].epsilon == one[0].epsilon
    repeated = run(population("fresh", trainer=trainer), [B, B])[1]
    assert repeated == replace(one[1], switched=False), "nor from itself"


def test_fresh_begins_every_window_with_weights_and_a_replay_of_its_own() -> None:
    made = population("fresh", learning_starts=119, buffer_size=1000)  # no gradient step: weights stay as they began
    begun = []
    for window, architecture in enumerate((A, A, B)):
        run(made, [architecture])
        (store,) = made.lifetimes[0].stores.values()
        expected = store.supernet.layout.initial(generator(0, Consumer.WEIGHTS, window))
        assert torch.equal(store.supernet.fields["weight"], expected)
        assert int(made.replay.filled[0]) == 31
        begun.append(made.replay.get(0).observations[0])
    assert not torch.equal(begun[0], begun[1]), "other episodes in every window"


@pytest.mark.parametrize("trainer", TRAINERS)
def test_fresh_windows_of_one_architecture_are_independent_repetitions(trainer: str) -> None:
    results = run(population("fresh", trainer=trainer), [A, A, A])
    assert len({result.raw_return for result in results}) == 3
    assert len({result.loss for result in results}) == 3


# all of them


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("transfer", ["shared", "own", "fresh"])
def test_the_first_window_is_the_same_whatever_comes_later(transfer: str, trainer: str) -> None:
    one, other = (run(population(transfer, trainer=trainer), [A, then]) for then in (B, C))
    assert one[0] == other[0]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_first_window_is_that_of_an_exact_network_of_its_own_under_every_rule(trainer: str) -> None:
    shared, own, fresh = (run(population(rule, trainer=trainer, windows=1), [A]) for rule in ("shared", "own", "fresh"))
    assert own[0].gradient_steps > 0
    assert shared == own
    assert fresh == own


NETWORKS = [name for name in names("archgym.search_spaces") if find_space(name).supernet is not None]


@pytest.mark.parametrize("space", NETWORKS)
def test_the_supernet_starts_with_the_first_architecture_as_it_is_alone_and_with_nothing_else_of_it(space: str) -> None:
    task = "CartPole-v1" if "vectors" in find_space(space).takes else "Orchard-v0"
    shared, own = (population(transfer, space=space, task=task) for transfer in ("shared", "own"))
    life, found = Lifetime(7), shared.problem.space
    first, other = np.zeros(len(found.counts), dtype=np.int64), found.sample(np.random.default_rng(0))
    network = found.network_of(first)
    alone = own.transfer.begin(life, label(own, first)).supernet
    whole, of_other = (shared.transfer.begin(life, label(shared, one)).supernet for one in (first, other))
    for name in FIELDS:
        assert torch.equal(whole.fields[name][whole.layout.positions(network)], alone.fields[name]), name
    parts = [whole.layout.positions(found.network_of(one)) for one in (first, other)]
    outside = torch.ones(whole.layout.size, dtype=torch.bool)
    outside[torch.cat(parts)] = False
    assert outside.any()
    assert torch.equal(whole.fields["weight"][outside], of_other.fields["weight"][outside])
    assert not torch.equal(whole.fields["weight"][parts[0]], of_other.fields["weight"][parts[0]])
