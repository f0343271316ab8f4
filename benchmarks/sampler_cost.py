"""The cost of sampling: CPU seconds per sampled hour, and peak memory, beside peers on the same fake GPUs.

    python benchmarks/sampler_cost.py [--rounds 5] [--seconds 20] [--gpus 8]

Every program samples at its true cadence of 1 Hz, all at the same time; start-up is not counted.  A round starts all
of them anew.  The figures, and the ratios, are medians over the rounds.  The driver is tests/fakenvml, which answers
at once: the time of a real driver comes on top in every row, in proportion to the calls.  gpustat and nvitop take part
if they are installed.
"""

import argparse
import importlib.util
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import fake_nvml

from clusterplan.launcher.sampler.spool_reader import read_spool

WARM_UP_S = 3.0

LOOP = """
import sys, time
{setup}
end = time.monotonic() + float(sys.argv[1])
due = time.monotonic()
while time.monotonic() < end:
    {tick}
    due += 1
    time.sleep(max(due - time.monotonic(), 0))
"""
MINIMAL = """
import pynvml
pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
def tick():
    for h in handles:
        pynvml.nvmlDeviceGetUtilizationRates(h), pynvml.nvmlDeviceGetMemoryInfo(h), pynvml.nvmlDeviceGetPowerUsage(h)
"""
MINIMAL_LOOP, COLLECTOR = "minimal pynvml loop (3 calls)", "nvitop ResourceMetricCollector"
PEERS = {
    MINIMAL_LOOP: ("pynvml", MINIMAL, "tick()"),
    "gpustat new_query": ("gpustat", "import gpustat", "gpustat.new_query()"),
    COLLECTOR: (
        "nvitop",
        "from nvitop import Device, ResourceMetricCollector as Collector\n"  # noqa: ISC004
        "collector = Collector(Device.all(), interval=1.0); collector.start('run')",
        "collector.collect()",
    ),
}
# A driver blocks while it waits for events.  The fake polls, at the cost of the sampler: so it has no events.
SCENARIO = """
gpu count={gpus}
wave gpu=* kind=square period=10 duty=0.7 hi=97 lo=4
proc gpu=* pid=4242 mem_gib=40
fault fn=nvmlEventSetCreate code=3
"""
SAMPLER = "clusterplan sampler (all metrics)"


def start(name: str, seconds: float, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    if name == SAMPLER:
        run_folder = Path(tempfile.mkdtemp(prefix="run", dir=folder))
        command = [sys.executable, "-P", "-m", "clusterplan.launcher.sampler", str(run_folder)]
    else:
        _, setup, tick = PEERS[name]
        command = [sys.executable, "-c", LOOP.format(setup=setup, tick=tick), str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cpu_s(process: "subprocess.Popen[bytes]") -> float:
    """Return the CPU seconds of all threads of a running process, to the nanosecond."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def measure(
    names: list[str], seconds: float, folder: Path, environment: dict[str, str]
) -> dict[str, tuple[float, float]]:
    """Return CPU seconds per hour and peak MiB of each program; they run side by side, start-up is not counted."""
    running = {name: start(name, seconds + 2 * WARM_UP_S, folder, environment) for name in names}
    time.sleep(WARM_UP_S)
    before = {name: cpu_s(process) for name, process in running.items()}
    time.sleep(seconds)
    after = {name: cpu_s(process) for name, process in running.items()}
    costs = {}
    for name, process in running.items():
        if name == SAMPLER:
            process.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        costs[name] = ((after[name] - before[name]) / seconds * 3600, usage.ru_maxrss / 1024)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--gpus", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        library = fake_nvml.build(folder)
        if library is None:
            sys.exit("no C compiler to build the fake NVML library with")
        scenario = folder / "scenario"
        scenario.write_text(SCENARIO.format(gpus=options.gpus))
        environment = fake_nvml.environment(library, scenario, FAKE_NVML_T0=time.time())
        names = [*(n for n, (module, _, _) in PEERS.items() if importlib.util.find_spec(module)), SAMPLER]
        rounds = [measure(names, options.seconds, folder, environment) for _ in range(options.rounds)]
        spool = next(folder.glob("run*/*.spool"))
        per_reading = spool.stat().st_size / options.gpus / read_spool(spool).tick_count
    print(f"{options.gpus} fake GPUs, 1 Hz, medians of {options.rounds} rounds of {options.seconds:g} s\n")
    print(f"{'program':<34} {'CPU s/hour':>10} {'x minimal':>10} {'x nvitop':>9} {'peak MiB':>9}")
    for name in names:
        hourly, memory = (
            statistics.median(values) for values in zip(*(r[name] for r in rounds), strict=True)
        )
        ratios = [
            statistics.median(r[name][0] / r[other][0] for r in rounds) if other in names else float("nan")
            for other in (MINIMAL_LOOP, COLLECTOR)
        ]
        print(f"{name:<34} {hourly:>10.2f} {ratios[0]:>10.2f} {ratios[1]:>9.3f} {memory:>9.1f}")
    print(f"\nspool: {per_reading:.0f} bytes per GPU and second, ring samples included")


if __name__ == "__main__":
    main()
