"""The test Slurm is a Slurm as users meet it, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import slurm_cluster
from slurm_cluster import Cluster, until

SEEN = 'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES $SLURM_JOB_GPUS"'


def test_a_job_on_two_nodes_sees_its_gpus(slurm: Cluster) -> None:
    lines = slurm.ask("srun", "--nodes=2", "--gpus-per-node=a100:2", "sh", "-c", SEEN).split("\n")
    gpus = sorted(line.split(" ", 1) for line in lines if line)
    assert [node for node, _ in gpus] == ["gpu1", "gpu2"]
    assert all(len(seen.split()[0].split(",")) == 2 for _, seen in gpus)


def test_a_requeued_job_runs_again_in_seconds(slurm: Cluster) -> None:
    job = slurm.sbatch("--requeue", command="echo start $SLURM_RESTART_COUNT; sleep 300")
    slurm.wait_for(job, "RUNNING")
    slurm.ask("scontrol", "requeue", job)
    until(lambda: "start 1" in slurm.log(job), "the restart", within_s=30)


def test_a_job_gives_way_where_it_may_be_preempted(slurm: Cluster) -> None:
    low = slurm.sbatch("--partition=preempt", "--nodes=3", "--exclusive", command="sleep 300")
    slurm.wait_for(low, "RUNNING")
    high = slurm.sbatch("--partition=long", "--nodes=3", "--exclusive", command="sleep 300")
    slurm.wait_for(high, "RUNNING")
    assert slurm.state(low) == "PENDING"


def test_jobs_outlive_a_restart_of_the_controller(slurm: Cluster) -> None:
    job = slurm.sbatch(command="sleep 300")
    slurm.wait_for(job, "RUNNING")
    with slurm.without("slurmctld"), pytest.raises(RuntimeError, match="Unable to contact slurm controller"):
        slurm.ask("sinfo")
    assert slurm.state(job) == "RUNNING"


def test_a_killed_test_run_leaves_no_daemon(tmp_path: Path) -> None:
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    # As pytest would: it holds a cluster with a job, and is killed.
    script = (
        "import sys, pathlib, slurm_cluster\n"
        "with slurm_cluster.running(pathlib.Path(sys.argv[1])) as cluster:\n"
        "    cluster.wait_for(cluster.sbatch(command='sleep 300'), 'RUNNING')\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout.readline() == "up\n", run.wait()
        assert processes_of(tmp_path)
        os.kill(run.pid, signal.SIGKILL)
    until(lambda: not processes_of(tmp_path), "the end of all daemons", within_s=30)


def processes_of(folder: Path) -> list[Any]:
    """The processes whose command line or environment names `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has just ended
        if os.fsencode(folder) in told:
            found.append(process.name)
    return found
