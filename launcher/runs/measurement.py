"""A run folder as one measurement: the job's shape, what its training loop reported, what its GPUs did.

Nothing here is ever refused: a folder may be half written, and what it does not say is None.
"""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.gpu import find_gpu
from ...cluster_profiles.precision import Precision
from ...errors import InputError, RunFolderError
from ...estimator.gpu_use.precision import precision_of_dtype
from ...estimator.history.runs import History
from ...estimator.job.shape import Shape
from ...estimator.measurements.clock_steps import length_s
from ...estimator.measurements.measurement import Measurement
from ...estimator.measurements.steady_state import SteadyState, steady_state
from ...estimator.measurements.training_loop import LoopDtype, LoopLine, LoopStart
from ..command.precision import VARIABLE
from ..logs.errors import is_out_of_memory
from ..run_folder.launch import Launch
from ..run_folder.task_records import first_tasks, read_task_records

ADDED, SUBMITTED = "added", "submit"


def measure_run(
    folder: Path, run: Mapping[str, Any], lines: Sequence[LoopLine], history: History
) -> list[Measurement]:
    """Return the measurements of a run folder: the one of a run, or those that were entered."""
    entered = run.get("measurements") if run.get("kind") == ADDED else None
    if isinstance(entered, list):
        return [measurement for values in entered if (measurement := _from_json(values))]
    measurement = _measure(folder, run, lines, history)
    return [measurement] if measurement else []


def planned_precision(folder: Path, run: Mapping[str, Any]) -> Precision | None:
    """Return the precision that the command was given, otherwise the one submitted; None is not known."""
    shape = run.get("shape")
    planned = shape.get("precision") if isinstance(shape, dict) else None
    with suppress(RunFolderError):
        planned = Launch.read(folder).environment.get(VARIABLE, planned)
    return precision_of_dtype(planned)


def stated_precision(folder: Path, run: Mapping[str, Any]) -> Precision | None:
    """Return the planned precision if the user stated one, which the run can be held against; otherwise None."""
    return None if run.get("precision_is_stated") is False else planned_precision(folder, run)


def observed_precision(lines: Sequence[LoopLine]) -> Precision | None:
    """Return the precision that the tracker observed last, otherwise the one that the script states; None is not known."""
    observed = next((line.dtype for line in reversed(lines) if isinstance(line, LoopDtype)), None)
    stated = next((line.dtype for line in reversed(lines) if isinstance(line, LoopStart)), None)
    return precision_of_dtype(observed) or precision_of_dtype(stated)


