"""How good estimates were: the error of their P50, how often the truth was in their 80 % range, and their walltime."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, median

from ..gpu_use.forecast import Forecast
from ..ranges import Range
from .scored_run import ScoredRun, Walltime

LEAST_RUNS = 5  # fewer say too little
IN_RANGE = 0.8  # from P10 to P90
_MOST_PERIODS = 4
_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Score:
    """Estimates of one quantity: the median of |actual / P50 - 1| and of actual / P50 - 1, and how many were in range.

    None without runs.
    """

    runs: int
    error: float | None = None
    bias: float | None = None
    in_range: int = 0

    @property
    def is_enough(self) -> bool:
        """Return whether there are enough runs to say something."""
        return self.runs >= LEAST_RUNS

    @property
    def range_fault(self) -> str | None:
        """Return "narrow" or "wide" if chance hardly explains the share in range where 80 % are expected; else None.

        >>> Score(40, in_range=20).range_fault, Score(40, in_range=34).range_fault
        ('narrow', None)
        """
        mean, sd = IN_RANGE * self.runs, (IN_RANGE * (1 - IN_RANGE) * self.runs) ** 0.5
        if (
            not self.is_enough or abs(self.in_range - mean) <= _Z95 * sd + 0.5
        ):  # the last is Yates' correction
            return None
        return "narrow" if self.in_range < mean else "wide"


@dataclass(frozen=True)
class WalltimeScore:
    """The walltime that estimates asked for: in how many of the runs it was enough, and the median of asked / used.

    `others` counts the runs with another walltime than the estimate's, which are not scored.
    """

    runs: int
    enough: int
    asked_over_used: float | None
    others: int

    @property
    def is_enough(self) -> bool:
        """Return whether there are enough runs to say something."""
        return self.runs >= LEAST_RUNS


@dataclass(frozen=True)
class StartScore:
    """Starts that were forecast at submission: the median seconds between forecast and start, and how many were in range.

    `with_range` counts the forecasts that had a range; None without runs.
    """

    runs: int
    error_s: float | None
    with_range: int
    in_range: int


@dataclass(frozen=True)
class StartWait:
    """A wait in the queue in seconds: as it was forecast, with its range if it had one, and as it was."""

    forecast_s: float
    range_s: Range | None
    actual_s: float


@dataclass(frozen=True)
class Group:
    """Runs that belong together, with the Unix times of the ends of the first and the last."""

    name: str
    first_s: float
    last_s: float
    step_time: Score
    wall_clock: Score
    walltime: WalltimeScore


@dataclass(frozen=True)
class Accuracy:
    """The scores of all runs, of each kind of source with the most runs first, and of equal parts of them in time.

    There are no parts in time where one would have fewer than `LEAST_RUNS` runs.  `everything` is None without runs, and
    `start` without forecasts of starts.
    """

    everything: Group | None
    by_source: tuple[Group, ...]
    over_time: tuple[Group, ...]
    start: StartScore | None = None


def score_estimates(runs: Iterable[ScoredRun], waits: Sequence[StartWait] = ()) -> Accuracy:
    """Return the accuracy of the estimates of runs, and of the forecasts of their starts."""
    ordered = sorted((run for run in runs if run.step_time or run.wall_clock or run.walltime), key=_ended_s)
    if not ordered:
        return Accuracy(None, (), (), _score_starts(waits))
    kinds: dict[str, list[ScoredRun]] = {}
    for run in ordered:
        kinds.setdefault(run.kind, []).append(run)
    by_source = sorted((_group(kind, of_kind) for kind, of_kind in kinds.items()), key=_most_runs_first)
    parts = min(_MOST_PERIODS, len(ordered) // LEAST_RUNS)
    cuts = [round(i * len(ordered) / parts) for i in range(parts + 1)] if parts > 1 else []
    periods = (ordered[start:end] for start, end in pairwise(cuts))
    return Accuracy(
        _group("all", ordered),
        tuple(by_source),
        tuple(_group("", period) for period in periods),
        _score_starts(waits),
    )


def _ended_s(run: ScoredRun) -> float:
    return run.ended_s


def _most_runs_first(group: Group) -> tuple[int, str]:
    return -max(group.step_time.runs, group.wall_clock.runs), group.name


def _group(name: str, runs: Sequence[ScoredRun]) -> Group:
    return Group(
        name,
        runs[0].ended_s,
        runs[-1].ended_s,
        score_forecasts([run.step_time for run in runs if run.step_time]),
        score_forecasts([run.wall_clock for run in runs if run.wall_clock]),
        _score_walltime([run.walltime for run in runs if run.walltime]),
    )


def score_forecasts(forecasts: Sequence[Forecast]) -> Score:
    """Return the score of forecasts of one quantity; those without an actual value are left out."""
    misses = [f.actual / f.estimated.p50 - 1 for f in forecasts if f.actual is not None]
    if not misses:
        return Score(0)
    return Score(
        len(misses), median(map(abs, misses)), median(misses), sum(bool(f.inside) for f in forecasts)
    )


def _score_starts(waits: Sequence[StartWait]) -> StartScore | None:
    if not waits:
        return None
    ranged = [(wait.range_s, wait.actual_s) for wait in waits if wait.range_s]
    return StartScore(
        runs=len(waits),
        error_s=median(abs(wait.actual_s - wait.forecast_s) for wait in waits),
        with_range=len(ranged),
        in_range=sum(range_s.p10 <= actual_s <= range_s.p90 for range_s, actual_s in ranged),
    )


def _score_walltime(walltimes: Sequence[Walltime]) -> WalltimeScore:
    estimated = [walltime for walltime in walltimes if walltime.as_estimated]
    ratios = [walltime.asked_s / walltime.used_s for walltime in estimated if walltime.used_s]
    return WalltimeScore(
        runs=len(estimated),
        enough=sum(walltime.enough for walltime in estimated),
        asked_over_used=median(ratios) if ratios else None,
        others=len(walltimes) - len(estimated),
    )
