"""How `clusterplan serve` bears many people: 50 clients who think for 5 s between pages, on a history of 10,000 runs.

    python benchmarks/serve_load.py [--runs 10000] [--clients 50] [--seconds 60] [--think 5]

Prints the p50 and p95 of the time to a whole answer by kind of page, errors, the memory of the server, and whether the
history file is the same byte by byte.  The clients run on the same machine.
"""

import argparse
import asyncio
import hashlib
import os
import random
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from clusterplan.estimator.history.runs import History

GPUS, HOUR_S = 8, 3600
T0 = 1_760_000_000
USERS = [f"user{n:02d}" for n in range(40)]
MODELS = ["moe-llava-phi2", "qwen2.5-7b", "llama3-8b", "vit-l", "whisper-small", "resnet50"]
STATES = ["completed"] * 7 + ["failed", "timed_out", "out_of_memory", "cancelled"]
PAGES = "/-/clusterplan/"
START_S = 10  # of the server: the pages that sum up the history are made, and modules load
JOB = "samples=1000000&batch_size=32&gpus=1,2,4,8,16&samples_per_s_per_gpu=5.5"


def make_history(path: Path, runs: int) -> list[str]:
    """Write runs of 8 GPUs and one hour as the importer would, without raw readings; return their ids."""
    History(path).close()
    chance = random.Random(1)
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    names = []
    for number in range(runs):
        model = chance.choice(MODELS)
        run, begin = f"{model}-{number:05d}", T0 + number * 600
        names.append(run)
        db.execute(
            "INSERT INTO run (run, kind, name, model, user, folder, began_s, started_s, ended_s, state, partition, trained_s,"
            " steps_planned, steps_done) VALUES (?, 'submit', ?, ?, ?, '/runs', ?, ?, ?, ?, ?, ?, 1000, 1000)",
            (
                *(run, model, model, chance.choice(USERS), begin, begin + 60, begin + 60 + HOUR_S),
                *(chance.choice(STATES), chance.choice(["gpu", "long", "debug"]), HOUR_S),
            ),
        )
        db.execute("INSERT INTO node (run, node, period_s) VALUES (?, 'n1', 1.0)", (run,))
        step_s = chance.uniform(0.5, 2)
        db.execute(
            "INSERT INTO measurement (run, model, gpu, nodes, gpus, gpus_per_node, batch_size, accumulation, model_parallel,"
            " precision, step_time_s, n_steps, source, time_s) VALUES (?, ?, 'H100-SXM-80GB', 1, 8, 8, 32, 1, 1, 'bf16', ?, 1000,"
            " 'run', ?)",
            (run, model, step_s, begin),
        )
        db.execute(
            "INSERT INTO estimate (run, created_s, step_time_p10_s, step_time_p50_s, step_time_p90_s, wall_clock_p10_s,"
            " wall_clock_p50_s, wall_clock_p90_s, wall_clock_p95_s, source, source_kind)"
            " VALUES (?, ?, 0.8, 1, 1.2, 3000, 3600, 4200, 4500, 'measured', 'measured')",
            (run, begin),
        )
        for gpu in range(GPUS):
            uuid, busy = f"GPU-{number % 64 * GPUS + gpu}", chance.uniform(30, 99)
            db.execute("INSERT OR IGNORE INTO gpu (uuid, name) VALUES (?, 'NVIDIA H100 80GB HBM3')", (uuid,))
            cursor = db.execute("INSERT INTO series (run, uuid) VALUES (?, ?)", (run, uuid))
            rows = [
                (cursor.lastrowid, width, begin + 60 + at, width, width * 6, busy * 1000, 100)
                for width in ((60, 600) if number > runs - 500 else (600,))  # the minutes of the latest
                for at in range(0, HOUR_S, width)
            ]
            db.executemany(
                "INSERT INTO rollup_row (series, width_s, time_s, ticks, utilisation_samples, utilisation_mean, utilisation_max)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute(
                "INSERT INTO run_gpu (run, uuid, node, place, gpu_index, first_s, last_s, ticks, utilisation_mean, energy_j,"
                " power_mean_w, idle_s) VALUES (?, ?, 'n1', ?, ?, ?, ?, ?, ?, 1e6, 400, ?)",
                (
                    run,
                    uuid,
                    gpu,
                    str(gpu),
                    begin + 60,
                    begin + 60 + HOUR_S,
                    HOUR_S,
                    busy,
                    chance.uniform(0, 600),
                ),
            )
            db.execute(
                "INSERT INTO spool_gpu (run, uuid, spool, first_s, last_s) VALUES (?, ?, 'n1.spool', ?, ?)",
                (run, uuid, begin + 60, begin + 60 + HOUR_S),
            )
    db.commit()
    db.close()
    return names


