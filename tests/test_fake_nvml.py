"""The fake NVML library behaves as the driver's does, to the real pynvml and to other people's monitors."""

import ctypes
import importlib.util
import itertools
import re
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_nvml as fake
import pynvml as nv
import pytest
from conftest import Command, StartScenario

ENERGY = nv.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
POWER_NOW = nv.NVML_FI_DEV_POWER_INSTANT
EVERY_LINK = 0xFFFFFFFF


def handles() -> list[Any]:
    return [nv.nvmlDeviceGetHandleByIndex(i) for i in range(nv.nvmlDeviceGetCount())]


def field(handle: Any, *ids: Any) -> list[Any]:
    """The values of a batch of fields, None where the field's own code is an error."""
    values = nv.nvmlDeviceGetFieldValues(handle, list(ids))
    kinds = {nv.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal", nv.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal"}
    return [None if value.nvmlReturn else getattr(value.value, kinds[value.valueType]) for value in values]


def ring(handle: Any, last_us: int = 0, kind: Any = nv.NVML_GPU_UTILIZATION_SAMPLES) -> list[Any]:
    _, samples = nv.nvmlDeviceGetSamples(handle, kind, last_us)
    return [(sample.timeStamp, sample.sampleValue.uiVal) for sample in samples]


# What the GPUs are


def test_eight_idle_h100_without_a_scenario(gpus: StartScenario) -> None:
    gpus()
    assert len(handles()) == 8
    (first, *_) = handles()
    assert nv.nvmlDeviceGetName(first) == "NVIDIA H100 80GB HBM3"
    assert nv.nvmlDeviceGetCudaComputeCapability(first) == (9, 0)
    assert nv.nvmlDeviceGetUtilizationRates(first).gpu == 0
    assert nv.nvmlDeviceGetPowerUsage(first) == 70_000
    assert nv.nvmlDeviceGetCurrentClocksEventReasons(first) == nv.nvmlClocksEventReasonGpuIdle


def test_the_library_is_found_by_its_name(run_on_gpus: Command) -> None:
    done = run_on_gpus(
        "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount(), pynvml.nvmlSystemGetDriverVersion())",
        'gpu count=2 name="NVIDIA L4"\ndriver version=550.54.15',
    )
    assert done.stdout == "2 550.54.15\n"


def test_gpus_of_different_kinds_on_one_node(gpus: StartScenario) -> None:
    gpus('gpu count=1 name="Tesla V100" cc=7.0 mem_gib=16 power_w=300\ngpu count=2')
    assert [nv.nvmlDeviceGetArchitecture(h) for h in handles()] == [5, 9, 9]
    assert nv.nvmlDeviceGetMemoryInfo(handles()[0]).total == 16 * 2**30


def test_no_gpu_at_all(gpus: StartScenario) -> None:
    gpus("gpu count=0")
    assert nv.nvmlDeviceGetCount() == 0


def test_a_gpu_is_found_by_uuid_and_bus(gpus: StartScenario) -> None:
    gpus()
    for handle in handles():
        bus = nv.nvmlDeviceGetPciInfo(handle).busId
        uuid = nv.nvmlDeviceGetUUID(handle)
        assert re.fullmatch(r"GPU(-[0-9a-f]+){5}", uuid)
        assert nv.nvmlDeviceGetIndex(nv.nvmlDeviceGetHandleByUUID(uuid)) == nv.nvmlDeviceGetIndex(handle)
        assert nv.nvmlDeviceGetIndex(nv.nvmlDeviceGetHandleByPciBusId(bus)) == nv.nvmlDeviceGetIndex(handle)


def test_nodes_differ_in_their_uuids(gpus: StartScenario) -> None:
    names = set()
    for node in ("node1", "node2", "node1"):
        gpus(SLURMD_NODENAME=node)
        names |= {nv.nvmlDeviceGetUUID(h) for h in handles()}
        nv.nvmlShutdown()
    assert len(names) == 16
    for _ in range(3):
        nv.nvmlInit()  # the fixture shuts down what it started


