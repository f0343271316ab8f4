"""The step time of any shape, learned from the runs of one model.

`fit` takes the runs, `StepTimeModel.predict` returns the step time of shapes as ranges.  `model` has the physics,
`posterior` the fit, `input_wait` the wait for input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ...cluster_profiles.precision import Precision
from ...errors import NotEnoughHistory
from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..measurements.suspects import Suspect, find_suspects
from ..ranges import Range
from .input_wait import Loader, infer_loaders, with_input_wait
from .links import Links
from .model import HIGHEST, LOWEST, Belief, Parameter, log_time, prior
from .observations import group_by_point, observe, points_of
from .posterior import Posterior, draw, fit_posterior, leave_one_out_residuals, transfer_belief

# The factor on the fit's own widths: the clusters but one put it at 0.73 to 0.86 (docs/explanation/accuracy.md).
_WIDTH = 0.8

# The share of each parameter's variance that hardware of one model has in common.  Another GPU type is on another
# network, but how much of that can hide is the model's; another precision or sequence length is on the same network.
_COMMON_OF_GPUS = {
    Parameter.LOG_COMPUTE: 0.75,
    Parameter.LOG_FIXED_BATCH: 0.75,
    Parameter.LOG_INTRA: 0.15,
    Parameter.INTRA_GPUS: 0.0,
    Parameter.LOG_INTER: 0.0,
    Parameter.INTER_NODES: 0.0,
    Parameter.INTER_GPUS: 0.0,
    Parameter.STRAGGLING: 0.05,
    Parameter.LOG_SHARPNESS: 0.5,
    Parameter.LOG_OVERLAP: 0.5,
}
_COMMON_OF_ONE_GPU = {
    **_COMMON_OF_GPUS,
    **dict.fromkeys(
        (
            Parameter.LOG_INTRA,
            Parameter.INTRA_GPUS,
            Parameter.LOG_INTER,
            Parameter.INTER_NODES,
            Parameter.INTER_GPUS,
        ),
        0.8,
    ),
    Parameter.STRAGGLING: 0.5,
}

_ENOUGH_POINTS = 5  # fewer cannot tell a wrong run from a rule that no run shows yet
_OUTLIER_SDS, _OUTLIER_LOG = 4.0, math.log(1.5)


@dataclass(frozen=True)
class Prediction:
    """The step time of one shape, and the runs it rests on.

    `work_s` is the part that GPUs and network take, before one of the `loaders` makes it wait.  `compute_s`, `network_s`
    and `input_s` add up to the P50.  `beyond` names the first dimension that no run reached, or is empty.
    """

    step_time_s: Range
    work_s: Range
    compute_s: float
    network_s: float
    input_s: float
    beyond: str
    runs: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    loaders: tuple[Loader, ...]


def fit(measurements: Sequence[Measurement], links: Links | None = None) -> "StepTimeModel":
    """Return the step model of the usable runs of one model.  Raises NotEnoughHistory if none of them is usable.

    >>> runs = [Measurement("m", "a100", 1, n, n, 32, 1, Precision.BF16, None, t) for n, t in ((1, 0.3), (2, 0.32))]
    >>> fit(runs).predict([Shape("a100", 1, 4, 4, 32, precision=Precision.BF16)])[0].beyond
    'gpus'
    """
    suspects = find_suspects(measurements)
    unusable = {id(s.measurement) for s in suspects if not s.doubt}
    usable = [m for m in measurements if id(m) not in unusable]
    if not usable:
        raise NotEnoughHistory("this model has no usable run: measure one, on 1 GPU if it fits")
    return StepTimeModel(tuple(usable), tuple(suspects), links or Links())


@dataclass(frozen=True)
class StepTimeModel:
    """The usable runs of one model, those that are suspect, and the links; made by `fit`."""

    measurements: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    links: Links

    def predict(
        self, shapes: Sequence[Shape], fastest_step_s: Sequence[float] | None = None
    ) -> list[Prediction]:
        """Return the step time of each shape; none is below its `fastest_step_s`, or faster than the links allow."""
        floors = fastest_step_s or [0.0] * len(shapes)
        predictions: dict[int, Prediction] = {}
        for kind, first in {_kind(shape): shape for shape in shapes}.items():
            places = [i for i, shape in enumerate(shapes) if _kind(shape) == kind]
            limits = [max(floors[i], self.links.least_s(shapes[i])) for i in places]
            of_kind = self.fit_kind(first).predictions([shapes[i] for i in places], limits)
            predictions |= zip(places, of_kind, strict=True)
        return [predictions[i] for i in range(len(shapes))]

    def fit_kind(self, shape: Shape) -> "KindFit":
        """Return the fit to the runs of the shape's own kind; the runs of other kinds make its prior."""
        runs_of: dict[_Kind, list[Measurement]] = {}
        for m in self.measurements:
            runs_of.setdefault(_kind(m), []).append(m)
        of_kind = runs_of.pop(_kind(shape), [])
        batch_sizes = [m.batch_size for m in (of_kind or self.measurements)]
        reference = math.exp(fmean(map(math.log, batch_sizes)))
        belief = prior(self.links.pair_intra_s, self.links.pair_inter_s)
        doubts = {id(s.measurement): s.doubt for s in self.suspects}
        for on_one_gpu, common in ((False, _COMMON_OF_GPUS), (True, _COMMON_OF_ONE_GPU)):
            others = [
                observe(runs, doubts)
                for kind, runs in runs_of.items()
                if (kind.gpu == shape.gpu) == on_one_gpu
            ]
            if others:
                belief = transfer_belief(belief, others, [common[p] for p in Parameter], reference)
        posterior = fit_posterior(observe(of_kind, doubts), belief, reference)
        outliers: tuple[Suspect, ...] = ()
        if len(posterior.observed.at) >= _ENOUGH_POINTS:
            outliers = _outliers(of_kind, posterior, belief)
            if outliers:
                doubts |= {id(s.measurement): s.doubt for s in outliers}
                posterior = fit_posterior(observe(of_kind, doubts), belief, reference)
        return KindFit(tuple(of_kind), self.measurements, (*self.suspects, *outliers), posterior)


