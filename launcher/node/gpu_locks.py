"""GPUs of this machine, lent to one run at a time: a lock file each, held by the run's own process.

A queue without a daemon.  Who waits holds the turn, and takes free GPUs until it has enough, so a large run is not
overtaken for ever, and two that wait cannot each hold half.  The run's command holds the locks too, so a GPU is free
as soon as nothing of the run is left, however it ended.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..run_folder.launch import Launch

_POLL_S = 0.2


@dataclass(frozen=True)
class GpuLocks:
    """GPUs lent to a run: what makes them visible, for the environment, and the open files that hold them."""

    environment: Mapping[str, str]
    files: tuple[int, ...]


@contextmanager
def lock_gpus(
    launch: Launch, environment: Mapping[str, str], stopped: Callable[[], bool]
) -> Iterator[GpuLocks | None]:
    """As many GPUs as the run wants while the block runs; None if it was stopped while it waited.

    On Slurm, and on a machine without GPUs, there is nothing to hold.
    """
    if not launch.local_gpus:
        yield GpuLocks({}, ())
        return
    with ExitStack() as held:
        folder = _locks(environment)
        turn = _opened(held, folder, "turn")
        if not _locked(turn, stopped):
            yield None
            return
        mine, locks = list[str](), {uuid: _opened(held, folder, uuid) for uuid in launch.local_gpus}
        while len(mine) < launch.gpus and not stopped():
            for uuid in [uuid for uuid in locks if uuid not in mine]:
                if len(mine) < launch.gpus and _tried(locks[uuid]):
                    mine.append(uuid)
            if len(mine) < launch.gpus:
                time.sleep(_POLL_S)
        fcntl.flock(turn, fcntl.LOCK_UN)
        if len(mine) < launch.gpus:
            yield None
            return
        yield GpuLocks({"CUDA_VISIBLE_DEVICES": ",".join(mine)}, tuple(locks[uuid] for uuid in mine))


def _locked(file: int, stopped: Callable[[], bool]) -> bool:
    while not _tried(file):
        if stopped():
            return False
        time.sleep(_POLL_S)
    return True


def _tried(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locks(environment: Mapping[str, str]) -> Path:
    # Not in TMPDIR, which another shell of the same user may have elsewhere.
    folder = Path(environment.get("CLUSTERPLAN_LOCKS") or f"/tmp/clusterplan-{os.getuid()}")  # noqa: S108  ours alone
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _opened(held: ExitStack, folder: Path, name: str) -> int:
    file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    held.callback(os.close, file)
    return file
