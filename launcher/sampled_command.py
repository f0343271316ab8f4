"""A command with a sampler beside it: on any machine, without Slurm."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .spool import SUFFIX

_LAST_WORDS_S = 10.0  # a sampler asked to end writes its last tick and goes
_FIRST_WORDS_S = 5.0  # it opens its spool in a fraction of this, or the command starts without it


@contextmanager
def sampler_beside(
    folder: Path, period_s: float, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A sampler process for the run in `folder` while the block runs; what it says goes to sampler.log there."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "clusterplan.launcher.sampler",
        str(folder),
        "--period",
        str(period_s),
    ]
    with os.fdopen(os.open(folder / "sampler.log", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as log:
        # In a session of its own: Ctrl-C is for the command, and the sampler outlives it to see its end.
        process = subprocess.Popen(  # noqa: S603  our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            start_new_session=True,
        )
    deadline = time.monotonic() + _FIRST_WORDS_S
    while process.poll() is None and not list(folder.glob(f"*{SUFFIX}")) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_sampled(
    command: Sequence[str],
    folder: Path,
    period_s: float,
    limit_s: float | None,
    environment: Mapping[str, str],
) -> int | None:
    """Run `command` with a sampler beside it; its exit code, or None if there is no command.

    The sampler ends with the command, after `limit_s`, or at SIGINT or SIGTERM, which the command gets too.
    Without a command it samples for `limit_s`, or until a signal.
    """
    with sampler_beside(folder, period_s, environment) as sampler:
        timer = threading.Timer(limit_s, sampler.terminate) if limit_s is not None and command else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            if command:
                return _waited(command, folder, environment)
            _slept(limit_s)
            return None
        finally:
            if timer:
                timer.cancel()


def _waited(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """The exit code of `command`, 128 + n if signal n ended it; our own signals are handed on to it."""
    inner = {**environment, "CLUSTERPLAN_RUN_FOLDER": str(folder)}
    process = subprocess.Popen(list(command), env=inner)  # noqa: S603  the user's command, no shell

    def hand_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _slept(limit_s: float | None) -> None:
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        ended.wait(limit_s)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
