"""One supernet for all members: against a supernet written as anybody would, and all that a population does with it."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import archgym  # noqa: F401  (registers the ids)
from archgym import checkpoint, lookup
from archgym.envs.editing import EditingVectorEnv
from archgym.envs.team import Team
from archgym.evaluator import State
from archgym.learners import adam_fused, dqn, dqn_torch, pqn, pqn_torch, sharing
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import REWARD, Replay
from archgym.running import scratch
from archgym.running.arguments import SearchArgs
from archgym.search_spaces.mlp import MLP
from archgym.settings import Settings
from archgym.supernet import FIELDS, Layout, Supernet
from archgym.supernets import mlp
from archgym.training import Group
from archgym.window import WindowResult

pytestmark = pytest.mark.filterwarnings("ignore:window_steps")

CPU, TWICE = torch.device("cpu"), torch.float64  # where rounding does not hide a fault
TRAINERS = lookup.names("archgym.trainers")
SMALL = {"windows": 6, "window_steps": 120, "learning_rate": 1e-3}
OF_TRAINER: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 40, "batch_size": 16, "train_frequency": 4, "target_network_frequency": 60, "tau": 0.7},
    "pqn": {"num_steps": 8, "num_minibatches": 2, "layer_norm": True},
    "ppo": {"num_steps": 8, "num_minibatches": 2, "actor_critic": True},
}
for name in ("dqn", "pqn"):
    OF_TRAINER[name]["exploration_fraction"] = 0.5
A, B, C = [0, 0, 1], [1, 1, 2], [0, 2, 0]  # depth, width, activation: they share slices
ROUNDED = {"task": "Orchard-v0", "space": "mini-kernels", "precision": "bfloat16", "window_steps": 60}
PLAN = [[A, B, A], [A, A, B], [B, A, B], [B, C, A]]


def problem(trainer: str = "dqn", **keywords: Any) -> Problem:
    given = {
        **SMALL,
        **OF_TRAINER[trainer],
        "trainer": trainer,
        "share_weights": True,
        "learner": "reference",
        **keywords,
    }
    return Problem(Settings.from_keywords(given))


def population(members: int = 3, seeds: Sequence[int] | None = None, **keywords: Any) -> Population:
    made = Population(problem(**keywords), members)
    made.reset(range(members) if seeds is None else seeds)
    return made


def run(made: Population, plan: Sequence[Sequence[Sequence[int]]]) -> list[list[WindowResult]]:
    """Train the architectures (windows, members, choices)."""
    return [made.train_window(np.array(architectures)) for architectures in plan]


def numbers(state: State) -> dict[str, Any]:
    """A state in a form that == compares bit for bit."""
    return {"meta": state.meta, **{name: array.tobytes() for name, array in state.arrays.items()}}


def supernets(made: Population) -> list[Supernet]:
    return [store.supernet for life in made.lifetimes for store in life.stores.values()]


def copied(supernet: Supernet) -> dict[str, Tensor]:
    return {name: field.clone() for name, field in supernet.fields.items()}


# The steps, against a supernet written as anybody would.

INPUTS, OUTPUTS, ENVS, BATCH = 5, 3, 4, 8
NETWORKS = (MLP((8, 6)), MLP((6,), "tanh"), MLP((4, 10), "elu"))
TOGETHER = [(0, 0, 1), (1, 2, 1), (1, 2, 0)]  # windows, members: networks; some alike, some stay, some switch


class Plain(nn.Module):
    """The supernet as a module; every member's loss is differentiated by all of it, and a loop does the rest."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        self.names = list(supernet.layout.parameters)
        sizes = [int(np.prod(one.shape)) for one in supernet.layout.parameters.values()]
        parts = supernet.fields["weight"].split(sizes)
        shapes = [one.shape for one in supernet.layout.parameters.values()]
        self.tensors = nn.ParameterList([part.view(shape).clone() for part, shape in zip(parts, shapes, strict=True)])
        self.target = [tensor.detach().clone() for tensor in self.tensors]
        self.first, self.second, self.steps = ([torch.zeros_like(one) for one in self.target] for _ in range(3))

    def fields(self) -> dict[str, Tensor]:
        lists = (list(self.tensors), self.target, self.first, self.second, self.steps)
        return {
            name: torch.cat([one.detach().flatten() for one in own]) for name, own in zip(FIELDS, lists, strict=True)
        }

    def values(self, network: MLP, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        named = dict(zip(self.names, tensors, strict=True))
        for layer, width in enumerate(network.hidden):
            weight, bias = named[f"layer_{layer}.weight"], named[f"layer_{layer}.bias"]
            x = {"relu": F.relu, "tanh": torch.tanh, "elu": F.elu}[network.activation](
                F.linear(x, weight[:width, : x.shape[-1]], bias[:width])
            )
        head = f"head_{len(network.hidden)}"
        return F.linear(x, named[f"{head}.weight"][:, : x.shape[-1]], named[f"{head}.bias"])

    def used(self, network: MLP) -> list[Tensor]:
        """Mark the numbers that a network uses: those that its values depend on when all else is 1."""
        ones = [torch.ones_like(tensor, requires_grad=True) for tensor in self.target]
        linear = MLP(network.hidden, "relu")
        found = torch.autograd.grad(
            self.values(linear, torch.ones(1, INPUTS).to(TWICE), ones).sum(), ones, allow_unused=True
        )
        return [
            torch.zeros_like(one) if part is None else (part != 0).to(TWICE)
            for part, one in zip(found, ones, strict=True)
        ]

    def step(self, networks: Sequence[MLP], losses: Sequence[Tensor], rate: float, longest: float = np.inf) -> None:
        """Follow the mean of the members' gradients, number by number."""
        total, count = ([torch.zeros_like(one) for one in self.target] for _ in range(2))
        for network, loss in zip(networks, losses, strict=True):
            found = torch.autograd.grad(loss, list(self.tensors), allow_unused=True)
            own = [
                torch.zeros_like(one) if part is None else part for part, one in zip(found, self.target, strict=True)
            ]
            norm = torch.cat([part.flatten() for part in own]).norm()
            for place, (part, mark) in enumerate(zip(own, self.used(network), strict=True)):
                total[place] += part * min(1.0, longest / (float(norm) + 1e-6))
                count[place] += mark
        for place, tensor in enumerate(self.tensors):
            moves = count[place] > 0
            gradient = torch.where(moves, total[place] / count[place].clamp(min=1), 0)
            self.steps[place] += moves
            t = self.steps[place]
            self.first[place] = torch.where(moves, 0.9 * self.first[place] + 0.1 * gradient, self.first[place])
            second = 0.999 * self.second[place] + 0.001 * gradient**2
            self.second[place] = torch.where(moves, second, self.second[place])
            size = (self.second[place] / (1 - 0.999**t)).sqrt() + 1e-8
            change = rate * self.first[place] / (1 - 0.9**t) / size
            tensor.data -= torch.where(moves, change, 0)

    def sync(self, networks: Sequence[MLP], tau: float) -> None:
        """Move the target of what the networks use."""
        for place, marks in enumerate(zip(*[self.used(network) for network in networks], strict=True)):
            share = tau * torch.stack(marks).amax(0)
            self.target[place] = (1 - share) * self.target[place] + share * self.tensors[place].detach()


def windows(stacked: bool) -> Iterator[tuple[Plain, list[Group], list[MLP]]]:
    """Check out what TOGETHER says, window after window, and compare when it has been trained."""
    net = Supernet(Layout(mlp, NETWORKS, INPUTS, OUTPUTS), np.random.default_rng(0), CPU)
    net.fields = {name: field.to(TWICE) for name, field in net.fields.items()}
    plain, before = Plain(net), None
    for window, chosen in enumerate(TOGETHER):
        members = range(len(chosen))
        parts = (
            [[m for m in members if chosen[m] == one] for one in dict.fromkeys(chosen)]
            if stacked
            else [[m] for m in members]
        )
        syncs = [[before is not None and before[m] != chosen[m] for m in part] for part in parts]
        if before is not None:
            plain.sync([NETWORKS[chosen[m]] for m in members if chosen[m] != before[m]], 1.0)
        union, subnets = sharing.check_out(net, [NETWORKS[chosen[part[0]]] for part in parts], syncs)
        groups = [Group(part, own, 100 * window) for part, own in zip(parts, subnets, strict=True)]
        yield plain, groups, [NETWORKS[number] for number in chosen]
        before = chosen
        union.check_in(net)
        for name, expected in plain.fields().items():
            torch.testing.assert_close(net.fields[name], expected, rtol=1e-9, atol=1e-12)


def filled_replay(members: int) -> Replay:
    replay, every = Replay(members, ENVS, INPUTS, 200, CPU), torch.arange(members)
    replay.observations, replay.steps = replay.observations.to(TWICE), replay.steps.to(TWICE)
    rng = np.random.default_rng(5)
    for _ in range(30):
        observations = rng.normal(size=(members, ENVS, INPUTS))
        replay.write(
            every, torch.from_numpy(observations), torch.from_numpy(rng.integers(OUTPUTS, size=(members, ENVS)))
        )
        results = np.stack(
            [rng.normal(size=(members, ENVS)), *(rng.random((2, members, ENVS)) < [[[0.1]], [[0.9]]])], -1
        )
        replay.complete(every, torch.from_numpy(results))
    return replay


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("special", [{}, {"tau": 0.3, "double": True, "huber": True}], ids=str)
def test_steps_of_dqn_follow_the_mean_gradient_of_those_who_use_a_number(
    stacked: bool, special: dict[str, Any]
) -> None:
    config = dqn.Config(
        batch_size=BATCH, train_frequency=4, target_network_frequency=12, learning_starts=8, buffer_size=200, **special
    )
    replay, count = filled_replay(3), 0
    for plain, groups, networks in windows(stacked):
        samplers, mirrors = ([np.random.default_rng((count, m)) for m in range(3)] for _ in range(2))
        learners = dqn_torch.TorchLearners(config, groups, range(3), replay, samplers, CPU)
        draws = [rng.random((dqn_torch.DRAWS, BATCH)) for rng in mirrors]
        for step in range(10):
            learners.learn(4 * step, 4 * step + 4)
            if groups[0].steps + 4 * step >= 8:
                losses = []
                for member, network in enumerate(networks):
                    batch = replay.sample(torch.tensor([member]), torch.from_numpy(draws[member][0])[None])
                    draws[member] = draws[member][1:]
                    next_q = plain.values(network, batch.next_observations[0], plain.target)
                    best = (
                        plain.values(network, batch.next_observations[0], list(plain.tensors))
                        if config.double
                        else next_q
                    )
                    next_value = next_q.gather(1, best.argmax(1, keepdim=True))[:, 0]
                    target = batch.rewards[0] + config.gamma * (1 - batch.terminated[0]) * next_value
                    q = plain.values(network, batch.observations[0], list(plain.tensors)).gather(
                        1, batch.actions[0][:, None]
                    )
                    error = (target.detach() - q[:, 0]) * batch.valid[0]
                    losses.append(F.huber_loss(error, 0 * error) if config.huber else (error**2).mean())
                plain.step(networks, losses, config.learning_rate)
            if (4 * step + 4 + groups[0].steps) // 12 > (4 * step + groups[0].steps) // 12:
                plain.sync(networks, config.tau)
        statistics = learners.finish()
        assert statistics.gradient_steps.tolist() == [8 if count == 0 else 10] * 3
        assert not statistics.diverged.any()
        count += 1
    assert count == len(TOGETHER)


@pytest.mark.parametrize("stacked", [True, False])
def test_steps_of_pqn_follow_the_mean_of_gradients_that_were_cut_one_by_one(stacked: bool) -> None:
    config, slots, rng = (
        pqn.Config(num_steps=6, update_epochs=2, num_minibatches=3, max_grad_norm=0.5),
        6,
        np.random.default_rng(2),
    )
    for plain, groups, networks in windows(stacked):
        learners = pqn_torch.TorchLearners(config, groups, OUTPUTS, CPU)
        shape = (slots, 3, ENVS)
        rollout = pqn.Rollout(
            rng.normal(size=(*shape, INPUTS)),
            rng.integers(OUTPUTS, size=shape),
            rng.normal(size=shape),  # type: ignore[arg-type]  # double, as all of the reference
            rng.random(shape) < 0.9,
        )
        orders = np.stack([[rng.permutation(slots * ENVS) for _ in range(2)] for _ in range(3)])
        parts = (rollout.observations, rollout.actions, rollout.returns, rollout.valid.astype(np.float64))
        flat = [torch.from_numpy(part.swapaxes(0, 1).reshape(3, slots * ENVS, *part.shape[3:])) for part in parts]
        learners.learn(rollout, orders, np.full(3, 1e-2))
        for epoch in range(2):
            for cut in config.minibatches(slots * ENVS):
                losses = []
                for member, network in enumerate(networks):
                    rows = torch.from_numpy(orders[member, epoch, cut])
                    seen, actions, returns, valid = (part[member][rows] for part in flat)
                    q = plain.values(network, seen, list(plain.tensors)).gather(1, actions[:, None])[:, 0]
                    losses.append((((q - returns) * valid) ** 2).mean())
                plain.step(networks, losses, 1e-2, longest=0.5)
        assert learners.finish().gradient_steps.tolist() == [6, 6, 6]


# What it means for a population.


@pytest.mark.parametrize("large", [1, None], ids=["fused Adam", "plain Adam"])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_single_member_lives_as_without_sharing_bit_for_bit(
    trainer: str, large: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(adam_fused, "LARGE", large)
    alone, sharing_alone = (population(1, [4], trainer=trainer, share_weights=flag) for flag in (False, True))
    plan = [[architecture] for architecture in (A, B, A, C)]
    assert run(alone, plan) == run(sharing_alone, plan)
    assert numbers(alone.get_state()) == numbers(sharing_alone.get_state())


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("keywords", [{}, ROUNDED], ids=["float32", "bfloat16"])
def test_two_members_that_do_the_same_are_nearly_one_where_they_are_one_minibatch(
    keywords: dict[str, Any], exact: bool
) -> None:
    one, twins = population(1, [4], **keywords), population(2, [4, 4], **keywords, exact=exact)
    run(one, [[A]])
    run(twins, [[A, A]])
    single, double = supernets(one)[0].fields, supernets(twins)[1].fields
    assert torch.equal(single["steps"], double["steps"])
    untrained = population(1, [4], **keywords, learning_rate=1e-30)
    run(untrained, [[A]])
    moved = (single["weight"] - supernets(untrained)[0].fields["weight"]).abs().mean()
    apart = (single["weight"] - double["weight"]).abs().mean()
    assert apart < (0.1 if keywords else 1e-3) * moved, (apart, moved)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("trainer", sorted(set(TRAINERS) - {"dqn"}))
def test_two_members_that_do_the_same_are_one_where_gradients_are_taken_one_by_one(trainer: str, exact: bool) -> None:
    """The mean of a gradient with itself is itself, bit for bit."""
    keywords = {"trainer": trainer}
    one, twins = population(1, [4], **keywords), population(2, [4, 4], **keywords, exact=exact)
    plan = (A, B, A, C)
    single, double = run(one, [[each] for each in plan]), run(twins, [[each, each] for each in plan])
    assert [[result, result] for (result,) in single] == double
    for name in FIELDS:
        assert torch.equal(supernets(one)[0].fields[name], supernets(twins)[1].fields[name]), name


@pytest.mark.parametrize("trainer", TRAINERS)
def test_equal_seeds_give_equal_lives_and_every_seed_counts(trainer: str) -> None:
    one, again, other = (population(3, seeds, trainer=trainer) for seeds in ([1, 2, 3], [1, 2, 3], [1, 2, 9]))
    results = run(one, PLAN)
    assert results == run(again, PLAN)
    assert numbers(one.get_state()) == numbers(again.get_state())
    others = run(other, PLAN)
    assert results[0][2] != others[0][2]
    assert results[-1][0] != others[-1][0], "the third member's experience reaches the first one by the supernet"


@pytest.mark.parametrize("trainer", TRAINERS)
def test_stacked_members_step_nearly_as_members_at_their_own_shapes(trainer: str) -> None:
    stacked, exact = population(trainer=trainer), population(trainer=trainer, exact=True)
    run(stacked, PLAN[:1])
    run(exact, PLAN[:1])
    for name in FIELDS:
        torch.testing.assert_close(
            supernets(stacked)[0].fields[name], supernets(exact)[0].fields[name], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("trainer", TRAINERS)
def test_all_members_have_one_supernet_that_begins_with_the_first_ones_seed(trainer: str) -> None:
    made, alone = population(3, [5, 6, 7], trainer=trainer), population(1, [5], trainer=trainer)
    for windows_done in range(3):
        for architecture in (A, B, C):
            weights = [made.weights(member, np.array(architecture)) for member in range(3)]
            first = alone.weights(0, np.array(architecture)) if windows_done == 0 else weights[0]
            for own in weights:
                assert all(torch.equal(own[name], first[name]) for name in first)
        made.train_window(np.array(PLAN[windows_done]))
        assert len({id(supernet) for supernet in supernets(made)}) == 1
    scores, _ = made.evaluate(np.array([A, A, A]), [0, 0, 1], 2)
    assert scores[0] == scores[1]
    assert made.lifetimes[2].stores[""].steps == 360


@pytest.mark.parametrize("trainer", TRAINERS)
def test_what_nobody_uses_does_not_move_and_steps_are_counted_once(trainer: str) -> None:
    made = population(trainer=trainer)
    run(made, [[A, B, A]])
    supernet = supernets(made)[0]
    before = copied(supernet)
    results = run(made, [[A, A, C]])[0]
    used = torch.zeros(supernet.layout.size, dtype=torch.bool)
    for architecture in (A, C):
        used[supernet.layout.positions(made.problem.space.network_of(np.array(architecture)))] = True
    assert 0 < used.sum() < len(used)
    for name in FIELDS:
        assert torch.equal(supernet.fields[name][~used], before[name][~used]), name
    counted = supernet.fields["steps"][used] - before["steps"][used]
    assert counted.unique().tolist() == [results[0].gradient_steps] == [results[2].gradient_steps]
    assert not torch.equal(supernet.fields["weight"][used], before["weight"][used])


def test_members_keep_replay_and_exploration_of_their_own() -> None:
    made = population(3)
    run(made, PLAN[:1])
    assert made.replay is not None
    rings = [made.replay.get(member).observations for member in range(3)]
    assert not torch.equal(rings[0], rings[1])
    assert not torch.equal(rings[0], rings[2])


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_state_holds_the_supernet_once_and_goes_on_exactly(trainer: str, tmp_path: Path) -> None:
    made = population(trainer=trainer)
    run(made, PLAN[:2])
    state = made.get_state()
    assert [name for name in state.arrays if name.endswith("exp_avg")] == ["0/0/exp_avg"]
    checkpoint.save(tmp_path / "state.safetensors", state, 1, 2)
    expected, after = run(made, PLAN[2:]), numbers(made.get_state())
    other = population(3, [7, 7, 7], trainer=trainer)
    run(other, PLAN[:1])
    other.set_state(checkpoint.load(tmp_path / "state.safetensors"))
    assert numbers(other.get_state()) == numbers(state)
    assert run(other, PLAN[2:]) == expected
    assert numbers(other.get_state()) == after


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_state_before_the_first_window_goes_on_exactly(trainer: str) -> None:
    made, other = population(3, [1, 2, 3], trainer=trainer), population(3, [7, 8, 9], trainer=trainer)
    other.set_state(made.get_state())
    assert run(made, PLAN[:2]) == run(other, PLAN[:2])


def test_states_of_members_that_share_and_of_those_that_do_not_are_kept_apart() -> None:
    shared, own = population(), population(share_weights=False)
    for made in (shared, own):
        run(made, PLAN[:1])
    before = numbers(own.get_state())
    with pytest.raises(ValueError, match="state: it belongs to another share_weights than False"):
        own.set_state(shared.get_state())
    assert numbers(own.get_state()) == before
    with pytest.raises(ValueError, match="state: it belongs to another share_weights than True"):
        shared.set_state(own.get_state())


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_gradient_that_diverges_leaves_the_whole_supernet_as_it_was(trainer: str) -> None:
    spoilt = population(trainer=trainer, learning_rate=1e30)
    spoilt.evaluate(np.array([A]), [0], 1)
    start = spoilt.transfer.begin(spoilt.lifetimes[0], spoilt.problem.space.label(np.array(PLAN[0][0]))).supernet
    results = run(spoilt, PLAN[:1])[0]
    assert all(result.diverged and result.reward == -1.0 for result in results)
    for supernet in supernets(spoilt):
        assert all(torch.equal(supernet.fields[name], start.fields[name]) for name in FIELDS)
        assert not supernet.fields["steps"].any()


def test_one_member_that_diverges_takes_the_others_of_the_window_with_it() -> None:
    made = population()
    run(made, [[A, A, A]])
    before = copied(supernets(made)[0])
    assert made.replay is not None
    made.replay.steps[1, :, :, REWARD] = torch.inf
    results = run(made, [[C, B, C]])[0]
    assert [result.diverged for result in results] == [True, True, True]
    assert all(torch.equal(supernets(made)[0].fields[name], before[name]) for name in FIELDS)
    assert {life.last for life in made.lifetimes} == {made.problem.space.label(np.array(A))}


def test_a_new_lifetime_of_all_forgets_the_supernet() -> None:
    made = population(3, [1, 2, 3])
    expected = run(made, PLAN[:2])
    made.reset([1, 2, 3])
    assert run(made, PLAN[:2]) == expected


def test_architectures_drawn_at_random_learn_together_in_the_one_supernet() -> None:
    made = Population(Problem(Settings(window_steps=2_500, share_weights=True)), 4)
    made.reset([1, 2, 3, 4])
    rng = np.random.default_rng(0)
    drawn = [np.stack([made.problem.space.sample(rng) for _ in range(4)]) for _ in range(7)]
    returns = np.array([[one.raw_return for one in made.train_window(architectures)] for architectures in drawn])
    assert returns[-3:].mean() > 2.5 * returns[0].mean()
    assert made.learner == "reference"


# Refusals.


class Bare:
    """A trainer's module that says nothing about sharing."""


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"share_weights": 1}, "share_weights: expected True or False, got 1"),
        ({"transfer": "own"}, "share_weights: expected transfer='shared', a supernet, got 'own'"),
        ({"transfer": "fresh"}, "share_weights: expected transfer='shared', a supernet, got 'fresh'"),
        ({"learner": "native"}, "share_weights: expected learner='torch' or 'auto', got 'native'"),
        ({"trainer": "synthetic"}, "share_weights: expected networks that are trained, got a planted landscape"),
        ({"learner": "nativ"}, "unknown learner 'nativ'.*Did you mean 'native'"),
        ({"threads": 2}, "threads: expected 1 where torch computes the gradient steps"),
        ({"threads": 2, "learner": "auto"}, "threads: expected 1 where torch computes the gradient steps"),
    ],
)
def test_settings_that_do_not_go_with_it_are_refused(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Population(Problem(Settings.from_keywords({"share_weights": True, **keywords})), 3)


def test_a_trainer_that_does_not_say_that_it_can_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "mine.py").write_text("from archgym.trainers.dqn import LEARNERS, PRESETS, Trainer\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = Problem(Settings(trainer="lab.mine", share_weights=True))
    with pytest.raises(ValueError, match=r"share_weights: expected a trainer .*SHARES_WEIGHTS.*, got 'lab.mine'"):
        Population(own, 2)


def test_some_members_alone_can_neither_train_nor_begin_anew_nor_be_copied() -> None:
    made, undisturbed = population(), population()
    run(made, PLAN[:1])
    run(undisturbed, PLAN[:1])
    with pytest.raises(ValueError, match=r"reset: expected all 3 members, .*share_weights=True.*; got members 1"):
        made.reset([5], [1])
    with pytest.raises(ValueError, match=r"train_window: expected all 3 members, .*; got members 0, 2"):
        made.train_window(np.array([A, B]), [0, 2])
    with pytest.raises(ValueError, match="fork: expected members with weights of their own, got share_weights=True"):
        made.fork(0, 1)
    assert run(made, PLAN[1:2]) == run(undisturbed, PLAN[1:2])


# The views.

ID = "ArchSearch-DQN-v0"
VIEWED: dict[str, Any] = {**SMALL, **OF_TRAINER["dqn"], "windows": 3, "share_weights": True}


def make(id: str = ID, members: int = 3, **keywords: Any) -> Any:
    return gym.make_vec(id, num_envs=members, **{**VIEWED, **keywords})


def lived(envs: Any, steps: int) -> list[Any]:
    """Live on by architectures that the step's number decides: rewards, ends and observations."""
    told = []
    for step in range(steps):
        rng = np.random.default_rng(step)
        actions = np.stack([envs.unwrapped.search_space.sample(rng) for _ in range(envs.num_envs)])
        observations, rewards, terminated, _, _ = envs.step(actions)
        told.append((observations.tolist(), rewards.tolist(), terminated.tolist()))
    return told


def test_a_vector_environment_begins_its_lifetimes_anew_together() -> None:
    envs = make()
    envs.reset(seed=3)
    told = lived(envs, 8)  # two lifetimes of 3 windows, each followed by a reset
    assert [ended for _, _, ended in told] == [[step % 4 == 2] * 3 for step in range(8)]
    assert told[0][1] != told[4][1]
    again = make()
    again.reset(seed=3)
    assert lived(again, 8) == told


def test_the_sequential_view_tells_the_same_story() -> None:
    whole, parts = make(), make("ArchSearch-DQN-Sequential-v0")
    whole.reset(seed=3)
    parts.reset(seed=3)
    for step in range(3):
        rng = np.random.default_rng(step)
        actions = np.stack([whole.unwrapped.search_space.sample(rng) for _ in range(3)])
        expected = whole.step(actions)[1]
        for column in actions.T:
            rewards = parts.step(column)[1]
        assert rewards.tolist() == expected.tolist()


def test_a_reset_of_some_is_refused_and_changes_nothing() -> None:
    envs, undisturbed = make(), make()
    for one in (envs, undisturbed):
        one.reset(seed=3)
    for view in (envs, EditingVectorEnv(envs.unwrapped)):
        with pytest.raises(ValueError, match=r"reset_mask: expected all 3 members, .*; got members 0, 2"):
            view.reset(seed=9, options={"reset_mask": np.array([True, False, True])})
    assert lived(envs, 5) == lived(undisturbed, 5)


def test_penalties_and_difference_rewards_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match=r"illegal: expected 'refuse', .*share_weights=True.*; got 'penalise'"):
        make("ArchSearch-DQN-Sequential-v0", illegal="penalise", journal=journal)
    assert not any(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"illegal: expected 'refuse', .*share_weights=True.*; got 'penalise'"):
        EditingVectorEnv(make().unwrapped, illegal="penalise")
    make("ArchSearch-DQN-Sequential-v0", members=1, illegal="penalise").close()
    with pytest.raises(ValueError, match="share_weights: expected False with credit='difference'"):
        Team(credit="difference", **VIEWED)


