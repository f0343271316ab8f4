"""Runs on the test Slurm in a storm: what is lost by clusterplan, by plain submitit and by plain `sbatch --requeue`.

    python benchmarks/survival.py [--runs 200] [--seed 0] [--only clusterplan]

Short trainings, each of which saves when it is told to stop and resumes from its newest checkpoint, run on partitions with
and without preemption, with and without a grace, as `python train.py`, behind what people put in front of it, and as four
ranks on two nodes that take each step together.  Meanwhile, every few seconds and drawn by `--seed`, jobs are preempted,
requeued by hand and warned of a limit, and the controller hangs, stops or is killed.  Nodes are lost in three ways: Slurm
ends what runs there; the node is dead at once; or only its slurmd is, and the old processes live on.  A tenth of the runs
have a real limit of one minute.  All ways meet the same kinds of events at the same rate, in turn; only `sbatch`, which asks
for no warning before the limit, gets none.  Each step goes into a ledger, from which is counted afterwards:

    unfinished        runs that would need a person: no last step when nothing runs or waits any more
    resumed too early starts from a step before the newest whole checkpoint
    double writers    runs of which two processes took steps at the same time
    wrong words       runs whose final state does not agree with the ledger
    redone            steps that were taken twice, of all steps

Only root can start the test Slurm.
"""

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import slurm_cluster
from markdown_table import table
from slurm_cluster import Cluster, until

CLUSTERPLAN = str(Path(sys.executable).with_name("clusterplan"))
STEP_S, SAVE_S, SAVES_EVERY = 0.2, 1.0, 20
STEPS, LONG_STEPS = 120, 400  # the long ones meet their limit of a minute
BETWEEN_S = (1.0, 4.0)
EVENTS_PER_RUN = 1.0  # one that strikes a node disturbs several runs
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
PARTITIONS = ("long", "preempt", "grace")
NODES = ("gpu1", "gpu2", "gpu3")
QUIET_S = 300.0
OVERLAP_S = 1.0

TRAIN = """
import os, pathlib, signal, socket, sys, time
out, steps, step_s, save_s, every = pathlib.Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:5]), int(sys.argv[5])
rank, ranks = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
out.mkdir(parents=True, exist_ok=True)
ledger = os.open(out / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
me = f"{os.environ.get('SLURMD_NODENAME', '')}.{os.getpid()}"
stopping = False

def note(what, step):
    if rank == 0:
        os.write(ledger, f"{time.time()} {me} {what} {step}\\n".encode())

def stop(*_):
    global stopping
    stopping = True

def meet():  # as ranks do in an all-reduce: who loses a peer fails
    port = 20_000 + (7 * int(os.environ["SLURM_JOB_ID"]) + int(os.environ.get("SLURM_RESTART_COUNT", 0))) % 10_000
    if rank == 0 and ranks > 1:
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(120)
            return [server.accept()[0] for _ in range(ranks - 1)]
    for _ in range(1200 if rank else 0):
        try:
            return [socket.create_connection(("127.0.0.1", port))]
        except OSError:
            time.sleep(0.1)
    return []

def receive(peer):
    word = peer.recv(8)
    if not word:
        raise ConnectionResetError("Connection reset by peer")
    return int(word)

def agree(word):
    if rank == 0:
        word = max([word, *map(receive, peers)])
    for peer in peers:
        peer.send(b"%d" % word)
    return word if rank == 0 else receive(peers[0])

def save(step, seconds):
    if rank == 0:
        draft = out / f".draft.{me}"
        draft.mkdir(exist_ok=True)
        (draft / "weights.pt").write_bytes(b"w" * 100)
        time.sleep(seconds)
        with_number = out / f"step_{step}"
        if not with_number.exists():
            draft.rename(with_number)
        note("saved", step)
    agree(0)

signal.signal(signal.SIGTERM, stop)
peers = meet()
numbers = [p.name.removeprefix("step_") for p in out.glob("step_*")]
step = agree(max(map(int, filter(str.isdecimal, numbers)), default=0))
note("start", step)
is_last = False
while step < steps and not is_last:
    time.sleep(step_s)
    step += 1
    note("step", step)
    if step % every == 0 or step == steps:
        save(step, 0)
    is_last = agree(int(stopping))
if step < steps:
    save(step, save_s)
    sys.exit(143)
"""

SUBMITIT = """
import subprocess, sys, submitit

class Train:
    def __init__(self, command):
        self.command = command

    def __call__(self):
        subprocess.run(self.command, check=True)

    def checkpoint(self):
        return submitit.helpers.DelayedSubmission(self)

folder, partition, minutes, is_parallel, *commands = sys.argv[1:]
executor = submitit.SlurmExecutor(folder, max_num_timeout=100)
nodes, tasks = (2, 2) if is_parallel == "1" else (1, 1)
executor.update_parameters(time=int(minutes), partition=partition, signal_delay_s=15, nodes=nodes,
                           tasks_per_node=tasks, gpus_per_node=tasks,
                           additional_parameters={"requeue": True})
for job in executor.submit_array([Train(words.split("\\x1f")) for words in commands]):
    print(job.job_id)
"""


