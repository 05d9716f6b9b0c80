"""What is inherited at a switch by learners that have one store for all architectures, each setting by itself."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from archgym.inheritance import blocks, copied, counterparts, layers, switches
from archgym.population import Population
from archgym.problem import Problem
from archgym.replay import Replay
from archgym.running.arguments import SearchArgs
from archgym.seeding import Consumer, generator
from archgym.settings import SEPARATE, TRANSFERS, Settings
from archgym.supernet import FIELDS
from archgym.window import WindowResult

SMALL = {"windows": 6, "window_steps": 120, "learning_rate": 1e-3, "exploration_fraction": 0.5}
OF_TRAINER: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 40, "batch_size": 16, "train_frequency": 4, "target_network_frequency": 60},
    "pqn": {"num_steps": 8, "num_minibatches": 2, "layer_norm": True},
}
A, B, C, D = [0, 0, 1], [1, 1, 2], [1, 0, 1], [0, 0, 2]  # depth, width, activation; C is deeper than A, D other than A
INHERITING = [name for name in TRANSFERS if name not in SEPARATE]
PAIRS = [(one, trainer) for one in INHERITING for trainer in OF_TRAINER if one != "distil" or trainer == "dqn"]
TAUGHT = 4  # gradient steps of `distil`
IDLE = {"learning_starts": 719}  # no gradient step: what a window begins with is what it ends with
MOMENTS = ("exp_avg", "exp_avg_sq", "steps")
OPTIONS: dict[str, dict[str, Any]] = {
    "optimizer": {"optimizer": "reset"},
    "replay": {"replay_keep": 0.25},
    "cleared": {"replay_keep": 0.0},
    "bump": {"exploration": "bump"},
    "restart": {"exploration": "restart"},
    "all": {"optimizer": "reset", "replay_keep": 0.25, "exploration": "restart"},
}
LEARNERS = [("dqn", "native"), ("dqn", "torch"), ("dqn", "reference"), ("pqn", "native"), ("pqn", "reference")]


def population(transfer: str = "matching", members: int = 1, trainer: str = "dqn", **keywords: Any) -> Population:
    own = {**OF_TRAINER[trainer], **({"distil_steps": TAUGHT} if transfer == "distil" else {})}
    settings = {**SMALL, **own, "transfer": transfer, "trainer": trainer, **keywords}
    made = Population(Problem(Settings.from_keywords(settings)), members)
    made.reset(range(members))
    return made


def replays(trainer: str, transfer: str, settings: dict[str, Any]) -> bool:
    """Tell whether there is a replay, and enough is left of it, where these settings need one."""
    return (trainer == "dqn" or "replay_keep" not in settings) and (transfer, settings.get("replay_keep")) != (
        "distil",
        0,
    )


def run(made: Population, plan: Sequence[Sequence[int]]) -> list[WindowResult]:
    """Train all members alike for these windows; gives the results of member 0."""
    return [made.train_window(np.array([architecture] * made.members))[0] for architecture in plan]


def scramble(made: Population) -> dict[str, torch.Tensor]:
    """Put numbers of their own everywhere into the one store, and give them."""
    rng = np.random.default_rng(3)
    store = made.lifetimes[0].stores[""].supernet
    for name in FIELDS:
        drawn = rng.integers(1, 9, len(store.fields[name])) if name == "steps" else rng.random(len(store.fields[name]))
        store.fields[name] = torch.from_numpy(drawn.astype(np.float32))
    return {name: field.clone() for name, field in store.fields.items()}


def tensors(made: Population, architecture: Sequence[int], field: str = "weight") -> dict[str, torch.Tensor]:
    """Cut a field of the one store into the tensors of an architecture."""
    store, network = made.lifetimes[0].stores[""], made.problem.space.network_of(np.array(architecture))
    places = store.supernet.layout.places(network)
    return {name: store.supernet.fields[field][place] for name, place in places.items()}


def initial(made: Population, architecture: Sequence[int], *path: int) -> dict[str, torch.Tensor]:
    """Give what a network alone starts with in a window."""
    network = made.problem.space.network_of(np.array(architecture))
    layout = made._layout(network)
    drawn = layout.initial(generator(0, Consumer.WEIGHTS, *path))
    return {name: drawn[place] for name, place in layout.places(network).items()}


# The weights of `matching`.


def without_depth(name: str) -> str:
    """Call a head by no depth: `head_2.weight` is `head.weight`."""
    return re.sub(r"head_\d+", "head", name)


def by_place(found: dict[str, Any]) -> dict[str, Any]:
    return {without_depth(name): one for name, one in found.items()}


@pytest.mark.parametrize(
    ("before", "after", "copied"),
    [
        (A, C, {"layer_0", "layer_1", "head_3"}),  # deeper: another layer, and the head goes behind it
        (C, A, {"layer_0", "layer_1", "head_2"}),
        (A, D, {"layer_0", "layer_1", "head_2"}),  # only another activation
        (A, [0, 1, 1], set()),  # wider
        (A, B, set()),
    ],
)
def test_matching_copies_the_layers_of_equal_place_and_shape_and_begins_the_others_afresh(
    before: list[int], after: list[int], copied: set[str]
) -> None:
    made = population(**IDLE)
    run(made, [before])
    scramble(made)
    old = {field: by_place(tensors(made, before, field)) for field in FIELDS}
    run(made, [after])
    fresh = initial(made, after, 1)
    for name, weight in tensors(made, after).items():
        inherits, place = name.rpartition(".")[0] in copied, without_depth(name)
        assert torch.equal(weight, old["weight"][place] if inherits else fresh[name]), name
        assert torch.equal(tensors(made, after, "target")[name], weight), "a copy, whatever the target was before"
        for field in MOMENTS:
            now = tensors(made, after, field)[name]
            assert torch.equal(now, old[field][place]) if inherits else not now.any(), (name, field)


def test_of_the_paper_grid_every_layer_of_equal_shape_is_handed_on() -> None:
    """All 702 ordered pairs: among them 162 whose heads are called by other depths and have equal shapes."""
    made = population()
    space, family = made.problem.space, made.family
    shapes = []
    for one in space.enumerate():
        parts = family.crop(space.network_of(one), 4, 2)
        shapes.append({name: tuple(part.stop for part in cuts) for name, cuts in parts.items()})
    pairs = [(old, new) for old in shapes for new in shapes if old is not new]
    renamed = 0
    for old, new in pairs:
        handed = [to for _, to in copied(old, new)]
        before = by_place(old)
        equal = [own for own in layers(new) if all(before.get(without_depth(name)) == new[name] for name in own)]
        assert handed == equal
        renamed += handed[-1:] == [layers(new)[-1]] and layers(old)[-1] != layers(new)[-1]
    assert (len(pairs), renamed) == (702, 162)


def test_of_the_switches_of_the_paper_grid_those_to_another_width_hand_no_layer_on() -> None:
    """At equal width a deeper network begins some layers anew; one as deep or shallower has them all."""
    deeper, shallower, as_deep = 3 * 3 * 9, 3 * 3 * 9, 27 * 2
    assert switches(population().problem.space, 4, 2) == (27 * 18, deeper, shallower + as_deep)


def test_a_hidden_layer_never_stands_for_a_head_whatever_they_are_called() -> None:
    two, three = ([f"layer_{i}.{kind}" for i in range(depth) for kind in ("weight", "bias")] for depth in (2, 3))
    assert counterparts(two, three) == [(two[:2], three[:2]), (two[2:], three[4:])]
    assert counterparts(three, two) == [(three[:2], two[:2]), (three[4:], two[2:])]


def test_matching_copies_what_has_equal_shapes_of_convolutional_networks_too() -> None:
    keywords = {"task": "Orchard-v0", "space": "mini-kernels", "window_steps": 20, "learning_starts": 119}
    made = population(**keywords)
    run(made, [[0, 0, 1]])
    old = tensors(made, [0, 0, 1])
    run(made, [[0, 2, 1]])
    new = tensors(made, [0, 2, 1])
    same = {name for name in new if new[name].shape == old[name].shape and torch.equal(new[name], old[name])}
    assert {name.partition(".")[0] for name in new} - {name.partition(".")[0] for name in same} == {"conv_0"}
    assert not torch.equal(new["conv_0.bias"], old["conv_0.bias"]), "a layer is copied whole or not at all"


def test_matching_goes_on_with_replay_steps_and_exploration() -> None:
    made = population()
    first, second = run(made, [A, C])
    assert (first.gradient_steps, second.gradient_steps) == (20, 30)
    assert second.epsilon < first.epsilon
    assert int(made.replay.filled[0]) == 2 * 31
    store = made.lifetimes[0].stores[""]
    assert (store.network, store.steps, store.explored, store.windows) == (
        made.problem.space.label(np.array(C)),
        240,
        240,
        2,
    )


def test_matching_counts_adams_steps_by_layer() -> None:
    made = population()
    run(made, [A, C])
    counts = {name: field.unique().tolist() for name, field in tensors(made, C, "steps").items()}
    assert counts == {name: [30 if name.startswith("layer_2") else 50] for name in counts}


def test_a_return_to_an_architecture_brings_back_none_of_its_old_weights_under_matching() -> None:
    made = population(**IDLE)
    run(made, [A])
    old = tensors(made, A)
    run(made, [B, A])
    assert not any(torch.equal(weight, old[name]) for name, weight in tensors(made, A).items())


def test_nothing_of_a_network_is_handed_on_under_restart_and_the_replay_is() -> None:
    made, fresh = population("restart", **IDLE), population("fresh", learning_starts=119)  # neither learns
    for one in (made, fresh):
        run(one, [A, C])
    assert int(made.replay.filled[0]) == 62
    assert int(fresh.replay.filled[0]) == 31
    anew = fresh.lifetimes[0].stores[fresh.problem.space.label(np.array(C))].supernet.fields
    assert all(torch.equal(made.lifetimes[0].stores[""].supernet.fields[name], anew[name]) for name in FIELDS)


@pytest.mark.parametrize("transfer", INHERITING)
def test_a_window_that_diverges_leaves_the_network_as_it_was(transfer: str) -> None:
    made = population(transfer, optimizer="reset", reset_layers=1)
    run(made, [A])
    before = {name: field.clone() for name, field in made.lifetimes[0].stores[""].supernet.fields.items()}
    sound = made.trainers[0].config
    made.trainers[0].config = replace(sound, learning_rate=1e30)
    assert run(made, [C])[0].diverged
    store = made.lifetimes[0].stores[""]
    assert all(torch.equal(store.supernet.fields[name], before[name]) for name in FIELDS)
    assert store.network in ("", made.problem.space.label(np.array(A)))
    made.trainers[0].config = sound
    (result,) = run(made, [A])
    assert (result.switched, result.diverged) == (False, False)


@pytest.mark.parametrize("transfer", INHERITING)
def test_the_weights_of_another_architecture_are_those_that_a_switch_would_give(transfer: str) -> None:
    made = population(transfer, **IDLE)
    run(made, [A])
    scramble(made)
    state = made.get_state()
    asked = made.weights(0, np.array(C))
    scores = [made.evaluate(np.array([C]), [0], 2)[0][0] for _ in range(2)]
    after = made.get_state()
    assert scores[0] == scores[1]
    assert after.meta == state.meta
    assert all(np.array_equal(after.arrays[name], array) for name, array in state.arrays.items())
    run(made, [C])
    assert all(torch.equal(weight, asked[name]) for name, weight in tensors(made, C).items())


# The optimizer.


@pytest.mark.parametrize("transfer", INHERITING)
def test_a_reset_optimizer_forgets_moments_and_counts_at_a_switch_and_nothing_else(transfer: str) -> None:
    kept, reset = (population(transfer, optimizer=rule, **IDLE) for rule in ("keep", "reset"))
    for made in (kept, reset):
        run(made, [A])
        scramble(made)
        run(made, [C])
    for field in FIELDS:
        for name, number in tensors(reset, C, field).items():
            expected = tensors(kept, C, field)[name]
            assert not number.any() if field in MOMENTS else torch.equal(number, expected), (name, field)
    if transfer == "shared":
        outside = torch.ones(len(reset.lifetimes[0].stores[""].supernet.fields["steps"]), dtype=torch.bool)
        network = reset.problem.space.network_of(np.array(C))
        outside[reset.lifetimes[0].stores[""].supernet.layout.positions(network)] = False
        assert reset.lifetimes[0].stores[""].supernet.fields["steps"][outside].all(), "slices of others keep theirs"


# The replay.


def filled_ring(slots: int, written: int, envs: int = 2) -> Replay:
    """Give a ring of member 0 whose observations, actions and rewards are the number of their slot."""
    ring = Replay(1, envs, 1, (slots - 1) * envs, torch.device("cpu"))
    row = torch.tensor([0])
    for slot in range(written):
        ring.write(row, torch.full((1, envs, 1), float(slot)), torch.full((1, envs), slot))
        if slot < written - 1:
            ring.complete(row, torch.tensor([float(slot), 0.0, 1.0]).expand(1, envs, 3))
    return ring


@pytest.mark.parametrize("written", [9, 23])  # of 10 slots: before and after the ring is full
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_newest_share_of_the_replay_is_kept(share: float, written: int) -> None:
    ring = filled_ring(10, written)
    held = min(written, 10) - 1
    assert ring.keep(0, share) == 2 * int(share * held)
    batch = ring.sample(torch.tensor([0]), torch.rand(1, 500, dtype=torch.float64))
    expected = range(written - 1 - int(share * held), written - 1)
    assert set(batch.actions.flatten().tolist()) == set(expected)
    assert bool((batch.valid == 1).all())
    assert torch.equal(batch.next_observations[..., 0], batch.observations[..., 0] + 1)


@pytest.mark.parametrize(("share", "written"), [(0.0, 9), (0.1, 9), (0.5, 1), (0.5, 0)])
def test_of_no_transition_not_even_the_newest_observation_is_kept(share: float, written: int) -> None:
    ring = filled_ring(10, written)
    assert ring.keep(0, share) == 0
    assert int(ring.filled[0]) == 0


@pytest.mark.parametrize("transfer", INHERITING)
@pytest.mark.parametrize(("share", "left"), [(1.0, 31), (0.25, 8), (0.01, 0)])
def test_the_replay_is_cut_at_a_switch_and_only_then(share: float, left: int, transfer: str) -> None:
    made = population(transfer, replay_keep=share)
    run(made, [A])
    run(made, [C])
    assert int(made.replay.filled[0]) == left + 31
    run(made, [C])
    assert int(made.replay.filled[0]) == left + 62


@pytest.mark.parametrize("learner", ["native", "torch", "reference"])
@pytest.mark.parametrize("transfer", INHERITING)
def test_after_a_cut_learning_waits_for_a_minibatch_in_all_learners(transfer: str, learner: str) -> None:
    """Counted as at the beginning: a step is due every 4, and made if the steps before the newest slot are enough."""

    def made_steps(batch: int, starts: int, share: float) -> list[int]:
        own = {"learner": learner, "batch_size": batch, "learning_starts": starts, "replay_keep": share}
        made = population(transfer, **own)
        steps = [result.gradient_steps for result in run(made, [A, C, C, A])]
        enough = share * 120 > min(batch, starts), share * 240 > min(batch, starts)
        taught = [TAUGHT * (transfer == "distil") * there for there in enough]
        return [steps[0], steps[1] - taught[0], steps[2], steps[3] - taught[1]]

    assert made_steps(16, 40, 0.01) == [20, 26, 30, 26], "a minibatch of 16 is there after 16 steps"
    assert made_steps(100, 40, 0.01) == [20, 20, 30, 20], "or, where it is fewer, after the 40 of learning_starts"
    assert made_steps(40, 40, 0.25) == [20, 27, 30, 30], "28 of 120 transitions are left, and at the next switch 64"
    assert made_steps(16, 40, 0.25) == [20, 30, 30, 30]


@pytest.mark.parametrize("learner", ["native", "torch", "reference"])
def test_a_cleared_replay_is_refilled_before_its_first_minibatch(learner: str) -> None:
    made = population(replay_keep=0.0, learner=learner, train_frequency=1, batch_size=30)
    run(made, [A])
    made.replay.steps[0, :, :, 1] = float("nan")  # a reward that would ruin every weight
    result = run(made, [C])[0]
    assert not result.diverged
    assert result.gradient_steps > 80


# The exploration rate.


@pytest.mark.parametrize(("transfer", "trainer"), PAIRS)
def test_the_exploration_rate_goes_on_or_halfway_back_or_begins_anew_at_a_switch(transfer: str, trainer: str) -> None:
    # From 1 to 0.05 within 360 steps: after windows of 120 steps the rate is 1 - 0.95 / 3 times their number.
    third = 0.95 / 3
    expected = {
        "continue": [1 - third, 1 - 2 * third, 0.05, 0.05],
        "bump": [1 - third, 1 - 2 * third, 0.05, 1 - 2.5 * third],  # at 120 steps the rate is above the middle
        "restart": [1 - third, 1 - third, 1 - 2 * third, 1 - third],
    }
    for rule, rates in expected.items():
        results = run(population(transfer, trainer=trainer, exploration=rule), [A, C, C, A])
        assert [result.epsilon for result in results] == pytest.approx(rates), rule


def test_the_exploration_rate_does_not_change_when_anything_is_learned() -> None:
    """Neither the copies of weights to the target network nor PQN's step size follow it."""
    for trainer in ("dqn", "pqn"):
        steps = [
            [result.gradient_steps for result in run(population(trainer=trainer, exploration=rule), [A, C, A])]
            for rule in ("continue", "restart")
        ]
        assert steps[0] == steps[1]
    made = population(exploration="restart")
    run(made, [A, C])
    store = made.lifetimes[0].stores[""]
    assert (store.steps, store.explored) == (240, 120)


