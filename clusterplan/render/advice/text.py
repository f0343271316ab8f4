"""May a training stop: the advice as a person reads it, what to do first."""

from collections.abc import Iterator

from ...cluster_profiles.units import format_count, format_duration, format_significant, plural
from ...estimator.stopping.curve import Curve
from ...estimator.stopping.savings import Price, Savings
from ...estimator.stopping.schedule import Phase
from ...estimator.stopping.validation import CONFIRMATIONS
from ..layout import Page, Style
from .words import Answer, gain_scale, say_what_to_do

Row = tuple[str, str, str]


def write_advice(page: Page, answer: Answer) -> None:
    """Write the state and what to do, then why, and what a stop now saves."""
    page.sentence(say_what_to_do(answer), Style.BOLD)
    page.line()
    page.facts(
        [
            *_place(answer),
            *_loss(answer),
            *_gain(answer),
            *_validation(answer),
            *_rate(answer),
            *_costs(answer),
        ]
    )
    for warning in answer.warnings:
        page.line()
        page.sentence(warning)


def _place(answer: Answer) -> Iterator[Row]:
    judgement, total = answer.judgement, answer.curve.total_steps
    if not judgement.step:
        return
    of = f"of {format_count(total)}, {judgement.step / total:.0%}" if total else "the end is not known"
    yield "step", format_count(judgement.step), of


def _loss(answer: Answer) -> Iterator[Row]:
    judgement, name = answer.judgement, answer.curve.loss_name
    if judgement.loss is None:
        return
    band = ""
    if answer.rules.band:
        low, high = answer.rules.band
        band = f"; {'in' if judgement.in_band else 'not in'} the band {low:g} to {high:g}"
    yield name, format_significant(judgement.loss, 4), f"median of the latest window{band}"
    if judgement.slope:
        slope = judgement.slope
        yield "slope", _signed(slope.value), f"per 1,000 steps, {_signed(slope.low)} to {_signed(slope.high)}"


def _gain(answer: Answer) -> Iterator[Row]:
    judgement = answer.judgement
    if judgement.gain is None or judgement.gain_of is None or judgement.step >= judgement.end:
        return
    scale = gain_scale(answer)
    share = judgement.gain.times(100 / scale)
    low, value, high = (format_significant(number, 2) for number in (share.low, share.value, share.high))
    until = f"until step {format_count(judgement.end)}, as in the latest half, {low} to {high} %"
    yield (
        "gain left",
        f"{value} %",
        f"of {judgement.gain_of} {until}; {answer.rules.min_gain * 100:.3g} % is worth it",
    )


def _validation(answer: Answer) -> Iterator[Row]:
    judgement, curve = answer.judgement, answer.curve
    if judgement.validations is None:
        yield "validation", "none", f"no stop is confirmed without {CONFIRMATIONS} of them"
        return
    best, count = judgement.validations.best, len(curve.validations)
    value = _shown(curve.validation_name, best.value, curve)
    yield (
        "validations",
        format_count(count),
        f"the latest {judgement.validations.confirmations} without an improvement of {curve.validation_name}",
    )
    yield "best", f"step {format_count(best.step)}", f"{curve.validation_name} {value}{_since(answer)}"


def _since(answer: Answer) -> str:
    spent = answer.since_best
    return f"; since then {_amounts(spent, answer.price)}" if spent else ", the latest"


def _rate(answer: Answer) -> Iterator[Row]:
    rates = answer.curve.learning_rates
    if not rates:
        yield "learning rate", "not in the log", "so nothing says whether it will decay"
        return
    peak = max(point.value for point in rates)
    share = f"{rates[-1].value / peak:.0%} of its peak" if peak else ""
    phase = answer.judgement.phase
    yield "learning rate", f"{rates[-1].value:.3g}", share if phase is Phase.HIGH else f"{share}, {phase}"


def _costs(answer: Answer) -> Iterator[Row]:
    if answer.left is None:
        return
    parts = [_amounts(answer.left, answer.price, steps=False)]
    if answer.left.seconds is None:
        parts.append("for hours give --step-time and --gpus")
    elif answer.left.gpu_hours is None:
        parts.append("for GPU-hours give --gpus")
    yield "a stop saves", plural(answer.left.steps, "step"), "; ".join(filter(None, parts))


def _amounts(spent: Savings, price: Price, *, steps: bool = True) -> str:
    """Steps, time, GPU-hours, energy and money, as far as they are known."""
    parts = [plural(spent.steps, "step")] if steps else []
    if spent.seconds is not None:
        parts.append(format_duration(spent.seconds))
    if spent.gpu_hours is not None:
        parts.append(f"{format_significant(spent.gpu_hours)} GPU-hours")
    if spent.energy_kwh is not None:
        parts.append(f"{format_significant(spent.energy_kwh)} kWh")
    if spent.cost is not None:
        parts.append(f"{format_significant(spent.cost)} {price.currency} (rates of {price.rates_of})")
    return ", ".join(parts)


def _shown(name: str, cost: float, curve: Curve) -> str:
    return format_significant(-cost if name in curve.is_more_better else cost, 4)


def _signed(number: float) -> str:
    return f"{number:+.2g}" if number else "0"
