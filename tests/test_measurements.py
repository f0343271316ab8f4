"""Runs become measurements: the steady state by rule, and all of it from run folders."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import Command

from clusterplan import Measurement, Precision
from clusterplan.errors import UnreadableFile
from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.estimator.history.runs import History
from clusterplan.estimator.measurements.steady_state import steady_state
from clusterplan.estimator.measurements.training_loop import (
    LoopEnd,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
)
from clusterplan.launcher.run_folder.folder import create_run_folder, write_json
from clusterplan.launcher.run_folder.task_file import TaskFile
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

T0 = 1_763_900_000.0
SHAPE = {
    "model": "phi2",
    "gpu": "a100-sxm4-80gb",
    "nodes": 1,
    "gpus": 2,
    "gpus_per_node": 2,
    "batch_size": 16,
    "accumulation": 1,
    "precision": "bf16",
    "seq_len": None,
    "model_parallel": 2,
    "tensor_parallel": 2,
    "pipeline_parallel": 1,
    "zero_stage": 1,
    "parameters": 2_800_000_000,
    "active_parameters": None,
    "trainable_parameters": 2_500_000,
    "cluster": "slurm-a100",
}


def loop(
    seconds: list[Any], start_s: float = T0 + 60, step: int = 0, first_s: float = 20.0, **facts: Any
) -> list[LoopLine]:
    """A loop's lines: its start, a first step, then one step a line of so many seconds."""
    lines: list[LoopLine] = [LoopStart(start_s, step, **facts)]
    now_s = start_s
    for took in (first_s, *seconds):
        now_s, step = now_s + took, step + 1
        lines.append(LoopSteps(now_s, step, 1, took, took))
    return lines


def test_the_first_step_of_a_loop_is_left_out() -> None:
    assert steady_state(loop([2] * 10)).step_time_s == 2


def test_the_first_step_after_a_resume_is_left_out_too() -> None:
    lines = loop([2] * 10, attempt="a") + loop([2] * 10, T0 + 999, step=5, first_s=30, attempt="b")
    found = steady_state(lines)
    assert (found.step_time_s, found.n_steps, found.restarts) == (2, 20, 1)


def test_a_pause_that_nobody_marked_is_left_out() -> None:
    assert steady_state(loop([2] * 10 + [60] + [2] * 10)).step_time_s == 2


def test_steps_that_differ_count_by_their_mean() -> None:
    assert steady_state(loop([1, 2, 3] * 10)).step_time_s == 2


def test_too_few_steps_are_no_measurement() -> None:
    assert steady_state(loop([2] * 9)) is None
    assert steady_state([]) is None


def test_the_spread_is_that_of_the_lines() -> None:
    assert steady_state(loop([0.9, 1, 1, 1, 1.1] * 10)).spread == pytest.approx(0.1)
    assert steady_state(loop([1] * 20)).spread == 0


def test_pauses_are_summed_up_by_their_medians() -> None:
    evaluations = [LoopPause(T0, 1, "evaluation", s) for s in (10, 11, 90)]
    lines = [*loop([2] * 10), *evaluations, LoopPause(T0, 1, "checkpoint", 5)]
    found = steady_state(lines)
    assert (found.evaluation_s, found.checkpoint_s) == (11, 5)


def test_startup_is_up_to_the_first_step_with_its_compilation() -> None:
    found = steady_state(loop([2] * 10, T0 + 60, first_s=20, attempt="j.0"), {"j.0": T0})
    assert found.startup_s == 60 + 20 - 2


def test_the_wait_for_input_is_a_share_of_the_steps() -> None:
    lines = [replace(line, wait_s=0.5) if isinstance(line, LoopSteps) else line for line in loop([2] * 10)]
    assert steady_state(lines).data_wait_share == 0.25