def test_a_cgroup_renumbers_but_keeps_uuid_and_minor(gpus: StartScenario) -> None:
    gpus()
    uuids = [nv.nvmlDeviceGetUUID(h) for h in handles()]
    nv.nvmlShutdown()
    gpus(FAKE_NVML_VISIBLE="3,5")
    assert [nv.nvmlDeviceGetIndex(h) for h in handles()] == [0, 1]
    assert [nv.nvmlDeviceGetMinorNumber(h) for h in handles()] == [3, 5]
    assert [nv.nvmlDeviceGetUUID(h) for h in handles()] == [uuids[3], uuids[5]]
    with pytest.raises(nv.NVMLError_NotFound):
        nv.nvmlDeviceGetHandleByUUID(uuids[0])
    nv.nvmlInit()


# Utilisation


@pytest.mark.parametrize(
    ("wave", "true_mean", "polled_error", "ring_error"),
    [("period=1 duty=0.5 hi=96 lo=0", 48, 40, 1), ("period=4 duty=0.6 hi=97 lo=2", 59, 3, 1)],
)
def test_polling_aliases_with_the_training_step_and_the_ring_does_not(
    gpus: StartScenario, wave: str, true_mean: int, polled_error: int, ring_error: int
) -> None:
    move = gpus(f"gpu count=1\nwave kind=square {wave}")
    (handle,) = handles()
    polled, drained, last = [], [], 0
    for second in range(1, 41):
        move(second)
        polled.append(nv.nvmlDeviceGetUtilizationRates(handle).gpu)
        if second % 5 == 0:
            drained += ring(handle, last)
            last = drained[-1][0]
    stamps = [stamp for stamp, _ in drained]
    assert abs(statistics.mean(polled) - true_mean) >= polled_error
    assert statistics.mean(level for _, level in drained) == pytest.approx(true_mean, abs=ring_error)
    assert len(stamps) == len(set(stamps)) == 240
    assert max(b - a for a, b in itertools.pairwise(stamps)) <= 166_667


def test_the_ring_forgets_what_is_older_than_its_depth(gpus: StartScenario) -> None:
    gpus("gpu count=1", now=100)
    samples = ring(handles()[0])
    assert len(samples) == 100
    assert samples[-1][0] == (fake.T0 + 100) * 1_000_000
    assert samples[0][0] == pytest.approx((fake.T0 + 100 - 99 / 6) * 1e6, abs=1)


def test_the_ring_has_nothing_new(gpus: StartScenario) -> None:
    move = gpus("gpu count=1", now=10)
    (handle,) = handles()
    last = ring(handle)[-1][0]
    move(10.1)
    with pytest.raises(nv.NVMLError_NotFound):
        ring(handle, last)
    move(10.4)
    assert len(ring(handle, last)) == 2


def test_the_ring_of_another_product(gpus: StartScenario) -> None:
    # A H100 in MIG mode had 120 samples of 20 ms, in units of 1/10,000 per cent.
    gpus("gpu count=1 ring=120 ring_ms=20 ring_scale=10000\nwave hi=29", now=100)
    samples = ring(handles()[0])
    assert len(samples) == 120
    assert samples[-1][0] - samples[0][0] == 119 * 20_000
    assert {level for _, level in samples} == {290_000}


def test_rings_of_power_and_memory(gpus: StartScenario) -> None:
    gpus("gpu count=1\nwave hi=100", now=100)
    (handle,) = handles()
    assert {level for _, level in ring(handle, kind=nv.NVML_TOTAL_POWER_SAMPLES)} == {637_000}
    assert {level for _, level in ring(handle, kind=nv.NVML_MEMORY_UTILIZATION_SAMPLES)} == {45}
    with pytest.raises(nv.NVMLError_NotSupported):
        ring(handle, kind=nv.NVML_PROCESSOR_CLK_SAMPLES)


