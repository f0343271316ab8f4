"""Whether a run that stopped before its end starts again: pure, from the checkpoints that its attempts saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_ATTEMPTS_WITHOUT_PROGRESS = 3


class StopCause(StrEnum):
    """Why an attempt ended before the run did."""

    TIME_LIMIT = "time_limit"  # Slurm's warning before the limit
    TERMINATED = "terminated"  # SIGTERM: cancelled, preempted, or the limit itself
    FAILED = "failed"  # the command


@dataclass(frozen=True)
class RestartDecision:
    """Whether to start again, and why."""

    restart: bool
    reason: str


def decide_restart(
    cause: StopCause, saved_steps: Sequence[int | None], resume_step: int | None, max_restarts: int
) -> RestartDecision:
    """Decide whether a run starts again after an attempt that stopped for `cause`.

    `saved_steps` has the step of the newest checkpoint at the end of each attempt, this one last; None is no
    checkpoint.  `resume_step` is the step this attempt began from.

    A time limit is no fault of the run: it goes on as long as its checkpoints grow.  A failure may be one: the run
    goes on only if this very attempt saved a newer checkpoint.

    >>> decide_restart(StopCause.TIME_LIMIT, [100, 200], 100, max_restarts=100).restart
    True
    >>> decide_restart(StopCause.TIME_LIMIT, [100, 100, 100, 100], 100, max_restarts=100).reason
    '3 attempts in a row saved no checkpoint beyond step 100'
    >>> decide_restart(StopCause.FAILED, [100], 100, max_restarts=100).restart
    False
    """
    restarts, newest = len(saved_steps) - 1, saved_steps[-1]
    if restarts >= max_restarts:
        return RestartDecision(restart=False, reason=f"the limit of {max_restarts} restarts is reached")
    if cause is StopCause.FAILED:
        if (newest or 0) > (resume_step or 0):
            return RestartDecision(
                restart=True, reason=f"the command failed, after a new checkpoint at step {newest}"
            )
        return RestartDecision(restart=False, reason="the command saved no new checkpoint before it failed")
    recent = [0, *(step or 0 for step in saved_steps)][-MAX_ATTEMPTS_WITHOUT_PROGRESS - 1 :]
    if len(recent) > MAX_ATTEMPTS_WITHOUT_PROGRESS and len(set(recent)) == 1:
        where = f"beyond step {newest}" if newest else "at all"
        return RestartDecision(
            restart=False,
            reason=f"{MAX_ATTEMPTS_WITHOUT_PROGRESS} attempts in a row saved no checkpoint {where}",
        )
    return RestartDecision(restart=True, reason="the time limit was near")
