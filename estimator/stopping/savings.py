"""Steps in time, GPU-hours, money and energy: what a stop saves, and what was spent since the best checkpoint.  Pure."""

from dataclasses import dataclass

_HOUR_S = 3600
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Price:
    """What a step takes; None is not known.  `gpu_hour` is in `currency`, at the rates of the date `rates_of`."""

    step_time_s: float | None = None
    gpus: int | None = None
    step_j: float | None = None
    gpu_hour: float | None = None
    currency: str = ""
    rates_of: str = ""


@dataclass(frozen=True)
class Savings:
    """What a number of steps takes; None is not known."""

    steps: int
    seconds: float | None
    gpu_hours: float | None
    energy_kwh: float | None
    cost: float | None


def price_steps(steps: int, price: Price) -> Savings:
    """Return what `steps` steps take.

    >>> price_steps(110_188, Price(step_time_s=256 / 44.3, gpus=8)).gpu_hours
    1415.0...
    """
    seconds = None if price.step_time_s is None else steps * price.step_time_s
    gpu_hours = None if seconds is None or price.gpus is None else seconds * price.gpus / _HOUR_S
    return Savings(
        steps,
        seconds,
        gpu_hours,
        None if price.step_j is None else steps * price.step_j / JOULES_PER_KWH,
        None if gpu_hours is None or price.gpu_hour is None else gpu_hours * price.gpu_hour,
    )
