"""An estimate, or several side by side, as a person reads them: the answer first."""

from collections.abc import Sequence

from ..cluster_profiles.units import format_count, format_duration, format_significant
from ..estimator.estimate import Estimate
from ..estimator.ranges import Range
from ..estimator.steps import CONVENTION
from ..estimator.what_if import Keep, Verdict, Verdicts, efficiency, speed_up
from ..launcher.request import slurm_request
from .layout import Page, Style

UNKNOWN = "unknown"
_QUESTION = {
    Keep.PER_GPU_BATCH: "each GPU keeps its batch, so the global batch grows with the GPUs (--keep per-gpu-batch)",
    Keep.GLOBAL_BATCH: "the global batch stays, and each GPU does less of every step (--keep global-batch)",
}
_MARK = {Verdict.YES: "yes", Verdict.MAYBE: "at P50", Verdict.NO: "no", None: ""}


def one(page: Page, estimate: Estimate, verdicts: Verdicts, bounds: Sequence[str]) -> None:
    """The answer, the parts it is made of, and the advice."""
    page.facts(_answer(estimate, verdicts, bounds))
    if estimate.clock.total:
        page.line()
        page.table(
            ("part", "P50", "P10 to P90", "source"),
            [
                (name, _time(part.seconds), _between(part.seconds), f"{part.source.kind}: {part.source.text}")
                for name, part in estimate.clock.parts.items()
            ],
            right=(1, 2),
        )
    _advice(page, [(None, estimate)])


def several(
    page: Page,
    estimates: Sequence[Estimate],
    keep: Keep,
    judged: Sequence[Verdicts],
    bounds: Sequence[str],
    best: int | None,
) -> None:
    """One row a shape, then which of them to take, then where the numbers come from, then the advice."""
    base = estimates[0]
    columns = {
        "GPUs": [format_count(e.placement.gpus) for e in estimates],
        "nodes": [format_count(e.placement.nodes) for e in estimates],
        "precision": [str(e.placement.precision) for e in estimates],
        "micro-batch": [format_count(e.workload.training.batch_size) for e in estimates],
        "accumulation": [format_count(e.workload.training.accumulation) for e in estimates],
        "global batch": [format_count(e.workload.training.step_samples) for e in estimates],
        "steps": [format_count(e.steps.total) for e in estimates],
        "time": [_time(e.clock.total) for e in estimates],
        "P10": [format_duration(e.clock.total.p10) if e.clock.total else "" for e in estimates],
        "P90": [format_duration(e.clock.total.p90) if e.clock.total else "" for e in estimates],
        "speed-up": [f"{x:.2f}" if (x := speed_up(base, e)) else "" for e in estimates],
        "efficiency": [f"{x:.0%}" if (x := efficiency(base, e)) else "" for e in estimates],
        "GPU-hours": [_number(e.gpu_hours) if e.gpu_hours else "" for e in estimates],
        "cost": [f"{_number(e.cost.amount)} {e.cost.currency}" if e.cost else "" for e in estimates],
        "deadline": [_MARK[v.deadline] for v in judged],
        "budget": [_MARK[v.budget] for v in judged],
    }
    for name in ("precision", "micro-batch", "accumulation"):
        if len(set(columns[name])) == 1:
            del columns[name]
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    left = {"precision", "deadline", "budget"}
    page.table(
        list(shown),
        list(zip(*shown.values(), strict=True)),
        [i for i, name in enumerate(shown) if name not in left],
    )

    names = [_shape(e, precisions="precision" in shown) for e in estimates]
    page.line()
    if best is not None:
        page.line(f"best: {names[best]}: {' '.join(slurm_request(estimates[best]).options)}", Style.ANSWER)
    elif bounds:
        page.line("best: none, no shape meets it at P90", Style.ANSWER)
    page.line(f"{', '.join(bounds)}{': ' if bounds else ''}{_QUESTION[keep]}")
    if base.samples_per_s:
        page.line(f"speed-up and efficiency: samples/s, and samples/s per GPU, against {names[0]}")
    origins: dict[str, dict[str, None]] = {}
    for source in (e.throughput.source for e in estimates):
        origins.setdefault(source.origin, {}).update(dict.fromkeys(source.assumed))
    for origin, assumed in origins.items():
        page.line(f"throughput: {'; '.join((origin, *assumed))}")
    _advice(page, list(zip(names, estimates, strict=True)))


