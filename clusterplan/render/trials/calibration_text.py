"""What probes of a job showed: its estimate before and after, and the probes themselves."""

from collections.abc import Sequence
from typing import Any

from ...cluster_profiles.units import format_duration, format_significant, plural
from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.shapes import Verdicts
from ...estimator.job.shape import Shape
from ...estimator.ranges import Range
from ...launcher.calibration.probe import Probe, ProbeEnd, StopReason
from ...launcher.runs.state import State
from ...launcher.submission.request import request_of
from ..estimate.as_dict import estimate_as_dict
from ..estimate.text import NEVER, UNKNOWN
from ..layout import Page

_NO_BOUNDS = Verdicts(None, None)


def write_calibration(
    page: Page,
    before: Estimate,
    after: Estimate,
    probes: Sequence[Probe],
    budget_gpu_s: float,
    reason: StopReason,
) -> None:
    """Write the estimate before and after the probes, a row for each probe, and why there are no more."""
    page.table(
        ("", "before", "after"),
        [
            (name, _told(cell(before)), _told(cell(after)))
            for name, cell in (
                ("time", lambda e: _range(e.clock.total)),
                ("step", lambda e: _range(e.step_time.seconds)),
                ("GPU-hours", lambda e: _numbers(e.gpu_hours)),
                ("ask Slurm", _request),
                ("source", lambda e: str(e.step_time.source.kind)),
            )
        ],
    )
    page.line()
    if probes:
        page.table(
            ("probe", "GPUs", "micro-batch", "partition", "steps", "step time", "GPU time", ""),
            [
                (
                    probe.run,
                    f"{probe.shape.gpus:,}",
                    f"{probe.shape.batch_size:,}",
                    probe.partition or "",
                    f"{probe.steps:,}",
                    step_time_text(probe),
                    format_duration(probe.gpu_s),
                    _end_text(probe),
                )
                for probe in probes
            ],
            right=(1, 2, 4, 5, 6),
        )
        page.line()
    used_s = sum(probe.gpu_s for probe in probes)
    page.sentence(
        f"{format_duration(used_s)} of {format_duration(budget_gpu_s)} GPU time used (--budget); "
        f"{stop_text(reason, probes)}"
    )


def stop_text(reason: StopReason, probes: Sequence[Probe]) -> str:
    """Return why no more probes were run, and what helps where one failed."""
    last = probes[-1] if probes else None
    if reason is StopReason.INTERRUPTED:
        return "stopped by you: what was measured is kept"
    if reason is StopReason.FAILED and last:
        return f"the last probe failed: {last.reason}; `clusterplan logs {last.run}` shows what it printed"
    if reason is StopReason.NO_PROGRESS and last:
        return (
            f"{last.run} reported no step in {format_duration(last.gpu_s / last.shape.gpus)}, so its speed is not known: write `for batch in track(loader):` around its "
            "loop (from clusterplan import track), or let it print what its framework prints of its steps"
        )
    if reason is StopReason.BUDGET:
        return "no shape is left that the rest of the budget holds"
    return (
        "the step time is known well enough"
        if probes
        else "it was known well enough before: no probe was run"
    )


def step_time_text(probe: Probe) -> str:
    """Return the step time of a probe and how far it may be off; empty if it is not known."""
    if probe.step_time_s is None:
        return ""
    error = "" if probe.error is None else f" ±{format_significant(100 * probe.error, 2)}%"
    return f"{format_duration(probe.step_time_s)}{error}"


def describe_shape(shape: Shape) -> str:
    """Return the shape of a probe in words."""
    nodes = f" of {plural(shape.nodes, 'node')}" if shape.nodes > 1 else ""
    return f"{plural(shape.gpus, 'GPU')}{nodes}, micro-batch {shape.batch_size:,}"


def describe_probe(probe: Probe) -> str:
    """Return how a probe ended, in one line."""
    speed = step_time_text(probe)
    shown = f"{speed} per step" if speed else f"{plural(probe.steps, 'step')}, too few to tell its speed"
    parts = [
        f"{shown} after {format_duration(probe.gpu_s / probe.shape.gpus)}",
        _end_text(probe),
        probe.reason,
    ]
    return ", ".join(part for part in parts if part)


def _end_text(probe: Probe) -> str:
    if probe.end is ProbeEnd.FAILED:
        return "out of memory" if probe.state is State.OUT_OF_MEMORY else "failed"
    return {ProbeEnd.TIME_OVER: "its time was over", ProbeEnd.ENDED: "ended by itself"}.get(probe.end, "")


def calibration_as_dict(
    before: Estimate,
    after: Estimate,
    probes: Sequence[Probe],
    budget_gpu_s: float,
    reason: StopReason,
) -> dict[str, Any]:
    """Return the keys of `calibrate --json`."""
    return {
        "before": estimate_as_dict(before, _NO_BOUNDS),
        "after": estimate_as_dict(after, _NO_BOUNDS),
        "probes": [_probe_as_dict(probe) for probe in probes],
        "gpu_time_s": sum(probe.gpu_s for probe in probes),
        "budget_s": budget_gpu_s,
        "stopped": str(reason),
    }


def _probe_as_dict(probe: Probe) -> dict[str, Any]:
    return {
        "run": probe.run,
        "folder": str(probe.folder),
        "gpus": probe.shape.gpus,
        "nodes": probe.shape.nodes,
        "batch_size": probe.shape.batch_size,
        "partition": probe.partition,
        "state": probe.state,
        "end": str(probe.end),
        "steps": probe.steps,
        "step_time_s": probe.step_time_s,
        "step_time_error": probe.error,
        "gpu_time_s": probe.gpu_s,
        "reason": probe.reason or None,
    }


def _told(text: str) -> str:
    return text or UNKNOWN


def _range(seconds: Range | None) -> str:
    if seconds is None:
        return ""
    return (
        f"{format_duration(seconds.p50)} ({format_duration(seconds.p10)} to {format_duration(seconds.p90)})"
    )


def _numbers(amount: Range | None) -> str:
    if amount is None:
        return ""
    return f"{format_significant(amount.p50)} ({format_significant(amount.p10)} to {format_significant(amount.p90)})"


def _request(estimate: Estimate) -> str:
    request = request_of(estimate)
    if request.time is None:
        return NEVER if estimate.step_time.seconds else ""
    jobs = f"{request.segments} x " if request.segments and request.segments > 1 else ""
    return f"{jobs}--time={request.time}"
