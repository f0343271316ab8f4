"""Score plans of campaigns: beside what no plan can beat, and beside today's habit.

    python benchmarks/schedule.py [--jobs 10 50 200] [--gpus 32 64] [--seeds 1] [--within 30] [--data FOLDER]
    python benchmarks/schedule.py --scale

Habit is 8 GPUs for every job, first come first served, with EASY backfill.  The fluid bound is the larger of GPU-seconds
over GPUs (each job in its cheapest shape) and the longest job at its fastest.  It lets a job be cheap and fast at once;
`bound` counts for each job only the shapes with which it can end by then, and is as valid.
"""

import argparse
import math
import os
import random
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaign_jobs import TrueJob, read_trace, synthetic
from campaign_loop import Outcome, pool_of, run_by_habit, simulate
from markdown_table import table

from clusterplan.estimator.campaign.bounds import end_bound_s
from clusterplan.estimator.campaign.campaign import Campaign, CampaignJob, Objective
from clusterplan.estimator.campaign.check import find_faults
from clusterplan.estimator.campaign.greedy import Solution, plan_greedily
from clusterplan.estimator.campaign.score import objective_value, total_gpu_hours
from clusterplan.estimator.campaign.solver.refine import Effort, refine

EFFICIENCIES = (0.91, 0.80, 0.65)
_SOONER = 0.75  # of the end by habit
TRACES = ("sia_philly_1", "sia_saturn_1", "rubick_base", "gavel_msr_0e4a51")


@dataclass(frozen=True)
class Case:
    """Jobs on a number of GPUs."""

    name: str
    jobs: Sequence[TrueJob]
    gpus: int

    def campaign(self, objective: Objective = Objective.END) -> Campaign:
        """Return the campaign with known times, all jobs at once."""
        jobs = tuple(CampaignJob(job.name, job.modes(self.gpus)) for job in self.jobs)
        return Campaign(0.0, jobs, (pool_of(self.gpus),), objective=objective)

    def fluid_s(self) -> float:
        """Return the fluid bound on the end of all."""
        modes = [job.modes(self.gpus) for job in self.jobs]
        area_s = sum(min(mode.gpus * mode.p50_s for mode in each) for each in modes) / self.gpus
        return max(area_s, *(min(mode.p50_s for mode in each) for each in modes))

    def least_gpu_hours(self, end_s: float) -> float:
        """Return what no plan is below that ends by then: each job in its cheapest shape that is short enough."""
        modes = [[mode for mode in job.modes(self.gpus) if mode.p50_s <= end_s * 1.001] for job in self.jobs]
        return sum(min((mode.gpu_hours for mode in each), default=math.inf) for each in modes)


def cases(counts: Sequence[int], gpus: Sequence[int], seeds: int, folder: Path | None) -> Iterator[Case]:
    """Yield synthetic cases, and the traces of a folder: the first jobs of each, as many as are wanted."""
    for count in counts:
        for cap in gpus:
            for efficiency in EFFICIENCIES:
                for seed in range(seeds):
                    yield Case(f"synthetic {efficiency:.2f}", synthetic(count, efficiency, seed), cap)
            for name in TRACES if folder else ():
                jobs = read_trace(folder, name)
                if count <= len(jobs) + 60:  # 143 to 184 jobs stand for 200
                    yield Case(name, jobs[:count], cap)


def score_case(case: Case, within_s: float) -> tuple[list[str], list[str]]:
    """Return two rows: the end of all and the GPU-hours, and what becomes of deadlines and estimates."""
    campaign, fluid_s, habit = case.campaign(), case.fluid_s(), run_by_habit(case.jobs, pool_of(case.gpus))
    bound_s = end_bound_s(campaign)
    greedy = plan_greedily(campaign)
    solved = _refine(campaign, greedy, within_s) if within_s else greedy
    for plan in (greedy, solved):
        if faults := find_faults(campaign, plan.planned):
            raise ValueError(f"{case.name}: {faults[0]}")
    least, sooner = (_least_gpu_hours(case, share * habit.end_s) for share in (1.0, _SOONER))
    late_habit, late_plan, deadlines = _deadlines(case, habit)
    loop = simulate(case.jobs, pool_of(case.gpus), seed=1)
    list_end_s, end_s = (objective_value(campaign, each.planned) for each in (greedy, solved))
    hours = total_gpu_hours(solved.planned)
    head = [case.name, str(len(case.jobs)), str(case.gpus)]
    known = [
        *head,
        *(f"{value / fluid_s:.3f}" for value in (bound_s, list_end_s, end_s)),
        *(f"{value / bound_s:.3f}" for value in (list_end_s, end_s)),
        f"{end_s / habit.end_s:.2f}",
        f"{fluid_s / habit.end_s:.2f}",
        f"{hours / habit.gpu_hours:.2f}",
        f"{case.least_gpu_hours(end_s) / habit.gpu_hours:.2f}",
    ]
    other = [
        *head,
        f"{least[0] / habit.gpu_hours:.2f}",
        f"{least[1] / habit.end_s:.2f}",
        f"{sooner[0] / habit.gpu_hours:.2f}",
        f"{sooner[1] / habit.end_s:.2f}",
        f"{case.least_gpu_hours(_SOONER * habit.end_s) / habit.gpu_hours:.2f}",
        f"{late_plan} / {late_habit} of {deadlines}",
        f"{loop.end_s / fluid_s:.3f}",
        f"{loop.end_s / bound_s:.3f}",
        f"{loop.end_s / habit.end_s:.2f}",
        str(loop.plans),
    ]
    return known, other


