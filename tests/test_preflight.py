"""What stands against a job before it is queued: each finding where it is due, and none where it is not."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterplan.cluster_profiles.gpu import find_gpu
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.run import RunOptions
from clusterplan.estimator.queue.state import Reservation
from clusterplan.launcher.command.processes.faults import CommandFault
from clusterplan.launcher.slurm import client as asking
from clusterplan.launcher.slurm.cluster import Cluster
from clusterplan.launcher.slurm.cluster_reader import read_cluster
from clusterplan.launcher.slurm.nodes import parse_nodes, parse_partitions, parse_settings
from clusterplan.launcher.submission.machine import Machine, inspect_machine
from clusterplan.launcher.submission.preflight import PreflightJob, find_problems
from clusterplan.launcher.submission.problem import PROBLEM_CODES
from clusterplan.launcher.submission.request import SlurmRequest

CLUSTER = Cluster(
    tuple(
        parse_partitions(
            "PartitionName=short MaxTime=00:30:00 State=UP\n"
            "PartitionName=long Default=YES MaxTime=1-00:00:00 State=UP\n"
            "PartitionName=old MaxTime=UNLIMITED State=UP\n"
            "PartitionName=brief MaxTime=00:10:00 DefaultTime=00:02:00 State=UP\n"
            "PartitionName=odd MaxTime=UNLIMITED State=UP\n"
            "PartitionName=lone MaxTime=UNLIMITED MaxNodes=1 State=UP\n"
            "PartitionName=cpu MaxTime=UNLIMITED State=DRAIN"
        )
    ),
    tuple(
        parse_nodes(
            "a1|short|idle|64|512000|gpu:a100:8\na1|lone|idle|64|512000|gpu:a100:8\na2|lone|idle|64|512000|gpu:a100:8\n"
            "a1|brief|idle|64|512000|gpu:a100:8\na1|long|idle|64|512000|gpu:a100:8\n"
            "a2|long|idle|64|512000|gpu:a100:8\na3|long|idle|64|512000|gpu:a100:4\n"
            "v1|old|idle|64|512000|gpu:v100:8\nx1|odd|idle|64|512000|gpu:new:8\nc1|cpu|idle|64|512000|(null)"
        )
    ),
    parse_settings("MaxArraySize = 1001\nJobRequeue = 0"),
)


def requested(
    *,
    nodes: int = 2,
    gpus_per_node: str = "a100:8",
    time: str | None = "08:00:00",
    **more: Any,
) -> SlurmRequest:
    gres, _, count = gpus_per_node.rpartition(":")
    gpus = nodes * int(count)
    return SlurmRequest(nodes, gpus, 120, gres=gres or None, time=time, name="job", **more)


HERE = Machine(None, None, None, Path("/home/me/runs"), None, None)
FP8, BF16, FP16, TF32 = Precision.FP8, Precision.BF16, Precision.FP16, Precision.TF32


def found(
    job: dict[str, Any] | None = None,
    here: dict[str, Any] | None = None,
    shared: tuple[Any, ...] = ("/home",),
    cluster: Cluster | None = CLUSTER,
    **request: Any,
) -> list[Any]:
    """Codes, those that refuse with an exclamation mark."""
    checked = replace(PreflightJob(requested(**request)), **(job or {}))
    told = find_problems(checked, replace(HERE, **(here or {})), cluster, shared)
    assert all(finding.code in PROBLEM_CODES and "\n" not in finding.text for finding in told)
    return [finding.code + "!" * finding.refuses for finding in told]


def test_nothing_stands_against_a_job_that_fits() -> None:
    assert found(job={"precision": BF16, "runs": 1001, "checkpoint_s": 3600}, segments=3) == []


@pytest.mark.parametrize(
    ("request_", "codes"),
    [
        ({"partition": "gpu"}, ["partition!"]),
        ({"partition": "short", "time": "00:31:00", "nodes": 1}, ["time-limit!"]),
        ({"partition": "short", "time": "00:30:00", "nodes": 1}, []),
        ({"time": "1-00:00:00"}, []),
        ({"time": "1-00:01:00"}, ["time-limit!"]),
        ({"partition": "old", "gpus_per_node": "8", "nodes": 1, "time": "300-00:00:00"}, []),
        ({"gpus_per_node": "h100:8"}, ["gpu-type!"]),
        ({"gpus_per_node": "a100:9"}, ["gpu-count!"]),
        ({"gpus_per_node": "9"}, ["gpu-count!"]),
        ({"gpus_per_node": "8"}, []),
        ({"nodes": 3}, ["nodes!"]),
        ({"partition": "lone"}, ["nodes!"]),
        ({"partition": "lone", "nodes": 1}, []),
        ({"nodes": 3, "gpus_per_node": "4"}, []),
        ({"partition": "cpu", "nodes": 1}, ["gpu-type!", "partition-down"]),
        ({"partition": "cpu", "nodes": 1, "gpus_per_node": "0"}, ["partition-down"]),
        ({"time": "00:29:00"}, ["signal"]),
        ({"time": "00:30:00"}, []),
        ({"time": None}, []),
        ({"time": None, "partition": "brief", "nodes": 1}, ["signal"]),
        ({"time": None, "partition": "old", "gpus_per_node": "8", "nodes": 1}, []),
        ({"requeue": False}, ["requeue"]),
    ],
)
def test_a_request_is_held_against_the_cluster(request_: dict[str, Any], codes: list[Any]) -> None:
    assert found(**request_) == codes


def test_without_a_default_partition_one_must_be_said() -> None:
    cluster = replace(CLUSTER, partitions=CLUSTER.partitions[:1])
    assert found(cluster=cluster) == ["partition!"]


@pytest.mark.parametrize(
    ("precision", "gpu", "partition", "codes"),
    [
        (BF16, "v100-sxm2-32gb", "old", ["precision"]),
        (BF16, "t4", "old", ["precision"]),
        (BF16, None, "old", ["precision"]),  # whichever V100 it is
        (FP16, None, "old", []),
        (TF32, None, "old", ["precision"]),
        (FP8, "a100-sxm4-80gb", "odd", ["precision!"]),
        (FP8, None, None, ["precision!"]),
        (FP8, "h100-sxm", "odd", []),
        (FP8, "l4", "odd", []),
        (FP8, None, "odd", []),  # a type we do not know may have it
        (Precision.AUTO, None, "old", []),
        (Precision.FP32, None, "old", []),
    ],
)
def test_a_precision_must_be_native_to_the_gpu(
    precision: Precision, gpu: str | None, partition: str | None, codes: list[Any]
) -> None:
    job = {"precision": precision, "gpu": find_gpu(gpu) if gpu else None}
    assert found(job=job, partition=partition, gpus_per_node="8", nodes=1) == codes


def test_an_emulated_precision_has_its_advice() -> None:
    job = PreflightJob(requested(partition="old", gpus_per_node="v100:8", nodes=1), BF16)
    assert "fp16 is native there" in find_problems(job, HERE, CLUSTER)[0].text


@pytest.mark.parametrize(
    ("checkpoint_s", "segments", "codes"),
    [(28800, 2, ["checkpoint"]), (28000, 2, []), (28800, 1, []), (None, 2, []), (28800, None, [])],
)
def test_a_segment_must_reach_its_first_checkpoint(
    checkpoint_s: int | None, segments: int | None, codes: list[Any]
) -> None:
    assert found(job={"checkpoint_s": checkpoint_s}, segments=segments) == codes


@pytest.mark.parametrize(
    ("time", "kept"),
    [("00:04:00", "up to 3m of it"), ("00:03:00", "all of it")],
)
def test_the_time_before_a_limit_is_within_it(time: str, kept: str) -> None:
    job = PreflightJob(requested(time=time))
    assert (
        f", {kept} may be kept for saving: use --time 30m or more"
        in find_problems(job, HERE, CLUSTER)[0].text
    )


@pytest.mark.parametrize(("p95_s", "codes"), [(420, []), (421, ["signal"])])
def test_a_run_that_ends_before_the_warning_is_not_told_of_it(p95_s: int, codes: list[Any]) -> None:
    assert found(job={"p95_s": p95_s}, time="00:10:00") == codes


def test_an_array_has_a_largest_size() -> None:
    assert found(job={"runs": 1002}) == ["array!"]


@pytest.mark.parametrize(
    ("folder", "shared", "nodes", "codes"),
    [
        ("/home/me/runs", ("/home",), 2, []),
        ("/homeless/runs", ("/home",), 2, ["folder-not-shared!"]),
        ("/scratch/runs", ("/home", "/project"), 2, ["folder-not-shared!"]),
        ("/scratch/runs", ("/home",), 1, ["folder-not-shared"]),
        ("/tmp/runs", (), 2, ["folder-not-shared!"]),
        ("/tmp/runs", (), 1, ["folder-not-shared"]),
        ("/data/runs", (), 1, []),
        ("/tmp/runs", ("/tmp",), 2, []),
        ("/data/runs", (), 2, []),
    ],
)
def test_nodes_need_a_folder_they_all_see(
    folder: str, shared: tuple[Any, ...], nodes: int, codes: list[Any]
) -> None:
    assert found(here={"folder": Path(folder)}, shared=shared, nodes=nodes) == codes


def test_this_machine_sees_its_own_folders() -> None:
    assert found(here={"folder": Path("/tmp/runs")}, nodes=1, cluster=None) == []


@pytest.mark.parametrize(
    ("here", "code"),
    [
        ({"command_fault": "command 'a' is not found"}, "command-missing!"),
        ({"shell_fault": "'>' is given to the command"}, "shell"),
        ({"entry_fault": "train.py:1: SyntaxError: invalid syntax"}, "entry!"),
        ({"folder_fault": "/x: cannot be written: Read-only file system"}, "folder!"),
        ({"inside_job": "17"}, "inside-job"),
    ],
)
def test_what_was_found_here_is_told_with_and_without_a_cluster(here: dict[str, str], code: str) -> None:
    assert found(here=here) == [code]
    assert found(here=here, cluster=None) == [code]


def test_what_the_command_would_do_is_told() -> None:
    faults = (CommandFault("node-alone", "torchrun"), CommandFault("srun", "leave it out", refuses=True))
    assert found(job={"command_faults": faults}) == ["srun!", "node-alone"]


@pytest.mark.parametrize("folder", ["/home/100%/runs", "/home/a\\b/runs"])
def test_a_folder_that_slurm_takes_for_a_pattern_is_refused(folder: str) -> None:
    assert found(here={"folder": Path(folder)}) == ["folder!"]
    assert found(here={"folder": Path(folder)}, cluster=None) == []


def reserved(*reservations: tuple[float, float, str]) -> Cluster:
    """The cluster at 0 s, with reservations from and until so many seconds."""
    kept = tuple(
        Reservation("maint", begin, end, frozenset(nodes.split())) for begin, end, nodes in reservations
    )
    return replace(CLUSTER, reservations=kept, now_s=0.0)


@pytest.mark.parametrize(
    ("reservation", "request_", "is_said"),
    [
        ((480, 4080, "a1 a2 a3"), {"time": "01:00:00"}, True),
        ((480, 4080, "a1 a2 a3"), {"time": "00:08:00"}, False),
        ((480, 4080, "a1"), {"time": "01:00:00"}, False),  # a2 is free for one node
        ((480, 4080, "a1"), {"time": "01:00:00", "nodes": 2}, True),
        ((480, 4080, "v1"), {"time": "01:00:00"}, False),  # of another partition
        ((-60, 0, "a1 a2 a3"), {"time": "01:00:00"}, False),  # over
        ((480, 4080, "a1 a2 a3"), {"time": "01:00:00", "further": (("reservation", "maint"),)}, False),
    ],
)
def test_a_maintenance_that_comes_before_the_jobs_end_is_said(
    reservation: Any, request_: dict[str, Any], is_said: bool
) -> None:
    codes = found(cluster=reserved(reservation), **{"nodes": 1, **request_})
    assert ("reserved" in codes) == is_said


def test_a_walltime_that_ends_before_the_maintenance_is_named() -> None:
    """As a job of 1 h was seen to wait 8 minutes before one, while one of 7 minutes began at once (Slurm 22.05)."""
    job = PreflightJob(requested(nodes=1, time="01:00:00"))
    text = find_problems(job, HERE, reserved((480, 4080, "a1 a2 a3")))[0].text
    assert text.startswith("reservation 'maint' keeps 2 nodes of partition 'long' from ")
    assert text.endswith("a job of 1h waits for its end; --time 7m fits before it")
    now = find_problems(job, HERE, reserved((-60, 4080, "a1 a2 a3")))[0].text
    assert "keeps 2 nodes of partition 'long' until " in now
    assert now.endswith("waits for its end")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((("mem", "600G"),), "mem=600G is more than a node of partition 'long' has: give at most mem=500G"),
        ((("mem", "500G"),), None),
        ((("mem", "0"),), None),
        ((("mem-per-gpu", "100G"),), "mem-per-gpu=100G for 8 GPUs of a node is more than"),
        ((("mem-per-cpu", "10G"), ("cpus-per-task", "64")), "mem-per-cpu=10G for 64 CPUs of a node"),
    ],
)
def test_more_memory_than_any_node_has_is_refused(options: Any, text: str | None) -> None:
    problems = find_problems(PreflightJob(requested(nodes=1, further=options)), HERE, CLUSTER)
    said = [problem.text for problem in problems if problem.code == "memory"]
    assert [text in one for one in said] == [True] if text else said == []


def test_a_site_without_a_default_partition_may_route_by_qos() -> None:
    """NERSC's users name a QOS or a constraint, and no partition (Parsl/libsubmit#66)."""
    without = tuple(replace(one, default=False) for one in CLUSTER.partitions)
    cluster = replace(CLUSTER, partitions=without)
    assert found(cluster=cluster) == ["partition!"]
    assert found(cluster=cluster, further=(("qos", "regular"),)) == ["partition"]


