"""The step time of any shape, learned from the runs of one model.

`fit` takes the runs, `StepTimeModel.predict` returns the step time of shapes as ranges.  `model` has the physics,
`belief` the beliefs before any run, `posterior` the fit, `related` what other runs tell, `input_wait` the wait for
input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ....errors import NotEnoughHistory
from ...job.shape import Shape
from ...measurements.measurement import Measurement
from ...measurements.suspects import Suspect, find_suspects
from ...ranges import Range
from ..input_wait import Loader, infer_loaders, with_input_wait
from .belief import PRIOR, Prior
from .costs import NO_COSTS, Costs
from .draws import draw_log_times, draw_parameters
from .exchange import Links
from .formula import network_share
from .observations import group_by_shape, observe
from .parameters import Array, Parameter
from .points import points_of
from .posterior import Posterior, fit_posterior, leave_one_out_residuals
from .related import believe_after, group_by_model, sort_by_kind

# The factor on the widths of the fit: the fewer the runs of the own kind, the less they say of their reliability.
_WIDTH, _ONE_RUN = 0.75, 0.5
_AT_ONCE = 64  # shapes, so that their draws stay in the processor's cache
# What `beyond` looks at, and whether less than in every run is beyond too.
_DIMENSIONS = {
    "gpus": False,
    "nodes": False,
    "batch_size": True,
    "accumulation": False,
    "model_parallel": True,
    "seq_len": True,
}
_ENOUGH_SHAPES = 5  # fewer cannot tell a wrong run from a rule that no run shows yet
_OUTLIER_SDS, _OUTLIER_LOG = 4.0, math.log(2)


@dataclass(frozen=True)
class Prediction:
    """The step time of one shape, and the runs it rests on.

    `work_s` is the part that GPUs and network take, before one of the `loaders` makes it wait.  `compute_s`, `network_s`
    and `input_s` add up to the P50.  `beyond` names the dimensions that no run reached.  `assumed` says what carried runs
    of another GPU type or precision over, where there are no others.  `of_other_models` are the runs of other models
    that tell of the network too.
    """

    step_time_s: Range
    work_s: Range
    compute_s: float
    network_s: float
    input_s: float
    beyond: tuple[str, ...]
    runs: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    loaders: tuple[Loader, ...]
    assumed: tuple[str, ...] = ()
    of_other_models: tuple[Measurement, ...] = ()


def fit(
    measurements: Sequence[Measurement],
    links: Links | None = None,
    hidden_size: float | None = None,
    prior: Prior = PRIOR,
    model: str | None = None,
    costs: Costs = NO_COSTS,
) -> "StepTimeModel":
    """Return the step model of the usable runs of `model`; by default, of the first run's.

    Runs of other models inform it where they are of its cluster.  Raises NotEnoughHistory if no run is usable.

    >>> from ....cluster_profiles.precision import Precision
    >>> runs = [Measurement("m", "a100", 1, n, n, 32, 1, Precision.BF16, None, t) for n, t in ((1, 0.3), (2, 0.32))]
    >>> fit(runs).predict([Shape("a100", 1, 4, 4, 32, precision=Precision.BF16)])[0].beyond
    ('gpus',)
    """
    name = model if model is not None else next((m.model for m in measurements), "")
    runs = [m for m in measurements if m.model == name]
    suspects = tuple(find_suspects(runs))
    unusable = {id(s.measurement) for s in suspects if not s.doubt}
    own = tuple(m for m in runs if id(m) not in unusable)
    if not own:
        raise NotEnoughHistory("this model has no usable run: measure one, on 1 GPU if it fits")
    others = tuple(m for m in measurements if m.model != name)
    return StepTimeModel(own, others, suspects, links or Links(), hidden_size, prior, costs)


@dataclass(frozen=True)
class StepTimeModel:
    """The usable runs of one model, runs of others on its cluster, its suspect runs, and the links; made by `fit`."""

    measurements: tuple[Measurement, ...]
    of_other_models: tuple[Measurement, ...]
    suspects: tuple[Suspect, ...]
    links: Links
    hidden_size: float | None = None
    prior: Prior = field(default=PRIOR, repr=False)
    costs: Costs = NO_COSTS

    def predict(
        self, shapes: Sequence[Shape], fastest_step_s: Sequence[float] | None = None
    ) -> list[Prediction]:
        """Return the step time of each shape; none is below its `fastest_step_s`, or faster than the links allow."""
        floors = fastest_step_s or [0.0] * len(shapes)
        predictions: dict[int, Prediction] = {}
        for kind, first in {(s.gpu, s.precision): s for s in shapes}.items():
            places = [i for i, s in enumerate(shapes) if (s.gpu, s.precision) == kind]
            limits = [max(floors[i], self.links.least_s(shapes[i])) for i in places]
            of_kind = self.fit_kind(first).predictions([shapes[i] for i in places], limits)
            predictions |= zip(places, of_kind, strict=True)
        return [predictions[i] for i in range(len(shapes))]

    def fit_kind(self, shape: Shape) -> "KindFit":
        """Return the fit to the runs on the shape's GPU type in its precision; other runs make its prior."""
        kinds = sort_by_kind(shape, self.measurements)
        doubts = {id(s.measurement): s.doubt for s in self.suspects}
        others = group_by_model(shape, self.of_other_models)
        belief = believe_after(others, self.prior, self.links, is_size_known=self.hidden_size is not None)
        belief = belief.with_links(self.links, shape.gpus / shape.nodes)  # of this model's bytes
        fixed_s, token_s = self.costs.fixed_s, self.costs.token_s_at_peak
        log_reference = float(np.mean(points_of([m for kind in kinds for m in kind.runs]).log_work))
        if fixed_s:
            belief = belief.with_fixed_cost(self.prior.beliefs[Parameter.LOG_FIXED][0], fixed_s)
        if token_s:
            belief = belief.with_peak(token_s, log_reference)

        def fitted() -> Posterior:
            return fit_posterior(observe(kinds, doubts, self.hidden_size), belief, log_reference)

        posterior, outliers, own = fitted(), tuple[Suspect, ...](), kinds[0].runs
        if posterior.observed.own_shapes >= _ENOUGH_SHAPES:
            outliers = _outliers(own, posterior)
            if outliers:
                doubts |= {id(s.measurement): s.doubt for s in outliers}
                posterior = fitted()
        assumed = () if own else tuple(kind.published for kind in kinds if kind.published)
        of_others = tuple(m for runs in others for m in runs)
        return KindFit(
            own or self.measurements, self, (*self.suspects, *outliers), posterior, assumed, of_others
        )


