import numpy as np
import pytest
from numpy.typing import NDArray

from archgym.inner.episodes import UNDER_WAY, EpisodeCounter

LIMIT = 10


def closed(rewards: NDArray[np.float64], done: NDArray[np.bool_]) -> tuple[list[float], list[int], list[float]]:
    """Feed (steps, members, envs) and close."""
    counter = EpisodeCounter(*rewards.shape[1:], LIMIT)
    for reward, ended in zip(rewards, done, strict=True):
        counter.add(reward, ended)
    means, episodes, cut = counter.close()
    return means.tolist(), episodes.tolist(), cut.tolist()


def one(rewards: list[float], ends: list[int]) -> tuple[float, int, float]:
    """A single environment whose episodes end at these steps."""
    done = np.isin(np.arange(len(rewards)), ends)
    means, episodes, cut = closed(np.array(rewards, dtype=float)[:, None, None], done[:, None, None])
    return means[0], episodes[0], cut[0]


def test_the_mean_is_over_finished_episodes() -> None:
    # Two episodes of returns 3 and 30; the steps between them only reset, and the last 100 belongs to a cut one.
    assert one([1, 2, 0, 10, 20, 0, 100], [1, 4]) == (16.5, 2, pytest.approx(1 / 3))


def test_what_a_reset_step_pays_belongs_to_no_episode() -> None:
    assert one([1, 99, 1, 1], [0, 3])[0] == 1.5


def test_the_step_after_an_end_executes_no_action() -> None:
    counter = EpisodeCounter(1, 2, LIMIT)
    seen = [
        counter.add(np.zeros((1, 2)), np.array([ended])).tolist()
        for ended in ([True, False], [False, True], [False, False], [True, True], [False, False])
    ]
    assert seen == [[[True, True]], [[False, True]], [[True, False]], [[True, True]], [[False, False]]]


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([1.0] * 5, 5.0),  # a gain is not extrapolated
        ([-1.0] * 5, -10.0),  # a cost is: half the limit, twice the cost
        ([-1.0, -1.0], -10.0),
        ([-3.0, 1.0, 1.0, 1.0], 0.0),
        ([-3.0, 1.0], -10.0),
        ([-2.0] * 10, -20.0),  # the whole limit: as it is
    ],
)
def test_an_unfinished_episode_counts_the_lesser_of_its_return_and_the_return_at_the_limit(
    rewards: list[float], expected: float
) -> None:
    assert one(rewards, []) == (expected, 0, 1.0)


def test_doing_nothing_where_steps_cost_does_not_pay() -> None:
    waiting, finished = one([-1.0] * 4, [])[0], one([-1.0] * 9, [8])[0]
    assert waiting < finished


def test_an_environment_that_finished_one_does_not_count_what_the_window_cuts() -> None:
    assert one([5.0, 0.0, -1.0, -1.0], [0]) == (5.0, 1, 0.5)


def test_a_window_that_ends_with_an_episode_or_its_reset_cuts_nothing() -> None:
    assert one([1.0, 1.0], [1])[2] == 0.0
    assert one([1.0, 1.0, 0.0], [1])[2] == 0.0


def test_what_is_under_way_goes_on_and_what_has_ended_does_not() -> None:
    rng = np.random.default_rng(1)
    rewards, whole = rng.normal(size=(50, 3, 2)), EpisodeCounter(3, 2, LIMIT)
    parts = [EpisodeCounter(1, 2, LIMIT) for _ in range(3)]
    total, finished = np.zeros((3, 2)), np.zeros((3, 2), dtype=int)
    for begin, end in ((0, 1), (1, 20), (20, 23), (23, 50)):
        window = EpisodeCounter.going_on(parts)
        assert not window.finished.any()
        for reward in rewards[begin:end]:
            done = (rng.random((3, 2)) < 0.2) & ~whole.resets
            np.testing.assert_array_equal(whole.add(reward, done), window.add(reward, done))
        for name in UNDER_WAY:
            np.testing.assert_array_equal(getattr(window, name), getattr(whole, name))
        total, finished, parts = total + window.total, finished + window.finished, window.split()
    np.testing.assert_array_equal(finished, whole.finished)
    np.testing.assert_allclose(total, whole.total, rtol=1e-15)
    assert finished.all()


def test_an_episode_that_goes_on_counts_from_its_beginning_and_a_mere_reset_counts_nothing() -> None:
    counter = EpisodeCounter(1, 2, LIMIT)
    for done in (False, False, False, True):  # the second environment ends an episode of return -8
        counter.add(np.array([[-1.0, -2.0]]), np.array([[False, done]]))
    window = EpisodeCounter.going_on([counter])
    window.add(np.array([[-1.0, 0.0]]), np.array([[False, False]]))
    assert [column.tolist() for column in window.close()] == [[-10.0], [0], [1.0]], "5 steps at -1, of 10; and a reset"
    for _ in range(10):
        window.add(np.array([[-1.0, -1.0]]), np.array([[False, False]]))
    assert window.close()[0] == (-15.0 - 10.0) / 2, "15 steps are more than 10: as it is"
    grown = EpisodeCounter(1, 1, LIMIT)
    for _ in range(15):
        grown.add(np.array([[1.0]]), np.array([[False]]))
    assert grown.close()[0] == 15.0, "a gain never shrinks"


def test_members_and_their_environments_never_mix() -> None:
    rng = np.random.default_rng(0)
    rewards, done = rng.normal(size=(60, 3, 2)), np.zeros((60, 3, 2), dtype=bool)
    for member in range(3):
        for env in range(2):
            for step in rng.integers(0, 60, 4 * member):  # member 0 finishes nothing
                done[step, member, env] = not done[max(0, step - 1) : step + 2, member, env].any()
    means, episodes, cut = closed(rewards, done)
    for member in range(3):
        returns, finished, open_ends = [], 0, 0
        for env in range(2):
            own, running, elapsed, reset = [], 0.0, 0, False
            for reward, ended in zip(rewards[:, member, env], done[:, member, env], strict=True):
                if reset:
                    reset = False
                    continue
                running, elapsed = running + reward, elapsed + 1
                if ended:
                    own.append(running)
                    running, elapsed, reset = 0.0, 0, True
            finished += len(own)
            open_ends += elapsed > 0
            returns += own or [min(running, running * max(LIMIT, elapsed) / elapsed)]
        assert means[member] == pytest.approx(np.mean(returns))
        assert episodes[member] == finished
        assert cut[member] == pytest.approx(open_ends / (open_ends + finished))
    assert episodes[0] == 0 < episodes[1] < episodes[2]
