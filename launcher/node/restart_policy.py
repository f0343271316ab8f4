"""Whether a run that stopped before its end starts again: pure, from what its attempts saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_WITHOUT_PROGRESS = 3  # attempts in a row that saved nothing new


class StopCause(StrEnum):
    """Why an attempt ended before the run did."""

    TIME_LIMIT = "time_limit"  # Slurm's warning before it
    TERMINATED = "terminated"  # SIGTERM: cancelled, preempted, or the limit itself
    FAILED = "failed"  # the command


@dataclass(frozen=True)
class RestartDecision:
    """Whether to start again, and why."""

    restart: bool
    reason: str


def decide_restart(
    why: StopCause, saved: Sequence[int | None], resumed: int | None, max_restarts: int
) -> RestartDecision:
    """What follows after an attempt that stopped for `why`.

    `saved` is the step of the newest checkpoint at the end of each attempt, the one that stopped last; `resumed` the
    step this one began from.  A time limit is no fault of the run, so it goes on while checkpoints grow; a failure
    does so only if this very attempt got further.

    >>> decide_restart(StopCause.TIME_LIMIT, [100, 200], 100, max_restarts=100).restart
    True
    >>> decide_restart(StopCause.TIME_LIMIT, [100, 100, 100, 100], 100, max_restarts=100).reason
    '3 attempts in a row saved no checkpoint beyond step 100'
    >>> decide_restart(StopCause.FAILED, [100], 100, max_restarts=100).restart
    False
    """
    restarts, now = len(saved) - 1, saved[-1]
    if restarts >= max_restarts:
        return RestartDecision(restart=False, reason=f"the budget of {max_restarts} restarts is used up")
    if why is StopCause.FAILED:
        if (now or 0) > (resumed or 0):
            return RestartDecision(restart=True, reason=f"it failed, after a new checkpoint at step {now}")
        return RestartDecision(restart=False, reason="no new checkpoint to go on from was saved")
    last = [0, *(step or 0 for step in saved)][-MOST_WITHOUT_PROGRESS - 1 :]
    if len(last) > MOST_WITHOUT_PROGRESS and len(set(last)) == 1:
        where = f"beyond step {now}" if now else "at all"
        return RestartDecision(
            restart=False, reason=f"{MOST_WITHOUT_PROGRESS} attempts in a row saved no checkpoint {where}"
        )
    return RestartDecision(restart=True, reason="the time limit was near")
