"""Which runs inform a job, and what they say: the same GPUs and precision first, then the nearest others.

From runs on another GPU type, or in another precision, the step time is carried over with a published ratio and
its spread; see `ratios`.  Everything else about the shape is the learned model's: see `predict`.
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
from ...cluster_profiles.units import plural
from ...errors import NotEnoughHistory
from ..job.placement import Placement, shape_of_job
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import GIVEN_SPREAD, Prior
from ..ranges import Range
from .input_wait import with_input_wait
from .links import Links
from .predict import Prediction, fit
from .ratios import gpu_ratio, precision_ratio

# A run this much older than the newest of its configuration no longer counts: software has changed since.
_OUTDATED = timedelta(days=90)
# However well runs of one configuration agree: it repeats to 0.1 to 0.4 % in MLPerf Training v4.1 logs, on machines that
# nobody shares.
LEAST_MEASURED_SPREAD = 0.02
_CLEARLY_FASTER = 1 + GIVEN_SPREAD
# A run that the others contradict by more than this is a mistake; a slow link alone has made steps 5 times longer
# (haotian-liu/LLaVA#594).
_MISTAKEN = 10.0
_GIGA = 1e9
_Z90 = NormalDist().inv_cdf(0.9)
_SD_OF_MEDIAN_DISTANCE = 1 / NormalDist().inv_cdf(0.75)
_BYTES = {Precision.FP32: 4, Precision.TF32: 4}  # of one gradient; else 2, the least that is exchanged


@dataclass(frozen=True)
class CarriedOver:
    """The step time that runs of the model say, and what that rests on.

    `same` are those of exactly this configuration; where there are any, the step time is theirs.
    """

    step_time_s: Range
    work_s: float  # of its P50, what GPUs and network take
    runs: tuple[Measurement, ...]
    same: tuple[Measurement, ...]
    origin: str
    beyond: str  # what of the shape is beyond them, with its verb
    assumed: tuple[str, ...]
    prediction: Prediction


def select_runs(workload: Workload, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Runs of the job's model with as many GPUs a replica; of one configuration none that is long outdated.

    A sequence length that one of the two does not state is taken to be the other's.
    """
    training, seq_len = workload.training, workload.data.seq_len
    found = [
        replace(m, seq_len=seq_len) if m.seq_len is None or seq_len is None else m
        for m in measurements
        if m.model == workload.model and m.model_parallel == training.model_parallel
    ]
    newest: dict[Shape, datetime] = {}
    for m in found:
        if m.when:
            newest[m.shape] = max(m.when, newest.get(m.shape, m.when))
    return [m for m in found if m.when is None or newest[m.shape] - m.when <= _OUTDATED]


def carry_over(
    workload: Workload,
    placement: Placement,
    runs: Sequence[Measurement],
    floor_s: float | None,
    now: datetime | None,
) -> CarriedOver | None:
    """What `runs` say of the job's step time; None where they cannot be carried over to it."""
    query = shape_asked(workload, placement, runs)
    runs, stretched = _of_length(runs, query.seq_len)
    if not runs:
        return None
    near = _nearest(query, runs)
    ratios = _ratios(near, query)
    if ratios is None:
        return None
    links = links_of_job(workload, placement, runs)
    try:
        (told,) = fit(runs, links).predict([near], [0.0 if ratios else floor_s or 0.0])
    except NotEnoughHistory:
        return None
    same = _believed(near, told)
    step = _repeated(same, told) if same else told.step_time_s
    work = step.scaled(told.work_s.p50 / told.step_time_s.p50)
    if ratios:  # another GPU or precision does not hasten input
        work = reduce(Range.times, (ratio.range.inverted(1) for ratio in ratios), work)
        step = with_input_wait(work, told.loaders, query)
    elif same and not stretched:
        return CarriedOver(step, work.p50, told.used, same, origin(same, now), "", (), told)
    return CarriedOver(
        step.at_least(floor_s or 0.0),
        max(work.p50, floor_s or 0.0),
        told.used,
        (),
        origin(told.used, now),
        _named(told.beyond, query),
        (
            *stretched,
            *(ratio.text for ratio in ratios),
            *_unseen(near, runs),
            *_faster_than_measured(near, told),
        ),
        told,
    )


def _believed(shape: Shape, told: Prediction) -> tuple[Measurement, ...]:
    """The runs of one configuration, less those that are a mistake: one alone is, where all others contradict it."""
    same = [m for m in told.used if m.shape == shape]
    mistaken = {
        id(s.measurement)
        for s in told.suspects
        if s.kind == "units" or (len(same) == 1 and s.doubt > math.log(_MISTAKEN) ** 2)
    }
    return tuple(m for m in same if id(m) not in mistaken)


def _repeated(same: Sequence[Measurement], told: Prediction) -> Range:
    """What runs of one configuration say; of one alone that is hard to believe, what all others say of it too."""
    step = measured_range(same)
    if len(same) > 1 or not any(s.measurement is same[0] for s in told.suspects):
        return step
    return Range(min(step.p10, told.step_time_s.p10), step.p50, max(step.p90, told.step_time_s.p90))


def _unseen(query: Shape, runs: Sequence[Measurement]) -> Iterator[str]:
    """A line if nothing was measured of the network that the job needs."""
    if query.nodes > 1 and all(m.nodes == 1 for m in runs):
        yield "no run was on several nodes: their network is a prior"
    elif query.gpus > 1 and all(m.gpus == 1 for m in runs):
        yield "no run was on several GPUs: their network is a prior"


