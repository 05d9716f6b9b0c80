from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from archgym.host_replay import HostReplay, open_replay
from archgym.replay import ACTION, REWARD, TERMINATED, VALID, Batch, Replay

CPU = torch.device("cpu")
SIZE = 2  # numbers in an observation
Make = Callable[..., Replay]
MADE: list[Make] = [partial(Replay, device=CPU), HostReplay]
of_both = pytest.mark.parametrize("make", MADE, ids=["by torch", "by numpy"])


class Reference:
    """One member's ring as a list of time slots, oldest first."""

    def __init__(self, slots: int) -> None:
        self.slots: deque[tuple[Tensor, Tensor]] = deque(maxlen=slots)

    def transitions(self) -> Iterator[list[Any]]:
        """Every slot but the newest with the observation that follows it, oldest first."""
        slots = list(self.slots)
        for (observation, step), (following, _) in pairwise(slots):
            for env in range(len(observation)):
                yield [*observation[env].tolist(), *step[env].tolist(), *following[env].tolist()]


def write(replay: Replay, members: Tensor, observations: Tensor, steps: Tensor) -> None:
    """Write a whole time slot: steps (G, E, 4) are action, reward, terminated, valid."""
    replay.write(members, observations, steps[..., 0])
    replay.complete(members, steps[..., 1:])


def rows(batch: Batch, member: int = 0) -> list[list[Any]]:
    """Write the drawn transitions of one member as `Reference.transitions` does."""
    steps = [batch.actions.float(), batch.rewards, batch.terminated, batch.valid]
    columns = [batch.observations, torch.stack(steps, dim=-1), batch.next_observations]
    found: list[list[Any]] = torch.cat(columns, dim=-1)[member].tolist()
    return found


