"""What a whole log says of the speed of a training: pure.

A log that would teach something wrong is refused in a line: two runs in one file, steps that go back, a loss that is no
number, too few steps.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ....errors import InputError
from ....estimator.measurements.steady_state import LEAST_STEPS, SteadyState, steady_state
from ....estimator.measurements.training_loop import LoopEnd, LoopLine, LoopStart, LoopSteps
from .frameworks.catalogue import FORMATS
from .log_format import LogFormat
from .loop_lines import Intervals
from .record import LogRecord, RecordKind

_JUMP = 2  # times the most steps that a line held: those before a resume, over which a bar jumps to its place
_YEAR_S = 365 * 86400.0


@dataclass(frozen=True)
class LogSummary:
    """The steady speed that a log reports, and of what.

    `batch` is the global batch size of these steps, and `ended_s` the Unix time of the last line, where the lines say
    them.
    """

    form: LogFormat
    steps: int
    lines: int
    first_step: int
    last_step: int
    state: SteadyState
    batch: int | None = None
    ended_s: float | None = None


def summarize_log(records: Iterable[LogRecord], formats: Sequence[LogFormat] = FORMATS) -> LogSummary:
    """Return the speed that the records of one log report.  Raises InputError for a log that teaches nothing, or wrong.

    With a batch size that ramps up only the steps of the last one count.

    >>> from .stream import StreamReader
    >>> log = b"".join(b"iter %d: loss 2.5, time 500.00ms, mfu 1.00%%\\n" % n for n in range(0, 50, 10))
    >>> summary = summarize_log(StreamReader().feed(log, None, None))
    >>> summary.form.framework, summary.first_step, summary.last_step, summary.state.step_time_s
    ('nanoGPT', 1, 41, 0.5)
    """
    reading = _Reading(formats)
    for record in records:
        reading.add(record)
    reading.lines += reading.intervals.finish()
    form = reading.intervals.source
    if form is None:
        return _summary_of_end(reading)
    steps = [line.step for line in reading.lines if isinstance(line, LoopSteps)]
    state = steady_state(reading.lines)
    if state is None:
        raise InputError(_why_no_speed(form, reading))
    return LogSummary(
        form,
        state.n_steps,
        reading.step_records,
        reading.first_step or 0,
        max(steps),
        state,
        reading.batch,
        reading.ended_s,
    )


class _Reading:
    """What was read so far."""

    def __init__(self, formats: Sequence[LogFormat]) -> None:
        self._formats = formats
        self.forms = {form.name: form for form in formats}
        self.intervals = Intervals(formats=formats)
        self.lines = list[LoopLine]()
        self.step_records, self.records = 0, 0
        self.first_step: int | None = None
        self.batch: int | None = None
        self.ended_s: float | None = None
        self.end: LogRecord | None = None
        self._starts = _Starts()

    def add(self, record: LogRecord) -> None:
        self.records += 1
        if record.loss is not None and not math.isfinite(record.loss):
            where = "" if record.step is None else f" at step {record.step:,}"
            raise InputError(
                f"the loss is {record.loss}{where}: a run that diverged teaches no speed; cut the log before it"
            )
        if record.kind is RecordKind.STEP:
            self.step_records += record.step is not None or record.session_step is not None
            if self.first_step is None:
                self.first_step = record.step
            if record.global_batch_size is not None:
                self._take_batch(record.global_batch_size)
        if record.kind is RecordKind.END and record.step_time_s:
            self.end = record
        if record.time_s is not None and record.time_s > _YEAR_S:
            self.ended_s = record.time_s
        lines = self.intervals.add(record)
        self._starts.check(record, lines)
        self.lines += lines

    def _take_batch(self, batch: int) -> None:
        if self.batch not in (None, batch):
            self.lines, self.intervals = [], Intervals(formats=self._formats)
        self.batch = batch


class _Starts:
    """Tell a resume from a second run, and from steps that go back."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._latest = 0
        self._most_steps = 0
        self._is_marked = self._has_ended = False
        self._new: LoopStart | None = None

    def check(self, record: LogRecord, lines: Sequence[LoopLine]) -> None:
        """Look at the lines of one record.  Raises InputError."""
        self._is_marked |= record.kind is RecordKind.START
        for line in lines:
            if isinstance(line, LoopEnd):
                self._has_ended = True
            elif isinstance(line, LoopStart):
                self._new = line
            elif isinstance(line, LoopSteps):
                self._check_steps(line)

    def _check_steps(self, line: LoopSteps) -> None:
        start = self._new
        if self._first is None:
            self._first = start.step if start else line.step
        elif start is not None:
            jumps = line.steps > _JUMP * self._most_steps
            resumed_at = line.step - 1 if jumps else start.step
            if self._has_ended or resumed_at <= self._first:
                raise InputError(
                    f"holds two runs: after step {self._latest:,} one begins at step {resumed_at + 1:,}; give each a file of its own"
                )
            if resumed_at + 1 < self._latest and not (jumps or self._is_marked):
                raise InputError(
                    f"the steps go back from {self._latest:,} to {line.step:,}: cut the log there, and give each part a file of its own"
                )
        else:
            self._most_steps = max(self._most_steps, line.steps)
        self._new, self._is_marked, self._latest = None, False, line.step


def _why_no_speed(form: LogFormat, reading: _Reading) -> str:
    name = form.title
    timed = [line for line in reading.lines if isinstance(line, LoopSteps) and line.seconds]
    if reading.step_records and not timed:
        return (
            f"has steps of {name}, but no times ({form.where} has no clock): give --step-time without the log"
        )
    steps = sum(line.steps for line in timed)
    return (
        f"has {steps} timed steps of {name} after the first line, and {LEAST_STEPS} are the least: "
        "give a longer log, or --step-time without it"
    )


def _summary_of_end(reading: _Reading) -> LogSummary:
    """Return what the Trainer's last line says, where no bar was kept: a mean with evaluations and saves in it."""
    end = reading.end
    if end is None or not end.step_time_s or not end.elapsed_s:
        kinds = ", ".join(dict.fromkeys(form.title for form in reading.forms.values()))
        raise InputError(
            f"no line reports a step; lines of these are known: {kinds}; for others give --step-time, or --log-pattern"
        )
    steps = round(end.elapsed_s / end.step_time_s)
    state = SteadyState(end.step_time_s, None, steps, None, None, None, None, 0, (0.0, 0.0))
    return LogSummary(reading.forms[end.format], steps, 1, 1, steps, state, None, reading.ended_s)
