"""Measure a job that nobody has measured, by short probes of the job itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...cluster_profiles.units import parse_duration_s
from ...errors import EstimateError, InputError
from ...estimator.estimate.estimate import Estimate
from ...launcher.calibration.probe import Probe, StopReason
from ...render.layout import Page
from ...render.trials import calibration_text
from ..job import Job
from ..result import Result
from ..submit import JobToSubmit, read_job_to_submit, run_tables
from .calibrator import BUDGET_S, WITHIN, CalibrationOptions, Calibrator, TellCallback


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """What probes of a job showed: the estimate `before` and `after` them, and each of the `probes`.

    `gpu_s` of the budget, `budget_gpu_s`, were used; both are seconds x GPUs.  `reason` is why no more probes were run.
    """

    before: Estimate
    after: Estimate
    probes: tuple[Probe, ...]
    budget_gpu_s: float
    reason: StopReason
    history_remarks: tuple[str, ...] = ()

    @property
    def gpu_s(self) -> float:
        """Return the GPU time that all probes took, in seconds."""
        return sum(probe.gpu_s for probe in self.probes)

    @property
    def succeeded(self) -> bool:
        """Return whether the probes ended as they should."""
        return self.reason in (StopReason.NARROW, StopReason.BUDGET)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the remarks on the history."""
        return self.history_remarks

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan calibrate --json`; docs/reference/json.md describes the keys."""
        return calibration_text.calibration_as_dict(
            self.before, self.after, self.probes, self.budget_gpu_s, self.reason
        )

    def write(self, page: Page) -> None:
        """Write the estimate before and after, each probe, and why there are no more."""
        calibration_text.write_calibration(
            page, self.before, self.after, self.probes, self.budget_gpu_s, self.reason
        )


def calibrate(
    job: Job | None = None,
    command: Sequence[object] = (),
    *,
    executor: str | None = None,
    budget: str | float = BUDGET_S,
    within: str | float = WITHIN,
    partition: str | None = None,
    slurm: Mapping[str, str | int | bool] | None = None,
    bootstrap: str | None = None,
    container: str | None = None,
    force: bool = False,
    tell: TellCallback | None = None,
    **flags: Any,
) -> Calibration:
    """Measure a job by short probes of itself, and return its estimate before and after; this takes minutes.

    Each probe runs the job in the shape that tells most per GPU-second, writes into an `{output}` of its own, and is
    stopped once its step time is known to `within`, a share of it, such as "5%".  `budget` is the GPU time of all
    probes, such as "1h" for 60 minutes on one GPU or 15 on four.  `partition` is the one for probes, by default that
    with the shortest limit that fits.  The other arguments are those of `submit`; `tell` is called with a line on each
    step.  Ctrl-C stops the probe that runs; what was measured is kept.

    Raises InputError if no probe can tell anything, or if the checks refuse the first one, and else as `submit` does.

    Examples:
        >>> calibrate(samples=1_000, batch_size=8, gpus=1, command=["python", "train.py"])
        Traceback (most recent call last):
        clusterplan.errors.InputError: the job has no model, by whose name its measurements are kept: give --model NAME, or model in the job file
    """
    tables = run_tables(slurm or {}, bootstrap, (), container)
    to_submit = read_job_to_submit(job, command, flags, tables)
    options = CalibrationOptions(
        executor, parse_budget_s(budget), parse_within(within), partition, force=force
    )
    calibration = calibrate_job(to_submit, options, tell)
    if calibration.reason is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    return calibration


def parse_budget_s(budget: str | float) -> float:
    """Return a budget of GPU time in seconds.  Raises InputError."""
    try:
        seconds = parse_duration_s(budget)
    except ValueError as error:
        raise InputError(f"--budget: {budget!r} {error}; it is GPU time, such as 30m") from None
    if seconds < 60:  # noqa: PLR2004  seconds
        raise InputError(
            f"--budget: {budget!r} is less than a minute of one GPU: give more GPU time, such as 30m"
        )
    return seconds


def parse_within(within: str | float) -> float:
    """Return a precision as a share, from "5%" or 0.05.  Raises InputError."""
    text = str(within).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise InputError(f"--within: {within!r} is not a share such as 5%")
    return share


def calibrate_job(
    job: JobToSubmit, options: CalibrationOptions, tell: TellCallback | None = None
) -> Calibration:
    """Return the calibration of a job; Ctrl-C is a reason to stop, and is not raised.

    Raises as `calibrate` does.
    """
    tell = tell or (lambda _: None)
    calibrator = Calibrator(job, options)
    before = calibrator.estimate()
    try:
        while ready := calibrator.next_probe():
            calibrator.run(ready, tell)
            if stop := calibrator.reason_to_stop():
                reason = stop
                break
        else:
            reason = StopReason.NARROW if calibrator.is_narrow() else StopReason.BUDGET
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    return Calibration(
        before,
        calibrator.estimate(),
        tuple(calibrator.probes),
        options.budget_gpu_s,
        reason,
        calibrator.remarks,
    )


def calibrate_before(
    job: JobToSubmit,
    executor: str | None,
    *,
    force: bool,
    sweep: bool = False,
    tell: TellCallback | None = None,
) -> Calibration:
    """Calibrate a job that is to be submitted then.

    Raises EstimateError unless its probes ended as they should, KeyboardInterrupt, and else as `calibrate` does.
    """
    if sweep:
        raise InputError(
            "--calibrate-first measures one run: leave out --sweep, or calibrate one of its runs before"
        )
    calibration = calibrate_job(job, CalibrationOptions(executor, force=force), tell)
    if calibration.reason is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    if not calibration.succeeded:
        why = calibration_text.stop_text(calibration.reason, calibration.probes)
        raise EstimateError(f"{why}; nothing is submitted")
    return calibration
