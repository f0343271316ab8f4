"""The course of a calibration: probe after probe, each planned by what the ones before it showed."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ...cluster_profiles.units import format_duration
from ...errors import ClusterplanError, InputError, JobUnknown, SubmissionError
from ...estimator.estimate.estimate import Estimate, estimate_workload
from ...estimator.job.shape import Shape
from ...launcher.calibration.plan import NARROW, ProbePlan, check_calibration, is_shape_of_job, plan_probe
from ...launcher.calibration.probe import Probe, ProbeEnd, Speed, StopReason
from ...launcher.calibration.watch import remove_checkpoints, stop_probe, watch_probe
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.state import State
from ...launcher.submission.decide import SubmitOptions
from ...launcher.submission.destination import choose_destination, choose_executor
from ...launcher.submission.submission import PreparedSubmission, SubmittedRun
from ...render.trials.calibration_text import describe_probe, describe_shape
from ..job import with_site_defaults
from ..measurements import find_measurements
from ..submission import check_refusals, prepare_submission, submit_prepared
from ..submit import JobToSubmit

BUDGET_S = 3600.0  # of GPU time
WITHIN = 0.05
_OTHER_GPUS = ("one-process", "node-alone")  # of PROBLEM_CODES: the command states GPUs or nodes of its own
_PATIENCE_S = 10.0  # with the queue, before it is said why a probe waits
TellCallback = Callable[[str], None]


@dataclass(frozen=True)
class CalibrationOptions:
    """How a job is calibrated: the options of `calibrate`.

    `budget_gpu_s` is in seconds x GPUs, `within` the precision of a step time, as a share of it.  `partition` is the one
    for probes; None chooses it.  `force` submits what checks refuse.
    """

    executor: str | None = None
    budget_gpu_s: float = BUDGET_S
    within: float = WITHIN
    partition: str | None = None
    force: bool = False


@dataclass(frozen=True)
class ReadyProbe:
    """A probe that is planned and prepared, and of which nothing is written yet."""

    plan: ProbePlan
    prepared: PreparedSubmission


class Calibrator:
    """The probes of one job so far, and what is known of its speed."""

    def __init__(self, job: JobToSubmit, options: CalibrationOptions, *, dry_run: bool = False) -> None:
        """Look at the job and where it lands.  Raises InputError if no probe can tell anything."""
        if not job.is_sized:
            raise InputError(
                "the size of the job is not known, so nothing would be estimated: give --samples and --batch-size, or "
                "--max-steps, and --gpus"
            )
        check_calibration(job.workload)
        workload = job.workload
        self._needs_gpus, self._options, self._dry_run = job.needs_gpus, options, dry_run
        self._executor = choose_executor(options.executor, None, workload, dry_run=dry_run)
        if self._executor == "slurm":
            workload = with_site_defaults(workload, has_cluster=True)
        self._workload = workload
        destination = choose_destination(
            self._executor, workload, os.environ, needs_gpus=job.needs_gpus, dry_run=dry_run
        )
        self._profile = destination.profile
        self._measurements, self.remarks = find_measurements(workload.model)
        self.probes = list[Probe]()
        self._partition = options.partition
        self._refused = list[Shape]()
        self._last_refused: ReadyProbe | None = None

    def estimate(self) -> Estimate:
        """Return the estimate of the job by what is known so far."""
        return estimate_workload(self._workload, self._profile, self._measurements, datetime.now(UTC))

    def is_narrow(self) -> bool:
        """Return whether the step time of the job is known well enough, so that another probe is not worth its cost."""
        step = self.estimate().step_time.seconds
        return step is not None and step.p90 < NARROW * step.p10

    def next_probe(self) -> ReadyProbe | None:
        """Return the probe to run next; None if the job is known, or the rest of the budget holds none.

        A shape that the checks refuse, as of a command that states its own number of GPUs, is left out; the job's own is
        refused when it is run.
        """
        while not self.is_narrow():
            plan = plan_probe(
                self.estimate(),
                self._measurements,
                self._profile,
                left_gpu_s=self._options.budget_gpu_s - sum(probe.gpu_s for probe in self.probes),
                partition=self._partition,
                without=[*self._refused, *(probe.shape for probe in self.probes)],
            )
            if plan is None:
                return None if self.probes else self._last_refused
            ready = ReadyProbe(plan, self._prepare(plan))
            if not self._is_unfit(ready.prepared):
                return ready
            if self._leave_partition(plan):
                continue
            if plan.is_of_job:
                return ready
            self._refused.append(plan.shape)
            self._last_refused = ready
        return None

    def _is_unfit(self, prepared: PreparedSubmission) -> bool:
        """Whether the checks refuse a probe, or its command would not use the GPUs of its shape."""
        return any(
            problem.code in _OTHER_GPUS or (problem.refuses and not self._options.force)
            for problem in prepared.problems
        )

    def _leave_partition(self, plan: ProbePlan) -> bool:
        """Let all further probes run on the job's partition, if this one was to run on another."""
        if plan.is_elsewhere:
            self._partition = self.estimate().placement.partition_name
        return plan.is_elsewhere

    def _prepare(self, plan: ProbePlan) -> PreparedSubmission:
        """Decide how a probe is submitted: it is killed at once when it is stopped, because nothing goes on from it."""
        prepared = prepare_submission(
            plan.workload,
            SubmitOptions(plan.most_s, requeue=False),
            executor=self._executor,
            measurements=self._measurements,
            needs_gpus=self._needs_gpus,
            dry_run=self._dry_run,
        )
        return replace(prepared, decision=replace(prepared.decision, stop_signal="SIGKILL"))

    def run(self, ready: ReadyProbe, tell: TellCallback) -> None:
        """Run a probe to its end; Ctrl-C stops it and is raised once that is done.

        One that Slurm refuses on another partition than the job's is left for the next to run there.  Raises InputError
        if the checks refuse it, and else as `submit` does.
        """
        plan, prepared = ready.plan, ready.prepared
        check_refusals(prepared, force=self._options.force)
        partition = prepared.decision.request.partition
        try:
            run = submit_prepared(prepared, force=self._options.force, facts={"probe": True}).runs[0]
        except SubmissionError as error:
            if isinstance(error, JobUnknown) or not self._leave_partition(plan):
                raise
            tell(f"partition {partition} takes no probe: {error}")
            return
        where = f", partition {partition}" if partition else ""
        tell(f"{run.run}: {describe_shape(plan.shape)}{where}, for {format_duration(plan.most_s)} at most")
        last, told, began_s = Speed(0, None, None), "", time.monotonic()

        def look(status: RunStatus, speed: Speed) -> None:
            nonlocal last, told
            last = speed
            waits = status.state.state is State.PENDING and time.monotonic() - began_s > _PATIENCE_S
            if waits and status.state.reason != told:
                told = status.state.reason
                tell(f"{run.run} waits: {told}")

        try:
            end, speed, status = watch_probe(
                run.folder, self._executor, plan.most_s, self._options.within, look
            )
        except BaseException:
            with suppress(ClusterplanError):
                self._keep(run, plan, ProbeEnd.TIME_OVER, last, stop_probe(run.folder, self._executor))
            raise
        probe = self._keep(run, plan, end, speed, status)
        tell(f"{run.run}: {describe_probe(probe)}")

    def reason_to_stop(self) -> StopReason | None:
        """Return why no further probe makes sense after the last one; None if one may."""
        if not self.probes:
            return None
        probe = self.probes[-1]
        if probe.end is ProbeEnd.FAILED:
            # Sharded states may need all GPUs of the job.
            is_smaller = not is_shape_of_job(self._workload, probe.shape)
            return None if probe.state is State.OUT_OF_MEMORY and is_smaller else StopReason.FAILED
        return None if probe.steps else StopReason.NO_PROGRESS

    def _keep(
        self, run: SubmittedRun, plan: ProbePlan, end: ProbeEnd, speed: Speed, status: RunStatus
    ) -> Probe:
        """Keep a probe that has ended, and take what it measured into the history."""
        probe = Probe(
            run=run.run,
            folder=run.folder,
            shape=plan.shape,
            partition=plan.workload.cluster.partition,
            state=status.state.state,
            end=end,
            gpu_s=(status.elapsed_s or 0.0) * plan.shape.gpus,
            steps=speed.steps,
            step_time_s=speed.step_time_s,
            error=speed.error,
            reason=status.state.reason if end is ProbeEnd.FAILED else "",
        )
        self.probes.append(probe)
        self._read_history()
        if end is not ProbeEnd.FAILED and status.state.final:
            remove_checkpoints(run.folder)
        return probe

    def _read_history(self) -> None:
        self._measurements, self.remarks = find_measurements(self._workload.model)
