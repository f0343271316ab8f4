"""The step time of a job by runs of its model, as a `StepTime`: measured in its shape, or transferred to it."""

from collections.abc import Sequence
from datetime import datetime

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import join_names, plural
from ..job.flops import fastest_step_s
from ..job.placement import Placement
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..measurements.suspects import find_suspects
from ..priors import STATED_SPREAD
from ..ranges import Range
from .model.predict import Prediction
from .source import Source, SourceKind, StepParts, StepTime, describe_beyond, unknown_step_time
from .transfer import Transfer, complete_shape, predict_step_time, select_runs, transfer_step_time


def measured_step_time(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement], now: datetime | None
) -> StepTime | None:
    """Return the step time by runs of the job's model; None if the model has no run.

    The step time is unknown, with the reason, where its runs do not lead to this shape.
    """
    runs = select_runs(workload, measurements)
    if not runs:
        return None
    lengths = {m.seq_len for m in measurements if m.model == workload.model and m.seq_len}
    if workload.data.seq_len is None and len(lengths) > 1:
        listed = join_names([f"{length:,}" for length in sorted(lengths)], 3)
        return unknown_step_time(
            f"measured with samples of {listed} tokens; state the length of the job by --seq-len"
        )
    others = [m for m in measurements if m.model != workload.model]
    floor_s = fastest_step_s(workload, placement)
    transfer = transfer_step_time(workload, placement, runs, floor_s, now, others)
    if transfer is None:
        return unknown_step_time(_why_unknown(runs, complete_shape(workload, placement, runs)))
    return _step_time(transfer)


def carried_step_time(
    workload: Workload,
    placement: Placement,
    stated: Measurement,
    shape: Shape,
    of_other_models: Sequence[Measurement] = (),
) -> StepTime:
    """Return the step time in `shape` by a stated rate, as one run in the shape that it belongs to."""
    if stated.precision is Precision.AUTO and stated.precision != shape.precision:
        return unknown_step_time(
            "neither the precision of the given rate nor the GPU type is stated; set throughput.precision"
        )
    floor_s = fastest_step_s(workload, placement) or 0.0
    step = predict_step_time(workload, placement, [stated], shape, floor_s, of_other_models)
    if step is None:
        return unknown_step_time(
            f"given in {stated.precision}; no published ratio tells the speed in {shape.precision}: "
            f"give a rate measured in {shape.precision}"
        )
    prediction, assumed = step
    spread = Range.around(1, stated.spread or STATED_SPREAD)
    seconds = prediction.step_time_s.times(spread).at_least(floor_s)
    beyond = describe_beyond(prediction.beyond, shape)
    return StepTime(
        seconds,
        Source(SourceKind.TRANSFERRED, stated.source, 0, assumed, beyond),
        _parts(prediction, seconds.p50, seconds.p50),
    )


def _why_unknown(runs: Sequence[Measurement], shape: Shape) -> str:
    """Why none of the runs leads to the speed of `shape`."""
    invalid = [str(s) for s in find_suspects(runs) if not s.doubt]
    if len(invalid) == len(runs):
        return f"no run of {runs[0].model} can be right: {join_names(invalid, 3, '; ')}"
    if shape.gpu is None and len(types := {m.gpu or "no GPU" for m in runs}) > 1:
        return f"measured on {join_names(sorted(types), 3)}; state the GPU type of the job by --gpu"
    kinds = dict.fromkeys(f"{m.gpu or 'GPUs of unknown type'} in {m.precision}" for m in runs)
    return (
        f"measured in {plural(len(runs), 'run')} of {runs[0].model}, on {join_names(kinds, 3)}; "
        f"that does not tell the speed of {shape.gpu or 'a GPU that is not stated'} in {shape.precision}"
    )


def _step_time(transfer: Transfer) -> StepTime:
    return StepTime(
        transfer.step_time_s,
        _source(transfer),
        _parts(transfer.prediction, transfer.step_time_s.p50, transfer.work_s),
        tuple(dict.fromkeys(map(str, transfer.prediction.suspects))),
        transfer.prediction.loaders,
    )


def _parts(prediction: Prediction, step_s: float, work_s: float) -> StepParts:
    """The parts of a step of `step_s` seconds, of which GPUs and network take `work_s`."""
    scale = work_s / (prediction.compute_s + prediction.network_s)
    return StepParts(prediction.compute_s * scale, prediction.network_s * scale, max(step_s - work_s, 0.0))


def _source(transfer: Transfer) -> Source:
    calibrated = all(m.is_probe for m in transfer.repeats or transfer.runs)
    if not transfer.repeats:
        return Source(
            SourceKind.TRANSFERRED,
            transfer.origin,
            len(transfer.runs),
            transfer.assumed,
            transfer.beyond,
            calibrated=calibrated,
        )
    sources = join_names(dict.fromkeys(m.source for m in transfer.repeats if m.source), 3)
    text = f"{transfer.origin} in this shape{f' ({sources})' if sources else ''}"
    return Source(SourceKind.MEASURED, text, len(transfer.repeats), calibrated=calibrated)
