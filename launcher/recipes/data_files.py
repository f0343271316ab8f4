"""The samples in a data file that is here: JSON, JSON lines, parquet.  Filters and splits of the program come after."""

import json
from collections.abc import Iterator
from pathlib import Path

from .arguments import Arguments
from .files import Files

_NAMES = (
    *(
        "data_path",
        "train_data_path",
        "train_file",
        "train_files",
        "data.train_files",
        "dataset",
        "data_files",
        "meta_path",
    ),
    *("train_data", "data.path", "datasets", "dataset_path", "annotation_path"),
)
_LARGEST_JSON = 200_000_000  # bytes: it has to be read as a whole
_LARGEST_LINES = 5_000_000_000
# The numbers of the types in Thrift's compact protocol; booleans stand in the head of a field.
_FIXED, _INTEGERS, _STRING, _LISTS, _STRUCT = {1: 0, 2: 0, 3: 1, 7: 8}, (4, 5, 6), 8, (9, 10), 12
_LONG_LIST = 15


def count_samples(arguments: Arguments, files: Files) -> tuple[int, str] | None:
    """Return how many samples the data files among the arguments hold, and their names; None if one is not here, or no such file."""
    for name in _NAMES:
        argument = arguments.get(name)
        words = (
            str(argument.value).replace(",", " ").split()
            if argument and not isinstance(argument.value, list)
            else []
        )
        counts = [count for word in words if (count := _count(word.strip("[]'\""), files)) is not None]
        if argument and counts and len(counts) == len(words):
            return sum(counts), argument.source
    return None


def _count(name: str, files: Files) -> int | None:
    path = next((path for folder in files.folders if (path := folder / name).is_file()), None)
    try:
        if path is None:
            return None
        size = path.stat().st_size
        if path.suffix in (".jsonl", ".ndjson") and size <= _LARGEST_LINES:
            return sum(1 for _ in _lines(path))
        if path.suffix == ".json" and size <= _LARGEST_JSON:
            values = json.loads(path.read_bytes())
            return len(values) if isinstance(values, list) else None
        return _rows_of_parquet(path, size) if path.suffix == ".parquet" else None
    except (OSError, ValueError, IndexError, RecursionError):
        return None


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.strip())


def _rows_of_parquet(path: Path, size: int) -> int | None:
    """Field 3 of the footer, in Thrift's compact protocol: https://parquet.apache.org/docs/file-format/metadata/."""
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or length > size:
            return None
        file.seek(size - 8 - length)
        return _Thrift(file.read(length)).find_integer(3)


class _Thrift:
    """A struct in Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def find_integer(self, wanted: int) -> int | None:
        """Return the integer in the field of that number; None without it."""
        field = 0
        while (head := self._byte()) != 0:
            kind, delta = head & 15, head >> 4
            field = field + delta if delta else self._zigzag()
            if field == wanted:
                return self._zigzag()
            self._skip(kind)
        return None

    def _skip(self, kind: int) -> None:
        if kind in _FIXED:
            self.at += _FIXED[kind]
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _STRING:
            length = self._varint()
            self.at += length
        elif kind in _LISTS:
            head = self._byte()
            for _ in range(head >> 4 if head >> 4 < _LONG_LIST else self._varint()):
                self._skip(head & 15)
        elif kind == _STRUCT:
            while (head := self._byte()) != 0:
                if not head >> 4:
                    self._zigzag()  # its number
                self._skip(head & 15)
        else:
            raise ValueError("a type that no footer has")

    def _byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return value

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
