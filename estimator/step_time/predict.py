"""The step time of shapes that were not measured, learned from those that were.

`fit` takes the runs of one model, `StepTimeModel.predict` tells any shape, each as a range with what it rests on:
`model` has the physics, `posterior` the fit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ...errors import NotEnoughHistory
from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..measurements.suspects import Suspect, find_suspects
from ..ranges import Range
from .input_wait import Loader, infer_loaders, with_input_wait
from .links import Links
from .model import HIGHEST, LOWEST, Belief, log_time, prior
from .observations import configurations, observe, shape_arrays
from .posterior import Posterior, draw, fit_posterior, leave_one_out_residuals, transfer_belief

# What the fit's own widths are multiplied by: the clusters but one put it at 0.73 to 0.86 (docs/explanation/accuracy.md).
_WIDTH = 0.8

# Variance that hardware of one model has in common, by parameter of the step model: other GPUs are on another
# network, but how much of it can hide is the model's; another precision or sequence length is not.
_OTHER_GPU = (0.75, 0.75, 0.15, 0, 0, 0, 0, 0.05, 0.5, 0.5)
_SAME_GPU = (0.75, 0.75, 0.8, 0.8, 0.8, 0.8, 0.8, 0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Prediction:
    """The step time of one shape; `beyond` names the dimension past what was measured, or is empty.

    `work_s` is what GPUs and network take of it, whatever one of `infer_loaders` then makes it wait.
    """

    step_time_s: Range
    work_s: Range
    compute_s: float
    network_s: float
    input_s: float
    beyond: str
    used: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    loaders: tuple[Loader, ...]


def fit(measurements: Sequence[Measurement], links: Links | None = None) -> "StepTimeModel":
    """What the runs of one model say; raises NotEnoughHistory where none of them is usable.

    >>> from ...cluster_profiles.precision import Precision
    >>> runs = [Measurement("m", "a100", 1, n, n, 32, 1, Precision.BF16, None, t) for n, t in ((1, 0.3), (2, 0.32))]
    >>> asked = Shape("a100", 1, 4, 4, 32, precision=Precision.BF16)
    >>> fit(runs).predict([asked])[0].beyond
    'gpus'
    """
    found = find_suspects(measurements)
    unusable = {id(s.measurement) for s in found if not s.doubt}
    usable = [m for m in measurements if id(m) not in unusable]
    if not usable:
        raise NotEnoughHistory("no usable run of this model is known: measure one, on 1 GPU if it fits")
    return StepTimeModel(tuple(usable), tuple(found), links or Links())


@dataclass(frozen=True)
class StepTimeModel:
    """The runs that inform, those of them under suspicion, and the links; made by `fit`."""

    measurements: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    links: Links

    def predict(
        self, queries: Sequence[Shape], fastest_step_s: Sequence[float] | None = None
    ) -> list[Prediction]:
        """The step time of each; none below its `fastest_step_s`, nor faster than the links allow."""
        floors = fastest_step_s or [0.0] * len(queries)
        answers: dict[int, Prediction] = {}
        for kind, first in {_kind(q): q for q in queries}.items():
            learned = self.learned(first)
            places = [i for i, q in enumerate(queries) if _kind(q) == kind]
            asked = [queries[i] for i in places]
            limits = [max(floors[i], self.links.least_s(queries[i])) for i in places]
            answers |= zip(places, learned.predictions(asked, limits), strict=True)
        return [answers[i] for i in range(len(queries))]

    def learned(self, query: Shape) -> "KindFit":
        """The fit to the runs of this GPU and precision, with what all others say as its prior."""

        kinds: dict[tuple[object, ...], list[Measurement]] = {}
        for m in self.measurements:
            kinds.setdefault(_kind(m), []).append(m)
        own = kinds.pop(_kind(query), [])
        sizes = [m.batch_size for m in (own or self.measurements)]
        reference = math.exp(fmean(map(math.log, sizes)))
        links = self.links
        belief = prior(
            links.ring_s(links.bandwidth_intra_bytes_s), links.ring_s(links.bandwidth_inter_bytes_s)
        )
        doubt = {id(s.measurement): s.doubt for s in self.suspects}
        for same_gpu, shares in ((False, _OTHER_GPU), (True, _SAME_GPU)):
            others = [
                observe(runs, doubt) for kind, runs in kinds.items() if (kind[0] == query.gpu) == same_gpu
            ]
            if others:
                belief = transfer_belief(belief, others, shares, reference)
        posterior = fit_posterior(observe(own, doubt), belief, reference)
        odd: tuple[Suspect, ...] = ()
        if len(posterior.observed.at) >= _ENOUGH_TO_JUDGE:
            odd = _outliers(own, posterior, belief)
            if odd:
                doubt |= {id(s.measurement): s.doubt for s in odd}
                posterior = fit_posterior(observe(own, doubt), belief, reference)
        return KindFit(tuple(own), self.measurements, (*self.suspects, *odd), posterior)


_ENOUGH_TO_JUDGE = 5  # configurations: fewer cannot tell a wrong run from a rule not yet seen
_SURPRISING_SD, _SURPRISING = 4.0, math.log(1.5)


def _outliers(own: Sequence[Measurement], posterior: Posterior, belief: Belief) -> tuple[Suspect, ...]:
    """The run, if any, that all others contradict."""
    off, sd = leave_one_out_residuals(posterior, belief)
    worst = int(np.argmax(np.abs(off) / sd))
    if abs(off[worst]) < max(_SURPRISING_SD * sd[worst], _SURPRISING):
        return ()
    groups = configurations(own)
    text = f"{math.exp(abs(off[worst])):.3g} times {'slower' if off[worst] > 0 else 'faster'} than all other runs say"
    return tuple(Suspect(m, "outlier", text, float(off[worst] ** 2)) for m in groups[worst])


@dataclass(frozen=True)
class KindFit:
    """What is known of one GPU type, precision and sequence length: a fit, and what it rests on."""

    own: tuple[Measurement, ...]
    measurements: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    posterior: Posterior

    def predictions(self, queries: Sequence[Shape], floors: Sequence[float]) -> list[Prediction]:
        at = shape_arrays(queries)
        drawn = np.sort(draw(self.posterior, at), 0)
        low, middle, high = np.quantile(drawn, (0.1, 0.5, 0.9), axis=0)
        # The least expected percentage error is at the median under weights 1 / T.
        weight = np.cumsum(np.exp(drawn[0] - drawn), 0)
        point = np.take_along_axis(drawn, np.argmax(weight >= weight[-1] / 2, 0)[None], 0)[0]
        mode = self.posterior.mode[self.posterior.best]
        log_t, log_c, _ = log_time(np.clip(mode, LOWEST, HIGHEST), at, self.posterior.reference)
        compute = np.minimum(np.exp(log_c - log_t) * at.accumulation, 1)
        used = self.own or self.measurements
        allowed = infer_loaders(used)
        answers = []
        for i, query in enumerate(queries):
            beyond = _beyond(query, used)
            p10 = math.exp(middle[i] + (low[i] - middle[i]) * _WIDTH)
            p90 = math.exp(middle[i] + (high[i] - middle[i]) * _WIDTH)
            p50 = min(max(math.exp(point[i]), p10), p90)
            work = Range(p10, p50, p90).at_least(floors[i])
            step = with_input_wait(work, allowed, query)
            busy = work.p50 * float(compute[i])
            answers.append(
                Prediction(
                    step,
                    work,
                    busy,
                    work.p50 - busy,
                    step.p50 - work.p50,
                    beyond,
                    used,
                    self.suspects,
                    allowed,
                )
            )
        return answers


def _kind(of: Shape | Measurement) -> tuple[object, ...]:
    return of.gpu, of.precision, of.seq_len


def _beyond(query: Shape, runs: Sequence[Measurement]) -> str:
    """The first dimension in which `query` is past every run."""
    if query.gpus > max(m.gpus for m in runs):
        return "gpus"
    if query.nodes > max(m.nodes for m in runs):
        return "nodes"
    sizes = [m.batch_size for m in runs]
    return "" if min(sizes) <= query.batch_size <= max(sizes) else "batch_size"