@dataclass(frozen=True)
class Batch:
    """Runs of one partition, one way to start Python, and one length."""

    partition: str
    wrapper: str
    is_long: bool
    outputs: tuple[Path, ...]

    @property
    def steps(self) -> int:
        return LONG_STEPS if self.is_long else STEPS

    @property
    def minutes(self) -> int:
        return 1 if self.is_long else 10

    @property
    def is_parallel(self) -> bool:
        return self.wrapper == FOUR_RANKS


FOUR_RANKS = "four ranks"
WRAPPERS: dict[str, Callable[[str], list[str]]] = {
    "plain": lambda line: line.split(),
    "shell": lambda line: ["bash", "-c", f"set -e; {line}; echo done"],
    "tee": lambda line: ["bash", "-c", f"{line} 2>&1 | tee -a /dev/null"],
    "runner": lambda line: [
        sys.executable,
        "-c",
        f"import subprocess, sys; sys.exit(subprocess.call({line.split()!r}))",
    ],
    FOUR_RANKS: lambda line: line.split(),
}


def command_of(batch: Batch, output: str, script: Path, more: str = "") -> list[str]:
    line = f"{sys.executable} {script} {output} {batch.steps} {STEP_S} {SAVE_S} {SAVES_EVERY} {more}"
    return WRAPPERS[batch.wrapper](line)


# How each way submits a batch; it returns the Slurm job ids of its runs.


