"""The history: one SQLite file of everything measured.  Only it, `schema` and `salvage` speak SQL.

Rollback journal, full synchronisation and a long busy timeout, so that the file may lie on a network file
system and several processes may use it at once.  Compute nodes never open it.
"""

import contextlib
import json
import os
import secrets
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from ..cluster_profiles.precision import Precision
from ..errors import HistoryError
from .gpu_reading import Event, GpuReading
from .packed_block import pack, unpack
from .rollup import IDLE_PERCENT, Rollup, energy_j, rollups
from .runs import Measurement

BLOCK_S = 600
WIDTHS_S = (60, 600)
BUSY_S = 30.0
_CHECK = "`clusterplan history check` says what can be saved"

_RAW_S = 1200.0  # longer than this, whole minutes are exact enough
_ALL_S = 2**40  # one stretch for all times
_MEASURED = [f.name for f in fields(Measurement) if f.name != "when"]

Rows = Sequence[tuple[float, GpuReading]]


class Activity(NamedTuple):
    """One GPU over some time: mean utilisation in per cent, mean power in watts; None was not read."""

    utilisation: float | None
    power_w: float | None


class History:
    """The history file at `path`, made if it is not there.  Raises HistoryError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("PRAGMA synchronous = FULL")
            self._migrate()
        except OSError as error:
            raise HistoryError(f"{path}: cannot be opened: {error.strerror}") from None
        except sqlite3.Error as error:
            raise HistoryError(f"{path}: is no history that can be used: {error}; {_CHECK}") from None

    def _migrate(self) -> None:
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}
        if tables and "_sqlite_migrations" not in tables:
            raise HistoryError(f"{self.path}: is an SQLite file of something else; give another path")
        _apply_migrations(self._db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that is written in the block, or nothing.  Others wait for it.  Raises HistoryError."""
        alone = not (self._held or self._db.in_transaction)
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("SAVEPOINT block")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # SQLite undoes all itself when the disk is full
                    for said in ("ROLLBACK",) if alone else ("ROLLBACK TO block", "RELEASE block"):
                        self._db.execute(said)
                raise
            self._db.execute("RELEASE block")
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be written: {error}") from None
        if alone:
            self.flush()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is written in here is on the disk at a `flush`, or the end, and not each time, which takes long.

        A crash costs what was written since, every block of `writing` as a whole; others wait until then, so flush
        a few times a second.  Raises HistoryError.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.flush()

    def flush(self) -> None:
        """Have all that was written on the disk, and let others write.  Raises HistoryError."""
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise HistoryError(f"{self.path}: cannot be written: {error}") from None

    def put_run(self, facts: Mapping[str, Any]) -> None:
        """A run as its folder describes it now."""
        self._put("run", ("run",), facts)

    def put_precision(self, run: str, planned: Precision | None, seen: Precision | None) -> None:
        """What a run that is there was to train in, and what it was seen to."""
        self._db.execute(
            "UPDATE run SET precision_planned = ?, precision_seen = ? WHERE run = ?", (planned, seen, run)
        )

    def precision_of(self, run: str) -> tuple[Precision | None, Precision | None]:
        """What a run was to train in, and what it was seen to; None is not known."""
        (found,) = self._rows("SELECT precision_planned, precision_seen FROM run WHERE run = ?", (run,))
        planned, seen = (None if text is None else Precision(text) for text in found.values())
        return planned, seen

    def put_node(
        self, run: str, node: str, facts: Mapping[str, Any], gpus: Iterable[Mapping[str, Any]]
    ) -> None:
        """A node of a run, and its GPUs in the order of their places."""
        self._put("node", ("run", "node"), {"run": run, "node": node, **facts})
        for place, gpu in enumerate(gpus):
            self._put("gpu", ("uuid",), gpu)
            own = {"run": run, "uuid": gpu["uuid"], "node": node, "place": place, "ticks": 0}
            self._db.execute(
                "INSERT INTO run_gpu (run, uuid, node, place, ticks) VALUES (:run, :uuid, :node, :place, :ticks)"
                " ON CONFLICT DO NOTHING",
                own,
            )

    def has_ended(self, run: str) -> bool:
        """Whether the history knows the end of a run."""
        return bool(self._rows("SELECT 1 FROM run WHERE run = ? AND ended_s IS NOT NULL", (run,)))

    def has_whole(self, run: str, spool_bytes: Mapping[str, int]) -> bool:
        """Whether the history has an ended run, and all of spools of these sizes."""
        read = self._rows("SELECT spool, offset FROM spool WHERE run = ?", (run,))
        return self.has_ended(run) and {row["spool"]: row["offset"] for row in read} == dict(spool_bytes)

    def ended(self) -> dict[str, dict[str, int]]:
        """Every run that has ended, and its spools with the bytes of them that are in the history."""
        found: dict[str, dict[str, int]] = {}
        for row in self._rows(
            "SELECT run.run, spool, offset FROM run LEFT JOIN spool USING (run) WHERE ended_s IS NOT NULL"
        ):
            spools = found.setdefault(row["run"], {})
            if row["spool"] is not None:
                spools[row["spool"]] = row["offset"]
        return found

    def spool_position(self, run: str, spool: str) -> tuple[int, int, int]:
        """(offset, frames, damaged bytes) up to which a spool is in the history."""
        found = self._db.execute(
            "SELECT offset, frames, damaged_bytes FROM spool WHERE run = ? AND spool = ?", (run, spool)
        ).fetchone()
        return tuple(found) if found else (0, 0, 0)

    def put_spool(
        self, run: str, spool: str, node: str, offset: int, frames: int, damaged_bytes: int
    ) -> None:
        """The position that a spool is read up to."""
        values = {"run": run, "spool": spool, "node": node, "offset": offset, "frames": frames}
        self._put("spool", ("run", "spool"), {**values, "damaged_bytes": damaged_bytes})

    def put_events(self, run: str, node: str, events: Iterable[tuple[Event, str | None]]) -> None:
        """Events, each with the UUID of its GPU; one that is there already stays as it is."""
        self._db.executemany(
            "INSERT OR IGNORE INTO event (run, node, time_s, kind, uuid, text) VALUES (?, ?, ?, ?, ?, ?)",
            [(run, node, event.time_s, event.kind, uuid, event.text) for event, uuid in events],
        )

    def put_notes(self, run: str, notes: Iterable[Mapping[str, Any]]) -> None:
        """The report's notes on a run, in place of earlier ones."""
        self._db.execute("DELETE FROM note WHERE run = ?", (run,))
        self._db.executemany(
            "INSERT OR IGNORE INTO note (run, code, text, uuids) VALUES (?, ?, ?, ?)",
            [(run, note["code"], note["text"], json.dumps(note["uuids"])) for note in notes],
        )

    def put_readings(self, run: str, uuid: str, rows: Rows) -> None:
        """Readings of one GPU, merged into what is there; one of the same millisecond replaces the other."""
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
                self._put_rollups(run, uuid, rollups(whole, width_s))
        self._sum_up(run, uuid, rows)

    def _put_rollups(self, run: str, uuid: str, found: Sequence[Rollup]) -> None:
        names = ["run", "uuid", *(f.name for f in fields(Rollup))]
        marks = ", ".join("?" * len(names))
        self._db.executemany(
            f"INSERT OR REPLACE INTO rollup ({', '.join(names)}) VALUES ({marks})",  # noqa: S608  our own names
            [(run, uuid, *astuple(rollup)) for rollup in found],
        )

    def _sum_up(self, run: str, uuid: str, rows: Rows) -> None:
        """A GPU's line of the run, from its rollups: those of ten minutes, and of idle minutes."""
        found = self._db.execute(
            "SELECT ticks, utilisation_samples, utilisation_mean, memory_peak_bytes, power_mean_w, energy_first_mj,"
            " energy_last_mj FROM rollup WHERE run = ? AND uuid = ? AND width_s = ? ORDER BY time_s",
            (run, uuid, WIDTHS_S[-1]),
        ).fetchall()
        times = [time_s for time_s, _ in rows]
        energy = energy_j((row["energy_first_mj"], row["energy_last_mj"]) for row in found)
        self._db.execute(
            "UPDATE run_gpu SET first_s = min(coalesce(first_s, :first), :first),"
            " last_s = max(coalesce(last_s, :last), :last), ticks = :ticks, utilisation_mean = :utilisation,"
            " memory_peak_bytes = :memory, power_mean_w = :power, energy_j = :energy,"
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
                "energy": energy,
            },
        )

    def put_measurements(self, run: str, found: Iterable[Measurement]) -> None:
        """The measurements that a run comes to, in place of those before."""
        self._db.execute("DELETE FROM measurement WHERE run = ?", (run,))
        for one in found:
            values = {name: getattr(one, name) for name in _MEASURED}
            values |= {"run": run, "time_s": one.when.timestamp() if one.when else None}
            marks = ", ".join(f":{name}" for name in values)
            self._db.execute(f"INSERT INTO measurement ({', '.join(values)}) VALUES ({marks})", values)  # noqa: S608

    def measurements(self, model: str | None = None) -> list[Measurement]:
        """What runs of `model` were measured to take (None: of any), the latest first.

        A run that was killed before its steps were steady is not among them.
        """
        rows = self._rows(
            "SELECT * FROM measurement WHERE :model IS NULL OR model = :model ORDER BY time_s DESC, run",
            {"model": model},
        )
        return [_measurement(row) for row in rows]

    def put_estimate(self, run: str, values: Mapping[str, Any]) -> None:
        """What was estimated before a run, in place of what was there."""
        self._put("estimate", ("run",), {"run": run, **values})

    def estimate_of(self, run: str) -> tuple[dict[str, Any] | None, float | None]:
        """What was estimated before a run, and the step time that was measured in it; None is not known."""
        told = self._rows("SELECT * FROM estimate WHERE run = ?", (run,))
        measured = self._rows("SELECT step_time_s FROM measurement WHERE run = ?", (run,))
        return (told[0] if told else None), (measured[0]["step_time_s"] if measured else None)

    def estimates(self) -> list[dict[str, Any]]:
        """What was estimated before each run that was."""
        return self._rows("SELECT * FROM estimate ORDER BY made_s DESC, run")

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
        summed = [rollup for rows_ in readings.values() for rollup in rollups(rows_, _ALL_S)]
        return [Activity(rollup.utilisation_mean, rollup.power_mean_w) for rollup in summed]

    def runs(
        self,
        *,
        name: str | None = None,
        model: str | None = None,
        gpu: str | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
    ) -> list[dict[str, Any]]:
        """Runs, the latest first: whose name, model and GPU type contain these texts, begun between these times."""
        return self._rows(
            "SELECT v.* FROM run JOIN v_runs v USING (run)"
            " WHERE (:name IS NULL OR instr(lower(run.name), lower(:name)))"
            " AND (:model IS NULL OR instr(lower(run.model), lower(:model)))"
            " AND (:since IS NULL OR run.began_s >= :since) AND (:until IS NULL OR run.began_s < :until)"
            " AND (:gpu IS NULL OR EXISTS (SELECT 1 FROM run_gpu g JOIN gpu USING (uuid)"
            "   WHERE g.run = run.run AND instr(lower(gpu.name), lower(:gpu))))"
            " ORDER BY run.began_s DESC",
            {"name": name, "model": model, "gpu": gpu, "since": since_s, "until": until_s},
        )

    def run(self, run: str) -> dict[str, Any]:
        """One run that is there, as `runs` has it."""
        (found,) = self._rows("SELECT * FROM v_runs WHERE run = ?", (run,))
        return found

    def gpus(self, run: str) -> list[dict[str, Any]]:
        """The GPUs of a run."""
        return self._rows("SELECT * FROM v_gpu_utilisation WHERE run = ?", (run,))

    def events(self, run: str) -> list[dict[str, Any]]:
        """The events of a run, in order."""
        return self._rows("SELECT * FROM event WHERE run = ? ORDER BY time_s", (run,))

    def notes(self, run: str) -> list[dict[str, Any]]:
        """The report's notes on a run, as they were found when it had ended: `code`, `text`, `uuids`."""
        found = self._rows("SELECT code, text, uuids FROM note WHERE run = ? ORDER BY rowid", (run,))
        return [{**row, "uuids": json.loads(row["uuids"])} for row in found]

    def run_gpus(self, run: str) -> list[dict[str, Any]]:
        """The GPUs of a run with everything known of them, in the order of their places."""
        return self._rows(
            "SELECT g.*, gpu.name, gpu.memory_bytes, gpu.power_limit_w, node.period_s, node.attribution,"
            " run.ended_s,"
            " (SELECT sum(sm_active_mean * ticks) / sum(ticks) FROM rollup r WHERE r.run = g.run AND r.uuid = g.uuid"
            "   AND width_s = :width AND sm_active_mean IS NOT NULL) AS sm_active_mean,"
            " (SELECT sum(tensor_active_mean * ticks) / sum(ticks) FROM rollup r WHERE r.run = g.run"
            "   AND r.uuid = g.uuid AND width_s = :width AND tensor_active_mean IS NOT NULL) AS tensor_active_mean"
            " FROM run_gpu g JOIN gpu USING (uuid) JOIN node USING (run, node) JOIN run USING (run)"
            " WHERE run = :run ORDER BY node, place",
            {"run": run, "width": WIDTHS_S[-1]},
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

    def _rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in self._db.execute(query, values)]
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be read: {error}; {_CHECK}") from None

    def prune(self, before_s: float) -> int:
        """Forget the raw readings of ended runs from before that time; summaries stay.  How many blocks went."""
        with self.writing():
            gone = self._db.execute(
                "DELETE FROM raw_block WHERE time_s + ? <= ?"
                " AND run IN (SELECT run FROM run WHERE ended_s IS NOT NULL)",
                (BLOCK_S, before_s),
            )
            return gone.rowcount

    def vacuum(self) -> tuple[int, int]:
        """Give free pages back; the file's bytes before and after.  Raises HistoryError."""
        before = self.path.stat().st_size
        try:
            self._db.execute("VACUUM")
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be vacuumed: {error}") from None
        return before, self.path.stat().st_size

    def _put(self, table: str, key: Sequence[str], values: Mapping[str, Any]) -> None:
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        rest = ", ".join(f"{name} = excluded.{name}" for name in values if name not in key)
        self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  tables and columns are ours
            f" ON CONFLICT ({', '.join(key)}) DO {'UPDATE SET ' + rest if rest else 'NOTHING'}",
            dict(values),
        )


def _make(path: Path) -> None:
    """A new history, which appears whole: of several who make it at once, the first wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        db = sqlite3.connect(draft, isolation_level=None)
        try:
            _apply_migrations(db)
        finally:
            db.close()
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _apply_migrations(db: sqlite3.Connection) -> None:
    import sqlite_utils

    from .schema import migrations

    wrapped = sqlite_utils.Database(db)
    if migrations.pending(wrapped):
        migrations.apply(wrapped)


def _measurement(row: Mapping[str, Any]) -> Measurement:
    values = {name: row[name] for name in _MEASURED}
    when = None if row["time_s"] is None else datetime.fromtimestamp(row["time_s"], UTC)
    return Measurement(**{**values, "precision": Precision(row["precision"])}, when=when)


def _mean(weighed: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in weighed if value is not None and weight]
    return sum(v * w for v, w in known) / sum(w for _, w in known) if known else None