def test_waves_follow_each_other_on_one_gpu(gpus: StartScenario) -> None:
    move = gpus("gpu count=2\nwave gpu=1 hi=90 until=60\nwave gpu=1 hi=30 at=60 until=120 mem_used=0.9")
    levels = []
    for t in (59, 60.3, 120.3):
        move(t)
        levels.append([nv.nvmlDeviceGetUtilizationRates(h).gpu for h in handles()])
    assert levels == [[0, 90], [0, 30], [0, 0]]
    move(100)
    memory = [nv.nvmlDeviceGetMemoryInfo(h, version=nv.nvmlMemory_v2) for h in handles()]
    assert [round(m.used / m.total, 3) for m in memory] == [0.55, 0.9]


def test_a_trace_from_a_csv_file(gpus: StartScenario, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("seconds,per cent\n0,10\n2,80\n4,20\n", encoding="utf-8")
    move = gpus("gpu count=1\nwave csv=trace.csv at=10")
    levels = []
    for t in (5, 11, 13, 99):
        move(t)
        levels.append(nv.nvmlDeviceGetUtilizationRates(handles()[0]).gpu)
    assert levels == [0, 10, 80, 20]


def test_a_sine_has_the_mean_of_its_ends(gpus: StartScenario) -> None:
    move = gpus("gpu count=1\nwave kind=sine period=0.1 hi=80 lo=20", now=50)
    assert nv.nvmlDeviceGetUtilizationRates(handles()[0]).gpu == 50
    move(50.02)
    assert nv.nvmlDeviceGetUtilizationRates(handles()[0]).gpu == 50


# Power and energy


def test_energy_is_the_integral_of_power_over_an_hour(gpus: StartScenario) -> None:
    move = gpus(
        "gpu count=1\nwave kind=square period=7 duty=0.3 hi=95 lo=5 until=1800\nwave kind=sine at=1800"
    )
    (handle,) = handles()
    joules = 0
    for second in range(1, 3601):
        move(second)
        joules += nv.nvmlDeviceGetPowerUsage(handle) / 1000  # the mean of the last second
    assert nv.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000 == pytest.approx(joules, rel=1e-5)
    assert field(handle, ENERGY) == [nv.nvmlDeviceGetTotalEnergyConsumption(handle)]


def test_old_gpus_count_no_energy(gpus: StartScenario) -> None:
    gpus("gpu count=1 cc=6.0", now=5)
    with pytest.raises(nv.NVMLError_NotSupported):
        nv.nvmlDeviceGetTotalEnergyConsumption(handles()[0])


def test_a_hung_collective_looks_busy_and_draws_little(gpus: StartScenario) -> None:
    gpus("gpu count=1\nwave hi=100 watts=90", now=100)
    (handle,) = handles()
    assert nv.nvmlDeviceGetUtilizationRates(handle).gpu == 100
    assert nv.nvmlDeviceGetPowerUsage(handle) == 90_000
    assert field(handle, POWER_NOW) == [90_000]


# Faults


def test_a_lost_gpu_is_lost_to_every_call_and_the_others_go_on(gpus: StartScenario) -> None:
    move = gpus("fault gpu=2 at=5 code=15", now=4.9)
    devices = handles()
    assert nv.nvmlDeviceGetUtilizationRates(devices[2]).gpu == 0
    move(5)
    with pytest.raises(nv.NVMLError_GpuIsLost):
        nv.nvmlDeviceGetUtilizationRates(devices[2])
    with pytest.raises(nv.NVMLError_GpuIsLost):
        nv.nvmlDeviceGetHandleByIndex(2)
    assert nv.nvmlDeviceGetUtilizationRates(devices[3]).gpu == 0


def test_a_fault_passes(gpus: StartScenario) -> None:
    move = gpus("fault fn=nvmlDeviceGetPower at=1 until=2 code=10", now=1.5)
    (handle, *_) = handles()
    with pytest.raises(nv.NVMLError_Timeout):
        nv.nvmlDeviceGetPowerUsage(handle)
    assert nv.nvmlDeviceGetUtilizationRates(handle).gpu == 0
    move(2)
    assert nv.nvmlDeviceGetPowerUsage(handle) == 70_000


def test_one_field_of_a_batch_is_not_supported(gpus: StartScenario) -> None:
    gpus("fault gpu=1 fn=field:186 code=3\nfault gpu=1 fn=field:19 code=4", now=5)
    assert field(handles()[1], 83, 186, 190, 9999) == [350_000, None, 700_000, None]
    codes = [value.nvmlReturn for value in nv.nvmlDeviceGetFieldValues(handles()[1], [83, 186, 19, 9999])]
    assert codes == [0, nv.NVML_ERROR_NOT_SUPPORTED, nv.NVML_ERROR_NO_PERMISSION, nv.NVML_ERROR_NOT_SUPPORTED]
    assert field(handles()[0], 186) == [70_000]


def test_every_field_of_the_sampler_is_there(gpus: StartScenario) -> None:
    gpus("gpu count=1\nwave hi=50", now=100)
    (handle,) = handles()
    ids = [74, 75, 76, 77, 78, 79, 82, 83, 161, 185, 186, 190, 197, 198, 230, 269, 270, 271]
    assert None not in field(handle, *ids)
    assert field(handle, 185, 186, 190) == [353_500, 353_500, 700_000]
    (sent,) = field(handle, 197)
    assert sent == 100 * nv.nvmlDeviceGetPcieThroughput(handle, nv.NVML_PCIE_UTIL_TX_BYTES) * 1024


def test_nvlink_counters_are_per_link_unless_all_are_asked_for(gpus: StartScenario) -> None:
    gpus("gpu count=1\nwave hi=50", now=100)
    (handle,) = handles()
    (one, every, links) = field(handle, (138, 0), (138, EVERY_LINK), nv.NVML_FI_DEV_NVLINK_LINK_COUNT)
    assert one * links == pytest.approx(every, rel=1e-6)
    assert field(handle, (139, 99)) == [None]


def test_the_driver_was_changed_under_us(gpus: StartScenario) -> None:
    with pytest.raises(nv.NVMLError_LibRmVersionMismatch):
        gpus("fault fn=nvmlInit code=18")
    with pytest.raises(nv.NVMLError_Uninitialized):
        nv.nvmlDeviceGetCount()


def test_calls_take_as_long_as_the_scenario_says(gpus: StartScenario) -> None:
    gpus("latency us=2000\nlatency fn=nvmlDeviceGetFieldValues gpu=0 us=20000")
    (handle, other, *_) = handles()
    start = time.perf_counter()
    nv.nvmlDeviceGetUtilizationRates(other)
    middle = time.perf_counter()
    (value,) = nv.nvmlDeviceGetFieldValues(handle, [83])
    assert 0.002 <= middle - start < 0.02 <= time.perf_counter() - middle
    assert value.latencyUsec == 22_000


# Clock reasons


def test_forced_reasons_show_in_the_mask_the_clock_and_the_counters(gpus: StartScenario) -> None:
    thermal = nv.nvmlClocksEventReasonHwThermalSlowdown
    move = gpus(f"wave hi=80\nreasons gpu=7 at=10 until=30 mask={thermal:#x}", now=20)
    (cool, *_, hot) = handles()
    assert nv.nvmlDeviceGetCurrentClocksEventReasons(cool) == 0
    assert nv.nvmlDeviceGetCurrentClocksEventReasons(hot) == thermal
    assert nv.nvmlDeviceGetCurrentClocksThrottleReasons(hot) == thermal
    assert nv.nvmlDeviceGetClockInfo(hot, nv.NVML_CLOCK_SM) < nv.nvmlDeviceGetClockInfo(
        cool, nv.NVML_CLOCK_SM
    )
    move(100)
    assert nv.nvmlDeviceGetCurrentClocksEventReasons(hot) == 0
    assert field(hot, 75, 269, 270) == [20_000_000_000, 0, 20_000_000_000]


def test_a_gpu_near_its_limit_is_power_capped(gpus: StartScenario) -> None:
    gpus("gpu count=1\nwave kind=square period=10 duty=0.25 hi=100 lo=50", now=41)
    assert nv.nvmlDeviceGetCurrentClocksEventReasons(handles()[0]) == nv.nvmlClocksEventReasonSwPowerCap
    assert field(handles()[0], 74) == [11_000_000_000]


# Events


def wait(events: Any, timeout_ms: int = 0) -> tuple[Any, Any, Any]:
    data = nv.nvmlEventSetWait_v2(events, timeout_ms)
    return nv.nvmlDeviceGetIndex(data.device), data.eventType, data.eventData


@pytest.fixture
def events() -> Callable[..., Any]:
    """Make an event set that hears of every GPU."""

    def register(*registered: Any) -> Any:
        event_set = nv.nvmlEventSetCreate()
        for handle in registered or handles():
            nv.nvmlDeviceRegisterEvents(handle, nv.nvmlDeviceGetSupportedEventTypes(handle), event_set)
        return event_set

    return register


def test_an_xid_is_delivered_once_and_on_time(gpus: StartScenario, events: Callable[..., Any]) -> None:
    move = gpus("xid gpu=2 at=4.9 code=79", now=4)
    event_set = events()
    with pytest.raises(nv.NVMLError_Timeout):
        wait(event_set)
    move(5)
    assert wait(event_set) == (2, nv.nvmlEventTypeXidCriticalError, 79)
    with pytest.raises(nv.NVMLError_Timeout):
        wait(event_set, 10)
    nv.nvmlEventSetFree(event_set)


def test_who_did_not_register_hears_nothing(gpus: StartScenario, events: Callable[..., Any]) -> None:
    gpus("xid gpu=2 at=1", now=4)
    event_set = events(handles()[3])
    with pytest.raises(nv.NVMLError_Timeout):
        wait(event_set)
    nv.nvmlEventSetFree(event_set)


def test_a_thread_waits_for_events_while_another_samples(
    gpus: StartScenario, events: Callable[..., Any]
) -> None:
    move = gpus("xid gpu=1 at=5 code=48\nlatency fn=nvmlDeviceGetUtil us=500", now=4)
    event_set, devices = events(), handles()
    events_of_thread = []
    waiting = threading.Thread(target=lambda: events_of_thread.append(wait(event_set, 10_000)))
    waiting.start()
    for step in range(20):
        move(4 + step / 10)
        nv.nvmlDeviceGetUtilizationRates(devices[step % 8])
    waiting.join()
    assert events_of_thread == [(1, nv.nvmlEventTypeXidCriticalError, 48)]
    nv.nvmlEventSetFree(event_set)


def test_memory_errors_are_counted_and_announced(gpus: StartScenario, events: Callable[..., Any]) -> None:
    gpus("ecc gpu=0 at=3 count=2\necc gpu=0 at=4 kind=corrected\necc gpu=0 at=9", now=5)
    (handle, *_) = handles()
    kinds = (nv.NVML_MEMORY_ERROR_TYPE_CORRECTED, nv.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
    assert [nv.nvmlDeviceGetTotalEccErrors(handle, kind, nv.NVML_VOLATILE_ECC) for kind in kinds] == [1, 2]
    event_set = events()
    assert wait(event_set)[1] == nv.nvmlEventTypeDoubleBitEccError
    assert wait(event_set)[1] == nv.nvmlEventTypeSingleBitEccError
    nv.nvmlEventSetFree(event_set)


# GPM, MIG and processes


def gpm(take: Any, move: Any, *ids: Any) -> list[Any]:
    """Metrics between the samples `take` puts at 10 s and at 20 s."""
    request = nv.c_nvmlGpmMetricsGet_t()
    request.version = nv.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(ids)
    request.sample1, request.sample2 = nv.nvmlGpmSampleAlloc(), nv.nvmlGpmSampleAlloc()
    move(10)
    take(request.sample1)
    move(20)
    take(request.sample2)
    for i, metric in enumerate(ids):
        request.metrics[i].metricId = metric
    nv.nvmlGpmMetricsGet(request)
    nv.nvmlGpmSampleFree(request.sample1)
    nv.nvmlGpmSampleFree(request.sample2)
    return [None if m.nvmlReturn else m.value for m in request.metrics[: len(ids)]]


def test_gpm_metrics_are_shares_of_the_utilisation_between_two_samples(gpus: StartScenario) -> None:
    move = gpus("gpu count=1\nwave kind=square period=4 duty=0.5 hi=100")
    (handle,) = handles()
    assert nv.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice
    values = gpm(lambda sample: nv.nvmlGpmSampleGet(handle, sample), move, 2, 3, 5, 10, 12, 20, 21, 60, 61, 7)
    # 10 s to 20 s: half of a 4 s period begins low, so 4 of 10 s are busy.
    assert values == [pytest.approx(v) for v in (32.8, 13.6, 16.4, 18, 3.2, 800, 800, 8000, 8000)] + [None]


def test_gpm_needs_hopper(gpus: StartScenario) -> None:
    gpus('gpu count=1 name="NVIDIA A100" cc=8.0')
    (handle,) = handles()
    assert not nv.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice
    sample = nv.nvmlGpmSampleAlloc()
    with pytest.raises(nv.NVMLError_NotSupported):
        nv.nvmlGpmSampleGet(handle, sample)
    nv.nvmlGpmSampleFree(sample)


def test_mig_slices_have_memory_and_gpm_and_little_else(gpus: StartScenario) -> None:
    move = gpus("gpu count=1\nmig gpu=0 count=3\nwave hi=50\nproc gpu=0 mig=1 pid=42 mem_gib=2", now=10)
    (parent,) = handles()
    assert nv.nvmlDeviceGetMigMode(parent) == [1, 1]
    slices = [nv.nvmlDeviceGetMigDeviceHandleByIndex(parent, i) for i in range(3)]
    with pytest.raises(nv.NVMLError_NotFound):
        nv.nvmlDeviceGetMigDeviceHandleByIndex(parent, 3)
    second = slices[1]
    assert nv.nvmlDeviceIsMigDeviceHandle(second).value == 1
    assert nv.nvmlDeviceGetUUID(second).startswith("MIG-")
    assert nv.nvmlDeviceGetUUID(
        nv.nvmlDeviceGetHandleByUUID(nv.nvmlDeviceGetUUID(second))
    ) == nv.nvmlDeviceGetUUID(second)
    assert nv.nvmlDeviceGetUUID(
        nv.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(second)
    ) == nv.nvmlDeviceGetUUID(parent)
    assert nv.nvmlDeviceGetMemoryInfo(second).total == nv.nvmlDeviceGetMemoryInfo(parent).total // 7
    for call in (nv.nvmlDeviceGetUtilizationRates, ring, nv.nvmlDeviceGetPowerUsage):
        with pytest.raises(nv.NVMLError_NotSupported):
            call(second)
    with pytest.raises(nv.NVMLError_NotSupported):
        nv.nvmlDeviceGetUtilizationRates(parent)
    assert nv.nvmlDeviceGetPowerUsage(parent) > 70_000
    assert [len(nv.nvmlDeviceGetComputeRunningProcesses(h)) for h in slices] == [0, 1, 0]
    (process,) = nv.nvmlDeviceGetComputeRunningProcesses(parent)
    instance = nv.nvmlDeviceGetGpuInstanceId(second)
    assert (process.pid, process.gpuInstanceId) == (42, instance)
    assert gpm(lambda sample: nv.nvmlGpmMigSampleGet(parent, instance, sample), move, 2) == [
        pytest.approx(41)
    ]


def test_processes_come_and_go(gpus: StartScenario) -> None:
    move = gpus(
        "wave hi=80\nproc gpu=0 pid=100 mem_gib=4 at=5 until=9\nproc gpu=0 pid=101 mem_gib=8 name=train"
    )
    (handle, other, *_) = handles()
    pids = []
    for t in (1, 6, 9):
        move(t)
        pids.append([p.pid for p in nv.nvmlDeviceGetComputeRunningProcesses(handle)])
    assert pids == [[101], [100, 101], [101]]
    (process,) = nv.nvmlDeviceGetComputeRunningProcesses(handle)
    assert process.usedGpuMemory == 8 * 2**30
    assert nv.nvmlSystemGetProcessName(101) == "train"
    assert [(s.pid, s.smUtil) for s in nv.nvmlDeviceGetProcessUtilization(handle, 0)] == [(101, 80)]
    assert nv.nvmlDeviceGetComputeRunningProcesses(other) == []
    with pytest.raises(nv.NVMLError_NotFound):
        nv.nvmlDeviceGetProcessUtilization(other, 0)


def test_memory_of_both_versions(gpus: StartScenario) -> None:
    gpus("gpu count=1 mem_gib=80 mem_used=0.5")
    old = nv.nvmlDeviceGetMemoryInfo(handles()[0])
    new = nv.nvmlDeviceGetMemoryInfo(handles()[0], version=nv.nvmlMemory_v2)
    assert (new.total, new.used, new.reserved) == (80 * 2**30, 40 * 2**30, 600 * 2**20)
    assert old.used == new.used + new.reserved
    assert new.free == old.free == new.total - old.used
    with pytest.raises(nv.NVMLError_ArgumentVersionMismatch):
        nv.nvmlDeviceGetMemoryInfo(handles()[0], version=1)


# Scenarios with mistakes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wave perid=3", "unknown key 'perid' in wave"),
        ("wave period=soon", "period=soon: expected a number"),
        ("wave kind=saw", "kind=saw: expected const, square or sine"),
        ("wave hi=120", "hi and lo are per cent: 0..100"),
        ("wave csv=missing.csv", "missing.csv: No such file or directory"),
        ("wave gpu=", "'' is no list of GPUs"),
        ("fault gpu=8 code=15", "'8' names a GPU that is not there: there are 8"),
        ("fault fn=GetPowerUsage", "fn=GetPowerUsage: expected *"),
        ("fault code=-1", "code=-1: expected a whole number"),
        ('gpu name="H100', "a quote is not closed"),
        ("wave " + 600 * "hi=1 ", "the line is too long"),
        ("volcano at=3", "unknown directive 'volcano'"),
        ("xid 79", "'79' in xid: expected key=value"),
        ("wave hi=1\ngpu count=2", "gpu lines come before the lines that name GPUs"),
        ("mig count=8", "count=8: a GPU has at most 7 MIG slices"),
    ],
)
def test_a_mistake_in_a_scenario_is_named_with_its_line(
    gpus: StartScenario, capfd: pytest.CaptureFixture[str], tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(nv.NVMLError_Unknown):
        gpus(f"# a comment\n\n{line}\n")
    (error,) = capfd.readouterr().err.splitlines()
    number = 3 + line.count("\n")
    assert error.startswith(f"fake NVML: {tmp_path}/scenario:{number}: ")
    assert message in error


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FAKE_NVML", "/nowhere/scenario", "/nowhere/scenario: cannot read it: No such file or directory"),
        ("FAKE_NVML_NOW", "soon", "FAKE_NVML_NOW: 'soon' is no number of seconds"),
        ("FAKE_NVML_VISIBLE", "1;2", "FAKE_NVML_VISIBLE: '1;2' is no list of GPUs: say * or, say, 0,2-3"),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    gpus: StartScenario, capfd: pytest.CaptureFixture[str], name: str, value: str, message: str
) -> None:
    with pytest.raises(nv.NVMLError_Unknown):
        gpus(**{name: value})
    assert capfd.readouterr().err == f"fake NVML: {message}\n"