def test_a_journal_goes_on_where_it_was_cut_with_the_very_same_rewards(tmp_path: Path) -> None:
    envs = make(journal=str(tmp_path / "whole.jsonl"))
    envs.reset(seed=3)
    expected = lived(envs, 6)
    envs.close()
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:4]))
    envs = make(journal=str(tmp_path / "cut.jsonl"), resume=True)
    envs.reset(seed=3)
    assert lived(envs, 6) == expected
    envs.close()
    with pytest.raises(ValueError, match="share_weights was True and is now False"):
        make(journal=str(tmp_path / "cut.jsonl"), resume=True, share_weights=False)


def test_a_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    first = make(journal=str(tmp_path / "journal.jsonl"))
    first.reset(seed=3)
    begun = lived(first, 2)
    first.close()  # writes a checkpoint
    assert (tmp_path / "journal.checkpoint.safetensors").exists()
    second, whole = make(journal=str(tmp_path / "journal.jsonl"), resume=True), make()
    for envs in (second, whole):
        envs.reset(seed=3)
    assert lived(second, 3)[:2] == begun
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lived(whole, 3)
    assert lived(second, 4) == lived(whole, 4)
    second.close()


def test_an_exported_module_computes_with_the_one_supernets_weights() -> None:
    envs = make()
    envs.reset(seed=3)
    lived(envs, 2)
    modules = [envs.unwrapped.export(B, member) for member in range(3)]
    state = modules[0].state_dict()
    assert state
    for module in modules[1:]:
        assert all(torch.equal(module.state_dict()[name], value) for name, value in state.items())


def test_the_command_line_takes_it_with_the_single_settings() -> None:
    assert SearchArgs(inner=("share_weights=true",)).settings().share_weights


def test_networks_are_trained_from_scratch_without_it() -> None:
    settings = problem().settings
    for own, _ in (scratch.retraining(settings, 5000), scratch.exact_retraining(settings, 5000)):
        assert (own.share_weights, own.transfer) == (False, "own")
