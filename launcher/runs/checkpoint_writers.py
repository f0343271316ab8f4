"""Open runs that write into the folder in which a new run would keep its checkpoints."""

from contextlib import suppress
from pathlib import Path

from ...cluster_profiles.modes import user_name
from ...errors import HistoryError, UnreadableFile
from ..run_folder.final_status import has_final_status
from ..run_folder.folder import RUN_FILE, file_exists
from ..run_folder.launch import Launch
from ..run_folder.locks.checkpoint_folder import Writer, checkpoint_folders, describe_writer, read_writer
from ..run_folder.registry import registered_folders
from ..submission.problem import Problem, refusal
from .state import OPEN_STATES
from .status import read_status


def check_checkpoint_folder(launch: Launch, own: Path, history: Path) -> tuple[Problem, ...]:
    """Return a refusal if an open run of this history, or of another by its lock, writes where `launch` would.

    The run's folder is `own`.
    """
    wanted = checkpoint_folders(launch, own)
    writers = {folder: read_writer(folder) for folder in wanted}
    for folder in _open_folders(history):
        if shared := wanted & _checkpoint_folders_of(folder):
            writers[min(shared)] = Writer(folder.name, str(folder), user_name())
    for folder, writer in writers.items():
        if writer and _is_open(Path(writer.folder)):
            remedy = "give checkpoint.folder or the command a folder of its own, or wait for its end"
            return (refusal("checkpoint-folder", f"{folder}: {describe_writer(writer)}: {remedy}"),)
    return ()


def _checkpoint_folders_of(folder: Path) -> set[Path]:
    with suppress(UnreadableFile):
        return checkpoint_folders(Launch.read(folder), folder)
    return set()


def _open_folders(history: Path) -> list[Path]:
    with suppress(HistoryError):
        return [folder for folder in registered_folders(history) if not has_final_status(folder)]
    return []


def _is_open(folder: Path) -> bool:
    """Return whether a run goes on; a run whose folder cannot be read takes its lock away at its end."""
    if not file_exists(folder / RUN_FILE):
        return file_exists(folder) or not file_exists(folder.parent)
    try:
        return read_status(folder).state.state in OPEN_STATES
    except UnreadableFile:  # its job may run
        return not has_final_status(folder)
