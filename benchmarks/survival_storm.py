"""The storm of benchmarks/survival.py: what happens to its runs, and how nodes come back."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from slurm_cluster import Cluster

BETWEEN_S = (1.0, 4.0)
EVENTS = {
    "preempted node": 6,
    "node that Slurm empties": 2,
    "dead node": 2,
    "dead slurmd": 2,
    "requeue by hand": 4,
    "warning": 4,
    "controller": 2,
}
NODE_DOWN_S, SLURMD_DOWN_S, CONTROLLER_DOWN_S = 3.0, 40.0, 5.0
NODES = ("gpu1", "gpu2", "gpu3")


def storm(cluster: Cluster, way: str, jobs: Sequence[str], events: int, rng: random.Random) -> dict[str, int]:
    """Disturb the runs until `events` have happened or none is left; return how often each kind did."""
    weights = EVENTS | ({"warning": 0} if way == "sbatch --requeue" else {})  # it asks for none
    counts = dict.fromkeys(weights, 0)
    repairs = dict[str, float]()  # of nodes that are down: when they come back
    while sum(counts.values()) < events:
        time.sleep(rng.uniform(*BETWEEN_S))
        waiting = queue(cluster, jobs)
        if not waiting:
            break
        for node in [node for node, due_s in repairs.items() if due_s < time.monotonic()]:
            repair(cluster, node)
            del repairs[node]
        running = [job for job, state in waiting.items() if state == "RUNNING"]
        (kind,) = rng.choices(list(weights), weights=list(weights.values()))
        nodes = [node for node in NODES if node not in repairs]
        if running and nodes:
            # Not all can happen: the job has just ended, its node does not answer or is down already, or another preempts.
            with suppress(RuntimeError, subprocess.TimeoutExpired, ProcessLookupError):
                repairs |= disturb(cluster, kind, rng.choice(running), rng.choice(nodes), rng)
                counts[kind] += 1
    for node in repairs:
        repair(cluster, node)
    return counts


def disturb(cluster: Cluster, kind: str, job: str, node: str, rng: random.Random) -> dict[str, float]:
    """Let one event happen, to this job or this node; return the node if it is down then, and until when."""
    if kind == "preempted node":
        if cluster.ask("squeue", "--noheader", "--name=wrap", "--states=PENDING"):
            raise RuntimeError("another job waits for a whole node, and keeps it from others")
        options = ("--partition=long", f"--nodelist={node}", "--gpus-per-node=8", "--time=1")
        cluster.sbatch(*options, command="sleep 2")
    elif kind == "requeue by hand":
        cluster.ask("scontrol", "requeue", job)
    elif kind == "warning":
        cluster.ask("scancel", "--signal=USR2", job)
    elif kind == "controller":
        ways = (cluster.hung(), cluster.without(), cluster.without(number=signal.SIGKILL))
        with rng.choice(ways):
            time.sleep(CONTROLLER_DOWN_S)
    else:
        if kind != "node that Slurm empties":
            cluster.end(node, signal.SIGKILL)
        if kind == "dead node":
            kill_processes(cluster, node)
        cluster.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=storm")
        down_s = SLURMD_DOWN_S if kind == "dead slurmd" else NODE_DOWN_S
        return {node: time.monotonic() + down_s}
    return {}


def kill_processes(cluster: Cluster, node: str) -> None:
    """Kill every process of a job on this node, and the daemons of its steps."""
    of_node = {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={cluster.conf}".encode()}
    for _ in range(2):  # a step may have begun one meanwhile
        sockets = step_sockets(cluster, node)
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environment = (process / "environ").read_bytes().split(b"\0")
                if of_node <= set(environment) or sockets & open_files(process):
                    os.kill(int(process.name), signal.SIGKILL)


def step_sockets(cluster: Cluster, node: str) -> set[str]:
    """Return the sockets on which the node's slurmstepd listen, one per step, as /proc shows them in an open file."""
    folder = f"{cluster.folder}/spool-{node}/"
    lines = Path("/proc/net/unix").read_text().splitlines()
    return {f"socket:[{line.split()[6]}]" for line in lines if folder in line}


def open_files(process: Path) -> set[str]:
    """Return what the files that a slurmstepd has open are; nothing for any other process."""
    if not (process / "comm").read_text().startswith("slurmstepd"):
        return set()
    return {str(file.readlink()) for file in (process / "fd").iterdir()}


def repair(cluster: Cluster, node: str) -> None:
    """Bring a node back, as one that has been booted."""
    pid = int((cluster.folder / f"{node}.pid").read_text())
    is_slurmd_dead = not Path(f"/proc/{pid}").exists()
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        state = cluster.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T")
        if not state.startswith(("down", "drain")):  # back by itself, and new starts are on it
            if is_slurmd_dead:
                cluster.start(node)
            return
        # A node that Slurm drained by itself may have jobs: it is told that they are gone, as a boot would tell it.
        cluster.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=storm")
    kill_processes(cluster, node)
    if is_slurmd_dead:
        cluster.start(node)
    for _ in range(20):
        time.sleep(0.5)
        with suppress(RuntimeError, subprocess.TimeoutExpired):  # not registered yet, or back by itself
            state = cluster.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T")
            if not state.startswith(("down", "drain")):
                return
            cluster.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")


def queue(cluster: Cluster, jobs: Sequence[str]) -> dict[str, str]:
    """Return the state of each of these jobs that has not ended."""
    for _ in range(5):
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            listed = cluster.ask("squeue", "--noheader", "--array", "--format=%i|%T")
            states = dict(line.split("|") for line in listed.splitlines())
            ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL")
            return {job: states[job] for job in jobs if job in states and states[job] not in ended}
        time.sleep(2)
    return {}
