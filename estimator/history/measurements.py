"""The measured step times of runs in the history."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from ...cluster_profiles.precision import Precision
from ..measurements.measurement import Measurement
from .estimates import HistoryEstimates

_MOST_OF_OTHER_MODELS = 500  # so that reading them takes a hundredth of a second
_MEASURED = [f.name for f in fields(Measurement) if f.name != "when"]


class HistoryMeasurements(HistoryEstimates):
    """The measurements of runs."""

    def put_measurements(self, run: str, measurements: Iterable[Measurement]) -> None:
        """Put the measurements of a run, in place of earlier ones."""
        self._db.execute("DELETE FROM measurement WHERE run = ?", (run,))
        columns = ("run", "time_s", *_MEASURED)
        self._db.executemany(
            f"INSERT INTO measurement ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608
            [
                (run, m.when.timestamp() if m.when else None, *(getattr(m, name) for name in _MEASURED))
                for m in measurements
            ],
        )

    def measurements(self, model: str | None = None, run: str | None = None) -> list[Measurement]:
        """Return the measurements of `model`, or of `run` (None: any), the latest first.

        A run that was killed before its steps were steady has none.
        """
        wanted = {name: value for name, value in (("model", model), ("run", run)) if value is not None}
        where = (
            " AND ".join(f"{name} = :{name}" for name in wanted) or "TRUE"
        )  # so that an index leads to them
        rows = self._rows(f"SELECT * FROM measurement WHERE {where} ORDER BY time_s DESC, run", wanted)  # noqa: S608  our own names
        return [self._measurement(row) for row in rows]

    def measurements_of_other_models(self, model: str) -> list[Measurement]:
        """Return the latest 500 measurements of other models than `model` whose cluster is known, the latest first."""
        rows = self._rows(
            "SELECT * FROM measurement WHERE model != ? AND cluster IS NOT NULL ORDER BY time_s DESC, run LIMIT ?",
            (model, _MOST_OF_OTHER_MODELS),
        )
        return [self._measurement(row) for row in rows]

    def models(self) -> list[str]:
        """Return the models that were measured."""
        return [row["model"] for row in self._rows("SELECT DISTINCT model FROM measurement ORDER BY model")]

    def _measurement(self, row: Mapping[str, Any]) -> Measurement:
        values = {name: row[name] for name in _MEASURED} | {"is_probe": bool(row["is_probe"])}
        when = None if row["time_s"] is None else datetime.fromtimestamp(row["time_s"], UTC)
        values["precision"] = self._decode("precision", row["precision"], Precision)
        return Measurement(**values, when=when)
