"""Children of benchmarks/fault_kills.py that write until they are killed, and say what was acknowledged."""

import ctypes
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusterplan.errors import ClusterplanError
from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.launcher.in_training.progress_file import open_progress_file
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

T0 = 1_700_000_000.0
GPUS, NODES = 2, ("n0", "n1")
_NEW_UTS = 0x04000000  # CLONE_NEWUTS of sched.h


@dataclass(frozen=True)
class Child:
    pid: int
    pipe: int

    def kill(self) -> bytes:
        """Kill it; return all that it has said."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        with os.fdopen(self.pipe, "rb") as file:
            return file.read()


def start(work: Callable[[int], None]) -> Child:
    """Run `work` in a child, with the end of a pipe to write to."""
    end, pipe = os.pipe()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            os.close(end)
            work(pipe)
            code = 0
        except BaseException as error:  # noqa: BLE001  a child must not go on as its parent
            with suppress(OSError):
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(code)
    os.close(pipe)
    return Child(pid, end)


def become_host(name: str) -> None:
    """Give this process a host name of its own, where it may have one."""
    if ctypes.CDLL(None).unshare(_NEW_UTS) == 0:
        socket.sethostname(name)


def readings_at(tick: int) -> tuple[GpuReading, ...]:
    return tuple(
        GpuReading(g, utilisation_percent=tick % 101, power_mw=1000, energy_mj=tick * 1000)
        for g in range(GPUS)
    )


def write_spool(folder: Path, node: str, pipe: int) -> None:
    become_host(node)
    gpus = [{"uuid": f"{folder.name[:9]}-{node}-{g}"} for g in range(GPUS)]
    header = {"run": folder.name, "node": node, "period_s": 1.0, "gpus": gpus}
    while True:
        try:
            spool = SpoolWriter(folder / f"{node}.{os.urandom(4).hex()}.spool", header)
            break
        except ClusterplanError:  # the disk is full
            time.sleep(0.005)
    for tick in range(10**9):
        try:
            spool.append(encode(Tick(T0 + tick, readings_at(tick))))
        except ClusterplanError:
            time.sleep(0.005)
            continue
        os.write(pipe, struct.pack("<I", tick))


def write_progress(folder: Path, pipe: int) -> None:
    os.environ["CLUSTERPLAN_RUN_FOLDER"] = str(folder)
    file = open_progress_file()
    for step in range(1, 10**9):
        line = {
            "kind": "steps",
            "time_s": T0 + step,
            "step": step,
            "steps": 1,
            "seconds": 1.0,
            "longest_s": 1.0,
        }
        data = json.dumps(line).encode() + b"\n"
        if file is not None and os.write(file, data) == len(data):
            os.write(pipe, struct.pack("<I", step))


def acknowledged_numbers(said: bytes) -> list[int]:
    return [number for (number,) in struct.iter_unpack("<I", said[: len(said) // 4 * 4])]
