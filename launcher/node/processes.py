"""The processes of a training command: started together, stopped together, their output in the run's folder."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...cluster_profiles.modes import open_file
from ..sampler.beside import ignore_slurm_warning

_POLL_S = 0.1
_SIBLINGS_GRACE_S = 10.0  # when one process failed, for the others to end
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
    """Kill the processes that the command left behind, as Slurm does at the end of a job.

    Every child of this process is killed: call it once nothing else runs.
    """
    deadline = time.monotonic() + _ORPHANS_S
    with contextlib.suppress(ChildProcessError):  # none is left
        while time.monotonic() < deadline:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            for process in _child_ids():
                with contextlib.suppress(PermissionError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(_POLL_S)


def _child_ids() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                yield int(stat.parent.name)


class Children:
    """The processes of one task.

    `whole_group` sends signals to everything that they started too; `open_files` stay open in them.
    """

    def __init__(self, *, whole_group: bool, open_files: Sequence[int] = ()) -> None:
        self._whole_group = whole_group
        self._open_files = open_files
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self._codes: list[int] = []
        self.failures: list[tuple[Path, int]] = []  # the log and the code of each process that failed

    def start(self, command: Sequence[str], cwd: str, environment: Mapping[str, str], log: Path) -> None:
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
            self.stop(signal.SIGTERM, _SIBLINGS_GRACE_S)
            return failures[0]
        return None if self._running else 0

    def stop(self, number: int, grace_s: float) -> None:
        """Send the signal `number`, and SIGKILL to processes that still run after `grace_s`."""
        self.signal(number)
        self.end(grace_s)

    def end(self, grace_s: float) -> None:
        """Wait until the processes have ended; send SIGKILL to those that still run after `grace_s`."""
        deadline = time.monotonic() + grace_s
        while any(process.poll() is None for process in self._running) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self.signal(signal.SIGKILL)
        for process in self._running:
            self._note_end(process.pid, process.wait())
        self._running.clear()

    def _note_end(self, pid: int, code: int) -> None:
        self._codes.append(_shell_code(code))
        if code:
            self.failures.append((self._logs[pid], _shell_code(code)))

    def signal(self, number: int) -> None:
        """Send the signal `number`."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self._whole_group or number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                elif process.poll() is None:
                    process.send_signal(number)


def _shell_code(code: int) -> int:
    """Return a return code of `subprocess` as a shell has it: 128 + n for signal n."""
    return code if code >= 0 else 128 - code
