"""`clusterplan watch`."""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..api.live.watching import Watch, read_gpus_of
from ..api.runs import Run
from ..render.layout import Page
from ..render.runs.status_text import render_live
from ..render.runs.watch_text import all_ended, write_frame
from .completion import complete_run
from .options import echo, say
from .working import leave_terminal

_FRAME_S = 1.0
_LINE_S = 30.0  # between two lines of a run where there is no terminal


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
def watch(run: str | None) -> None:
    """Watch runs live: their GPUs, progress, loss, time left, and the place in line of pending ones.

    RUN is an id or its beginning.  Default: all open runs.  It ends when all of them have ended, or with q or Ctrl-C,
    which leave them running.  Slurm is asked every 30 s at most.  In a pipe there is a line per run every 30 s:

        clusterplan watch train-2026
    """
    watched = Watch(run)
    runs = watched.look()
    if not runs:
        say("no run is open: `clusterplan status` shows those that have ended")
        return
    leave_terminal()
    is_terminal = sys.stdout.isatty()
    if not is_terminal:
        say("stdout is no terminal: a line per run every 30 s; `clusterplan status` shows the runs once")
    with suppress(KeyboardInterrupt):
        runs = _draw(watched, runs) if is_terminal else _print_lines(watched, runs)
    if not all_ended(runs):
        which = f"{runs[0].run} goes" if len(runs) == 1 else "the runs go"
        say(
            f"{which} on without you: `clusterplan watch` shows them again, `clusterplan cancel RUN` stops one"
        )


def _print_lines(watched: Watch, runs: list[Run]) -> list[Run]:
    """Print a line per run, again and again, until all have ended; return them."""
    while True:
        for run in runs:
            echo(f"{time.strftime('%H:%M:%S')} {run.run} | {render_live(run)}")
        if all_ended(runs):
            return runs
        next_s = time.monotonic() + _LINE_S
        while time.monotonic() < next_s and not all_ended(runs):
            time.sleep(_FRAME_S)
            runs = watched.look()


def _draw(watched: Watch, runs: list[Run]) -> list[Run]:
    """Draw frames until all runs have ended or q is pressed; return the runs."""
    console = Console(highlight=False)
    with (
        _ended_by_sigterm(),
        _keys() as is_quit,
        Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live,
    ):
        while True:
            page = Page(console.width, colour=not os.environ.get("NO_COLOR"))
            waits = {run.run: run.waiting for run in runs if run.waiting}
            write_frame(page, runs, read_gpus_of(runs), waits, time.time(), "q: leave")
            live.update(Text.from_ansi(str(page), no_wrap=True, overflow="ellipsis"), refresh=True)
            if all_ended(runs) or is_quit(_FRAME_S):
                return runs
            runs = watched.look()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM leave the block as an exception does, so that the cursor and the keys are as before."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise click.exceptions.Exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _keys() -> Iterator["_IsQuit"]:
    """Take keys as they are pressed, and give the question for q; without a terminal to read, it only waits."""
    if not sys.stdin or not sys.stdin.isatty():
        yield _IsQuit(None)
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)
    try:
        yield _IsQuit(file)
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


class _IsQuit:
    """Waits for some seconds, and says whether q was pressed."""

    def __init__(self, file: int | None) -> None:
        self._file = file

    def __call__(self, seconds: float) -> bool:
        if self._file is None:
            time.sleep(seconds)
            return False
        ready, _, _ = select.select([self._file], [], [], seconds)
        return bool(ready) and os.read(self._file, 16).lower() in {b"q", b""}
