"""`clusterplan calibrate`: which probe runs where, when it is stopped, and what is learned of it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from launched import ENDED_S, EXAMPLE, in_one_row
from slurm_cluster import until

from clusterplan.cluster_profiles.profile import ClusterProfile, Partition
from clusterplan.errors import InputError
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.job.run import RunOptions
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.measurements.steady_state import step_time_error
from clusterplan.estimator.measurements.training_loop import LoopStart, LoopSteps
from clusterplan.launcher.calibration.plan import NARROW, check_calibration, plan_probe
from clusterplan.launcher.calibration.probe import ProbeEnd, read_speed
from clusterplan.launcher.calibration.watch import watch_probe
from clusterplan.launcher.run_folder.cancel_request import read_cancel_request, write_cancel_request
from clusterplan.launcher.runs.explain.trials import with_trial
from clusterplan.launcher.runs.state import RunState, State

COMMAND = ("python", "train.py", "--bs", "{batch_size}", "--output_dir", "{output}")
DEBUG = Partition(name="debug", nodes=2, gpus_per_node=8, gpu="a100-sxm4-80gb", time_limit=1800)
LONG = Partition(name="long", nodes=9, gpus_per_node=8, gpu="a100-sxm4-80gb", time_limit=86400)


def workload(*command: str, **values: Any) -> Workload:
    facts = {"samples": 1_000_000, "batch_size": 32, "gpus": 8, "model": "net", **values}
    run = RunOptions(command=command or COMMAND, resume=("--resume", "{latest}"))
    return Workload.of(**facts).model_copy(update={"run": run})


def cluster(*partitions: Partition) -> ClusterProfile:
    return ClusterProfile(name="site", default_partition="long", partitions=partitions)


def plan(job: Workload, *partitions: Partition, left_gpu_s: float = 3600, runs: Any = (), **more: Any) -> Any:
    profile = cluster(*(partitions or (LONG,)))
    return plan_probe(estimate_workload(job, profile, runs), runs, profile, left_gpu_s=left_gpu_s, **more)


def measured(gpus: int, step_time_s: float, batch_size: int = 32) -> Measurement:
    estimate = estimate_workload(workload(gpus=gpus, batch_size=batch_size), cluster(LONG))
    precision = estimate.placement.precision
    return Measurement(
        "net", "a100-sxm4-80gb", 1, gpus, gpus, batch_size, 1, precision, None, step_time_s, cluster="site"
    )


@pytest.mark.parametrize(
    ("words", "mended"),
    [
        (["--output_dir", "out/llava"], '"--output_dir", "{output}" in place of "--output_dir", "out/llava"'),
        (["--output_dir=out"], '"--output_dir={output}" in place of "--output_dir=out"'),
        (["--save", "ckpt"], '"--save", "{output}" in place of "--save", "ckpt"'),
        (["--save_steps", "5"], 'add the flag of its output folder, such as "--output_dir", "{output}"'),
    ],
)
def test_a_command_without_an_output_of_its_own_is_refused_with_its_mend(
    words: list[str], mended: str
) -> None:
    with pytest.raises(InputError, match=r"no placeholder \{output\}, so a probe would write where") as error:
        check_calibration(workload("python", "train.py", *words))
    assert str(error.value).endswith(mended)


def test_a_job_whose_rate_is_stated_learns_nothing_from_probes() -> None:
    with pytest.raises(InputError, match=r"throughput\.samples_per_s is stated"):
        check_calibration(workload(samples_per_s=44.3))


def test_a_probe_is_the_job_in_a_folder_of_its_own_without_a_restart() -> None:
    job = workload()
    job = job.model_copy(update={"checkpoint": job.checkpoint.model_copy(update={"folder": "out"})})
    probe = plan(job).workload
    assert (probe.checkpoint.folder, probe.run.resume, probe.run.max_restarts) == (None, (), 0)
    assert (probe.name, probe.run.command) == ("train-probe", COMMAND)


def test_only_values_with_a_placeholder_change() -> None:
    first = plan(workload()).shape
    without = [
        shape
        for gpus in (1, 2, 4, 8)
        if (shape := Shape(**vars(first) | {"gpus": gpus, "gpus_per_node": gpus}))
    ]
    assert plan(workload(), without=without).shape.batch_size == 8
    fixed = workload("python", "train.py", "--output_dir", "{output}")
    assert plan(fixed, without=without) is None


def test_a_probe_goes_where_the_limit_is_shortest_and_long_enough() -> None:
    tiny = DEBUG.model_copy(update={"name": "tiny", "time_limit": 300})
    other = DEBUG.model_copy(update={"name": "other", "gpu": "h100-sxm"})
    preempt = DEBUG.model_copy(update={"name": "preempt", "preemptible": True})
    chosen = plan(workload(), LONG, preempt, tiny, other, DEBUG)
    assert (chosen.workload.cluster.partition, chosen.most_s) == ("debug", 1200)
    short = plan(workload(), LONG, tiny, DEBUG, left_gpu_s=240)
    assert (short.workload.cluster.partition, short.most_s) == ("tiny", 240)
    assert plan(workload(), LONG).workload.cluster.partition is None
    assert plan(workload(), LONG, DEBUG, partition="long").workload.cluster.partition == "long"


def test_the_budget_bounds_the_gpus_of_a_probe() -> None:
    runs = [measured(1, 0.5)]
    assert plan(workload(), runs=runs, left_gpu_s=100).shape.gpus == 1
    assert plan(workload(), runs=runs, left_gpu_s=59) is None


def test_a_shape_that_cannot_fit_is_not_probed() -> None:
    """Sharded states of 30 billion parameters need more than one GPU of 80 GB (ZeRO, SC'20, table 1)."""
    job = workload(parameters=30e9, seq_len=2048, batch_size=1)
    job = job.model_copy(
        update={"training": job.training.model_copy(update={"zero_stage": 3, "recompute": True})}
    )
    assert plan(job, left_gpu_s=1e6).shape.gpus == 8


def test_few_probes_lead_to_the_shape_of_the_job() -> None:
    """Cheap shapes first, and the job's own as soon as that tells more per GPU-second than a row of others."""
    runs, shapes = list[Measurement](), list[Shape]()
    while (known := estimate_workload(workload(), cluster(LONG), runs).step_time.seconds) is None or (
        known.p90 > NARROW * known.p10
    ):
        shapes.append(plan(workload(), runs=runs, without=shapes).shape)
        step_time_s = 0.03 + 0.02 * shapes[-1].batch_size + 0.02 * (shapes[-1].gpus > 1)
        runs.append(measured(shapes[-1].gpus, step_time_s, shapes[-1].batch_size))
    assert [shapes[0].gpus, shapes[-1].gpus] == [1, 8]
    assert sum(shape.gpus for shape in shapes) <= 16


def test_without_the_budget_for_the_shape_of_the_job_smaller_ones_tell_of_it() -> None:
    chosen = plan(workload(), runs=[measured(1, 0.67)], left_gpu_s=300).shape
    assert 1 < chosen.gpus <= 4


def test_a_step_time_is_known_once_it_neither_scatters_nor_drifts() -> None:
    def lines(*seconds: float) -> Any:
        steps = [LoopSteps(9 + i, 4 * i, 4, 4 * s, s) for i, s in enumerate((9.0, *seconds))]
        return [LoopStart(0, 0), *steps]

    assert step_time_error(lines(1, 1)) is None
    assert step_time_error(lines(1, 1, 1, 1)) == 0
    assert step_time_error(lines(1, 1.1, 0.9, 1, 1.1, 0.9)) == pytest.approx(0.065, abs=0.01)
    drifts = lines(2, 2, 2, 2, 1, 1, 1, 1)
    assert step_time_error(drifts) > 0.15
    assert read_speed(drifts).steps == 36


def job_file(launched: Any, command: Any, gpus: int = 1) -> Any:
    return launched.file(
        "job.toml",
        "name = 'net'\nmodel = 'net'\n[data]\nsamples = 64_000\n[training]\nbatch_size = 32\n"
        f"gpus = {gpus}\nframework = 'floor'\nprecision = 'fp32'\n"
        f"[run]\nbootstrap = 'per-gpu'\ncommand = {json.dumps([str(word) for word in command])}\n",
    )


def example(launched: Any) -> Any:
    command = [
        "python",
        EXAMPLE,
        "--steps",
        "{max_steps}",
        "--output",
        "{output}",
        "--step-time",
        "0.05",
    ]  # saves every 20
    return job_file(launched, command)


ON_CPU = ("--executor", "local", "--force")  # this machine has no GPU


def test_a_job_that_nobody_measured_is_measured(launched: Any) -> None:
    job = example(launched)
    assert "{output}" in launched("calibrate", job, *ON_CPU, "--dry-run").stdout + job.read_text()
    assert not (launched.folder / "runs").exists()
    done = launched("calibrate", job, *ON_CPU, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["before"]["source"]["kind"], result["after"]["source"]["kind"]) == ("unknown", "measured")
    (probe,) = result["probes"]
    assert (probe["state"], probe["end"]) == ("cancelled", "known")
    assert probe["step_time_error"] <= 0.05 < probe["step_time_s"]
    assert result["after"]["step_time_s"]["p50"] == pytest.approx(probe["step_time_s"], rel=0.2)
    assert (
        Path(json.loads((Path(probe["folder"]) / "launch.json").read_text())["output"]).parts[-2]
        == probe["run"]
    )
    assert not list((Path(probe["folder"]) / "output").iterdir())
    assert launched.status(probe["run"])["reason"] == "a probe of `clusterplan calibrate`: its speed is known"
    run = launched.submit(job, *ON_CPU, "--calibrate-first")  # it is known: no further probe
    assert launched("cancel", run["run"]).returncode == 0
    estimate = json.loads((Path(run["folder"]) / "estimate.json").read_text())
    assert (estimate["source"]["kind"], estimate["source"]["runs"]) == ("measured", 1)


def test_a_probe_that_was_stopped_says_why_if_its_record_does(tmp_path: Path) -> None:
    def reason() -> str:
        return with_trial(
            RunState(State.CANCELLED, "", 0.0), {"probe": True}, [], read_cancel_request(tmp_path)
        ).reason

    write_cancel_request(tmp_path)
    assert reason() == "a probe of `clusterplan calibrate` that was stopped"
    write_cancel_request(tmp_path, "its speed is known")
    assert reason() == "a probe of `clusterplan calibrate`: its speed is known"


def test_a_shape_that_the_command_cannot_have_is_left_out(launched: Any, in_process: Any) -> None:
    """`torchrun --nproc_per_node 2` would start two processes on one GPU."""
    script = launched.file("train.py", "")
    torchrun = launched.file("torchrun", "#!/bin/sh\n")
    torchrun.chmod(0o755)
    command = [torchrun, "--nproc_per_node", "2", script, "--output_dir", "{output}"]
    job = job_file(launched, command, gpus=2).read_text().replace("per-gpu", "single")
    done = in_process("calibrate", launched.file("job.toml", job), "--executor", "slurm", "--dry-run")
    assert (done.returncode, "the first probe: 2 GPUs" in done.stdout) == (0, True), done.stderr
    free = launched.file("job.toml", job.replace('"--nproc_per_node", "2"', '"--nproc_per_node", "{gpus}"'))
    assert (
        "the first probe: 1 GPU," in in_process("calibrate", free, "--executor", "slurm", "--dry-run").stdout
    )


def test_a_sweep_cannot_be_calibrated_first(launched: Any, in_process: Any) -> None:
    done = in_process("submit", example(launched), *ON_CPU, "--calibrate-first", "--sweep", "seed=1,2")
    assert (done.returncode, "--calibrate-first measures one run" in done.stderr) == (2, True)


def test_a_job_that_reports_no_step_is_said(launched: Any) -> None:
    job = job_file(launched, ["true", "{output}"])
    done = launched("submit", job, *ON_CPU, "--calibrate-first")
    assert (done.returncode, done.stdout) == (1, "")
    assert "reported no step" in done.stderr
    assert "nothing is submitted" in done.stderr
    done = launched("calibrate", job, *ON_CPU)
    assert done.returncode == 1
    assert "so its speed is not known: write `for batch in track(loader):`" in in_one_row(done.stdout)


def test_a_probe_that_its_limit_ends_has_not_failed(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--time", "6s", "--", "sleep", "60")  # 5 of them are to save
    folder = Path(run["folder"])
    end, speed, status = watch_probe(folder, "local", 60, 0.05, lambda *_: None)
    assert (end, speed.steps, status.state.state) == (ProbeEnd.TIME_OVER, 0, "timed_out")


def test_a_probe_that_fails_is_told_with_its_error(launched: Any) -> None:
    script = launched.file("train.py", "raise ValueError('no such data')\n")
    done = launched("calibrate", job_file(launched, ["python", script, "{output}"]), *ON_CPU)
    assert done.returncode == 1
    assert "the last probe failed: exit code 1: ValueError: no such data" in in_one_row(done.stdout)


def test_ctrl_c_stops_the_probe_and_keeps_what_it_told(launched: Any) -> None:
    program = Path(sys.executable).with_name("clusterplan")
    process = subprocess.Popen(
        [program, "calibrate", example(launched), *ON_CPU, "--within", "0.0001%", "--json"],
        cwd=launched.folder,
        env=launched.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    progress = launched.folder / "runs"
    until(
        lambda: any(path.read_text().count("steps") > 8 for path in progress.glob("*/progress.jsonl")),
        "steps of the probe",
        ENDED_S,
    )
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=ENDED_S)
    result = json.loads(output)
    assert (process.returncode, result["stopped"]) == (130, "interrupted")
    assert [probe["state"] for probe in result["probes"]] == ["cancelled"]
    assert result["after"]["source"]["kind"] == "measured"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--budget", "30"], "--budget: '30' has no unit: write 30m or 30s; it is GPU time, such as 30m"),
        (["--budget", "30s"], "--budget: '30s' is less than a minute of one GPU"),
        (["--within", "5"], "--within: '5' is not a share such as 5%"),
        (["--batch-size", "8"], "--batch-size: the command has no placeholder {batch_size}"),
    ],
)
def test_a_wrong_value_is_said_before_anything_runs(
    launched: Any, in_process: Any, arguments: Any, fault: str
) -> None:
    done = in_process("calibrate", example(launched), "--executor", "local", *arguments)
    assert (done.returncode, fault in done.stderr) == (2, True)


@pytest.mark.slow  # a run of 30 s that reaches its limit
def test_the_whole_loop_is_shown(launched: Any) -> None:
    demo = Path(EXAMPLE).with_name("demo_loop.py")
    nowhere = {**launched.environment, "SLURM_CONF": str(launched.folder / "none")}
    done = subprocess.run([sys.executable, demo], capture_output=True, text=True, env=nowhere, check=False)
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line.startswith("$ clusterplan")]
    assert [line.split()[2] for line in shown] == (
        "estimate calibrate estimate submit status resume status report history estimate".split()
    )
