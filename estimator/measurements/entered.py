"""Throughputs measured elsewhere, as people enter them: one by flags, or many in a CSV file."""

import csv
import datetime as dt
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from ...cluster_profiles.gpu import find_gpu, read_gpus
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count, Name, Number
from ...cluster_profiles.toml_file import Section, validate
from ...cluster_profiles.units import ceil_div
from ...errors import InputError
from ..job.fields import StepSeconds
from ..job.placement import USUAL_GPUS_PER_NODE
from .measurement import Measurement
from .suspects import find_suspects

if TYPE_CHECKING:
    import _csv

ENTERED_RATES = ("step_time_s", "samples_per_s", "samples_per_s_per_gpu", "tokens_per_s")


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is not a date such as 2026-11-01") from None
    return moment if moment.tzinfo else moment.astimezone()


class EnteredRun(Section):
    """One measurement; the columns of a CSV file, and the flags of `history add`."""

    model: Name = Field(description="The model trained, as the job file's `model` names it.")
    gpu: Name | None = Field(None, description="GPU type, such as a100-sxm4-80gb.")
    gpus: Count = Field(gt=0, le=10**6, description="GPUs in all.")
    nodes: Count | None = Field(None, gt=0, le=10**5, description="Nodes; else as few as hold the GPUs.")
    gpus_per_node: Count | None = Field(
        None, gt=0, le=1024, description="GPUs of the fullest node; else GPUs / nodes."
    )
    batch_size: Count = Field(gt=0, le=10**7, description="Micro-batch: samples per GPU and pass.")
    accumulation: Count = Field(1, gt=0, le=10**6, description="Micro-batches in one step.")
    model_parallel: Count = Field(1, gt=0, le=10**6, description="GPUs that hold one replica.")
    precision: Precision = Field(Precision.AUTO, description="Number format; auto needs the GPU type.")
    seq_len: Count | None = Field(None, gt=0, le=10**8, description="Tokens in one sample.")
    step_time_s: StepSeconds | None = Field(
        None, gt=0, le=10**7, description="Time of one optimizer step, in seconds."
    )
    samples_per_s: Number | None = Field(
        None, gt=0, le=10**12, description="Instead: throughput of all GPUs, samples/s."
    )
    samples_per_s_per_gpu: Number | None = Field(
        None, gt=0, le=10**9, description="Instead: throughput of one GPU, samples/s."
    )
    tokens_per_s: Number | None = Field(
        None, gt=0, le=10**15, description="Instead: throughput of all GPUs, tokens/s; needs seq_len."
    )
    spread: Number | None = Field(
        None, ge=0, lt=1, description="Half of the P10-P90 width of the step times, relative."
    )
    n_steps: Count | None = Field(None, gt=0, le=10**12, description="Steps it was measured over.")
    busy_share: Number | None = Field(None, ge=0, le=1, description="Mean utilisation of the GPUs, 0 to 1.")
    data_wait_share: Number | None = Field(
        None, ge=0, le=1, description="Share of the step spent waiting for input."
    )
    memory_peak_bytes: Count | None = Field(
        None, gt=0, le=10**13, description="The most memory that one GPU used."
    )
    startup_s: StepSeconds | None = Field(
        None, ge=0, le=10**7, description="From the start of the job to its first step, in seconds."
    )
    evaluation_s: StepSeconds | None = Field(
        None, ge=0, le=10**7, description="What one evaluation took, in seconds."
    )
    checkpoint_s: StepSeconds | None = Field(
        None, ge=0, le=10**7, description="What one checkpoint took, in seconds."
    )
    source: Name | None = Field(None, description="Where it comes from: a log, a paper, a colleague.")
    when: Annotated[dt.datetime | None, BeforeValidator(_moment)] = Field(
        None, description="The date of the measurement; else today."
    )

    @model_validator(mode="after")
    def _one_rate_of_a_shape_that_can_be(self) -> Self:
        given = [name for name in ENTERED_RATES if getattr(self, name) is not None]
        if len(given) != 1:
            which = f"{' and '.join(given)} are given" if given else "no throughput is given"
            raise ValueError(f"{which}; give one of {', '.join(ENTERED_RATES)}")
        if self.tokens_per_s and not self.seq_len:
            raise ValueError("tokens_per_s needs seq_len, to know how many samples that is")
        if self.nodes and self.nodes > self.gpus:
            raise ValueError(f"{self.nodes} nodes for {self.gpus} GPUs; give at most one node a GPU")
        if self.gpus % self.model_parallel:
            raise ValueError(f"{self.gpus} GPUs are no multiple of {self.model_parallel} model_parallel")
        each, nodes = self.gpus_per_node, self.nodes
        if each and nodes and not each <= self.gpus <= each * nodes:
            raise ValueError(f"{self.gpus} GPUs are not on {nodes} nodes of {each} gpus_per_node")
        if self.precision is Precision.AUTO and self._catalogued() is None:
            raise ValueError("the precision is missing: give fp32, tf32, bf16, fp16 or fp8")
        return self

    def _catalogued(self) -> str | None:
        """The key of the GPU type; None if it is not stated, or not in the catalogue."""
        answering = [key for key, gpu in read_gpus().items() if self.gpu and gpu.answers_to(self.gpu)]
        if len(answering) < 2:  # noqa: PLR2004
            return answering[0] if answering else None
        try:
            return find_gpu(self.gpu or "").key
        except InputError as error:
            raise ValueError(str(error)) from None

    def measurement(self, now: dt.datetime, source: str) -> Measurement:
        """As runs are; `now` and `source` stand where it does not say when it was measured and by whom."""
        known = {f.name for f in fields(Measurement)} & set(type(self).model_fields)
        key = self._catalogued()
        nodes = self.nodes or ceil_div(self.gpus, self.gpus_per_node or USUAL_GPUS_PER_NODE)
        precision = self.precision
        if precision is Precision.AUTO and key:
            precision = read_gpus()[key].best_precision()
        found = Measurement(
            **{name: getattr(self, name) for name in known}
            | {
                "gpu": key or self.gpu,
                "nodes": nodes,
                "gpus_per_node": self.gpus_per_node or ceil_div(self.gpus, nodes),
                "precision": precision,
                "step_time_s": 1.0,
                "source": self.source or source,
                "when": self.when or now,
            }
        )
        return replace(found, step_time_s=self._step_time_s(found.shape.step_samples))

    def _step_time_s(self, step_samples: float) -> float:
        if self.step_time_s:
            return self.step_time_s
        rate = self.samples_per_s or (self.samples_per_s_per_gpu or 0) * self.gpus
        return step_samples / (rate or (self.tokens_per_s or math.inf) / (self.seq_len or 1))


