"""The sampler on scripted GPUs: its readings, its events, and that it disturbs nobody."""

import importlib.util
import inspect
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_nvml as fake
import pynvml
import pytest
from conftest import Command, StartScenario

from clusterplan.estimator.gpu_use.coverage import RunNode, find_node_notes
from clusterplan.estimator.gpu_use.reading import Event, Tick
from clusterplan.launcher.run_folder.folder import write_json
from clusterplan.launcher.sampler import nvml
from clusterplan.launcher.sampler.beside import sampler_beside
from clusterplan.launcher.sampler.loop import StopFlag, sample_gpus, sampling
from clusterplan.launcher.sampler.spool_reader import read_node_records
from clusterplan.launcher.sampler.visible_gpus import Attribution, select_visible

H100 = "gpu count=2\nwave gpu=* kind=const hi=90\n"


@pytest.fixture
def first(gpus: StartScenario) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Start a scenario; gives its first GPU and the function that moves its clock."""
    stack = []

    def start(scenario: Any = H100, now: int = 10, **variables: Any) -> tuple[Any, Any]:
        move = gpus(scenario, now, **variables)
        opened = nvml.open_library()
        library = opened.__enter__()
        stack.append(opened)
        return library.devices()[0][0], move

    yield start
    for opened in stack:
        opened.__exit__(None, None, None)


def test_a_reading_has_every_metric(first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first()
    device.read(0)
    move(11)
    reading = device.read(0)
    assert (reading.utilisation_percent, reading.temperature_c is not None, reading.processes) == (
        90,
        True,
        0,
    )
    assert reading.power_mw > 70_000
    assert reading.energy_mj > 0
    assert 0 < reading.tensor_active < reading.sm_active < 1
    assert [percent for _, percent in reading.ring] == [90] * 6
    assert reading.ring[-1][0] == 0.0


def test_every_tick_but_the_first_reads_everything(first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first()
    device.read(0)
    for second in (11, 12, 13):
        move(second)
        assert None not in device.read(0)


CALLS_PER_TICK = Counter(
    {
        "nvmlDeviceGetUtilizationRates": 1,  # of the GPU and of its memory
        "nvmlDeviceGetMemoryInfo": 1,
        "nvmlDeviceGetTemperature": 1,
        "nvmlDeviceGetClockInfo": 2,
        "nvmlDeviceGetCurrentClocksEventReasons": 1,
        "nvmlDeviceGetComputeRunningProcesses_v3": 1,
        "nvmlDeviceGetFieldValues": 1,  # six metrics
        "nvmlGpmSampleGet": 1,
        "nvmlGpmMetricsGet": 1,  # four metrics
        "nvmlDeviceGetSamples": 1,
    }
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Count every call of pynvml about a GPU by its name, and keep the ids of the fields in `calls.fields`."""
    counter: Any = Counter()
    counter.fields = []

    def count(name: Any, function: Any) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            counter[name] += 1
            if name == "nvmlDeviceGetFieldValues":
                counter.fields += [field for field, _ in arguments[1]]
            return function(*arguments)

        return counted

    for name, function in inspect.getmembers(pynvml, inspect.isfunction):
        if name.startswith(("nvmlDevice", "nvmlGpm")):
            monkeypatch.setattr(pynvml, name, count(name, function))
    return counter


