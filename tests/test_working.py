"""The line that says what takes long: on a terminal, after a silent second, and never in the way of what is printed."""

import io
import os
import pty
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from clusterplan.cli.options import echo, say, show_collecting
from clusterplan.cli.working import describer, leave_terminal, show_work

CLEARED = "\r\x1b[K"


@contextmanager
def stderr_on_terminal() -> Iterator[Callable[[str], str]]:
    """Make stderr a terminal; gives what reads it until it has a text, and returns all of it."""
    ours, theirs = pty.openpty()
    seen = ""

    def read_until(text: str) -> str:
        nonlocal seen
        deadline = time.monotonic() + 60
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 4096).decode()
        return seen

    with os.fdopen(theirs, "w", encoding="utf-8") as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        patch.setenv("TERM", "xterm")
        yield read_until
    os.close(ours)


def test_a_silent_command_says_for_how_long_it_works_and_takes_the_line_away() -> None:
    with stderr_on_terminal() as screen, show_work():
        screen("working, 1 s")
        say("a note")
        text = screen("a note\r\n")
    assert re.match(r"(\r\x1b\[Kworking, \d+ s)+\r\x1b\[Ka note\r\n", text)


class Tee(io.StringIO):
    """A pipe into a command that prints on the terminal, such as `| tee log`."""

    def write(self, text: str) -> int:
        sys.stderr.write(text)
        sys.stderr.flush()
        return len(text)


def test_the_line_is_away_before_a_pipe_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Tee())
    with stderr_on_terminal() as screen, show_work():
        screen("working, 1 s")
        echo("a line")
        text = screen("a line")
    assert re.match(r"(\r\x1b\[Kworking, \d+ s)+\r\x1b\[Ka line", text)


def test_a_terminal_that_cannot_clear_a_line_has_none() -> None:
    with stderr_on_terminal(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "dumb")
        with show_work():
            assert describer() is None


def test_the_line_says_which_run_is_collected() -> None:
    with stderr_on_terminal() as screen:
        with show_work(), show_collecting() as progress:
            assert progress
            progress(3, 1200)
            assert screen("1,200, 1 s").startswith(f"{CLEARED}collecting run 3 of 1,200, 1 s")
        assert screen("s" + CLEARED).endswith(CLEARED)


def test_a_command_that_draws_itself_has_no_such_line() -> None:
    with stderr_on_terminal() as screen, show_work():
        leave_terminal()
        assert describer() is None
        say("drawn")
        assert screen("drawn\r\n") == "drawn\r\n"


def test_without_a_terminal_nobody_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with show_work(), show_collecting() as progress:
        assert progress is None
    assert capsys.readouterr().err == ""
