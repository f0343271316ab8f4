"""Time submissions on the test Slurm, beside plain sbatch and plain submitit, in the same run.

    python benchmarks/submit_cost.py [--runs 5] [--elements 500] [--work 10]

One job and an array are submitted held, so that nothing else runs; whole processes are timed, in turns, and medians are
printed, of the time on the clock and of that on the CPU.  `imports` loads what submitit and clusterplan are made of, and
does nothing.  Then it times `clusterplan status` over all these runs and counts the calls of Slurm's commands, and runs a
command of fixed work in a job of each kind.  Only root can start the test Slurm.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import slurm_cluster

CLUSTERPLAN = str(Path(sys.executable).with_name("clusterplan"))
SLURM_COMMANDS = ("sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
SUBMITIT = """
import sys, submitit
executor = submitit.SlurmExecutor(sys.argv[1])
executor.update_parameters(time=10, signal_delay_s=30, array_parallelism=1, additional_parameters={"hold": True})
n = int(sys.argv[2])
executor.map_array(abs, range(n)) if n > 1 else executor.submit(abs, 1)
"""
IMPORTS = """
import click, submitit
from pydantic import BaseModel
class Model(BaseModel):
    number: int
"""
# Adds as many floats as its argument says; writes the Unix time of its start, and the seconds it took.
WORK = """
import json, sys, time
start_s, start, total = time.time(), time.perf_counter(), 0.0
for _ in range(int(sys.argv[2])):
    total += 1.0
json.dump([start_s, time.perf_counter() - start], open(sys.argv[1] + ".part", "w"))
import os
os.replace(sys.argv[1] + ".part", sys.argv[1])
"""


def run_timed(command: list[str]) -> tuple[float, float]:
    """Run a process that must succeed; return its seconds on the clock, and on the CPU with its children."""
    start, cpu_s = time.perf_counter(), children_cpu_s()
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}: {process.stderr.strip()}")
    return seconds, children_cpu_s() - cpu_s


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def submissions(folder: Path, count: int) -> dict[str, list[str]]:
    """Return the commands that submit `count` held jobs, by name."""
    job = folder / "held.toml"
    command = ["true", "{seed}"] if count > 1 else ["true"]
    job.write_text(
        "[data]\nsamples = 1\n[training]\nbatch_size = 1\ngpus = 1\n[slurm]\nhold = true\n"
        f"[run]\ncommand = {json.dumps(command)}\n",
        encoding="utf-8",
    )
    script = folder / "held.sh"
    script.write_text("#!/bin/bash\nsrun true\n", encoding="utf-8")
    array, sweep = (
        ([f"--array=0-{count - 1}%1"], ["--sweep", f"seed=1..{count}", "--parallel", "1"])
        if count > 1
        else ([], [])
    )
    options = ["--hold", "--gpus-per-node=1", "--time=10", f"--output={folder}/%A_%a.out"]
    submit = [CLUSTERPLAN, "submit", "--time", "10m"]
    commands = {
        "sbatch": ["sbatch", *options, *array, str(script)],
        "submitit": [sys.executable, "-c", SUBMITIT, str(folder / "submitit"), str(count)],
        "clusterplan submit": [*submit, str(job), *sweep],
    }
    if count > 1:
        return commands
    return {
        **commands,
        "... without an estimate": [*submit, "--gpus", "1", "--slurm", "hold", "--", "true"],
        "imports": [sys.executable, "-c", IMPORTS],
    }


def median_s(
    commands: dict[str, list[str]], runs: int, after: Callable[[], object]
) -> dict[str, tuple[float, float]]:
    """Run the commands in turns; return the median seconds of each, on the clock and on the CPU."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            pairs[name].append(run_timed(command))
            after()
    return {
        name: (statistics.median(clock), statistics.median(cpu))
        for name, (clock, cpu) in ((name, zip(*values, strict=True)) for name, values in pairs.items())
    }


def print_table(title: str, medians: dict[str, tuple[float, float]]) -> None:
    print(title)
    ours = medians["clusterplan submit"][0]
    for name, (seconds, cpu_s) in medians.items():
        print(
            f"  {name:24s} {seconds:7.3f} s   {cpu_s:7.3f} s CPU   clusterplan / this = {ours / seconds:.2f}"
        )