def test_metrics_share_the_calls_of_a_tick(calls: Any, first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first()
    device.read(0)
    calls.clear()
    move(11)
    device.read(0)
    assert calls == CALLS_PER_TICK


def test_energy_is_a_counter_that_agrees_with_power(first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first()
    before = device.read(0)
    move(70)
    after = device.read(0)
    assert (after.energy_mj - before.energy_mj) / 60 == pytest.approx(after.power_mw, rel=0.02)


def test_the_ring_has_the_mean_that_polling_misses(first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first("gpu count=1\nwave gpu=0 kind=square period=1 duty=0.5 hi=96 lo=0\n", 0)
    polled, ring = [], []
    for tick in range(1, 41):
        move(tick)
        reading = device.read(0)
        polled.append(reading.utilisation_percent)
        ring += [percent for _, percent in reading.ring]
    assert abs(sum(polled) / len(polled) - 48) > 20
    assert sum(ring) / len(ring) == pytest.approx(48, abs=2)


def test_a_ring_in_fine_units_is_per_cent_all_the_same(first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first("gpu count=1 ring=120 ring_ms=20 ring_scale=10000\nwave gpu=0 kind=const hi=40\n")
    assert device.ring_depth() == 120
    move(11)
    assert {percent for _, percent in device.read(0).ring} == {40}


def test_an_unsupported_metric_is_none_and_asked_for_once(
    calls: Any, first: Callable[..., tuple[Any, Any]]
) -> None:
    device, move = first(H100 + "fault fn=field:186 code=3\nfault fn=nvmlDeviceGetTemperature code=3\n")
    reading = device.read(0)
    assert reading.temperature_c is None
    assert reading.power_mw > 0  # the field does not have it, the function has
    assert device.unread == {"temperature_c": "not supported"}
    assert pynvml.NVML_FI_DEV_POWER_INSTANT in calls.fields
    calls.clear()
    calls.fields.clear()
    move(11)
    reading = device.read(0)
    assert (reading.energy_mj is not None, reading.power_mw > 0, reading.temperature_c) == (True, True, None)
    assert calls["nvmlDeviceGetPowerUsage"] == 1
    assert calls["nvmlDeviceGetTemperature"] == 0
    assert pynvml.NVML_FI_DEV_POWER_INSTANT not in calls.fields


def test_a_failure_that_passes_is_asked_for_again(first: Callable[..., tuple[Any, Any]]) -> None:
    device, move = first(H100 + "fault fn=nvmlDeviceGetFieldValues at=10 until=11 code=10\n")
    assert device.read(0).energy_mj is None
    move(11)
    assert device.read(0).energy_mj > 0
    assert device.unread == {}


@pytest.mark.parametrize(
    ("scenario", "expected"), [("gpu count=1 cc=8.0\n", None), ("gpu count=1 cc=9.0\n", float)]
)
def test_tensor_activity_needs_hopper(
    first: Callable[..., tuple[Any, Any]], scenario: str, expected: Any
) -> None:
    device, move = first(scenario)
    device.read(0)
    move(11)
    tensor_active = device.read(0).tensor_active
    assert tensor_active is None if expected is None else isinstance(tensor_active, expected)


def test_a_driver_that_lacks_a_function_is_read_by_another(
    first: Callable[..., tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = ("MemoryInfo_v2", "CurrentClocksEventReasons", "ComputeRunningProcesses_v3", "FieldValues")
    device, _ = first(H100 + "".join(f"fault fn=nvmlDeviceGet{name} code=13\n" for name in lacking))
    gone = pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    monkeypatch.setitem(
        pynvml._nvmlGetFunctionPointer_cache, "nvmlDeviceGetTemperature", lambda *_: gone.value
    )
    reading = device.read(0)
    assert reading.temperature_c is not None
    assert reading.memory_used_bytes is not None
    assert (reading.clock_reasons, reading.processes) == (0, 0)
    assert reading.power_mw > 70_000
    assert set(device.unread.values()) == {"not in this driver"}
    assert device.unread.keys() == {
        *("energy_mj", "pcie_tx_bytes", "pcie_rx_bytes", "nvlink_tx_kib", "nvlink_rx_kib"),
    }


def test_a_lost_gpu_does_not_hide_the_others(gpus: StartScenario) -> None:
    gpus("gpu count=3\nfault gpu=1 at=0 code=15\n")
    with nvml.open_library() as library:
        devices, failures = library.devices()
    assert [d.identity.index for d in devices] == ["0", "2"]
    assert failures[0] == ("gpu_lost", "GPU 1: GPU is lost")


def test_gpus_that_may_not_be_read_are_one_fact_and_not_lost(gpus: StartScenario) -> None:
    gpus("gpu count=8\nfault gpu=* fn=nvmlDeviceGetHandleByIndex code=4\n")
    with nvml.open_library() as library:
        devices, failures = library.devices()
    assert (devices, failures) == ([], [("no_permission", "GPUs 0-7: Insufficient Permissions")])


def test_mig_instances_stand_in_for_their_gpu(gpus: StartScenario) -> None:
    gpus("gpu count=3\nmig gpu=1 count=2\n")
    with nvml.open_library() as library:
        devices, _ = library.devices()
        readings = [d.read(0) for d in devices]
    assert [d.identity.uuid[:4] for d in devices] == ["GPU-", "MIG-", "MIG-", "GPU-"]
    assert devices[1].identity.mig_parent == devices[2].identity.mig_parent
    assert devices[1].identity.mig_parent.startswith("GPU-")
    assert [r.utilisation_percent is None for r in readings] == [False, True, True, False]


def test_gpus_and_mig_instances_are_named_as_nvidia_smi_shows_them(gpus: StartScenario) -> None:
    gpus("gpu count=3\nmig gpu=1 count=2\n")
    with nvml.open_library() as library:
        devices, _ = library.devices()
    assert [d.identity.index for d in devices] == ["0", "1:0", "1:1", "2"]


def test_a_position_in_the_environment_counts_gpus_and_not_mig_instances(gpus: StartScenario) -> None:
    gpus("gpu count=3\nmig gpu=0 count=2\n")
    with nvml.open_library() as library:
        devices, how = select_visible(library.devices()[0], {"CUDA_VISIBLE_DEVICES": "2"})
    assert ([d.identity.index for d in devices], how) == (["2"], Attribution.GUESS)


CASES = {
    "alone": ({}, [0, 1, 2, 3], Attribution.ENUMERATED),
    "cgroup": (
        {"SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_GPUS": "4,5,6,7"},
        [0, 1, 2, 3],
        Attribution.ENUMERATED,
    ),
    "slurm without cgroup": ({"SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_GPUS": "2,3"}, [2, 3], Attribution.GUESS),
    "cuda by index": ({"CUDA_VISIBLE_DEVICES": "1"}, [1], Attribution.GUESS),
    "none visible": ({"CUDA_VISIBLE_DEVICES": "-1"}, [], Attribution.ENUMERATED),
}


@pytest.mark.parametrize("case", CASES)
def test_the_jobs_gpus_are_found_by_its_environment(gpus: StartScenario, case: Any) -> None:
    environment, expected, attribution = CASES[case]
    gpus("gpu count=4\n")
    with nvml.open_library() as library:
        chosen, how = select_visible(library.devices()[0], environment)
    assert [d.identity.index for d in chosen] == [str(index) for index in expected]
    assert how is attribution


def test_uuids_name_the_jobs_gpus_exactly(gpus: StartScenario) -> None:
    gpus("gpu count=4\n")
    with nvml.open_library() as library:
        devices, _ = library.devices()
        uuid = devices[2].identity.uuid
        chosen, how = select_visible(devices, {"CUDA_VISIBLE_DEVICES": uuid[:20], "SLURM_JOB_GPUS": "0"})
    assert [d.identity.uuid for d in chosen] == [uuid]
    assert how is Attribution.UUID


def test_a_driver_that_does_not_answer_is_an_error(run_on_gpus: Command) -> None:
    snippet = "from clusterplan.launcher.sampler import nvml\nwith nvml.open_library(): pass"
    done = run_on_gpus(snippet, "fault fn=nvmlInit code=18\n")
    assert "NvmlUnavailable" in done.stderr


@pytest.mark.parametrize(
    ("gpus_of_job", "events"), [("2", ["no_gpu", "driver_fails"]), ("0", ["no_gpu"]), ("", ["no_gpu"])]
)
def test_a_driver_that_fails_is_a_note_where_slurm_gave_gpus(
    fake_nvml: Path, tmp_path: Path, gpus_of_job: str, events: list[str]
) -> None:
    path = tmp_path / "scenario"
    path.write_text("fault fn=nvmlInit code=18\n", encoding="utf-8")
    environment = fake.environment(fake_nvml, path, SLURM_GPUS_ON_NODE=gpus_of_job)
    command = [sys.executable, "-P", "-m", "clusterplan.launcher.sampler", str(tmp_path)]
    subprocess.run(command, env=environment, check=True)
    (record,) = read_node_records(tmp_path)
    assert [event.kind for event in record.events] == events
    notes = find_node_notes([RunNode("n1", (), record.events)], None)
    assert [note.code for note in notes] == ["driver"] * ("driver_fails" in events)
    assert all(
        "n1: the job has GPUs, and their driver does not start (Driver/library" in n.text for n in notes
    )


def test_a_sampler_ends_with_the_process_that_started_it(fake_nvml: Path, tmp_path: Path) -> None:
    path = tmp_path / "scenario"
    path.write_text(H100, encoding="utf-8")
    sampler = f"{sys.executable} -P -m clusterplan.launcher.sampler --period 0.05 {tmp_path}"
    # The shell that started it is gone once it samples.
    script = f"{sampler} & until ls {tmp_path}/*.spool; do sleep 0.05; done"
    command = ["timeout", "60", "sh", "-c", f"exec > {os.devnull} 2>&1; {script}"]
    subprocess.run(command, env=fake.environment(fake_nvml, path), check=True)
    deadline = time.monotonic() + 30
    while not (records := list(read_node_records(tmp_path))) or "end" not in {
        e.kind for e in records[0].events
    }:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_loop_samples_at_its_period_and_once_more_at_the_end(gpus: StartScenario) -> None:
    gpus(H100)
    items, stop = list[Any](), StopFlag()
    with nvml.open_library() as library:
        loop = threading.Thread(target=sample_gpus, args=(library.devices()[0], items.append, stop, 0.05))
        loop.start()
        while len(items) < 6:
            time.sleep(0.01)
        stop.set()
        loop.join()
    ticks = [item for item in items if isinstance(item, Tick)]
    gaps = [b.time_s - a.time_s for a, b in itertools.pairwise(ticks[:-1])]
    assert sum(gaps) / len(gaps) == pytest.approx(0.05, abs=0.02)
    assert {len(tick.readings) for tick in ticks} == {2}


def test_a_gpu_that_is_lost_during_the_run_is_one_event_and_left_out(gpus: StartScenario) -> None:
    move = gpus("gpu count=2\nfault gpu=1 at=5 code=15\n")
    items, stop = list[Any](), StopFlag()
    with nvml.open_library() as library:
        loop = threading.Thread(target=sample_gpus, args=(library.devices()[0], items.append, stop, 0.02))
        loop.start()
        while len(items) < 3:
            time.sleep(0.01)
        move(6)
        count = len(items)
        while len(items) < count + 6:
            time.sleep(0.01)
        stop.set()
        loop.join()
    events = [item for item in items if isinstance(item, Event)]
    # A busy machine may be late for a tick, which is an event too.
    assert [(event.kind, event.gpu) for event in events if event.kind != "gap"] == [("gpu_lost", 1)]
    assert len(items[0].readings) == 2
    assert len(items[-1].readings) == 1


def test_a_clock_from_before_2020_is_one_event(gpus: StartScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(H100)
    items: list[Any] = []
    monkeypatch.setattr(time, "time", lambda: 86_400.0 + time.monotonic())
    with sampling(items.append, period_s=0.2):
        while sum(isinstance(item, Tick) for item in items) < 3:
            time.sleep(0.01)
    assert [(e.kind, e.text) for e in items if isinstance(e, Event)] == [
        ("clock_wrong", "the clock of the node says 1970: its times are wrong")
    ]


def test_a_block_of_code_can_be_sampled(gpus: StartScenario) -> None:
    gpus(H100)
    items: list[Any] = []
    with sampling(items.append, period_s=0.02) as identities:
        time.sleep(0.1)
    assert [gpu.name for gpu in identities] == ["NVIDIA H100 80GB HBM3"] * 2
    assert len(items) >= 3


def test_a_process_that_uses_nvitop_can_be_sampled_too(run_on_gpus: Command) -> None:
    if importlib.util.find_spec("nvitop") is None:
        pytest.skip("nvitop is not installed")
    snippet = (
        "import time, nvitop\nfrom clusterplan.launcher.sampler.loop import sampling\nticks = []\n"
        "with sampling(ticks.append, period_s=0.02): time.sleep(0.1)\n"
        "print(ticks[0].readings[0].memory_used_bytes > 0)"
    )
    assert run_on_gpus(snippet, H100).stdout == "True\n"


def test_the_process_loads_pynvml_and_the_standard_library_only() -> None:
    script = "import sys, clusterplan.launcher.sampler.loop; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    foreign = set(done.stdout.split()) & {
        "click",
        "pydantic",
        "sqlite_utils",
        "submitit",
        "platformdirs",
        "numpy",
    }
    assert not foreign


def test_slurms_warning_does_not_end_the_sampler(fake_nvml: Path, tmp_path: Path) -> None:
    (tmp_path / "scenario").write_text(H100, encoding="utf-8")
    with sampler_beside(tmp_path, 1.0, fake.environment(fake_nvml, tmp_path / "scenario")) as process:
        process.send_signal(signal.SIGUSR2)
    assert process.returncode == 0


# Metrics that were not read.

AFTER_A_TICK = ("--period", "0.1s", "--", "sleep", "0.5")


def not_read(record: Any) -> list[Any]:
    return [(event.text, event.gpu) for event in record.events if event.kind == "not_read"]


@pytest.mark.parametrize("scenario", ["gpu count=4 cc=8.0\n", "gpu count=4\nfault fn=field:138 code=3\n"])
def test_a_metric_that_no_gpu_of_a_type_supports_is_no_news(
    sampled: Callable[..., tuple[Any, Any, Any]], scenario: str
) -> None:
    _, _, ((record,),) = sampled(*AFTER_A_TICK, scenario=scenario)
    assert not_read(record) == []


def test_a_metric_that_may_not_be_read_is_one_line_for_all_gpus_of_a_type(
    sampled: Callable[..., tuple[Any, Any, Any]],
) -> None:
    old = 'gpu count=2 name="NVIDIA A100" cc=8.0\n'
    _, _, ((record,),) = sampled(
        *AFTER_A_TICK, scenario=f"{old}gpu count=4\nfault fn=nvmlGpmSampleGet code=4\n"
    )
    assert not_read(record) == [
        (
            "sm_active, occupancy, tensor_active, dram_active: no permission on every NVIDIA H100 80GB HBM3",
            None,
        )
    ]


def test_the_gpu_that_lacks_what_others_of_its_type_have_is_named(
    sampled: Callable[..., tuple[Any, Any, Any]],
) -> None:
    scenario = "gpu count=4\nmig gpu=1 count=2\nfault gpu=3 fn=field:83 code=3\n"
    _, _, ((record,),) = sampled(*AFTER_A_TICK, scenario=scenario)
    assert [gpu.index for gpu in record.header.gpus] == ["0", "1:0", "1:1", "2", "3"]
    assert not_read(record) == [
        ("energy_mj: not supported on GPU 3, unlike other NVIDIA H100 80GB HBM3", None)
    ]


# The command.


@pytest.fixture
def sampled(clusterplan: Command, fake_nvml: Path, tmp_path: Path) -> Callable[..., tuple[Any, Any, Any]]:
    """Run `clusterplan sample ARGS` on a scenario; gives the process, and its run's folder and records."""

    def run(*arguments: Any, scenario: Any = H100, **variables: Any) -> tuple[Any, Any, Any]:
        path = tmp_path / "scenario"
        path.write_text(scenario, encoding="utf-8")
        environment = fake.environment(fake_nvml, path, **variables)
        environment |= {"CLUSTERPLAN_HISTORY": str(tmp_path / "h" / "history.db")}
        done = clusterplan("sample", *arguments, env=environment)
        folders = list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else []
        return done, folders, [list(read_node_records(folder)) for folder in folders]

    return run


def test_a_command_is_sampled_into_a_run_of_its_own(
    sampled: Callable[..., tuple[Any, Any, Any]], tmp_path: Path
) -> None:
    done, (folder,), ((record,),) = sampled("--period", "0.1s", "--", "sh", "-c", "echo out; sleep 0.5")
    assert (done.returncode, done.stdout) == (0, "out\n")
    assert f"{record.tick_count} readings of each of 2 GPUs" in done.stderr
    assert 4 <= record.tick_count <= 9
    assert record.header.attribution == "enumerated"
    assert [gpu.index for gpu in record.header.gpus] == ["0", "1"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert json.loads((folder / "status.json").read_text(encoding="utf-8"))["state"] == "completed"
    (link,) = (tmp_path / "h" / "history.runs").iterdir()
    assert link.resolve() == folder


def test_a_commands_own_options_need_dashes_before_it(clusterplan: Command) -> None:
    done = clusterplan("sample", "--period", "1s", "sh", "--name", "x")
    message = "Error: put -- before the command: clusterplan sample --period 1s -- sh --name x\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_the_message_about_a_quoted_command_says_to_leave_out_the_quotes(clusterplan: Command) -> None:
    done = clusterplan("sample", "--", "sh train.sh")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "leave out the quotes: -- sh train.sh" in done.stderr


def test_the_command_knows_its_run_folder(sampled: Callable[..., tuple[Any, Any, Any]]) -> None:
    done, (folder,), _ = sampled("--", "sh", "-c", 'echo "$CLUSTERPLAN_RUN_FOLDER"')
    assert done.stdout == f"{folder}\n"


def test_the_message_about_a_failed_command_has_its_code(
    sampled: Callable[..., tuple[Any, Any, Any]],
) -> None:
    done, (folder,), _ = sampled("--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert "the command failed with exit code 3" in done.stderr
    assert json.loads((folder / "status.json").read_text(encoding="utf-8"))["exit_code"] == 3


def test_a_command_that_a_signal_ends_gives_the_code_of_a_shell(
    sampled: Callable[..., tuple[Any, Any, Any]],
) -> None:  # 2.8.2 of https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html
    done, *_ = sampled("--", "sh", "-c", "kill -9 $$")
    assert done.returncode == 137


def test_a_command_that_cannot_be_started_ends_its_run(
    sampled: Callable[..., tuple[Any, Any, Any]], tmp_path: Path
) -> None:
    script = tmp_path / "no-first-line"
    script.write_text("true", encoding="utf-8")
    script.chmod(0o755)
    done, (folder,), _ = sampled("--", script)
    assert done.returncode == 127
    assert f"the command could not be started: {script}: Exec format error" in done.stderr
    assert json.loads((folder / "status.json").read_text())["state"] == "failed"


@pytest.mark.parametrize(("host", "state"), [(None, "failed"), ("elsewhere", "running")])
def test_a_sampled_run_that_was_killed_is_recognised_on_its_host(
    sampled: Callable[..., tuple[Any, Any, Any]],
    clusterplan: Command,
    tmp_path: Path,
    host: str | None,
    state: str,
) -> None:
    sampled("--", "sh", "-c", "kill -KILL $PPID")
    (folder,) = (tmp_path / "runs").iterdir()
    if host:
        write_json(folder / "run.json", json.loads((folder / "run.json").read_text()) | {"host": host})
    environment = os.environ | {"CLUSTERPLAN_HISTORY": str(tmp_path / "h" / "history.db")}
    (run,) = json.loads(clusterplan("history", "list", "--json", env=environment).stdout)
    assert run["state"] == state


def test_a_gpu_and_its_xid_are_in_the_record(sampled: Callable[..., tuple[Any, Any, Any]]) -> None:
    # The times count from the start of the sampler, which comes when the machine has time for it.
    scenario = "gpu count=2\nfault gpu=1 at=2.5 code=15\nxid gpu=1 at=2 code=79\n"
    until = 'until grep -qs gpu_lost "$CLUSTERPLAN_RUN_FOLDER"/*.spool; do sleep 0.05; done'
    _, _, ((record,),) = sampled(
        "--period", "0.1s", "--", "timeout", "60", "sh", "-c", until, scenario=scenario
    )
    assert {(e.kind, e.gpu) for e in record.events} == {("xid", 1), ("gpu_lost", 1), ("end", None)}
    assert "XID 79" in [event.text for event in record.events]


def test_without_a_gpu_the_command_runs_and_a_line_says_so(clusterplan: Command, tmp_path: Path) -> None:
    done = clusterplan("sample", "--", "echo", "fine", env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert "no_gpu: no NVIDIA GPU can be read here" in done.stderr
    assert "stopped" not in done.stderr


def test_a_full_disk_stops_the_samples_and_not_the_command(
    sampled: Callable[..., tuple[Any, Any, Any]], tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        arguments = ("--period", "0.05s", "--", "sh", "-c", "sleep 2; echo done")
        done, _, _ = sampled(*arguments, CLUSTERPLAN_RUNS=small, scenario="gpu count=8\n")
        (folder,) = small.iterdir()
        (record,) = read_node_records(folder)
    finally:
        subprocess.run(["umount", small], check=True)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "sampling stopped" in done.stderr
    assert record.tick_count > 3


def test_samples_that_cannot_be_read_back_do_not_hide_how_the_command_ended(clusterplan: Command) -> None:
    spools = '"$CLUSTERPLAN_RUN_FOLDER"/*.spool'
    emptied = f"until [ -s {spools} ]; do sleep 0.01; done; for spool in {spools}; do : > $spool; done"
    done = clusterplan("sample", "--", "sh", "-c", emptied)
    assert done.returncode == 0
    assert re.search(r"\.spool: (its header is lost|empty)$", done.stderr, re.MULTILINE)


COUNTS_INTERRUPTS = """
import signal, time
interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
print("ready", flush=True)
while not interrupts:
    time.sleep(0.01)
time.sleep(0.3)  # a second one would come at once
print("twice" if len(interrupts) > 1 else "once")
"""


def test_ctrl_c_reaches_the_command_once(clusterplan: Command, tmp_path: Path) -> None:
    program = clusterplan("--version").args[0]
    command = [program, "sample", "--", sys.executable, "-c", COUNTS_INTERRUPTS]
    on_terminal = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *command]
    environment = os.environ | {
        "CLUSTERPLAN_RUNS": str(tmp_path),
        "CLUSTERPLAN_HISTORY": str(tmp_path / "h.db"),
    }
    with subprocess.Popen(
        on_terminal, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
    ) as started:
        output = started.stdout.readline()
        started.stdin.write(b"\x03")
        output += started.stdout.read()
    assert b"ready" in output
    assert b"once" in output


def test_quotes_spaces_and_newlines_reach_the_command_as_they_are(
    sampled: Callable[..., tuple[Any, Any, Any]],
) -> None:
    hostile = "a 'b' \"c\"\n$(touch x) ; é"
    done, _, _ = sampled("--", "printf", "%s", hostile)
    assert done.stdout == hostile


def test_sampling_alone_ends_after_its_time(sampled: Callable[..., tuple[Any, Any, Any]]) -> None:
    started = time.monotonic()
    done, _, ((record,),) = sampled("--for", "0.5s", "--period", "0.1s")
    assert done.returncode == 0
    assert 0.5 <= time.monotonic() - started < 5
    assert record.tick_count >= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to sample: give a command after --, or --for TIME"),
        (["--", "no-such-program"], "command 'no-such-program' is not found"),
        (["--for", "soon"], "--for: 'soon' is not a duration"),
        (["--for", "3"], "--for: '3' has no unit: write 3m or 3s"),
        (["--period", "0s", "--for", "1s"], "--period: '0s' must be greater than 0"),
        (["--period", "1d", "--for", "1s"], "--period: 1d must be between"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_makes_no_run(
    clusterplan: Command, tmp_path: Path, arguments: list[Any], message: str
) -> None:
    done = clusterplan("sample", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