def _outliers(of_kind: Sequence[Measurement], posterior: Posterior, belief: Belief) -> tuple[Suspect, ...]:
    """The runs at the point that all others contradict most; none if they contradict no point clearly."""
    residuals, sd = leave_one_out_residuals(posterior, belief)
    worst = int(np.argmax(np.abs(residuals) / sd))
    residual = float(residuals[worst])
    if abs(residual) < max(_OUTLIER_SDS * sd[worst], _OUTLIER_LOG):
        return ()
    text = f"{math.exp(abs(residual)):.3g} times {'slower' if residual > 0 else 'faster'} than all other runs say"
    return tuple(Suspect(m, "outlier", text, residual**2) for m in group_by_point(of_kind)[worst])


class _Kind(NamedTuple):
    """What runs must have in common to be fitted together."""

    gpu: str | None
    precision: Precision
    seq_len: int | None


def _kind(shape: Shape | Measurement) -> _Kind:
    return _Kind(shape.gpu, shape.precision, shape.seq_len)


@dataclass(frozen=True)
class KindFit:
    """The fit for one GPU type, precision and sequence length, and the runs it rests on.

    `of_kind` are the runs of that kind; `measurements` are those of all kinds.
    """

    of_kind: tuple[Measurement, ...]
    measurements: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    posterior: Posterior

    def predictions(self, shapes: Sequence[Shape], floors: Sequence[float]) -> list[Prediction]:
        """Return the step time of each shape of this kind, its work never below its floor in seconds."""
        at = points_of(shapes)
        draws = np.sort(draw(self.posterior, at), 0)
        low, middle, high = np.quantile(draws, (0.1, 0.5, 0.9), axis=0)
        # The least expected percentage error is at the median under weights 1 / T.
        weight = np.cumsum(np.exp(draws[0] - draws), 0)
        point = np.take_along_axis(draws, np.argmax(weight >= weight[-1] / 2, 0)[None], 0)[0]
        mode = self.posterior.mode[self.posterior.best]
        log_t, log_c, _ = log_time(np.clip(mode, LOWEST, HIGHEST), at, self.posterior.reference)
        compute_share = np.minimum(np.exp(log_c - log_t) * at.accumulation, 1)
        runs = self.of_kind or self.measurements
        loaders = infer_loaders(runs)
        predictions = []
        for i, shape in enumerate(shapes):
            p10 = math.exp(middle[i] + (low[i] - middle[i]) * _WIDTH)
            p90 = math.exp(middle[i] + (high[i] - middle[i]) * _WIDTH)
            p50 = min(max(math.exp(point[i]), p10), p90)
            work = Range(p10, p50, p90).at_least(floors[i])
            step = with_input_wait(work, loaders, shape)
            compute_s = work.p50 * float(compute_share[i])
            predictions.append(
                Prediction(
                    step_time_s=step,
                    work_s=work,
                    compute_s=compute_s,
                    network_s=work.p50 - compute_s,
                    input_s=step.p50 - work.p50,
                    beyond=_beyond(shape, runs),
                    runs=runs,
                    suspects=self.suspects,
                    loaders=loaders,
                )
            )
        return predictions


def _beyond(shape: Shape, runs: Sequence[Measurement]) -> str:
    """The first dimension in which `shape` is past every run."""
    if shape.gpus > max(m.gpus for m in runs):
        return "gpus"
    if shape.nodes > max(m.nodes for m in runs):
        return "nodes"
    batch_sizes = [m.batch_size for m in runs]
    return "" if min(batch_sizes) <= shape.batch_size <= max(batch_sizes) else "batch_size"
