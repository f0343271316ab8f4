"""What was found in all loops, and the tables that say it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from clusterplan.estimator.accuracy.accuracy import Score, score_estimates, score_forecasts
from clusterplan.estimator.accuracy.scored_run import ScoredRun
from clusterplan.estimator.estimate.estimate import Estimate
from clusterplan.estimator.gpu_use.forecast import Forecast

AFTER = (1, 3, 10)


@dataclass
class Walltimes:
    """Of runs after the third: asked over used, and whether it was enough, by the estimate and by the habit."""

    ratios: list[float] = field(default_factory=list)
    enough: list[bool] = field(default_factory=list)


@dataclass
class Tally:
    """Forecasts of step times by the stage of the loop and whether the shape was run before, and the walltimes."""

    forecasts: dict[tuple[str, str], list[Forecast]] = field(default_factory=dict)
    walltimes: dict[str, Walltimes] = field(
        default_factory=lambda: {"estimate": Walltimes(), "longest x 1.5": Walltimes()}
    )
    runs: list[ScoredRun] = field(default_factory=list)

    def add(self, stage: str, shape: str, estimate: Estimate, actual_s: float) -> None:
        if step := estimate.step_time.seconds:
            forecast = Forecast("step time", step, actual_s)
            self.forecasts.setdefault((stage, shape), []).append(forecast)

    def merge(self, other: "Tally") -> None:
        for key, forecasts in other.forecasts.items():
            self.forecasts.setdefault(key, []).extend(forecasts)
        for name, walltimes in other.walltimes.items():
            self.walltimes[name].ratios += walltimes.ratios
            self.walltimes[name].enough += walltimes.enough
        self.runs += other.runs


def report(tally: Tally) -> Iterator[str]:
    """The lines of what was found."""
    yield "| step time | shape | asked | off by | in range, of 80 % | P90 / P10 |"
    yield "|---|---|---:|---:|---:|---:|"
    pooled = dict(tally.forecasts)
    for stage in dict.fromkeys(stage for stage, shape in tally.forecasts if shape != "target"):
        pooled[stage, "both"] = [
            f for shape in ("run before", "never run") for f in tally.forecasts.get((stage, shape), [])
        ]
    for (stage, shape), forecasts in sorted(pooled.items(), key=lambda item: _place(*item[0])):
        width = median(f.estimated.p90 / f.estimated.p10 for f in forecasts)
        yield f"| {stage} | {shape} | {_cells(score_forecasts(forecasts))} | {width:.2f} |"
    yield ""
    yield "| walltime after 3 runs | runs | enough | asked / used |"
    yield "|---|---:|---:|---:|"
    for name, walltimes in tally.walltimes.items():
        enough = sum(walltimes.enough) / len(walltimes.enough)
        yield f"| {name} | {len(walltimes.ratios)} | {enough:.1%} | {median(walltimes.ratios):.2f} |"
    yield ""
    yield "| `history accuracy` of all runs | step times | off by | in range | wall-clocks | off by | in range |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    accuracy = score_estimates(tally.runs)
    for group in (*accuracy.by_source, *([accuracy.everything] if accuracy.everything else [])):
        yield f"| {group.name} | {_cells(group.step_time)} | {_cells(group.wall_clock)} |"


def _place(stage: str, shape: str) -> tuple[int, int, str]:
    stages = ["before any run", "after a calibration", *(f"after {n} run{'s' * (n > 1)}" for n in AFTER)]
    return stages.index(stage), shape.startswith("with"), shape


def _cells(score: Score) -> str:
    if not score.runs:
        return "0 | | "
    return f"{score.runs} | {(score.error or 0.0):.1%} | {score.in_range / score.runs:.0%}"
