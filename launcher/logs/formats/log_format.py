"""A log format as a row of data: how a line is known, what its values mean, and what a resume does to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property

from .record import RecordKind


class Source(IntEnum):
    """What steps and times are taken from, the best first."""

    TRACK = 0
    CLOCKED_FILE = 1
    LINE = 2
    BAR = 3
    STATE_FILE = 4


class StepTime(StrEnum):
    """Which steps the step time of a line is of; none but the mean can be multiplied by the steps since the last line."""

    NONE = "-"
    MEAN = "mean since the last line, without pauses"
    SINCE_START = "mean since the start"
    MEDIAN = "median of the last steps"
    LAST = "that step alone"


@dataclass(frozen=True)
class LogFormat:
    """One kind of line that a framework writes.

    Only a line that contains `marker` is looked at; it is of this format if `pattern` is found in it.  The groups of
    the pattern are named by quantities (see `quantities.py`: the name has the unit), and `values` gives the quantity
    of each key that stands with its value in the line, as in `'loss': 2.3`, `lm loss: 2.3E+00` or `step=10`.
    `first_step` is the number that the framework gives to the first step.
    """

    name: str
    framework: str
    marker: bytes
    pattern: str
    values: Mapping[str, str] = field(default_factory=dict)
    kind: RecordKind = RecordKind.STEP
    source: Source = Source.LINE
    where: str = "stdout"
    first_step: int = 1
    step_time: StepTime = StepTime.NONE
    resume: str = "goes on"
    versions: str = ""
    reference: str = ""

    @property
    def title(self) -> str:
        """Return the name of the framework, without the programs that are built on it."""
        return re.split(r"[:,]", self.framework)[0]

    @cached_property
    def is_bar(self) -> bool:
        """Return whether it is a bar, which is told from other bars before it says anything."""
        return "done" in self.regex.groupindex

    @property
    def has_clock(self) -> bool:
        """Return whether its lines may state a time of their own."""
        return self.source is Source.CLOCKED_FILE or not {"date", "elapsed"}.isdisjoint(self.quantities)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Return the compiled pattern."""
        return re.compile(self.pattern)

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Return the quantities that a line of this format may state."""
        return tuple(dict.fromkeys((*self.regex.groupindex, *self.values.values())))
