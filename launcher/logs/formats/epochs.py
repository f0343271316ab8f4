"""The step of a line that states the epoch alone, as those of the HF Trainer do: pure.

The Trainer prints the epoch with 4 significant digits since version 5, with 2 decimals before 4.46, and with all digits
in between, so the step follows to within a few steps.
"""

import dataclasses
import math

from .job_length import JobLength
from .record import LogRecord, RecordKind

_DIGITS = 4


class EpochClock:
    """Complete the lines of a stream by its step in all, from bars and from lines about the start."""

    def __init__(self, length: JobLength) -> None:
        self._total_steps, self._epochs = length.total_steps, length.epochs
        self._bar_step: int | None = None

    def with_step(self, record: LogRecord, line: str) -> LogRecord:
        """Return the record with its step: that of the last bar, or the one that follows from its epoch."""
        self._total_steps = record.total_steps or self._total_steps
        self._epochs = record.total_epochs or self._epochs
        if record.kind is RecordKind.START:
            return record
        if record.step is not None:
            if record.epoch is None and record.kind is RecordKind.STEP:
                self._bar_step = record.step
            return record
        if record.kind is not RecordKind.STEP or record.epoch is None:
            return record
        if self._bar_step is not None:
            return dataclasses.replace(record, step=self._bar_step)
        if not self._total_steps or not self._epochs:
            return record
        steps_per_epoch = self._total_steps / self._epochs
        return dataclasses.replace(
            record,
            step=round(record.epoch * steps_per_epoch),
            total_steps=self._total_steps,
            step_resolution=max(math.ceil(_rounding(record.epoch, line) * steps_per_epoch), 1),
        )


def _rounding(epoch: float, line: str) -> float:
    """Return by how much the epoch in a line may be wrong in either direction, taken together."""
    if "'epoch': '" in line:
        return 10.0 ** (math.floor(math.log10(epoch)) + 1 - _DIGITS) if epoch > 0 else 0.0
    return 0.01 if round(epoch, 2) == epoch else 0.0
