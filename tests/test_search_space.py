import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym.inner.envs import dimensions
from archgym.inner.tasks import TASKS
from archgym.lookup import load, names
from archgym.observations import VECTORS, Inputs, kind_of
from archgym.search_space import Architecture, Choice, Constraint, Option, SearchSpace, max_params

NAMES = names("archgym.search_spaces")
SIZES = {"mlp": 27, "mlp-wide": 4056, "nature-kernels": 25, "deep-kernels": 32, "mini-kernels": 27}
TASK_SIZES = {dimensions(task) for task in TASKS.values()}  # what an observation is, number of actions


def bundled(name: str) -> SearchSpace:
    space: SearchSpace = load("archgym.search_spaces", name, "search space").SPACE
    return space


SMALL = [name for name in NAMES if math.prod(bundled(name).counts) <= 20_000]  # can be compared with every vector


@pytest.fixture(params=SMALL)
def small_space(request: pytest.FixtureRequest) -> SearchSpace:
    return bundled(request.param)


@pytest.fixture(params=NAMES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return bundled(request.param)


def inputs_of(space: SearchSpace) -> Inputs:
    return 4 if VECTORS in space.takes else (4, 84, 84)


def limited(space: SearchSpace, share: float = 0.3) -> SearchSpace:
    """Keep the networks with few parameters."""
    inputs = inputs_of(space)
    counts = [space.network_of(one).parameters(inputs, 2) for one in draws(space, 200)]
    return space.constrained(max_params(space, int(np.quantile(counts, share)), inputs, 2))


class Sum:
    """A network whose size is the sum of its numbers."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        self.size = sum(int(value) for value in options.values())

    def parameters(self, inputs: int, outputs: int) -> int:
        return self.size

    def flops(self, inputs: int, outputs: int) -> int:
        return self.size


def invented(counts: list[int], gates: Mapping[int, tuple[int, int]] | None = None) -> SearchSpace:
    """Build a space of numbers; gate {3: (1, 2)} says that choice 3 matters only where choice 1 is at least 2."""
    gates = gates or {}

    def inactive(options: Mapping[str, Option]) -> frozenset[str]:
        found: set[str] = set()
        for position in sorted(gates):
            gate, least = gates[position]
            if f"c{gate}" in found or int(options[f"c{gate}"]) < least:
                found.add(f"c{position}")
        return frozenset(found)

    choices = tuple(Choice(f"c{i}", tuple(range(count))) for i, count in enumerate(counts))
    default = {choice.name: 0 for choice in choices}
    return SearchSpace("invented", choices, default, Sum, "mlp", **({"inactive": inactive} if gates else {}))


@st.composite
def invented_spaces(draw: st.DrawFn) -> SearchSpace:
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    gates = {
        position: (draw(st.integers(0, position - 1)), draw(st.integers(0, 3)))
        for position in range(1, len(counts))
        if draw(st.booleans())
    }
    space = invented(counts, gates)
    if draw(st.booleans()):
        space = space.constrained(max_params(space, draw(st.integers(0, 6)), 4, 2))
    if draw(st.booleans()):
        parity = draw(st.integers(0, 1))
        space = space.constrained(Constraint("the right parity", lambda vector: int(vector.sum()) % 2 == parity))
    return space


def brute_force(space: SearchSpace) -> list[tuple[int, ...]]:
    """All vectors whose inactive choices are 0 and that fulfil the constraints, by trying every one."""
    found = []
    for vector in itertools.product(*map(range, space.counts)):
        options = {choice.name: choice.options[index] for choice, index in zip(space.choices, vector, strict=True)}
        inactive = space.inactive(options)
        if any(index and choice.name in inactive for choice, index in zip(space.choices, vector, strict=True)):
            continue
        if all(constraint.allows(np.array(vector)) for constraint in space.constraints):
            found.append(vector)
    return found


def vectors(architectures: Any) -> list[tuple[int, ...]]:
    return [tuple(one.tolist()) for one in architectures]


def draws(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


# Contract: every space of the folder.


def test_the_folder_holds_the_spaces_that_are_documented() -> None:
    assert set(SIZES) <= set(NAMES)
    for name in NAMES:
        assert bundled(name).name == name


def test_the_default_is_an_architecture_of_the_space(space: SearchSpace) -> None:
    default = space.default_architecture
    np.testing.assert_array_equal(space.canonical(default), default)
    described = space.describe(default)
    assert described.items() <= {**space.default}.items()
    np.testing.assert_array_equal(space.parse("default"), default)


def test_enumeration_gives_every_architecture_once_and_in_order(small_space: SearchSpace) -> None:
    found = vectors(small_space.enumerate())
    assert len(found) == small_space.size == SIZES.get(small_space.name, small_space.size)
    assert found == sorted(set(found)) == brute_force(small_space)
    labels = {small_space.label(np.array(vector)) for vector in found}
    assert len(labels) == len(found)


def test_samples_lie_in_the_space_and_reach_all_of_it(small_space: SearchSpace) -> None:
    found = set(brute_force(small_space))
    samples = draws(small_space, 400)
    assert set(vectors(samples)) <= found
    for position, count in enumerate(small_space.counts):
        assert {int(sample[position]) for sample in samples} == set(range(count))


def test_equal_generators_draw_equal_samples(space: SearchSpace) -> None:
    np.testing.assert_array_equal(draws(space, 5), draws(space, 5))
    assert not np.array_equal(draws(space, 5), draws(space, 5, seed=1))


def test_sampling_is_uniform_over_the_distinct_architectures() -> None:
    space = invented([2, 3, 2], {1: (0, 1)})  # c1 matters where c0 is 1: 2 + 6 architectures
    counts = dict.fromkeys(brute_force(space), 0)
    assert len(counts) == 8
    for vector in vectors(draws(space, 4000)):
        counts[vector] += 1
    assert min(counts.values()) > 400 < max(counts.values()) < 600  # 500 expected, standard deviation 21


def test_canonical_sets_inactive_choices_to_zero_and_does_it_once(space: SearchSpace) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        raw = rng.integers(0, space.counts)
        before = raw.copy()
        once = space.canonical(raw)
        np.testing.assert_array_equal(raw, before)
        np.testing.assert_array_equal(space.canonical(once), once)
        assert (once.dtype, space.describe(once)) == (np.int64, space.describe(raw))
        for position, choice in enumerate(space.choices):
            assert once[position] == (raw[position] if choice.name in space.describe(raw) else 0)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64, list])
def test_integers_of_every_type_are_taken(space: SearchSpace, kind: Any) -> None:
    given = space.default_architecture
    np.testing.assert_array_equal(space.canonical(given.tolist() if kind is list else given.astype(kind)), given)


def test_labels_are_read_back_also_with_commas_and_in_another_order(space: SearchSpace) -> None:
    for architecture in draws(space, 50):
        label = space.label(architecture)
        np.testing.assert_array_equal(space.parse(label), architecture)
        np.testing.assert_array_equal(space.parse(", ".join(reversed(label.split()))), architecture)
        np.testing.assert_array_equal(space.encode_options(space.describe(architecture)), architecture)


def test_the_code_has_a_one_for_every_active_choice_and_zeros_for_the_others(space: SearchSpace) -> None:
    for architecture in draws(space, 50):
        code = space.encode(architecture)
        assert (code.dtype, code.shape) == (np.float32, (sum(space.counts),))
        blocks = np.split(code, np.cumsum(space.counts)[:-1])
        for choice, index, block in zip(space.choices, architecture, blocks, strict=True):
            expected = np.zeros(len(choice.options))
            expected[index] = float(choice.name in space.describe(architecture))
            np.testing.assert_array_equal(block, expected)


def test_distinct_architectures_have_distinct_codes(small_space: SearchSpace) -> None:
    assert len({small_space.encode(one).tobytes() for one in small_space.enumerate()}) == small_space.size


def test_masks_allow_exactly_the_options_that_lead_to_an_architecture(small_space: SearchSpace) -> None:
    for narrowed in (small_space, limited(small_space)):
        found = brute_force(narrowed)
        starts = {vector[:length] for vector in found for length in range(len(vector) + 1)}
        for prefix in {vector[:length] for vector in found[::37] for length in range(len(vector))}:
            mask = narrowed.mask(prefix)
            assert mask.dtype == np.int8
            expected = [(*prefix, option) in starts for option in range(narrowed.counts[len(prefix)])]
            assert mask.tolist() == expected, prefix


def test_a_mask_may_be_changed_by_who_asked_for_it(space: SearchSpace) -> None:
    before = space.mask().tolist()
    space.mask()[:] = 0
    assert space.mask().tolist() == before


def test_neighbours_are_architectures_that_differ_in_one_choice(small_space: SearchSpace) -> None:
    found = set(brute_force(small_space))
    for architecture in draws(small_space, 20):
        own = small_space.describe(architecture)
        neighbours = small_space.neighbours(architecture)
        assert len(set(vectors(neighbours))) == len(neighbours) > 0
        for neighbour in neighbours:
            assert tuple(neighbour.tolist()) in found
            other = small_space.describe(neighbour)
            assert sum(own[name] != other[name] for name in own.keys() & other.keys()) == 1


def test_neighbours_are_so_both_ways(space: SearchSpace) -> None:
    for narrowed in (space, limited(space)):
        for architecture in draws(narrowed, 4):
            for neighbour in narrowed.neighbours(architecture):
                assert tuple(architecture.tolist()) in vectors(narrowed.neighbours(neighbour))


def test_a_cheaper_option_never_has_more_parameters(space: SearchSpace) -> None:
    sizes = [size for size in TASK_SIZES if kind_of(size[0]) in space.takes]
    assert sizes
    for inputs, outputs in sizes:
        for architecture in draws(space, 60):
            parameters = space.network_of(architecture).parameters(inputs, outputs)
            for position in np.flatnonzero(architecture).tolist():
                cheaper = architecture.copy()
                cheaper[position] -= 1
                assert space.network_of(space.canonical(cheaper)).parameters(inputs, outputs) <= parameters


def test_a_limit_of_parameters_holds_in_every_way_to_an_architecture(small_space: SearchSpace) -> None:
    first = inputs_of(small_space)
    for inputs, outputs in (first, 2), (8 if first == 4 else (1, 20, 30), 40):  # with many actions, depth may save some
        counts = sorted({small_space.network_of(one).parameters(inputs, outputs) for one in small_space.enumerate()})
        for limit in (counts[0], counts[len(counts) // 3], counts[-1]):
            narrowed = small_space.constrained(max_params(small_space, limit, inputs, outputs))

            def fits(one: Architecture, limit: int = limit, sizes: tuple[Inputs, int] = (inputs, outputs)) -> bool:
                return small_space.network_of(one).parameters(*sizes) <= limit

            allowed = [vector for vector in brute_force(small_space) if fits(np.array(vector))]
            assert vectors(narrowed.enumerate()) == allowed
            assert narrowed.size == len(allowed)
            for architecture in (*draws(narrowed, 10), narrowed.default_architecture):
                assert fits(architecture)
                assert all(fits(one) for one in narrowed.neighbours(architecture))
            for vector in set(brute_force(small_space)[::97]) - set(allowed):
                with pytest.raises(ValueError, match=f"expected at most {limit} parameters"):
                    narrowed.canonical(vector)


def test_a_limit_below_the_smallest_network_is_refused_with_that_size(small_space: SearchSpace) -> None:
    inputs = inputs_of(small_space)
    smallest = min(small_space.network_of(one).parameters(inputs, 2) for one in small_space.enumerate())
    max_params(small_space, smallest, inputs, 2)
    with pytest.raises(ValueError, match=rf"max_params: expected at least {smallest} \(the smallest network of"):
        max_params(small_space, smallest - 1, inputs, 2)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda a: a[:-1], r"expected \d+ integers \(FIRST, .*\), got int64 of shape"),
        (lambda a: a[None], r"got int64 of shape \(1, \d+\)"),
        (lambda a: 3, r"got int64 of shape \(\)"),
        (lambda a: a.astype(float), r"expected \d+ integers .*, got float64 of shape"),
        (lambda a: a.astype(bool), "got bool of shape"),
        (lambda a: [None] * len(a), "got object of shape"),
        (lambda a: ["1"] * len(a), "got <U1 of shape"),
        (lambda a: [-1, *a[1:]], r"expected FIRST from 0 to \d+ \(options .*\), got -1\."),
        (lambda a: [99, *a[1:]], r"expected FIRST from 0 to \d+ \(options .*\), got 99\."),
    ],
)
def test_what_is_no_architecture_is_refused_with_what_was_expected(
    space: SearchSpace, spoil: Any, sentence: str
) -> None:
    sentence = sentence.replace("FIRST", space.choices[0].name)
    with pytest.raises(ValueError, match=f"architecture of '{space.name}': .*{sentence}"):
        space.canonical(spoil(space.default_architecture))


def test_what_is_inactive_is_asked_once_for_all_that_it_depends_on() -> None:
    asked = []

    def inactive(options: Mapping[str, Option]) -> frozenset[str]:
        asked.append(1)
        if options["a"]:  # only then does b matter, and otherwise the values of all
            return frozenset({"c"} if options.get("b") else ())
        return frozenset({"d"} if sum(map(int, options.values())) > 2 else ())

    choices = tuple(Choice(name, (0, 1)) for name in "abcd")
    space = SearchSpace("adaptive", choices, dict.fromkeys("abcd", 0), Sum, "mlp", inactive)
    expected = {}
    for vector in itertools.product((0, 1), repeat=4):
        names = inactive(dict(zip("abcd", vector, strict=True)))
        expected[vector] = frozenset("abcd".index(name) for name in names)
    asked.clear()
    for _ in range(2):
        for vector, positions in expected.items():
            assert space.inactive_positions(np.array(vector)) == positions
    assert len(asked) == 2 + 8  # a and b; a and all others


def test_an_inactive_choice_out_of_range_is_refused_too() -> None:
    with pytest.raises(ValueError, match="expected width_4 from 0 to 3"):
        bundled("mlp-wide").canonical([0, 0, 0, 0, 4, 0, 0, 0])


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("depht=2 width=32 activation=relu", "unknown choice of 'mlp' 'depht': .* Did you mean 'depth'?"),
        ("depth=2 width=32 activation=rele", "unknown option of 'activation' 'rele': .* Did you mean 'relu'?"),
        ("depth=5 width=32 activation=relu", "unknown option of 'depth' '5': expected one of 2, 3, 4"),
        ("depth=2 activation=relu", "expected a value of width, got none"),
        ("depth=2 depth=3 width=32 activation=relu", "expected each choice once"),
        ("nature-cnn", "unknown choice of 'mlp' 'nature-cnn'"),
        ("depth", "unknown option of 'depth' ''"),
        ("", "expected a value of depth, width, activation, got none"),
    ],
)
def test_what_is_no_label_is_refused_with_the_nearest_name(label: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        bundled("mlp").parse(label)


# Invented spaces: any pattern of inactive choices and constraints.


@settings(max_examples=60)
@given(invented_spaces())
def test_every_invented_space_agrees_with_trying_every_vector(space: SearchSpace) -> None:
    found = brute_force(space)
    assert vectors(space.enumerate()) == found
    assert space.size == len(found)
    starts = {vector[:length] for vector in found for length in range(len(vector) + 1)}
    for length, count in enumerate(space.counts):
        for prefix in itertools.product(*map(range, space.counts[:length])):
            assert space.mask(prefix).tolist() == [(*prefix, option) in starts for option in range(count)]
    if not found:
        with pytest.raises(ValueError, match="no architecture has"):
            space.default_architecture  # noqa: B018
        return
    assert tuple(space.default_architecture.tolist()) in found


@settings(max_examples=60)
@given(invented_spaces(), st.data())
def test_in_every_invented_space_neighbours_are_those_that_differ_in_one_choice(
    space: SearchSpace, data: st.DataObject
) -> None:
    found = brute_force(space)
    if not found:
        return
    own = np.array(data.draw(st.sampled_from(found)))
    described = space.describe(own)

    def differences(vector: tuple[int, ...]) -> int:
        other = space.describe(np.array(vector))
        return sum(described[name] != other[name] for name in described.keys() & other.keys())

    assert sorted(vectors(space.neighbours(own))) == [vector for vector in found if differences(vector) == 1]


def test_a_default_that_the_constraints_forbid_gives_way_to_a_cheaper_one_or_to_the_first() -> None:
    space = invented([3, 3])
    high = SearchSpace("high", space.choices, {"c0": 2, "c1": 2}, Sum, "mlp")
    assert high.constrained(max_params(high, 3, 4, 2)).default_architecture.sum() == 3
    above = space.constrained(Constraint("a sum of at least 3", lambda vector: int(vector.sum()) >= 3))
    assert above.default_architecture.tolist() == [1, 2]


def test_few_architectures_among_many_are_still_sampled() -> None:
    space = invented([4] * 12)
    narrow = space.constrained(max_params(space, 2, 4, 2))  # 91 of 16,777,216
    assert all(int(sample.sum()) <= 2 for sample in draws(narrow, 3))
    nothing = space.constrained(Constraint("luck", lambda vector: False, monotone=True))
    with pytest.raises(ValueError, match="no architecture fulfils its constraints"):
        nothing.sample(np.random.default_rng(0))


def test_a_space_of_a_billion_architectures_is_never_enumerated() -> None:
    asked = 0

    def inactive(options: Mapping[str, Option]) -> frozenset[str]:
        nonlocal asked
        asked += 1
        return frozenset({"c29"} if options["c0"] == 0 else ())

    choices = tuple(Choice(f"c{i}", (0, 1)) for i in range(30))
    plain = SearchSpace("big", choices, {choice.name: 1 for choice in choices}, Sum, "mlp", inactive)
    space = plain.constrained(max_params(plain, 20, 4, 2))
    assert int(space.default_architecture.sum()) == 20
    (sample,) = draws(space, 1)
    space.canonical(sample)
    space.encode(sample)
    assert space.mask().tolist() == [1, 1]
    assert space.mask(sample[:29].tolist()).sum() >= 1
    assert len(space.neighbours(sample)) >= 15
    assert asked < 10_000
    assert invented([10] * 9).size == 10**9


def test_options_are_found_by_what_they_look_like() -> None:
    space = bundled("mlp-wide")
    options = {"depth": "1", "width_1": "16", "activation": "elu", "layer_norm": "True"}
    assert space.describe(space.encode_options(options)) == {
        "depth": 1,
        "width_1": 16,
        "activation": "elu",
        "layer_norm": True,
    }


@pytest.mark.parametrize("options", [(), (1, 1), (1, "1"), (True, "True")])
def test_a_choice_without_distinct_options_is_refused(options: tuple[Option, ...]) -> None:
    with pytest.raises(ValueError, match="choice 'c': expected distinct options"):
        Choice("c", options)


@pytest.mark.parametrize(("name", "option"), [("a b", 1), ("c", "x=1"), ("c", "x,y"), ("", 1), ("c", "")])
def test_words_that_no_label_could_hold_are_refused(name: str, option: Option) -> None:
    with pytest.raises(ValueError, match="expected words without spaces"):
        Choice(name, (option, "z"))


def test_the_skip_of_a_single_layer_and_the_widths_of_absent_layers_are_inactive() -> None:
    space = bundled("mlp-wide")
    assert list(space.describe(np.zeros(8, dtype=np.int64))) == ["depth", "width_1", "activation", "layer_norm"]
    assert "skip" in space.describe(np.array([1, 0, 0, 0, 0, 0, 0, 0]))
    assert space.size == sum(4**depth * 3 * 2 * (1 if depth == 1 else 2) for depth in (1, 2, 3, 4))
