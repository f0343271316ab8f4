"""The processes of a training command: started together, stopped together, their words in the run's folder."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_POLL_S = 0.1
_SIBLINGS_S = 10.0  # for the others, when one of them failed
_ORPHANS_S = 10.0  # for what was killed to end; a driver may keep it for ever

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _shield() -> None:
    """In the new process: Slurm sends its warning to every process, and this one would be killed by it.

    It is asked to stop when we are killed, which nobody else would tell it outside Slurm.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if _libc:
        _libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of what the command starts and leaves behind, on Linux: torchrun's workers, if it is killed."""
    if _libc:
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill what the command left behind, as Slurm does at the end of a job; no other child may be there."""
    deadline = time.monotonic() + _ORPHANS_S
    with contextlib.suppress(ChildProcessError):  # none is left
        while time.monotonic() < deadline:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            for process in _ours():
                with contextlib.suppress(PermissionError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(_POLL_S)


def _ours() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                yield int(stat.parent.name)


class Children:
    """Processes of one task; `whole_group` signals everything they started too, `files` stay open in them."""

    def __init__(self, *, whole_group: bool, files: Sequence[int] = ()) -> None:
        self._whole_group = whole_group
        self._files = files
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self.failed: Path | None = None  # the log of the first that failed
        self._codes: list[int] = []

    def start(self, command: Sequence[str], cwd: str, environment: Mapping[str, str], log: Path) -> None:
        """One more.  Raises OSError if it cannot be started."""
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as words:
            process = subprocess.Popen(  # noqa: S603  the user's command, no shell
                list(command),
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                process_group=0,
                pass_fds=self._files,
                preexec_fn=_shield,  # noqa: PLW1509  there are no threads here
            )
        self._running.append(process)
        self._logs[process.pid] = log

    def poll(self) -> int | None:
        """None while one runs; 0 if all were fine; else the code of the first that was not, 128 + n for signal n.

        When one was not, the others are stopped: they would wait for it for ever.
        """
        for process in list(self._running):
            code = process.poll()
            if code is not None:
                self._running.remove(process)
                if code and self.failed is None:
                    self.failed = self._logs[process.pid]
                self._codes.append(code if code >= 0 else 128 - code)
        bad = [code for code in self._codes if code]
        if bad:
            self.stop(signal.SIGTERM, _SIBLINGS_S)
            return bad[0]
        return None if self._running else 0

    def stop(self, number: int, grace_s: float, tick: Callable[[], object] = lambda: None) -> None:
        """Send a signal, and SIGKILL to those that are left after `grace_s`; `tick` is called meanwhile."""
        self._send(number)
        deadline = time.monotonic() + grace_s
        while any(process.poll() is None for process in self._running) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            tick()
        self._send(signal.SIGKILL)
        for process in self._running:
            code = process.wait()
            self._codes.append(code if code >= 0 else 128 - code)
        self._running.clear()

    def _send(self, number: int) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self._whole_group or number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                elif process.poll() is None:
                    process.send_signal(number)
