"""The runs of the history: list them, show one, and read its readings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from ...cluster_profiles.units import parse_duration_s
from ...errors import InputError
from ...estimator.measurements.measurement import Measurement
from ...launcher.runs.measurement import as_json
from ...launcher.runs.run_status import RunStatus
from ...render import readings
from ...render.history import runs_text
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from .history import History, collected_history


@dataclass(frozen=True, repr=False)
class RunList(Result):
    """The rows of runs in the history, the latest first; `is_empty` says whether the history has no run at all."""

    rows: Sequence[dict[str, Any]]
    is_empty: bool
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> list[dict[str, Any]]:
        """Return the list of `clusterplan history list --json`."""
        return list(self.rows)

    def write(self, page: Page) -> None:
        """Write one row per run."""
        if self.rows or self.is_empty:
            runs_text.render_runs(page, self.rows)
        else:
            page.line("no run matches; without options every run is listed")


@dataclass(frozen=True, repr=False)
class RecordedRun(Result):
    """A run of the history: its row, its GPUs, its events and its measurements."""

    row: Mapping[str, Any]
    gpus: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    measurements: Sequence[Measurement]
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history show --json`."""
        measurements = [as_json(measurement) for measurement in self.measurements]
        return {**self.row, "gpus": self.gpus, "events": self.events, "measurements": measurements}

    def write(self, page: Page) -> None:
        """Write its GPUs, its measurements and its events."""
        runs_text.render_run(page, self.row, self.gpus, self.events, self.measurements)


@dataclass(frozen=True)
class Readings:
    """The raw readings of a run, one per GPU and tick; each iteration reads them anew, and never holds all of them."""

    run: str
    remarks: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[readings.Row]:
        with History() as history:
            for gpu in history.gpus(self.run):
                for time_s, reading in history.readings(self.run, gpu["uuid"]):
                    yield self.run, gpu["node"], gpu["uuid"], time_s, reading

    def lines(self, form: str) -> Iterator[str]:
        """Yield the lines of a text file, where `form` is "csv", "json" (one list) or "jsonl" (an object per line)."""
        lines_of = {"csv": readings.csv_lines, "jsonl": readings.json_lines, "json": readings.json_list}
        return lines_of[form](self)

    def write_parquet(self, file: IO[bytes]) -> None:
        """Write them as a Parquet file.  Raises PackageMissing without pyarrow."""
        readings.write_parquet(self, file)


def list_runs(
    *,
    name: str | None = None,
    model: str | None = None,
    gpu: str | None = None,
    since: str | None = None,
    until: str | None = None,
    progress: ProgressCallback | None = None,
) -> RunList:
    """Return runs, the latest first: those whose name, model and type of GPU contain these texts.

    `since` and `until` bound when they began, each a date or a duration before now such as "7d".  Raises InputError and
    HistoryError.
    """
    since_s = None if since is None else parse_moment_s("--since", since)
    until_s = None if until is None else parse_moment_s("--until", until)
    with collected_history(progress=progress) as history:
        rows = history.runs(name=name, model=model, gpu=gpu, since_s=since_s, until_s=until_s)
        is_empty = not rows and not history.runs()
        return RunList(rows, is_empty, tuple(history.remarks))


def show_run(run: str | RunStatus | None = None, *, progress: ProgressCallback | None = None) -> RecordedRun:
    """Return what the history has of a run: by its id or its beginning, by default the latest run.

    Raises InputError if no run has that beginning, and HistoryError.
    """
    with collected_history(progress=progress) as history:
        row = history.find_run(run)
        gpus, events = history.gpus(row["run"]), history.events(row["run"])
        measurements = history.measurements(run=row["run"])
        return RecordedRun(row, gpus, events, measurements, tuple(history.remarks))


def read_readings(
    run: str | RunStatus | None = None, *, progress: ProgressCallback | None = None
) -> Readings:
    """Return the raw readings of a run; those that were pruned are gone.  The rest is as with `show_run`."""
    with collected_history(progress=progress) as history:
        row = history.find_run(run)
        return Readings(row["run"], tuple(history.remarks))


def parse_moment_s(flag: str, text: str) -> float:
    """Return the Unix time of a date, or of a duration before now.  Raises InputError that names the flag."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return datetime.now(UTC).timestamp() - parse_duration_s(text)
    except ValueError:
        raise InputError(
            f'{flag}: {text!r} is neither a duration such as "7d" nor a date such as 2026-11-01'
        ) from None
