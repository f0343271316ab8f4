"""The progress of a run's training loop, from the lines that `track` writes."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...estimator.measurements.training_loop import (
    LoopDtype,
    LoopEnd,
    LoopEvaluation,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
    steady_lines,
)
from ..in_training.progress_file import PROGRESS_FILE

T = TypeVar("T")

_FIRST_BYTES, _LATEST_BYTES = 1 << 12, 1 << 18  # the latter are 5 hours of lines, when they are rarest
_ESTIMATE_SHARE = 0.9  # of the steps that were estimated, a loop that was not stopped may count fewer
RATE_WINDOW_S = 300.0  # of training that the present rate is taken from


@dataclass(frozen=True)
class Progress:
    """Steps done, their rate, and the seconds that the rest takes at that rate with pauses (`eta_s`).

    None means not known: the total is not given, or only the loop's first step is done.
    """

    steps_done: int
    total: int | None
    rate_steps_per_s: float | None
    eta_s: float | None
    loss: float | None
    least_steps: int | None = None  # of a whole run: those that the script states, or 90 % of an estimate

    @property
    def stopped_early(self) -> bool:
        """Return whether a loop that has ended stopped before its last step."""
        return self.least_steps is not None and self.steps_done < self.least_steps


def estimate_progress(lines: Sequence[LoopLine], total: int | None = None) -> Progress | None:
    """Estimate how far the loop is after `lines`, and how long the rest takes; None without lines.

    `total` counts if the script states none.  The rate is that of the last 5 minutes of steps; the remaining time is
    stretched by the share of time that pauses took so far.

    >>> lines = [LoopStart(0, 0, total=100), LoopSteps(9, 1, 1, 9, 9), LoopSteps(19, 21, 20, 10, 0.5)]
    >>> now = estimate_progress(lines)
    >>> now.steps_done, now.rate_steps_per_s, now.eta_s
    (21, 2.0, 39.5)
    """
    if not lines:
        return None
    last = lines[-1]
    steady = steady_lines(lines)
    stated = next((line.total for line in reversed(lines) if isinstance(line, LoopStart)), None)
    least_steps = int(total * _ESTIMATE_SHARE) if stated is None and total else stated
    total = total if stated is None else stated
    rate = _recent_rate(steady)
    losses = (line.loss for line in reversed(lines) if isinstance(line, LoopSteps) and line.loss is not None)
    eta_s = None
    if rate and total is not None:
        trained_s = sum(line.seconds for line in steady)
        paused_s = sum(line.seconds for line in lines if isinstance(line, LoopPause))
        eta_s = max(total - last.step, 0) / rate * (1 + paused_s / trained_s)
    return Progress(last.step, total, rate, eta_s, next(losses, None), least_steps)


def _recent_rate(lines: Sequence[LoopSteps]) -> float | None:
    steps, seconds = 0, 0.0
    for line in reversed(lines):
        steps, seconds = steps + line.steps, seconds + line.seconds
        if seconds > RATE_WINDOW_S:
            break
    return steps / seconds if seconds else None


def read_progress(folder: Path, offset: int = 0) -> tuple[list[LoopLine], int]:
    """Return the lines of a run folder from byte `offset` on, and the offset to go on from.

    A torn line, or one of an unknown kind, is left out; a line without its end yet is left for the next call.
    Raises OSError, but not for a missing file.
    """
    lines = list[LoopLine]()
    try:
        with (folder / PROGRESS_FILE).open("rb") as file:
            file.seek(offset)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                offset += len(text)
                if line := _parse_line(text):
                    lines.append(line)
    except FileNotFoundError:
        pass
    return lines, offset


def read_first_and_latest(folder: Path) -> list[LoopLine]:
    """Return the first lines and the latest: `estimate_progress` needs no more, and the file may be long.

    Raises OSError, but not for a missing file.
    """
    try:
        with (folder / PROGRESS_FILE).open("rb") as file:
            text = file.read(_FIRST_BYTES)
            skipped = file.seek(0, os.SEEK_END) - _LATEST_BYTES
            if skipped > len(text):
                text = text[: text.rfind(b"\n") + 1]
                file.seek(skipped)
                file.readline()  # the rest of a line that began before
            else:
                file.seek(len(text))
            text += file.read()
    except FileNotFoundError:
        return []
    whole = text[: text.rfind(b"\n") + 1].splitlines()
    return [line for line in map(_parse_line, whole) if line]


def _parse_line(text: bytes) -> LoopLine | None:
    try:
        values = json.loads(text)
        return _KINDS[values["kind"]](values)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _start(v: Mapping[str, Any]) -> LoopStart:
    return LoopStart(
        _seconds(v["time_s"]),
        int(v["step"]),
        _or_none(int, v.get("total")),
        str(v.get("attempt") or ""),
        _or_none(int, v.get("batch_size")),
        _or_none(str, v.get("dtype")),
    )


def _steps(v: Mapping[str, Any]) -> LoopSteps:
    line = LoopSteps(
        _seconds(v["time_s"]),
        int(v["step"]),
        int(v["steps"]),
        _seconds(v["seconds"]),
        _seconds(v["longest_s"]),
        _or_none(_seconds, v.get("wait_s")),
        _or_none(float, v.get("loss")),  # may be "nan"
        _or_none(float, v.get("learning_rate")),
    )
    if line.steps < 1:
        raise ValueError("no steps")
    return line


def _pause(v: Mapping[str, Any]) -> LoopPause:
    return LoopPause(_seconds(v["time_s"]), int(v["step"]), str(v["what"]), _seconds(v["seconds"]))


def _evaluation(v: Mapping[str, Any]) -> LoopEvaluation:
    return LoopEvaluation(_seconds(v["time_s"]), int(v["step"]), float(v["loss"]))


def _end(v: Mapping[str, Any]) -> LoopEnd:
    return LoopEnd(_seconds(v["time_s"]), int(v["step"]))


def _dtype(v: Mapping[str, Any]) -> LoopDtype:
    return LoopDtype(_seconds(v["time_s"]), int(v["step"]), str(v["dtype"]))


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], LoopLine]] = {
    "start": _start,
    "steps": _steps,
    "pause": _pause,
    "evaluation": _evaluation,
    "end": _end,
    "dtype": _dtype,
}


def _seconds(value: float | str) -> float:
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{value} is not a time")
    return seconds


def _or_none(kind: Callable[[Any], T], value: object) -> T | None:
    return None if value is None else kind(value)
