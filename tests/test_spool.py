"""Spools: they are read back as they were written, whatever a crash leaves behind."""

import io
import json
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
    FIRST_COPY,
    LARGEST_PAYLOAD,
    MAGIC,
    Damage,
    Frame,
    SpoolWriter,
    frame,
    read_frames,
)
from clusterplan.launcher.sampler.spool_items import OWN_COLUMNS, decode, encode
from clusterplan.launcher.sampler.spool_reader import open_spool, read_items, read_node_records, read_spool


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
    header, *others = payloads_of(path.read_bytes())
    assert others.pop(FIRST_COPY - 1) == header
    assert others == payloads


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


@hypothesis_settings(max_examples=80 * SCALE, deadline=None)
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


def test_a_file_of_nothing_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (path := tmp_path / "n1.0.spool").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SpoolError, match="is no spool"):
        read_spool(path)


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


@pytest.mark.parametrize("content", [b"SQLite format 3\0", frame(1, b"x"), frame(0, b"[]")])
def test_a_file_that_is_not_a_spool_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.spool"
    path.write_bytes(content)
    with pytest.raises(SpoolError, match="header"):
        read_spool(path)


@pytest.mark.parametrize("bytes_", range(17))
def test_a_sampler_killed_before_its_header_leaves_an_empty_spool(tmp_path: Path, bytes_: int) -> None:
    path = tmp_path / "n1.00000000.spool"
    path.write_bytes(frame(0, b'{"format": 1}')[:bytes_])
    record = read_spool(path)
    assert (record.tick_count, record.events, record.header.node) == (0, (), "n1")


def test_the_header_is_repeated_ever_more_rarely(tmp_path: Path) -> None:
    data = spool(tmp_path / "a.spool", [b"\x01"] * 4000).read_bytes()
    headers = [piece.sequence for piece in pieces_of(data) if piece.payload[:1] == b"{"]
    assert headers == [0, 60, 120, 240, 480, 960, 1920, 3840]


def test_every_flipped_byte_of_a_header_costs_nothing(tmp_path: Path) -> None:
    """Each of 286 flips in a header once cost the whole spool."""
    header = {"node": "n1", "period_s": 1.0, "time_s": 9.0, "gpus": [{"uuid": "GPU-7", "name": "NVIDIA L4"}]}
    path = tmp_path / "n1.00000000.spool"
    with SpoolWriter(path, header) as writer:
        for second in range(70):
            writer.append(encode(Tick(float(second), (GpuReading(0),))))
    whole = read_spool(path)
    data = path.read_bytes()
    assert data[4:8] == bytes(4)
    for place in range(pieces_of(data)[0].end):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        record = read_spool(path)
        assert (record.header, record.tick_count) == (whole.header, 70)


def test_ticks_without_any_header_are_of_unknown_gpus(tmp_path: Path) -> None:
    path = tmp_path / "node.of.site.1f2e3d4c.spool"
    path.write_bytes(frame(1, encode(Tick(5.0, (GpuReading(2, power_mw=7),)))))
    record = read_spool(path)
    assert (record.header.is_known, record.header.node) == (False, "node.of.site")
    assert [tick.readings[0].power_mw for tick in record.ticks()] == [7]
    assert record.header.gpu(2).uuid == "unknown-2@node.of.site.1f2e3d4c.spool"


def test_copies_and_what_comes_out_of_order_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "n.0.spool"
    ticks = [encode(Tick(float(second), (GpuReading(0),))) for second in range(5)]
    frames = [frame(0, b'{"format": 1}')] + [frame(1 + i, tick) for i, tick in enumerate(ticks)]
    # Frames 2 and 3 come again, 1 comes late, and the file begins anew.
    path.write_bytes(b"".join([*frames[:4], *frames[2:4], frames[5], frames[1], *frames[:2]]))
    record = read_spool(path)
    assert [tick.time_s for tick in record.ticks()] == [0.0, 1.0, 2.0, 4.0]
    assert record.tick_count == 4
    assert record.damaged_bytes == sum(map(len, [*frames[2:4], frames[1], *frames[:2]]))