# Layers that begin anew.


def test_the_last_layers_of_a_network_are_counted_with_their_normalisation() -> None:
    made = population(trainer="pqn", reset_layers=1)
    network = made.problem.space.network_of(np.array(A))
    names = [{name.rpartition(".")[0] for name in block} for block in blocks(made.family.crop(network, 4, 2))]
    assert names == [{"layer_0", "norm_0"}, {"layer_1", "norm_1"}, {"head_2"}]


@pytest.mark.parametrize("transfer", INHERITING)
@pytest.mark.parametrize(("count", "renewed"), [(1, {"head_2"}), (2, {"layer_1", "head_2"})])
def test_the_last_layers_begin_anew_in_every_window_but_the_first(transfer: str, count: int, renewed: set[str]) -> None:
    made = population(transfer, reset_layers=count, **IDLE)
    run(made, [A])
    scramble(made)
    for _ in range(2):
        old = {field: tensors(made, A, field) for field in FIELDS}
        run(made, [A])
        for name, weight in tensors(made, A).items():
            again = name.rpartition(".")[0] in renewed
            assert torch.equal(weight, old["weight"][name]) != again, name
            assert torch.equal(tensors(made, A, "target")[name], weight)
            for field in MOMENTS:
                now = tensors(made, A, field)[name]
                assert not now.any() if again else torch.equal(now, old[field][name]), (name, field)


