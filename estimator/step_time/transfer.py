"""From runs of a model to the step time of a job: which runs count, and how they are carried over to its shape.

Runs of exactly the job's shape answer for it.  From other shapes on the same GPUs in the same precision the step
model predicts: see `predict`.  From another GPU type or precision a published ratio carries the prediction over: see
`ratios`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from statistics import NormalDist, median

from ...cluster_profiles.gpu import Gpu, read_gpus
from ...cluster_profiles.precision import Precision
from ...errors import NotEnoughHistory
from ..job.placement import Placement, shape_of_job
from ..job.shape import Shape
from ..job.training import Training
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import STATED_SPREAD, Prior
from ..ranges import Range
from .input_wait import with_input_wait
from .links import links_of_job
from .predict import Prediction, fit
from .ratios import gpu_ratio, precision_ratio
from .source import describe_beyond, describe_runs

# A run this much older than the newest of its shape no longer counts: software has changed since.
_OUTDATED = timedelta(days=90)
# The least spread of a measured shape, however well its runs agree.  One repeats to 0.1 to 0.4 % in MLPerf Training
# v4.1 logs, on machines that nobody shares.
LEAST_MEASURED_SPREAD = 0.02
_CLEARLY_FASTER = 1 + STATED_SPREAD
# A run that the others contradict by more than this factor is a mistake; a slow link alone has made steps 5 times
# longer (haotian-liu/LLaVA#594).
_MISTAKE_FACTOR = 10.0
_Z90 = NormalDist().inv_cdf(0.9)
_SD_OF_MEDIAN_DISTANCE = 1 / NormalDist().inv_cdf(0.75)


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
    beyond: str  # the part of the shape that no run reached, with its verb
    assumed: tuple[str, ...]
    prediction: Prediction


def select_runs(workload: Workload, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the runs of the job's model with as many GPUs per replica, without outdated repeats of a shape.

    Where the job or a run does not state its sequence length, it is taken to be that of the other.  A layout and a ZeRO
    stage that a run does not state are taken to be those of the job.
    """
    training = workload.training
    runs = [
        _completed(m, training, workload.data.seq_len)
        for m in measurements
        if m.model == workload.model and m.model_parallel == training.model_parallel
    ]
    newest: dict[Shape, datetime] = {}
    for m in runs:
        if m.when:
            newest[m.shape] = max(m.when, newest.get(m.shape, m.when))
    return [m for m in runs if m.when is None or newest[m.shape] - m.when <= _OUTDATED]


def _completed(run: Measurement, training: Training, seq_len: int | None) -> Measurement:
    zero_stage = training.zero_stage if run.zero_stage is None else run.zero_stage
    run = replace(run, seq_len=(seq_len and run.seq_len) or seq_len, zero_stage=zero_stage)
    tensor, pipeline = training.tensor_parallel, training.pipeline_parallel
    if run.tensor_parallel in (None, tensor) and run.pipeline_parallel in (None, pipeline):
        return replace(run, tensor_parallel=tensor, pipeline_parallel=pipeline)
    return run


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
) -> Transfer | None:
    """Return the job's step time by `runs`, never below `floor_s`; None where nothing carries them over to it."""
    shape = complete_shape(workload, placement, runs)
    runs, length_assumed = _runs_of_length(runs, shape.seq_len)
    if not runs:
        return None
    measured_kind = _nearest_kind(shape, runs)
    ratios = _ratios(measured_kind, shape)
    if ratios is None:
        return None
    links = links_of_job(workload, placement, runs)
    try:
        (prediction,) = fit(runs, links).predict([measured_kind], [0.0 if ratios else floor_s or 0.0])
    except NotEnoughHistory:
        return None
    repeats = _credible_repeats(measured_kind, prediction)
    step = _range_of_repeats(repeats, prediction) if repeats else prediction.step_time_s
    work = step.scaled(prediction.work_s.p50 / prediction.step_time_s.p50)
    if ratios:  # another GPU or precision does not speed up input
        work = reduce(Range.times, (ratio.range.inverted(1) for ratio in ratios), work)
        step = with_input_wait(work, prediction.loaders, shape)
    elif repeats and not length_assumed:
        origin = describe_runs(repeats, now)
        return Transfer(step, work.p50, prediction.runs, repeats, origin, "", (), prediction)
    return Transfer(
        step.at_least(floor_s or 0.0),
        max(work.p50, floor_s or 0.0),
        prediction.runs,
        (),
        describe_runs(prediction.runs, now),
        describe_beyond(prediction.beyond, shape),
        (
            *length_assumed,
            *(ratio.text for ratio in ratios),
            *_unmeasured_network(measured_kind, runs),
            *_faster_than_measured(measured_kind, prediction),
        ),
        prediction,
    )


