"""The processes that a command started, and who of them a stop signal is for: read from /proc, decided purely.

A stop signal is for the training, which saves.  It must reach it once: torchrun, for one, ends its workers at the
second one.  And it must not end what stands around the training, such as `tee`, whose end breaks a pipe.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGQUIT

_SHELLS = {"ash", "bash", "dash", "fish", "ksh", "mksh", "sh", "tcsh", "zsh"}
_REPEATERS = {"timeout"}
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One living process; `caught` and `ignored` are the masks of the signals that it handles and ignores."""

    pid: int
    parent: int
    name: str
    caught: int = 0
    ignored: int = 0

    def catches(self, number: int) -> bool:
        """Return whether the process has a handler for the signal `number`."""
        return bool(self.caught >> (number - 1) & 1)

    def ignores(self, number: int) -> bool:
        """Return whether the process ignores the signal `number`."""
        return bool(self.ignored >> (number - 1) & 1)


def read_descendants(root: int, without: Iterable[int] = ()) -> list[Process]:
    """Return the living descendants of process `root`, parents first, but `without` some and theirs.

    It is empty where there is no /proc.
    """
    children: dict[int, list[int]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, *_ = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    left_out, pids, found = set(without), [root], list[Process]()
    for parent_pid in pids:
        for pid in children.get(parent_pid, ()):
            if pid not in left_out:
                pids.append(pid)
                found += _read_process(pid)
    return found


def _read_process(pid: int) -> Iterator[Process]:
    with suppress(OSError, KeyError, ValueError):
        lines = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
        values = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        yield Process(
            pid, int(values["PPid"]), values["Name"], int(values["SigCgt"], 16), int(values["SigIgn"], 16)
        )


def find_addressees(processes: Iterable[Process], number: int) -> list[int]:
    """Return the processes that the stop signal `number` is to be sent to, of `processes` with parents first.

    These are the ones that handle it.  One that handles it passes it on to its own children, as torchrun, make and uv
    do, or they are its helpers, as the workers of a data loader are.  But a shell with a trap waits for its child in
    the foreground first; only children in the background, which a shell makes ignore INT and QUIT, are left to it.
    And coreutils' timeout signals its child and then its whole group, so that the child would get the signal twice.
    Where no process handles the signal, it is for all.

    >>> find_addressees([Process(2, 1, "bash"), Process(3, 2, "python", caught=1 << 14), Process(4, 2, "tee")], 15)
    [3]
    >>> find_addressees([Process(2, 1, "bash"), Process(3, 2, "python")], 15)
    [2, 3]
    """
    everyone = list(processes)
    by_id = {process.pid: process for process in everyone}
    addressees = [
        process.pid
        for process in everyone
        if _takes(process, number) and not _is_reached_by_parent(process, by_id, number)
    ]
    return addressees or [process.pid for process in everyone]


def _takes(process: Process, number: int) -> bool:
    return process.catches(number) and process.name not in _REPEATERS


def _is_reached_by_parent(process: Process, by_id: Mapping[int, Process], number: int) -> bool:
    parent = by_id.get(process.parent)
    if parent is None or not _takes(parent, number):
        return False
    in_background = process.ignores(SIGINT) and process.ignores(SIGQUIT)
    return parent.name not in _SHELLS or in_background
