"""A damaged history: one line says what is wrong and what helps, and what can be read is read."""

import base64
import sqlite3
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan.errors import DamagedBlock, HistoryError
from clusterplan.estimator.gpu_use.reading import METRICS, GpuReading
from clusterplan.estimator.history.integrity import check_integrity
from clusterplan.estimator.history.packed_block import (
    FIRST_METRICS,
    MOST_TICKS,
    NAMED,
    check_block,
    pack,
    unpack,
)
from clusterplan.estimator.history.runs import History

T0 = 1_763_900_400.0
GPU = {"uuid": "GPU-0", "index": "0", "name": "NVIDIA H100 80GB HBM3"}
ROWS = [
    (
        T0 - 400 + i,
        GpuReading(
            0,
            utilisation_percent=90 + i,
            memory_used_bytes=10**9 * (i + 1),
            power_mw=100_000 + i,
            energy_mj=5_000_000 + i * 100_000,
            sm_active=0.5,
            ring=((0.5, 90), (0.0, 91)) if i != 1 else (),
        ),
    )
    for i in range(3)
]
# `ROWS` as each format has packed them.
BLOCKS = {
    "no names": (
        "eJxiZmBgEGJgYGBkZGS4cAEgPnZ2gFwYGBIZGEwZGJgZoAAgRkbGLUxMADEwMACECQBiYGAAiJGRkYGBAaApU6YAZGpqWl5ejiwF"
        "ECMjowMTE0C8DAwAMWPoAoiBgQEgBgYGgBgYGABiYGAAiJGRscHBAaBpvLwAzWBGVwgQAwMDQAwMDAAxMDAAxMDAABAjI+MLBgaA"
        "mBkYAMIEADEwMADEwMAAEAMDA0AMDAwAMTIysjCzAMTAwAAQJgCIkZGR8cXzF88BYmZmZgYIl3aAGBkZGbcwMTIBxMDAwAAQLgAY"
        "AK2SDz8="
    ),
    "names": (
        "eJwEwYENwyAMBECjLsIGxpN0BCtNXhVVDRE4idgyG5G7FxHNOeebDs//3BfPteiOtqI4SzRYbUOPjk0/w9FZ4l4vNLWLJaKgfYfa"
        "jyV202X1fIIlpRRCoPt+xMfODpALA0MiA4MpAwMzAxQAxMjIuIWJCSAGBgaAMAFAjIyMDAwMAE2ZMgUgU1PT8vJyZCmAGBkZHZiY"
        "AOJlYACIGUMXQIyMjA0ODgBN4+UFaAYzuiRAjIyMLxgYAGJmYAAIEwDEyMjIwswCEAMDA0CYACBGRkbGF89fPAeImZmZGSCsChgY"
        "GABiZGRk3MLEyAQQAwMDA0C4AGAAb9Uwhw=="
    ),
}


def compress(data: bytes) -> bytes:
    return zlib.compress(data)


def head(readings: int, names: str) -> bytes:
    return struct.pack("<IIH", readings, NAMED, len(names)) + names.encode()


def column(*values: int) -> bytes:
    """A column in which every reading has a value."""
    differences = [b - a for a, b in zip((0, *values), values, strict=False)]
    folded = [2 * d if d >= 0 else -2 * d - 1 for d in differences]
    return bytes([1] * len(values)) + b"".join(
        bytes((number >> 8 * plane) & 255 for number in folded) for plane in range(8)
    )


@pytest.mark.parametrize("form", BLOCKS)
def test_a_block_of_each_format_is_read(form: str) -> None:
    packed = base64.b64decode(BLOCKS[form])
    # The fields of a reading may be others by now.
    assert [(time_s, reading._asdict()) for time_s, reading in unpack(packed, 3)] == [
        (time_s, reading._asdict()) for time_s, reading in ROWS
    ]


def test_the_names_of_the_first_blocks_are_those_of_today() -> None:
    assert {name.split("/")[0] for name in FIRST_METRICS} <= set(METRICS)