def select_new_rows(
    rows: Sequence[tuple[EnteredRun, Measurement]], there: Sequence[Measurement]
) -> list[Measurement]:
    """The measurements that are new: a date or a source that was not given makes no difference."""
    # What was left out, to all that is there without it.
    seen = {left: {_without(m, left) for m in there} for left in {_left_out(row) for row, _ in rows}}
    found = []
    for row, measurement in rows:
        left = _left_out(row)
        if _without(measurement, left) not in seen[left]:
            found.append(measurement)
            for names, known in seen.items():
                known.add(_without(measurement, names))
    return found


def _left_out(row: EnteredRun) -> tuple[str, ...]:
    return tuple(name for name in ("when", "source") if getattr(row, name) is None)


def _without(found: Measurement, names: Sequence[str]) -> Measurement:
    nothing: dict[str, Any] = {"when": None, "source": ""}
    return replace(found, **{name: nothing[name] for name in names})


def parse_entered(values: Mapping[str, Any], flags: Mapping[str, str]) -> EnteredRun:
    """One measurement from the values of flags.  Raises InputError with the flag that is wrong."""
    return validate(EnteredRun, values, lambda place: f"{flags[str(place[0])]}: " if place else "")


def read_csv(path: Path) -> list[tuple[int, EnteredRun]]:
    """The measurements of a CSV file with their lines; its columns are the fields of `EnteredRun`.

    Raises InputError with the line and the column of the first fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        found = list(_entered_rows(path, header, rows))
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: is no line of CSV: {error}") from None
    if not found:
        raise InputError(f"{path}: has no measurement: give one a line, below the names of the columns")
    return found


def _check_header(path: Path, header: Sequence[str]) -> None:
    known = list(EnteredRun.model_fields)
    if wrong := next((mark for mark in (";", "\t") if mark in "".join(header[:1])), None):
        raise InputError(f"{path}:1: the columns are separated by {wrong!r}: separate them by commas")
    for name in header:
        if name not in known:
            raise InputError(f"{path}:1: {name!r} is no column; there are {', '.join(known)}")
        if header.count(name) > 1:
            raise InputError(f"{path}:1: column {name!r} is there twice")


def _entered_rows(path: Path, header: Sequence[str], rows: "_csv.Reader") -> Iterator[tuple[int, EnteredRun]]:
    for cells in rows:
        line = rows.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise InputError(f"{path}:{line}: has {len(cells)} cells, and there are {len(header)} columns")
        given = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}

        def place(location: tuple[int | str, ...], line: int = line) -> str:
            return f"{path}:{line}: {f'{location[0]}: ' if location else ''}"

        yield line, validate(EnteredRun, given, place)


def find_doubtful(found: Sequence[Measurement], there: Sequence[Measurement]) -> Iterator[str]:
    """Which of `found` are hard to believe beside the others of their model, and why."""
    new = {id(m) for m in found}
    models: dict[tuple[str, int], list[Measurement]] = {}
    for m in (*found, *there):
        models.setdefault((m.model, m.model_parallel), []).append(m)
    for (model, _), runs in models.items():
        yield from dict.fromkeys(f"{model} on {s}" for s in find_suspects(runs) if id(s.measurement) in new)
