"""The GPUs of a run over time, in parts of equal length: the band of all of them, and those that stand out.  Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..metrics import weighted_mean

MOST_PARTS = 240  # more are not seen on a page
WORST = 4
_MINUTE_S, _TEN_MINUTES_S = 60, 600  # the history's own parts


@dataclass(frozen=True)
class Quantity:
    """One quantity of a GPU: `column` of its rollups times `scale` in `unit`; `is_low_bad` says which GPUs stand out."""

    key: str
    title: str
    column: str
    unit: str
    scale: float
    is_low_bad: bool
    full: float | None = None


QUANTITIES = (
    Quantity("utilisation", "GPU utilisation", "utilisation_mean", "%", 1.0, is_low_bad=True, full=100.0),
    Quantity("tensor", "Tensor cores active", "tensor_active_mean", "%", 100.0, is_low_bad=True, full=100.0),
    Quantity("memory", "GPU memory in use", "memory_peak_bytes", "GiB", 1 / 2**30, is_low_bad=False),
    Quantity("power", "Power of each GPU", "power_mean_w", "W", 1.0, is_low_bad=True),
    Quantity("temperature", "Temperature of each GPU", "temperature_max_c", "°C", 1.0, is_low_bad=False),
)


@dataclass(frozen=True)
class RunCourse:
    """The GPUs of a run from the Unix time `begin_s` on, in `parts` of `width_s` seconds.

    `values` has a line for each quantity of `QUANTITIES` and each GPU, by their key and UUID, in the quantity's unit;
    None is not known.  A quantity that no GPU tells is not there.
    """

    begin_s: float
    width_s: float
    parts: int
    values: Mapping[str, Mapping[str, Sequence[float | None]]]

    @property
    def times_s(self) -> list[float]:
        """Return the middle of each part, in seconds after the beginning."""
        return [(part + 0.5) * self.width_s for part in range(self.parts)]


@dataclass(frozen=True)
class CourseBand:
    """One quantity over all GPUs: lowest, mean and highest in each part, and the UUIDs of those that stand out."""

    lows: Sequence[float | None]
    means: Sequence[float | None]
    highs: Sequence[float | None]
    worst: Sequence[str]


def choose_width_s(seconds: float, period_s: float, *, has_readings: bool) -> float:
    """Return the length of a part for a run of `seconds`: a multiple of what the history has.

    That is ten minutes or one; of a short run whose readings are kept it is their period.

    >>> choose_width_s(7 * 86400, 1.0, has_readings=True), choose_width_s(3600, 1.0, has_readings=False)
    (3000, 60)
    """
    unit = period_s if has_readings and seconds < MOST_PARTS * _MINUTE_S / 4 else float(_MINUTE_S)
    if seconds > MOST_PARTS * _TEN_MINUTES_S / 2:
        unit = _TEN_MINUTES_S
    parts = max(math.ceil(seconds / MOST_PARTS / unit), 1)
    return parts * unit if unit < _MINUTE_S else int(parts * unit)


def assemble_course(
    rows: Sequence[tuple[str, int, Sequence[float | None]]], begin_s: float, width_s: float, seconds: float
) -> RunCourse:
    """Return the course of rows, each a UUID, the number of its part, and a value per quantity of `QUANTITIES`."""
    parts = max(math.ceil(seconds / width_s), 1)
    values: dict[str, dict[str, list[float | None]]] = {}
    for uuid, part, numbers in rows:
        if 0 <= part < parts:
            for quantity, number in zip(QUANTITIES, numbers, strict=True):
                if number is not None:
                    line = values.setdefault(quantity.key, {}).setdefault(uuid, [None] * parts)
                    line[part] = number * quantity.scale
    return RunCourse(begin_s, width_s, parts, values)


def band_of(quantity: Quantity, lines: Mapping[str, Sequence[float | None]]) -> CourseBand:
    """Return the band of one quantity over GPUs.

    Up to four GPUs are all drawn; of more, the four with the lowest mean, or the highest where little is good.

    >>> lines = {"GPU-0": (90.0, None), "GPU-1": (50.0, 60.0)}
    >>> band_of(QUANTITIES[0], lines)
    CourseBand(lows=[50.0, 60.0], means=[70.0, 60.0], highs=[90.0, 60.0], worst=['GPU-1', 'GPU-0'])
    """
    known = [[value for value in part if value is not None] for part in zip(*lines.values(), strict=True)]
    means = {uuid: _mean(line) for uuid, line in lines.items()}
    sign = 1 if quantity.is_low_bad else -1
    worst = sorted(means, key=lambda uuid: sign * means[uuid])[:WORST]
    return CourseBand(
        lows=[min(part, default=None) for part in known],
        means=[sum(part) / len(part) if part else None for part in known],
        highs=[max(part, default=None) for part in known],
        worst=worst if len(lines) > 1 else [],
    )


def pack_lines(lines: Sequence[Sequence[float | None]], low: float, high: float) -> Iterator[int]:
    """Yield a byte per value, line after line: 0 is not known, 1 to 255 go from `low` to `high`.

    >>> list(pack_lines([(None, 0.0, 50.0, 100.0)], 0.0, 100.0))
    [0, 1, 128, 255]
    """
    for line in lines:
        for value in line:
            share = 0.0 if value is None else min(max((value - low) / (high - low), 0.0), 1.0)
            yield 0 if value is None else 1 + round(share * 254)


def _mean(line: Sequence[float | None]) -> float:
    return weighted_mean((value, 1) for value in line) or 0.0
