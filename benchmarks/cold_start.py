"""What starting the program costs: time and peak memory of whole processes, as ratios to bare Python.

    python benchmarks/cold_start.py [--runs 15] [--peers PYTHON ...]

Commands take turns, so that a machine that slows down slows all of them; medians are printed.  Estimates are made
without a history, and with one that knows two runs of the model.  The peers that estimate too, llm-analysis and accelerate, join in where this interpreter or one of PYTHON has them.
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
LEARNED = "clusterplan estimate FLAGS, of measured runs"
MODEL = ["--model", "moe-llava", "--gpu", "a100-sxm4-80gb", "--batch-size", "32"]


PEERS = {
    "llm-analysis --help": ("llm_analysis", ["-m", "llm_analysis.analysis", "--help"]),
    "accelerate estimate-memory --help": (
        "accelerate",
        ["-m", "accelerate.commands.accelerate_cli", "estimate-memory", "--help"],
    ),
}


def commands(pythons: list[str]) -> dict[str, list[str]]:
    """What is compared, bare Python first."""
    ours = str(FOLDER / "clusterplan")
    found = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "clusterplan --help": [ours, "--help"],
        "clusterplan estimate JOB": [ours, "estimate", str(JOB)],
        "clusterplan estimate JOB --gpus 1,2,4,8,16": [ours, "estimate", str(JOB), "--gpus", "1,2,4,8,16"],
        LEARNED: [ours, "estimate", *MODEL, "--samples", "1_000_000", "--gpus", "8"],
    }
    for name, (module, arguments) in PEERS.items():
        has = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        for python in pythons:
            if name not in found and subprocess.run([python, "-c", has], check=False).returncode == 0:
                found[name] = [python, *arguments]
    return found


def one_run(command: list[str], history: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one process."""
    environment = os.environ | {"CLUSTERPLAN_HISTORY": str(history)}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}")
    return elapsed, usage.ru_maxrss / 1024


def learn(history: Path) -> None:
    """Two runs of the model, on 1 and 2 GPUs."""
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
    given = parser.parse_args()
    compared = commands([sys.executable, *given.peers])
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in compared}
    with tempfile.TemporaryDirectory() as made:
        none, known = Path(made) / "none.db", Path(made) / "history.db"
        learn(known)
        for turn in range(given.runs + 1):  # the first fills the page cache and writes .pyc
            for name, command in compared.items():
                took = one_run(command, known if name == LEARNED else none)
                if turn:
                    measured[name].append(took)

    floor = statistics.median(t for t, _ in measured["python -c pass"])
    print(f"{'command':<44} {'median':>9} {'min':>9} {'x python':>9} {'peak MiB':>9}")
    for name, samples in measured.items():
        times = [t for t, _ in samples]
        median, memory = statistics.median(times), statistics.median(m for _, m in samples)
        print(
            f"{name:<44} {median * 1e3:>6.0f} ms {min(times) * 1e3:>6.0f} ms {median / floor:>9.1f} {memory:>9.0f}"
        )
    missing = [name for name in PEERS if name not in compared]
    if missing:
        print(f"not installed, so not compared: {', '.join(missing)}")


if __name__ == "__main__":
    main()
