"""Spools: they are read back as they were written, whatever a crash leaves behind."""

import io
import os
import random
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from collections import namedtuple
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import SCALE
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clusterplan.errors import SpoolError
from clusterplan.estimator.gpu_use.reading import METRICS, Event, GpuReading, Tick
from clusterplan.launcher.sampler import spool_items
from clusterplan.launcher.sampler.spool import (
    LARGEST_PAYLOAD,
    MAGIC,
    Damage,
    Frame,
    SpoolWriter,
    frame,
    read_frames,
)
from clusterplan.launcher.sampler.spool_items import decode, encode
from clusterplan.launcher.sampler.spool_reader import read_node_records, read_spool


def spool(path: Path, payloads: list[Any]) -> Path | None:
    with SpoolWriter(path, {"run": "r", "node": "n", "gpus": []}) as writer:
        for payload in payloads:
            writer.append(payload)
    return path


def pieces_of(data: bytearray | bytes, start: int = 0) -> list[Any]:
    return list(read_frames(io.BytesIO(data), start))


def payloads_of(data: bytes) -> list[Any]:
    return [piece.payload for piece in pieces_of(data) if isinstance(piece, Frame)]


def test_a_spool_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    payloads = [bytes([i]) * i for i in range(1, 100)]
    path = spool(tmp_path / "a.spool", payloads)
    assert payloads_of(path.read_bytes())[1:] == payloads


def test_a_spool_is_private_and_has_one_writer(tmp_path: Path) -> None:
    path = spool(tmp_path / "a.spool", [])
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SpoolError, match="cannot be made: File exists"):
        spool(path, [])


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = spool(tmp_path / "a.spool", [b"one", b"two"])
    data = path.read_bytes()
    _, second, third = pieces_of(data)
    assert [f.payload for f in pieces_of(data, second.end)] == [third.payload]
    assert pieces_of(data, third.end) == []


def test_a_torn_tail_is_left_for_later(tmp_path: Path) -> None:
    data = spool(tmp_path / "a.spool", [b"one", b"two"]).read_bytes()
    for cut in range(1, len(frame(2, b"two"))):
        assert payloads_of(data[:-cut])[1:] == [b"one"]
        assert not [piece for piece in pieces_of(data[:-cut]) if isinstance(piece, Damage)]


@hypothesis_settings(max_examples=200 * SCALE, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=30), st.data())
def test_damage_costs_only_the_frames_it_hits(payloads: list[bytes], data: Any) -> None:
    frames = [frame(i, payload) for i, payload in enumerate(payloads)]
    whole = bytearray(b"".join(frames))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    start, hit = 0, None
    for i, piece in enumerate(frames):
        if start <= position < start + len(piece):
            hit = i
        start += len(piece)
    # A changed length may swallow what follows only if the CRC agrees, which it does not.
    assert payloads_of(bytes(whole)) == [p for i, p in enumerate(payloads) if i != hit]


def test_damage_in_the_middle_is_counted() -> None:
    data = frame(0, b"a") + b"?" * 7 + frame(1, b"b")
    assert [p.end - p.start for p in pieces_of(data) if isinstance(p, Damage)] == [7]


def test_damage_is_found_wherever_a_block_ends() -> None:
    rng = random.Random(4)
    data, expected = bytearray(), list[Damage | Frame]()
    for i in range(60):
        junk = rng.choice((b"", rng.randbytes(rng.randrange(1, 200_000)), MAGIC * 9, bytes(3 * 2**20)))
        whole = frame(i, rng.randbytes(rng.choice((0, 9, 300_000, LARGEST_PAYLOAD))))
        expected += [Damage(len(data), len(data) + len(junk))] if junk else []
        data += junk + whole
        expected.append(Frame(i, whole[16:], len(data)))
    assert pieces_of(data + frame(60, b"torn")[:-1]) == expected