def _answer(estimate: Estimate, verdicts: Verdicts, bounds: Sequence[str]) -> list[tuple[str, str, str]]:
    steps, clock, gpus = estimate.steps, estimate.clock, estimate.placement.gpus
    request = slurm_request(estimate)
    rows = [("steps", format_count(steps.total), step_text(estimate))]
    if clock.total is None or clock.p95 is None:
        rows.append(("time", UNKNOWN, "no throughput is known; see the advice"))
    else:
        rows.append(
            (
                "time",
                _time(clock.total),
                f"{_between(clock.total)} (P10 to P90), P95 {format_duration(clock.p95)}",
            )
        )
    if estimate.gpu_hours:
        rows.append(
            (
                "GPU-hours",
                _number(estimate.gpu_hours),
                f"{_between_numbers(estimate.gpu_hours)} on {gpus} GPUs",
            )
        )
    if cost := estimate.cost:
        rows.append(
            (
                "cost",
                f"{_number(cost.amount)} {cost.currency}",
                f"{_between_numbers(cost.amount)}, rates of {cost.rates_of}",
            )
        )
    if estimate.samples_per_s:
        speed = f"{_number(estimate.samples_per_s)} samples/s"
        step = estimate.throughput.step_time_s
        rows.append(("speed", speed, f"{_time(step)} a step; {estimate.throughput.source.kind}"))
    jobs = f"{request.segments:,} x " if request.segments and request.segments > 1 else ""
    rows.append(("ask Slurm", f"{jobs}{request.time or UNKNOWN}", " ".join(request.options)))
    for bound, verdict in zip(bounds, [v for v in (verdicts.deadline, verdicts.budget) if v], strict=True):
        rows.append((bound.split()[0], _MARK[verdict], bound.partition(" ")[2]))
    return rows


def step_text(estimate: Estimate) -> str:
    """How the steps are made up: `3,906 full + 1 of 64 samples (Hugging Face Trainer ...)`."""
    steps = estimate.steps
    partial = steps.total - steps.full
    made = f"{steps.full:,} full"
    if partial:
        made += f" + {partial:,} partial of {steps.last_partial_samples:,} samples"
    if steps.dropped_samples:
        made += f", {steps.dropped_samples:,} samples dropped"
    return f"{made} ({CONVENTION[steps.convention][0]})"


def _advice(page: Page, named: Sequence[tuple[str | None, Estimate]]) -> None:
    """Each code once; where shapes differ, for the first shape that has it, which is named."""
    first: dict[str, tuple[str, int, str | None]] = {}
    for name, estimate in named:
        for advice in estimate.warnings:
            text, times, shape = first.get(advice.code, (advice.text, 0, name))
            first[advice.code] = (text, times + 1, shape)
    if not first:
        return
    page.line()
    page.line("advice", Style.BOLD)
    alone = len(named) == 1

    def said(text: str, times: int, shape: str | None) -> str:
        others = f" and {times - 1} more" if times > 1 else ""
        return text if alone or (times == len(named) and _same(named, text)) else f"({shape}{others}) {text}"

    page.notes((code, said(*entry)) for code, entry in first.items())


def _same(named: Sequence[tuple[str | None, Estimate]], text: str) -> bool:
    return all(any(a.text == text for a in estimate.warnings) for _, estimate in named)


def _shape(estimate: Estimate, *, precisions: bool) -> str:
    gpus = estimate.placement.gpus
    return f"{gpus} GPU{'s' if gpus > 1 else ''}" + (f" {estimate.placement.precision}" if precisions else "")


def _time(seconds: Range | None) -> str:
    return UNKNOWN if seconds is None else format_duration(seconds.p50)


def _between(seconds: Range | None) -> str:
    return f"{format_duration(seconds.p10)} to {format_duration(seconds.p90)}" if seconds else ""


def _number(amount: Range) -> str:
    return format_significant(amount.p50)


def _between_numbers(amount: Range) -> str:
    return f"{format_significant(amount.p10)} to {format_significant(amount.p90)}"