def _faster_than_measured(query: Shape, told: Prediction) -> Iterator[str]:
    """A line if each GPU would do clearly more than in any run."""
    most = max(m.batch_size * m.accumulation / m.step_time_s for m in told.used)
    ratio = query.batch_size * query.accumulation / told.step_time_s.p50 / most
    if ratio > _CLEARLY_FASTER:
        yield f"each GPU does {ratio:.2f} times what it did in the fastest run"


def shape_asked(workload: Workload, placement: Placement, runs: Sequence[Measurement]) -> Shape:
    """Return the shape of the job; a GPU type that is not stated is the only one measured."""
    shape = shape_of_job(workload, placement)
    if shape.gpu is None and len(measured_on := {m.gpu for m in runs}) == 1:
        (key,) = measured_on
        only = _catalogued(key)
        precision = shape.precision
        if only and precision is Precision.AUTO:
            precision = only.best_precision()
        return replace(shape, gpu=key, precision=precision)
    return shape


def _of_length(
    runs: Sequence[Measurement], seq_len: int | None
) -> tuple[Sequence[Measurement], tuple[str, ...]]:
    """Runs with samples of that many tokens; if there are none, those of other lengths at as many tokens/s."""
    same = [m for m in runs if m.seq_len == seq_len]
    if same or not seq_len:
        return same, ()
    stretched = [
        replace(m, seq_len=seq_len, step_time_s=m.step_time_s * seq_len / m.seq_len)
        for m in runs
        if m.seq_len
    ]
    lengths = " and ".join(f"{length:,}" for length in sorted({m.seq_len for m in runs if m.seq_len}))
    return stretched, (f"as many tokens/s at {seq_len:,} tokens a sample as at {lengths}",)


def _nearest(query: Shape, runs: Sequence[Measurement]) -> Shape:
    """The question on GPUs and in a precision that were measured: as asked, else one of them, else both others."""
    kinds = Counter((m.gpu, m.precision) for m in runs)
    gpu, precision = max(
        kinds, key=lambda kind: (kind[0] == query.gpu, kind[1] == query.precision, kinds[kind])
    )
    return replace(query, gpu=gpu, precision=precision)


def _ratios(near: Shape, query: Shape) -> tuple[Prior, ...] | None:
    """What carries a speed from the one to the other; None where nothing published does."""
    found = list[Prior]()
    before, after = _catalogued(near.gpu), _catalogued(query.gpu)
    if near.precision != query.precision:
        ratio = precision_ratio(near.precision, query.precision, after if near.gpu == query.gpu else None)
        if ratio is None:
            return None
        found.append(ratio)
    if near.gpu != query.gpu:
        if before is None or after is None:
            return None
        found.append(gpu_ratio(before, after))
    return tuple(found)


def _catalogued(key: str | None) -> Gpu | None:
    return read_gpus().get(key or "")


def links_of_job(workload: Workload, placement: Placement, runs: Sequence[Measurement]) -> Links:
    """What the profile says of the exchange of gradients, unless a run was faster than that allows."""
    parameters, partition = workload.architecture.parameters, placement.partition
    if parameters is None or partition is None:
        return Links()
    intra, inter = partition.intra_node, partition.inter_node
    links = Links(
        parameters * _BYTES.get(placement.precision, 2) / workload.training.model_parallel,
        intra.gb_per_s * _GIGA if intra else None,
        inter.gb_per_s * _GIGA if inter else None,
    )
    beaten = any(m.step_time_s < links.least_s(m.shape) for m in runs)  # part of the model is frozen
    return Links() if beaten else links


def measured_range(same: Sequence[Measurement]) -> Range:
    """Runs of one configuration: their median, and between what another run of it would be.

    One run is known to h: what its steps spread, at least `GIVEN_SPREAD`.  With n runs, z the 90 % point of the normal
    distribution and m the median distance of log T from its median, z s sqrt(1 + 1/n) either way, where
    s^2 = ((log(1 + h) / z)^2 / 2 + (n - 1) (1.48 m)^2) / n: the more of them agree, the narrower, to
    `LEAST_MEASURED_SPREAD`.
    """
    n, times = len(same), [m.step_time_s for m in same]
    middle = median(times)
    one = math.log1p(max(median([m.spread or 0.0 for m in same]), GIVEN_SPREAD)) / _Z90
    apart = _SD_OF_MEDIAN_DISTANCE * median([abs(math.log(t / middle)) for t in times])
    sd = math.sqrt((one**2 / 2 + (n - 1) * apart**2) / n)
    return Range.around(middle, max(math.expm1(_Z90 * sd * math.sqrt(1 + 1 / n)), LEAST_MEASURED_SPREAD))


def origin(runs: Sequence[Measurement], now: datetime | None) -> str:
    """The runs in one phrase: how many, of what, on what, and how old the last is."""
    counts = sorted({m.gpus for m in runs})
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    kinds = dict.fromkeys(m.gpu or ("GPU" if counts == [1] else "GPUs") for m in runs)
    text = f"from {plural(len(runs), 'run')} of {runs[0].model} on {span} {' or '.join(kinds)}"
    dates = [m.when for m in runs if m.when]
    return f"{text}, the last {_ago((now - max(dates)).days)}" if now and dates else text


def _ago(days: int) -> str:
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days:,} days ago"


def _named(dimension: str, query: Shape) -> str:
    names = {
        "": "",
        "gpus": f"{plural(query.gpus, 'GPU')} {'is' if query.gpus == 1 else 'are'}",
        "nodes": f"{plural(query.nodes, 'node')} {'is' if query.nodes == 1 else 'are'}",
    }
    return names.get(dimension, f"a micro-batch of {query.batch_size:,} is")