def choose_page(chance: random.Random, runs: list[str]) -> tuple[str, str]:
    """Return a kind of page and an address of it, as people might choose."""
    recent = quote(chance.choice(runs[-1000:]))
    choices = (
        ("overview", PAGES),
        ("runs", f"{PAGES}runs?offset={50 * chance.randrange(20)}"),
        ("runs filtered", f"{PAGES}runs?user={chance.choice(USERS)}&model={chance.choice(MODELS)}"),
        ("runs by utilisation", f"{PAGES}runs?sort=utilisation&order={chance.choice(['asc', 'desc'])}"),
        ("run", f"{PAGES}run/{recent}"),
        ("run", f"{PAGES}run/{recent}"),
        ("comparison", f"{PAGES}compare?first={recent}&second={quote(chance.choice(runs))}"),
        ("estimate", f"{PAGES}estimate?{JOB}&model={chance.choice(MODELS)}"),
        ("GPU types", f"{PAGES}gpus"),
        ("runs.json", f"{PAGES}runs.json?limit=100&offset={chance.randrange(5000)}"),
        ("metrics", f"{PAGES}metrics"),
        ("Datasette's table", f"/history/run?_sort_desc=began_s&user={chance.choice(USERS)}"),
    )
    return chance.choice(choices)


async def visit(
    address: str,
    token: str,
    runs: list[str],
    arguments: argparse.Namespace,
    times: dict[str, list[float]],
    late: list[float],
    errors: list[str],
    seed: int,
) -> None:
    """Be one person until the time is over."""
    chance = random.Random(seed)
    start = time.monotonic()
    end = start + arguments.seconds
    await asyncio.sleep(chance.uniform(0, arguments.think))
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as client:
        while time.monotonic() < end:
            kind, path = choose_page(chance, runs)
            began = time.monotonic()
            answer = await client.get(path)
            times[kind].append(time.monotonic() - began)
            if began - start > START_S:
                late.append(times[kind][-1])
            if answer.status_code != 200:
                errors.append(f"{answer.status_code} {path}: {answer.text[:200]}")
            await asyncio.sleep(chance.uniform(0.5, 1.5) * arguments.think)


def peak_mib(pid: int) -> float:
    """Return the most memory that a process had in it at once."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cpu_s(pid: int) -> float:
    """Return the seconds that all threads of a process computed."""
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def run_clients(
    address: str, token: str, runs: list[str], arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], list[float], list[str]]:
    times, late, errors = defaultdict[str, list[float]](list), list[float](), list[str]()
    people = (
        visit(address, token, runs, arguments, times, late, errors, seed) for seed in range(arguments.clients)
    )
    await asyncio.gather(*people)
    return times, late, errors


def show_times(name: str, seconds: list[float]) -> None:
    p95 = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    print(f"| {name} | {len(seconds)} | {statistics.median(seconds) * 1000:.0f} | {p95 * 1000:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        history, token = folder / "history.db", secrets.token_urlsafe()
        runs = make_history(history, arguments.runs)
        before = hashlib.sha256(history.read_bytes()).digest()
        token_file = folder / "token"
        token_file.write_text(token, encoding="ascii")
        token_file.chmod(0o600)
        environment: dict[str, Any] = {**os.environ, "CLUSTERPLAN_HISTORY": str(history)}
        command = [
            sys.executable,
            "-m",
            "clusterplan",
            "serve",
            "--port",
            "0",
            "--print-url",
            "--token-file",
            str(token_file),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            address = server.stdout.readline().partition("/-/")[0]
            began = os.times()
            times, late, errors = asyncio.run(run_clients(address, token, runs, arguments))
            own_s = os.times().user - began.user
            memory, busy_s = peak_mib(server.pid), cpu_s(server.pid)
            server.terminate()
        print(
            f"{arguments.runs:,} runs ({history.stat().st_size / 2**20:.0f} MiB), {arguments.clients} clients, {arguments.seconds:.0f} s"
        )
        print("\n| page | requests | p50, ms | p95, ms |\n|---|---|---|---|")
        for name in sorted(times):
            show_times(name, times[name])
        show_times("all", [each for part in times.values() for each in part])
        show_times(f"all after {START_S} s", late)
        is_same = hashlib.sha256(history.read_bytes()).digest() == before
        print(
            f"\nerrors: {len(errors)}; memory: {memory:.0f} MiB at most; the file is {'the same' if is_same else 'CHANGED'}; load of the machine {os.getloadavg()[0]:.1f}; the server took {busy_s:.1f} s of a core, the clients {own_s:.1f} s"
        )
        for line in errors[:5]:
            print(line)


if __name__ == "__main__":
    main()