def test_layers_that_begin_anew_cut_replay_and_exploration_without_a_switch() -> None:
    made = population(reset_layers=1, replay_keep=0.25, exploration="restart", optimizer="reset")
    results = run(made, [A, A, A])
    assert int(made.replay.filled[0]) == int(0.25 * (int(0.25 * 30) + 31)) + 1 + 31
    assert len({result.epsilon for result in results}) == 1
    assert tensors(made, A, "steps")["layer_0.weight"].unique().tolist() == [30], "of the third window alone"
    assert not any(result.switched for result in results)


def test_other_seeds_and_other_windows_renew_with_other_numbers() -> None:
    made = population(members=2, reset_layers=3, exact=True, **IDLE)
    run(made, [A, A])
    heads = [tensors(made, A)["head_2.weight"]]
    run(made, [A])
    heads.append(tensors(made, A)["head_2.weight"])
    one, two = (life.stores[""].supernet.fields["weight"] for life in made.lifetimes)
    assert not torch.equal(*heads)
    assert not torch.equal(one, two)


# All of them.


@pytest.mark.parametrize(("trainer", "learner"), LEARNERS)
def test_a_run_that_never_switches_is_the_same_under_every_option(trainer: str, learner: str) -> None:
    """But for `fresh`, which begins anew in every window all the same."""
    expected = run(population("own", trainer=trainer, learner=learner), [A, A])
    for transfer in (transfer for transfer, other in PAIRS if other == trainer):
        for name, settings in {"plain": {}, **OPTIONS}.items():
            if replays(trainer, transfer, settings):
                made = population(transfer, trainer=trainer, learner=learner, **settings)
                assert run(made, [A, A]) == expected, (transfer, name)