def test_refusals_come_first() -> None:
    assert found(here={"inside_job": "17"}, nodes=9) == ["nodes!", "inside-job"]


def test_every_finding_names_what_is_wrong_and_what_would_be_right() -> None:
    job = PreflightJob(requested(partition="short", time="01:00:00", nodes=1))
    assert find_problems(job, HERE, CLUSTER)[0].text == (
        "a walltime of 1h is above the limit of partition 'short', 30m: the job would wait for ever"
    )


@pytest.mark.usefixtures("slurm")
def test_the_live_cluster_is_what_a_job_is_held_against() -> None:
    cluster = read_cluster()
    assert found(cluster=cluster, partition="long") == []
    # sbatch takes it, and lets it wait for ever.
    assert asking.forecast_start(["--partition=short", "--time=60"]).refusal is None
    assert found(cluster=cluster, partition="short", time="01:00:00") == ["time-limit!"]
    assert found(cluster=cluster, partition="old", gpus_per_node="8", nodes=1, job={"precision": BF16}) == [
        "precision"
    ]


def seen(tmp_path: Path, *command: str, **more: Any) -> Machine:
    return inspect_machine(
        RunOptions(command=command),
        tmp_path,
        more.get("folder", tmp_path),
        {"PATH": more.get("path", "/usr/bin:/bin")},
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("print(1)\n", None),
        ("\ufeff# -*- coding: utf-8 -*-\nname = 'ü'\n", None),
        ("x = '\\d'\nif x is 1: pass\n", None),  # only warned of
        ("import no_such_module\nraise SystemExit(3)\n", None),  # not run
        ("print(1)\ndef f(:\n", "2: SyntaxError: invalid syntax"),
        (
            "if 1:\nprint(1)\n",
            "2: IndentationError: expected an indented block after 'if' statement on line 1",
        ),
    ],
)
@pytest.mark.parametrize("name", ["train.py", "my $(touch hurt) 'train'.py"])
def test_a_python_file_is_compiled_and_not_run(
    tmp_path: Path, text: str, fault: str | None, name: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    here = seen(tmp_path, sys.executable, name, "--lr", "1e-3")
    assert here.entry_fault == (fault and f"{name}:{fault}")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_python_file_is_told(tmp_path: Path) -> None:
    assert (
        seen(tmp_path, sys.executable, "-u", "train.py").entry_fault
        == f"train.py: no such file in {tmp_path}"
    )


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (("bash", "train.sh", "--lr", "1"), True),
        (("/bin/sh", "train.sh"), True),
        (("bash", "there.sh", "gone.sh"), False),
        (("bash", "-c", "gone.sh"), False),
        (("bash", "{script}.sh"), False),
    ],
)
def test_a_missing_shell_script_is_told(tmp_path: Path, command: tuple[Any, ...], missing: bool) -> None:
    (tmp_path / "there.sh").touch()
    fault = f"train.sh: no such file in {tmp_path}" if missing else None
    assert seen(tmp_path, *command).entry_fault == fault


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "mine", "config.py"),
        ("-c", "import x.py"),
        ("{script}.py",),
        ("--config=x.py",),
        ("--version",),
        (),
    ],
)
def test_where_there_is_no_file_none_is_missed(tmp_path: Path, command: tuple[Any, ...]) -> None:
    assert seen(tmp_path, sys.executable, *command).entry_fault is None


