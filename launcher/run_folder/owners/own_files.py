"""Whose a file is: what is run, or decides what is run, must be its user's own, and nobody else's to change.

A path says little where others may rename folders, so a file is opened first, and then the open file is looked at.
Root may change anything, so what is root's is as good as one's own.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ....cluster_profiles.modes import group_name, user_name
from ....errors import ForeignFile, UnreadableFile

OPEN_REMEDY = (
    "they could put files of theirs in the place of a run or a checkpoint: its owner's `chmod +t` keeps them from it, "
    "or use a folder of your own"
)
_ROOT = 0
# Looks at a folder that may be entered and not be listed; absent on macOS.
_LOOK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in the file's place must not make anybody wait


@dataclass(frozen=True)
class OpenFolder:
    """A folder in which others may put something in the place of what is there: whose it is, its mode, and who may."""

    path: Path
    owner: str
    mode: int
    writers: str

    def __str__(self) -> str:
        return f"{self.path} of {self.owner} may be written by {self.writers} (mode {self.mode:04o})"


def open_own(path: Path) -> int:
    """Open a file that only this user and root can have written, for reading; return its descriptor.

    The file and the folder that it is in must belong to them, and nobody else may write either.  Raises ForeignFile,
    and OSError.
    """
    folder = os.open(path.parent, _LOOK)
    try:
        _check(path.parent, os.fstat(folder))
        file = os.open(path.name, _OPEN, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _check(path, os.fstat(file))
    except BaseException:
        os.close(file)
        raise
    return file


def open_own_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file that only this user and root can have written.

    Raises ForeignFile, FileNotFoundError, and UnreadableFile for a file that cannot be read.
    """
    try:
        return os.fdopen(open_own(Path(path)), "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFile.of(path, error) from None


def find_open_folders(path: Path) -> Iterator[OpenFolder]:
    """Yield the folders on the way to `path`, itself included, in which others may replace what is this user's.

    Links are followed.  In a sticky folder, such as /tmp, nobody replaces what is another's.  A part of the way that
    does not exist yet is left out.  The owner of a folder is not named: who lends a place can always take it.
    """
    real = Path(os.path.realpath(path))
    for folder in (real, *real.parents):
        try:
            status = folder.stat()
        except OSError:
            continue
        writers = _other_writers(status)
        if writers and not status.st_mode & stat.S_ISVTX:
            yield OpenFolder(folder, user_name(status.st_uid), stat.S_IMODE(status.st_mode), writers)


def _check(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ForeignFile(f"{path} is neither a file nor a folder: nothing of it is run")
    if status.st_uid not in (_ROOT, os.geteuid()):
        raise ForeignFile(
            f"{path} belongs to {user_name(status.st_uid)}, mode {mode:04o}: nothing of it is run for {user_name(os.geteuid())}"
        )
    if writers := _other_writers(status):
        raise ForeignFile(
            f"{path} may be written by {writers}, mode {mode:04o}: nothing of it is run; "
            f"if nobody has changed it, `chmod go-w {path}`"
        )


def _other_writers(status: os.stat_result) -> str | None:
    """Return who but the owner may write; None if nobody may.  A list of access rights shows in the group's bits."""
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and not _is_of_this_user_alone(status.st_gid):
        return f"group {group_name(status.st_gid)}"
    return None


def _is_of_this_user_alone(gid: int) -> bool:
    """Return whether a group is the private one that most Linux systems give to each user, under the user's name."""
    import grp  # noqa: PLC0415  the file of groups, for a folder of a group
    import pwd  # noqa: PLC0415  likewise

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return (gid, group.gr_name) == (user.pw_gid, user.pw_name) and set(group.gr_mem) <= {user.pw_name}
