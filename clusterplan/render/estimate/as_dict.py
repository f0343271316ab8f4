"""An estimate as JSON; docs/reference/json.md describes every key."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...estimator.cost.energy import Energy
from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.intervals import interval_steps
from ...estimator.estimate.shapes import Keep, Verdicts, efficiency, find_knee, speed_up
from ...estimator.ranges import Range
from ...launcher.submission.request import request_of

if TYPE_CHECKING:
    from ...estimator.queue.shape_start import ShapeStart


def estimate_as_dict(
    estimate: Estimate, verdicts: Verdicts, start: "ShapeStart | None" = None
) -> dict[str, Any]:
    """Return the keys of a single estimate."""
    steps, clock, placement, source = (
        estimate.steps,
        estimate.clock,
        estimate.placement,
        estimate.step_time.source,
    )
    workload, request, cost = estimate.workload, request_of(estimate), estimate.cost
    memory = estimate.memory
    return {
        "steps": {
            "total": steps.total,
            "full": steps.full,
            "last_partial_samples": steps.last_partial_samples,
            "rampup": steps.rampup,
            "samples": steps.samples,
            "dropped_samples": steps.dropped_samples,
            "batches_per_epoch": steps.batches,
            "convention": steps.convention,
        },
        "interval_steps": {
            "evaluation": interval_steps(workload.evaluation, workload, steps),
            "checkpoint": interval_steps(workload.checkpoint, workload, steps),
        },
        "shape": {
            "gpus": placement.gpus,
            "nodes": placement.nodes,
            "gpu": placement.gpu_type,
            "precision": placement.precision,
            "batch_size": workload.training.batch_size,
            "accumulation": workload.training.accumulation,
            "data_parallel": workload.training.data_parallel,
            "global_batch": workload.training.step_samples,
        },
        "step_time_s": _range(estimate.step_time.seconds),
        "step_parts_s": {"compute": parts.compute_s, "network": parts.network_s, "input": parts.input_s}
        if (parts := estimate.step_time.parts)
        else None,
        "samples_per_s": _range(estimate.samples_per_s),
        "gpu_hours": _range(estimate.gpu_hours),
        "cost": {**_values(cost.amount), "currency": cost.currency, "rates_of": cost.rates_of}
        if cost
        else None,
        "energy": _energy(estimate.energy),
        "wall_clock_s": {**_values(clock.total), "p95": clock.p95} if clock.total else None,
        "wall_clock_parts_s": {
            name: {
                **(_values(part.seconds) if part.seconds else dict.fromkeys(("p10", "p50", "p90"))),
                "source": part.source.kind,
            }
            for name, part in clock.parts.items()
        },
        "memory": {
            "peak_bytes": _range(memory.peak_bytes),
            "source": memory.source.kind,
            "text": memory.source.text,
            "fits": memory.fits,
            "largest_batch_size": memory.largest_batch_size,
            "undecided": list(memory.undecided),
        },
        "source": {
            "kind": source.kind,
            "runs": source.runs,
            "calibrated": source.calibrated,
            "text": source.text,
        },
        "beyond_measured": bool(source.beyond),
        "request": {
            "time": request.time,
            "segments": request.segments,
            "options": list(request.booked_options()),
        },
        "meets": {"deadline": verdicts.deadline, "budget": verdicts.budget},
        "warnings": [{"code": advice.code, "text": advice.text} for advice in estimate.warnings],
        **({"start": _start_as_dict(start)} if start else {}),
    }


def _energy(energy: Energy | None) -> dict[str, Any] | None:
    if energy is None:
        return None
    footprint = energy.footprint
    return {
        "kwh": _range(energy.kwh),
        "at_most_kwh": energy.at_most_kwh,
        "source": "measured" if energy.kwh else "tdp",
        "per_sample_j": energy.per_sample_j,
        "runs": energy.runs,
        "cost": footprint.energy_cost if footprint else None,
        "co2_kg": footprint.co2_kg if footprint else None,
        "currency": footprint.currency if footprint else None,
        "rates_of": footprint.rates_of if footprint else None,
    }


def estimates_as_dict(
    estimates: Sequence[Estimate],
    keep: Keep,
    verdicts: Sequence[Verdicts],
    best: int | None,
    starts: "Sequence[ShapeStart]" = (),
) -> dict[str, Any]:
    """Return `shapes` of single estimates, compared with the first of all and with the first of their precision."""
    base = estimates[0]
    return {
        "keep": keep,
        "best": best,
        "knee": find_knee(estimates),
        "knee_range": [find_knee(estimates, "p10"), find_knee(estimates, "p90")],
        **({"ends_first": _first_to_end(starts)} if starts else {}),
        "shapes": [
            {
                **estimate_as_dict(e, v, s),
                "speed_up": speed_up(base, e),
                "efficiency": efficiency(estimates, e),
            }
            for e, v, s in zip(estimates, verdicts, starts or (None,) * len(estimates), strict=True)
        ],
    }


def _values(amount: Range) -> dict[str, float]:
    return {"p10": amount.p10, "p50": amount.p50, "p90": amount.p90}


def _range(amount: Range | None) -> dict[str, float] | None:
    return _values(amount) if amount else None


def _start_as_dict(start: "ShapeStart") -> dict[str, Any]:
    from .start_text import start_as_dict  # noqa: PLC0415  the queue, where nobody asks for it

    return start_as_dict(start)


def _first_to_end(starts: "Sequence[ShapeStart]") -> int | None:
    from ...estimator.queue.shape_start import first_to_end  # noqa: PLC0415  likewise

    return first_to_end(starts)
