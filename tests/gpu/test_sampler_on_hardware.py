"""The sampler on a real NVIDIA GPU: `make gpu`.  It needs pytest and pynvml; with torch the GPU has work to do.

The figures that it prints belong into docs/benchmarks/sampler-cost.md.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clusterplan.errors import NvmlUnavailable

pynvml = pytest.importorskip("pynvml")

from clusterplan.launcher.sampler import nvml  # noqa: E402
from clusterplan.launcher.sampler.spool_reader import read_node_records  # noqa: E402

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).parent.parent.parent
SECONDS, CALLS = 20, 200
WORK = """
import torch
a = torch.randn(8192, 8192, device="cuda")
print("ready", flush=True)
while True:
    a @ a
    torch.cuda.synchronize()
"""


@pytest.fixture(scope="module")
def device() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        try:
            library = stack.enter_context(nvml.open_library())
        except NvmlUnavailable as error:
            pytest.skip(f"no NVIDIA GPU here: {error}")
        yield library.devices()[0][0]


@pytest.fixture(scope="module")
def busy() -> Iterator[None]:
    """A torch job on the GPU while the tests run; without torch the GPU stays as it is."""
    pytest.importorskip("torch")
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "ready\n"
        yield
        job.kill()


def median_us(call: Any) -> float:
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def test_the_time_of_a_call(device: Any) -> None:
    calls = {
        ", ".join(name for name, _ in query.metrics): partial(query.function, *query.arguments)
        for query in device._queries
    } | {
        f"{len(device._fields)} fields": lambda: device._read_fields({}),
        f"{len(device._gpm_ids)} metrics of GPM": lambda: device._read_gpm({}),
        "the ring": device.read_ring,
        "a whole reading": lambda: device.read(0),
    }
    print(f"\n{device.identity.name}, compute capability {device.identity.compute_capability}")
    for name, call in calls.items():
        try:
            print(f"  {name}: {median_us(call):.0f} us")
        except pynvml.NVMLError as error:
            print(f"  {name}: {error}")
    for name, reason in sorted(device.unread.items()):
        print(f"  {name}: {reason}")
    assert device.read(0).memory_used_bytes


def test_the_driver_keeps_samples_of_its_own(device: Any) -> None:
    device._ring_last_us = 0
    samples = device.read_ring()
    if not samples:
        pytest.skip("the driver keeps no samples of utilisation")
    span_s = samples[0][0]
    gap_ms = 1000 * span_s / max(len(samples) - 1, 1)
    print(f"\n  ring: {len(samples)} samples of {gap_ms:.0f} ms, {span_s:.1f} s")
    assert all(0 <= percent <= 100 for _, percent in samples)
    assert span_s > 1, "a tick a second would miss samples"


@pytest.mark.usefixtures("busy")
def test_a_torch_job_is_seen_and_costs_this_much_to_watch(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "clusterplan.launcher.sampler", str(tmp_path)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}) as sampler:
        time.sleep(3)  # start-up is not counted
        before = cpu_s(sampler.pid)
        time.sleep(SECONDS)
        hourly = (cpu_s(sampler.pid) - before) / SECONDS * 3600
        memory = Path(f"/proc/{sampler.pid}/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]
        sampler.send_signal(signal.SIGTERM)
    (record,) = read_node_records(tmp_path)
    ticks = list(record.ticks())
    last = ticks[-1].readings[0]
    print(f"\n  sampler: {hourly:.1f} CPU s/hour, {int(memory) / 1024:.1f} MiB; {last}")
    print(
        f"  GPM permitted: {last.tensor_active is not None}; ring depth {record.header['gpus'][0]['ring_depth']}"
    )
    ring = [percent for tick in ticks[5:] for _, percent in tick.readings[0].ring]
    assert statistics.fmean(ring or [last.utilisation_percent]) > 80
    assert last.processes


def cpu_s(pid: Any) -> Any:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9
