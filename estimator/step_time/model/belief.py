"""What is believed of the parameters of the step model before any run of the model in its GPU type and precision.

The numbers are round and not fitted to any table: priors drawn at random in wide ranges around them predict about as
well (docs/explanation/accuracy.md).  Structure transfers to clusters that nobody has measured, tuned numbers do not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np

from .exchange import Links
from .parameters import Array, Parameter

_LINK_SD = 1.4  # of the logarithm of the time over a link: a congested one reaches a fraction of its rate
# Added to the deviation of the share of compute where a link is stated: it says more than the usual share.
_SHARE_SD = 3.5
# The share of the peak that the work alone reaches, and the deviation of its logarithm: 0.15 to 0.6 in published training
# with the fixed cost in it, up to 0.8 in products of large matrices.
_MFU, _MFU_SD = 0.5, 0.6
_Z90 = NormalDist().inv_cdf(0.9)
_SIZE_SD = 0.7  # of the logarithm of the hidden size: 1,024 to 8,192 are usual

Normal = tuple[float, float]  # mean and standard deviation

# Seconds are natural logarithms.  INTRA and INTER are relative to COMPUTE: a larger model has more of both.
_BELIEFS: Mapping[Parameter, Normal] = {
    Parameter.LOG_COMPUTE: (-1.0, 3.0),  # hardly a belief
    Parameter.LOG_FIXED: (-4.3, 1.5),  # 14 ms, 2 to 90 ms
    Parameter.LOG_PER_STEP: (-5.3, 1.5),  # 5 ms
    Parameter.LOG_SHARPNESS: (-0.8, 0.8),
    Parameter.LOG_INTRA: (-4.4, 2.0),  # 1 % of compute
    Parameter.INTRA_GPUS: (0.2, 0.25),
    Parameter.LOG_INTER: (-3.9, 2.0),  # 2 % of compute
    Parameter.INTER_NODES: (0.12, 0.16),
    Parameter.INTER_GPUS: (-0.1, 0.3),
    Parameter.STRAGGLING: (0.01, 0.016),
    Parameter.LOG_OVERLAP: (-0.5, 1.0),
    Parameter.LOG_TENSOR: (-3.5, 1.0),
    Parameter.LOG_TENSOR_LAUNCH: (-1.3, 1.0),
    Parameter.LOG_BUBBLE: (-0.16, 0.25),
    Parameter.LOG_HAND_OFF: (-3.0, 1.0),
    # By the published count: half where a kernel skips what a causal mask hides, twice where it is slow.
    # FlashAttention-2 reaches 35 % of an H100's peak (arXiv:2407.08608), products of large matrices 80 to 90 % of an
    # A100's (arXiv:2307.08691).
    Parameter.LOG_ATTENTION: (0.0, 0.5),
}


@dataclass(frozen=True)
class Regime:
    """A kind of site: its weight, and the beliefs in which it differs from the usual one."""

    weight: float
    changes: Mapping[Parameter, Normal] = field(default_factory=dict)


# Step times of one run do not tell these apart, so that the range must hold all of them.
_REGIMES = (
    Regime(0.4),
    # An older cluster: its network takes a tenth of compute and more, its software 80 ms per micro-batch.
    Regime(
        0.3,
        {
            Parameter.LOG_INTRA: (-2.0, 1.5),
            Parameter.LOG_INTER: (-1.5, 1.5),
            Parameter.LOG_FIXED: (-2.5, 1.0),
        },
    ),
    # Nearly perfect scaling: a fast network, 5 ms per micro-batch.
    Regime(
        0.3,
        {
            Parameter.LOG_INTRA: (-7.0, 1.5),
            Parameter.LOG_INTER: (-6.5, 1.5),
            Parameter.LOG_FIXED: (-5.3, 1.5),
        },
    ),
)


@dataclass(frozen=True, eq=False)
class Prior:
    """The beliefs in all parameters, and the kinds of sites."""

    beliefs: Mapping[Parameter, Normal] = field(default_factory=lambda: _BELIEFS)
    regimes: tuple[Regime, ...] = _REGIMES


PRIOR = Prior()


@dataclass(frozen=True)
class Belief:
    """A normal distribution of the 16 parameters for each of r regimes, and the regimes' weights.

    `mean` is (r, 16), `covariance` (r, 16, 16), `log_weight` (r).
    """

    mean: Array
    covariance: Array
    log_weight: Array

    def updated(self, direction: Array, value: float, sd: float) -> "Belief":
        """Return the belief after `value` was observed of `direction` . parameters with the standard deviation `sd`."""
        lever = self.covariance @ direction
        variance = lever @ direction + sd**2
        miss = value - self.mean @ direction
        gain = lever / variance[:, None]
        return Belief(
            self.mean + gain * miss[:, None],
            self.covariance - gain[:, :, None] * lever[:, None, :],
            self.log_weight - (miss**2 / variance + np.log(variance)) / 2,
        )

    def with_links(self, links: Links, gpus_per_node: float) -> "Belief":
        """Return the belief with what the links tell of jobs with so many GPUs per node."""
        belief = self
        if links.pair_intra_s:
            direction = np.eye(len(Parameter))[Parameter.LOG_INTRA]
            belief = belief.updated(direction, np.log(links.pair_intra_s), _LINK_SD)
        if links.pair_inter_s:
            direction = np.eye(len(Parameter))[Parameter.LOG_INTER]
            direction[Parameter.INTER_GPUS] = np.log(gpus_per_node)
            value = np.log(links.pair_inter_s / gpus_per_node)
            belief = belief.updated(direction, value, _LINK_SD)
        return belief

    def with_fixed_cost(self, usual_log_s: float, fixed_s: tuple[float, float, float]) -> "Belief":
        """Return the belief with P10, P50 and P90 of the seconds of a micro-batch that do not shrink with it.

        The kinds of sites differ from it as they do from `usual_log_s`, the logarithm of what is usual.
        """
        low, middle, high = map(math.log, fixed_s)
        mean, covariance, fixed = self.mean.copy(), self.covariance.copy(), Parameter.LOG_FIXED
        mean[:, fixed] += middle - usual_log_s
        wider = (high - low) / (2 * _Z90) / np.sqrt(covariance[:, fixed, fixed])
        covariance[:, fixed] *= wider[:, None]
        covariance[:, :, fixed] *= wider[:, None]
        return replace(self, mean=mean, covariance=covariance)

    def with_peak(self, token_s_at_peak: float, log_reference: float) -> "Belief":
        """Return the belief where the work on a token takes so many seconds at the peak of a GPU."""
        seconds = math.log(token_s_at_peak / _MFU) + log_reference
        return self.updated(np.eye(len(Parameter))[Parameter.LOG_COMPUTE], seconds, _MFU_SD)

    def shifted(self, log_compute: Array | float) -> "Belief":
        """Return the belief where a GPU takes e^`log_compute` times as long, in all regimes or each (r)."""
        compute = Parameter.LOG_COMPUTE
        lever = self.covariance[:, compute] / self.covariance[:, compute, compute, None]
        return replace(self, mean=self.mean + lever * np.reshape(log_compute, (-1, 1)))


def believe(prior: Prior, links: Links, *, is_size_known: bool = True) -> Belief:
    """Return the belief before any run, unsure of the exchange over `links` that are known: see `Belief.with_links`.

    Where the size of the model is not known, neither is the part of attention in its work.
    """
    relative = np.eye(len(Parameter))
    relative[[Parameter.LOG_INTRA, Parameter.LOG_INTER], Parameter.LOG_COMPUTE] = 1.0
    normals = np.array([[{**prior.beliefs, **r.changes}[p] for p in Parameter] for r in prior.regimes], float)
    mean, sd = normals[..., 0], normals[..., 1]
    if not is_size_known:
        sd[:, Parameter.LOG_ATTENTION] = np.hypot(sd[:, Parameter.LOG_ATTENTION], _SIZE_SD)
    for parameter, is_known in (
        (Parameter.LOG_INTRA, links.pair_intra_s),
        (Parameter.LOG_INTER, links.pair_inter_s),
    ):
        if is_known:
            sd[:, parameter] = np.hypot(sd[:, parameter], _SHARE_SD)
    covariance = relative @ (sd[:, :, None] ** 2 * np.eye(len(Parameter))) @ relative.T
    return Belief(mean @ relative.T, covariance, np.log([r.weight for r in prior.regimes]))
