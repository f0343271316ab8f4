"""From what a log says to the lines that a training loop reports of itself: pure.

A rate follows from differences of steps and times alone.  What a framework prints as its rate may hold the start, the
steps before a resume, or one step alone; only a mean over the steps since the last line is used as it is.
"""

import dataclasses
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ....estimator.measurements.training_loop import (
    LoopEnd,
    LoopEvaluation,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
)
from .clock import Clock, ClockChoice, Moment
from .frameworks.catalogue import FORMATS
from .log_format import LogFormat, StepTime
from .pauses import Pauses, part_interval
from .record import LogRecord, RecordKind

_RECENT = 15  # intervals, of which the median is the typical step time
_RESOLUTIONS = 20  # steps of an interval, in units of what the steps are known to


class _Point(NamedTuple):
    """A line with a step; `stated_s` is the time of the steps since the loop began, as the lines state it."""

    step: int
    moment: Moment
    stated_s: float | None


class Intervals:
    """Turn the records of a log into lines of a training loop, one at a time.

    The best source that has spoken so far gives the steps.  The interval of an evaluation or a save is parted into the
    pause and the steps.  A record of kind `start` begins the loop anew: its step and its time, if they are known, are
    those before the first step.  `source` is the format that gives the steps.  Lines of steps are at least `shortest_s`
    apart.
    """

    def __init__(
        self, attempt: str = "", formats: Sequence[LogFormat] = FORMATS, shortest_s: float = 1.0
    ) -> None:
        self._attempt, self.shortest_s = attempt, shortest_s
        self._forms = {form.name: form for form in formats}
        self.source: LogFormat | None = None
        self._is_mean = False  # the step time that its lines state
        self._clock, self._pauses = ClockChoice(), Pauses()
        self._typical = deque[float](maxlen=_RECENT)
        self._is_startup = False  # the next line of steps holds the first step, or those before a resume
        self._total: int | None = None
        self._start: LogRecord | None = None
        self._first_step = 0  # before the present start, where it is known
        self._ended_at: int | None = None
        self._last: _Point | None = None  # the end of the last interval
        self._latest: _Point | None = None  # the last line with a step
        self._line_steps = 0  # between the last two lines with a step
        self._loss: float | None = None
        self._learning_rate: float | None = None
        self._batch_size: int | None = None  # of all GPUs; it may grow
        self._wait_share: float | None = None

    def add(self, record: LogRecord) -> list[LoopLine]:
        """Return the lines that follow from one more record."""
        self._total = record.total_steps or self._total
        self._batch_size = record.global_batch_size or self._batch_size
        if record.step is None and record.session_step is not None:
            record = dataclasses.replace(record, step=self._first_step + record.session_step)
        if record.kind is RecordKind.START:
            return self._restart(record)
        if record.kind is RecordKind.END:
            lines, latest = list[LoopLine](self._close()), self._latest
            self._last = self._latest = None
            self._ended_at = latest.step if latest else None
            return [*lines, LoopEnd(latest.moment.wall_s, latest.step)] if latest else lines
        if record.kind is RecordKind.STEP:
            self._loss = self._loss if record.loss is None else record.loss
            rate = record.learning_rate
            self._learning_rate = self._learning_rate if rate is None else rate
            return list(self._take(record)) if self._is_of_source(record) else []
        return list(self._pause(record))

    def finish(self) -> list[LoopLine]:
        """Return the line of the steps since the last line; of steps that came without any time, only that they are done."""
        last, latest = self._last, self._latest
        lines = list[LoopLine](self._close())
        if last and latest and latest.step > last.step and not lines:
            lines.append(LoopEnd(latest.moment.wall_s, latest.step))
        return lines

    def _pause(self, record: LogRecord) -> Iterator[LoopLine]:
        if not self._pauses:
            yield from self._close()
        if self._latest:
            moment = self._clock.moment(record)
            self._pauses.add(record, moment)
            if record.evaluation_loss is not None:
                yield LoopEvaluation(moment.wall_s, self._latest.step, record.evaluation_loss)

    def _restart(self, record: LogRecord) -> list[LoopLine]:
        lines = list[LoopLine](self._close())
        if self._latest:
            self._last = self._latest = self._start = None
        if self._start is None or record.step is not None:
            self._start = record
            self._first_step = record.step or 0
        return lines

    def _is_of_source(self, record: LogRecord) -> bool:
        form = self._forms[record.format]
        if record.step is None:
            return False
        if self.source is None or form.source < self.source.source:
            self.source, self._last, self._latest = form, None, None
        return form is self.source

    def _take(self, record: LogRecord) -> Iterator[LoopLine]:
        point, last, latest = self._point(record), self._last, self._latest
        if last and point.moment.clock is Clock.NONE is not last.moment.clock:
            return  # it tells of the loss, and of no time
        if last is None or latest is None or not last.moment.clock.is_same(point.moment.clock):
            if point.step != self._ended_at:  # otherwise a bar drawn anew after the end
                yield from self._begin(point)
        elif self._is_restart(latest, point):
            yield from self._begin(point)
        elif point.step < latest.step or point.moment.s < latest.moment.s:
            return  # the line of a rank that is late, or whose clock is behind
        elif self._pauses:
            yield from self._part(last, point)
        elif point.step > latest.step:
            self._line_steps = point.step - latest.step
            self._wait_share = record.wait_share
            self._latest = point
            shortest_s = max(self.shortest_s, point.moment.clock.shortest_s)
            is_long = point.moment.clock is Clock.NONE or point.moment.s - last.moment.s >= shortest_s
            if is_long and point.step - last.step >= _RESOLUTIONS * (record.step_resolution - 1):
                yield from self._steps(last, point, _steps_s(last, point))
                self._last = point

    def _is_restart(self, latest: _Point, point: _Point) -> bool:
        if point.step < latest.step:
            return latest.step - point.step > self._line_steps
        return point.step > latest.step and point.moment.s < latest.moment.s

    def _point(self, record: LogRecord) -> _Point:
        assert record.step is not None  # noqa: S101  only records of steps come here
        assert self.source is not None  # noqa: S101  chosen with the first of them
        moment, latest = self._clock.moment(record), self._latest
        self._is_mean = self.source.step_time is StepTime.MEAN
        step_s = record.step_time_s if self._is_mean or moment.clock is Clock.NONE else None
        if not step_s:
            return _Point(record.step, moment, None)
        before_s = (latest.stated_s if latest else None) or 0.0
        return _Point(record.step, moment, before_s + step_s * (record.step - latest.step if latest else 0))

    def _begin(self, point: _Point) -> Iterator[LoopLine]:
        """Begin the loop.  Its first line is that of the start-up, whose time is known if the start's is."""
        self._pauses.clear()
        first_step, seconds = max(point.step - 1, 0), 0.0
        if self._start:
            began = self._clock.moment(self._start)
            if began.clock is point.moment.clock is not Clock.NONE:
                seconds = max(point.moment.s - began.s, 0.0)
            if self._start.step is not None:
                first_step = min(self._start.step, point.step)
        wall_s, steps = point.moment.wall_s, point.step - first_step
        began_s = wall_s - seconds if steps else wall_s  # a bar at 0 comes when the start-up is over
        yield LoopStart(began_s, first_step, self._total, self._attempt)
        if steps:
            yield LoopSteps(wall_s, point.step, steps, seconds, seconds / steps, loss=self._loss)
            self._loss = None
        self._start, self._last, self._latest = None, point, point
        self._is_startup = not steps

    def _part(self, last: _Point, point: _Point) -> Iterator[LoopLine]:
        """Part an interval into the pauses that lines told of, and its steps."""
        pauses_s, steps = self._pauses.seconds(), point.step - last.step
        if steps == 0 and None in pauses_s.values():
            return  # a bar drawn anew; the pause may not be over
        stated_s = _steps_s(last, point) if point.stated_s is not None and self._is_mean else None
        usual_s = statistics.median(self._typical) * steps if self._typical else None
        pauses, trained_s = part_interval(point.moment.s - last.moment.s, pauses_s, stated_s, usual_s)
        for what, seconds in pauses.items():
            yield LoopPause(point.moment.wall_s, last.step, what, seconds)
        yield from self._steps(last, point, trained_s)
        self._pauses.clear()
        self._last = self._latest = point

    def _steps(self, last: _Point, point: _Point, seconds: float) -> Iterator[LoopSteps]:
        steps = point.step - last.step
        if steps < 1 or seconds <= 0:
            return
        if not self._is_startup:
            self._typical.append(seconds / steps)
        self._is_startup = False
        wait_s = None if self._wait_share is None else self._wait_share * seconds
        yield LoopSteps(
            point.moment.wall_s,
            point.step,
            steps,
            seconds,
            seconds / steps,
            wait_s,
            self._loss,
            self._learning_rate,
            self._batch_size and self._batch_size * steps,
        )
        self._loss = self._learning_rate = None

    def _close(self) -> Iterator[LoopSteps]:
        """End the interval at the last line with a step."""
        last, latest = self._last, self._latest
        if last and latest and latest.step > last.step:
            seconds = _steps_s(last, latest)
            if latest.stated_s is not None or seconds >= latest.moment.clock.shortest_s:
                yield from self._steps(last, latest, seconds)
                self._last = latest


def _steps_s(last: _Point, point: _Point) -> float:
    """Return the time of the steps from one line to another: as the lines state it, otherwise by the clock."""
    if point.stated_s is not None:
        return point.stated_s - (last.stated_s or 0.0)
    return point.moment.s - last.moment.s


def loop_lines(records: Iterable[LogRecord], formats: Sequence[LogFormat] = FORMATS) -> list[LoopLine]:
    """Return the lines of a whole log.

    >>> from .stream import StreamReader
    >>> log = b"".join(b"steps: %d loss: 2.3 iter time (s): 0.500 samples/sec: 64.0\\n" % n for n in (10, 20, 30))
    >>> [line.seconds for line in loop_lines(StreamReader().feed(log, None, None)) if hasattr(line, "seconds")]
    [0.0, 5.0, 5.0]
    """
    intervals = Intervals(formats=formats)
    lines = [line for record in records for line in intervals.add(record)]
    return [*lines, *intervals.finish()]
