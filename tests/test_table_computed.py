"""With what tables were computed: put together over machines, and found again."""

import pytest

from archgym.table_tools.computed import among, check_trainer, merged

ONE, TWO = {"a": "1", "b": "x"}, {"a": "2", "b": "x", "c": "z"}


def test_values_that_differ_are_put_together_once() -> None:
    assert merged([ONE]) == ONE
    assert merged([ONE, TWO]) == {"a": "1; 2", "b": "x", "c": "unknown; z"}
    assert merged([merged([ONE, TWO]), TWO]) == {"a": "1; 2", "b": "x", "c": "unknown; z"}


def test_what_was_put_together_is_found_again_and_nothing_else() -> None:
    both = merged([ONE, TWO])
    assert among(both, ONE)
    assert among(both, TWO)
    assert not among(both, {**TWO, "a": "3"})
    assert not among(both, {**TWO, "a": "1; 2"})
    assert not among(ONE, TWO)


def test_other_defaults_of_the_trainer_are_refused_but_not_that_early_rows_do_not_tell_them() -> None:
    now = {"trainer": "gamma=0.99 tau=1.0"}
    for was in ({}, now, merged([{}, now]), merged([now, {}])):
        check_trainer("it", was, now)
    for was in ({"trainer": "gamma=0.5 tau=1.0"}, merged([{}, {"trainer": "gamma=0.5 tau=1.0"}])):
        with pytest.raises(
            ValueError, match=r"it was trained with gamma=0\.5; this archgym's trainer has gamma=0\.99\."
        ):
            check_trainer("it", was, now)
