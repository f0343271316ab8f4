"""Curves of trainings made up in closed form, with noise: schedules, spikes, restarts, and validations of many kinds."""

import math
import random
from collections.abc import Callable, Iterator

from clusterplan.estimator.stopping.curve import Curve, Point

TOTAL = 10_000
Schedule = Callable[[float], float]


def constant(share: float) -> float:  # noqa: ARG001  the rate never changes
    return 1.0


def linear(share: float) -> float:
    return 1.0 - share


def cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def cosine_to_a_tenth(share: float) -> float:
    return 0.1 + 0.9 * cosine(share)


def stable_then_decay(share: float) -> float:
    return min(1.0, (1.0 - share) / 0.2)


def in_steps(share: float) -> float:
    return float(0.1 ** ((share >= 0.3) + (share >= 0.6) + (share >= 0.8)))


def restarts(share: float) -> float:
    return cosine(share * 4 % 1.0 if share < 1 else 1.0)


def growing_restarts(share: float) -> float:
    return (
        cosine(share * 7)
        if share < 1 / 7
        else cosine((share * 7 - 1) / 2)
        if share < 3 / 7
        else cosine((share * 7 - 3) / 4)
    )


def triangles(share: float) -> float:
    return 1 - abs(1 - share * 10 % 2)


def one_cycle(share: float) -> float:
    return share / 0.3 if share < 0.3 else cosine((share - 0.3) / 0.7)


SCHEDULES: dict[str, Schedule] = {
    schedule.__name__: schedule
    for schedule in (
        constant,
        linear,
        cosine,
        cosine_to_a_tenth,
        stable_then_decay,
        in_steps,
        restarts,
        growing_restarts,
        triangles,
        one_cycle,
    )
}


def with_warm_up(schedule: Schedule, share: float, warm_up: float = 0.03) -> float:
    """Return the rate, which rises linearly in the first 3 % of the training."""
    return share / warm_up if share < warm_up else schedule((share - warm_up) / (1 - warm_up))


def loss_at(rate: float, done: float) -> float:
    """Return a loss: a power law of the summed rates `done`, and 6 % more at the peak rate than at none."""
    return 1.5 + 0.4 * math.pow(0.02 + done, -0.25) + 0.12 * rate


def train(
    schedule: Schedule,
    noise: float = 0.02,
    evaluation_noise: float = 0.003,
    every: int = 50,
    evaluate_every: int = 250,
    seed: int = 0,
) -> Curve:
    """Return the curve of a training of 10,000 steps, whose validation loss is its loss with other noise."""
    draw, done = random.Random(seed), 0.0
    losses, validations, rates = [], [], []
    for step in range(every, TOTAL + 1, every):
        share = step / TOTAL
        rate = with_warm_up(schedule, share)
        done += rate * every / TOTAL
        value = loss_at(rate, done)
        losses.append(Point(step, value * (1 + draw.gauss(0, noise))))
        rates.append(Point(step, 1e-3 * rate))
        if step % evaluate_every == 0:
            validations.append(Point(step, value * (1 + draw.gauss(0, evaluation_noise))))
    return Curve(tuple(losses), tuple(validations), tuple(rates), TOTAL)


def last_decay(schedule: Schedule) -> int:
    """Return the first step from which on the rate is at most 10 % of its peak, up to the end."""
    steps = range(0, TOTAL + 1, 10)
    high = [step for step in steps if with_warm_up(schedule, step / TOTAL) > 0.1 * 1.01]
    falls = [
        step
        for step in steps[1:]
        if with_warm_up(schedule, (step - 10) / TOTAL) - with_warm_up(schedule, step / TOTAL) > 0.05
    ]
    return max(high[-1], *(falls[-1:] or [0]))


def prefixes(curve: Curve, count: int = 50) -> Iterator[tuple[int, Curve]]:
    """Yield the curve as it was after each of `count` steps."""
    end = curve.total_steps or curve.step
    for number in range(1, count + 1):
        step = end * number // count
        yield step, curve.until(step)