# Clocks of other kinds, and the log


def test_the_clock_runs_at_its_scale_from_the_shared_epoch(run_on_gpus: Command) -> None:
    done = run_on_gpus(
        "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0)\n"
        "print(n.nvmlDeviceGetTotalEnergyConsumption(h) / 70_000)",
        "clock scale=60",
        FAKE_NVML_T0=time.time() - 10,
    )
    assert 600 <= float(done.stdout) < 1200


def test_the_log_counts_calls(run_on_gpus: Command, tmp_path: Path) -> None:
    run_on_gpus(
        "import pynvml as n; n.nvmlInit(); n.nvmlDeviceGetCount(); n.nvmlShutdown()",
        FAKE_NVML_LOG=tmp_path / "log",
    )
    assert re.fullmatch(r"\d+ 2\n", (tmp_path / "log").read_text(encoding="utf-8"))


def test_layouts_are_those_of_pynvml() -> None:
    text = "".join(source.read_text(encoding="utf-8") for source in fake.SOURCE.glob("*.c"))
    asserts = re.findall(r'_Static_assert\(sizeof.*? == (\d+), "(\w+)"\)', text)
    claims = {name: int(size) for size, name in asserts}
    kinds = {name: getattr(nv, name, None) or getattr(nv, f"c_{name}") for name in claims}
    assert {name: ctypes.sizeof(kind) for name, kind in kinds.items()} == claims
    assert len(claims) == text.count("_Static_assert")