def test_a_module_that_starts_a_file_is_looked_into(tmp_path: Path) -> None:
    here = seen(tmp_path, sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "train.py")
    assert "train.py: no such file" in here.entry_fault


def test_the_interpreter_of_the_command_judges(tmp_path: Path) -> None:
    # One that finds fault with nothing, as a newer Python might.
    newer = tmp_path / "python9"
    newer.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    newer.chmod(0o755)
    (tmp_path / "train.py").write_text("new syntax of python 9", encoding="utf-8")
    assert seen(tmp_path, "./python9", "train.py").entry_fault is None
    assert seen(tmp_path, sys.executable, "train.py").entry_fault


def test_a_launcher_of_python_is_looked_into(tmp_path: Path) -> None:
    torchrun = tmp_path / "torchrun"
    torchrun.write_text(f"#!{sys.executable}\n", encoding="utf-8")
    torchrun.chmod(0o755)
    (tmp_path / "train.py").write_text("def", encoding="utf-8")
    here = seen(tmp_path, "torchrun", "--nproc-per-node=2", "train.py", path=str(tmp_path))
    assert here.entry_fault == "train.py:1: SyntaxError: invalid syntax"


@pytest.mark.parametrize(
    ("command", "there"), [("sh", True), ("/bin/sh", True), ("./sh", False), ("no such", False)]
)
def test_a_command_is_looked_for_as_a_shell_does(tmp_path: Path, command: str, there: bool) -> None:
    assert (seen(tmp_path, command).command_fault is None) is there


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["python train.py --lr 1e-4"], "leave out the quotes: -- python train.py --lr 1e-4"),
        (
            ["cd src && python train.py"],
            "needs a shell, and no shell reads the command: give bash -c 'cd src && python train.py'",
        ),
        (
            ["python train.py > log"],
            "needs a shell, and no shell reads the command: give bash -c 'python train.py > log'",
        ),
        (
            ["cd", "my src", "&&", "python"],
            "'cd' needs a shell, and no shell reads the command: give bash -c ",
        ),
        (["./train.py"], "command './train.py' is not executable: put python before it"),
        (["train.py"], "command 'train.py' is not on PATH: put python before it"),
        (["./start"], "command './start' is not executable: chmod +x ./start"),
        (["./none.py"], "command './none.py' is not found: give a program on PATH, or its path"),
        (["no such", "--lr", "1"], "command 'no such' is not found: give a program"),
        ([""], "command '' is not found"),
    ],
)
def test_a_command_that_does_not_start_is_told_what_would(
    tmp_path: Path, command: list[str], said: str
) -> None:
    for name in ("train.py", "start"):
        (tmp_path / name).touch(mode=0o600)
    assert said in seen(tmp_path, *command).command_fault


@pytest.mark.parametrize(("word", "told"), [(">", True), ("&&", True), ("a > b", False), ("->", False)])
def test_a_word_of_the_shells_is_told(tmp_path: Path, word: str, told: bool) -> None:
    fault = seen(tmp_path, "sh", "a b", word, "log").shell_fault
    assert bool(fault) is told
    assert not told or fault.endswith(f"""give bash -c 'sh '"'"'a b'"'"' {word} log'""")


def test_a_folder_is_tried_where_it_will_be(tmp_path: Path) -> None:
    assert seen(tmp_path, "sh", folder=tmp_path / "new" / "runs").folder_fault is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    fault = seen(tmp_path, "sh", folder=tmp_path / "file" / "runs").folder_fault
    assert fault == f"{tmp_path / 'file'}: cannot be written: Not a directory"


def test_a_link_is_followed_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/home")
    assert seen(tmp_path, "sh", folder=tmp_path / "link" / "runs").folder == Path("/home/runs")


def test_the_job_around_us_is_seen(tmp_path: Path) -> None:
    assert (
        inspect_machine(RunOptions(command=("sh",)), tmp_path, tmp_path, {"SLURM_JOB_ID": "17"}).inside_job
        == "17"
    )
