"""The end of a log, which may be long."""

import os
from pathlib import Path

from ...cluster_profiles.files.bounded_file import open_regular
from ...errors import UnreadableFile

_TAIL_BYTES = 64 * 1024
_BLOCK_BYTES = 1 << 16


def read_tail(path: Path, most_bytes: int = _TAIL_BYTES, since: int = 0) -> str:
    """Return at most the last `most_bytes` of a log, without its first `since` bytes; empty without one that can be read."""
    try:
        with open_regular(path) as file:
            file.seek(max(os.fstat(file.fileno()).st_size - most_bytes, since))
            return file.read(most_bytes).decode(errors="replace")
    except (OSError, UnreadableFile):
        return ""


def last_lines_offset(path: Path, lines: int) -> int:
    """Return the byte at which the last `lines` lines of a log begin.  Raises OSError.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as log:
    ...     _, _ = log.write(b"one\\ntwo\\nthree"), log.flush()
    ...     last_lines_offset(Path(log.name), 2)
    4
    """
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        file.seek(max(position - 1, 0))
        wanted = lines + (file.read(1) == b"\n")  # the end of the last line begins no other
        while position and wanted:
            start = max(position - _BLOCK_BYTES, 0)
            file.seek(start)
            block = file.read(position - start)
            while wanted and (end := block.rfind(b"\n")) >= 0:
                block, wanted = block[:end], wanted - 1
                if not wanted:
                    return start + end + 1
            position = start
    return 0
