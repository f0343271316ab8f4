"""What GPUs did, in the history: raw readings for a while, and their sums and rollups for ever."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from ...errors import HistoryError
from ..gpu_use.reading import GpuReading
from ..gpu_use.rollup import IDLE_PERCENT, Rollup, energy_mj, roll_up
from .database import HistoryFile
from .packed_block import pack, unpack

BLOCK_S = 600
WIDTHS_S = (60, 600)

_RAW_S = 1200.0  # longer than this, whole minutes are exact enough
_ALL_S = 2**40  # one stretch for all times

_PARTS = {  # of a unit, in which rollups are stored; the view `rollup` undoes it
    **dict.fromkeys(("utilisation_mean", "memory_utilisation_mean", "sm_clock_mean_mhz"), 1000),
    **dict.fromkeys(("power_mean_w", "power_max_w"), 1000),
    **dict.fromkeys(("sm_active_mean", "occupancy_mean", "tensor_active_mean", "dram_active_mean"), 100_000),
    "throttled_share": 100_000,
}

Rows = Sequence[tuple[float, GpuReading]]


class Activity(NamedTuple):
    """One GPU over some time: mean utilisation in per cent, mean power in watts; None was not read."""

    utilisation: float | None
    power_w: float | None


def whole_numbers(rollup: Rollup) -> list[int | float | None]:
    """The columns of a rollup as they are stored."""
    values = [(getattr(rollup, f.name), _PARTS.get(f.name)) for f in fields(Rollup)]
    return [value if parts is None or value is None else round(value * parts) for value, parts in values]


class HistorySamples(HistoryFile):
    """The readings of a run's GPUs."""

    def put_readings(self, run: str, spool: str, uuid: str, rows: Rows) -> None:
        """The next readings of one GPU in a spool, in order, merged into what is there.

        One of the same millisecond replaces the other.
        """
        starts_s = self._put_stretch(run, spool, uuid, rows)
        blocks: dict[int, list[tuple[float, GpuReading]]] = {}
        for row in rows:
            blocks.setdefault(int(row[0] // BLOCK_S) * BLOCK_S, []).append(row)
        for time_s, fresh in blocks.items():
            found = self._db.execute(
                "SELECT packed FROM raw_block WHERE run = ? AND uuid = ? AND time_s = ?", (run, uuid, time_s)
            ).fetchone()
            merged = {round(t * 1000): (t, r) for t, r in [*(unpack(found[0]) if found else []), *fresh]}
            whole = [merged[key] for key in sorted(merged)]
            block = {"run": run, "uuid": uuid, "time_s": time_s, "ticks": len(whole), "packed": pack(whole)}
            self._put("raw_block", ("run", "uuid", "time_s"), block)
            for width_s in WIDTHS_S:
                self._put_rollups(run, uuid, roll_up(whole, width_s, starts_s))
        self._sum_up(run, uuid, rows)

    def _put_stretch(self, run: str, spool: str, uuid: str, rows: Rows) -> list[float]:
        """Add readings to what a sampler has seen of a GPU; when each but the first of the run's samplers saw it first.

        The energy is each sampler's own: what the GPU took between two of them may have been another's.
        """
        own = {"run": run, "uuid": uuid, "spool": spool}
        found = self._rows("SELECT * FROM spool_gpu WHERE run = :run AND uuid = :uuid ORDER BY first_s", own)
        before = next((row for row in found if row["spool"] == spool), None)
        counter = [reading.energy_mj for _, reading in rows]
        if before:
            counter.insert(0, before["counter_mj"])
        fresh_mj = energy_mj(counter)
        times = [time_s for time_s, _ in rows]
        stretch = {
            **own,
            "first_s": min(before["first_s"] if before else times[0], *times),
            "last_s": max(before["last_s"] if before else times[0], *times),
            "counter_mj": next((mj for mj in reversed(counter) if mj is not None), None),
            "energy_mj": None if fresh_mj is None else fresh_mj + ((before or {}).get("energy_mj") or 0),
        }
        self._put("spool_gpu", ("run", "uuid", "spool"), stretch)
        _, *later = sorted([*(row["first_s"] for row in found if row["spool"] != spool), stretch["first_s"]])
        return later

    def _put_rollups(self, run: str, uuid: str, found: Sequence[Rollup]) -> None:
        self._db.execute("INSERT OR IGNORE INTO series (run, uuid) VALUES (?, ?)", (run, uuid))
        own = "SELECT series FROM series WHERE run = ? AND uuid = ?"
        names = [f.name for f in fields(Rollup)]
        self._db.executemany(
            f"INSERT OR REPLACE INTO rollup_row (series, {', '.join(names)})"  # noqa: S608  our own names
            f" VALUES (({own}), {', '.join('?' * len(names))})",
            [(run, uuid, *whole_numbers(rollup)) for rollup in found],
        )

    def _sum_up(self, run: str, uuid: str, rows: Rows) -> None:
        """A GPU's line of the run, from its rollups of ten minutes and of idle minutes, and its samplers' energies."""
        found = self._db.execute(
            "SELECT ticks, utilisation_samples, utilisation_mean, memory_peak_bytes, power_mean_w"
            " FROM rollup WHERE run = ? AND uuid = ? AND width_s = ? ORDER BY time_s",
            (run, uuid, WIDTHS_S[-1]),
        ).fetchall()
        times = [time_s for time_s, _ in rows]
        self._db.execute(
            "UPDATE run_gpu SET first_s = min(coalesce(first_s, :first), :first),"
            " last_s = max(coalesce(last_s, :last), :last), ticks = :ticks, utilisation_mean = :utilisation,"
            " memory_peak_bytes = :memory, power_mean_w = :power,"
            " energy_j = (SELECT sum(energy_mj) / 1000.0 FROM spool_gpu s WHERE s.run = :run AND s.uuid = :uuid),"
            " idle_s = (SELECT total(ticks) FROM rollup r WHERE r.run = :run AND r.uuid = :uuid AND width_s = :minute"
            "   AND utilisation_max <= :idle) * (SELECT coalesce(period_s, 1) FROM node n"
            "   WHERE n.run = :run AND n.node = run_gpu.node)"
            " WHERE run = :run AND uuid = :uuid",
            {
                "minute": WIDTHS_S[0],
                "idle": IDLE_PERCENT,
                "run": run,
                "uuid": uuid,
                "first": min(times),
                "last": max(times),
                "ticks": sum(row["ticks"] for row in found),
                "utilisation": _mean((row["utilisation_mean"], row["utilisation_samples"]) for row in found),
                "memory": max((row["memory_peak_bytes"] or 0 for row in found), default=0) or None,
                "power": _mean((row["power_mean_w"], row["ticks"]) for row in found),
            },
        )

    def activity(self, run: str, begin_s: float, end_s: float) -> list[Activity]:
        """What the GPUs of a run did between two times: from raw readings if that is short, else minute by minute."""
        if end_s - begin_s > _RAW_S:
            rows = self._rows(
                "SELECT sum(utilisation_mean * utilisation_samples) / sum(utilisation_samples) AS utilisation,"
                " sum(power_mean_w * ticks) / sum(ticks) AS power FROM rollup"
                " WHERE run = ? AND width_s = ? AND time_s >= ? AND time_s + width_s <= ? GROUP BY uuid",
                (run, WIDTHS_S[0], begin_s, end_s),
            )
            return [Activity(row["utilisation"], row["power"]) for row in rows]
        blocks = self._rows(
            "SELECT uuid, packed FROM raw_block WHERE run = ? AND time_s > ? AND time_s <= ? ORDER BY uuid, time_s",
            (run, begin_s - BLOCK_S, end_s),
        )
        readings: dict[str, list[tuple[float, GpuReading]]] = {}
        for row in blocks:
            within = [(t, reading) for t, reading in unpack(row["packed"]) if begin_s <= t <= end_s]
            readings.setdefault(row["uuid"], []).extend(within)
        summed = [rollup for rows_ in readings.values() for rollup in roll_up(rows_, _ALL_S)]
        return [Activity(rollup.utilisation_mean, rollup.power_mean_w) for rollup in summed]

    def stretches(self, run: str) -> list[dict[str, Any]]:
        """`uuid`, `first_s`, `last_s`: when each sampler of a run had its first and last reading of a GPU."""
        return self._rows(
            "SELECT uuid, first_s, last_s FROM spool_gpu WHERE run = ? ORDER BY uuid, first_s", (run,)
        )

    def minutes(self, run: str, uuid: str) -> list[tuple[float, float]]:
        """(Unix time, mean utilisation) of each minute of a GPU; they stay when raw readings are forgotten."""
        found = self._rows(
            "SELECT time_s, utilisation_mean FROM rollup WHERE run = ? AND uuid = ? AND width_s = ?"
            " AND utilisation_mean IS NOT NULL ORDER BY time_s",
            (run, uuid, WIDTHS_S[0]),
        )
        return [(row["time_s"], row["utilisation_mean"]) for row in found]

    def readings(
        self, run: str, uuid: str, since_s: float | None = None
    ) -> Iterator[tuple[float, GpuReading]]:
        """The raw readings of one GPU of a run that are still kept, block by block, from a Unix time on."""
        from_s = 0.0 if since_s is None else since_s
        blocks = self._rows(
            "SELECT id FROM raw_block WHERE run = ? AND uuid = ? AND time_s > ? ORDER BY time_s",
            (run, uuid, from_s - BLOCK_S),
        )
        for block in blocks:
            for row in self._rows("SELECT packed FROM raw_block WHERE id = ?", (block["id"],)):
                try:
                    yield from (reading for reading in unpack(row["packed"]) if reading[0] >= from_s)
                except (zlib.error, struct.error, ValueError, StopIteration) as error:
                    raise HistoryError(f"{self.path}: a block of {run} cannot be read: {error}") from None

    def raw_ticks(self, run: str) -> int:
        """How many raw readings of a run are still kept."""
        (found,) = self._rows("SELECT coalesce(sum(ticks), 0) AS ticks FROM raw_block WHERE run = ?", (run,))
        return int(found["ticks"])

    def prune(self, before_s: float) -> int:
        """Forget the raw readings of ended runs from before that time; summaries stay.  How many blocks went."""
        with self.writing():
            gone = self._db.execute(
                "DELETE FROM raw_block WHERE time_s + ? <= ?"
                " AND run IN (SELECT run FROM run WHERE ended_s IS NOT NULL)",
                (BLOCK_S, before_s),
            )
            return gone.rowcount


def _mean(weighed: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in weighed if value is not None and weight]
    return sum(v * w for v, w in known) / sum(w for _, w in known) if known else None
