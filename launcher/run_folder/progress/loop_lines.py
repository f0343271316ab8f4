"""The lines of progress.jsonl in a run folder: read as a whole, or as much as tells how far the loop is."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ....cluster_profiles.files.bounded_file import open_regular, read_ends
from ....errors import UnreadableFile
from ....estimator.measurements.training_loop import (
    TRACK,
    LoopDtype,
    LoopEnd,
    LoopEvaluation,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
)
from ...in_training.progress_file import PROGRESS_FILE
from ..records.files import parse_json
from .best_source import SourcedLine, lines_of_best_sources

T = TypeVar("T")

_MOST_BYTES = 48 << 20  # 40 days of lines, at their usual length
_LATEST_BYTES = 1 << 18  # 5 hours of lines, when they are rarest
_FIRST_STEPS = 20  # lines, after each start
_MOST_SECONDS, _MOST_COUNT = 1e11, 2**53
_START, _STEPS = b'{"kind": "start"', b'{"kind": "steps"'


def read_progress(folder: Path) -> tuple[list[LoopLine], int]:
    """Return the lines of a run folder, each start's by the best source that it has, and the offset after the last.

    A torn line, or one of an unknown kind, is left out; so is a last line without its end yet.  Of a file of more than
    48 MiB its beginning and its end are read.  Raises UnreadableFile, but not for a missing file.
    """
    lines, offset = read_sourced_lines(folder)
    return lines_of_best_sources(lines), offset


def read_sourced_lines(folder: Path) -> tuple[list[SourcedLine], int]:
    """Return the lines of all sources, as `read_progress` reads them."""
    lines, offset, path = list[SourcedLine](), 0, folder / PROGRESS_FILE
    try:
        with open_regular(path) as file:
            for offset, text in read_ends(file, _MOST_BYTES):  # noqa: B007  the last one is returned
                if line := _parse_line(text):
                    lines.append(line)
            _check_has_lines(path, lines, file, has_texts=offset > 0)
    except FileNotFoundError:
        pass
    return lines, offset


def read_first_and_latest(folder: Path) -> list[LoopLine]:
    """Return every start and pause, and the latest lines of steps: progress needs no more, and the file may be long.

    The first lines of steps of each start are there too, which tell its sources, and the last one before the next.
    Raises UnreadableFile, but not for a missing file.
    """
    path = folder / PROGRESS_FILE
    try:
        with open_regular(path) as file:
            skipped = os.fstat(file.fileno()).st_size - _LATEST_BYTES
            texts = list(_without_middle(read_ends(file, _MOST_BYTES), skipped))
            lines = [line for text in texts if (line := _parse_line(text))]
            _check_has_lines(path, lines, file, has_texts=bool(texts))
    except FileNotFoundError:
        return []
    return lines_of_best_sources(lines)


def _check_has_lines(path: Path, lines: Sequence[SourcedLine], file: BinaryIO, *, has_texts: bool) -> None:
    """Raise UnreadableFile for a file in which no whole line is one: a torn one alone may be the first, half written."""
    is_long = os.fstat(file.fileno()).st_size > _LATEST_BYTES
    if not lines and (has_texts or is_long):
        raise UnreadableFile(path, "no line of it is a record")


def _without_middle(texts: Iterable[tuple[int, bytes]], skipped: int) -> Iterator[bytes]:
    """Yield the lines but those of steps in the first `skipped` bytes; around a start a few of them stay."""
    left, before = _FIRST_STEPS, b""
    for at, text in texts:
        is_skipped = at <= skipped and text.startswith(_STEPS) and not left
        if is_skipped:
            before = text
            continue
        if text.startswith(_START):
            if before:
                yield before
            left = _FIRST_STEPS
        left, before = max(left - text.startswith(_STEPS), 0), b""
        yield text


def _parse_line(text: bytes) -> SourcedLine | None:
    try:
        values = parse_json(text.decode())
        return SourcedLine(str(values.get("source") or TRACK), _KINDS[values["kind"]](values))
    except (AttributeError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _start(v: Mapping[str, Any]) -> LoopStart:
    return LoopStart(
        _seconds(v["time_s"]),
        _count(v["step"]),
        _or_none(_count, v.get("total")),
        str(v.get("attempt") or ""),
        _or_none(_count, v.get("batch_size")),
        _or_none(str, v.get("dtype")),
        str(v.get("source") or TRACK),
    )


def _steps(v: Mapping[str, Any]) -> LoopSteps:
    line = LoopSteps(
        _seconds(v["time_s"]),
        _count(v["step"]),
        _count(v["steps"]),
        _seconds(v["seconds"]),
        _seconds(v["longest_s"]),
        _or_none(_seconds, v.get("wait_s")),
        _or_none(float, v.get("loss")),  # may be "nan"
        _or_none(float, v.get("learning_rate")),
        _or_none(_count, v.get("samples")),
    )
    if line.steps < 1:
        raise ValueError("no steps")
    return line


def _pause(v: Mapping[str, Any]) -> LoopPause:
    return LoopPause(_seconds(v["time_s"]), _count(v["step"]), str(v["what"]), _seconds(v["seconds"]))


def _evaluation(v: Mapping[str, Any]) -> LoopEvaluation:
    return LoopEvaluation(_seconds(v["time_s"]), _count(v["step"]), float(v["loss"]))


def _end(v: Mapping[str, Any]) -> LoopEnd:
    return LoopEnd(_seconds(v["time_s"]), _count(v["step"]))


def _dtype(v: Mapping[str, Any]) -> LoopDtype:
    return LoopDtype(_seconds(v["time_s"]), _count(v["step"]), str(v["dtype"]))


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], LoopLine]] = {
    "start": _start,
    "steps": _steps,
    "pause": _pause,
    "evaluation": _evaluation,
    "end": _end,
    "dtype": _dtype,
}


_NAMES: Mapping[type[LoopLine], str] = {
    LoopStart: "start",
    LoopSteps: "steps",
    LoopPause: "pause",
    LoopEvaluation: "evaluation",
    LoopEnd: "end",
    LoopDtype: "dtype",
}


def kind_of(line: LoopLine) -> str:
    """Return the `kind` of a line, as progress.jsonl has it."""
    return _NAMES[type(line)]


def _seconds(value: float | str) -> float:
    seconds = float(value)
    if not 0 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"{value} is not a time")
    return seconds


def _count(value: float | str) -> int:
    count = int(value)
    if not 0 <= count <= _MOST_COUNT:
        raise ValueError("not a count")
    return count


def _or_none(kind: Callable[[Any], T], value: object) -> T | None:
    return None if value is None else kind(value)
