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
from ...estimator.measurements.measurement import Measurement
from ...estimator.measurements.steady_state import SteadyState, steady_state
from ...estimator.measurements.training_loop import LoopDtype, LoopLine, LoopStart
from ..command.precision import VARIABLE
from ..run_folder.launch import Launch
from ..run_folder.log_errors import is_out_of_memory
from ..run_folder.task_records import first_tasks, read_task_records

ADDED, SUBMITTED = "added", "submit"
_COUNTS = ("nodes", "gpus", "gpus_per_node", "batch_size", "accumulation", "model_parallel")


def measure_run(
    folder: Path, run: Mapping[str, Any], lines: Sequence[LoopLine], history: History
) -> list[Measurement]:
    """What a run folder comes to: the one measurement of a run, or those that were entered."""
    entered = run.get("measurements") if run.get("kind") == ADDED else None
    if isinstance(entered, list):
        return [found for values in entered if (found := _from_json(values))]
    found = _measured(folder, run, lines, history)
    return [found] if found else []


def planned_precision(folder: Path, run: Mapping[str, Any]) -> Precision | None:
    """What the run was to train in: as its command was told, else as it was submitted; None is not known."""
    shape = run.get("shape")
    planned = shape.get("precision") if isinstance(shape, dict) else None
    with suppress(RunFolderError):
        planned = Launch.read(folder).environment.get(VARIABLE, planned)
    return precision_of_dtype(planned)


def seen_precision(lines: Sequence[LoopLine]) -> Precision | None:
    """What its tracker saw last, else what its script says of itself; None is not known."""
    seen = next((line.dtype for line in reversed(lines) if isinstance(line, LoopDtype)), None)
    said = next((line.dtype for line in reversed(lines) if isinstance(line, LoopStart)), None)
    return precision_of_dtype(seen) or precision_of_dtype(said)


def as_json(found: Measurement) -> dict[str, Any]:
    """A measurement as run.json holds it."""
    return asdict(found) | {"when": found.when.isoformat() if found.when else None}


def _measured(
    folder: Path, run: Mapping[str, Any], lines: Sequence[LoopLine], history: History
) -> Measurement | None:
    """The measurement of a run whose samples are in `history`; None where its shape or its speed is not known."""
    tasks = read_task_records(folder)
    attempts_began_s = {str(task.attempt): task.began_s for task in first_tasks(tasks)}
    began_s = attempts_began_s or _own_beginning_s(run)
    steady = steady_state(lines, began_s)
    shape = _shape(run.get("shape"), planned_precision(folder, run), lines)
    if steady is None or shape is None:
        return None
    name = str(run.get("run") or folder.name)
    gpu, memory = _gpus(history.run_gpus(name))
    if any(is_out_of_memory(task.error, task.exit_code) for task in tasks):
        memory = None  # what it used is what there was, not what it needs
    found = Measurement(
        **{**shape, "gpu": gpu or shape["gpu"]},
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
    )
    return _with_activity(found, steady, history, name)


def _with_activity(found: Measurement, steady: SteadyState, history: History, run: str) -> Measurement:
    """With what the GPUs did in the steady window; those without samples are taken to be like the others."""
    gpus = history.activity(run, *steady.window)
    busy = [gpu.utilisation / 100 for gpu in gpus if gpu.utilisation is not None]
    power = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
    energy_j = None
    if power:
        energy_j = statistics.fmean(power) * found.gpus * found.step_time_s / found.shape.step_samples
    return replace(found, busy_share=statistics.fmean(busy) if busy else None, energy_per_sample_j=energy_j)


def _from_json(values: object) -> Measurement | None:
    if not isinstance(values, dict):
        return None
    known = {f.name: values[f.name] for f in fields(Measurement) if f.name in values}
    try:
        when = None if known.get("when") is None else datetime.fromisoformat(known["when"])
        return Measurement(**{**known, "precision": Precision(known["precision"]), "when": when})
    except (KeyError, TypeError, ValueError):
        return None


def _shape(shape: object, planned: Precision | None, lines: Sequence[LoopLine]) -> dict[str, Any] | None:
    """The job's shape as it was submitted; where the script says otherwise of itself, the script is right."""
    if not isinstance(shape, dict) or not isinstance(shape.get("model"), str):
        return None
    said = next((line for line in reversed(lines) if isinstance(line, LoopStart)), LoopStart(0, 0))
    counts = {name: shape.get(name, 1 if name == "model_parallel" else None) for name in _COUNTS}
    counts["batch_size"] = said.batch_size or counts["batch_size"]
    if planned is None or not all(isinstance(count, int) and count > 0 for count in counts.values()):
        return None
    return {
        **counts,
        "model": shape["model"],
        "gpu": shape.get("gpu"),
        "precision": _used(planned, seen_precision(lines)),
        "seq_len": shape.get("seq_len"),
    }


def _used(planned: Precision, seen: Precision | None) -> Precision:
    """What was seen, else what was planned; tf32 tensors are called float32."""
    return planned if seen is None or (planned, seen) == (Precision.TF32, Precision.FP32) else seen


def _gpus(found: Sequence[Mapping[str, Any]]) -> tuple[str | None, int | None]:
    """The type of the run's GPUs, by its key in the catalogue if it has one, and the most memory one of them used."""
    names = {gpu["name"] for gpu in found if gpu["name"]}
    peaks = [gpu["memory_peak_bytes"] for gpu in found if gpu["memory_peak_bytes"]]
    memory = max(peaks) if peaks else None
    if len(names) != 1:
        return None, memory
    (name,) = names
    try:
        return find_gpu(name).key, memory
    except InputError:
        return name, memory


def _own_beginning_s(run: Mapping[str, Any]) -> dict[str, float]:
    began_s = run.get("began_s")
    return {"": float(began_s)} if isinstance(began_s, int | float) else {}


def _queue_wait_s(run: Mapping[str, Any], attempts_began_s: Mapping[str, float]) -> float | None:
    """From the submission to the first attempt's beginning."""
    submitted_s = run.get("began_s")
    if run.get("kind") != SUBMITTED or not isinstance(submitted_s, int | float) or not attempts_began_s:
        return None
    return max(min(attempts_began_s.values()) - submitted_s, 0.0)
