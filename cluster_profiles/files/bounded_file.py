"""Files that somebody else wrote: opened without waiting for them, and read up to a size.

A FIFO in place of a file would keep its reader waiting for ever, a device has no end, and a file may be larger than the
memory.  A link may lead to a file that its reader alone may read: what it says would then be told to others.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

from ...errors import UnreadableFile
from ..modes import user_name

Opener = Callable[[str | os.PathLike[str]], BinaryIO]

# 4 MiB of the smallest JSON values, `[],[],...`, take 90 MiB as Python's lists.
DOCUMENT_BYTES = 4 << 20
_LINE_BYTES = 1 << 20
_ROOT = 0
_MIB = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, buffered.

    Raises FileNotFoundError, and UnreadableFile for everything else that is there and cannot be read.

    >>> open_regular("/dev/null")
    Traceback (most recent call last):
    clusterplan.errors.UnreadableFile: /dev/null: is a device, not a file
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, os.fspath(path)) from None
    except OSError as error:
        raise UnreadableFile.of(path, error) from None
    except ValueError as error:
        raise UnreadableFile(path, f"cannot be read: {error}") from None  # a NUL in its name
    status = os.fstat(number)
    kind = stat.S_IFMT(status.st_mode)
    fault = f"is {_KINDS.get(kind, 'something else')}, not a file" if kind != stat.S_IFREG else None
    if fault := fault or _find_foreign_way(os.fspath(path), status.st_uid):
        os.close(number)
        raise UnreadableFile(path, fault)
    return os.fdopen(number, "rb")


def open_named(path: str | os.PathLike[str]) -> BinaryIO:
    """Open what a user names on the command line: a regular file, or a pipe such as `<(...)`, read to its end.

    A FIFO that nobody writes into has its end at once.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return open_regular(path)  # which says why
    if not stat.S_ISFIFO(os.fstat(number).st_mode):
        os.close(number)
        return open_regular(path)
    os.set_blocking(number, True)
    return os.fdopen(number, "rb")


def _find_foreign_way(path: str, owner: int) -> str | None:
    """Return how another user leads this one to a file that is not theirs, but `owner`'s; None if they do not.

    That user may have put a link in the place of the file or of its folder, or moved the file into a folder of theirs.
    The open file is known by then, so a link that is changed meanwhile leads to no other.
    """
    trusted = (_ROOT, os.geteuid(), owner)
    folder = os.path.dirname(path) or "."  # noqa: PTH120  a text is quick
    for place, may_be_real in ((path, True), (folder, owner == _ROOT)):
        with suppress(OSError):
            status = os.lstat(place)
            is_foreign = status.st_uid not in trusted
            if is_foreign and (stat.S_ISLNK(status.st_mode) or not may_be_real):
                return f"the way to it is {user_name(status.st_uid)}'s, and the file is {user_name(owner)}'s: it is not read"
    return None


def read_bytes(
    path: str | os.PathLike[str], most_bytes: int = DOCUMENT_BYTES, opener: Opener = open_regular
) -> bytes:
    """Return the content of a file.  Raises as its opener does, and UnreadableFile for one of more bytes."""
    with opener(path) as file:
        try:
            content = file.read(most_bytes + 1)
        except OSError as error:
            raise UnreadableFile.of(path, error) from None
    if len(content) > most_bytes:
        raise UnreadableFile(path, f"is larger than {most_bytes / _MIB:g} MiB")
    return content


def read_text(
    path: str | os.PathLike[str], most_bytes: int = DOCUMENT_BYTES, opener: Opener = open_regular
) -> str:
    """Return the text of a file.  Raises as `read_bytes` does, and UnreadableFile for one that is no UTF-8."""
    try:
        return read_bytes(path, most_bytes, opener).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(path, f"is no UTF-8 text at byte {error.start:,}") from None


def read_ends(file: BinaryIO, most_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with the offsets at which they end; of one with more bytes its first and its last half.

    A line of more than 1 MiB, and a last line without its end, are left out.
    """
    size = os.fstat(file.fileno()).st_size
    half = most_bytes // 2
    stretches = [(0, size)] if size <= most_bytes else [(0, half), (size - half, size)]
    for begin, end in stretches:
        at, is_whole = file.seek(begin), begin == 0
        while at < end and (line := file.readline(_LINE_BYTES)):
            at += len(line)
            has_end = line.endswith(b"\n")
            if has_end and is_whole:
                yield at, line
            is_whole = has_end


def stamp_file(path: str | os.PathLike[str]) -> str:
    """Return a text that changes with a file, and with who may read it; empty without a file."""
    try:
        return _stamp(os.lstat(path))
    except (OSError, ValueError):
        return ""


def stamp_folder(path: str | os.PathLike[str], *inner: str) -> str:
    """Return a text that changes with any file of a folder, and of these folders in it; empty without a folder."""
    stamps = list[str]()
    for folder in (os.fspath(path), *(f"{os.fspath(path)}/{name}" for name in inner)):
        try:
            with os.scandir(folder) as entries:
                stamps += sorted(
                    f"{entry.name}:{_stamp(entry.stat(follow_symlinks=False))}" for entry in entries
                )
        except OSError:
            stamps.append("")
    return (
        hashlib.sha256("\n".join(stamps).encode(errors="surrogateescape")).hexdigest()[:16]
        if any(stamps)
        else ""
    )


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_size}.{facts.st_ctime_ns}.{facts.st_ino}"