def print_status(folder: Path) -> None:
    """Time `clusterplan status` over all runs, and count its calls of Slurm's commands."""
    calls, shims = folder / "calls", folder / "shims"
    shims.mkdir()
    for name in SLURM_COMMANDS:
        if real := shutil.which(name):
            (shims / name).write_text(
                f'#!/bin/sh\necho {name} >> {calls}\nexec {real} "$@"\n', encoding="utf-8"
            )
            (shims / name).chmod(0o755)
    process = subprocess.run([CLUSTERPLAN, "status", "--json"], capture_output=True, text=True, check=True)
    seconds, cpu_s = median_s({"status": [CLUSTERPLAN, "status"]}, 3, lambda: None)["status"]
    path, os.environ["PATH"] = os.environ["PATH"], f"{shims}:{os.environ['PATH']}"
    run_timed([CLUSTERPLAN, "status"])
    os.environ["PATH"] = path
    names = calls.read_text(encoding="utf-8").split() if calls.exists() else []
    runs = len(json.loads(process.stdout)["runs"])
    print(
        f"status of {runs:,} runs: {seconds:.3f} s, {cpu_s:.3f} s CPU, {len(names)} calls of Slurm ({', '.join(sorted(set(names)))})"
    )


def print_work(folder: Path, seconds: float) -> None:
    """Run a command of fixed work in a plain job and in one of clusterplan: how much later it begins, and how long it takes."""
    per_s = 10**6 / float(_run_work(folder, [sys.executable, "-c", WORK], 10**6)[1])
    amount = int(per_s * seconds)
    program = folder / "work.py"
    program.write_text(WORK, encoding="utf-8")
    command = [sys.executable, str(program)]
    plain = ["sbatch", "--gpus-per-node=1", "--time=10", f"--output={folder}/%j.out", "--wrap"]
    ours = [CLUSTERPLAN, "submit", "--gpus", "1", "--time", "10m", "--"]
    pairs_by_name: dict[str, list[list[float]]] = {"sbatch": [], "clusterplan submit": []}
    for turn in range(3):
        for name, pairs in pairs_by_name.items():
            path = folder / f"{name.split()[0]}-{turn}.json"
            words = [*command, str(path), str(amount)]
            submit_s = time.time()
            run_timed([*plain, f"srun {' '.join(words)}"] if name == "sbatch" else [*ours, *words])
            slurm_cluster.until(path.exists, f"{name} {turn}", within_s=120 + 10 * seconds)
            start_s, work_s = json.loads(path.read_text(encoding="utf-8"))
            pairs.append([start_s - submit_s, work_s])
    (bare_wait, bare), (wait, under) = (
        [statistics.median(values) for values in zip(*pairs, strict=True)] for pairs in pairs_by_name.values()
    )
    print(
        f"a command of {seconds:g} s: begins {wait - bare_wait:+.2f} s later than under sbatch, takes {under / bare - 1:+.2%}"
    )


def _run_work(folder: Path, command: list[str], amount: int) -> list[float]:
    result = folder / "alone.json"
    run_timed([*command, str(result), str(amount)])
    pair: list[float] = json.loads(result.read_text(encoding="utf-8"))
    return pair


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--elements", type=int, default=500)
    parser.add_argument("--work", type=float, default=10.0, metavar="SECONDS")
    arguments = parser.parse_args()
    if reason := slurm_cluster.missing():
        print(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory() as name, slurm_cluster.running(Path(name)) as cluster:
        folder = Path(name) / "bench"
        folder.mkdir()
        os.chdir(folder)
        os.environ |= {
            "SLURM_CONF": str(cluster.conf),
            "CLUSTERPLAN_HISTORY": str(folder / "history.db"),
            "CLUSTERPLAN_RUNS": str(folder / "runs"),
        }

        def cancel_all() -> None:
            cluster.ask("scancel", "--user=root")

        print_table("one job", median_s(submissions(folder, 1), arguments.runs, cancel_all))
        many = submissions(folder, arguments.elements)
        print_table(
            f"an array of {arguments.elements:,}", median_s(many, max(arguments.runs // 2, 2), cancel_all)
        )
        print_status(folder)
        print_work(folder, arguments.work)


if __name__ == "__main__":
    main()
