"""What a training logs of its losses, kept in memory, to ask whether it may stop.

At import it loads the standard library alone; the rules are loaded by the first question.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsFloat

from .progress_file import PROGRESS_FILE, read_number

_MOST = 2048  # values of one kind: then every second one is dropped
_LOSS, _LEARNING_RATE, _EVALUATION = "loss", "learning_rate", "evaluation"

Value = SupportsFloat | str  # `nan` and `inf` may be words
Logged = list[tuple[int, Value]]


class LossRecord:
    """Losses, learning rates and validations by step; they are read when a question is asked, and not before."""

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self._logged: dict[str, Logged] = {_LOSS: [], _LEARNING_RATE: [], _EVALUATION: []}
        self._earlier: dict[str, Logged] | None = None  # of earlier attempts, once they are read

    def log(
        self,
        step: int,
        *,
        loss: Value | None = None,
        learning_rate: Value | None = None,
        evaluation: Value | None = None,
    ) -> None:
        """Keep what was logged after `step` steps; a later value of the same step counts."""
        for kind, value in ((_LOSS, loss), (_LEARNING_RATE, learning_rate), (_EVALUATION, evaluation)):
            if value is None:
                continue
            values = self._logged[kind]
            if values and values[-1][0] == step:
                values.pop()
            values.append((step, value))
            if len(values) > _MOST and kind is not _EVALUATION:
                del values[1::2]

    def may_stop(
        self, min_gain: float = 0.01, band: tuple[float, float] | None = None, *, constant_lr: bool = False
    ) -> bool:
        """Return whether validations confirm that the rest of the training would gain less than `min_gain`."""
        from ...estimator.stopping.advice import Rules, advise_stop  # noqa: PLC0415  dataclasses, for a loop that never asks
        from ...estimator.stopping.curve import Curve, in_order  # noqa: PLC0415  likewise

        if self._earlier is None:
            self._earlier = _read_earlier(os.environ.get("CLUSTERPLAN_RUN_FOLDER"))
        series = {
            kind: in_order(
                (step, number)
                for step, value in (*self._earlier[kind], *values)
                if (number := _float(value)) is not None
            )
            for kind, values in self._logged.items()
        }
        curve = Curve(series[_LOSS], series[_EVALUATION], series[_LEARNING_RATE], self.total)
        return advise_stop(curve, Rules(min_gain, band, constant_lr)).may_stop


def _float(value: Value) -> float | None:
    number = read_number(value) if not isinstance(value, str) else value
    return None if number is None else float(number)


def _read_earlier(folder: str | None) -> dict[str, Logged]:
    """What earlier attempts of a run wrote, the same on all ranks; of other lines and torn ones, nothing."""
    earlier: dict[str, Logged] = {_LOSS: [], _LEARNING_RATE: [], _EVALUATION: []}
    current = os.environ.get("CLUSTERPLAN_ATTEMPT", "")
    attempt = current
    for line in _lines(folder):
        try:
            kind, step = line["kind"], int(line["step"])
            if kind == "start":
                attempt = str(line.get("attempt") or "")
            if attempt == current:
                continue
            for name, key in (
                (_EVALUATION if kind == _EVALUATION else _LOSS, "loss"),
                (_LEARNING_RATE, "learning_rate"),
            ):
                if line.get(key) is not None:
                    earlier[name].append((step, float(line[key])))
        except (KeyError, TypeError, ValueError):
            continue
    return earlier


def _lines(folder: str | None) -> Iterator[dict[str, Any]]:
    try:
        texts = Path(folder, PROGRESS_FILE).read_bytes().splitlines() if folder else []
    except OSError:
        return
    for text in texts:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and not line.get("source"):  # others read what the command prints
            yield line