def test_a_column_of_a_newer_version_is_skipped() -> None:
    """The unknown column is in the middle, and the known ones are in another order than today's."""
    block = head(2, "power_mw/1 fan_percent/1 utilisation_percent/1")
    block += column(1000, 2000) + column(7, 8) + column(30, 31) + column(90, 80) + column(0, 0)
    assert unpack(compress(block), 2) == [
        (1.0, GpuReading(0, power_mw=7, utilisation_percent=90)),
        (2.0, GpuReading(0, power_mw=8, utilisation_percent=80)),
    ]


def test_the_parts_of_a_unit_are_those_of_the_block() -> None:
    block = head(1, "sm_active/10") + column(1000) + column(5) + column(0)
    assert unpack(compress(block), 1) == [(1.0, GpuReading(0, sm_active=0.5))]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"x",
        None,
        7,
        "text",
        compress(b""),
        compress(b"\1" * 9),
        compress(head(2, "") + column(1, 2)),
        compress(head(1, "power_mw/0") + column(1) * 3),
        compress(head(1, "power_mw/x") + column(1) * 3),
        compress(head(1, "\xff") + column(1) * 3),
        compress(struct.pack("<II", 1, 2**31)),
        compress(head(2**32 - 1, "")),
        compress(head(1, "") + column(2**62) + column(0)),
        compress(head(1, "") + column(1) + column(2**40)),
    ],
    ids=repr,
)
def test_a_damaged_block_is_one_fault(block: Any) -> None:
    for read in (unpack, check_block):
        with pytest.raises(DamagedBlock):
            read(block)


def test_every_flipped_bit_of_a_block_is_seen() -> None:
    packed = pack(ROWS)
    for place in range(len(packed)):
        for bit in (0, 3, 7):
            flipped = bytearray(packed)
            flipped[place] ^= 1 << bit
            try:
                assert unpack(bytes(flipped), 3) == ROWS  # a bit that zlib does not use
            except DamagedBlock:
                with pytest.raises(DamagedBlock):
                    check_block(bytes(flipped), 3)


@pytest.mark.parametrize(
    "bomb",
    [bytes(64 << 20), head(10**6, "power_mw/1") + bytes(40 << 20), head(30_000, "") + bytes(64 << 20)],
    ids=["zeroes", "readings", "tail"],
)
def test_a_block_unpacks_to_no_more_than_ten_minutes(bomb: bytes) -> None:
    packed = compress(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedBlock):
            unpack(packed)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100 << 20


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A history of two runs; the first one's block has a bit flipped."""
    with History(tmp_path / "history.db") as opened:
        for run in ("bad", "good"):
            with opened.writing():
                opened.put_run({"run": run, "folder": "/r", "state": "running", "began_s": T0})
                opened.put_node(run, "n1", {"period_s": 1.0}, [GPU])
                opened.put_readings(run, "n1.spool", "GPU-0", ROWS)
        packed = bytearray(opened._rows("SELECT packed FROM raw_block WHERE run = 'bad'")[0]["packed"])
        packed[40] ^= 8
        with opened.writing():
            opened._db.execute("UPDATE raw_block SET packed = ? WHERE run = 'bad'", (bytes(packed),))
        yield opened


def test_the_check_reads_every_block_and_names_the_bad_one(history: History) -> None:
    (fault,) = check_integrity(history.path).faults
    assert fault.startswith("run bad: the readings of GPU-0 from 2025-11-23 12:10 UTC on: ")


@pytest.mark.parametrize("packed", [None, 5, "text", b""], ids=repr)
def test_the_check_survives_what_is_no_block(history: History, packed: Any) -> None:
    history._db.execute("PRAGMA ignore_check_constraints = 1")
    with history.writing():
        history._db.execute("UPDATE raw_block SET uuid = 'x', time_s = 1e300 WHERE run = 'bad'")
        if packed is not None:
            history._db.execute("UPDATE raw_block SET packed = ? WHERE run = 'bad'", (packed,))
    assert "run bad" in " ".join(check_integrity(history.path).faults)