def as_json(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as run.json holds it."""
    when = measurement.when
    return asdict(measurement) | {"when": when.isoformat() if when else None}


def _measure(
    folder: Path, run: Mapping[str, Any], lines: Sequence[LoopLine], history: History
) -> Measurement | None:
    """Return the measurement of a run whose readings are in `history`; None if its shape or its speed is unknown."""
    tasks = read_task_records(folder)
    attempts_began_s = {str(task.attempt): task.began_s for task in first_tasks(tasks)}
    began_s = attempts_began_s or _run_began_s(run)
    since_s = run.get("shape_since_s") or 0  # resumed on another number of GPUs
    steady = steady_state([line for line in lines if line.time_s >= since_s], began_s)
    shape = _read_shape(run.get("shape"), planned_precision(folder, run), lines)
    model = _read_text(run.get("shape"), "model")
    if steady is None or shape is None or model is None:
        return None
    name = folder.name
    gpu, memory = _gpus(history.run_gpus(name))
    if any(is_out_of_memory(task.error, task.exit_code) for task in tasks):
        memory = None  # it used all memory of the GPU, which is less than it needs
    measurement = Measurement(
        model=model,
        **vars(replace(shape, gpu=gpu or shape.gpu)),
        step_time_s=steady.step_time_s,
        spread=steady.spread,
        n_steps=steady.n_steps,
        data_wait_share=steady.data_wait_share,
        memory_peak_bytes=memory,
        source=f"run {name}",
        when=datetime.fromtimestamp(steady.window[1], UTC),
        startup_s=steady.startup_s,
        evaluation_s=steady.evaluation_s,
        checkpoint_s=steady.checkpoint_s,
        queue_wait_s=_queue_wait_s(run, attempts_began_s),
        restarts=max(steady.restarts, len(began_s) - 1),
        cluster=_read_text(run.get("shape"), "cluster"),
        parameters=_read_count(run.get("shape"), "parameters"),
        active_parameters=_read_count(run.get("shape"), "active_parameters"),
        trainable_parameters=_read_count(run.get("shape"), "trainable_parameters"),
        is_probe=run.get("probe") is True,
    )
    return _with_activity(measurement, steady, history, name)


def _with_activity(measurement: Measurement, steady: SteadyState, history: History, run: str) -> Measurement:
    """Add the busy share and the energy of the GPUs in the steady window; GPUs without readings count as the others do."""
    gpus = history.activity(run, *steady.window)
    busy = [gpu.utilisation / 100 for gpu in gpus if gpu.utilisation is not None]
    power = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
    energy_j = None
    if power:
        step_energy_j = statistics.fmean(power) * measurement.gpus * measurement.step_time_s
        energy_j = step_energy_j / measurement.shape.step_samples
    busy_share = statistics.fmean(busy) if busy else None
    return replace(measurement, busy_share=busy_share, energy_per_sample_j=energy_j)


def _from_json(values: object) -> Measurement | None:
    if not isinstance(values, dict):
        return None
    fields_of = {f.name: values[f.name] for f in fields(Measurement) if f.name in values}
    try:
        when = None if fields_of.get("when") is None else datetime.fromisoformat(fields_of["when"])
        precision = Precision(fields_of["precision"])
        return Measurement(**{**fields_of, "precision": precision, "when": when})
    except (KeyError, TypeError, ValueError):
        return None


def _read_text(submitted: object, name: str) -> str | None:
    value = submitted.get(name) if isinstance(submitted, dict) else None
    return value if isinstance(value, str) else None


def _read_count(submitted: object, name: str, least: int = 1) -> int | None:
    value = submitted.get(name) if isinstance(submitted, dict) else None
    return value if type(value) is int and value >= least else None


def _read_shape(submitted: object, planned: Precision | None, lines: Sequence[LoopLine]) -> Shape | None:
    """Return the submitted shape, corrected by the script's reports; None if the values make no shape."""
    if not isinstance(submitted, dict) or planned is None:
        return None
    start = next((line for line in reversed(lines) if isinstance(line, LoopStart)), LoopStart(0, 0))
    shape = Shape(
        gpu=submitted.get("gpu"),
        nodes=submitted.get("nodes", 0),
        gpus=submitted.get("gpus", 0),
        gpus_per_node=submitted.get("gpus_per_node", 0),
        batch_size=start.batch_size or submitted.get("batch_size", 0),
        accumulation=submitted.get("accumulation", 0),
        model_parallel=submitted.get("model_parallel", 1),
        precision=_used_precision(planned, observed_precision(lines)),
        seq_len=submitted.get("seq_len"),
        tensor_parallel=_read_count(submitted, "tensor_parallel"),
        pipeline_parallel=_read_count(submitted, "pipeline_parallel"),
        zero_stage=_read_count(submitted, "zero_stage", least=0),
    )
    counts: tuple[object, ...] = (
        shape.nodes,
        shape.gpus,
        shape.gpus_per_node,
        shape.batch_size,
        shape.accumulation,
        shape.model_parallel,
    )
    if not all(isinstance(count, int) and count > 0 for count in counts):
        return None
    return shape if shape.is_split_evenly else replace(shape, tensor_parallel=None, pipeline_parallel=None)


def _used_precision(planned: Precision, observed: Precision | None) -> Precision:
    """Return the observed precision, otherwise the planned one; torch calls tensors of tf32 float32."""
    if observed is None or (planned, observed) == (Precision.TF32, Precision.FP32):
        return planned
    return observed


def _gpus(gpus: Sequence[Mapping[str, Any]]) -> tuple[str | None, int | None]:
    """Return the type of the run's GPUs, by its key in the catalogue if it has one, and the peak memory of one in bytes."""
    names = {gpu["name"] for gpu in gpus if gpu["name"]}
    peaks = [gpu["memory_peak_bytes"] for gpu in gpus if gpu["memory_peak_bytes"]]
    memory = max(peaks) if peaks else None
    if len(names) != 1:
        return None, memory
    (name,) = names
    try:
        return find_gpu(name).key, memory
    except InputError:
        return name, memory


def _run_began_s(run: Mapping[str, Any]) -> dict[str, float]:
    began_s = run.get("began_s")
    return {"": float(began_s)} if isinstance(began_s, int | float) else {}


def _queue_wait_s(run: Mapping[str, Any], attempts_began_s: Mapping[str, float]) -> float | None:
    """Return the seconds from the submission to the start of the first attempt; None where clocks do not tell."""
    submitted_s = run.get("began_s")
    if run.get("kind") != SUBMITTED or not isinstance(submitted_s, int | float) or not attempts_began_s:
        return None
    return length_s(submitted_s, min(attempts_began_s.values()))
