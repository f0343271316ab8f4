"""May a training stop: the advice as JSON; docs/reference/json.md describes every key."""

from typing import Any

from ...estimator.stopping.curve import Curve, Point
from ...estimator.stopping.savings import Price, Savings
from ...estimator.stopping.trend import Interval
from .words import Answer, gain_scale, say_what_to_do


def advice_as_dict(answer: Answer) -> dict[str, Any]:
    """Return the keys of `clusterplan advise --json`."""
    judgement, curve, price = answer.judgement, answer.curve, answer.price
    validations = judgement.validations
    return {
        "state": judgement.state,
        "may_stop": judgement.may_stop,
        "advice": say_what_to_do(answer),
        "source": answer.origin,
        "step": judgement.step,
        "total_steps": curve.total_steps,
        "metric": curve.loss_name,
        "value": judgement.loss,
        "slope_per_1000_steps": _interval(judgement.slope),
        "gain": _interval(judgement.gain),
        "gain_share": _interval(judgement.gain.times(1 / gain_scale(answer)) if judgement.gain else None),
        "gain_of": judgement.gain_of,
        "min_gain": answer.rules.min_gain,
        "in_band": judgement.in_band,
        "learning_rate": curve.learning_rates[-1].value if curve.learning_rates else None,
        "learning_rate_phase": judgement.phase,
        "validation": None
        if validations is None
        else {
            "metric": curve.validation_name,
            "count": len(curve.validations),
            "confirmations": validations.confirmations,
            "best": _point(validations.best, curve),
            "still_improving": list(judgement.still_improving),
        },
        "left": _savings(answer.left, price),
        "since_best": _savings(answer.since_best, price),
        "warnings": list(answer.warnings),
    }


def _point(best: Point, curve: Curve) -> dict[str, float]:
    sign = -1 if curve.validation_name in curve.is_more_better else 1
    return {"step": best.step, "value": sign * best.value}


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}


def _savings(savings: Savings | None, price: Price) -> dict[str, Any] | None:
    if savings is None:
        return None
    return {
        "steps": savings.steps,
        "time_s": savings.seconds,
        "gpu_hours": savings.gpu_hours,
        "energy_kwh": savings.energy_kwh,
        "cost": savings.cost,
        "currency": price.currency or None,
        "rates_of": price.rates_of or None,
    }
