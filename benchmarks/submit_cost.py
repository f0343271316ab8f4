"""What submitting costs, on the test Slurm: beside plain sbatch and plain submitit, in the same run.

    python benchmarks/submit_cost.py [--runs 5] [--elements 500] [--work 10]

One job and an array are submitted held, so that nothing runs meanwhile; whole processes are timed, in turns, and
medians are printed.  Then `clusterplan status` over all those runs, with a count of the calls of Slurm's commands,
and a command of fixed work in a job of each kind.  Root alone may start the test Slurm.
"""

import argparse
import json
import os
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
ASKING = ("sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
SUBMITIT = """
import sys, submitit
executor = submitit.SlurmExecutor(sys.argv[1])
executor.update_parameters(time=10, signal_delay_s=30, array_parallelism=1, additional_parameters={"hold": True})
n = int(sys.argv[2])
executor.map_array(abs, range(n)) if n > 1 else executor.submit(abs, 1)
"""
# Additions of floats, as many as asked for; then Unix time at the beginning and the seconds they took.
WORK = """
import json, sys, time
began, start, total = time.time(), time.perf_counter(), 0.0
for _ in range(int(sys.argv[2])):
    total += 1.0
json.dump([began, time.perf_counter() - start], open(sys.argv[1] + ".part", "w"))
import os
os.replace(sys.argv[1] + ".part", sys.argv[1])
"""


def timed(command: list[str]) -> float:
    """Seconds of one process that must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.strip()}")
    return seconds


def submissions(folder: Path, count: int) -> dict[str, list[str]]:
    """One process each that submits `count` held jobs."""
    job = folder / "held.toml"
    command = ["true", "{seed}"] if count > 1 else ["true"]
    job.write_text(
        "[data]\nsamples = 1\n[training]\nbatch_size = 1\ngpus = 1\n[slurm]\nhold = true\n"
        f"[run]\ncommand = {json.dumps(command)}\n",
        encoding="utf-8",
    )
    script = folder / "held.sh"
    script.write_text("#!/bin/bash\nsrun true\n", encoding="utf-8")
    array, swept = (
        ([f"--array=0-{count - 1}%1"], ["--sweep", f"seed=1..{count}", "--parallel", "1"])
        if count > 1
        else ([], [])
    )
    held = ["--hold", "--gpus-per-node=1", "--time=10", f"--output={folder}/%A_%a.out"]
    return {
        "sbatch": ["sbatch", *held, *array, str(script)],
        "submitit": [sys.executable, "-c", SUBMITIT, str(folder / "submitit"), str(count)],
        "clusterplan submit": [CLUSTERPLAN, "submit", str(job), "--time", "10m", *swept],
    }


def compared(commands: dict[str, list[str]], runs: int, after: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            seconds[name].append(timed(command))
            after()
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(title: str, medians: dict[str, float]) -> None:
    print(title)
    ours = medians["clusterplan submit"]
    for name, seconds in medians.items():
        print(f"  {name:20s} {seconds:7.3f} s   clusterplan / this = {ours / seconds:.2f}")


def status(folder: Path) -> None:
    """`clusterplan status` over every run there is, Slurm's commands counted on their way."""
    calls, shims = folder / "calls", folder / "shims"
    shims.mkdir()
    for name in ASKING:
        if real := shutil.which(name):
            (shims / name).write_text(
                f'#!/bin/sh\necho {name} >> {calls}\nexec {real} "$@"\n', encoding="utf-8"
            )
            (shims / name).chmod(0o755)
    listed = subprocess.run([CLUSTERPLAN, "status", "--json"], capture_output=True, text=True, check=True)
    seconds = statistics.median(timed([CLUSTERPLAN, "status"]) for _ in range(3))
    before, os.environ["PATH"] = os.environ["PATH"], f"{shims}:{os.environ['PATH']}"
    timed([CLUSTERPLAN, "status"])
    os.environ["PATH"] = before
    asked = calls.read_text(encoding="utf-8").split() if calls.exists() else []
    runs = len(json.loads(listed.stdout)["runs"])
    print(
        f"status of {runs:,} runs: {seconds:.3f} s, {len(asked)} calls of Slurm ({', '.join(sorted(set(asked)))})"
    )


def work(folder: Path, seconds: float) -> None:
    """A command of fixed work in a plain job and in one of clusterplan: how much later it begins, and how long it takes."""
    per_s = 10**6 / float(_measured(folder, [sys.executable, "-c", WORK], 10**6)[1])
    amount = int(per_s * seconds)
    program = folder / "work.py"
    program.write_text(WORK, encoding="utf-8")
    command = [sys.executable, str(program)]
    plain = ["sbatch", "--gpus-per-node=1", "--time=10", f"--output={folder}/%j.out", "--wrap"]
    ours = [CLUSTERPLAN, "submit", "--gpus", "1", "--time", "10m", "--"]
    begun: dict[str, list[list[float]]] = {"sbatch": [], "clusterplan submit": []}
    for turn in range(3):
        for name, results in begun.items():
            path = folder / f"{name.split()[0]}-{turn}.json"
            words = [*command, str(path), str(amount)]
            submitted = time.time()
            timed([*plain, f"srun {' '.join(words)}"] if name == "sbatch" else [*ours, *words])
            slurm_cluster.until(path.exists, f"{name} {turn}", within_s=120 + 10 * seconds)
            began, took = json.loads(path.read_text(encoding="utf-8"))
            results.append([began - submitted, took])
    (bare_wait, bare), (wait, under) = (
        [statistics.median(values) for values in zip(*results, strict=True)] for results in begun.values()
    )
    print(
        f"a command of {seconds:g} s: begins {wait - bare_wait:+.2f} s later than under sbatch, takes {under / bare - 1:+.2%}"
    )


def _measured(folder: Path, command: list[str], amount: int) -> list[float]:
    result = folder / "alone.json"
    timed([*command, str(result), str(amount)])
    return json.loads(result.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--elements", type=int, default=500)
    parser.add_argument("--work", type=float, default=10.0, metavar="SECONDS")
    given = parser.parse_args()
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

        def forget() -> None:
            cluster.ask("scancel", "--user=root")

        table("one job", compared(submissions(folder, 1), given.runs, forget))
        many = submissions(folder, given.elements)
        table(f"an array of {given.elements:,}", compared(many, max(given.runs // 2, 2), forget))
        status(folder)
        work(folder, given.work)


if __name__ == "__main__":
    main()
