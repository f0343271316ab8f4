"""A plan carried out: jobs cancelled and submitted through the ordinary way, each written down before and after."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import ClusterplanError, InputError
from ...estimator.campaign.definition.shapes import JobShape
from ...estimator.campaign.launching.actions import Action, Booking, Do
from ...estimator.job.workload import Workload
from ...estimator.measurements.measurement import Measurement
from ...launcher.campaigns.happened import PLANNED_ANEW
from ...launcher.campaigns.record import (
    CampaignJobRecord,
    CampaignRecord,
    PlannedRecord,
    write_campaign_record,
)
from ...launcher.run_folder.job_log import read_jobs
from ...launcher.run_folder.stages.order import RunOrder
from ...launcher.runs.cancel import cancel_runs
from ...launcher.submission.submission import PreparedSubmission
from ..measurements import find_measurements
from ..submission import check_refusals, prepare_submission, submit_prepared
from .definition import Definition


@dataclass
class Desk:
    """Where jobs of one campaign are handed in: its record in `folder`, which is replaced after each."""

    folder: Path
    record: CampaignRecord
    definition: Definition
    shapes: Mapping[str, JobShape]
    force: bool = False
    measurements: Sequence[Measurement] | None = None
    remarks: list[str] = field(default_factory=list)

    def carry_out(self, actions: Sequence[Action], bookings: Mapping[str, Booking]) -> None:
        """Do what was decided: everything is checked before anything is cancelled or submitted.

        Raises as `submit` does; jobs that were submitted before stay, and the record has them.
        """
        to_submit = [action for action in actions if action.do is not Do.CANCEL]
        prepared = {action.job: self._prepare(action.job) for action in to_submit}
        for name, each in prepared.items():
            with _named(name):
                check_refusals(each, force=self.force)
        self._save()
        jobs = self.record.by_name
        to_cancel = [jobs[action.job].folder for action in actions if action.do is not Do.SUBMIT]
        # Those that wait come before those that they wait for: none may begin because the other was cancelled.
        cancel_runs([folder for folder in reversed(to_cancel) if folder], PLANNED_ANEW)
        for action in to_submit:
            self._submit(prepared[action.job], bookings[action.job])

    def _save(self) -> None:
        write_campaign_record(self.folder, self.record)

    def _prepare(self, name: str) -> PreparedSubmission:
        with _named(name):
            workload = self._workload(name)
            if self.measurements is None:
                measurements, remarks = find_measurements(workload.model)
                self.remarks += [remark for remark in remarks if remark not in self.remarks]
            else:
                measurements = list(self.measurements)
            return prepare_submission(
                workload,
                executor=self.record.executor,
                measurements=measurements,
                cwd=Path(self.record.cwd),
                root=Path(self.record.root),
            )

    def _workload(self, name: str) -> Workload:
        """The job in its planned shape, on the partition and GPU type of its cap; on this machine it is on one node."""
        shape, training = self.shapes[name], self.definition.trainings[name]
        cap, own = self.definition.caps[shape.mode.pool], training.workload.cluster
        there: dict[str, object] = {"profile": None, "partition": None, "nodes": None}
        if self.record.executor == "slurm":
            there = {
                "profile": own.profile or self.definition.file.profile,
                "partition": cap.partition or own.partition,
                "nodes": shape.mode.nodes,
            }
        cluster = own.model_copy(update={**there, "gpu": cap.gpu or own.gpu})
        return shape.estimate.workload.model_copy(update={"cluster": cluster})

    def _submit(self, prepared: PreparedSubmission, booking: Booking) -> None:
        job = self.record.by_name[booking.planned.job]
        turn = booking.turn
        folders = {name: self.record.by_name[name].folder for name in turn.waits_for}
        completed = [folder for name in turn.completed if (folder := folders[name])]
        ended = [folder for name in turn.ended if (folder := folders[name])]
        order = RunOrder(tuple(completed), tuple(ended), turn.begin_s)
        job = replace(
            job,
            planned=PlannedRecord.of(booking.planned),
            completed=turn.completed,
            ended=turn.ended,
            begin_s=turn.begin_s,
            submitting_s=time.time(),
        )
        self.record = self.record.with_job(job)
        self._save()
        facts = {"campaign": {"campaign": self.record.campaign, "job": job.job}, **order.as_facts()}
        with _named(job.job):
            submission = submit_prepared(_in_order(prepared, order), force=self.force, facts=facts)
        self.remarks += [p.text for p in submission.problems if p.text not in self.remarks]
        job = replace(
            job, runs=(*job.runs, str(submission.runs[0].folder)), submitting_s=None, state="pending"
        )
        self.record = self.record.with_job(job)
        self._save()


def _in_order(prepared: PreparedSubmission, order: RunOrder) -> PreparedSubmission:
    """The submission with Slurm's words for its place; what the job file says of these stays beside them."""
    if not prepared.destination.on_slurm:
        return prepared
    request = prepared.decision.request
    further = dict(request.further)
    waits = [str(further["dependency"])] if "dependency" in further else []
    for kind, folders in (("afterok", order.completed), ("afterany", order.ended)):
        ids = [jobs[-1].job for folder in folders if (jobs := read_jobs(folder))]
        waits += [":".join([kind, *ids])] if ids else []
    if waits:
        further |= {"dependency": ",".join(waits), "kill-on-invalid-dep": "yes"}
    if order.begin_s is not None:
        further["begin"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(order.begin_s))
    request = replace(request, further=tuple(further.items()))
    return replace(prepared, decision=replace(prepared.decision, request=request))


class _named:  # noqa: N801  a context
    """Errors of a block begin with the name of the job."""

    def __init__(self, job: str) -> None:
        self._job = job

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InputError):
            raise type(error)(f"job {self._job!r}: {error}") from None
        if isinstance(error, ClusterplanError):
            error.add_note(f"that was job {self._job!r} of the campaign: --submit goes on with it")


def new_job_record(booking: Booking, deadline_s: float | None) -> CampaignJobRecord:
    """Return the record of a job that is new in a campaign."""
    planned = PlannedRecord.of(booking.planned)
    turn = booking.turn
    return CampaignJobRecord(
        booking.planned.job,
        planned,
        planned,
        completed=turn.completed,
        ended=turn.ended,
        begin_s=turn.begin_s,
        deadline_s=deadline_s,
    )


def working_folder() -> str:
    """Return where the jobs of a campaign run: where it was submitted."""
    return os.fspath(Path.cwd())