def every(count: int, members: int = 1) -> Tensor:
    """Draws that hit each of `count` transitions once, oldest first."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) / count).repeat(members, 1)


def slot(rng: np.random.Generator, envs: int, members: int = 1) -> tuple[Tensor, Tensor]:
    observations = torch.from_numpy(rng.normal(size=(members, envs, SIZE)).astype(np.float32))
    steps = torch.from_numpy(rng.integers(0, 2, (members, envs, 4)).astype(np.float32))
    steps[..., REWARD] = torch.from_numpy(rng.normal(size=(members, envs)).astype(np.float32))
    return observations, steps


def written(replay: Replay, count: int, seed: int = 0) -> Reference:
    """Write so many slots of random numbers to member 0."""
    rng, reference = np.random.default_rng(seed), Reference(replay.slots)
    for _ in range(count):
        observations, steps = slot(rng, replay.envs)
        write(replay, torch.tensor([0]), observations, steps)
        reference.slots.append((observations[0], steps[0]))
    return reference


@of_both
@pytest.mark.parametrize("count", [2, 3, 5, 6, 7, 20])
def test_every_transition_but_those_of_the_newest_slot_can_be_drawn(make: Make, count: int) -> None:
    replay = make(1, 3, SIZE, 12)  # five slots
    expected = list(written(replay, count).transitions())
    assert len(expected) == 3 * (min(count, 5) - 1)
    assert rows(replay.sample(torch.tensor([0]), every(len(expected)))) == expected


@of_both
@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 20), st.lists(st.integers(1, 7), min_size=2, max_size=25), st.integers(0, 99))
def test_rings_equal_plain_lists_whoever_writes_when(
    make: Make, envs: int, capacity: int, who: list[int], seed: int
) -> None:
    replay, rng = make(3, envs, SIZE, capacity), np.random.default_rng(seed)
    references = [Reference(replay.slots) for _ in range(3)]
    for bits in who:
        members = [member for member in range(3) if bits >> member & 1]
        observations, steps = slot(rng, envs, len(members))
        write(replay, torch.tensor(members), observations, steps)
        for row, member in enumerate(members):
            references[member].slots.append((observations[row], steps[row]))
    for member, reference in enumerate(references):
        expected = list(reference.transitions())
        assert int(replay.filled[member]) == len(reference.slots)
        if expected:
            assert rows(replay.sample(torch.tensor([member]), every(len(expected)))) == expected


@of_both
def test_members_of_different_fill_are_sampled_together_each_from_its_own_ring(make: Make) -> None:
    replay, rng = make(2, 1, SIZE, 4), np.random.default_rng(0)
    references = [Reference(replay.slots) for _ in range(2)]
    for members in ([0, 1], [0], [0, 1], [0], [0], [0]):
        observations, steps = slot(rng, 1, len(members))
        write(replay, torch.tensor(members), observations, steps)
        for row, member in enumerate(members):
            references[member].slots.append((observations[row], steps[row]))
    batch = replay.sample(torch.tensor([1, 0]), torch.tensor([[0.3, 0.9], [0.1, 0.9]], dtype=torch.float64))
    first, second = (list(reference.transitions()) for reference in references)
    assert rows(batch, 0) == [second[0], second[0]]
    assert rows(batch, 1) == [first[0], first[3]]


@of_both
def test_the_last_observation_of_a_window_follows_its_last_step_and_leads_nowhere(make: Make) -> None:
    replay = make(1, 1, SIZE, 10)
    for value, valid in ((1.0, 1.0), (2.0, 1.0), (3.0, 0.0), (7.0, 1.0), (8.0, 1.0)):  # two windows; 3 closes the first
        write(replay, torch.tensor([0]), torch.full((1, 1, SIZE), value), torch.tensor([[[0.0, value, 0.0, valid]]]))
    batch = replay.sample(torch.tensor([0]), every(4))
    assert batch.observations[0, :, 0].tolist() == [1.0, 2.0, 3.0, 7.0]
    assert batch.next_observations[0, :, 0].tolist() == [2.0, 3.0, 7.0, 8.0]
    assert batch.valid[0].tolist() == [1.0, 1.0, 0.0, 1.0]


@of_both
def test_columns_are_told_apart(make: Make) -> None:
    replay = make(1, 1, SIZE, 3)
    step = torch.zeros(1, 1, 4)
    step[..., ACTION], step[..., REWARD], step[..., TERMINATED], step[..., VALID] = 5.0, 0.25, 1.0, 0.0
    for _ in range(2):
        write(replay, torch.tensor([0]), torch.zeros(1, 1, SIZE), step)
    batch = replay.sample(torch.tensor([0]), every(1))
    assert (batch.actions.dtype, batch.actions.tolist()) == (torch.int64, [[5]])
    assert [batch.rewards.item(), batch.terminated.item(), batch.valid.item()] == [0.25, 1.0, 0.0]


@of_both
def test_images_are_kept_as_bytes_and_drawn_as_they_were_written(make: Make) -> None:
    replay, rng = make(2, 3, (2, 4, 5), 9), np.random.default_rng(0)
    assert replay.observations.dtype == torch.uint8
    assert replay.observations.element_size() * replay.observations[0].numel() == 4 * 3 * 40  # slots x envs x bytes
    written = torch.from_numpy(rng.integers(0, 256, (4, 2, 3, 2, 4, 5)).astype(np.uint8))
    for images in written:
        write(replay, torch.tensor([0, 1]), images, torch.ones(2, 3, 4))
    batch = replay.sample(torch.tensor([1, 0]), every(9, 2))
    assert batch.observations.dtype == batch.next_observations.dtype == torch.uint8
    for row, member in enumerate((1, 0)):
        assert torch.equal(batch.observations[row], written[:3, member].flatten(0, 1))
        assert torch.equal(batch.next_observations[row], written[1:, member].flatten(0, 1))
    content = replay.get(1)
    replay.set(0, content)
    assert torch.equal(replay.get(0).observations, content.observations)
    assert content.observations.dtype == torch.uint8


@of_both
@pytest.mark.parametrize(("capacity", "envs", "slots"), [(10, 4, 4), (12, 4, 4), (13, 4, 5), (1, 4, 2), (7, 1, 8)])
def test_capacity_is_rounded_up_to_whole_slots_and_one_more(make: Make, capacity: int, envs: int, slots: int) -> None:
    replay = make(1, envs, SIZE, capacity)
    assert replay.slots == slots
    assert capacity <= len(list(written(replay, 50).transitions())) < capacity + envs


@of_both
@pytest.mark.parametrize("count", [2, 3, 10, 1001])
def test_the_largest_random_number_draws_the_youngest_transition(make: Make, count: int) -> None:
    replay = make(1, 3, SIZE, 3 * 1000)
    expected = list(written(replay, count).transitions())
    ends = torch.tensor([[0.0, np.nextafter(1.0, 0.0)]], dtype=torch.float64)
    assert rows(replay.sample(torch.tensor([0]), ends)) == [expected[0], expected[-1]]


@of_both
def test_a_ring_can_be_taken_out_and_put_into_another_place(make: Make) -> None:
    replay = make(3, 2, SIZE, 8)
    expected = list(written(replay, 7).transitions())
    content = replay.get(0)
    written(replay, 3, seed=1)  # what was taken out is a copy
    replay.set(2, content)
    replay.set(0, None)
    assert rows(replay.sample(torch.tensor([2]), every(len(expected)))) == expected
    assert replay.filled.tolist() == [0, 0, 5]
    assert not replay.observations[:2].any()
    assert not replay.steps[:2].any()
    written(replay, 2)
    assert rows(replay.sample(torch.tensor([2]), every(len(expected)))) == expected, "what was put in is a copy"


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 30), st.integers(2, 40), st.integers(0, 99))
def test_both_draw_the_same_numbers(members: int, envs: int, capacity: int, count: int, seed: int) -> None:
    own, other = (make(members, envs, SIZE, capacity) for make in MADE)
    rng, rows = np.random.default_rng(seed), torch.from_numpy(np.random.default_rng(seed).permutation(members))
    for number in range(count):
        observations, steps = slot(rng, envs, members)
        for replay in (own, other):
            write(replay, rows, observations, steps)
            if number == count // 2:
                replay.keep(0, 0.5)
    uniform = torch.from_numpy(rng.random((members, 50)))
    batches = [vars(replay.sample(rows, uniform)) for replay in (own, other)]
    for name, drawn in batches[0].items():
        assert drawn.dtype == batches[1][name].dtype
        assert torch.equal(drawn, batches[1][name]), name
    for name in ("observations", "steps", "head", "filled"):
        assert torch.equal(getattr(own, name), getattr(other, name)), name


def test_numpy_writes_what_lies_on_the_host() -> None:
    assert isinstance(open_replay(1, 1, SIZE, 1, CPU), HostReplay)
    assert type(open_replay(1, 1, SIZE, 1, torch.device("meta"))) is Replay
