"""Plan a campaign from Python, as `clusterplan schedule` does."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...cluster_profiles.profile import ClusterProfile
from ...errors import InputError
from ...estimator.campaign.campaign import Mode, Objective
from ...estimator.campaign.changes import Change, find_changes
from ...estimator.campaign.definition.shapes import JobShape
from ...estimator.campaign.plan import Plan, make_plan
from ...estimator.campaign.score import objective_value
from ...estimator.measurements.measurement import Measurement
from ...render.campaign.as_dict import plan_as_dict
from ...render.campaign.svg import draw_gantt
from ...render.campaign.text import write_plan
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from . import solver
from .build import build_campaign
from .definition import Definition, Source, read_definition
from .moment import parse_within_s

if TYPE_CHECKING:
    from .progress import CampaignProgress

Better = Callable[[Plan], None]


@dataclass(frozen=True, repr=False)
class CampaignPlan(Result):
    """Who gets which shape when: `plan`, and `changes` that would help jobs that miss their deadline.

    `plan.planned` has a start, a mode and nodes for each job, in order of start; `plan.ends_s` the P10, P50 and P90 of each
    end in seconds from `plan.campaign.now_s`; `plan.gap` how far the objective may be above the best.  `shape_of` gives
    the estimate behind a planned job.
    """

    plan: Plan
    definition: Definition
    shapes: Mapping[tuple[str, Mode], JobShape]
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    asked_queue: bool = False

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return sentences on what could not be read, or was planned without."""
        return self.notes

    def shape_of(self, job: str) -> JobShape:
        """Return the shape of a planned job, with its estimate: batch, accumulation, Slurm request."""
        mode = next(each.mode for each in self.plan.planned if each.job == job)
        return self.shapes[job, mode]

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan schedule --json`; docs/reference/json.md describes the keys."""
        files = {name: training.file for name, training in self.definition.trainings.items()}
        return plan_as_dict(self.plan, self.shapes, self.changes, files)

    def write(self, page: Page) -> None:
        """Write the answer, a row for each job, the jobs over time, the use of the caps, and what would help late jobs."""
        write_plan(page, self.plan, self.shapes, self.changes)

    def submit(self, *, executor: str | None = None, force: bool = False) -> "CampaignProgress":
        """Submit every job of the plan, and write the campaign down beside the list of runs.

        Each is a run, in the shape of the plan, and waits for the jobs that come before it on its GPUs.  `executor` and `force`
        are those of `submit`.  Raises InputError if the campaign was submitted before, or a check refuses a job: nothing is
        submitted then.
        """
        from .launch import submit_plan  # noqa: PLC0415  the launcher, for a plan that is only looked at

        return submit_plan(self, executor=executor, force=force, leaves_others=self.asked_queue)

    def svg(self) -> str:
        """Return the jobs over time as a picture."""
        return draw_gantt(self.plan)


def schedule(
    campaign: Source,
    *,
    caps: Sequence[str] = (),
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    objective: str | None = None,
    deadline: str | None = None,
    within: str = "30s",
    priors: bool = False,
    queue: bool = False,
    measurements: Sequence[Measurement] | None = None,
    now: datetime | None = None,
    progress: ProgressCallback | None = None,
    better: Callable[[float, float | None], None] | None = None,
) -> CampaignPlan:
    """Plan many jobs on few GPUs: for each a shape and a start, so that deadlines hold, then the objective.

    `campaign` is the path of a campaign file, or several job files or `Workload`s.  `caps` are the GPUs that may be held at
    once, such as "16" or "gpu=16" for a partition; `deadline` holds for jobs without one; `objective` is "end",
    "gpu-hours" or "completion": each replaces what the file says.  Durations are those of `estimate`: P50 for the plan,
    P90 for deadlines.  With `queue`, Slurm is asked for its queue: running jobs keep their GPUs until their limits, and pending
    ones come first.  `priors` lets jobs that nobody has measured be planned at the P90 of a guess from their size.

    OR-tools CP-SAT, where it is installed, makes the plan better for at most `within`; "0s" leaves it out.  `better` is
    called with the objective of each better plan and with what no plan is below.  Ctrl-C gives the best plan so far.

    Raises InputError for a campaign that cannot be planned, NotEnoughHistory if the speed of a job is not known, and
    SlurmUnavailable if the queue cannot be read.

    Examples:
        >>> from clusterplan import Workload
        >>> jobs = [Workload.of(name=n, samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3) for n in ("a", "b")]
        >>> answer = schedule(jobs, caps=["8"], within="0s", measurements=[])
        >>> [(each.job, each.mode.gpus) for each in answer.plan.planned]
        [('a', 8), ('b', 8)]
    """
    now = now or datetime.now(UTC)
    within_s = parse_within_s(within)
    definition = read_definition(campaign, caps=caps, profile=profile)
    built = build_campaign(
        definition,
        now,
        objective=_parse_objective(objective),
        deadline=deadline,
        measurements=measurements,
        use_priors=priors,
        progress=progress,
    )
    if queue:
        from .queue import leave_to_others  # noqa: PLC0415  questions to Slurm, where nobody asks them

        built = replace(built, campaign=leave_to_others(built.campaign, definition))
    refine = solver.make_refine(within_s) if within_s and solver.is_installed() else None
    plan = make_plan(
        built.campaign,
        refine,
        (lambda solution, bound: better(objective_value(built.campaign, solution.planned), bound))
        if better
        else None,
    )
    notes = [*built.remarks]
    if within_s and refine is None and plan.gap > _WORTH_SAYING:
        notes.append(solver.NOT_INSTALLED)
    changes = find_changes(plan) if plan.late else ()
    return CampaignPlan(plan, definition, built.shapes, changes, tuple(notes), queue)


_WORTH_SAYING = 0.01  # of the objective


def _parse_objective(text: str | None) -> Objective | None:
    if text is not None and text not in list(Objective):
        raise InputError(f"--objective: {text!r} is not one of {', '.join(Objective)}")
    return Objective(text) if text else None
