"""The folders in which runs are kept: whether one can be, and who else may write there."""

import os
import stat
import tempfile
from itertools import islice
from pathlib import Path

from ....cluster_profiles.modes import user_name
from .own_files import OpenFolder, find_open_folders

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BLOCK = b"\0" * 4096  # a full disk takes an empty file


def find_folder_fault(folder: Path) -> str | None:
    """Return why no run can be kept in `folder`, tried in its nearest existing parent; None if one can."""
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(_BLOCK)
            status = os.fstat(file.fileno())
    except OSError as error:
        return f"{nearest}: cannot be written: {error.strerror}"
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid() or mode & _OTHERS_WRITE:
        return (
            f"{nearest}: its disk gives a new file of {user_name(os.geteuid())} to {user_name(status.st_uid)}, mode "
            f"{mode:04o}, so nothing there can be told from what others wrote: set CLUSTERPLAN_RUNS to another disk"
        )
    return None


def find_nearest_open_folders(*places: Path) -> tuple[OpenFolder, ...]:
    """Return the open folder that is nearest to each of these places, if there is one."""
    return tuple(dict.fromkeys(folder for place in places for folder in islice(find_open_folders(place), 1)))
