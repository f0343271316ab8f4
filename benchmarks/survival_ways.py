"""The runs of benchmarks/survival.py: what they train, what stands in front of it, and how each way submits them."""

import json
import random
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CLUSTERPLAN = str(Path(sys.executable).with_name("clusterplan"))
STEP_S, SAVE_S, SAVES_EVERY = 0.2, 1.0, 20
STEPS, LONG_STEPS = 120, 400  # the long ones meet their limit of a minute
PARTITIONS = ("long", "preempt", "grace")

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
                           ntasks_per_node=tasks, gpus_per_node=tasks,
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
