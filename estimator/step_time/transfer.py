"""From runs of a model to the step time of a job: which runs count, and how they are carried over to its shape.

Runs of exactly the job's shape answer for it.  From other shapes, and from other GPU types and precisions, the step
model predicts: see `predict`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ...cluster_profiles.gpu import Gpu, read_gpus
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant, join_names, plural
from ...errors import NotEnoughHistory
from ..job.flops import hidden_size
from ..job.placement import Placement, shape_of_job
from ..job.shape import Shape
from ..job.training import Training
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..measurements.suspects import Suspect
from ..priors import HIDDEN_SIZE, STATED_SPREAD
from ..ranges import Range
from .costs import costs_of_job
from .links import links_of_job
from .model.costs import Costs
from .model.exchange import Links
from .model.predict import Prediction, fit
from .repeats import credible_repeats, range_of_repeats
from .source import describe_beyond, describe_runs

# A run this much older than the newest of its shape no longer counts: software has changed since.
_OUTDATED = timedelta(days=90)
_IMPOSSIBLE = 10.0  # times the peak; less may be parameters of which each token passes a few
_CLEARLY_FASTER = 1 + STATED_SPREAD
_AS_MUCH = 1.1  # trained parameters over those of another count of the same model


@dataclass(frozen=True)
class Transfer:
    """The step time of a job by runs of its model, and what it rests on.

    `repeats` are the runs of exactly this shape; where there are any, the step time is theirs.
    """

    step_time_s: Range
    work_s: float  # the part of its P50 that GPUs and network take
    runs: tuple[Measurement, ...]
    repeats: tuple[Measurement, ...]
    origin: str
    beyond: str  # the parts of the shape that no run reached, with their verb
    assumed: tuple[str, ...]
    prediction: Prediction


def select_runs(workload: Workload, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the runs of the job's model that train as much of it, without outdated repeats of a shape.

    Where the job or a run does not state its sequence length, it is taken to be that of the other.  A layout and a ZeRO
    stage that a run does not state are taken to be those of the job.
    """
    architecture = workload.architecture
    trained = architecture.trainable_parameters or architecture.parameters
    runs = [
        _completed(m, workload.training, workload.data.seq_len)
        for m in measurements
        if m.model == workload.model and _trains_as_much(m, trained)
    ]
    newest: dict[Shape, datetime] = {}
    for m in runs:
        if m.when:
            newest[m.shape] = max(m.when, newest.get(m.shape, m.when))
    return [m for m in runs if m.when is None or newest[m.shape] - m.when <= _OUTDATED]


def _trains_as_much(run: Measurement, trained: int | None) -> bool:
    """Whether a run trains as many parameters, as far as is known: adapters compute and exchange less."""
    of_run = run.trainable_parameters or run.parameters
    return not (of_run and trained) or max(of_run, trained) < _AS_MUCH * min(of_run, trained)


def _completed(run: Measurement, training: Training, seq_len: int | None) -> Measurement:
    length = (seq_len and run.seq_len) or seq_len
    zero_stage = training.zero_stage if run.zero_stage is None else run.zero_stage
    split = run.model_parallel, run.shape.tensor_parallel, run.shape.pipeline_parallel
    of_job = training.model_parallel, training.tensor_parallel, training.pipeline_parallel
    known = of_job if all(x in (None, y) for x, y in zip(split, of_job, strict=True)) else split
    if (length, zero_stage, known) == (run.seq_len, run.zero_stage, split):
        return run  # a copy of each of many runs would take longer than the answer
    _, tensor, pipeline = known
    return replace(
        run, seq_len=length, zero_stage=zero_stage, tensor_parallel=tensor, pipeline_parallel=pipeline
    )


def complete_shape(workload: Workload, placement: Placement, runs: Sequence[Measurement]) -> Shape:
    """Return the shape of the job; GPU type, precision and ZeRO stage, if not known, are those on which the runs agree."""
    shape = shape_of_job(workload, placement)
    stages = {m.zero_stage for m in runs}
    if shape.zero_stage is None and len(stages) == 1:
        shape = replace(shape, zero_stage=stages.pop())
    types = {m.gpu for m in runs}
    if shape.gpu is None and len(types) == 1:
        shape = replace(shape, gpu=types.pop())
    if shape.precision is not Precision.AUTO or shape.gpu is None:
        return shape
    gpu, precisions = _catalogue_entry(shape.gpu), {m.precision for m in runs if m.gpu == shape.gpu}
    if gpu is None and len(precisions) == 1:
        return replace(shape, precision=precisions.pop())
    return replace(shape, precision=gpu.best_precision()) if gpu else shape


def transfer_step_time(
    workload: Workload,
    placement: Placement,
    runs: Sequence[Measurement],
    floor_s: float | None,
    now: datetime | None,
    of_other_models: Sequence[Measurement] = (),
) -> Transfer | None:
    """Return the job's step time by `runs`, never below `floor_s`; None where nothing carries them over to it.

    Runs `of_other_models` on the job's cluster tell of its network.
    """
    shape = complete_shape(workload, placement, runs)
    predicted = predict_step_time(workload, placement, runs, shape, floor_s or 0.0, of_other_models)
    if predicted is None:
        return None
    prediction, assumed = predicted
    repeats = credible_repeats(shape, prediction)
    step = range_of_repeats(repeats, prediction) if repeats else prediction.step_time_s
    work_s = step.p50 * prediction.work_s.p50 / prediction.step_time_s.p50
    if repeats:
        return Transfer(
            step, work_s, prediction.runs, repeats, describe_runs(repeats, now), "", (), prediction
        )
    return Transfer(
        step,
        work_s,
        prediction.runs,
        (),
        describe_runs(prediction.runs, now),
        describe_beyond(prediction.beyond, shape),
        assumed,
        prediction,
    )


