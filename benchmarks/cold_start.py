"""Time the start of the program: seconds and peak memory of whole processes, as ratios to bare Python.

    python benchmarks/cold_start.py [--runs 15] [--peers PYTHON ...]

Commands take turns, so that a machine that slows down slows all of them; medians are printed.  Estimates run without
a history, and with one that has two runs of the model.  Peers that estimate too, llm-analysis and accelerate, take
part where this interpreter or one of PYTHON has them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(sys.executable).parent
JOB = Path(__file__).parent.parent / "examples" / "moe-llava" / "seed.toml"
FROM_RUNS = "clusterplan estimate FLAGS, from measured runs"
MODEL = ["--model", "moe-llava", "--gpu", "a100-sxm4-80gb", "--batch-size", "32"]


PEERS = {
    "llm-analysis --help": ("llm_analysis", ["-m", "llm_analysis.analysis", "--help"]),
    "accelerate estimate-memory --help": (
        "accelerate",
        ["-m", "accelerate.commands.accelerate_cli", "estimate-memory", "--help"],
    ),
}


def commands(pythons: list[str]) -> dict[str, list[str]]:
    """Return each command by its name, bare Python first."""
    program = str(FOLDER / "clusterplan")
    by_name = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "clusterplan --help": [program, "--help"],
        "clusterplan estimate JOB": [program, "estimate", str(JOB)],
        "clusterplan estimate JOB --gpus 1,2,4,8,16": [program, "estimate", str(JOB), "--gpus", "1,2,4,8,16"],
        FROM_RUNS: [program, "estimate", *MODEL, "--samples", "1_000_000", "--gpus", "8"],
    }
    for name, (module, arguments) in PEERS.items():
        probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        for python in pythons:
            if name not in by_name and subprocess.run([python, "-c", probe], check=False).returncode == 0:
                by_name[name] = [python, *arguments]
    return by_name


def run_once(command: list[str], history: Path) -> tuple[float, float]:
    """Run a process; return its seconds and peak MiB."""
    environment = os.environ | {"CLUSTERPLAN_HISTORY": str(history)}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}")
    return elapsed, usage.ru_maxrss / 1024


def add_runs(history: Path) -> None:
    """Add two runs of the model to a history, on 1 and 2 GPUs."""
    environment = os.environ | {
        "CLUSTERPLAN_HISTORY": str(history),
        "CLUSTERPLAN_RUNS": str(history.parent / "runs"),
    }
    for gpus, step_s in ((1, 2.0), (2, 2.1)):
        shape = ["--gpus", str(gpus), "--step-time", str(step_s)]
        command = [str(FOLDER / "clusterplan"), "history", "add", *MODEL, *shape]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--peers", nargs="*", default=[], metavar="PYTHON")
    arguments = parser.parse_args()
    by_name = commands([sys.executable, *arguments.peers])
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in by_name}
    with tempfile.TemporaryDirectory() as folder:
        no_history, history = Path(folder) / "none.db", Path(folder) / "history.db"
        add_runs(history)
        for turn in range(arguments.runs + 1):  # the first fills the page cache and writes .pyc
            for name, command in by_name.items():
                result = run_once(command, history if name == FROM_RUNS else no_history)
                if turn:
                    results[name].append(result)

    floor = statistics.median(t for t, _ in results["python -c pass"])
    print(f"{'command':<44} {'median':>9} {'min':>9} {'x python':>9} {'peak MiB':>9}")
    for name, pairs in results.items():
        times = [t for t, _ in pairs]
        median, memory = statistics.median(times), statistics.median(m for _, m in pairs)
        print(
            f"{name:<44} {median * 1e3:>6.0f} ms {min(times) * 1e3:>6.0f} ms {median / floor:>9.1f} {memory:>9.0f}"
        )
    missing = [name for name in PEERS if name not in by_name]
    if missing:
        print(f"not installed, so not compared: {', '.join(missing)}")


if __name__ == "__main__":
    main()