def _outliers(of_kind: Sequence[Measurement], posterior: Posterior) -> tuple[Suspect, ...]:
    """The runs of the shape that all others contradict most; none if they contradict no shape clearly."""
    residuals, sd = (x[: posterior.observed.own_shapes] for x in leave_one_out_residuals(posterior))
    worst = int(np.argmax(np.abs(residuals) / sd))
    residual = float(residuals[worst])
    if abs(residual) < max(_OUTLIER_SDS * sd[worst], _OUTLIER_LOG):
        return ()
    text = f"{math.exp(abs(residual)):.3g} times {'slower' if residual > 0 else 'faster'} than all other runs say"
    return tuple(Suspect(m, "outlier", text, residual**2) for m in group_by_shape(of_kind)[worst])


@dataclass(frozen=True)
class KindFit:
    """The fit for one GPU type and precision: the runs of that kind, or those that stand in for them."""

    runs: tuple[Measurement, ...]
    model: StepTimeModel
    suspects: tuple[Suspect, ...]
    posterior: Posterior
    assumed: tuple[str, ...]
    of_other_models: tuple[Measurement, ...]

    def predictions(self, shapes: Sequence[Shape], floors: Sequence[float]) -> list[Prediction]:
        """Return the step time of each shape of this kind, its work never below its floor in seconds."""
        posterior, runs, draws = self.posterior, self.runs, draw_parameters(self.posterior)
        loaders, width = (
            infer_loaders(runs),
            _WIDTH * (1 + _ONE_RUN / max(posterior.observed.own_shapes, 1)),
        )
        reach, columns = _reach(runs), list[Array]()
        for start in range(0, len(shapes), _AT_ONCE):
            at = points_of(shapes[start : start + _AT_ONCE], self.model.hidden_size)
            log_t = draw_log_times(posterior, draws, at)
            network_shares = network_share(posterior.mode[posterior.best], at, posterior.log_reference)
            columns.append(np.vstack([np.quantile(log_t, (0.1, 0.5, 0.9), axis=0), network_shares]))
        low, middle, high, network = np.hstack(columns)
        predictions = []
        for i, shape in enumerate(shapes):
            work = Range(
                math.exp(middle[i] + (low[i] - middle[i]) * width),
                math.exp(middle[i]),
                math.exp(middle[i] + (high[i] - middle[i]) * width),
            ).at_least(floors[i])
            step = with_input_wait(work, loaders, shape)
            network_s = work.p50 * float(network[i])
            predictions.append(
                Prediction(
                    step_time_s=step,
                    work_s=work,
                    compute_s=work.p50 - network_s,
                    network_s=network_s,
                    input_s=step.p50 - work.p50,
                    beyond=_beyond(shape, reach),
                    runs=runs,
                    suspects=self.suspects,
                    loaders=loaders,
                    assumed=self.assumed,
                    of_other_models=self.of_other_models,
                )
            )
        return predictions


def _reach(runs: Sequence[Measurement]) -> dict[str, tuple[int, int]]:
    """The least and the most of each dimension that the runs have; none where no run states it."""
    values = {name: [v for m in runs if (v := getattr(m, name))] for name in _DIMENSIONS}
    return {name: (min(of_runs), max(of_runs)) for name, of_runs in values.items() if of_runs}


def _beyond(shape: Shape, reach: dict[str, tuple[int, int]]) -> tuple[str, ...]:
    """The dimensions in which `shape` is past every run."""
    return tuple(
        name
        for name, (least, most) in reach.items()
        if (value := getattr(shape, name)) and (value > most or (value < least and _DIMENSIONS[name]))
    )