def test_layers_that_begin_anew_do_so_in_the_same_way_under_every_option() -> None:
    own = {"reset_layers": 2, **OPTIONS["all"], "replay_keep": 0.01}  # which leaves nothing, and nothing is taught
    expected, *others = (run(population(transfer, **own), [A, A, A]) for transfer in INHERITING)
    for other in others:
        assert other == expected


@pytest.mark.parametrize("transfer", INHERITING)
def test_every_setting_changes_a_run_that_switches(transfer: str) -> None:
    plain = run(population(transfer), [A, C, C])
    for name, own in OPTIONS.items():
        if replays("dqn", transfer, own):
            story = run(population(transfer, **own), [A, C, C])
            assert story[0] == plain[0]
            unchanged = ["bump"]  # at 120 steps the rate is above the middle
            if transfer == "restart":
                unchanged.append("optimizer")  # weights that begin anew have no moments
            assert (story[1:] != plain[1:]) == (name not in unchanged)


@pytest.mark.parametrize("transfer", INHERITING)
def test_exact_members_under_all_settings_live_as_if_they_were_alone(transfer: str) -> None:
    plan = [[A, B, A], [C, A, A], [A, A, C], [D, B, D]]
    own = {**OPTIONS["all"], "reset_layers": 1, "exact": True}
    together = population(transfer, 3, **own)
    results = [together.train_window(np.array(window)) for window in plan]
    for member in range(3):
        alone = population(transfer, **own)
        alone.reset([member])
        assert run(alone, [window[member] for window in plan]) == [result[member] for result in results]


