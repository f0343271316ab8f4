"""Slurm's commands run with a time limit, where the daemon behind them may be down.

Slurm's own clients try for 9 s where no slurmctld listens, and wait 10 s for one that takes the connection and says nothing
(22.05, MessageTimeout=10).  So a question that takes longer than a moment is held against `scontrol ping`: a slow
controller answers that at once, and is waited for.  slurmdbd has no ping before 23.11.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from ...errors import SlurmUnavailable
from .silences import CONTROLLER, check_not_silent, daemon_of, silence
from .text import last_complaint

_MOMENT_S, _SILENCE_S = 1.0, 3.0  # until ping is asked; until nobody is waited for who does not answer it
_LOOK_S = 0.05


def run_question(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float, *, patient: bool
) -> "subprocess.CompletedProcess[str]":
    """Run one of Slurm's commands.  Raises SlurmUnavailable if it is not here, or its daemon does not answer.

    With `patient`, the whole time limit is waited for.
    """
    check_not_silent(command[0])
    try:
        process = _start(command, environment)
    except FileNotFoundError:
        raise SlurmUnavailable(
            f"{command[0]} is not on PATH: this needs a machine that submits to Slurm"
        ) from None
    try:
        output, complaints = _wait(process, command[0], environment, timeout_s, patient=patient)
    except subprocess.TimeoutExpired as late:
        raise silence(command[0], _describe(command[0], late)) from None
    finally:
        _end(process)
    return subprocess.CompletedProcess(command, process.returncode, output, complaints)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """In a session of its own: a site's wrapper starts others, and none of them may stay behind."""
    return subprocess.Popen(  # noqa: S603  Slurm's own commands, no shell
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _wait(
    process: "subprocess.Popen[str]",
    program: str,
    environment: Mapping[str, str],
    timeout_s: float,
    *,
    patient: bool,
) -> tuple[str, str]:
    """Return what the process printed.  Raises TimeoutExpired, with what it complained of so far."""
    moment_s = timeout_s if patient else min(_MOMENT_S, timeout_s)
    try:
        return process.communicate(timeout=moment_s)
    except subprocess.TimeoutExpired:
        if moment_s == timeout_s:
            raise
    began_s, is_up = time.monotonic() - moment_s, False
    with _ping(environment, program) as ping:
        while True:
            if not is_up and ping and ping.poll() is not None:
                ping.wait()
                answer = ping.stdout.read() if ping.stdout else ""
                is_up = " is UP" in answer
                if not is_up and " is DOWN" in answer:
                    raise subprocess.TimeoutExpired(process.args, 0.0, answer.splitlines()[0].encode())
            waited_s = time.monotonic() - began_s
            try:
                return process.communicate(timeout=_LOOK_S)
            except subprocess.TimeoutExpired as late:
                if waited_s > (timeout_s if is_up else min(_SILENCE_S, timeout_s)):
                    raise subprocess.TimeoutExpired(
                        process.args, round(waited_s), stderr=late.stderr
                    ) from None


@contextmanager
def _ping(environment: Mapping[str, str], program: str) -> "Iterator[subprocess.Popen[str] | None]":
    """Ask the controller whether it is there while the block runs; None where it is not the one that is waited for."""
    if daemon_of(program) != CONTROLLER:
        yield None
        return
    try:
        process = _start(["scontrol", "ping"], environment)
    except OSError:
        yield None
        return
    try:
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Kill what is left of a process and of all that it started, and close its pipes."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()


def _describe(program: str, late: subprocess.TimeoutExpired) -> str:
    if late.output:  # of ping
        return f"Slurm does not answer: scontrol says {late.output.decode(errors='replace')!r}"
    # Bytes, whatever `text` is.
    complaint = last_complaint(late.stderr.decode(errors="replace")) if late.stderr else ""
    besides = f" but {complaint!r}" if complaint else ""
    return f"Slurm does not answer: {program} said nothing{besides} for {late.timeout:g} s"
