"""What of a log is not to be believed: a length that its steps contradict, and values that are not finite.  Pure."""

import math
from collections.abc import Iterator
from dataclasses import replace

from ...cluster_profiles.units import format_count, plural
from ...errors import InputError
from ...estimator.stopping.curve import Curve


def with_length(curve: Curve, stated_steps: int) -> Curve:
    """Return the curve with its own length, otherwise with the one that the user states.

    Raises InputError if steps beyond that were logged.

    >>> with_length(Curve(), 10).total_steps
    10
    """
    if curve.total_steps:
        return curve
    if curve.step > stated_steps:
        raise InputError(
            f"the length contradicts the log: it is at step {format_count(curve.step)}, beyond the "
            f"{plural(stated_steps, 'step')} of the whole training; correct them, such as with --max-steps"
        )
    return curve.with_total(stated_steps)


def without_wrong_length(curve: Curve) -> tuple[Curve, tuple[str, ...]]:
    """Return the curve without its own length if steps beyond that were logged, and a sentence that says so."""
    if not curve.total_steps or curve.step <= curve.total_steps:
        return curve, ()
    said = (
        f"the log is at step {format_count(curve.step)}, beyond the {plural(curve.total_steps, 'step')} that it gives "
        "as its length, which is left out: give the true one with --max-steps"
    )
    return replace(curve, total_steps=None), (said,)


def describe_not_finite(curve: Curve) -> Iterator[str]:
    """Yield a sentence for the loss, and for the validation, if values of it are nan or infinite."""
    for name, points in ((curve.loss_name, curve.losses), (curve.validation_name, curve.validations)):
        odd = [point for point in points if not math.isfinite(point.value)]
        if odd:
            yield (
                f"{name}: {format_count(len(odd))} of {plural(len(points), 'value')} left out, because not finite; the "
                f"latest is {odd[-1].value} at step {format_count(odd[-1].step)}"
            )
