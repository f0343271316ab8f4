"""The step time of a job by runs of its model, as a `StepTime`: measured in its shape, or transferred to it."""

from collections.abc import Sequence
from datetime import datetime

from ...cluster_profiles.units import join_names, plural
from ..job.flops import fastest_step_s
from ..job.placement import Placement
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..measurements.suspects import find_suspects
from .source import Source, SourceKind, StepParts, StepTime, unknown_step_time
from .transfer import Transfer, complete_shape, select_runs, transfer_step_time


def measured_step_time(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement], now: datetime | None
) -> StepTime | None:
    """Return the step time by runs of the job's model; None if the model has no run.

    The step time is unknown, with the reason, where its runs do not lead to this shape.
    """
    runs = select_runs(workload, measurements)
    if not runs:
        splits = {plural(m.model_parallel, "GPU") for m in measurements if m.model == workload.model}
        split = plural(workload.training.model_parallel, "GPU")
        reason = f"measured with {join_names(sorted(splits), 3)} per replica; that does not tell the speed with {split}"
        return unknown_step_time(reason) if splits else None
    lengths = {m.seq_len for m in measurements if m.model == workload.model and m.seq_len}
    if workload.data.seq_len is None and len(lengths) > 1:
        listed = join_names([f"{length:,}" for length in sorted(lengths)], 3)
        return unknown_step_time(
            f"measured with samples of {listed} tokens; state the length of the job by --seq-len"
        )
    transfer = transfer_step_time(workload, placement, runs, fastest_step_s(workload, placement), now)
    if transfer is None:
        return unknown_step_time(_why_unknown(runs, complete_shape(workload, placement, runs)))
    return _step_time(transfer)


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
    prediction = transfer.prediction
    scale = transfer.work_s / (prediction.compute_s + prediction.network_s)
    input_s = max(transfer.step_time_s.p50 - transfer.work_s, 0.0)
    return StepTime(
        transfer.step_time_s,
        _source(transfer),
        StepParts(prediction.compute_s * scale, prediction.network_s * scale, input_s),
        tuple(dict.fromkeys(map(str, prediction.suspects))),
    )


def _source(transfer: Transfer) -> Source:
    if not transfer.repeats:
        return Source(
            SourceKind.TRANSFERRED, transfer.origin, len(transfer.runs), transfer.assumed, transfer.beyond
        )
    sources = join_names(dict.fromkeys(m.source for m in transfer.repeats if m.source), 3)
    text = f"{transfer.origin} in this shape{f' ({sources})' if sources else ''}"
    return Source(SourceKind.MEASURED, text, len(transfer.repeats))
