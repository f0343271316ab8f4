"""A run folder as one measurement: the job's shape, what its training loop reported, what its GPUs did.

A folder may be half written: what it does not say is None.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.gpu import find_gpu
from ...cluster_profiles.precision import Precision
from ...errors import InputError, UnreadableFile
from ...estimator.gpu_use.precision import precision_of_dtype
from ...estimator.history.runs import History
from ...estimator.job.shape import Shape
from ...estimator.measurements.clock_steps import length_s
from ...estimator.measurements.measurement import Measurement
from ...estimator.measurements.steady_state import SteadyState, steady_state
from ...estimator.measurements.training_loop import LoopDtype, LoopLine, LoopStart
from ..command.precision import VARIABLE
from ..logs.errors import is_out_of_memory
from ..run_folder.folder import RUN_FILE
from ..run_folder.launch import Launch
from ..run_folder.records.checked import check_record
from ..run_folder.records.run_facts import RunFacts, RunShape
from ..run_folder.records.values import WrongValue
from ..run_folder.task_records import first_tasks
from .record.facts import SUBMITTED
from .run_files import RunFiles

ADDED = "added"
_COUNTS = ("nodes", "gpus", "gpus_per_node", "batch_size", "accumulation", "model_parallel")


def measure_run(run: RunFiles, lines: Sequence[LoopLine], history: History) -> list[Measurement]:
    """Return the measurements of a run folder: the one of a run, or those that were entered."""
    entered = run.facts.get("measurements") if run.facts.get("kind") == ADDED else None
    if entered is not None:
        try:
            return [_check_entered(values) for values in entered]
        except WrongValue as error:
            raise UnreadableFile(run.folder / RUN_FILE, f"measurements: {error}") from None
    measurement = _measure(run, lines, history)
    return [measurement] if measurement else []


def planned_precision(folder: Path, run: RunFacts) -> Precision | None:
    """Return the precision that the command was given, otherwise the one submitted; None is not known.

    Raises UnreadableFile.
    """
    planned = (run.get("shape") or {}).get("precision")
    if launch := Launch.find(folder):
        planned = launch.environment.get(VARIABLE, planned)
    return precision_of_dtype(planned)


def stated_precision(folder: Path, run: RunFacts) -> Precision | None:
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


def _measure(files: RunFiles, lines: Sequence[LoopLine], history: History) -> Measurement | None:
    """Return the measurement of a run whose readings are in `history`; None if its shape or its speed is unknown."""
    folder, run, tasks = files.folder, files.facts, files.tasks
    attempts_began_s = {str(task.attempt): task.began_s for task in first_tasks(tasks)}
    began_s = attempts_began_s or _run_began_s(run)
    since_s = run.get("shape_since_s") or 0  # resumed on another number of GPUs
    steady = steady_state([line for line in lines if line.time_s >= since_s], began_s)
    submitted = run.get("shape") or RunShape()
    shape = _find_shape(submitted, planned_precision(folder, run), lines)
    model = submitted.get("model")
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
        cluster=submitted.get("cluster"),
        parameters=submitted.get("parameters") or None,
        active_parameters=submitted.get("active_parameters") or None,
        trainable_parameters=submitted.get("trainable_parameters") or None,
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


def _check_entered(values: Mapping[str, Any]) -> Measurement:
    """Return a measurement that was entered.  Raises WrongValue."""
    entered = check_record(Measurement, values)
    for name in ("step_time_s", *_COUNTS):
        if not getattr(entered, name) > 0:
            raise WrongValue(f"{name}: {getattr(entered, name)} is not above 0")
    return entered


def _find_shape(submitted: RunShape, planned: Precision | None, lines: Sequence[LoopLine]) -> Shape | None:
    """Return the submitted shape, corrected by the script's reports; None if the values make no shape."""
    if planned is None:
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
        tensor_parallel=submitted.get("tensor_parallel") or None,
        pipeline_parallel=submitted.get("pipeline_parallel") or None,
        zero_stage=submitted.get("zero_stage"),
    )
    if not all(getattr(shape, name) for name in _COUNTS):
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


def _run_began_s(run: RunFacts) -> dict[str, float]:
    began_s = run.get("began_s")
    return {} if began_s is None else {"": began_s}


def _queue_wait_s(run: RunFacts, attempts_began_s: Mapping[str, float]) -> float | None:
    """Return the seconds from the submission to the start of the first attempt; None where clocks do not tell."""
    submitted_s = run.get("began_s")
    if run.get("kind") != SUBMITTED or submitted_s is None or not attempts_began_s:
        return None
    return length_s(submitted_s, min(attempts_began_s.values()))
