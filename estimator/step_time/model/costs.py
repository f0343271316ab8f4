"""What the size of a model tells of the parameters of the step model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """What the size of a model tells: seconds of the work on a token at the peak of one GPU, and of the rest of a micro-batch.

    `token_s_at_peak` leaves attention out; `fixed_s` is P10, P50 and P90 of the fixed cost.
    """

    token_s_at_peak: float | None = None
    fixed_s: tuple[float, float, float] | None = None


NO_COSTS = Costs()
