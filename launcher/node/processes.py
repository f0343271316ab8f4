"""The processes of a training command: started together, stopped together, their output in the run's folder."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ...cluster_profiles.modes import open_file
from ..sampler.beside import ignore_slurm_warning
from .process_tree import Process, find_addressees, read_descendants

_POLL_S = 0.1
_SIBLINGS_GRACE_S = 10.0  # when one process failed, for the others to end
_REST_S = 5.0  # for what the command left behind, when it has ended
_ORPHANS_S = 10.0  # for killed processes to end; a driver may keep one for ever

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _prepare_child() -> None:
    """Run in the new process: outside Slurm, nobody else would stop it if this process is killed."""
    ignore_slurm_warning()
    if _libc:
        _libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent, on Linux, of processes that the command leaves behind: a killed torchrun leaves its workers."""
    if _libc:
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill the processes that the command left behind: no process of a run outlives it.

    Every descendant of this process is killed: call it once nothing else runs.
    """
    deadline = time.monotonic() + _ORPHANS_S
    with contextlib.suppress(ChildProcessError):  # none is left
        while time.monotonic() < deadline:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            _send(signal.SIGKILL, [process.pid for process in read_descendants(os.getpid())])
            time.sleep(_POLL_S)


class Children:
    """The processes of one task, and everything that they started.

    `open_files` stay open in them; `without` are other children of this process.
    """

    def __init__(self, *, open_files: Sequence[int] = (), without: Sequence[int] = ()) -> None:
        self._open_files = open_files
        self._without = without
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self._codes: list[int] = []
        self.failures: list[tuple[Path, int]] = []  # the log and the code of each process that failed
        self._signalled: set[int] = set()

    def start(
        self, command: Sequence[str], cwd: str, environment: Mapping[str, str], log: Path, umask: int = -1
    ) -> None:
        """Start one more process.  Raises OSError if that is not possible."""
        with os.fdopen(open_file(log, os.O_APPEND), "ab") as output:
            process = subprocess.Popen(  # noqa: S603  the user's command, no shell
                list(command),
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                umask=umask,
                pass_fds=self._open_files,
                preexec_fn=_prepare_child,  # noqa: PLW1509  there are no threads here
            )
        self._running.append(process)
        self._logs[process.pid] = log

    def poll(self) -> int | None:
        """Return None while a process runs, 0 if all succeeded, else the code of the first that failed.

        The code is 128 + n for signal n.  When one failed, the others are stopped: they would wait for it for ever.
        """
        for process in list(self._running):
            code = process.poll()
            if code is not None:
                self._running.remove(process)
                self._note_end(process.pid, code)
        failures = [code for code in self._codes if code]
        if failures:
            if self._running:
                self.stop(signal.SIGTERM, _SIBLINGS_GRACE_S)
            return failures[0]
        return None if self._running else 0

    def stop(self, number: int, grace_s: float) -> None:
        """Send the stop signal `number`, and SIGKILL to processes that still run after `grace_s`."""
        self.signal(number)
        self.end(number, grace_s)

    def signal(self, number: int, *, has_come: bool = False) -> None:
        """Send the stop signal `number` to the processes that it is for; with `has_come`, all have it already."""
        tree = self._read_tree()
        self._signalled |= {process.pid for process in tree if process.catches(number)}
        if not has_come:
            addressees = find_addressees(tree, number) or [process.pid for process in self._running]
            self._signalled |= set(addressees)
            _send(number, addressees)

    def end(self, number: int, grace_s: float, more_s: Callable[[], float] | None = None) -> None:
        """Wait until everything has ended that the command started, for `grace_s`; send SIGKILL to what still runs.

        `more_s` is asked once, when the grace is over, for how many seconds longer it is.
        What stands around the training ends by itself, or goes on with what comes after it.  The stop signal is sent
        to the rest once neither the training nor the command itself runs, or when half of the grace is over.
        """
        began_s = time.monotonic()
        deadline_s, rest_s = began_s + grace_s, began_s + grace_s / 2
        is_rest_signalled = False
        while True:
            now_s = time.monotonic()
            if now_s >= deadline_s and more_s:
                deadline_s, more_s = now_s + more_s(), None
            if now_s >= deadline_s:
                break
            tree = {process.pid for process in self._read_tree()}
            runs = any(process.poll() is None for process in self._running)
            if not tree and not runs:
                break
            if not is_rest_signalled and not tree & self._signalled and (not runs or now_s >= rest_s):
                is_rest_signalled = True
                _send(number, tree)
            if not runs and not tree & self._signalled:
                deadline_s, more_s = min(deadline_s, now_s + _REST_S), None
            time.sleep(_POLL_S)
        _send(
            signal.SIGKILL,
            [process.pid for process in self._read_tree()] + [process.pid for process in self._running],
        )
        for process in self._running:
            self._note_end(process.pid, process.wait())
        self._running.clear()

    def _note_end(self, pid: int, code: int) -> None:
        self._codes.append(_shell_code(code))
        if code:
            self.failures.append((self._logs[pid], _shell_code(code)))

    def _read_tree(self) -> list[Process]:
        return read_descendants(os.getpid(), self._without)


def _send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _shell_code(code: int) -> int:
    """Return a return code of `subprocess` as a shell has it: 128 + n for signal n."""
    return code if code >= 0 else 128 - code
