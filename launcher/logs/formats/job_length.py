"""How long the job is, where its log does not say it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobLength:
    """Optimizer steps and epochs in all, and batches per optimizer step, from the job file; None is not known."""

    total_steps: int | None = None
    epochs: float | None = None
    accumulation: int = 1
