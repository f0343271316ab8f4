"""A campaign as a model of CP-SAT: one start per job, one optional interval per mode, one cumulative per pool.

Times are whole units, and everything is rounded down: if all starts, durations and deadlines of a real plan are rounded
down, what came after something else still does, so that the real plan is a solution of the model.  A bound that the solver
proves therefore holds for real plans too.  A solution is only an order and a choice of modes: the list scheduler makes
the plan of it, with exact durations, node by node.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ortools.sat.python import cp_model

from ..bounds import end_bound_s
from ..campaign import Campaign, CampaignJob, Mode, Objective
from ..greedy import Solution
from ..placing.list_schedule import ListScheduler

_UNITS = 2_000  # of the end of the plan that is to be made better
_WEIGHT_GRAIN = 1_000  # weights are whole numbers in the model


@dataclass
class PlanModel:
    """The model of a campaign, and the variables of its jobs; `unit_s` is the length of one unit of time."""

    campaign: Campaign
    unit_s: float
    horizon: int
    model: cp_model.CpModel = field(default_factory=cp_model.CpModel)
    starts: dict[str, cp_model.IntVar] = field(default_factory=dict)
    choices: dict[str, list[tuple[Mode, cp_model.IntVar]]] = field(default_factory=dict)
    misses: dict[str, cp_model.IntVar] = field(default_factory=dict)
    late: dict[str, cp_model.IntVar] = field(default_factory=dict)
    makespan: cp_model.IntVar = None  # type: ignore[assignment]

    @classmethod
    def of(cls, campaign: Campaign, best: Solution) -> "PlanModel":
        """Return the model, with a horizon that holds the best plan so far."""
        end_s = max(each.end_s for each in best.planned) - campaign.now_s
        unit_s = max(end_s / _UNITS, 1.0)
        slack = 1.3 if campaign.objective is Objective.END else 2.0
        latest_s = max([end_s * slack, *(job.earliest_s - campaign.now_s for job in campaign.jobs)])
        made = cls(campaign, unit_s, int(latest_s / unit_s) + 2)
        for job in campaign.to_plan:
            made._add_job(job)
        made._add_order()
        for pool in campaign.pools:
            made._add_pool(pool.name)
        return made

    def units(self, seconds: float) -> int:
        """Return whole units, rounded down; the rounding of a sum of floats is let pass."""
        return int(seconds / self.unit_s + 1e-6)

    def end(self, name: str) -> cp_model.LinearExpr:
        """Return the end of a job as an expression."""
        spans = [literal * self.units(mode.p50_s) for mode, literal in self.choices[name]]
        return self.starts[name] + cp_model.LinearExpr.sum(spans)

    def gpu_units(self, pool: str | None = None) -> cp_model.LinearExpr:
        """Return the GPUs x units of all jobs that are to be planned, on one pool or on all."""
        return cp_model.LinearExpr.sum(
            [
                literal * (mode.gpus * self.units(mode.p50_s))
                for choices in self.choices.values()
                for mode, literal in choices
                if pool in (None, mode.pool)
            ]
        )

    def objectives(self) -> dict[str, cp_model.LinearExpr]:
        """Return what may be made small, by name."""
        job = self.campaign.job
        return {
            "missed": cp_model.LinearExpr.sum(
                [lit * _grains(job[name].weight) for name, lit in self.misses.items()]
            ),
            "late": cp_model.LinearExpr.sum(
                [var * _grains(job[name].weight) for name, var in self.late.items()]
            ),
            Objective.END: self.makespan + 0,
            Objective.GPU_HOURS: self.gpu_units(),
            Objective.COMPLETION: cp_model.LinearExpr.sum(
                [self.end(name) * _grains(job[name].weight) for name in self.starts]
            ),
        }

    def hint(self, best: Solution) -> None:
        """Start the search from a plan: a value for every variable, as hints that are not whole do not help."""
        model = self.model
        model.clear_hints()  # type: ignore[no-untyped-call]
        for each in best.planned:
            if each.job not in self.starts:
                continue
            start = self.units(each.start_s - self.campaign.now_s)
            model.add_hint(self.starts[each.job], start)
            for mode, literal in self.choices[each.job]:
                model.add_hint(literal, mode == each.mode)
            if each.job in self.misses:
                deadline_s = self.campaign.job[each.job].deadline_s or 0.0
                late = max(
                    start + self.units(each.mode.p90_s) - self.units(deadline_s - self.campaign.now_s), 0
                )
                model.add_hint(self.misses[each.job], late > 0)
                model.add_hint(self.late[each.job], late)
        ends = [
            self.units(each.start_s - self.campaign.now_s) + self.units(each.mode.p50_s)
            for each in best.planned
            if each.job in self.starts
        ]
        model.add_hint(self.makespan, max(ends, default=0))

    def read(self, values: Sequence[int]) -> tuple[dict[str, Mode], dict[str, float]]:
        """Return the modes of a solution and its starts in Unix seconds; `values` has the value of each variable."""
        modes = {
            name: next(mode for mode, literal in choices if values[literal.index])
            for name, choices in self.choices.items()
        }
        starts_s = {
            name: self.campaign.now_s + values[start.index] * self.unit_s
            for name, start in self.starts.items()
        }
        return modes, starts_s

    def _add_job(self, job: CampaignJob) -> None:
        model, now_s = self.model, self.campaign.now_s
        earliest = self.units(max(job.earliest_s - now_s, 0.0))
        self.starts[job.name] = model.new_int_var(earliest, self.horizon, f"start {job.name}")
        self.choices[job.name] = [(mode, model.new_bool_var(f"{job.name} {mode.gpus}")) for mode in job.modes]
        model.add_exactly_one(literal for _, literal in self.choices[job.name])
        if job.deadline_s is None:
            return
        deadline = self.units(job.deadline_s - now_s)
        longest = max(self.units(mode.p90_s) for mode in job.modes)
        self.misses[job.name] = model.new_bool_var(f"missed {job.name}")
        self.late[job.name] = model.new_int_var(0, self.horizon + longest, f"late {job.name}")
        spans = [literal * self.units(mode.p90_s) for mode, literal in self.choices[job.name]]
        late_end = self.starts[job.name] + cp_model.LinearExpr.sum(spans)
        model.add(self.late[job.name] >= late_end - deadline)
        model.add(self.late[job.name] == 0).only_enforce_if(~self.misses[job.name])

    def _add_order(self) -> None:
        model, campaign = self.model, self.campaign
        low = self.units(end_bound_s(campaign)) if campaign.objective is Objective.END else 0
        self.makespan = model.new_int_var(min(low, self.horizon), self.horizon, "end of all")
        ends = {each.job: self.units(each.end_s - campaign.now_s) for each in ListScheduler(campaign).started}
        for job in campaign.to_plan:
            model.add(self.makespan >= self.end(job.name))
            for other in job.after:
                model.add(self.starts[job.name] >= (ends[other] if other in ends else self.end(other)))

    def _add_pool(self, name: str) -> None:
        """Add what the GPUs of a pool hold at once, what its whole nodes hold, and the area until the end of all."""
        model, pool = self.model, self.campaign.pool[name]
        intervals: list[cp_model.IntervalVar] = []
        gpus, nodes = list[int](), list[int]()
        largest = max(pool.nodes)
        for job, choices in self.choices.items():
            for mode, literal in choices:
                if mode.pool != name or not (size := self.units(mode.p50_s)):
                    continue
                intervals.append(
                    model.new_optional_fixed_size_interval_var(
                        self.starts[job], size, literal, f"{job} {mode.gpus}"
                    )
                )
                gpus.append(mode.gpus)
                nodes.append(mode.nodes if mode.gpus_per_node == largest else 0)
        taken = 0
        for start, end, busy_gpus, busy_nodes in self._taken(name):
            intervals.append(model.new_fixed_size_interval_var(start, end - start, "taken"))
            gpus.append(busy_gpus)
            nodes.append(busy_nodes)
            taken += busy_gpus * (end - start) if self.campaign.objective is Objective.END else 0
        model.add_cumulative(intervals, gpus, pool.gpus)
        whole = [(interval, count) for interval, count in zip(intervals, nodes, strict=True) if count]
        if whole:
            model.add_cumulative(
                [interval for interval, _ in whole], [count for _, count in whole], pool.nodes.count(largest)
            )
        # Without it bounds stay 8 to 11 % away: the solver does not find it by itself.  Only what is taken before the end
        # of all counts.
        if self.campaign.objective is Objective.END and all(
            end <= self._least_end for _, end, *_ in self._taken(name)
        ):
            model.add(self.gpu_units(name) + taken <= pool.gpus * self.makespan)
        else:
            model.add(self.gpu_units(name) <= pool.gpus * self.makespan)

    @property
    def _least_end(self) -> int:
        return self.units(end_bound_s(self.campaign))

    def _taken(self, name: str) -> list[tuple[int, int, int, int]]:
        """Return what is taken of a pool: from, until, GPUs, and nodes of the largest size that are not free as a whole."""
        lines, now_s = ListScheduler(self.campaign).lines[name], self.campaign.now_s
        times = sorted({max(time_s, now_s) for line in lines for time_s in line.times})
        largest = max(line.gpus for line in lines)
        spans = []
        for begin_s, end_s in zip([now_s, *times], [*times, None], strict=True):
            start = self.units(begin_s - now_s)
            end = self.horizon * 2 if end_s is None else self.units(end_s - now_s)
            if end <= start:
                continue
            free = [min(max(line.free_gpus(begin_s), 0), line.gpus) for line in lines]
            busy = sum(line.gpus - left for line, left in zip(lines, free, strict=True))
            broken = sum(line.gpus == largest > left for line, left in zip(lines, free, strict=True))
            if busy:
                spans.append((start, end, busy, broken))
        return spans


def _grains(weight: float) -> int:
    return max(round(weight * _WEIGHT_GRAIN), 1)
