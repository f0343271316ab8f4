"""Runs that are not of the job's own kind, and what they tell of it: their weight falls as own runs come in.

Own kind is the job's model on its GPU type in its precision.  Runs of the model of another kind are observations of it,
off by a ratio that is known only roughly.  Runs of other models on the cluster tell of its software and network.
"""

import math
from collections.abc import Sequence
from functools import lru_cache, reduce
from statistics import NormalDist

import numpy as np

from ....cluster_profiles.precision import Precision
from ...job.shape import Shape
from ...measurements.measurement import Measurement
from ...measurements.suspects import find_suspects
from ...ranges import Range
from .belief import Belief, Prior, believe
from .exchange import Links
from .observations import Observations, RunsOfKind, observe
from .parameters import Parameter
from .posterior import fit_posterior, inverse_of

_Z90 = NormalDist().inv_cdf(0.9)
_MOST_MODELS = 4  # that inform another, so that it takes milliseconds
_UNPUBLISHED_SD = 1.25  # a factor of 5 each way
# Another GPU type is on another network; in another precision, other parts of a step take their time.
_OTHER_GPU_NETWORK_SD, _OTHER_PRECISION_NETWORK_SD = 2.0, 0.3

# The part that the models on a cluster have in common, of the variance of each parameter and of the kind of site: a
# third.  The rest is the model's own: parameters per FLOP differ by 10 and more, and with them the share of the network.
_COMMON = 0.3


def sort_by_kind(shape: Shape, measurements: Sequence[Measurement]) -> list[RunsOfKind]:
    """Return the runs of one model by GPU type and precision; those of the kind of `shape` first, if only none."""
    kinds: dict[tuple[str | None, Precision], list[Measurement]] = {(shape.gpu, shape.precision): []}
    for m in measurements:
        kinds.setdefault((m.gpu, m.precision), []).append(m)
    return [_compare(tuple(runs), *kind, shape) for kind, runs in kinds.items()]


def _compare(
    runs: tuple[Measurement, ...], gpu: str | None, precision: Precision, shape: Shape
) -> RunsOfKind:
    """The runs, and the published ratios from their kind to that of `shape`."""
    if (gpu, precision) == (shape.gpu, shape.precision):
        return RunsOfKind(runs)
    from ....cluster_profiles.gpu import read_gpus  # noqa: PLC0415  pydantic and the catalogue, where no kind differs
    from ..ratios import gpu_ratio, precision_ratio  # noqa: PLC0415  pydantic

    ratios, network_sd = [], 0.0
    before, after = (read_gpus().get(key or "") for key in (gpu, shape.gpu))
    if precision != shape.precision:
        ratios.append(precision_ratio(precision, shape.precision, after if gpu == shape.gpu else None))
        network_sd = _OTHER_PRECISION_NETWORK_SD
    if gpu != shape.gpu:
        ratios.append(gpu_ratio(before, after) if before and after else None)
        network_sd = _OTHER_GPU_NETWORK_SD
    published = [ratio for ratio in ratios if ratio]
    if len(published) < len(ratios):
        return RunsOfKind(runs, 0.0, _UNPUBLISHED_SD, network_sd)
    ratio = reduce(Range.times, (r.range for r in published), Range.exactly(1))
    sd = math.log(ratio.p90 / ratio.p10) / (2 * _Z90)
    return RunsOfKind(runs, math.log(ratio.p50), sd, network_sd, "; ".join(r.text for r in published))


Models = tuple[tuple[Measurement, ...], ...]


def group_by_model(shape: Shape, of_other_models: Sequence[Measurement]) -> Models:
    """Return runs of other models on the GPU type and in the precision of `shape`, by model: those of most runs, last."""
    models: dict[str, list[Measurement]] = {}
    for m in of_other_models:
        if (m.gpu, m.precision) == (shape.gpu, shape.precision):
            models.setdefault(m.model, []).append(m)
    ordered = sorted(models.values(), key=lambda runs: (len(runs), runs[0].model))
    return tuple(tuple(runs) for runs in ordered[-_MOST_MODELS:])


@lru_cache(maxsize=4)  # the shapes that one command compares have it in common
def believe_after(models: Models, prior: Prior, links: Links, *, is_size_known: bool) -> Belief:
    """Return the belief in the parameters of a model after the runs of other models on its cluster."""
    belief = believe(prior, links, is_size_known=is_size_known)
    for runs in models:
        doubts = {id(s.measurement): s.doubt for s in find_suspects(runs)}
        usable = tuple(m for m in runs if doubts.get(id(m), 1.0))
        if usable:
            belief = _learn_from_other_model(observe([RunsOfKind(usable)], doubts), belief)
    return belief


def _learn_from_other_model(observed: Observations, belief: Belief) -> Belief:
    """Return the belief after runs of another model on the cluster, which has a part of each parameter in common.

    Compute is its own.  Its network is a share of compute at its largest micro-batch, which fills the GPU in any model.
    """
    share = np.where(np.arange(len(Parameter)) == Parameter.LOG_COMPUTE, 0.0, _COMMON)
    root = np.linalg.cholesky(belief.covariance)
    common = (root * share) @ np.swapaxes(root, -1, -2)
    posterior = fit_posterior(observed, belief, float(np.max(observed.at.log_work)))
    mean, covariance, weight = [], [], []
    scales = len(posterior.weight) // len(belief.mean)
    for r in range(len(belief.mean)):
        places = slice(r * scales, (r + 1) * scales)
        best = r * scales + int(np.argmax(posterior.weight[places]))
        gain = common[r] @ inverse_of(belief.covariance[r])
        fitted = inverse_of(posterior.curvature[best])
        mean.append(belief.mean[r] + gain @ (posterior.mode[best] - belief.mean[r]))
        learnt = belief.covariance[r] - gain @ (belief.covariance[r] - fitted) @ gain.T
        covariance.append((learnt + learnt.T) / 2)
        weight.append(np.sum(posterior.weight[places]))
    before = np.exp(belief.log_weight) / np.sum(np.exp(belief.log_weight))
    log_weight = np.log((1 - _COMMON) * before + _COMMON * np.array(weight))
    return Belief(np.array(mean), np.array(covariance), log_weight)
