"""What a launcher prints when one of its processes failed: which rank was the first, and its exit code.  Pure.

Sources: torch/distributed/elastic/multiprocessing/errors/__init__.py (the box of ChildFailedError),
deepspeed/launcher/launch.py ("exits with return code"), torch/multiprocessing/spawn.py, and mpirun(1) of Open MPI.
"""

import re
from dataclasses import dataclass

_ROOT_CAUSE = re.compile(
    r"Root Cause \(first observed failure\):.*?rank\s*: (\d+) \(local_rank: \d+\).*?exitcode\s*: (-?\d+)",
    re.DOTALL,
)
_MPI_SIGNAL = re.compile(r"mpirun noticed that process rank (\d+) .*?exited on\s+signal (\d+)", re.DOTALL)
_MPI_CODE = re.compile(r"Process name: \[\[\d+,\d+\],(\d+)\]\s+Exit code:\s+(\d+)")
_SPAWN = re.compile(
    r"^-- Process (\d+) terminated with the following error|ProcessExitedException: process (\d+) ",
    re.MULTILINE,
)
_DEEPSPEED = re.compile(r"exits with return code = (-?\d+)")

_LARGEST_CODE, _SIGNALS = 256, 32


@dataclass(frozen=True)
class LauncherSummary:
    """The rank that failed first, and its exit code as a shell has it; None where the launcher does not say."""

    rank: int | None = None
    exit_code: int | None = None


def read_summary(log: str) -> LauncherSummary:
    """Return what the last launcher in a log says of its processes.

    >>> read_summary("mpirun noticed that process rank 3 with PID 7 on node gpu2 exited on signal 9 (Killed).")
    LauncherSummary(rank=3, exit_code=137)
    """
    if box := _last(_ROOT_CAUSE, log):
        return LauncherSummary(int(box[1]), _shell_code(int(box[2])))
    if killed := _last(_MPI_SIGNAL, log):
        return LauncherSummary(int(killed[1]), 128 + int(killed[2]))
    if ended := _last(_MPI_CODE, log):
        return LauncherSummary(int(ended[1]), int(ended[2]))
    if spawned := _last(_SPAWN, log):
        return LauncherSummary(int(spawned[1] or spawned[2]))
    if code := _last(_DEEPSPEED, log):
        return LauncherSummary(None, _shell_code(int(code[1])))
    return LauncherSummary()


def _last(pattern: re.Pattern[str], log: str) -> re.Match[str] | None:
    return next(iter([*pattern.finditer(log)][-1:]), None)


def _shell_code(code: int) -> int:
    """Return a process's code as a shell has it: 128 + n for signal n, be it written as -n or as 256 - n."""
    if code < 0:
        return 128 - code
    return 128 + 256 - code if code > _LARGEST_CODE - _SIGNALS else code
