"""The check that a stage has to pass: what has to hold, and whether it did.  Pure.

A node runs this at the end of a stage, so it needs no model of a job.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ...cluster_profiles.units import format_duration, format_significant
from ..measurements.steady_state import steady_state
from ..measurements.training_loop import LoopLine, LoopSteps

LOSS_FALL = 0.02  # of the loss at the beginning, at least; our judgement: noise falls by less, a run that learns by more
STEP_SLACK = 1.1  # times the P90 of the step time: a walltime of the P95 has as much to spare
FULL_SHARE = 0.95  # of a GPU's memory, from which on a longer sample may be too much
_PARTS = 5  # the first and the last fifth of the losses are compared
_LEAST_LOSSES = 10
_REBOUND = 0.5  # of what the loss had fallen by; a run that loses more diverges
_GIB = 2**30


@dataclass(frozen=True)
class StageCheck:
    """What has to hold at the end of a stage; None is not checked.

    `loss_fall` is a share of the loss at the beginning, and `step_time_s` the longest mean step.  The peak of a GPU's
    memory may be up to `memory_bytes`, the P90 of the estimate, and above it as long as it leaves room in the
    `capacity_bytes` of the GPU.
    """

    loss_fall: float | None = LOSS_FALL
    step_time_s: float | None = None
    memory_bytes: float | None = None
    capacity_bytes: float | None = None

    @property
    def text(self) -> str:
        """Return what has to hold, in one line.

        >>> StageCheck(step_time_s=0.5, capacity_bytes=80e9).text
        'loss falls by 2 % and does not diverge, at most 0.5s per step, at most 70.8 GiB per GPU'
        """
        parts = []
        if self.loss_fall is not None:
            parts.append(f"loss falls by {100 * self.loss_fall:g} % and does not diverge")
        if self.step_time_s is not None:
            parts.append(f"at most {format_duration(self.step_time_s)} per step")
        if (most := self.most_memory_bytes) is not None:
            parts.append(f"at most {format_significant(most / _GIB)} GiB per GPU")
        return ", ".join(parts)

    @property
    def most_memory_bytes(self) -> float | None:
        """Return the most memory that a GPU may use; None if the GPU's is not known."""
        if self.capacity_bytes is None:
            return None
        return max(self.memory_bytes or 0.0, FULL_SHARE * self.capacity_bytes)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the check that `as_dict` wrote; unknown keys are left out."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def as_dict(self) -> dict[str, Any]:
        """Return the check as run.json holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """One part of a check: its name, what was found in words, and whether it passed; None could not be told."""

    name: str
    passed: bool | None
    text: str


@dataclass(frozen=True)
class StageVerdict:
    """The outcome of a check: it fails if one of its `findings` does."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Return whether nothing failed."""
        return all(finding.passed is not False for finding in self.findings)

    @property
    def reason(self) -> str:
        """Return what failed, in one line."""
        return "; ".join(finding.text for finding in self.findings if finding.passed is False)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as check.json holds it."""
        return {"passed": self.passed, "findings": [asdict(finding) for finding in self.findings]}


def judge_stage(
    check: StageCheck, lines: Sequence[LoopLine], memory_peak_bytes: float | None
) -> StageVerdict:
    """Return the verdict on a stage by the lines of its training loop and the peak memory of its fullest GPU.

    >>> falls = [LoopSteps(float(i), i, 1, 1.0, 1.0, None, 3 - i / 10) for i in range(1, 21)]
    >>> verdict = judge_stage(StageCheck(step_time_s=0.9), falls, None)
    >>> verdict.passed, verdict.reason
    (False, 'a step takes 1s, more than 0.9s')
    """
    findings = [
        *_judge_loss(check, lines),
        *_judge_speed(check, lines),
        *_judge_memory(check, memory_peak_bytes),
    ]
    return StageVerdict(tuple(findings))


def _judge_loss(check: StageCheck, lines: Sequence[LoopLine]) -> Iterator[Finding]:
    """Compare the mean of the last fifth of the losses with that of the first, and with the lowest fifth between."""
    if check.loss_fall is None:
        return
    losses = [line.loss for line in lines if isinstance(line, LoopSteps) and line.loss is not None]
    if any(not math.isfinite(loss) for loss in losses[-max(len(losses) // _PARTS, 1) :]):
        yield Finding("loss", passed=False, text=f"the loss diverged: it is {losses[-1]:g}")
        return
    losses = [loss for loss in losses if math.isfinite(loss)]
    if len(losses) < _LEAST_LOSSES:
        text = f"{len(losses):,} of the {_LEAST_LOSSES} losses that it takes to tell were reported"
        yield Finding("loss", passed=None, text=text)
        return
    size = len(losses) // _PARTS
    means = [sum(losses[i : i + size]) / size for i in range(len(losses) - size + 1)]
    first, last, lowest = means[0], means[-1], min(means)
    course = f"from {format_significant(first)} to {format_significant(last)}"
    fell, fall = first - lowest, check.loss_fall * abs(first)
    if fell >= fall and last - lowest > _REBOUND * fell:
        text = f"the loss diverges: it fell to {format_significant(lowest)}, and ends at {format_significant(last)}"
        yield Finding("loss", passed=False, text=text)
    elif first - last < fall:
        text = f"the loss went {course}, and did not fall by {100 * check.loss_fall:g} %"
        yield Finding("loss", passed=False, text=text)
    else:
        yield Finding("loss", passed=True, text=f"the loss fell {course}")


def _judge_speed(check: StageCheck, lines: Sequence[LoopLine]) -> Iterator[Finding]:
    if check.step_time_s is None:
        return
    steady = steady_state(lines)
    if steady is None:
        yield Finding("speed", passed=None, text="too few steps were reported to tell the speed")
        return
    passed = steady.step_time_s <= check.step_time_s
    limit, mean = format_duration(check.step_time_s), format_duration(steady.step_time_s)
    text = f"a step takes {mean}, within {limit}" if passed else f"a step takes {mean}, more than {limit}"
    yield Finding("speed", passed=passed, text=text)


def _judge_memory(check: StageCheck, peak_bytes: float | None) -> Iterator[Finding]:
    most = check.most_memory_bytes
    if most is None:
        return
    if peak_bytes is None:
        yield Finding("memory", passed=None, text="no memory was sampled")
        return
    passed = peak_bytes <= most
    used, limit = (f"{format_significant(value / _GIB)} GiB" for value in (peak_bytes, most))
    text = f"a GPU used {used}, within {limit}" if passed else f"a GPU used {used}, more than {limit}"
    yield Finding("memory", passed=passed, text=text)
