"""A plan made better in stages: the deadlines that are missed, the objective, then GPU-hours; each from the last one's plan."""

from dataclasses import dataclass

from ortools.sat.python import cp_model

from ..campaign import Campaign, Objective
from ..greedy import Solution
from ..placing.list_schedule import ListScheduler, with_modes
from ..placing.packing import pack
from ..plan import Refined, Report
from ..score import score_plan
from .model import PlanModel

_SHARES = {"missed": 0.4, "late": 0.3, "second": 1.0}  # of the time that is left; the objective gets 85 %
_MAIN_SHARE = 0.85
_SEED = 16


@dataclass(frozen=True)
class Effort:
    """How long the solver may search, and with how many threads; `deterministic` seconds are its own count of work.

    Those make it repeatable, with one worker; wall seconds do not.
    """

    within_s: float
    workers: int = 1
    deterministic: float | None = None


def refine(campaign: Campaign, best: Solution, effort: Effort, report: Report) -> Refined:
    """Return the best plan that CP-SAT finds from `best` on; `report` gets each better one, and the bound so far.

    Ctrl-C ends the search, and the best plan so far is returned.
    """
    search = _Search(campaign, best, effort, report)
    return search.run()


class _Search(cp_model.CpSolverSolutionCallback):
    """The stages, and the best plan of all that the solver's solutions became."""

    def __init__(self, campaign: Campaign, best: Solution, effort: Effort, report: Report) -> None:
        super().__init__()
        self.campaign, self.best, self.effort, self.report = campaign, best, effort, report
        self.scheduler = ListScheduler(campaign)
        self.made = PlanModel.of(campaign, best)
        self.left_s, self.left_work = effort.within_s, effort.deterministic
        self.bound: float | None = None
        self.stage: str = ""

    def run(self) -> Refined:
        """Solve the stages one after another."""
        goals, model = self.made.objectives(), self.made.model
        is_proven = False
        if self.made.misses:
            if self.best.score.missed:
                value = self._solve("missed", goals["missed"], _SHARES["missed"])
                if value is not None:
                    model.add(goals["missed"] <= value)
                    value = self._solve("late", goals["late"], _SHARES["late"]) if value else None
                if value is not None:
                    model.add(goals["late"] <= value)
            else:
                for literal in self.made.misses.values():
                    model.add(literal == 0)
        main = goals[self.campaign.objective]
        value = self._solve("main", main, _MAIN_SHARE)
        if value is not None:
            is_proven = self.is_optimal
            model.add(main <= value)
            second = Objective.END if self.campaign.objective is Objective.GPU_HOURS else Objective.GPU_HOURS
            self._solve("second", goals[second], _SHARES["second"])
        return Refined(self.best, self.bound, is_proven)

    def on_solution_callback(self) -> None:
        """Make a plan of the solver's solution, and keep it if it is better."""
        self._take(list(self.response_proto.solution))
        if self.stage == "main":
            self._keep_bound(self.best_objective_bound)

    def _take(self, values: list[int]) -> None:
        """Make plans of a solution: its starts packed into nodes, and its modes put on the nodes in two orders."""
        modes, starts_s = self.made.read(values)
        chains = self.scheduler.chains
        longest = {name: (-modes[name].p50_s - chains[name].after_s,) for name in modes}
        in_order = {name: (start_s,) for name, start_s in starts_s.items()}
        for planned in (
            pack(self.campaign, self.scheduler, modes, starts_s),
            self.scheduler.place(longest, with_modes(modes)),
            self.scheduler.place(in_order, with_modes(modes)),
        ):
            if planned is None:
                continue
            solution = Solution(planned, score_plan(self.campaign, planned))
            if solution.score < self.best.score:
                self.best = solution
                self.report(solution, self.bound)

    def _solve(self, stage: str, goal: cp_model.LinearExpr, share: float) -> int | None:
        """Make `goal` small for a share of the time that is left; return its value, None if no solution was found."""
        self.stage, self.is_optimal = stage, False
        if self.left_s <= 0 or (self.left_work is not None and self.left_work <= 0):
            return None
        self.made.hint(self.best)
        self.made.model.minimize(goal)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = self.effort.workers
        solver.parameters.random_seed = _SEED
        solver.parameters.max_time_in_seconds = limit_s = self.left_s * share
        if self.left_work is not None:
            solver.parameters.max_deterministic_time = self.left_work * share
        status = solver.solve(self.made.model, self)
        self.left_s -= solver.wall_time
        if self.left_work is not None:
            self.left_work -= solver.response_proto.deterministic_time
        self.is_optimal = status == cp_model.OPTIMAL
        is_stopped = (
            not self.is_optimal and self.effort.deterministic is None and solver.wall_time < 0.9 * limit_s
        )
        if is_stopped:  # by Ctrl-C
            self.left_s = 0.0
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        if stage == "main":
            self._keep_bound(solver.best_objective_bound)
        return round(solver.objective_value)

    def _keep_bound(self, bound: float) -> None:
        self.bound = max(self.bound or 0.0, self._in_real_units(bound))

    def _in_real_units(self, value: float) -> float:
        """Return a value of the model's objective as seconds, GPU-hours or weighted seconds."""
        seconds = value * self.made.unit_s
        match self.campaign.objective:
            case Objective.GPU_HOURS:
                return seconds / 3600
            case Objective.COMPLETION:
                return seconds / 1000
            case Objective.END:
                return seconds
