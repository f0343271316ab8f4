"""The clock of a run: Unix time on the clock of the run's folder, which no step of a node's clock moves.

Nodes' clocks differ, and are put right while jobs run.  So every process of a run counts the seconds since the machine
started, suspended time too (CLOCK_BOOTTIME, https://man7.org/linux/man-pages/man2/clock_gettime.2.html), and adds one
offset.  The task measures that offset against the times that the shared folder gives to files, and hands it to the
processes that it starts.  Training code imports this, so it needs the standard library alone.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "CLUSTERPLAN_CLOCK"
AGREE_S = 2.0  # two clocks that are closer agree: a disk stamps a file late, and to the second at worst
EARLIEST_S = 1_577_836_800.0  # 2020-01-01: a clock that says less is wrong

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def steady_s() -> float:
    """Return the seconds since this machine started, suspended time too; elsewhere than on Linux, those of some start."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True)
class RunClock:
    """A clock that no step moves: `offset_s` is the Unix time at which this machine started, by the clock that counts."""

    offset_s: float

    def now_s(self) -> float:
        """Return the Unix time."""
        return steady_s() + self.offset_s

    def ahead_s(self) -> float:
        """Return by how many seconds this machine's own clock is ahead now."""
        return time.time() - self.now_s()

    def exported(self) -> str:
        """Return the clock for processes of this machine that are started now, as `VARIABLE`."""
        return f"{_boot_id()} {self.offset_s!r}"


def own_clock() -> RunClock:
    """Return this machine's clock as it is now."""
    return RunClock(time.time() - steady_s())


def handed_clock(environment: Mapping[str, str]) -> RunClock:
    """Return the clock that the task of this machine exported; this machine's own where none did.

    A command may hand its environment to another machine, whose start was another.
    """
    boot, _, offset = environment.get(VARIABLE, "").partition(" ")
    try:
        return RunClock(float(offset)) if boot == _boot_id() else own_clock()
    except ValueError:
        return own_clock()


def offset_of_file(before_s: float, changed_s: float, after_s: float) -> float:
    """Return by how much the clock of a disk is ahead: it stamped a file between two readings of another clock.

    Clocks that agree within `AGREE_S` differ by 0, and so does a disk whose own clock is wrong.

    >>> offset_of_file(1.8e9, 1.8e9 + 600, 1.8e9 + 1), offset_of_file(1.8e9, 1.8e9 + 29, 1.8e9 + 30)
    (599.0, 0.0)
    """
    if changed_s < EARLIEST_S:
        return 0.0
    ahead_s = changed_s - min(max(changed_s, before_s), after_s)
    return ahead_s if abs(ahead_s) > AGREE_S else 0.0


def disk_now_s(folder: Path) -> float:
    """Return the Unix time by the clock of the disk that holds `folder`; by this machine's where it may not write there."""
    before_s, path = time.time(), folder / f".clock.{os.urandom(4).hex()}"
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(file, b"\0")
            changed_s = os.fstat(file).st_mtime
        finally:
            os.close(file)
            path.unlink()
    except OSError:
        return time.time()
    now_s = time.time()
    return now_s + offset_of_file(before_s, changed_s, now_s)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