def test_more_readings_after_a_bad_block_are_a_fault_of_that_run_alone(history: History) -> None:
    fresh = [(T0, GpuReading(0, power_mw=1))]
    remedy = r"run bad: the readings of GPU-0 .*`clusterplan history import --rebuild` makes the history anew"
    with pytest.raises(DamagedBlock, match=remedy), history.writing():
        history.put_readings("bad", "n1.spool", "GPU-0", [(ROWS[-1][0] + 1, GpuReading(0))])
    with pytest.raises(DamagedBlock, match=remedy):
        list(history.readings("bad", "GPU-0"))
    with pytest.raises(DamagedBlock, match=remedy):
        history.activity("bad", T0 - 500, T0)
    with history.writing():
        history.put_readings("good", "n1.spool", "GPU-0", fresh)
    assert len(list(history.readings("good", "GPU-0"))) == len(ROWS) + 1


def test_a_block_takes_no_more_readings_than_ten_minutes_have(history: History) -> None:
    """Readings a millisecond apart, as no sampler makes them."""
    for first, number in ((0, MOST_TICKS + 5), (MOST_TICKS + 5, 5)):
        rows = [(T0 + (first + place) / 1e6, GpuReading(0)) for place in range(number)]
        with history.writing():
            history.put_readings("good", "n2.spool", "GPU-0", rows)
    (block,) = history._rows(
        "SELECT ticks FROM raw_block WHERE run = 'good' AND time_s = ?", (int(T0 // 600) * 600,)
    )
    assert block["ticks"] == MOST_TICKS


def test_a_value_that_its_column_cannot_hold_is_damage(history: History) -> None:
    """SQLite's columns hold any type, so a flipped bit may make a text of a time."""
    for column_, value in (("began_s", b"\x00"), ("began_s", 1e300), ("state", 5.5), ("name", b"x")):
        with sqlite3.connect(history.path) as db:
            db.execute(f"UPDATE run SET {column_} = ? WHERE run = 'good'", (value,))  # noqa: S608  ours
        db.close()
        if column_ == "state":  # a TEXT column makes a text of a number
            assert history._rows("SELECT state FROM run WHERE run = 'good'")[0]["state"] == "5.5"
            continue
        with pytest.raises(HistoryError, match=f"damaged: {column_} is .*history import --rebuild"):
            history._rows("SELECT * FROM run")
        with sqlite3.connect(history.path) as db:
            db.execute(f"UPDATE run SET {column_} = NULL WHERE run = 'good'")  # noqa: S608  ours
        db.close()


def test_an_ambiguous_gpu_in_a_csv_is_one_line(in_process: Command, tmp_path: Path) -> None:
    """A precision is given, so that nothing else asks which GPU it is."""
    file = tmp_path / "measured.csv"
    file.write_text(
        "model,gpu,gpus,batch_size,precision,step_time_s\nphi2,a100,1,8,bf16,0.5\n", encoding="utf-8"
    )
    done = in_process("history", "add", "--csv", file)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "a100" in done.stderr


def read_all(path: Path) -> None:
    with History(path) as history:
        history.runs()
        history.measurements()


@pytest.mark.parametrize("place", [b"seq_len", b"data_wait_share", b"CREATE TABLE run ("], ids=str)
def test_a_name_that_is_no_text_is_damage(history: History, place: bytes) -> None:
    history.close()
    data = history.path.read_bytes()
    history.path.write_bytes(data.replace(place, b"\xff" + place[1:], 1))
    with pytest.raises(HistoryError, match="history check"):
        read_all(history.path)
    assert check_integrity(history.path).faults


@pytest.mark.parametrize("uuids", ["5", "[", "{}", "[" * 10**5], ids=lambda text: text[:9])
def test_a_list_that_is_none_is_damage(history: History, uuids: str) -> None:
    with history.writing():
        history.put_notes("good", [{"code": "idle", "text": "t", "uuids": ["GPU-0"]}])
        history._db.execute("UPDATE note SET uuids = ?", (uuids,))
    with pytest.raises(HistoryError, match=r"damaged: uuids is .*history import --rebuild"):
        history.record("good")
