"""GPUs of this machine, lent to one run at a time: a lock file per GPU, held by the run's own process.

This is a queue without a daemon.  The run whose turn it is holds the turn's lock and collects GPUs until it has
enough.  So small runs cannot overtake a large one for ever, and two waiting runs cannot each hold half of the GPUs.
The run's command holds the locks too: a GPU becomes free once no process of the run is left, however it ended.
"""

import fcntl
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ...cluster_profiles.modes import make_folder, open_file
from ...errors import RunFolderError
from ..run_folder.launch import Launch

_POLL_S = 0.2
_MACHINES_OWN = "/tmp"  # noqa: S108  and not TMPDIR: a batch system may take that away


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
    """Return the folder of the lock files: on this machine, and the same one for all runs of its user."""
    try:
        if stated := environment.get("CLUSTERPLAN_LOCKS"):
            make_folder(Path(stated), None)
            return Path(stated)
        import platformdirs  # noqa: PLC0415  platformdirs, for a run on this machine only

        machine = f"{socket.gethostname()}.{_read_boot()}"
        return find_lock_folder(platformdirs.user_data_path("clusterplan") / "locks" / machine)
    except OSError as error:
        raise RunFolderError(
            f"{error.filename}: the locks of GPUs cannot be kept there: {error.strerror}: set CLUSTERPLAN_LOCKS to a folder of "
            "this machine that is yours alone"
        ) from None


def find_lock_folder(note: Path) -> Path:
    """Return the folder that a file `note`.N names, one in /tmp whose name nobody can guess; the first run makes both.

    /tmp is everybody's: whoever makes a folder of a known name there first has the locks of others in his hands.
    The notes are in their user's own folder, which may be on a network where locks do not work.  Raises OSError.
    """
    make_folder(note.parent, None)
    notes = (note.with_name(f"{note.name}.{number}") for number in count())
    return next(folder for each in notes if (folder := _read_or_make(each)))


def _read_or_make(note: Path) -> Path | None:
    """Return the folder that a note names, made if there is no note; None if it is gone, because /tmp was cleaned."""
    if not note.exists():
        _write_note(note)
    return _read_note(note)


def _write_note(note: Path) -> None:
    """Make a folder, and a note that names it, unless another run is first."""
    folder = tempfile.mkdtemp(prefix="clusterplan-", dir=_MACHINES_OWN)
    draft = note.with_name(f".{Path(folder).name}")
    with os.fdopen(open_file(draft, os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(folder)
    try:
        os.link(draft, note)
    except FileExistsError:
        Path(folder).rmdir()
    finally:
        draft.unlink()


def _read_note(note: Path) -> Path | None:
    try:
        folder = Path(note.read_text(encoding="utf-8"))
        status = folder.lstat()
    except (OSError, ValueError):
        return None
    return folder if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() else None


def _read_boot() -> str:
    """Return what tells the time since this machine's last start from those before: /tmp may be another since."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return "machine"


def _open_lock(open_files: ExitStack, folder: Path, name: str) -> int:
    file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    open_files.callback(os.close, file)
    return file
