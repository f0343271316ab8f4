"""The curve of a training: its losses, learning rates and validations, by step."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


class Point(NamedTuple):
    """A number after `step` steps; it may be nan or infinite."""

    step: int
    value: float


@dataclass(frozen=True)
class Curve:
    """What a training logged, each series in the order of its steps; a resume replaces what came after its step.

    `losses` and `validations` are named by `loss_name` and `validation_name`; of these, less is better unless
    `is_more_better` holds their name.  `others` are validations by further metrics.  `total_steps` is the length of the
    whole training, None if it is not known.
    """

    losses: tuple[Point, ...] = ()
    validations: tuple[Point, ...] = ()
    learning_rates: tuple[Point, ...] = ()
    total_steps: int | None = None
    loss_name: str = "loss"
    validation_name: str = "eval_loss"
    is_more_better: frozenset[str] = frozenset()
    others: tuple[tuple[str, tuple[Point, ...]], ...] = ()

    @property
    def step(self) -> int:
        """Return the last step that anything was logged of."""
        return max(
            (series[-1].step for series in (self.losses, self.validations, self.learning_rates) if series),
            default=0,
        )

    def cost_of(self, name: str, points: Sequence[Point]) -> list[Point]:
        """Return the finite points of a metric with its sign such that less is better."""
        finite = [point for point in points if math.isfinite(point.value)]
        return [Point(p.step, -p.value) for p in finite] if name in self.is_more_better else finite

    def with_total(self, total_steps: int) -> "Curve":
        """Return the curve of a training of `total_steps`."""
        return replace(self, total_steps=total_steps)

    def until(self, step: int) -> "Curve":
        """Return what was known after `step` steps."""
        return replace(
            self,
            losses=tuple(p for p in self.losses if p.step <= step),
            validations=tuple(p for p in self.validations if p.step <= step),
            learning_rates=tuple(p for p in self.learning_rates if p.step <= step),
            others=tuple((name, tuple(p for p in points if p.step <= step)) for name, points in self.others),
        )


def in_order(points: Iterable[tuple[int, float]]) -> tuple[Point, ...]:
    """Return points by step, each step once: where steps go back, the later points count.

    >>> in_order([(1, 5.0), (2, 4.0), (3, 9.0), (2, 4.1)])
    (Point(step=1, value=5.0), Point(step=2, value=4.1))
    """
    kept: list[Point] = []
    for step, value in points:
        while kept and kept[-1].step >= step:
            kept.pop()
        kept.append(Point(step, value))
    return tuple(kept)