def submit_by_clusterplan(batch: Batch, script: Path) -> list[tuple[str, Path]]:
    """A sweep whose runs differ in an argument that the script does not read."""
    command = command_of(batch, "{output}", script, "{number}")
    numbers = ",".join(output.name for output in batch.outputs)
    words = ["--name", "storm", "--partition", batch.partition, "--time", f"{batch.minutes}m"]
    words += (
        ["--gpus", "4", "--nodes", "2", "--bootstrap", "per-gpu"] if batch.is_parallel else ["--gpus", "1"]
    )
    words += ["--json", "--force"]
    words += [f"--sweep=number={numbers}"]
    done = subprocess.run(
        [CLUSTERPLAN, "submit", *words, "--", *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"clusterplan submit: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    runs = answer.get("runs", [answer]) if isinstance(answer, dict) else answer
    return [(str(run["job_id"]), Path(run["folder"]) / "output") for run in runs]


def submit_by_submitit(batch: Batch, script: Path) -> list[tuple[str, Path]]:
    commands = ["\x1f".join(command_of(batch, str(output), script)) for output in batch.outputs]
    words = [
        str(script.parent / "submitit"),
        batch.partition,
        str(batch.minutes),
        str(int(batch.is_parallel)),
        *commands,
    ]
    ids = subprocess.check_output([sys.executable, "-c", SUBMITIT, *words], text=True).split()
    return list(zip(ids, batch.outputs, strict=True))


def submit_by_sbatch(batch: Batch, script: Path) -> list[tuple[str, Path]]:
    jobs = []
    for output in batch.outputs:
        options = ["--parsable", "--requeue", "--open-mode=append", f"--output={output.parent}/%j.log"]
        options += [f"--partition={batch.partition}", f"--time={batch.minutes}"]
        tasks = 2 if batch.is_parallel else 1
        options += [f"--nodes={tasks}", f"--ntasks-per-node={tasks}", f"--gpus-per-node={tasks}"]
        text = f"#!/bin/bash\nsrun {shlex.join(command_of(batch, str(output), script))}\n"
        sbatch = subprocess.run(["sbatch", *options], input=text, check=True, capture_output=True, text=True)
        jobs.append((sbatch.stdout.strip(), output))
    return jobs


WAYS = {
    "clusterplan": submit_by_clusterplan,
    "submitit": submit_by_submitit,
    "sbatch --requeue": submit_by_sbatch,
}


def batches_of(runs: int, folder: Path, rng: random.Random) -> list[Batch]:
    kinds = [(partition, wrapper) for partition in PARTITIONS for wrapper in WRAPPERS]
    drawn = [(*kinds[number % len(kinds)], number % 10 == 9) for number in range(runs)]
    outputs = dict[tuple[str, str, bool], list[Path]]()
    for number, kind in enumerate(drawn):
        outputs.setdefault(kind, []).append(folder / "out" / f"{number:03}")
    batches = [Batch(*kind, tuple(paths)) for kind, paths in outputs.items()]
    rng.shuffle(batches)
    return batches


# The storm.


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
            # Not all can happen: the job has just ended, its node does not answer, or another preempts already.
            with suppress(RuntimeError, subprocess.TimeoutExpired):
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
    for _ in range(2):  # a step may have begun one meanwhile
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environment = (process / "environ").read_bytes().split(b"\0")
                wanted = {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={cluster.conf}".encode()}
                if wanted <= set(environment):
                    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                    is_step = Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd")
                    for pid in (process.name, *([parent] if is_step else [])):
                        os.kill(int(pid), signal.SIGKILL)


def repair(cluster: Cluster, node: str) -> None:
    """Bring a node back, as one that has been booted."""
    pid = int((cluster.folder / f"{node}.pid").read_text())
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        state = cluster.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T")
        if not state.startswith(("down", "drain")):  # back by itself, and new starts are on it
            return
    kill_processes(cluster, node)
    if not Path(f"/proc/{pid}").exists():
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


# What is counted.


@dataclass(frozen=True)
class Outcome:
    """What the ledger of one run says."""

    is_done: bool
    resumed_early: bool
    double_writers: bool
    steps: int
    redone: int
    starts: int


def read_outcome(output: Path, steps: int) -> Outcome:
    lines = (output / "ledger").read_text().splitlines() if (output / "ledger").exists() else []
    entries = [(float(t), who, what, int(step)) for t, who, what, step in (line.split() for line in lines)]
    newest, farthest, redone, early, saved = 0, 0, 0, False, set[int]()
    for _, _, what, step in entries:
        if what == "start":
            early |= step < newest
            redone += max(farthest - step, 0)
        farthest = max(farthest, step)
        if what == "saved":
            newest = max(newest, step)
            saved.add(step)
    spans = dict[str, list[float]]()
    for moment, who, _, _ in entries:
        spans.setdefault(who, [moment, moment])[1] = moment
    ordered = sorted(spans.values())
    double = any(later[0] < earlier[1] - OVERLAP_S for earlier, later in pairwise(ordered))
    taken = sum(what == "step" for _, _, what, _ in entries)
    return Outcome(steps in saved, early, double, taken, redone, len(spans))


def words_of(way: str, cluster: Cluster) -> dict[str, str]:
    """Return the final word on each job, in capitals as Slurm has it: of clusterplan itself, else of Slurm."""
    if way == "clusterplan":
        said = json.loads(subprocess.check_output([CLUSTERPLAN, "status", "storm", "--json"]))
        return {str(run["job_id"]): str(run["state"]).upper() for run in said["runs"]}
    completed = dict[str, str]()
    for line in (cluster.folder / "jobcomp").read_text().splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        completed[fields.get("JobId", "")] = fields.get("JobState", "")
    return completed


def run_way(way: str, runs: int, seed: int, folder: Path) -> list[str]:
    """Put all runs of one way through the storm; return the row of the table."""
    rng = random.Random(seed)
    (folder / "out").mkdir(parents=True)
    os.chdir(folder)
    script = folder / "train.py"
    script.write_text(TRAIN)
    os.environ |= {"CLUSTERPLAN_HISTORY": f"{folder}/history.db", "CLUSTERPLAN_RUNS": f"{folder}/runs"}
    (folder / "slurm").mkdir()
    with slurm_cluster.running(folder / "slurm") as cluster:
        os.environ["SLURM_CONF"] = str(cluster.conf)
        began_s = time.monotonic()
        jobs = dict[str, tuple[Batch, Path]]()
        for batch in batches_of(runs, folder, rng):
            jobs |= {job: (batch, output) for job, output in WAYS[way](batch, script)}
        counts = storm(cluster, way, list(jobs), round(runs * EVENTS_PER_RUN), rng)
        with suppress(TimeoutError):
            until(lambda: not queue(cluster, list(jobs)), "the end of all runs", QUIET_S)
        left = queue(cluster, list(jobs))
        words = words_of(way, cluster)
        seconds = time.monotonic() - began_s
    outcomes = {job: read_outcome(output, batch.steps) for job, (batch, output) in jobs.items()}
    wrong = [job for job, o in outcomes.items() if (words.get(job) == "COMPLETED") != o.is_done]
    for job, outcome in outcomes.items():
        if not outcome.is_done or outcome.resumed_early or outcome.double_writers or job in wrong:
            batch, output = jobs[job]
            print(
                f"# {way}: {output} job {job} {batch.partition} {batch.wrapper}: {outcome} {words.get(job)} {left.get(job, '')}"
            )
    print(f"# {way}: {seconds:.0f} s; {', '.join(f'{name} {n}' for name, n in counts.items())}", flush=True)
    taken, redone = sum(o.steps for o in outcomes.values()), sum(o.redone for o in outcomes.values())
    return [
        way,
        str(len(jobs)),
        f"{sum(o.starts for o in outcomes.values()) / len(jobs):.1f}",
        *(
            str(n)
            for n in (
                sum(not o.is_done for o in outcomes.values()),
                sum(o.resumed_early for o in outcomes.values()),
                sum(o.double_writers for o in outcomes.values()),
                len(wrong),
            )
        ),
        f"{100 * redone / max(taken, 1):.1f} %",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(WAYS))
    parser.add_argument("--folder", type=Path, help="Keep everything here, to look at.")
    options = parser.parse_args()
    if reason := slurm_cluster.missing():
        sys.exit(reason)
    header = [
        "way",
        "runs",
        "starts per run",
        "unfinished",
        "resumed too early",
        "double writers",
        "wrong words",
        "redone",
    ]
    rows = []
    for way in [options.only] if options.only else WAYS:
        with tempfile.TemporaryDirectory() as temporary:
            base = options.folder or Path(temporary)
            rows.append(run_way(way, options.runs, options.seed, base / way.split()[0]))
    print("\n".join(table(header, rows)))


if __name__ == "__main__":
    main()
