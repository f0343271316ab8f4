"""The modes of folders and files that a group shares, or that are one user's alone.

Every member of a group may write its history, and read the runs of the others; nobody but its owner writes into a run's
folder.  What is made in a run's folder follows that folder.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path


def make_folder(path: Path, group: int | None, mode: int = 0o2770) -> None:
    """Make a folder and those above it, of mode 0700; for a group with `mode`, whatever the umask.  One that exists stays.

    Raises OSError.
    """
    if path.is_dir():
        return
    if not path.parent.exists():  # `parents=True` would give these the modes of the umask
        make_folder(path.parent, group, mode)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # another process was first, or it is no folder
        if path.is_dir():
            return
        raise
    if group is not None:
        give_to_group(path, group, mode)


def give_to_group(path: Path, group: int, mode: int) -> None:
    """Set the group and the mode of what this user has just made, whatever the umask.  Raises OSError."""
    with suppress(PermissionError):  # not a member: the mode alone is of use then
        os.chown(path, -1, group)
    path.chmod(mode)


def read_umask() -> int:
    """Return the umask of this process."""
    umask = os.umask(0o077)  # there is no way to read it alone
    os.umask(umask)
    return umask


def umask_in(folder: Path) -> int:
    """Return the umask for processes that write into a folder: the group may read what it makes if it may read that one."""
    return 0o077 & ~_group_reads(folder)


def user_name(uid: int | None = None) -> str:
    """Return the login name of a user, by default this one; the number where it has none.

    >>> user_name(0)
    'root'
    """
    import pwd  # noqa: PLC0415  the file of users, for commands that ask for nobody

    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # in a container
        return str(number)


def group_name(gid: int) -> str:
    """Return the name of a group; the number where it has none."""
    import grp  # noqa: PLC0415  the file of groups, for what is shared

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def denial(path: Path) -> str:
    """Return why this user may not use a path, and what would be right."""
    while not os.path.exists(path):  # noqa: PTH110  Path.exists raises in a folder that may not be read
        path = path.parent
    status = path.stat()
    return (
        f"permission denied for {user_name()}: {path} belongs to {user_name(status.st_uid)}, "
        f"mode {stat.S_IMODE(status.st_mode):04o}; docs/how-to/set-up-a-site.md says how a group shares a history"
    )


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file for writing, made if it is not there, and return its descriptor.

    The group may read it if it may read the folder, whatever the umask; nobody else may.  Raises OSError.
    """
    file = os.open(path, flags | os.O_WRONLY | os.O_CREAT, 0o600)
    if group_reads := os.stat(os.path.dirname(path) or ".").st_mode & stat.S_IRGRP:  # noqa: PTH116, PTH120  a text or a path
        os.fchmod(file, 0o600 | group_reads)
    return file


def make_inner_folder(path: Path) -> None:
    """Make a folder in another one, and those above it: the group may read it if it may read that one, whatever the umask.

    One that exists stays.  Raises OSError.
    """
    if path.is_dir():
        return
    if not path.parent.exists():
        make_inner_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.is_dir():
            return
        raise
    if group_reads := _group_reads(path.parent):
        path.chmod(0o700 | group_reads)


def _group_reads(folder: Path) -> int:
    return folder.stat().st_mode & (stat.S_IRGRP | stat.S_IXGRP)
