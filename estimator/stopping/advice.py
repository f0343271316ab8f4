"""The state of a training, and whether it may stop: the rules, in the order in which they count.

1. Without numbers that are finite it has `diverged`; also if it lost more than half of what it had gained.
2. Validation gets worse while the training loss falls, or does not follow while it halves: `overfitting`.
3. Too few points, or a learning rate that still rises: `warming` or `unknown`.
4. The loss is in the band, or the rest of the training would improve it by less than the minimum gain: a plateau.
   It is `stop_confirmed` if the learning rate has decayed, three validations or more confirm it, and the upper end of
   what validations promise, and their own uncertainty, stay below the minimum gain.  Otherwise it is `plateau_high_lr` or `plateau_unconfirmed`.
5. Everything else is `improving`.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from .curve import Curve, Point
from .schedule import Phase, comparable, find_phase
from .trend import Interval, blocks, deviation, gain_until, latest_half, median, slope
from .validation import CONFIRMATIONS, Validations, judge_validations

MIN_GAIN = 0.01  # of the loss: less is not worth the rest of the training
WINDOW_POINTS, WINDOW_SHARE = 50, 0.02  # points and share of all steps in the window: the more counts
_FEWEST_POINTS = 10  # below, a trend of a noisy loss is none
_LOST = 0.5  # of what the loss has gained
_DEVIATIONS = 3


class State(StrEnum):
    """The states of a training."""

    WARMING = "warming"
    IMPROVING = "improving"
    PLATEAU_HIGH_LR = "plateau_high_lr"
    PLATEAU_UNCONFIRMED = "plateau_unconfirmed"
    STOP_CONFIRMED = "stop_confirmed"
    OVERFITTING = "overfitting"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Rules:
    """What the user decides: the least gain worth the rest, as a share; the band in which the loss is good enough.

    With `is_lr_constant` the learning rate stays as it is until the end, so a plateau at a high one is a plateau.
    """

    min_gain: float = MIN_GAIN
    band: tuple[float, float] | None = None
    is_lr_constant: bool = False


@dataclass(frozen=True)
class StopAdvice:
    """The state of a training after `step` steps, and why.

    `loss` is the median of the latest window, `slope` its change per 1,000 steps with an interval of 90 %, and `gain`
    what the rest of the training would still improve: of the validation metric if there are enough validations,
    otherwise of the training loss (`gain_of`).  `in_band` says whether `loss` has reached the band.  `still_improving`
    names further metrics that got better since the best validation.
    """

    state: State
    step: int
    end: int
    loss: float | None
    slope: Interval | None
    gain: Interval | None
    gain_of: str | None
    in_band: bool
    phase: Phase
    validations: Validations | None
    still_improving: tuple[str, ...] = ()

    @property
    def may_stop(self) -> bool:
        """Return whether going on gains nothing that anybody would wait for, confirmed by validations."""
        return self.state is State.STOP_CONFIRMED


_DEFAULT = Rules()


def advise_stop(curve: Curve, rules: Rules = _DEFAULT) -> StopAdvice:
    """Judge a training by its curve so far.

    Without `total_steps` the horizon is as many steps again.

    >>> steps = range(100, 10_001, 100)
    >>> flat = tuple(Point(step, 2.0) for step in steps)
    >>> advise_stop(Curve(losses=flat, total_steps=20_000)).state.value
    'plateau_unconfirmed'
    >>> evaluated = Curve(losses=flat, validations=flat[::10], total_steps=20_000)
    >>> advise_stop(evaluated).state.value, advise_stop(evaluated, Rules(is_lr_constant=True)).state.value
    ('plateau_unconfirmed', 'stop_confirmed')
    """
    losses = curve.cost_of(curve.loss_name, curve.losses)
    step = curve.step
    end = max(curve.total_steps or 2 * step, step)
    rates = curve.cost_of("", curve.learning_rates)
    values = comparable(curve.cost_of(curve.validation_name, curve.validations), rates)
    validations = judge_validations(values, end, rules.min_gain)
    window = latest_window(losses, end)
    loss = median([point.value for point in window]) if window else None
    recent = latest_half(losses, _FEWEST_POINTS)
    trend = slope(*zip(*blocks(recent), strict=True)) if len(recent) >= _FEWEST_POINTS else None
    phase = find_phase(rates, curve.total_steps)
    gain, gain_of = gain_until(recent, end) if len(recent) >= _FEWEST_POINTS else None, curve.loss_name
    scale = abs(loss or 0.0)
    if validations and validations.gain:
        gain, gain_of, scale = validations.gain, curve.validation_name, abs(validations.best.value)
    in_band = rules.band is not None and loss is not None and _reaches(rules.band, loss, curve)
    is_plateau = in_band or (
        gain is not None
        and gain.value <= rules.min_gain * scale
        and (gain_of == curve.loss_name or _confirms(validations, values, end))
    )
    if _has_diverged(curve, losses, end):
        state = State.DIVERGED
    elif validations and _overfits(losses, validations, end):
        state = State.OVERFITTING
    elif phase is Phase.WARM_UP or step < WINDOW_SHARE * (curve.total_steps or 0):
        state = State.WARMING
    elif gain is None and not in_band:
        state = State.UNKNOWN
    elif not is_plateau:
        state = State.IMPROVING
    elif phase is Phase.HIGH and not rules.is_lr_constant:
        state = State.PLATEAU_HIGH_LR
    elif (
        (phase is Phase.DECAYED or rules.is_lr_constant)
        and _confirms(validations, values, end)
        and validations is not None
        and validations.gain is not None
        and validations.gain.high + validations.uncertainty <= rules.min_gain * scale
    ):
        state = State.STOP_CONFIRMED
    else:
        state = State.PLATEAU_UNCONFIRMED
    sign = -1 if curve.loss_name in curve.is_more_better else 1
    return StopAdvice(
        state=state,
        step=step,
        end=end,
        loss=None if loss is None else sign * loss,
        slope=trend.times(1000 * sign) if trend else None,
        gain=gain,
        gain_of=gain_of if gain else None,
        in_band=in_band,
        phase=phase,
        validations=validations,
        still_improving=_still_improving(curve, validations, rules.min_gain),
    )


def latest_window(losses: Sequence[Point], end: int) -> Sequence[Point]:
    """Return the latest 50 points, or those of the latest 2 % of all steps if these are more; at most half of all."""
    since = (losses[-1].step if losses else 0) - WINDOW_SHARE * end
    in_share = len(losses) - bisect_right(losses, since, key=lambda point: point.step)
    return losses[-max(min(WINDOW_POINTS, len(losses) // 2), in_share, 1) :]


def _reaches(band: tuple[float, float], loss: float, curve: Curve) -> bool:
    """Whether a loss is in the band or better."""
    low, high = sorted(band)
    return -loss >= low if curve.loss_name in curve.is_more_better else loss <= high


def _confirms(validations: Validations | None, values: Sequence[Point], end: int) -> bool:
    """Whether enough validations, over enough steps, did not improve."""
    return (
        validations is not None
        and validations.confirmations >= CONFIRMATIONS
        and values[-1].step - validations.confirmed_since >= WINDOW_SHARE * end
    )


def _has_diverged(curve: Curve, losses: Sequence[Point], end: int) -> bool:
    """Whether the latest numbers are not finite, or the loss has lost more than half of what it had gained."""
    latest = [point.value for point in curve.losses[-CONFIRMATIONS:]]
    if latest and not any(map(math.isfinite, latest)):
        return True
    # A validation may be nan for its own reasons.  Trainer prints 0 for a loss that is not finite.
    if curve.validations and not math.isfinite(curve.validations[-1].value) and not any(latest):
        return True
    if len(losses) < _FEWEST_POINTS:
        return False
    size = len(latest_window(losses, end))
    windows = [
        [point.value for point in losses[max(high - size, 0) : high]] for high in range(len(losses), 0, -size)
    ]
    levels = [median(window) for window in windows]
    best = min(levels)
    chance = _DEVIATIONS * deviation(windows[levels.index(best)])
    return levels[0] - best > max(_LOST * (levels[-1] - best), chance)


def _overfits(losses: Sequence[Point], validations: Validations, end: int) -> bool:
    """Whether validation gets worse while the training loss falls, or stays worse while that has halved.

    Without a training loss, validation alone decides.
    """
    before = [point for point in losses if point.step <= validations.best.step]
    if not before:
        return validations.is_rising
    was, now = (median([p.value for p in latest_window(part, end)]) for part in (before, losses))
    return (validations.is_rising and now < was) or (validations.are_all_worse and 0 < now < was / 2)


def _still_improving(curve: Curve, validations: Validations | None, min_gain: float) -> tuple[str, ...]:
    """The further metrics whose best value came after the best validation, and is better by the minimum gain."""
    if validations is None:
        return ()
    names = []
    for name, points in curve.others:
        values = curve.cost_of(name, points)
        before = [p.value for p in values if p.step <= validations.best.step]
        after = [p.value for p in values if p.step > validations.best.step]
        if before and after and min(after) < min(before) - min_gain * abs(min(before)):
            names.append(name)
    return tuple(names)
