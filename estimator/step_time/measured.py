"""The time of one step as runs of the model tell it: measured in this configuration, or carried over from others."""

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
from .transfer import CarriedOver, carry_over, select_runs, shape_asked


def measured_step_time(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement], now: datetime | None
) -> StepTime | None:
    """Runs of exactly this configuration, else what was learned from others; None where the model has none.

    Where its runs say nothing of this configuration, the step time is unknown.
    """
    runs = select_runs(workload, measurements)
    if not runs:
        apart = {plural(m.model_parallel, "GPU") for m in measurements if m.model == workload.model}
        asked_of = plural(workload.training.model_parallel, "GPU")
        text = f"measured with {join_names(sorted(apart), 3)} a replica; nothing tells the speed with {asked_of} from that"
        return unknown_step_time(text) if apart else None
    lengths = {m.seq_len for m in measurements if m.model == workload.model and m.seq_len}
    if workload.data.seq_len is None and len(lengths) > 1:
        told = join_names([f"{length:,}" for length in sorted(lengths)], 3)
        return unknown_step_time(f"measured with samples of {told} tokens; say which it has by --seq-len")
    found = carry_over(workload, placement, runs, fastest_step_s(workload, placement), now)
    return (
        _told(found) if found else unknown_step_time(_why_not(runs, shape_asked(workload, placement, runs)))
    )


def _why_not(runs: Sequence[Measurement], query: Shape) -> str:
    """Why none of the runs tells the speed that is asked for."""
    wrong = [str(s) for s in find_suspects(runs) if not s.doubt]
    if len(wrong) == len(runs):
        return f"no run of {runs[0].model} can be right: {join_names(wrong, 3, '; ')}"
    if query.gpu is None and len(types := {m.gpu or "no GPU" for m in runs}) > 1:
        return f"measured on {join_names(sorted(types), 3)}; say on which it will run by --gpu"
    kinds = dict.fromkeys(f"{m.gpu or 'GPUs of unknown type'} in {m.precision}" for m in runs)
    return (
        f"measured in {plural(len(runs), 'run')} of {runs[0].model}, on {join_names(kinds, 3)}; "
        f"nothing tells the speed of {query.gpu or 'a GPU that is not stated'} in {query.precision} from that"
    )


def _told(found: CarriedOver) -> StepTime:
    told = found.prediction
    scale = found.work_s / (told.compute_s + told.network_s)
    waiting = max(found.step_time_s.p50 - found.work_s, 0.0)
    return StepTime(
        found.step_time_s,
        _source(found),
        StepParts(told.compute_s * scale, told.network_s * scale, waiting),
        tuple(dict.fromkeys(map(str, told.suspects))),
    )


def _source(found: CarriedOver) -> Source:
    if not found.same:
        return Source(SourceKind.TRANSFERRED, found.origin, len(found.runs), found.assumed, found.beyond)
    sources = join_names(dict.fromkeys(m.source for m in found.same if m.source), 3)
    text = f"{found.origin} in this configuration{f' ({sources})' if sources else ''}"
    return Source(SourceKind.MEASURED, text, len(found.same))