def test_the_window_is_the_longest_stretch_without_a_restart() -> None:
    lines = [*loop([2] * 10, T0), LoopEnd(T0 + 40, 11), *loop([2] * 20, T0 + 100)]
    assert steady_state(lines).window == (T0 + 120, T0 + 160)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "h" / "history.db") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A submitted run: started 30 s after it was submitted, then 100 steps of 0.5 s on two GPUs."""
    facts = {
        "kind": "submit",
        "command": [],
        "host": "h",
        "began_s": T0 - 30,
        "model": "phi2",
        "shape": SHAPE,
    }
    made = create_run_folder("phi2", tmp_path / "runs", datetime(2025, 11, 23, tzinfo=UTC), facts)
    TaskFile(made, TaskRecord("7", 0, 0, 1, "n1", "h", pid=1, birth="", began_s=T0, beat_s=T0))
    write(made, loop([0.5] * 100, T0 + 20, first_s=10, attempt="7.0"))
    gpus = [{"uuid": f"GPU-{i}", "name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 10**9} for i in (0, 1)]
    header = {"run": made.name, "node": "n1", "period_s": 1.0, "attribution": "uuid", "gpus": gpus}
    with SpoolWriter(made / "n1.00000000.spool", header) as spool:
        for second in range(100):
            use = 80 if second >= 30 else 0
            readings = (GpuReading(gpu, use, None, (gpu + 1) * 10**9, 400_000) for gpu in (0, 1))
            spool.append(encode(Tick(T0 + second, tuple(readings))))
    return made


def write(folder: Path, lines: list[LoopLine]) -> None:
    kinds = {LoopStart: "start", LoopSteps: "steps", LoopPause: "pause", LoopEnd: "end"}
    texts = [
        json.dumps({"kind": kinds[type(line)]} | {s: getattr(line, s) for s in line.__slots__})
        for line in lines
    ]
    (folder / "progress.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def test_a_run_becomes_a_measurement(folder: Path, history: History) -> None:
    collect_run(folder, history)
    (found,) = history.measurements("phi2")
    assert found == Measurement(
        model="phi2",
        gpu="h100-sxm",  # as the driver says, not as was asked for
        nodes=1,
        gpus=2,
        gpus_per_node=2,
        batch_size=16,
        accumulation=1,
        precision=Precision.BF16,
        seq_len=None,
        model_parallel=2,
        tensor_parallel=2,
        pipeline_parallel=1,
        zero_stage=1,
        parameters=2_800_000_000,
        trainable_parameters=2_500_000,
        cluster="slurm-a100",
        step_time_s=0.5,
        spread=0,
        n_steps=100,
        busy_share=cast("float", pytest.approx(0.8)),
        memory_peak_bytes=2 * 10**9,
        source=f"run {folder.name}",
        when=datetime.fromtimestamp(T0 + 80, UTC),
        startup_s=29.5,
        queue_wait_s=30,
        restarts=0,
        energy_per_sample_j=cast("float", pytest.approx(400 * 2 * 0.5 / 16)),
    )


@pytest.mark.parametrize("tensor_parallel", [3, 0, None])
def test_a_split_that_cannot_be_is_not_known(
    folder: Path, history: History, tensor_parallel: int | None
) -> None:
    run = json.loads((folder / "run.json").read_text())
    split = {"model_parallel": 4, "tensor_parallel": tensor_parallel, "pipeline_parallel": None}
    write_json(folder / "run.json", {**run, "shape": {**SHAPE, **split}})
    collect_run(folder, history)
    (found,) = history.measurements()
    assert (found.model_parallel, found.tensor_parallel, found.pipeline_parallel) == (4, None, None)


def test_a_run_out_of_memory_tells_no_memory_that_would_do(folder: Path, history: History) -> None:
    task = TaskRecord("7", 0, 0, 1, "n1", "h", pid=1, birth="", began_s=T0, beat_s=T0)
    TaskFile(folder, task).update(error="torch.OutOfMemoryError: CUDA out of memory.", exit_code=1)
    collect_run(folder, history)
    (found,) = history.measurements("phi2")
    assert (found.step_time_s, found.memory_peak_bytes) == (0.5, None)


def test_collecting_twice_gives_one_measurement(folder: Path, history: History) -> None:
    collect_run(folder, history)
    collect_run(folder, history)
    assert len(history.measurements()) == 1


def test_a_run_that_goes_on_is_measured_anew(folder: Path, history: History) -> None:
    collect_run(folder, history)
    write(folder, loop([0.25] * 100, T0 + 20, attempt="7.0"))
    collect_run(folder, history)
    assert [m.step_time_s for m in history.measurements()] == [0.25]


def test_a_run_killed_before_its_steps_were_steady_is_no_measurement(folder: Path, history: History) -> None:
    write(folder, loop([0.5] * 3, attempt="7.0"))
    write_json(folder / "status.json", {"state": "failed", "exit_code": 137, "ended_s": T0 + 50})
    collect_run(folder, history)
    assert history.measurements() == []


def test_what_the_script_says_of_itself_is_right(folder: Path, history: History) -> None:
    write(folder, loop([0.5] * 20, attempt="7.0", batch_size=8, dtype="float16"))
    collect_run(folder, history)
    (found,) = history.measurements()
    assert (found.batch_size, found.precision) == (8, Precision.FP16)


def test_tensors_called_float32_may_be_tf32(folder: Path, history: History) -> None:
    run = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {**run, "shape": {**SHAPE, "precision": "tf32"}})
    write(folder, loop([0.5] * 20, attempt="7.0", dtype="float32"))
    collect_run(folder, history)
    assert history.measurements()[0].precision == Precision.TF32


@pytest.mark.parametrize("shape", [None, {}, {**SHAPE, "gpus": 0}, {**SHAPE, "precision": "int3"}])
def test_a_run_without_a_shape_is_no_measurement(
    folder: Path, history: History, shape: dict[str, Any] | None
) -> None:
    run = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {**run, "shape": shape})
    collect_run(folder, history)
    assert history.measurements() == []


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ([], "shape: a list is no object"),
        ({**SHAPE, "nodes": "2"}, 'shape.nodes: "2" is no whole number'),
        ({**SHAPE, "tensor_parallel": "2"}, 'shape.tensor_parallel: "2" is no whole number'),
        ({**SHAPE, "gpus": -1}, "shape.gpus: -1 is not from 0 to 9.0072e+15"),
    ],
    ids=str,
)
def test_a_shape_of_wrong_values_is_said(folder: Path, history: History, shape: object, fault: str) -> None:
    run = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {**run, "shape": shape})
    with pytest.raises(UnreadableFile) as caught:
        collect_run(folder, history)
    assert (caught.value.path, caught.value.reason) == (str(folder / "run.json"), fault)
    assert history.measurements() == []


def test_measurements_of_other_models_are_left_out(folder: Path, history: History) -> None:
    collect_run(folder, history)
    assert history.measurements("llama") == []


def test_an_ended_run_is_not_measured_again(folder: Path, history: History) -> None:
    write_json(folder / "status.json", {"state": "completed", "exit_code": 0, "ended_s": T0 + 100})
    collect_run(folder, history)
    path = folder / "progress.jsonl"
    path.write_bytes(b"?" * path.stat().st_size)  # reading it would take the measurement away
    collect_run(folder, history)
    assert len(history.measurements()) == 1


def test_a_long_run_is_summed_up_by_its_minutes(folder: Path, history: History) -> None:
    write(folder, loop([0.5] * 4000, T0 + 20, first_s=10, attempt="7.0"))
    collect_run(folder, history)
    assert history.measurements()[0].busy_share == pytest.approx(0.8)


def test_the_estimate_made_before_a_run_is_kept_for_scoring(
    folder: Path, history: History, clusterplan: Command
) -> None:
    asked = "estimate --samples 1e6 --batch-size 16 --gpus 2 --step-time 0.4 --json".split()
    (folder / "estimate.json").write_text(clusterplan(*asked).stdout, encoding="utf-8")
    collect_run(folder, history)
    (row,) = history.estimates()
    assert (row["run"], row["source_kind"]) == (folder.name, "given")
    assert row["step_time_p50_s"] == pytest.approx(0.4)
    assert row["wall_clock_p95_s"] > row["wall_clock_p50_s"]
