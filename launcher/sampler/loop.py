"""The sampling loop: every GPU of the job, once a second, into a sink.

It imports pynvml and the standard library only, and never disturbs the job.  Trouble becomes an event in the spool.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...errors import ClusterplanError, GpuLost, NvmlUnavailable
from ...estimator.gpu_use.reading import Event, GpuReading, Tick
from ..clock import AGREE_S, EARLIEST_S, RunClock, handed_clock, own_clock
from . import nvml
from .nvml_device import Device, GpuIdentity
from .spool import SUFFIX, SpoolSink
from .spool_items import OWN_COLUMNS
from .unread import describe_unread
from .visible_gpus import Attribution, has_gpus, select_visible

PERIOD_S = 1.0
GAP_PERIODS = 2.0  # a tick later than this is a gap


class StopFlag:
    """A flag that tells the loop to end.  It is a bare lock: threading.Event costs much more per wake-up."""

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        with contextlib.suppress(RuntimeError):  # set before
            self._unset.release()

    def is_set(self) -> bool:
        return not self._unset.locked()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it is set, as soon as it is, or after `timeout_s`."""
        if not self._unset.acquire(timeout=timeout_s):
            return False
        self._unset.release()
        return True


class StopFlagWithParent(StopFlag):
    """A flag that is also set by the first `wait` after the parent process has ended."""

    def __init__(self) -> None:
        super().__init__()
        self._parent = os.getppid()

    def wait(self, timeout_s: float) -> bool:
        if os.getppid() != self._parent:
            self.set()
        return super().wait(timeout_s)


def sample_gpus(
    devices: Sequence[Device],
    sink: Callable[[Tick | Event], None],
    stop: StopFlag,
    period_s: float = PERIOD_S,
    clock: RunClock | None = None,
) -> None:
    """Hand a tick to `sink` every `period_s` until `stop` is set; then one last tick.

    A lost GPU is one event, and is left out from then on.  Late ticks are events too, and so are steps of the node's
    clock: the times of ticks and events are by `clock`, which no step moves.
    """
    devices_by_place, clock = dict(enumerate(devices)), clock or own_clock()
    start_s = last_s = clock.now_s()
    ahead_s, ticks = clock.ahead_s(), 0
    if (wall_s := time.time()) < EARLIEST_S:
        year = time.gmtime(wall_s).tm_year
        sink(Event(start_s, "clock_wrong", f"the clock of the node says {year}: its times are wrong"))
    elif abs(ahead_s) > AGREE_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        sink(
            Event(start_s, "clock_off", f"the clock is {abs(ahead_s):,.0f} s {side} that of the run's folder")
        )
    while devices_by_place:
        is_last = stop.wait(max(start_s + ticks * period_s - clock.now_s(), 0))
        now_s = clock.now_s()
        jump_s = clock.ahead_s() - ahead_s
        if abs(jump_s) > AGREE_S:
            sink(Event(now_s, "clock_step", f"the clock jumped by {jump_s:+.1f} s"))
            ahead_s += jump_s
        if ticks and now_s - last_s > GAP_PERIODS * period_s:
            sink(Event(now_s, "gap", f"no reading for {now_s - last_s:.1f} s"))
            ticks = int((now_s - start_s) / period_s)
        readings, lost_places = read_devices(devices_by_place)
        for place in lost_places:
            uuid = devices_by_place.pop(place).identity.uuid
            sink(Event(now_s, "gpu_lost", f"{uuid} is lost", place))
        sink(Tick(now_s, tuple(readings)))
        last_s, ticks = now_s, ticks + 1
        if is_last:
            return


def read_devices(devices_by_place: Mapping[int, Device]) -> tuple[list[GpuReading], list[int]]:
    """Return a reading of each device, and the places of those that are lost."""
    readings, lost_places = [], []
    for place, device in devices_by_place.items():
        try:
            readings.append(device.read(place))
        except GpuLost:
            lost_places.append(place)
    return readings, lost_places


@contextlib.contextmanager
def sampling(sink: Callable[[Tick | Event], None], period_s: float = PERIOD_S) -> Iterator[list[GpuIdentity]]:
    """Sample the GPUs of this process into `sink` while the block runs.  Raises NvmlUnavailable.

    with sampling(ticks.append) as gpus:
        train()
    """
    with nvml.open_library() as library:
        devices, _ = select_visible(library.devices()[0], os.environ)
        stop = StopFlag()
        loop = threading.Thread(target=sample_gpus, args=(devices, sink, stop, period_s), daemon=True)
        loop.start()
        try:
            yield [device.identity for device in devices]
        finally:
            stop.set()
            loop.join()


def run(folder: Path, period_s: float, stop: StopFlag, environment: Mapping[str, str]) -> None:
    """Sample the GPUs that the job has on this node into a new spool in `folder`, until `stop` is set."""
    node = environment.get("SLURMD_NODENAME") or socket.gethostname()
    path = folder / f"{node}.{uuid4().hex[:8]}{SUFFIX}"
    clock = handed_clock(environment)
    header: dict[str, Any] = {
        "run": folder.name,
        "node": node,
        "period_s": period_s,
        "time_s": clock.now_s(),
        "steady": True,
        "metrics": OWN_COLUMNS.metrics,
    }
    try:
        with nvml.open_library() as library:
            _sample_into_spool(library, path, header, stop, environment, clock)
    except NvmlUnavailable as error:
        with contextlib.closing(SpoolSink(path, {**header, "gpus": []}, clock.now_s)) as spool:
            spool.put(Event(clock.now_s(), "no_gpu", f"no NVIDIA GPU can be read here: {error}"))
            if error.is_installed and has_gpus(environment):
                text = f"the job has GPUs, and their driver does not start ({error})"
                spool.put(Event(clock.now_s(), "driver_fails", text))


def _sample_into_spool(
    library: nvml.Library,
    path: Path,
    header: Mapping[str, Any],
    stop: StopFlag,
    environment: Mapping[str, str],
    clock: RunClock,
) -> None:
    shown, failures = library.devices()
    devices, attribution = select_visible(shown, environment)
    header = {
        **header,
        "driver": library.driver_version(),
        "attribution": attribution,
        "gpus": [{**vars(d.identity), "ring_depth": d.ring_depth()} for d in devices],
    }
    with contextlib.closing(SpoolSink(path, header, clock.now_s)) as spool:
        sink = spool.put
        for failure in failures:
            sink(Event(clock.now_s(), failure.kind, failure.text))
        if attribution is Attribution.GUESS:
            sink(
                Event(clock.now_s(), "attribution", "GPUs were chosen by position; they may be another job's")
            )
        if not devices:
            sink(Event(clock.now_s(), "no_gpu", "NVML shows no GPU of this job"))
        listener = threading.Thread(target=_listen, args=(library, devices, sink, stop, clock), daemon=True)
        listener.start()
        sample_gpus(devices, sink, stop, header["period_s"], clock)
        listener.join(timeout=2)
        sink(Event(clock.now_s(), "end", "sampling ended as asked" if stop.is_set() else "no GPU is left"))
        for text in describe_unread((device.identity, device.unread) for device in devices):
            sink(Event(clock.now_s(), "not_read", text))


def _listen(
    library: nvml.Library,
    devices: Sequence[Device],
    sink: Callable[[Tick | Event], None],
    stop: StopFlag,
    clock: RunClock,
) -> None:
    places = {d.identity.uuid: place for place, d in enumerate(devices)}
    with contextlib.suppress(ClusterplanError):
        for uuid, text in library.critical_events(devices, stop.is_set):
            sink(Event(clock.now_s(), "xid", text, places.get(uuid)))
