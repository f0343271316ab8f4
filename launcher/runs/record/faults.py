"""What is wrong with a run's folder, as the history keeps it until something in the folder changes."""

from pathlib import Path

from ....cluster_profiles.files.bounded_file import stamp_file, stamp_folder
from ....errors import ClusterplanError, UnreadableFile
from ....estimator.history.faults import KnownFault
from ....estimator.history.runs import History
from ...run_folder.folder import TASKS
from ..run_files import RunFault


def has_text_name(folder: Path) -> bool:
    """Return whether the history can keep the name of a folder."""
    try:
        return bool(folder.name.encode())
    except UnicodeEncodeError:
        return False


def find_known_fault(folder: Path, history: History) -> KnownFault | None:
    """Return what was wrong with a run's folder, if nothing in it has changed since: collecting it would find the same."""
    fault = history.fault(folder.name)
    return fault if fault and fault.folder_stamp and fault.folder_stamp == _stamp(folder) else None


def describe_fault(folder: Path, error: ClusterplanError) -> KnownFault:
    """Return what is wrong with a run's folder, as the history keeps it."""
    reason = RunFault(folder, error).reason.encode(errors="replace").decode()
    if not isinstance(error, UnreadableFile):
        return KnownFault(reason, "", _stamp(folder))
    return KnownFault(reason, stamp_file(error.path), _stamp(folder) if error.is_lasting else "")


def _stamp(folder: Path) -> str:
    return stamp_folder(folder, TASKS)
