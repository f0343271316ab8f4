"""Compare estimates with published trainings, and print the tables of docs/explanation/published-trainings.md.

`published_trainings.toml` beside this file says for each training what was published, and the job.  Two estimates are
made: with the published rate, where there is one, and with nothing but the job.
"""

import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterplan.cluster_profiles.units import format_duration
from clusterplan.estimator.estimate.estimate import Estimate, estimate_workload
from clusterplan.estimator.job.job_file import load_workload
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.ranges import Range

TABLE = Path(__file__).with_suffix(".toml")
ROOT = TABLE.parent.parent
RATE, PRIOR = "rate", "prior"


@dataclass(frozen=True)
class Training:
    """One published training; the fields are those of the table."""

    name: str
    source: Sequence[str]
    job: Mapping[str, Any] | None = None
    file: str | None = None
    steps: int | None = None
    steps_rounding: int = 0
    hours: float | Sequence[float] | None = None
    gpu_hours: float | None = None
    rate: Mapping[str, Any] | None = None
    note: str = ""
    outside: Mapping[str, str] = field(default_factory=dict)

    @property
    def workload(self) -> Workload:
        """Return the job without a rate."""
        return load_workload(ROOT / self.file) if self.file else Workload.model_validate(self.job)

    @property
    def published_hours(self) -> tuple[float, float] | None:
        """Return the ends of the published wall-clock in hours, which are equal if it is one number."""
        if self.gpu_hours is not None:
            hours = self.gpu_hours / self.workload.training.gpus
            return hours, hours
        if self.hours is None:
            return None
        low, high = self.hours if isinstance(self.hours, Sequence) else (self.hours, self.hours)
        return low, high

    def estimates(self) -> dict[str, Estimate]:
        """Return the estimate with nothing given, and the one with the published rate if there is one."""
        job = self.workload
        made = {PRIOR: estimate_workload(job, None)}
        if self.rate is not None:
            with_rate = job.model_dump(exclude_unset=True) | {"throughput": self.rate}
            made[RATE] = estimate_workload(Workload.model_validate(with_rate), None)
        return made

    def is_inside(self, total_s: Range | None) -> bool | None:
        """Return whether the published time is within P10 to P90; None if one of them is not known."""
        hours = self.published_hours
        if total_s is None or hours is None:
            return None
        return total_s.p10 <= hours[1] * 3600 and hours[0] * 3600 <= total_s.p90


def read_trainings() -> tuple[Training, ...]:
    """Return the rows of the table."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["training"]
    return tuple(Training(**row) for row in rows)


def render() -> str:
    """Return the page's table, the counts below it, and the sources and remarks of each training, in Markdown."""
    made = [(training, training.estimates()) for training in read_trainings()]
    return "\n".join(
        [*_table(made), "", *_counts(made), "", "## Sources, and what was not published", "", *_remarks(made)]
    )


Made = Sequence[tuple[Training, Mapping[str, Estimate]]]


def _table(made: Made) -> Iterator[str]:
    yield "| training | GPUs | steps | published time | with the published rate | with the job alone |"
    yield "|---|---|---:|---:|---:|---:|"
    for training, estimates in made:
        job, steps = training.workload, f"{estimates[PRIOR].steps.total:,}"
        cells = [
            training.name,
            f"{job.training.gpus:,} x {job.cluster.gpu}",
            f"**{steps}**" if training.steps else steps,
            _published(training),
            *(_range(training, estimates.get(kind)) for kind in (RATE, PRIOR)),
        ]
        yield f"| {' | '.join(cells)} |"


def _published(training: Training) -> str:
    hours = training.published_hours
    return " to ".join(format_duration(h * 3600) for h in sorted(set(hours))) if hours else "-"


def _range(training: Training, estimate: Estimate | None) -> str:
    total_s = estimate.clock.total if estimate and estimate.clock else None
    if total_s is None or training.published_hours is None:
        return "-"
    middle, *ends = (format_duration(x) for x in (total_s.p50, total_s.p10, total_s.p90))
    outside = "" if training.is_inside(total_s) else ", **outside**"
    return f"{middle} ({' to '.join(ends)}){outside}"


def _counts(made: Made) -> Iterator[str]:
    for kind, words in ((RATE, "With the published rate"), (PRIOR, "With the job alone")):
        inside, ratios = [], []
        for training, estimates in made:
            estimate, hours = estimates.get(kind), training.published_hours
            if estimate is None or estimate.clock is None or estimate.clock.total is None or hours is None:
                continue
            inside.append(bool(training.is_inside(estimate.clock.total)))
            ratios.append(estimate.clock.total.p50 / 3600 / (hours[0] * hours[1]) ** 0.5)
        above = sum(ratio > 1 for ratio in ratios)
        yield (
            f"- {words}, the published time is inside P10 to P90 for {sum(inside)} of {len(inside)}. P50 is"
            f" {statistics.median(ratios):.2f} times the published time in the median, and above it for {above}."
        )


def _remarks(made: Made) -> Iterator[str]:
    for training, estimates in made:
        links = ", ".join(f"[{i}]({url})" for i, url in enumerate(training.source, 1))
        parts = [training.note, *_why_outside(training, estimates)]
        yield " ".join([f"- {training.name}: {links}.", *filter(None, parts)])


def _why_outside(training: Training, estimates: Mapping[str, Estimate]) -> Iterator[str]:
    for kind, estimate in estimates.items():
        total_s = estimate.clock.total if estimate.clock else None
        if training.is_inside(total_s) is False:
            yield f"Outside{' with the rate' if kind == RATE else ''}: {training.outside.get(kind, 'not explained')}."


if __name__ == "__main__":
    print(render())
