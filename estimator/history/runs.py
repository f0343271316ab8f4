"""The history: one SQLite file of everything measured.

Here are runs, what happened in them and what they were measured to take; GPU readings are in `samples`, the file itself
in `database`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ...cluster_profiles.precision import Precision
from ..gpu_use.reading import Event
from ..gpu_use.record import RunRecord
from ..measurements.measurement import Measurement
from .samples import WIDTHS_S, HistorySamples

_MEASURED = [f.name for f in fields(Measurement) if f.name != "when"]


class History(HistorySamples):
    """The history file at `path`, made if it is not there.  Raises HistoryError."""

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

    def put_measurements(self, run: str, found: Iterable[Measurement]) -> None:
        """The measurements that a run comes to, in place of those before."""
        self._db.execute("DELETE FROM measurement WHERE run = ?", (run,))
        for one in found:
            values = {name: getattr(one, name) for name in _MEASURED}
            values |= {"run": run, "time_s": one.when.timestamp() if one.when else None}
            marks = ", ".join(f":{name}" for name in values)
            self._db.execute(f"INSERT INTO measurement ({', '.join(values)}) VALUES ({marks})", values)  # noqa: S608

    def measurements(self, model: str | None = None, run: str | None = None) -> list[Measurement]:
        """What runs of `model`, or `run`, were measured to take (None: any), the latest first.

        A run that was killed before its steps were steady is not among them.
        """
        rows = self._rows(
            "SELECT * FROM measurement WHERE (:model IS NULL OR model = :model) AND (:run IS NULL OR run = :run)"
            " ORDER BY time_s DESC, run",
            {"model": model, "run": run},
        )
        return [_measurement(row) for row in rows]

    def models(self) -> list[str]:
        """The models that were measured."""
        return [row["model"] for row in self._rows("SELECT DISTINCT model FROM measurement ORDER BY model")]

    def remove_entered(self, run: str) -> None:
        """Forget a run that is nothing but measurements that were entered."""
        for table in ("measurement", "note", "run"):
            self._db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608  tables are ours

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
            " AND (:model IS NULL OR instr(lower(run.model), lower(:model))"
            "   OR EXISTS (SELECT 1 FROM measurement m WHERE m.run = run.run AND instr(lower(m.model), lower(:model))))"
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

    def record(self, run: str) -> RunRecord:
        """All that a report tells of a run that is there."""
        estimate, step_time_s = self.estimate_of(run)
        return RunRecord(
            run=self.run(run),
            gpus=self.run_gpus(run),
            events=self.events(run),
            stretches=self.stretches(run),
            notes=self.notes(run),
            precision=self.precision_of(run),
            estimate=estimate,
            step_time_s=step_time_s,
            raw_ticks=self.raw_ticks(run),
            readings=partial(self.readings, run),
            minutes=partial(self.minutes, run),
        )


def _measurement(row: Mapping[str, Any]) -> Measurement:
    values = {name: row[name] for name in _MEASURED}
    when = None if row["time_s"] is None else datetime.fromtimestamp(row["time_s"], UTC)
    return Measurement(**{**values, "precision": Precision(row["precision"])}, when=when)
