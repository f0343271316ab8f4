"""The files that scripts name: those that the script writes itself, then those on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .shell.word import Word

_LARGEST_BYTES = 1_000_000


@dataclass(frozen=True)
class NamedFile:
    """A file that was found: its path, and its text."""

    path: Path
    text: str


@dataclass(frozen=True)
class Files:
    """Where names are looked up: in `folders` in order, after the files that a script writes, by their names in it."""

    folders: Sequence[Path] = ()
    written: Mapping[str, Word] = field(default_factory=dict)

    def read(self, name: str) -> NamedFile | None:
        """Return the file of that name; None if there is none, or it cannot be read as text."""
        if name in self.written:
            return NamedFile(Path(name), self.written[name].text)
        for folder in self.folders:
            path = folder / name
            if path.is_file():
                return NamedFile(path, text) if (text := read_text(path)) is not None else None
        return None

    def with_folders(self, *folders: Path) -> "Files":
        """Return the same with folders in which names are looked up first."""
        return Files((*folders, *self.folders), self.written)


def read_text(path: Path) -> str | None:
    """Return the text of a file; None if it is larger than 1 MB, no UTF-8 text, or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        return content.decode("utf-8-sig") if len(content) <= _LARGEST_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None
