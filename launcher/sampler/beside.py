"""A command with a sampler beside it: on any machine, without Slurm."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .spool import SUFFIX

NOT_STARTED = 127  # as a shell has it
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
    with os.fdopen(_log(folder), "wb") as log:
        # In a session of its own: Ctrl-C is for the command, and the sampler outlives it to see its end.
        process = subprocess.Popen(  # noqa: S603  our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=ignore_slurm_warning,  # noqa: PLW1509  there are no threads here yet
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


def ignore_slurm_warning() -> None:
    """Ignore USR2 in a new process, before its program starts: Slurm sends it to every process, and it would kill."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _log(folder: Path) -> int:
    try:
        return os.open(folder / "sampler.log", os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError:  # a full disk is no reason not to run the command
        return os.open(os.devnull, os.O_WRONLY)


@dataclass(frozen=True)
class SampledCommand:
    """How it ended: the command's exit code (None: there was none), and whether all samples were kept.

    `error` says why the command could not be started.
    """

    exit_code: int | None
    complete: bool
    error: str | None = None


def run_sampled(
    command: Sequence[str],
    folder: Path,
    period_s: float,
    limit_s: float | None,
    environment: Mapping[str, str],
) -> SampledCommand:
    """Run `command` with a sampler beside it, which ends with the command, or after `limit_s`.

    Without a command it samples for `limit_s`, or until SIGINT or SIGTERM; with one, those are the command's.
    """
    with sampler_beside(folder, period_s, environment) as sampler:
        timer = threading.Timer(limit_s, sampler.terminate) if limit_s is not None and command else None
        if timer:
            timer.daemon = True
            timer.start()
        code, wrong = None, None
        try:
            code = _waited(command, folder, environment) if command else _slept(limit_s)
        except OSError as error:
            code, wrong = NOT_STARTED, f"{error.filename}: {error.strerror}"
        finally:
            if timer:
                timer.cancel()
    # One that was already on its way out may take our SIGTERM the default way.
    return SampledCommand(code, complete=sampler.returncode in (0, -signal.SIGTERM), error=wrong)


def _waited(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """The exit code of `command`, 128 + n if signal n ended it; signals that reach us alone are handed on to it."""
    inner = {**environment, "CLUSTERPLAN_RUN_FOLDER": str(folder)}
    process = subprocess.Popen(list(command), env=inner)  # noqa: S603  the user's command, no shell

    def hand_on(number: int, _: object) -> None:
        if number == signal.SIGINT and _in_foreground():
            return  # Ctrl-C reached the command too, and a second one is often taken for force
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Whether what is typed on the terminal is for our process group; False where there is no terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _slept(limit_s: float | None) -> int | None:
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        ended.wait(limit_s)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return None
