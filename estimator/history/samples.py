"""What GPUs did, in the history: raw readings for a while, and their sums and rollups for ever."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple

from ...errors import DamagedBlock
from ..gpu_use.energy_counter import CounterReading, fold_counter
from ..gpu_use.reading import GpuReading, largest_values, leave_out_impossible
from ..gpu_use.rollup import ALL_TIMES_S, IDLE_PERCENT, Rollup, roll_up
from .database import HistoryFile
from .packed_block import MOST_TICKS, pack, unpack
from .rollup_table import WIDTHS_S, insert_rollup, stored_values, weighted_mean_sql

BLOCK_S = 600

_LARGEST = largest_values()
_RAW_S = 1200.0  # longer than this, whole minutes are exact enough

_REMEDY = "`clusterplan history import --rebuild` makes the history anew from the run folders"

Rows = Sequence[tuple[float, GpuReading]]


def name_block(uuid: object, block_s: object) -> str:
    """Return the name of a block for people, whatever a damaged file says of it."""
    try:
        since = f"{datetime.fromtimestamp(block_s, UTC):%Y-%m-%d %H:%M} UTC"  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        since = f"{block_s!r:.40}"
    return f"the readings of {uuid} from {since} on"


class Activity(NamedTuple):
    """One GPU over some time: mean utilisation in per cent, mean power in watts; None was not read."""

    utilisation: float | None
    power_w: float | None


class HistorySamples(HistoryFile):
    """The readings of a run's GPUs."""

    def put_readings(self, run: str, spool: str, uuid: str, rows: Rows) -> None:
        """Merge the next readings of one GPU in a spool, in order, into those that are there.

        Another sampler's reading of the same millisecond stays: between the two, the node's clock may have been set back.
        """
        limit_w = self._power_limit_w(uuid)
        starts_s = self._put_spool_gpu(run, spool, uuid, rows, limit_w)
        blocks: dict[int, list[tuple[float, GpuReading]]] = {}
        for row in rows:
            blocks.setdefault(int(row[0] // BLOCK_S) * BLOCK_S, []).append(row)
        for time_s, fresh in blocks.items():
            key = {"run": run, "uuid": uuid, "time_s": time_s}
            if self._ticks(run, uuid, time_s) >= MOST_TICKS:
                continue
            before = self._unpack(run, uuid, time_s)
            block = sorted((*before, *fresh), key=itemgetter(0))[:MOST_TICKS]
            self._put("raw_block", tuple(key), {**key, "ticks": len(block), "packed": pack(block)})
            for width_s in WIDTHS_S:
                self._put_rollups(run, uuid, roll_up(block, width_s, starts_s, limit_w))
        self._sum_up(run, uuid, rows)

    def _power_limit_w(self, uuid: str) -> float | None:
        rows = self._rows("SELECT power_limit_w FROM gpu WHERE uuid = ?", (uuid,))
        return rows[0]["power_limit_w"] if rows else None

    def _put_spool_gpu(
        self, run: str, spool: str, uuid: str, rows: Rows, limit_w: float | None
    ) -> list[float]:
        """Add readings to the line of a GPU in a spool.

        Returns the times at which the samplers of the run had their first reading of the GPU, but for the earliest.
        The energy is each sampler's own: between two of them, the GPU may have worked for another job.
        """
        key = {"run": run, "uuid": uuid, "spool": spool}
        lines = self._rows("SELECT * FROM spool_gpu WHERE run = :run AND uuid = :uuid", key)
        before = next((line for line in lines if line["spool"] == spool), None)
        times = [time_s for time_s, _ in rows]
        counter = [
            CounterReading(t, reading.energy_mj) for t, reading in rows if reading.energy_mj is not None
        ]
        if before and before["counter_mj"] is not None:
            since_s = before["last_s"] if before["counter_s"] is None else before["counter_s"]
            counter.insert(0, CounterReading(since_s, before["counter_mj"]))
        used_mj, since = fold_counter(counter, limit_w)
        if before:
            times += before["first_s"], before["last_s"]
            used_mj = before["energy_mj"] if used_mj is None else used_mj + (before["energy_mj"] or 0)
        line = {
            **key,
            "first_s": min(times),
            "last_s": max(times),
            "counter_mj": since and since.mj,
            "counter_s": since and since.time_s,
            "energy_mj": used_mj,
        }
        self._put("spool_gpu", tuple(key), line)
        return sorted([*(other["first_s"] for other in lines if other["spool"] != spool), line["first_s"]])[
            1:
        ]

    def _put_rollups(self, run: str, uuid: str, rollups: Sequence[Rollup]) -> None:
        self._db.execute("INSERT OR IGNORE INTO series (run, uuid) VALUES (?, ?)", (run, uuid))
        self._db.executemany(insert_rollup(), [(run, uuid, *stored_values(rollup)) for rollup in rollups])

    def _sum_up(self, run: str, uuid: str, rows: Rows) -> None:
        """Bring a GPU's line of the run up to date, from its rollups and its samplers' energies."""
        times = [time_s for time_s, _ in rows]
        self._db.execute(
            "UPDATE run_gpu SET first_s = min(coalesce(first_s, :first), :first),"
            " last_s = max(coalesce(last_s, :last), :last),"
            " (ticks, utilisation_mean, memory_peak_bytes, power_mean_w) = (SELECT ticks, utilisation_mean,"
            "   memory_peak_bytes, power_mean_w FROM gpu_rollup WHERE run = :run AND uuid = :uuid),"
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
            },
        )

    def activity(self, run: str, begin_s: float, end_s: float) -> list[Activity]:
        """Return what each GPU of a run did between two Unix times.

        A short time is read from raw readings, a longer one minute by minute.
        """
        if end_s - begin_s > _RAW_S:
            rows = self._rows(
                f"SELECT {weighted_mean_sql('utilisation_mean', 'utilisation_samples')} AS utilisation,"  # noqa: S608
                f" {weighted_mean_sql('power_mean_w', 'ticks')} AS power FROM rollup"
                " WHERE run = ? AND width_s = ? AND time_s >= ? AND time_s + width_s <= ? GROUP BY uuid",
                (run, WIDTHS_S[0], begin_s, end_s),
            )
            return [Activity(row["utilisation"], row["power"]) for row in rows]
        blocks = self._rows(
            "SELECT uuid, time_s FROM raw_block WHERE run = ? AND time_s > ? AND time_s <= ? ORDER BY uuid, time_s",
            (run, begin_s - BLOCK_S, end_s),
        )
        readings: dict[str, list[tuple[float, GpuReading]]] = {}
        for block in blocks:
            of_block = self._unpack(run, block["uuid"], block["time_s"])
            within = [row for row in of_block if begin_s <= row[0] <= end_s]
            readings.setdefault(block["uuid"], []).extend(within)
        values = [rollup.values for of_gpu in readings.values() for rollup in roll_up(of_gpu, ALL_TIMES_S)]
        return [Activity(value["utilisation_mean"], value["power_mean_w"]) for value in values]

    def stretches(self, run: str) -> list[dict[str, Any]]:
        """Return `uuid`, `first_s`, `last_s`: when each sampler of a run had its first and last reading of a GPU."""
        return self._rows(
            "SELECT uuid, first_s, last_s FROM spool_gpu WHERE run = ? ORDER BY uuid, first_s", (run,)
        )

    def readings(
        self, run: str, uuid: str, since_s: float | None = None
    ) -> Iterator[tuple[float, GpuReading]]:
        """Yield the raw readings of one GPU of a run that are still kept, from a Unix time on, with their times.

        Raises HistoryError, and DamagedBlock.
        """
        from_s = 0.0 if since_s is None else since_s
        blocks = self._rows(
            "SELECT time_s FROM raw_block WHERE run = ? AND uuid = ? AND time_s > ? ORDER BY time_s",
            (run, uuid, from_s - BLOCK_S),
        )
        for block in blocks:  # one at a time: of months they are gigabytes
            yield from (row for row in self._unpack(run, uuid, block["time_s"]) if row[0] >= from_s)

    def _ticks(self, run: str, uuid: str, block_s: float) -> int:
        rows = self._rows(
            "SELECT ticks FROM raw_block WHERE run = ? AND uuid = ? AND time_s = ?", (run, uuid, block_s)
        )
        return rows[0]["ticks"] if rows else 0

    def _unpack(self, run: str, uuid: str, block_s: float) -> list[tuple[float, GpuReading]]:
        """Return the readings in the block of a GPU from a Unix time on.  Raises HistoryError and DamagedBlock."""
        blocks = self._rows(
            "SELECT ticks, packed FROM raw_block WHERE run = ? AND uuid = ? AND time_s = ?",
            (run, uuid, block_s),
        )
        try:
            rows = [row for block in blocks for row in unpack(block["packed"], block["ticks"])]
        except DamagedBlock as error:
            raise DamagedBlock(
                f"{self.path}: run {run}: {name_block(uuid, block_s)}: {error}; {_REMEDY}"
            ) from None
        return [(time_s, leave_out_impossible(reading, _LARGEST)[0]) for time_s, reading in rows]

    def raw_ticks(self, run: str) -> int:
        """Return how many raw readings of a run are still kept."""
        (total,) = self._rows("SELECT coalesce(sum(ticks), 0) AS ticks FROM raw_block WHERE run = ?", (run,))
        return int(total["ticks"])

    def prune(self, before_s: float) -> int:
        """Delete the raw readings of ended runs from before a Unix time, and return the number of blocks; summaries stay."""
        with self.writing():
            deletion = self._db.execute(
                "DELETE FROM raw_block WHERE time_s + ? <= ?"
                " AND run IN (SELECT run FROM run WHERE ended_s IS NOT NULL)",
                (BLOCK_S, before_s),
            )
            return deletion.rowcount