KNOWN = ("jobs of", "jobs", "GPUs", "bound / fluid", "lists / fluid", "solver / fluid", "lists / bound",
         "solver / bound", "end / habit", "fluid / habit", "GPU-hours / habit", "least for that end")  # fmt: skip
OTHER = ("jobs of", "jobs", "GPUs", "least GPU-hours / habit", "its end / habit",
         "least GPU-hours by 0.75 of habit's end", "its end / habit", "least for that end", "late, plan / habit",
         "with errors: end / fluid", "end / bound", "end / habit", "plans")  # fmt: skip


def _refine(campaign: Campaign, start: Solution, within_s: float) -> Solution:
    effort = Effort(within_s, workers=len(os.sched_getaffinity(0)))
    return refine(campaign, start, effort, lambda *_: None).solution


def _least_gpu_hours(case: Case, end_s: float) -> tuple[float, float]:
    """Return the GPU-hours and the end of the plan with the least GPU-hours that is to end by `end_s`."""
    campaign = case.campaign(Objective.GPU_HOURS)
    jobs = tuple(replace(job, deadline_s=end_s) for job in campaign.jobs)
    solution = plan_greedily(replace(campaign, jobs=jobs))
    return total_gpu_hours(solution.planned), max(each.end_s for each in solution.planned)


def _deadlines(case: Case, habit: Outcome) -> tuple[int, int, int]:
    """Return how many deadlines habit and the plan miss: half of the jobs have one, before the end by habit."""
    rng, campaign = random.Random(7), case.campaign()
    jobs = []
    for job in campaign.jobs:
        fastest_s = min(mode.p50_s for mode in job.modes)
        due_s = max(rng.uniform(0.2, 1.0) * habit.end_s, 1.5 * fastest_s)
        jobs.append(replace(job, deadline_s=due_s if rng.random() < 0.5 else None))
    due = {job.name: job.deadline_s for job in jobs if job.deadline_s is not None}
    late_habit = sum(habit.ends_s[name] > due_s for name, due_s in due.items())
    plan = plan_greedily(replace(campaign, jobs=tuple(jobs)))
    return late_habit, round(plan.score.missed), len(due)


def print_scale() -> None:
    """Print the time and the memory of large campaigns."""
    rows = []
    for count in (200, 1_000):
        for gpus in (32, 64):
            case = Case("synthetic 0.80", synthetic(count, 0.80, 0), gpus)
            campaign, began_s, cpu_s = case.campaign(), time.monotonic(), time.process_time()
            plan = plan_greedily(campaign)
            rows.append(
                [
                    str(count), str(gpus), f"{time.process_time() - cpu_s:.1f}", f"{time.monotonic() - began_s:.1f}",
                    f"{objective_value(campaign, plan.planned) / end_bound_s(campaign):.4f}",
                ]
            )  # fmt: skip
    print("\n".join(table(("jobs", "GPUs", "CPU seconds", "seconds", "lists / bound"), rows)))
    case = Case("synthetic 0.80", synthetic(200, 0.80, 0), 64)
    campaign = case.campaign()
    _refine(campaign, plan_greedily(campaign), 10)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"200 jobs with the solver, 10 s: at most {peak_mb:,.0f} MB of memory")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--gpus", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--within", type=float, default=30.0, help="seconds of the solver; 0 leaves it out")
    parser.add_argument("--data", type=Path, help="folder with campaigns/ and the tables of step times")
    parser.add_argument("--scale", action="store_true", help="time and memory of large campaigns instead")
    options = parser.parse_args()
    if options.scale:
        print_scale()
        return
    known, other = [], []
    for case in cases(options.jobs, options.gpus, options.seeds, options.data):
        first, second = score_case(case, options.within)
        known.append(first)
        other.append(second)
        print(" ".join(first), "|", " ".join(second[3:]), flush=True)
    print("\n".join(["", *table(KNOWN, known), *table(OTHER, other)]))


if __name__ == "__main__":
    main()