def _credible_repeats(shape: Shape, prediction: Prediction) -> tuple[Measurement, ...]:
    """Runs of exactly `shape` without mistakes: a wrong unit, or a single run that all others contradict."""
    repeats = [m for m in prediction.runs if m.shape == shape]
    mistakes = {
        id(s.measurement)
        for s in prediction.suspects
        if s.kind == "units" or (len(repeats) == 1 and s.doubt > math.log(_MISTAKE_FACTOR) ** 2)
    }
    return tuple(m for m in repeats if id(m) not in mistakes)


def _range_of_repeats(repeats: Sequence[Measurement], prediction: Prediction) -> Range:
    """The range of the repeats; where the only one is suspect, as wide as the prediction by all runs too."""
    step = measured_range(repeats)
    if len(repeats) > 1 or not any(s.measurement is repeats[0] for s in prediction.suspects):
        return step
    predicted = prediction.step_time_s
    return Range(min(step.p10, predicted.p10), step.p50, max(step.p90, predicted.p90))


def _unmeasured_network(shape: Shape, runs: Sequence[Measurement]) -> Iterator[str]:
    """A line if no run used the network that the job needs."""
    if shape.nodes > 1 and all(m.nodes == 1 for m in runs):
        yield "no run was on several nodes: their network is a prior"
    elif shape.gpus > 1 and all(m.gpus == 1 for m in runs):
        yield "no run was on several GPUs: their network is a prior"


def _faster_than_measured(shape: Shape, prediction: Prediction) -> Iterator[str]:
    """A line if each GPU would do clearly more samples/s than in any run."""
    most = max(m.batch_size * m.accumulation / m.step_time_s for m in prediction.runs)
    ratio = shape.batch_size * shape.accumulation / prediction.step_time_s.p50 / most
    if ratio > _CLEARLY_FASTER:
        yield f"each GPU does {ratio:.2f} times what it did in the fastest run"


def _runs_of_length(
    runs: Sequence[Measurement], seq_len: int | None
) -> tuple[Sequence[Measurement], tuple[str, ...]]:
    """Runs with samples of that many tokens; if there are none, the others at as many tokens/s, and a line on that."""
    of_length = [m for m in runs if m.seq_len == seq_len]
    if of_length or not seq_len:
        return of_length, ()
    stretched = [
        replace(m, seq_len=seq_len, step_time_s=m.step_time_s * seq_len / m.seq_len)
        for m in runs
        if m.seq_len
    ]
    lengths = " and ".join(f"{length:,}" for length in sorted({m.seq_len for m in runs if m.seq_len}))
    return stretched, (f"as many tokens/s at {seq_len:,} tokens per sample as at {lengths}",)


def _nearest_kind(shape: Shape, runs: Sequence[Measurement]) -> Shape:
    """`shape` on a GPU type and in a precision that were measured: its own if possible, else the commonest."""
    kinds = Counter((m.gpu, m.precision) for m in runs)
    gpu, precision = max(
        kinds, key=lambda kind: (kind[0] == shape.gpu, kind[1] == shape.precision, kinds[kind])
    )
    return replace(shape, gpu=gpu, precision=precision)


def _ratios(before: Shape, after: Shape) -> tuple[Prior, ...] | None:
    """Ratios of speed from one GPU type and precision to another; None where nothing published has them."""
    ratios = list[Prior]()
    gpu_before, gpu_after = _catalogue_entry(before.gpu), _catalogue_entry(after.gpu)
    if before.precision != after.precision:
        one_gpu = gpu_after if before.gpu == after.gpu else None
        ratio = precision_ratio(before.precision, after.precision, one_gpu)
        if ratio is None:
            return None
        ratios.append(ratio)
    if before.gpu != after.gpu:
        if gpu_before is None or gpu_after is None:
            return None
        ratios.append(gpu_ratio(gpu_before, gpu_after))
    return tuple(ratios)


def _catalogue_entry(key: str | None) -> Gpu | None:
    return read_gpus().get(key or "")


def measured_range(repeats: Sequence[Measurement]) -> Range:
    """Return the range in which another run of one shape would be, in seconds; its P50 is the median of `repeats`.

    One run is known to h: the spread of its steps, at least `STATED_SPREAD`.  With n runs, z the 90 % point of the
    normal distribution and m the median distance of log T from its median, the range is z s sqrt(1 + 1/n) either way,
    where s^2 = ((log(1 + h) / z)^2 / 2 + (n - 1) (1.48 m)^2) / n: the more runs agree, the narrower it is, down to
    `LEAST_MEASURED_SPREAD`.
    """
    n, times = len(repeats), [m.step_time_s for m in repeats]
    middle = median(times)
    sd_of_one = math.log1p(max(median([m.spread or 0.0 for m in repeats]), STATED_SPREAD)) / _Z90
    sd_between = _SD_OF_MEDIAN_DISTANCE * median([abs(math.log(t / middle)) for t in times])
    sd = math.sqrt((sd_of_one**2 / 2 + (n - 1) * sd_between**2) / n)
    return Range.around(middle, max(math.expm1(_Z90 * sd * math.sqrt(1 + 1 / n)), LEAST_MEASURED_SPREAD))
