"""Whether a run that stopped before its end starts again: pure, from what its attempts left that is new."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_ATTEMPTS_WITHOUT_PROGRESS = 3


class StopCause(StrEnum):
    """Why an attempt ended before the run did."""

    TIME_LIMIT = "time_limit"  # Slurm's warning before the limit
    TERMINATED = "terminated"  # SIGTERM: cancelled, preempted, or the limit itself
    FAILED = "failed"  # the command
    NEWER_START = "newer_start"  # a later start of the run has begun


class Progress(StrEnum):
    """The best sign that an attempt took the run further."""

    CHECKPOINT = "checkpoint"  # of a higher number than any before
    STEPS = "steps"  # its first step is later than that of every earlier attempt
    SAVE = "save"  # a checkpoint was written anew: further on, or at the same steps once more
    WEIGHTS = "weights"  # so was a file of weights that is not recognised as a checkpoint
    NONE = "none"


@dataclass(frozen=True)
class AttemptEnd:
    """How one attempt ended.  None as `progress` is not known: it was killed, or Slurm decided what follows.

    `resumed_from` is the name of the checkpoint that it began from.
    """

    cause: StopCause
    progress: Progress | None
    resumed_from: str | None = None


@dataclass(frozen=True)
class RestartDecision:
    """Whether to start again, and why; `leaves_out` the checkpoint from which this attempt began."""

    restart: bool
    reason: str
    leaves_out: bool = False


def decide_restart(
    attempts: Sequence[AttemptEnd],
    max_restarts: int,
    newest: str | None = None,
    before: str | None = None,
    *,
    lost_nodes: str = "",
) -> RestartDecision:
    """Decide whether a run starts again after `attempts`, the last of which has just stopped.

    `newest` names the newest checkpoint.  `before` names the one before that from which the last attempt began; None
    where there is none, where the command chooses its checkpoint itself, or where its error has another cause.
    `lost_nodes` are named where the last attempt failed because tasks there are gone without a word.

    A time limit is no fault of the run: it goes on as long as something new is saved.  A failure may be one: after
    it the run goes on if the attempt took it further; if it came no step further, from the checkpoint before.  A node
    that dies is no fault of the run either, and the tasks on other nodes fail before Slurm knows of it.

    >>> limit, failed = StopCause.TIME_LIMIT, StopCause.FAILED
    >>> decide_restart([AttemptEnd(limit, Progress.WEIGHTS)] * 4, max_restarts=100).restart
    True
    >>> decide_restart([AttemptEnd(limit, Progress.NONE)] * 3, max_restarts=100).reason
    '3 attempts in a row saved no checkpoint at all'
    >>> decide_restart([AttemptEnd(failed, Progress.NONE, "step_30.pt")], 100, before="step_20.pt").reason
    'step_30.pt could not be resumed from: starts again from step_20.pt'
    """
    if len(attempts) > max_restarts:
        return RestartDecision(restart=False, reason=f"the limit of {max_restarts} restarts is reached")
    if attempts[-1].cause is StopCause.FAILED:
        return _decide_after_failure(attempts, newest, before, lost_nodes=lost_nodes)
    recent = [end.progress for end in attempts if end.progress][-MAX_ATTEMPTS_WITHOUT_PROGRESS:]
    if len(recent) == MAX_ATTEMPTS_WITHOUT_PROGRESS and set(recent) == {Progress.NONE}:
        where = f"beyond {newest}" if newest else "at all"
        return RestartDecision(
            restart=False,
            reason=f"{MAX_ATTEMPTS_WITHOUT_PROGRESS} attempts in a row saved no checkpoint {where}",
        )
    return RestartDecision(restart=True, reason="the time limit was near")


def _decide_after_failure(
    attempts: Sequence[AttemptEnd], newest: str | None, before: str | None, *, lost_nodes: str
) -> RestartDecision:
    last, failures = attempts[-1], list(_failures_without_progress(attempts))
    signs = {
        Progress.CHECKPOINT: f"after a new checkpoint at {newest}",
        Progress.STEPS: "after it had resumed at a later step",
        Progress.SAVE: f"after {newest} was saved anew",
    }
    if len(failures) > MAX_ATTEMPTS_WITHOUT_PROGRESS:
        reason = f"{len(failures)} attempts in a row failed without a later checkpoint"
        return RestartDecision(restart=False, reason=reason)
    if last.progress in signs:
        return RestartDecision(restart=True, reason=f"the command failed, {signs[last.progress]}")
    if lost_nodes:
        return RestartDecision(restart=True, reason=f"what ran on {lost_nodes} is gone without a word")
    if last.resumed_from and before:
        reason = f"{last.resumed_from} could not be resumed from: starts again from {before}"
        return RestartDecision(restart=True, reason=reason, leaves_out=True)
    tried = list(dict.fromkeys(end.resumed_from for end in reversed(failures) if end.resumed_from))
    reason = "the command saved no new checkpoint before it failed"
    if len(tried) > 1:
        reason = f"neither {', '.join(tried[:-1])} nor {tried[-1]} could be resumed from"
    return RestartDecision(restart=False, reason=reason)


def _failures_without_progress(attempts: Sequence[AttemptEnd]) -> Iterator[AttemptEnd]:
    """Yield the failed attempts since the run last came further, the latest first."""
    for end in reversed(attempts):
        if end.cause is StopCause.FAILED and end.progress in (Progress.SAVE, Progress.WEIGHTS, Progress.NONE):
            yield end
        elif end.progress is not None:
            return
