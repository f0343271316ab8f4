"""What one line of a log says of the training, as a frozen value."""

from dataclasses import dataclass
from enum import StrEnum


class RecordKind(StrEnum):
    """What a line is about."""

    START = "start"
    STEP = "step"
    EVALUATION = "evaluation"
    SAVE = "save"
    END = "end"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line of a log; None is what the line does not say.

    `step` counts the optimizer steps done in all, those before a resume included; `session_step` those since this
    start.  A step that follows from a rounded epoch is known to `step_resolution` steps.  `time_s` is the clock of the
    line itself in Unix seconds, `elapsed_s` the time since this start by the framework.  `arrival_s` (Unix) and
    `monotonic_s` are when the line came out of the command.  Rates are those of the whole job, but for
    `tokens_per_s_per_gpu`.  `seconds` is the duration of an evaluation or a save, `wait_share` the share of the step
    that waited for input, `epoch` the epochs done.
    """

    kind: RecordKind
    format: str
    arrival_s: float | None = None
    monotonic_s: float | None = None
    time_s: float | None = None
    elapsed_s: float | None = None
    step: int | None = None
    session_step: int | None = None
    step_resolution: int = 1
    total_steps: int | None = None
    step_time_s: float | None = None
    samples_per_s: float | None = None
    tokens_per_s: float | None = None
    tokens_per_s_per_gpu: float | None = None
    global_batch_size: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    evaluation_loss: float | None = None
    seconds: float | None = None
    wait_share: float | None = None
    epoch: float | None = None
    total_epochs: float | None = None
    rank: int | None = None
