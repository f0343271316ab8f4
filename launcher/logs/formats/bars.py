"""Progress bars: which one is the training's, and the step that it shows.  Pure.

A log holds many bars: of the training, of evaluations inside it, of downloads and tokenizers before it.  Some count a
run, others start anew with each epoch.  On a resume the Trainer's bar begins at 0 and jumps, so its own rate is
wrong, and only differences of its steps are used (transformers/trainer_callback.py, ProgressCallback).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .job_length import JobLength
from .log_format import LogFormat
from .quantities import parse_elapsed_s, parse_number
from .record import LogRecord, RecordKind

_TRAINING = re.compile(r"train|epoch|step|iter", re.IGNORECASE)
_EVALUATION = re.compile(r"val|eval|test|predict|sanity", re.IGNORECASE)
# What datasets, transformers, TRL and huggingface_hub call theirs, such as "Tokenizing train dataset" and "Map".
_DATA = re.compile(
    r"\b(?:loading|download\w*|fetching|tokeniz\w*|map|filter\w*|generating|packing|truncating|applying|adding|converting"
    r"|extracting|saving|dataset|split|shards?)\b",
    re.IGNORECASE,
)
_DATA_RATE = re.compile(r"(?:examples|[kMGT]?i?B|ba)/s|s/(?:examples|ba)\b")
_EPOCH = re.compile(r"epoch\D{0,3}(\d+)(?:\s*(?:/|of)\s*(\d+))?", re.IGNORECASE)
_BEFORE_COUNT = re.compile(r":?\s*(?:\d+%)?\s*(?:\|[^|]*\|?|[━╸╺ ]+)?\s*$")
_MOST_BARS, _LONGEST = 32, 300
_NEAR = 0.02  # two lengths


class _Reading(NamedTuple):
    """One bar in one line; `length` is None where the bar does not know it."""

    description: str
    done: int
    length: int | None
    elapsed_s: float
    is_complete: bool


@dataclass(slots=True)
class _Bar:
    """A bar, and the earlier bars of the same description and length."""

    done: int = 0
    elapsed_s: float = 0.0
    earlier: int = 0
    earlier_s: float = 0.0
    is_complete: bool = False

    @property
    def sum_s(self) -> float:
        return self.earlier_s + self.elapsed_s


class Bars:
    """Tell the training's bar from others in a stream of lines."""

    def __init__(self, length: JobLength) -> None:
        self._job = length
        self._bars: dict[tuple[str, int | None], _Bar] = {}
        self._training: tuple[str, int | None] | None = None
        self._first_epoch: int | None = None

    def read_line(self, form: LogFormat, line: str, **origin: Any) -> LogRecord | None:
        """Return what the last bar in a line says of the training or of an evaluation; None if it says neither."""
        reading = _read_bar(form, line)
        if reading is None:
            return None
        key = (re.sub(r"\d+", "", reading.description), reading.length)
        bar = self._bars.setdefault(key, _Bar())
        is_news = not bar.is_complete or reading.done < bar.done
        if reading.done < bar.done and reading.elapsed_s <= bar.elapsed_s:
            bar.earlier += bar.is_complete  # otherwise the run was restarted
            bar.earlier_s = bar.sum_s
        bar.done, bar.elapsed_s, bar.is_complete = reading.done, reading.elapsed_s, reading.is_complete
        self._choose(key)
        if key == self._training:
            return self._training_record(form, reading, bar, origin)
        is_inside = not reading.description and self._is_running()
        if is_news and reading.is_complete and (is_inside or _EVALUATION.search(reading.description)):
            return LogRecord(RecordKind.EVALUATION, form.name, seconds=reading.elapsed_s, **origin)
        return None

    def _is_running(self) -> bool:
        assert self._training is not None  # noqa: S101  chosen with the first bar
        length, done = self._training[1], self._bars[self._training].done
        if length is None:
            return done > 0  # Lightning draws an empty bar `Training: 0/?` before that of the first epoch
        return done < length

    def _choose(self, key: tuple[str, int | None]) -> None:
        """Take the bar as the training's if its words say so, or if the one so far has ended, and took less time."""
        if self._training is None:
            self._training = key if _weight(key[0]) else None
        elif key != self._training:
            rival, holder = _weight(key[0]), _weight(self._training[0])
            longer = self._bars[key].sum_s > self._bars[self._training].sum_s
            if rival > holder or (rival == holder and not self._is_running() and longer):
                self._training = key
        if len(self._bars) > _MOST_BARS:
            del self._bars[next(other for other in self._bars if other not in (key, self._training))]

    def _training_record(
        self, form: LogFormat, reading: _Reading, bar: _Bar, origin: Mapping[str, Any]
    ) -> LogRecord:
        epoch, length = _EPOCH.search(reading.description), reading.length
        step, total = reading.done, length
        if length and (epoch or bar.earlier or self._is_of_epoch(length)):
            number, epochs = self._epoch(form, epoch) if epoch else (bar.earlier, None)
            of_epoch = -(-length // self._job.accumulation)
            step = number * of_epoch + reading.done // self._job.accumulation
            if reading.is_complete:
                step = (number + 1) * of_epoch
            epochs = epochs or self._job.epochs
            total = round(epochs * of_epoch) if epochs else None
        return LogRecord(
            RecordKind.STEP,
            form.name,
            step=step,
            total_steps=total or self._job.total_steps,
            elapsed_s=bar.sum_s,
            **origin,
        )

    def _is_of_epoch(self, length: int) -> bool:
        """Return whether a bar without a name is as long as the batches of an epoch, and not as the steps of the job."""
        job = self._job
        if not job.total_steps or not job.epochs:
            return False
        of_epoch = job.total_steps * job.accumulation / job.epochs
        return (
            abs(length - of_epoch) <= max(job.accumulation, _NEAR * of_epoch) < abs(length - job.total_steps)
        )

    def _epoch(self, form: LogFormat, match: re.Match[str]) -> tuple[int, float | None]:
        """Return the number of whole epochs before this bar, and the epochs in all."""
        number, last = int(match[1]), match[2] and int(match[2])
        if self._first_epoch is None or number < self._first_epoch:
            self._first_epoch = number
        is_rich = form.name == "rich-bar"  # it counts from 0, also where it shows the last epoch
        counts_from_1 = not is_rich and self._first_epoch > 0 and (bool(last) or self._first_epoch == 1)
        epochs = last + 1 if last and is_rich else last
        return number - counts_from_1, epochs or None


def _weight(description: str) -> int:
    """Return 2 for a bar that is called a training's, 0 for one of an evaluation or of data, 1 for any other."""
    if _EVALUATION.search(description) or _DATA.search(description):
        return 0
    return 2 if _TRAINING.search(description) else 1


def _read_bar(form: LogFormat, line: str) -> _Reading | None:
    match = None
    for match in form.regex.finditer(line):  # noqa: B007  the last one
        pass
    if match is None or _DATA_RATE.search(match[0]):
        return None
    done, length = parse_number(match["done"].upper()), parse_number(match["length"].upper())
    elapsed_s = parse_elapsed_s(match["elapsed"])
    if done is None or elapsed_s is None:
        return None
    begin = max(match.start() - _LONGEST, 0)
    description = _BEFORE_COUNT.sub("", line[begin : match.start()]).strip()
    total = None if length is None else int(length)
    return _Reading(description, int(done), total, elapsed_s, is_complete=done == length)
