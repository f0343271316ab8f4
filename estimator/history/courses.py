"""The GPUs of a run over time, from the rollups, or of a short run from its readings."""

from collections.abc import Iterator, Sequence

from ...cluster_profiles.units import DAY_S
from ..gpu_use.course.course import QUANTITIES, RunCourse, assemble_course, choose_width_s
from ..gpu_use.record import MOST_READINGS
from ..gpu_use.rollup import roll_up
from ..gpu_use.utilisation import divide_timeline
from .rollup_table import WIDTHS_S, weighted_mean_sql
from .samples import HistorySamples

_Rows = Iterator[tuple[str, int, Sequence[float | None]]]


class HistoryCourses(HistorySamples):
    """The courses of runs."""

    def course(self, run: str, begin_s: float | None = None) -> RunCourse | None:
        """Return what the GPUs of a run did, in at most 240 parts; None if nothing was read.

        The parts are counted from the Unix time `begin_s`, by default the first reading.
        """
        (span,) = self._rows(
            "SELECT min(first_s) AS first_s, max(last_s) AS last_s, coalesce(sum(ticks), 0) AS ticks,"
            " (SELECT max(period_s) FROM node WHERE run = :run) AS period FROM run_gpu WHERE run = :run",
            {"run": run},
        )
        if span["first_s"] is None:
            return None
        begin_s = span["first_s"] if begin_s is None else min(begin_s, span["first_s"])
        period_s = span["period"] or 1.0
        seconds = span["last_s"] - begin_s + period_s
        has_readings = span["ticks"] <= MOST_READINGS and self.raw_ticks(run) == span["ticks"]
        width_s = choose_width_s(seconds, period_s, has_readings=has_readings)
        if width_s % WIDTHS_S[0]:
            rows = self._parts_of_readings(run, begin_s, width_s)
        else:
            rows = self._parts_of_rollups(run, begin_s, width_s)
        return assemble_course(list(rows), begin_s, width_s, seconds)

    def timelines(self, run: str, first_s: float, last_s: float) -> dict[str, list[float | None]]:
        """Return the mean utilisation of each GPU in equal parts of the time between two Unix times.

        It is that of its minutes, of a run of days of each ten: they stay when raw readings are deleted.
        """
        unit_s = WIDTHS_S[last_s - first_s > DAY_S]
        parts, width_s = divide_timeline(first_s, last_s, unit_s)
        rows = self._rows(
            "SELECT uuid, min(max(CAST((time_s + :unit / 2.0 - :first) / :width AS INTEGER), 0), :parts - 1) AS part,"
            " avg(utilisation_mean) AS mean FROM rollup WHERE run = :run AND width_s = :unit GROUP BY uuid, part",
            {"run": run, "unit": unit_s, "first": first_s, "width": width_s, "parts": parts},
        )
        lines: dict[str, list[float | None]] = {}
        for row in rows:
            lines.setdefault(row["uuid"], [None] * parts)[row["part"]] = row["mean"]
        return lines

    def _parts_of_rollups(self, run: str, begin_s: float, width_s: float) -> _Rows:
        """A rollup counts where its middle is."""
        unit_s = next(each for each in reversed(WIDTHS_S) if width_s % each == 0)
        columns = ", ".join(f"{_measure(quantity.column)} AS {quantity.column}" for quantity in QUANTITIES)
        rows = self._rows(
            f"SELECT uuid, CAST((time_s + :unit / 2.0 - :begin) / :width AS INTEGER) AS part, {columns}"  # noqa: S608  our own names
            " FROM rollup WHERE run = :run AND width_s = :unit GROUP BY uuid, part",
            {"run": run, "unit": unit_s, "begin": begin_s, "width": width_s},
        )
        for row in rows:
            yield row["uuid"], row["part"], [row[quantity.column] for quantity in QUANTITIES]

    def _parts_of_readings(self, run: str, begin_s: float, width_s: float) -> _Rows:
        for row in self._rows("SELECT uuid FROM run_gpu WHERE run = ?", (run,)):
            parts: dict[int, list[Sequence[float | None]]] = {}
            readings = ((time_s - begin_s, reading) for time_s, reading in self.readings(run, row["uuid"]))
            for rollup in roll_up(readings, 1):
                numbers = [rollup.values[quantity.column] for quantity in QUANTITIES]
                parts.setdefault(int(rollup.time_s // width_s), []).append(numbers)
            for part, of_part in parts.items():
                columns = ([n for n in column if n is not None] for column in zip(*of_part, strict=True))
                yield row["uuid"], part, [sum(column) / len(column) if column else None for column in columns]


def _measure(column: str) -> str:
    if column in ("memory_peak_bytes", "temperature_max_c"):
        return f"max({column})"
    return weighted_mean_sql(column, "utilisation_samples" if column == "utilisation_mean" else "ticks")