def test_a_spool_of_any_length_is_read_in_a_few_mib(tmp_path: Path) -> None:
    path = spool(tmp_path / "a.spool", [encode(Tick(0, (GpuReading(0),) * 250))] * 20_000)
    assert path.stat().st_size > 20 * 2**20
    tracemalloc.start()
    try:
        record = read_spool(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (record.tick_count, most < 5 * 2**20) == (20_000, True)


def test_a_spool_of_a_newer_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    path.write_bytes(frame(0, b'{"format": 2}'))
    with pytest.raises(SpoolError, match="is of format 2, and this clusterplan reads up to 1: upgrade it"):
        read_spool(path)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", frame(1, b"x"), frame(0, b"[]")])
def test_a_file_that_is_not_a_spool_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.spool"
    path.write_bytes(content)
    with pytest.raises(SpoolError, match="header"):
        read_spool(path)


def limits(code: str) -> Any:
    return st.integers(0, {"B": 2**8, "H": 2**16, "I": 2**32, "Q": 2**64}[code] - 1)


READINGS = st.builds(
    GpuReading,
    gpu=st.integers(0, 255),
    ring=st.lists(
        st.tuples(st.integers(0, 65535).map(lambda ms: ms / 1000), st.integers(0, 100)), max_size=20
    ).map(tuple),
    **{
        name: st.none()
        | (st.integers(0, 1000).map(lambda n: n / 1000) if metric.parts == 1000 else limits(metric.code))
        for name, metric in METRICS.items()
    },
)
TICKS = st.builds(Tick, time_s=st.floats(0, 1e10), readings=st.lists(READINGS, max_size=9).map(tuple))


@hypothesis_settings(max_examples=200 * SCALE, deadline=None)
@given(
    TICKS
    | st.builds(
        Event, time_s=st.floats(0, 1e10), kind=st.text(), text=st.text(), gpu=st.none() | st.integers(0, 9)
    )
)
def test_ticks_and_events_survive_the_round_trip(item: Event | Tick) -> None:
    assert decode(encode(item)) == item


def test_every_field_of_a_reading_has_its_place() -> None:
    assert ("gpu", *METRICS, "ring") == GpuReading._fields


# The metrics of the first release in their order, as spools have them.  This list never changes: the metrics that a
# later release adds get a list of their own below it, and the test compares METRICS with all lists in a row.
FIRST_METRICS = (
    *(("utilisation_percent", "B"), ("memory_utilisation_percent", "B"), ("memory_used_bytes", "Q")),
    *(("power_mw", "I"), ("temperature_c", "H"), ("sm_clock_mhz", "H"), ("memory_clock_mhz", "H")),
    *(("clock_reasons", "Q"), ("energy_mj", "Q"), ("pcie_tx_bytes", "Q"), ("pcie_rx_bytes", "Q")),
    *(("nvlink_tx_kib", "Q"), ("nvlink_rx_kib", "Q"), ("sm_active", "H"), ("occupancy", "H")),
    *(("tensor_active", "H"), ("dram_active", "H"), ("processes", "H")),
)


def test_a_metric_keeps_its_place_and_code() -> None:
    metrics = [(name, metric.code) for name, metric in METRICS.items()]
    assert metrics[: len(FIRST_METRICS)] == list(FIRST_METRICS)


@pytest.mark.parametrize("count", range(len(METRICS)))
def test_a_spool_of_fewer_metrics_is_read(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A spool from before the metrics after the first `count` were added at the end of the registry."""
    reading = GpuReading(3, **dict.fromkeys(METRICS, 1), ring=((0.1, 9),))
    later = list(METRICS)[count:]
    with monkeypatch.context() as before:
        before.setattr(spool_items, "METRICS", dict(list(METRICS.items())[:count]))
        before.setattr(spool_items, "_layout", spool_items._layout.__wrapped__)
        names = [n for n in GpuReading._fields if n not in later]
        shorter = cast("Any", namedtuple("Shorter", names))  # noqa: PYI024  its fields are computed
        values = {name: getattr(reading, name) for name in shorter._fields}
        payload = encode(Tick(5.0, (shorter(**values),)))
    assert decode(payload) == Tick(5.0, (reading._replace(**dict.fromkeys(later)),))


def test_a_spool_of_a_metric_that_is_not_known_says_so() -> None:
    one_bit_more = struct.pack("<BdBBIB", 1, 5.0, 1, 0, 1 << len(METRICS), 0)
    with pytest.raises(SpoolError, match="metrics of a newer clusterplan: upgrade it"):
        decode(one_bit_more)


def test_a_metric_that_could_not_be_read_takes_no_byte() -> None:
    full = len(encode(Tick(0, (GpuReading(0, utilisation_percent=1, energy_mj=2),))))
    assert full - len(encode(Tick(0, (GpuReading(0),)))) == 1 + 8


@pytest.mark.parametrize(
    "payload", [b"", b"\x01", b"\x02{", b"\x09abc", encode(Tick(0, (GpuReading(0),)))[:-1]]
)
def test_content_that_cannot_be_read_is_a_spool_error(payload: bytes) -> None:
    with pytest.raises(SpoolError):
        decode(payload)


WRITER = """
import sys, time
from pathlib import Path
from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode
with SpoolWriter(Path(sys.argv[1]), {"run": "r", "node": "n", "gpus": []}) as spool:
    for i in range(10**9):
        spool.append(encode(Tick(float(i), tuple(GpuReading(g, energy_mj=i) for g in range(8)))))
        sys.stdout.write(f"{i}\\n")  # acknowledged
        sys.stdout.flush()
"""


def test_a_killed_writer_loses_nothing_it_has_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(3)
    for i in range(6 * SCALE):
        path = tmp_path / f"{i}.spool"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout.readline() == "0\n"
            time.sleep(rng.uniform(0, 0.1))
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = int(([0] + [int(line) for line in writer.stdout.read().split("\n")[:-1]])[-1])
        record = read_spool(path)
        assert [tick.time_s for tick in record.ticks()] == [float(n) for n in range(record.tick_count)]
        assert record.tick_count > acknowledged
        assert record.damaged_bytes == 0


def test_a_full_disk_is_an_error_and_leaves_a_readable_spool(tmp_path: Path) -> None:
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from pathlib import Path
from clusterplan.errors import SpoolError
from clusterplan.launcher.sampler.spool import SpoolWriter
with SpoolWriter(Path({str(tmp_path / "a.spool")!r}), {{"run": "r", "node": "n", "gpus": []}}) as spool:
    try:
        for i in range(1000):
            spool.append(b"\\x02{{\\"time_s\\": 1, \\"kind\\": \\"k\\", \\"text\\": \\"t\\"}}")
    except SpoolError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "is the disk full?" in done.stdout or "File too large" in done.stdout
    (record,) = read_node_records(tmp_path)
    assert len(record.events) > 10
