"""An estimate, or several side by side, as text: the answer first."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from ...cluster_profiles.units import format_count, format_duration, format_significant, plural
from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.shapes import Keep, Verdicts, efficiency, speed_up
from ...estimator.memory.peak import Fit
from ...estimator.memory.states import gigabytes
from ...estimator.queue.shape_start import ShapeStart
from ...estimator.ranges import Range
from ...launcher.submission.request import request_of
from ..footprint import energy_rows
from ..layout import Page, Style
from .explain import step_text
from .knee import knee_line
from .origins import origins, source_of
from .start_text import basis_lines, ends_line, start_columns, start_lines, start_rows

UNKNOWN, NEVER = "unknown", "never"
_QUESTION = {
    Keep.PER_GPU_BATCH: "each GPU keeps its batch, so the global batch grows with the GPUs (--keep per-gpu-batch)",
    Keep.GLOBAL_BATCH: "the global batch stays {batch:,}, and each GPU does less of a step (--keep global-batch)",
}
_FIRST_TO_GO = (
    "nodes",
    "speed-up",
    "global batch",
    "steps",
    "P10",
    "efficiency",
)  # where the terminal is narrow
_FITS = {Fit.YES: "yes", Fit.TIGHT: "tight", Fit.NO: "no", None: ""}


class Bound(NamedTuple):
    """A deadline or a budget, as the user gave it."""

    name: str
    shown: str


def write_estimate(
    page: Page,
    estimate: Estimate,
    verdicts: Verdicts,
    bounds: Sequence[Bound],
    start: ShapeStart | None = None,
) -> None:
    """Write one estimate: the answer, the parts of its wall-clock, and the advice."""
    page.facts([*_answer(estimate, verdicts, bounds), *(start_rows(start) if start else [])])
    for line in basis_lines([start]) if start else []:
        page.sentence(line)
    if estimate.step_time.seconds:
        page.line()
        page.table(
            ("part", "P50", "P10 to P90", "source"),
            [
                (name, _time(part.seconds), _between(part.seconds), f"{part.source.kind}: {part.source.text}")
                for name, part in estimate.clock.parts.items()
            ],
            right=(1, 2),
        )
    _advice(page, [estimate], [""], None)


def write_estimates(
    page: Page,
    estimates: Sequence[Estimate],
    keep: Keep,
    verdicts: Sequence[Verdicts],
    bounds: Sequence[Bound],
    best: int | None,
    starts: Sequence[ShapeStart] = (),
) -> None:
    """Write one row per shape, then the best of them, the sources of the numbers, and the advice."""
    columns = _columns(estimates, verdicts) | start_columns(starts)
    text_columns = {"precision", "source", "fits", "deadline", "budget", "ends"}
    right = [i for i, name in enumerate(columns) if name not in text_columns]
    shown = page.table(list(columns), list(zip(*columns.values(), strict=True)), right, _FIRST_TO_GO)

    names = [_shape_name(e, precisions="precision" in shown) for e in estimates]
    page.line()
    if best is not None:
        page.line(f"best: {names[best]}: {_request(estimates[best])}", Style.ANSWER)
    elif bounds:
        page.line(f"best: none; no shape meets {'both' if len(bounds) > 1 else 'it'} at P90", Style.ANSWER)
    if ends := ends_line(starts, names):
        page.line(ends, Style.ANSWER)
    if bounds:
        page.sentence(
            f"{', '.join(f'{b.name} {b.shown}' for b in bounds)}: yes if P90 meets it, maybe if only P50 does, no otherwise"
        )
    if knee := knee_line(estimates, names):
        page.line(knee)
    if len({e.placement.gpus for e in estimates}) > 1:
        batches = {e.workload.training.step_samples for e in estimates}
        kept = Keep.GLOBAL_BATCH if len(batches) == 1 else keep  # also where the job states it
        page.sentence(_QUESTION[kept].format(batch=max(batches)))
    if "speed-up" in shown:
        page.line(f"speed-up: samples/s against {names[0]}")
    if "efficiency" in shown:
        first = "the first row of its precision" if "precision" in shown else names[0]
        page.line(f"efficiency: samples/s per GPU against {first}")
    for line in (*origins(estimates, names), *start_lines(starts, names)):
        page.sentence(line)
    _advice(page, estimates, names, best)


def _columns(estimates: Sequence[Estimate], verdicts: Sequence[Verdicts]) -> dict[str, list[str]]:
    """The cells of the table by title; columns that tell nothing are left out."""
    base = estimates[0]
    columns = {
        "GPUs": [format_count(e.placement.gpus) for e in estimates],
        "nodes": [format_count(e.placement.nodes) for e in estimates],
        "precision": [str(e.placement.precision) for e in estimates],
        "micro-batch": [format_count(e.workload.training.batch_size) for e in estimates],
        "accumulation": [format_count(e.workload.training.accumulation) for e in estimates],
        "global batch": [format_count(e.workload.training.step_samples) for e in estimates],
        "steps": [format_count(e.steps.total) for e in estimates],
        "time": [_total(e) for e in estimates],
        "P10": [format_duration(e.clock.total.p10) if e.clock.total else "" for e in estimates],
        "P90": [format_duration(e.clock.total.p90) if e.clock.total else "" for e in estimates],
        "speed-up": [f"{x:.2f}" if (x := speed_up(base, e)) else "" for e in estimates],
        "efficiency": [f"{x:.0%}" if (x := efficiency(estimates, e)) else "" for e in estimates],
        "GPU-hours": [_number(e.gpu_hours) if e.gpu_hours else "" for e in estimates],
        "cost": [f"{_number(e.cost.amount)} {e.cost.currency}" if e.cost else "" for e in estimates],
        "source": [source_of(e) for e in estimates],
        "jobs": [_jobs(e) for e in estimates],
        "fits": ["as stated: no" if e.memory.undecided else _FITS[e.memory.fits] for e in estimates],
        "deadline": [v.deadline or "" for v in verdicts],
        "budget": [v.budget or "" for v in verdicts],
    }
    for name in ("precision", "micro-batch", "accumulation", "global batch", "source", "jobs"):
        if len({*columns[name]} - {""}) == 1:
            del columns[name]
    return {name: cells for name, cells in columns.items() if any(cells)}


def _answer(estimate: Estimate, verdicts: Verdicts, bounds: Sequence[Bound]) -> list[tuple[str, str, str]]:
    steps, clock, gpus = estimate.steps, estimate.clock, estimate.placement.gpus
    request = request_of(estimate)
    rows = [("steps", format_count(steps.total), step_text(estimate))]
    if clock.total is None or clock.p95 is None:
        why = (
            "no job makes progress under the limit" if _total(estimate) == NEVER else "no throughput is known"
        )
        rows.append(("time", _total(estimate), f"{why}; see the advice"))
    else:
        width = f"{_between(clock.total)} (P10 to P90), P95 {format_duration(clock.p95)}"
        rows.append(("time", _time(clock.total), width))
    if hours := estimate.gpu_hours:
        rows.append(("GPU-hours", _number(hours), f"{_between_numbers(hours)} on {plural(gpus, 'GPU')}"))
    if cost := estimate.cost:
        amount = f"{_number(cost.amount)} {cost.currency}"
        rows.append(("cost", amount, f"{_between_numbers(cost.amount)}, rates of {cost.rates_of}"))
    rows += energy_rows(estimate.energy)
    if estimate.samples_per_s:
        speed = f"{_number(estimate.samples_per_s)} samples/s"
        step = estimate.step_time.seconds
        source = estimate.step_time.source
        runs = f", {plural(source.runs, 'run')}" if source.runs else ""
        rows.append(("speed", speed, f"{_time(step)} per step; {source.kind}{runs}"))
    rows += _memory(estimate)
    jobs = f"{_jobs(estimate)} x " if clock.segments and clock.segments > 1 else ""
    rows.append(
        ("ask Slurm", f"{jobs}{request.time or _total(estimate)}", shlex.join(request.booked_options()))
    )
    for bound, verdict in zip(bounds, (v for v in (verdicts.deadline, verdicts.budget) if v), strict=True):
        rows.append((bound.name, str(verdict), bound.shown))
    return rows


def _memory(estimate: Estimate) -> list[tuple[str, str, str]]:
    """The row on memory; none if nothing is known of it."""
    memory, gpu = estimate.memory, estimate.placement.gpu
    if memory.peak_bytes is None:
        return []
    capacity = f" of {gpu.memory_bytes / 1e9:g} GB" if gpu else ""
    fits = memory.verdict if gpu else ""
    most = f"micro-batch {memory.largest_batch_size:,} should fit" if memory.largest_batch_size else ""
    remarks = "; ".join(part for part in (fits, most, str(memory.source.kind)) if part)
    shown = f"{format_significant(memory.peak_bytes.p50 / 1e9, 2)} GB"
    return [("memory", shown, f"{gigabytes(memory.peak_bytes)} GB per GPU{capacity}; {remarks}")]


def _advice(page: Page, estimates: Sequence[Estimate], names: Sequence[str], best: int | None) -> None:
    """Each code once, in the words of the best shape, otherwise of the weightiest; named where shapes differ."""
    lines: dict[str, tuple[tuple[bool, float], str, str]] = {}
    for i, estimate in enumerate(estimates):
        for advice in estimate.warnings:
            rank = (i == best, advice.weight)
            if advice.code not in lines or rank > lines[advice.code][0]:
                lines[advice.code] = rank, names[i], advice.text
    if not lines:
        return
    page.line()
    page.line("advice", Style.BOLD)
    rows = []
    for code, (_, name, text) in lines.items():
        texts = [a.text for e in estimates for a in e.warnings if a.code == code]
        alike = texts.count(text) == len(estimates)
        rows.append((code, text if alike else f"(for {name}) {text}"))
    page.notes(rows)


def _shape_name(estimate: Estimate, *, precisions: bool) -> str:
    gpus = estimate.placement.gpus
    return plural(gpus, "GPU") + (f" {estimate.placement.precision}" if precisions else "")


def _total(estimate: Estimate) -> str:
    if estimate.clock.total is None and estimate.step_time.seconds:
        return NEVER
    return _time(estimate.clock.total)


def _jobs(estimate: Estimate) -> str:
    return f"{estimate.clock.segments:,}" if estimate.clock.segments else ""


def _request(estimate: Estimate) -> str:
    jobs = f"{_jobs(estimate)} jobs of " if estimate.clock.segments and estimate.clock.segments > 1 else ""
    return jobs + shlex.join(request_of(estimate).booked_options())


def _time(seconds: Range | None) -> str:
    return UNKNOWN if seconds is None else format_duration(seconds.p50)


def _between(seconds: Range | None) -> str:
    return f"{format_duration(seconds.p10)} to {format_duration(seconds.p90)}" if seconds else ""


def _number(amount: Range) -> str:
    return format_significant(amount.p50)


def _between_numbers(amount: Range) -> str:
    return f"{format_significant(amount.p10)} to {format_significant(amount.p90)}"
