"""What may explain the speed of a run, in the history, and the earlier runs that it repeats."""

import json
from typing import Any

from ..accuracy.input_share import find_input_wait
from ..accuracy.run_facts import RunFacts
from ..accuracy.slowdown import find_slowdown
from ..gpu_use.metrics import weighted_mean
from ..gpu_use.notes import Note
from .measurements import HistoryMeasurements

_MOST_EARLIER = 20  # the latest
_NOT_OLDER_S = 90 * 86400.0  # software has changed since
# The columns of `measurement` in which a run repeats another; its GPU type may differ.
_SAME = (
    "model",
    "nodes",
    "gpus",
    "batch_size",
    "accumulation",
    "model_parallel",
    "tensor_parallel",
    "pipeline_parallel",
)
_SAME_IF_KNOWN = ("precision", "seq_len", "zero_stage", "trainable_parameters", "cluster")


class HistorySetups(HistoryMeasurements):
    """The machines, software and commands of runs."""

    def run_facts(self, run: str) -> RunFacts:
        """Return what is known of a run that is in the history."""
        (row,) = self._rows(
            "SELECT * FROM run LEFT JOIN package_list USING (package_list) WHERE run = ?", (run,)
        )
        gpus = self._rows(
            "SELECT name, power_limit_w, utilisation_mean, ticks, memory_peak_bytes FROM run_gpu JOIN gpu USING (uuid)"
            " WHERE run = ? ORDER BY node, place",
            (run,),
        )
        nodes = self._rows("SELECT node, driver FROM node WHERE run = ? ORDER BY node", (run,))
        measurements = self.measurements(run=run)
        return RunFacts(
            run=run,
            model=row["model"],
            measurement=measurements[0] if len(measurements) == 1 else None,
            gpus=_distinct(gpu["name"] for gpu in gpus),
            power_limits_w=_distinct(gpu["power_limit_w"] for gpu in gpus),
            drivers=_distinct(node["driver"] for node in nodes),
            nodes=_distinct(node["node"] for node in nodes),
            packages=dict(text.split("==", 1) for text in _listed(row["packages"]) if "==" in text),
            command=tuple(_listed(row["command"])),
            commit=row["git_commit"],
            utilisation_percent=weighted_mean((gpu["utilisation_mean"], gpu["ticks"]) for gpu in gpus),
            memory_peak_bytes=max(
                (gpu["memory_peak_bytes"] for gpu in gpus if gpu["memory_peak_bytes"]), default=None
            ),
        )

    def earlier_repeats(self, run: str) -> list[RunFacts]:
        """Return the latest 20 runs of a run's model in its shape that were measured in the 90 days before it, the latest first.

        Their GPU type may be another.
        """
        same = " AND ".join(
            (
                *(f"m.{name} IS own.{name}" for name in _SAME),
                *(
                    f"(m.{name} IS own.{name} OR m.{name} IS NULL OR own.{name} IS NULL)"
                    for name in _SAME_IF_KNOWN
                ),
            )
        )
        rows = self._rows(
            "SELECT m.run FROM measurement own JOIN measurement m ON m.model = own.model AND m.run != own.run"  # noqa: S608  our own names
            " JOIN run ON run.run = m.run"
            f" WHERE own.run = :run AND run.kind = 'submit' AND NOT m.is_probe AND {same}"
            " AND m.time_s < own.time_s AND m.time_s >= own.time_s - :age ORDER BY m.time_s DESC LIMIT :most",
            {"run": run, "age": _NOT_OLDER_S, "most": _MOST_EARLIER},
        )
        return [self.run_facts(row["run"]) for row in rows]

    def loop_notes(self, run: str) -> list[Note]:
        """Return the notes on a run's steps: slower than the earlier runs that it repeats, and waiting for input."""
        facts = self.run_facts(run)
        if facts.measurement is None:
            return []
        notes = find_slowdown(facts, self.earlier_repeats(run)), find_input_wait(facts)
        return [note for note in notes if note]


def _distinct(values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _listed(text: str | None) -> list[str]:
    """The texts of a JSON list; none for a value that is no list."""
    try:
        return read_texts(text or "[]")
    except (ValueError, RecursionError):
        return []


def read_texts(text: str) -> list[str]:
    """Return the texts of a JSON list, without what is no text.  Raises ValueError or RecursionError for no list."""
    values = json.loads(text)
    if not isinstance(values, list):
        raise ValueError(f"{text!r:.40} is no list")  # noqa: TRY004  as json.loads
    return [value for value in values if isinstance(value, str)]
