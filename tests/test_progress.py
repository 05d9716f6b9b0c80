"""Progress on the terminal."""

import re

import pytest

from archgym.running.progress import Progress, left

CLOCK = r"\d:\d\d:\d\d|-:--:--"  # the time that has passed, and the bar's own guess of the time left


@pytest.mark.parametrize(("guess", "clocks"), [(True, 2), (False, 1)])
def test_a_bar_tells_the_time_left_itself_only_where_the_words_do_not(
    guess: bool, clocks: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}.items():  # as on a terminal
        monkeypatch.setenv(name, value)
    with Progress("table", 4, guess=guess) as progress:
        progress.update(2, left(300))
    said = re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().out)  # without colours
    (bar,) = {line.strip() for line in re.split(r"[\r\n]", said) if "about 5 min left" in line}
    assert "2/4" in bar
    assert len(re.findall(CLOCK, bar)) == clocks


def test_where_there_is_no_terminal_the_words_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("table", 4, guess=False) as progress:
        progress.update(1, left(60))
    assert capsys.readouterr().out == "table: 1/4  about 60 s left\n"


def test_lines_tell_the_time_left_by_what_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("archgym.running.progress.time.monotonic", lambda: clock[0])
    with Progress("search", 4) as progress:
        clock[0] += 20
        progress.update(1, "return 5")
        clock[0] += 60
        progress.update(4, "return 6")
    assert capsys.readouterr().out == "search: 1/4  return 5, about 60 s left\nsearch: 4/4  return 6\n"


def test_no_time_left_is_told_of_what_was_mostly_start_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("archgym.running.progress.time.monotonic", lambda: clock[0])
    with Progress("search", 300) as progress:
        for done, seconds in ((1, 3), (100, 10)):
            clock[0] += seconds
            progress.update(done, "return 5")
    assert capsys.readouterr().out == "search: 1/300  return 5\nsearch: 100/300  return 5, about 26 s left\n"