@pytest.mark.parametrize(
    "values",
    [
        *(
            {"gpus": 5},
            {"gpus": None},
            {"gpus": [5, None, {"uuid": 7}, {"uuid": ""}]},
            {"node": 5},
            {"node": ""},
        ),
        *({"period_s": "x"}, {"period_s": -1}, {"period_s": float("nan")}, {"time_s": 1e300}, {"driver": []}),
        *({"metrics": 5}, {"metrics": [["x"]]}, {"metrics": [["x", "Z", 1]]}, {"metrics": [["x", "B", 0]]}),
        *(
            {"metrics": [[]] * 99},
            {"gpus": [{"uuid": "G", "memory_bytes": -1, "power_limit_w": 1e9, "index": 3}]},
        ),
    ],
    ids=str,
)
def test_what_a_header_cannot_be_is_left_out_of_it(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "n1.00000000.spool"
    path.write_bytes(frame(0, json.dumps({"format": 1, **values}).encode()) + frame(1, encode(Tick(1.0, ()))))
    header = read_spool(path).header
    assert (header.node, header.columns, header.is_known) == ("n1", OWN_COLUMNS, True)
    assert (header.period_s, header.time_s, header.driver) == (None, None, None)
    assert {(gpu.memory_bytes, gpu.power_limit_w, gpu.index) for gpu in header.gpus} <= {(None, None, None)}


def test_a_spool_of_more_metrics_is_read_without_them(tmp_path: Path) -> None:
    """The header names them, so that their bytes can be skipped."""
    metrics = [["power_mw", "I", 1], ["fan_percent", "B", 1], ["sm_active", "H", 100]]
    header = frame(0, json.dumps({"format": 1, "gpus": [{"uuid": "G"}], "metrics": metrics}).encode())
    reading = struct.pack("<BIIBHB", 0, 0b111, 5000, 42, 50, 0)
    path = tmp_path / "n1.00000000.spool"
    path.write_bytes(header + frame(1, struct.pack("<BdB", 1, 9.0, 1) + reading))
    assert list(read_spool(path).ticks()) == [Tick(9.0, (GpuReading(0, power_mw=5000, sm_active=0.5),))]


def test_values_that_cannot_be_are_left_out_one_by_one(tmp_path: Path) -> None:
    gpu = {"uuid": "G", "memory_bytes": 80 * 10**9, "power_limit_w": 700.0}
    wrong: dict[str, Any] = {
        "memory_used_bytes": 161 * 10**9,
        "utilisation_percent": 255,
        "power_mw": 4_000_000,
        "sm_active": 60.0,
    }
    reading = GpuReading(0, **wrong, temperature_c=60, energy_mj=2**64 - 1, ring=((0.1, 200), (0.0, 90)))
    with SpoolWriter(path := tmp_path / "n1.0.spool", {"node": "n1", "gpus": [gpu]}) as writer:
        writer.append(encode(Tick(9.0, (reading, GpuReading(5, power_mw=3)))))
    with open_spool(path) as (file, header):
        items = list(read_items(file, header))
    expected = Tick(9.0, (GpuReading(0, temperature_c=60, ring=((0.0, 90),)), GpuReading(5, power_mw=3)))
    assert [item for item, _ in items] == [None, expected]
    assert items[-1][1].dropped == len(wrong) + 2


def test_a_time_far_from_that_of_the_header_is_damage_where_no_step_moves_the_clock(tmp_path: Path) -> None:
    """A tick of 2099 once made 70 years of GPU-hours."""
    times = [1.7e9, 1.7e9 + 1, 4e9, 1.6e9, 1.7e9 + 2]
    for steady, expected in ((True, [1.7e9, 1.7e9 + 1, 1.7e9 + 2]), (False, times)):
        path = tmp_path / f"{steady}.0.spool"
        with SpoolWriter(path, {"node": "n", "time_s": 1.7e9, "steady": steady, "gpus": []}) as writer:
            for time_s in times:
                writer.append(encode(Tick(time_s, ())))
        assert [tick.time_s for tick in read_spool(path).ticks()] == expected


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), -1.0, 1.8e12, 1e300])
def test_a_tick_at_a_time_that_cannot_be_is_damage(tmp_path: Path, time_s: float) -> None:
    ticks = [encode(Tick(moment, (GpuReading(0),))) for moment in (1.0, time_s, 2.0)]
    record = read_spool(spool(tmp_path / "n1.0.spool", ticks))
    assert [tick.time_s for tick in record.ticks()] == [1.0, 2.0]


@pytest.mark.parametrize(
    "values",
    [
        *(
            [],
            5,
            {},
            {"time_s": 1},
            {"time_s": "x", "kind": "k", "text": "t"},
            {"time_s": 1, "kind": 5, "text": "t"},
        ),
        *({"time_s": 1, "kind": "k", "text": None}, {"time_s": 1e300, "kind": "k", "text": "t"}),
    ],
    ids=str,
)
def test_an_event_that_cannot_be_is_damage(tmp_path: Path, values: Any) -> None:
    payload = b"\x02" + json.dumps(values).encode()
    assert read_spool(spool(tmp_path / "n1.0.spool", [payload])).events == ()


def test_an_event_is_cut_to_what_a_person_reads() -> None:
    values = {
        "time_s": 1,
        "kind": "k" * 10**5,
        "text": "t" * 10**5,
        "gpu": "x",
        "later": "a key of a newer version",
    }
    event = decode(b"\x02" + json.dumps(values).encode())
    assert isinstance(event, Event)
    assert (len(event.kind), len(event.text), event.gpu) == (40, 1000, None)


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
TICKS = st.builds(Tick, time_s=st.floats(0, 4e9), readings=st.lists(READINGS, max_size=9).map(tuple))


@hypothesis_settings(max_examples=80 * SCALE, deadline=None)
@given(
    TICKS
    | st.builds(
        Event,
        time_s=st.floats(0, 4e9),
        kind=st.text(max_size=40),
        text=st.text(max_size=1000),
        gpu=st.none() | st.integers(0, 9),
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
