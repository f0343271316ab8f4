"""A curve from rows of named numbers: which are the losses, and which validation counts.  Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import join_names
from ...errors import InputError
from ...estimator.stopping.curve import Curve, in_order
from .metrics import EVAL_LOSS, LEARNING_RATE, LOSS, find_column, is_evaluation, is_more_better

Row = tuple[int, Mapping[str, float]]


@dataclass(frozen=True)
class Columns:
    """What the user says: columns by quantity, and the validation metric with whether more of it is better, if said."""

    names: Mapping[str, str]
    metric: str | None = None
    is_more_better: bool | None = None


def assemble_curve(rows: Sequence[Row], total_steps: int | None, columns: Columns) -> Curve:
    """Return the curve of rows, each with its step.

    The training metric is the loss, or a reward if there is one.  The validation metric is the validation loss, otherwise
    the first one whose name says whether more is better.  Raises InputError if nothing can be told, and for a metric
    that is not there or whose better direction is not known.
    """
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    loss, rate, evaluation_loss = (
        columns.names.get(quantity) or find_column(names, quantity)
        for quantity in (LOSS, LEARNING_RATE, EVAL_LOSS)
    )
    metrics = [name for name in names if is_evaluation(name)]
    metric = columns.metric or evaluation_loss or _first_known(metrics)
    if metric is not None and metric not in names:
        raise InputError(f"--metric {metric}: no such metric: there are {join_names(metrics) or 'none'}")
    if loss is None and metric is None:
        raise InputError(
            f"no loss among {join_names(names) or 'no columns'}: say which it is, with --columns loss=NAME"
        )
    better = {name: is_more_better(name) for name in {loss, *metrics, metric} if name}
    if metric is not None and columns.is_more_better is not None:
        better[metric] = columns.is_more_better
    if columns.metric and better[columns.metric] is None:
        raise InputError(
            f"--metric {metric}: its name does not say whether more is better: give {metric}:more or {metric}:less"
        )
    return Curve(
        losses=in_order(_series(rows, loss)),
        validations=in_order(_series(rows, metric)),
        learning_rates=in_order(_series(rows, rate)),
        total_steps=total_steps,
        loss_name=loss or LOSS,
        validation_name=metric or EVAL_LOSS,
        is_more_better=frozenset(name for name, more in better.items() if more),
        others=tuple(
            (name, in_order(_series(rows, name)))
            for name in metrics
            if name != metric and better.get(name) is not None
        ),
    )


def _first_known(metrics: Iterable[str]) -> str | None:
    known = [name for name in metrics if is_more_better(name) is not None]
    losses = [name for name in known if name.endswith("loss")]
    return next(iter(losses or known), None)


def _series(rows: Sequence[Row], name: str | None) -> Iterable[tuple[int, float]]:
    return ((step, values[name]) for step, values in rows if name in values) if name else ()
