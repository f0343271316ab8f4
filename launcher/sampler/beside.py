"""A command and a sampler beside it, on any machine: Slurm is not needed."""

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

from ...cluster_profiles.modes import open_file
from .spool import SUFFIX

NOT_STARTED = 127  # exit code, as of a shell
_STOP_S = 10.0  # for the sampler to write its last tick and end
_START_S = 5.0  # for the sampler to open its spool, which takes a fraction of this; then the command starts


@contextmanager
def sampler_beside(
    folder: Path, period_s: float, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Sample into the run folder `folder` while the block runs, in a process whose output goes to sampler.log there."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "clusterplan.launcher.sampler",
        str(folder),
        "--period",
        str(period_s),
    ]
    with os.fdopen(_open_log(folder), "wb") as log:
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
    deadline = time.monotonic() + _START_S
    while process.poll() is None and not list(folder.glob(f"*{SUFFIX}")) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ignore_slurm_warning() -> None:
    """Ignore SIGUSR2 in a new process: Slurm sends its warning to every process, and the default is to be killed."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _open_log(folder: Path) -> int:
    try:
        return open_file(folder / "sampler.log", 0)
    except OSError:  # a full disk is no reason not to run the command
        return os.open(os.devnull, os.O_WRONLY)


@dataclass(frozen=True)
class SampledCommand:
    """The end of a sampled command: its exit code (None: there was no command), and whether all samples were kept.

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
    """Run `command` with a sampler beside it, which ends with the command or after `limit_s`.

    Without a command, sample for `limit_s` or until SIGINT or SIGTERM.  With one, these signals go to the command.
    """
    with sampler_beside(folder, period_s, environment) as sampler:
        timer = threading.Timer(limit_s, sampler.terminate) if limit_s is not None and command else None
        if timer:
            timer.daemon = True
            timer.start()
        code, reason = None, None
        try:
            code = _run_command(command, folder, environment) if command else _sleep(limit_s)
        except OSError as error:
            code, reason = NOT_STARTED, f"{error.filename}: {error.strerror}"
        finally:
            if timer:
                timer.cancel()
    # A sampler that is already at its end may die of our SIGTERM.
    return SampledCommand(code, complete=sampler.returncode in (0, -signal.SIGTERM), error=reason)


def _run_command(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Return the exit code of `command`, 128 + n if signal n ended it.  Pass on the signals that reach only us."""
    variables = {**environment, "CLUSTERPLAN_RUN_FOLDER": str(folder)}
    process = subprocess.Popen(list(command), env=variables)  # noqa: S603  the user's command, no shell

    def pass_on(number: int, _: object) -> None:
        if number == signal.SIGINT and _in_foreground():
            return  # Ctrl-C reached the command too, and many programs take a second one as force
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Return whether the terminal sends its signals to our process group; False if there is no terminal."""
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


def _sleep(limit_s: float | None) -> int | None:
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
