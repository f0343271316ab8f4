"""GPUs of this machine, lent to one run at a time: a lock file per GPU, held by the run's own process.

This is a queue without a daemon.  The run whose turn it is holds the turn's lock and collects GPUs until it has
enough.  So small runs cannot overtake a large one for ever, and two waiting runs cannot each hold half of the GPUs.
The run's command holds the locks too: a GPU becomes free once no process of the run is left, however it ended.
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
    """GPUs lent to a run: the variable that makes them visible, and the open files whose locks hold them."""

    environment: Mapping[str, str]
    files: tuple[int, ...]


@contextmanager
def lock_gpus(
    launch: Launch, environment: Mapping[str, str], is_stopped: Callable[[], bool]
) -> Iterator[GpuLocks | None]:
    """Lend the run its GPUs while the block runs; None if `is_stopped` became true while it waited.

    On Slurm, and on a machine without GPUs, nothing is locked.
    """
    if not launch.local_gpus:
        yield GpuLocks({}, ())
        return
    with ExitStack() as open_files:
        folder = _lock_folder(environment)
        turn = _open_lock(open_files, folder, "turn")
        if not _wait_for_lock(turn, is_stopped):
            yield None
            return
        uuids, files = list[str](), {uuid: _open_lock(open_files, folder, uuid) for uuid in launch.local_gpus}
        while len(uuids) < launch.gpus and not is_stopped():
            for uuid in [uuid for uuid in files if uuid not in uuids]:
                if len(uuids) < launch.gpus and _try_lock(files[uuid]):
                    uuids.append(uuid)
            if len(uuids) < launch.gpus:
                time.sleep(_POLL_S)
        fcntl.flock(turn, fcntl.LOCK_UN)
        if len(uuids) < launch.gpus:
            yield None
            return
        yield GpuLocks({"CUDA_VISIBLE_DEVICES": ",".join(uuids)}, tuple(files[uuid] for uuid in uuids))


def _wait_for_lock(file: int, is_stopped: Callable[[], bool]) -> bool:
    while not _try_lock(file):
        if is_stopped():
            return False
        time.sleep(_POLL_S)
    return True


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_folder(environment: Mapping[str, str]) -> Path:
    # Not in TMPDIR: two shells of one user may have different ones.
    folder = Path(environment.get("CLUSTERPLAN_LOCKS") or f"/tmp/clusterplan-{os.getuid()}")  # noqa: S108  ours alone
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _open_lock(open_files: ExitStack, folder: Path, name: str) -> int:
    file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    open_files.callback(os.close, file)
    return file