# Other people's monitors, unmodified; never imported here, since nvitop puts functions of its own into pynvml.


def needs(monitor: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(monitor) is None
    return pytest.mark.skipif(missing, reason=f"{monitor} is not installed")


BUSY_NODE = """
gpu count=4
wave gpu=0,1 hi=90
fault gpu=3 at=0 code=15
proc gpu=0 pid=self mem_gib=40
"""


@needs("gpustat")
def test_gpustat_runs_on_it(run_on_gpus: Command) -> None:
    done = run_on_gpus(
        "import gpustat; gpustat.new_query().print_formatted(show_cmd=True, show_power=True, no_color=True)",
        BUSY_NODE,
        now=60,
    )
    rows = [re.sub(r" +", " ", line) for line in done.stdout.splitlines()[1:]]
    for index, parts in enumerate(
        [["90 %, 580 / 700 W", "(40960M)"], ["90 %"], ["0 %, 70 / 700 W"], ["GPU is lost"]]
    ):
        assert all(part in rows[index] for part in parts), done.stdout + done.stderr


@needs("nvitop")
def test_nvitop_runs_on_it(run_on_gpus: Command) -> None:
    done = run_on_gpus(
        "import nvitop; print([(d.index, d.gpu_utilization(), d.power_usage()) for d in nvitop.Device.all()[:3]])",
        BUSY_NODE,
        now=60,
    )
    assert done.stdout == "[(0, 90, 580300), (1, 90, 580300), (2, 0, 70000)]\n", done.stderr


@needs("nvitop")
def test_nvitop_prints_its_table(run_on_gpus: Command) -> None:
    done = run_on_gpus(
        "import sys; sys.argv = ['nvitop', '-1']; import nvitop.cli; nvitop.cli.main()", BUSY_NODE, now=60
    )
    assert "H100" in done.stdout, done.stderr


SAMPLER = """
from clusterplan.launcher.sampler import nvml
with nvml.open_library() as library:
    readings = [device.read(0) for device in library.devices()[0]]
print([[r.utilisation_percent, r.power_mw // 1000, r.memory_used_bytes >> 20, r.temperature_c, r.processes] for r in readings])
"""
MONITORS = """
import gpustat, nvitop
watts = [device.power_usage() // 1000 for device in nvitop.Device.all()]
rows = zip(gpustat.new_query().gpus, watts)
print([[gpu.utilization, w, gpu.memory_used, gpu.temperature, len(gpu.processes)] for gpu, w in rows])
"""


@needs("gpustat")
@needs("nvitop")
def test_gpustat_nvitop_and_our_sampler_say_the_same(run_on_gpus: Command) -> None:
    node = "gpu count=3\nwave gpu=0 hi=90\nwave gpu=1 hi=35 mem_used=0.8\nproc gpu=0 pid=self mem_gib=40\n"
    sampler, monitors = (run_on_gpus(snippet, node, now=60) for snippet in (SAMPLER, MONITORS))
    assert sampler.stdout.startswith("[[90, 580, "), sampler.stderr
    assert monitors.stdout == sampler.stdout, monitors.stderr
