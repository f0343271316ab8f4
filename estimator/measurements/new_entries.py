"""Which of the entered measurements are new, and which are hard to believe."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from .entered import EnteredRun
from .measurement import Measurement
from .suspects import find_suspects


def select_new(
    entries: Sequence[tuple[EnteredRun, Measurement]], recorded: Sequence[Measurement]
) -> list[Measurement]:
    """Return the entered measurements that are not `recorded` yet; a date or source not entered may differ."""
    # For each set of fields that some entry leaves out: the recorded measurements without those fields.
    recorded_without = {
        blank: {_without(m, blank) for m in recorded} for blank in {_blank_fields(e) for e, _ in entries}
    }
    new = []
    for entry, measurement in entries:
        blank = _blank_fields(entry)
        if _without(measurement, blank) not in recorded_without[blank]:
            new.append(measurement)
            for names, measurements in recorded_without.items():
                measurements.add(_without(measurement, names))
    return new


def _blank_fields(entry: EnteredRun) -> tuple[str, ...]:
    return tuple(name for name in ("when", "source") if getattr(entry, name) is None)


def _without(measurement: Measurement, names: Sequence[str]) -> Measurement:
    empty: dict[str, Any] = {"when": None, "source": ""}
    return replace(measurement, **{name: empty[name] for name in names})


def find_doubtful(new: Sequence[Measurement], recorded: Sequence[Measurement]) -> Iterator[str]:
    """Yield a line for each of `new` that is hard to believe beside the others of its model."""
    ids = {id(m) for m in new}
    runs_of: dict[tuple[str, int], list[Measurement]] = {}
    for m in (*new, *recorded):
        runs_of.setdefault((m.model, m.model_parallel), []).append(m)
    for (model, _), runs in runs_of.items():
        yield from dict.fromkeys(f"{model} on {s}" for s in find_suspects(runs) if id(s.measurement) in ids)