@pytest.mark.parametrize("transfer", INHERITING)
@pytest.mark.parametrize("settings", [*OPTIONS.values(), {"reset_layers": 2, **OPTIONS["all"]}])
def test_a_state_goes_on_as_if_nothing_had_happened(transfer: str, settings: dict[str, Any]) -> None:
    if not replays("dqn", transfer, settings):
        settings = {**settings, "replay_keep": 0.01}  # which leaves nothing, and nothing is taught
    plan = [A, C, B, B, A]
    whole = population(transfer, **settings)
    expected = run(whole, plan)
    half, other = (population(transfer, **settings) for _ in range(2))
    run(half, plan[:2])
    run(other, [D])
    other.set_state(half.get_state())
    assert run(other, plan[2:]) == expected[2:]
    assert run(half, plan[2:]) == expected[2:]


def test_a_state_of_another_transfer_is_refused() -> None:
    for one, other in (("shared", "matching"), ("matching", "shared"), ("own", "matching"), ("matching", "own")):
        made = population(one)
        run(made, [A])
        with pytest.raises(ValueError, match=f"state: it belongs to another transfer than '{other}'"):
            population(other).set_state(made.get_state())


def test_a_forked_member_inherits_as_its_source_would() -> None:
    made = population(members=2, **OPTIONS["all"], exact=True)
    made.train_window(np.array([A, B]))
    made.fork(0, 1)
    one, two = made.train_window(np.array([C, C]))
    assert one == two