def predict_step_time(
    workload: Workload,
    placement: Placement,
    runs: Sequence[Measurement],
    shape: Shape,
    floor_s: float,
    of_other_models: Sequence[Measurement] = (),
) -> tuple[Prediction, tuple[str, ...]] | None:
    """Return the step time in `shape` by the step model, and what it assumes; None where no run leads to it."""
    others = [m for m in of_other_models if m.cluster and m.cluster == placement.cluster]
    costs = costs_of_job(workload, placement, shape)
    impossible = _beyond_peak(runs, shape, costs)
    runs = [m for m in runs if all(m is not s.measurement for s in impossible)]
    links = links_of_job(workload, placement, runs)
    try:
        model = fit(
            [*runs, *others],
            links,
            hidden_size(workload.architecture),
            model=runs[0].model,
            costs=costs,
        )
        (prediction,) = model.predict([shape], [floor_s])
    except NotEnoughHistory:
        return None
    is_own_kind = any((m.gpu, m.precision) == (shape.gpu, shape.precision) for m in prediction.runs)
    if not (
        is_own_kind or prediction.assumed
    ):  # nothing published leads from those runs to this GPU and precision
        return None
    return replace(prediction, suspects=(*prediction.suspects, *impossible)), (
        *prediction.assumed,
        *_unknown_attention(workload, shape, prediction),
        *_unmeasured_network(shape, runs, prediction, links),
        *_faster_than_measured(shape, prediction),
    )


def _beyond_peak(runs: Sequence[Measurement], shape: Shape, costs: Costs) -> list[Suspect]:
    """The runs on the GPUs of `shape` far beyond their peak; none if all are, for then the size of the model is wrong."""
    suspects = []
    for m in runs:
        tokens = m.shape.step_samples * (m.seq_len or 0)
        at_peak_s = (costs.token_s_at_peak or 0.0) * tokens / m.gpus if m.gpus > 0 < m.model_parallel else 0.0
        if (m.gpu, m.precision) == (shape.gpu, shape.precision) and m.step_time_s * _IMPOSSIBLE < at_peak_s:
            text = f"{format_significant(at_peak_s / m.step_time_s, 2)} times the peak of its GPUs: is its unit seconds?"
            suspects.append(Suspect(m, "invalid", text, 0.0))
    return suspects if len(suspects) < len(runs) else []


def _unmeasured_network(
    shape: Shape, runs: Sequence[Measurement], prediction: Prediction, links: Links
) -> Iterator[str]:
    """A line if no run used the network that the job needs, and what stands in for it; or who else tells of it."""
    others = prediction.of_other_models
    if shape.nodes > 1 and all(m.nodes == 1 for m in runs):
        machines, like = "nodes", [m for m in others if m.nodes > 1]
        link = links.bandwidth_inter_bytes_s
    elif shape.gpus > 1 and all(m.gpus == 1 for m in runs):
        machines, like = "GPUs", [m for m in others if m.gpus > 1]
        link = links.bandwidth_intra_bytes_s
    else:
        if others:
            yield f"{_describe_others(others)} on this cluster inform it too"
        return
    source = "a prior"
    if link:
        source = f"a prior by the profile's {format_significant(link / 1e9)} GB/s per GPU"
    if like:
        source += f" and {_describe_others(like)} on this cluster"
    yield f"no run was on several {machines}: their network is {source}"


def _describe_others(runs: Sequence[Measurement]) -> str:
    return f"{plural(len(runs), 'run')} of {join_names(sorted({m.model for m in runs}), 2)}"


def _unknown_attention(workload: Workload, shape: Shape, prediction: Prediction) -> Iterator[str]:
    """A line if runs of another length are carried over, and the part of attention in their work is not known."""
    lengths = {m.seq_len for m in prediction.runs if m.seq_len}
    if shape.seq_len and lengths - {shape.seq_len} and hidden_size(workload.architecture) is None:
        yield f"attention by {HIDDEN_SIZE.text}"


def _faster_than_measured(shape: Shape, prediction: Prediction) -> Iterator[str]:
    """A line if each GPU would do clearly more samples/s than in any run."""
    most = max(
        (_gpu_rate(m.shape, m.step_time_s) for m in prediction.runs if m.seq_len == shape.seq_len),
        default=0.0,
    )
    ratio = _gpu_rate(shape, prediction.step_time_s.p50) / most if most else 1.0
    if ratio > _CLEARLY_FASTER:
        yield f"each GPU does {ratio:.2f} times what it did in the fastest run"


def _gpu_rate(shape: Shape, step_time_s: float) -> float:
    """Samples/s of one GPU."""
    return shape.step_samples / shape.gpus / step_time_s


def _catalogue_entry(key: str | None) -> Gpu | None:
    return read_gpus().get(key or "")
