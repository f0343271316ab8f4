"""Disks that are full for a while: each writer tries again, says the gap, and loses nothing that it has acknowledged."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from clusterplan.api.history.upkeep import rebuild_history
from clusterplan.errors import HistoryError, SpoolError
from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.estimator.history.runs import History
from clusterplan.estimator.measurements.training_loop import LoopEnd
from clusterplan.launcher.in_training.progress_file import LineWriter
from clusterplan.launcher.node.log_reader.progress_writer import ProgressWriter
from clusterplan.launcher.sampler.spool import SpoolSink
from clusterplan.launcher.sampler.spool_reader import read_node_records


class Disk:
    """A real file system of 64 KiB, which can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield Disk(place)
    subprocess.run(["umount", place], check=True)


def tick(second: float) -> Tick:
    return Tick(second, tuple(GpuReading(gpu, energy_mj=int(second)) for gpu in range(8)))


def times_of(folder: Path) -> list[float]:
    (record,) = read_node_records(folder)
    assert record.header.node == "n1"
    return [tick.time_s for tick in record.ticks()]


def events_of(folder: Path) -> list[tuple[float, str]]:
    (record,) = read_node_records(folder)
    return [(event.time_s, event.kind) for event in record.events]


def test_a_disk_that_is_full_for_a_while_costs_that_while_alone(disk: Disk) -> None:
    """3 s of a full disk once ended the sampling for good."""
    now_s = 0.0
    with closing(SpoolSink(disk.folder / "n1.1.spool", {"node": "n1"}, lambda: now_s)) as sink:
        for second in range(400):
            now_s = float(second)
            if second in (100, 250):
                disk.fill()
            if second in (140, 330):
                disk.empty()
            sink.put(tick(now_s))
    times = times_of(disk.folder)
    lost = set(map(float, range(400))) - set(times)
    assert times == sorted(times)
    # The last page of the file has room for some ticks; then there is one attempt per minute.
    assert all(100 <= second < 190 or 250 <= second < 390 for second in lost)
    assert len(lost) > 60
    assert {99.0, 195.0, 249.0, 395.0} <= set(times)
    assert [kind for _, kind in events_of(disk.folder)] == ["gap", "gap"]
    (record,) = read_node_records(disk.folder)
    assert "no reading could be written for 60.0 s: " in record.events[0].text


def test_an_event_does_not_wait_for_the_next_minute(disk: Disk) -> None:
    with closing(SpoolSink(disk.folder / "n1.1.spool", {"node": "n1"}, lambda: 5.0)) as sink:
        disk.fill()
        for _ in range(100):  # the last page of the file has room for some
            sink.put(tick(5.0))
        disk.empty()
        sink.put(tick(6.0))
        sink.put(Event(7.0, "xid", "79"))
        sink.put(tick(8.0))
    times = times_of(disk.folder)
    assert (times[-1], 6.0 in times) == (8.0, False)
    assert [kind for _, kind in events_of(disk.folder)] == ["gap", "xid"]


def test_a_spool_is_made_once_there_is_room_for_it(disk: Disk) -> None:
    disk.fill()
    now_s = 0.0
    with closing(SpoolSink(disk.folder / "n1.1.spool", {"node": "n1"}, lambda: now_s)) as sink:
        sink.put(tick(0.0))
        assert list(disk.folder.glob("*.spool")) == []
        disk.empty()
        now_s = 61.0
        sink.put(tick(61.0))
    assert times_of(disk.folder) == [61.0]
    assert [kind for _, kind in events_of(disk.folder)] == ["gap"]


def test_a_disk_that_stays_full_is_an_error_at_the_end(disk: Disk) -> None:
    disk.fill()
    sink = SpoolSink(disk.folder / "n1.1.spool", {"node": "n1"}, lambda: 0.0)
    sink.put(tick(0.0))
    with pytest.raises(SpoolError, match="is the disk full"):
        sink.close()


def test_progress_waits_in_order_until_there_is_room(disk: Disk) -> None:
    path = disk.folder / "progress.jsonl"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = LineWriter(file)
    for second in range(900):
        if second == 100:
            disk.fill()
        if second == 500:
            disk.empty()
        writer.write(json.dumps({"step": second}).encode() + b"\n", float(second))
    os.close(file)
    steps = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            steps.append(json.loads(line)["step"])
    assert steps == list(range(900))


def test_the_reader_of_a_log_writes_at_its_end_what_waited(disk: Disk) -> None:
    disk.fill()
    with ProgressWriter(disk.folder, lambda: 0.0) as writer:
        for step in range(200):
            writer.write([LoopEnd(float(step), step)], None)
        disk.empty()
    lines = (disk.folder / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines if line.startswith("{")][-1] == 199


def test_a_history_is_not_made_on_a_full_disk(disk: Disk) -> None:
    disk.fill()
    with pytest.raises(HistoryError, match=r"cannot be made: the disk of .* is full; free space there"):
        History(disk.folder / "history.db")
    assert [path.name for path in disk.folder.iterdir()] == ["filler"]


def test_a_rebuild_on_a_full_disk_leaves_nothing_behind(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(disk.folder / "history.db"))
    for _ in range(2):  # the second one does not meet a rest of the first
        with pytest.raises(HistoryError, match=r"history\.rebuilt\.db: cannot be made: the disk .* is full"):
            rebuild_history()
        assert list(disk.folder.iterdir()) == []