def test_flags_of_a_search_reach_the_settings_and_leave_to_the_environment_what_is_not_given() -> None:
    given = {"transfer": "matching", "optimizer": "reset", "replay_keep": 0.25, "exploration": "bump"}
    settings = SearchArgs(**given, reset_layers=1).settings()
    assert {name: getattr(settings, name) for name in given} == given
    assert settings.reset_layers == 1
    assert not {*given, "reset_layers"} & set(SearchArgs().environment())


# What is refused.


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"optimizer": "rest"}, "unknown optimizer 'rest': expected one of keep, reset. Did you mean 'reset'"),
        ({"exploration": "jump"}, "unknown exploration 'jump': expected one of bump, continue, restart"),
        ({"replay_keep": 1.5}, r"replay_keep: expected a number from 0 to 1, got 1\.5"),
        ({"replay_keep": True}, "replay_keep: expected a number from 0 to 1, got True"),
        ({"reset_layers": -1}, "reset_layers: expected an integer of at least 0, got -1"),
        ({"reset_layers": 1.0}, r"reset_layers: expected an integer of at least 0, got 1\.0"),
        ({"reset_layers": 4}, "reset_layers: expected at most 3, the layers of the shallowest network of 'mlp', got 4"),
        ({"transfer": "own", "replay_keep": 0.5}, r"replay_keep: expected 1\.0 with transfer='own'.*got 0\.5"),
        ({"transfer": "fresh", "optimizer": "reset"}, "optimizer: expected 'keep' with transfer='fresh'.*got 'reset'"),
        ({"transfer": "own", "reset_layers": 1}, "reset_layers: expected 0 with transfer='own'"),
        ({"transfer": "own", "exploration": "bump"}, "exploration: expected 'continue' with transfer='own'"),
        ({"transfer": "shared", "share_weights": True, "exploration": "bump"}, "with share_weights=True"),
        ({"transfer": "matching", "share_weights": True}, "share_weights: expected transfer='shared'.*'matching'"),
        ({"trainer": "pqn", "replay_keep": 0.5}, r"replay_keep: expected 1\.0 with trainer 'pqn', which has no replay"),
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        population(**{"trainer": "dqn", **keywords})


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"trainer": "synthetic", "replay_keep": 0.5}, r"replay_keep: expected 1\.0 on a planted landscape"),
        ({"transfer": "own", "table": "auto", "replay_keep": 0.0}, "replay_keep: .*with transfer='own'"),
        ({"transfer": "matching", "table": "auto"}, "transfer: expected 'own' or 'fresh' with a table"),
    ],
)
def test_nothing_is_inherited_where_nothing_is_trained(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Settings.from_keywords(keywords)
