"""The history: folders are folded in once, whatever happens on the way, and any tool can read it."""

import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import SCALE, Command
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterplan.errors import HistoryError, SpoolError
from clusterplan.estimator.gpu_use.energy_counter import CounterReading, fold_counter, most_energy_mj
from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.estimator.gpu_use.report import build_report
from clusterplan.estimator.gpu_use.rollup import COLUMNS, roll_up
from clusterplan.estimator.history.integrity import check_integrity
from clusterplan.estimator.history.packed_block import pack, unpack
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run, write_json
from clusterplan.launcher.runs.collect import collect_run, folders_of_history, folders_to_collect
from clusterplan.launcher.sampler.spool import Frame, SpoolWriter, frame, read_frames
from clusterplan.launcher.sampler.spool_items import encode

T0 = 1_763_900_000.0  # 2025-11-23, a multiple of neither 60 nor 600
GPUS = [{"uuid": f"GPU-{i}", "name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 10**9} for i in range(2)]


def tick(second: Any) -> Tick:
    """Two GPUs: one busy at 90 %, one in a square wave of 100 and 0; both draw 100 W."""
    wave = 100 if second % 2 else 0
    return Tick(
        T0 + second,
        tuple(
            GpuReading(
                gpu,
                utilisation_percent=use,
                memory_used_bytes=10**9 * (second + 1),
                power_mw=100_000,
                energy_mj=5_000_000 + second * 100_000,
                clock_reasons=0x40 if second < 30 else 0,
                ring=((0.5, use), (0.0, use)),
            )
            for gpu, use in ((0, 90), (1, wave))
        ),
    )


def spool_header(node: str = "n1") -> dict[str, Any]:
    return {"run": "r", "node": node, "period_s": 1.0, "driver": "570", "attribution": "uuid", "gpus": GPUS}


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A run's folder with one spool of 100 s, and a lost GPU."""
    facts = {"kind": "sample", "model": "phi2", "command": ["train"], "host": "h", "began_s": T0}
    made = create_run_folder("train", tmp_path / "runs", datetime(2025, 11, 23, tzinfo=UTC), facts)
    with SpoolWriter(made / "n1.00000000.spool", spool_header()) as spool:
        for second in range(100):
            spool.append(encode(tick(second)))
        spool.append(encode(Event(T0 + 99, "gpu_lost", "GPU-1 is lost", 1)))
    write_json(made / "status.json", {"state": "completed", "exit_code": 0, "ended_s": T0 + 100})
    return made


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "h" / "history.db") as opened:
        yield opened


def dump(path: Path) -> dict[str, Any]:
    """Everything the file says."""
    with sqlite3.connect(path) as db:
        names = [
            r[0]
            for r in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%migr%'"
            )
        ]
        found = {name: sorted(db.execute(f"SELECT * FROM {name}"), key=str) for name in names}  # noqa: S608
    db.close()
    return found


def test_a_run_is_summed_up_by_gpu(folder: Path, history: History) -> None:
    collect_run(folder, history)
    busy, wave = history.gpus(folder.name)
    assert (busy["ticks"], busy["utilisation_mean"], wave["utilisation_mean"]) == (100, 90, 50)
    assert (busy["power_mean_w"], busy["energy_j"]) == (100, 9900)
    assert busy["memory_peak_gib"] == pytest.approx(100 * 10**9 / 2**30, abs=0.1)
    assert [(e["kind"], e["uuid"]) for e in history.events(folder.name)] == [("gpu_lost", "GPU-1")]
    (run,) = history.runs()
    assert (run["state"], run["seconds"], run["gpus"], run["utilisation_mean"]) == ("completed", 100, 2, 70)


def test_a_folder_that_is_no_run_is_not_imported(ran: Callable[..., Any], tmp_path: Path) -> None:
    done = ran("import", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is no run folder: it has no run.json" in done.stderr


def test_importing_twice_changes_nothing(folder: Path, history: History) -> None:
    collect_run(folder, history)
    once = dump(history.path)
    collect_run(folder, history)
    assert dump(history.path) == once


def test_an_ended_run_that_is_all_there_is_not_read_again(folder: Path, history: History) -> None:
    collect_run(folder, history)
    spool = folder / "n1.00000000.spool"
    spool.write_bytes(b"?" * spool.stat().st_size)  # reading it would be an error
    collect_run(folder, history)
    assert history.gpus(folder.name)[0]["ticks"] == 100


def test_a_running_run_is_read_again(folder: Path, history: History) -> None:
    (folder / "status.json").unlink()
    collect_run(folder, history)
    assert history.runs()[0]["state"] == "running"
    write_json(folder / "status.json", {"state": "failed", "exit_code": 3, "ended_s": T0 + 100})
    collect_run(folder, history)
    assert history.runs()[0]["state"] == "failed"


def test_importing_in_pieces_is_importing_at_once(folder: Path, history: History, tmp_path: Path) -> None:
    spool = folder / "n1.00000000.spool"
    whole = spool.read_bytes()
    for cut in range(400, len(whole), 997):
        spool.write_bytes(whole[:cut])  # as it was while the run still wrote
        collect_run(folder, history)
    spool.write_bytes(whole)
    collect_run(folder, history)
    with History(tmp_path / "other.db") as other:
        collect_run(folder, other)
    assert dump(history.path) == dump(other.path)


def test_steps_may_be_left_for_later(folder: Path, history: History) -> None:
    steps = folder / "progress.jsonl"
    steps.write_text('{"kind": "dtype", "time_s": 1, "step": 1, "dtype": "bfloat16"}\n', encoding="utf-8")
    for later, read in ((False, 0), (True, steps.stat().st_size)):
        collect_run(folder, history, steps=later)
        assert history.spool_position(folder.name, steps.name)[0] == read
        assert history.precision_of(folder.name)[1] == "bf16"


def test_damage_is_counted_and_the_rest_is_kept(folder: Path, history: History) -> None:
    spool = folder / "n1.00000000.spool"
    data = bytearray(spool.read_bytes())
    data[len(data) // 2] ^= 255
    spool.write_bytes(data)
    collect_run(folder, history)
    assert history.gpus(folder.name)[0]["ticks"] == 99
    assert dump(history.path)["spool"][0][-1] > 0


def frames_of(data: bytes) -> list[bytes]:
    """The frames of a spool, each whole."""
    ends = [0] + [piece.end for piece in read_frames(io.BytesIO(data)) if isinstance(piece, Frame)]
    return [data[begin:end] for begin, end in pairwise(ends)]


def test_frames_that_come_again_count_once(folder: Path, history: History, tmp_path: Path) -> None:
    """Duplicated and reordered frames once doubled the energy."""
    spool = folder / "n1.00000000.spool"
    collect_run(folder, history)
    frames = frames_of(spool.read_bytes())
    spool.write_bytes(b"".join([*frames[:50], *frames[20:50], frames[10], *frames[50:]]))
    with History(tmp_path / "other.db") as other:
        collect_run(folder, other)
        assert other.gpus(folder.name) == history.gpus(folder.name)
        assert dump(other.path)["raw_block"] == dump(history.path)["raw_block"]
        assert other.spool_position(folder.name, spool.name).damaged_bytes == len(
            b"".join(frames[20:50]) + frames[10]
        )


def test_a_lot_is_never_refused_for_one_value(folder: Path, history: History) -> None:
    """A memory above 2^63 once ended the collection of its spool for ever, as did a GPU that the header has not."""
    with SpoolWriter(
        folder / "n2.00000000.spool", spool_header("n2") | {"gpus": [GPUS[0] | {"uuid": "GPU-9"}]}
    ) as spool:
        wrong = GpuReading(
            0, utilisation_percent=50, memory_used_bytes=2**64 - 1, energy_mj=2**64 - 1, power_mw=2**32 - 1
        )
        spool.append(
            encode(Tick(T0, (GpuReading(0, utilisation_percent=50), GpuReading(7, utilisation_percent=10))))
        )
        spool.append(encode(Tick(T0 + 1, (wrong,))))
        spool.append(encode(Tick(1e300, (wrong,))))
        spool.append(encode(Event(T0 + 1, "xid", "79", 200)))
    collect_run(folder, history)
    gpus = {gpu["uuid"]: gpu for gpu in history.gpus(folder.name)}
    assert list(gpus) == [
        "GPU-0",
        "GPU-1",
        "GPU-9",
        "unknown-7@n2.00000000.spool",
        "unknown-200@n2.00000000.spool",
    ]
    known = gpus["GPU-9"]
    assert (known["ticks"], known["utilisation_mean"], known["memory_peak_gib"]) == (2, 50, None)
    assert (gpus["unknown-7@n2.00000000.spool"]["utilisation_mean"], known["energy_j"]) == (10, None)
    position = history.spool_position(folder.name, "n2.00000000.spool")
    assert (position.dropped, position.offset) == (3, (folder / "n2.00000000.spool").stat().st_size)
    (note,) = [note for note in build_report(history.record(folder.name)).notes if note.code == "damage"]
    assert note.text == "n2: 53 bytes of readings are damaged and 3 values cannot be right; left out"


def test_a_spool_without_any_header_waits_for_a_copy_while_the_run_goes_on(
    folder: Path, history: History
) -> None:
    spool = folder / "n1.00000000.spool"
    data = spool.read_bytes()
    header = len(frames_of(data)[0])
    spool.write_bytes(bytes(header) + data[header:][:2000])
    status = (folder / "status.json").read_bytes()
    (folder / "status.json").unlink()
    collect_run(folder, history)
    assert history.gpus(folder.name) == []
    spool.write_bytes(bytes(header) + data[header:])
    collect_run(folder, history)
    assert [(gpu["uuid"], gpu["ticks"]) for gpu in history.gpus(folder.name)] == [
        ("GPU-0", 100),
        ("GPU-1", 100),
    ]
    (folder / "n2.00000000.spool").write_bytes(bytes(header) + data[header:][:2000])
    (folder / "status.json").write_bytes(status)
    collect_run(folder, history)
    assert [gpu["uuid"] for gpu in history.gpus(folder.name)][2:] == [
        "unknown-0@n2.00000000.spool",
        "unknown-1@n2.00000000.spool",
    ]


def test_a_copy_of_a_spool_counts_once(folder: Path, history: History) -> None:
    spool = folder / "n1.00000000.spool"
    shutil.copy(spool, folder / "n1.backup.spool")
    collect_run(folder, history)
    assert [(gpu["ticks"], gpu["energy_j"]) for gpu in history.gpus(folder.name)] == [(100, 9900)] * 2
    assert folders_to_collect(history) == []
    assert history.has_whole(folder.name, {path.name: path.stat().st_size for path in folder.glob("*.spool")})
    spool.rename(folder / "n1.renamed.spool")
    (folder / "n1.backup.spool").unlink()
    with History(history.path.with_name("other.db")) as other:
        collect_run(folder, other)
        assert other.gpus(folder.name)[0]["ticks"] == 100


def test_a_torn_end_is_not_read_again_and_again(folder: Path, history: History) -> None:
    spool = folder / "n1.00000000.spool"
    spool.write_bytes(spool.read_bytes()[:-3])
    (folder / "n2.00000000.spool").touch()
    collect_run(folder, history)
    assert history.has_whole(folder.name, {path.name: path.stat().st_size for path in folder.glob("*.spool")})


def test_what_is_no_file_is_no_spool(folder: Path, history: History) -> None:
    (folder / "n2.00000000.spool").symlink_to("nowhere")
    os.mkfifo(folder / "n3.00000000.spool")
    (folder / "n4.00000000.spool").mkdir()
    (folder / "n5.00000000.spool").symlink_to("/dev/zero")
    (folder / "n6.00000000.spool").touch()  # its sampler was killed before the header
    collect_run(folder, history)
    assert history.gpus(folder.name)[0]["ticks"] == 100


def test_a_spool_of_a_newer_version_is_refused_and_the_run_is_kept(folder: Path, history: History) -> None:
    (folder / "n2.00000000.spool").write_bytes(frame(0, b'{"format": 9}'))
    with pytest.raises(SpoolError, match="is of format 9"):
        collect_run(folder, history)
    assert history.gpus(folder.name)[0]["ticks"] == 100


def test_raw_readings_come_back_as_they_were(folder: Path, history: History) -> None:
    collect_run(folder, history)
    found = list(history.readings(folder.name, "GPU-0"))
    assert [(t, r.energy_mj, r.ring) for t, r in found] == [
        (tick(s).time_s, tick(s).readings[0].energy_mj, tick(s).readings[0].ring) for s in range(100)
    ]


def test_rollups_tell_flat_half_from_dead_half_the_time(folder: Path, history: History) -> None:
    collect_run(folder, history)
    rows = [
        dict(zip(("min", "max", "p50"), r, strict=True))
        for r in sqlite3.connect(history.path).execute(
            "SELECT utilisation_min, utilisation_max, utilisation_p50 FROM rollup WHERE uuid = 'GPU-1' AND width_s = 60"
        )
    ]
    assert all((row["min"], row["max"]) == (0, 100) for row in rows)
    assert len(rows) == 2


def test_throttling_is_a_share_of_the_time(folder: Path, history: History) -> None:
    collect_run(folder, history)
    first, second = (
        sqlite3.connect(history.path)
        .execute("SELECT throttled_share FROM rollup WHERE uuid = 'GPU-0' AND width_s = 60 ORDER BY time_s")
        .fetchall()
    )
    whole = [60 - int(T0 % 60), 100 - (60 - int(T0 % 60))]
    assert first[0] * whole[0] + second[0] * whole[1] == pytest.approx(30)


def test_a_counter_that_is_reset_does_not_lose_energy() -> None:
    assert energy_mj([1000, 4000, 4500, 5000, 0, 1000]) == 5000
    assert energy_mj([]) is None


def energy_mj(
    counter: Sequence[int], period_s: float = 1.0, power_limit_w: float | None = 700.0
) -> int | None:
    """What a counter added that was read once a second."""
    readings = [CounterReading(place * period_s, mj) for place, mj in enumerate(counter)]
    return fold_counter(readings, power_limit_w)[0]


STEADY = [5_000_000_000 + 500_000 * second for second in range(100)]  # 500 W


@pytest.mark.parametrize(
    "glitch", [2**62, 2**40, 5_000_000_000 - 400_000, 4_000_000_000, 8_000_000_000, 0, 1]
)
def test_a_counter_that_jumps_costs_its_own_seconds_alone(glitch: int) -> None:
    """One jump once made a report line of 64 MB; a fall of 100 mJ once counted as all energy since the driver's start."""
    whole = STEADY[-1] - STEADY[0]
    counted = energy_mj([*STEADY[:50], glitch, *STEADY[51:]])
    assert counted is not None
    assert whole - 2 * 500_000 <= counted <= whole


def test_a_counter_that_never_says_what_can_be_says_nothing() -> None:
    assert energy_mj([10**15 * second for second in range(100)]) is None


def test_what_a_counter_adds_is_bounded_by_the_power_limit_and_the_time() -> None:
    rng = random.Random(6)
    counter = [rng.randrange(0, 2**45) for _ in range(1000)]
    assert (energy_mj(counter) or 0) <= most_energy_mj(1000 * 3.0, 700.0)


def test_a_gap_in_the_readings_costs_no_energy() -> None:
    """A sampler that could not write for an hour, or had to wait for the driver."""
    assert energy_mj([0, 3600 * 700_000], period_s=3600.0) == 3600 * 700_000


def test_the_energy_of_a_run_is_no_more_than_its_gpus_could_take(folder: Path, history: History) -> None:
    (folder / "n1.00000000.spool").unlink()
    gpus = [{**gpu, "power_limit_w": 700.0} for gpu in GPUS]
    with SpoolWriter(folder / "n1.1.spool", spool_header() | {"gpus": gpus}) as spool:
        for second in range(100):
            item = tick(second)
            readings = [r._replace(energy_mj=2**50 if second == 50 else r.energy_mj) for r in item.readings]
            spool.append(encode(Tick(item.time_s, tuple(readings))))
    collect_run(folder, history)
    assert [(gpu["energy_j"], gpu["power_mean_w"]) for gpu in history.gpus(folder.name)] == [(9700, 100)] * 2
    assert build_report(history.record(folder.name)).energy_kwh == pytest.approx(2 * 9700 / 3.6e6)


@pytest.mark.parametrize("apart_s", [100, 3 * 3600], ids=["within a block", "blocks apart"])
def test_what_happens_between_two_attempts_is_not_the_runs(
    folder: Path, history: History, apart_s: int
) -> None:
    """100 W in each attempt; in between, somebody else's 1 kW."""
    (folder / "n1.00000000.spool").unlink()
    for number, begin in enumerate((100, 200 + apart_s)):
        with SpoolWriter(folder / f"n1.{1 - number}.spool", spool_header()) as spool:
            for second in range(begin, begin + 100):
                at = tick(second)
                others = number * apart_s * 900_000
                readings = [r._replace(energy_mj=r.energy_mj + others, power_mw=None) for r in at.readings]
                spool.append(encode(Tick(at.time_s, tuple(readings))))
    collect_run(folder, history)
    assert [(gpu["energy_j"], gpu["power_mean_w"]) for gpu in history.gpus(folder.name)] == [
        (19_800, 100)
    ] * 2
    assert sqlite3.connect(history.path).execute("SELECT gpu_hours FROM v_waste").fetchall() == [(0.111,)]


def test_what_was_never_read_stays_unknown() -> None:
    (found,) = roll_up([(0.0, GpuReading(0))], 60)
    assert (found.ticks, found.values) == (1, dict.fromkeys(COLUMNS))


def test_mean_power_is_the_counters_where_readings_alias_with_the_work() -> None:
    rows = [(float(s), GpuReading(0, power_mw=700_000, energy_mj=s * 350_000)) for s in range(60)]
    (rollup,) = roll_up(rows, 60)
    assert (rollup.values["power_mean_w"], rollup.values["power_max_w"]) == (350, 700)


def test_waste_is_told_by_a_view(history: History, tmp_path: Path) -> None:
    made = create_run_folder("idler", tmp_path / "runs", datetime(2025, 11, 23, tzinfo=UTC), {"began_s": T0})
    with SpoolWriter(made / "n1.00000000.spool", spool_header()) as spool:
        for second in range(600):
            use = 50 if second < 240 else 0
            readings = (GpuReading(0, utilisation_percent=50), GpuReading(1, utilisation_percent=use))
            spool.append(encode(Tick(T0 + second, readings)))
    collect_run(made, history)
    query = "SELECT gpus, gpu_hours, idle_gpu_hours, unused_gpu_hours, idle_share FROM v_waste"
    # Of GPU 1's 360 idle seconds, 40 share a minute with work.
    assert sqlite3.connect(history.path).execute(query).fetchall() == [(2, 0.333, 0.089, 0.217, 0.267)]


def test_notes_are_kept_once_a_run_has_ended(folder: Path, history: History) -> None:
    status = (folder / "status.json").read_text(encoding="utf-8")
    (folder / "status.json").unlink()
    collect_run(folder, history)
    assert history.notes(folder.name) == []
    (folder / "status.json").write_text(status, encoding="utf-8")
    collect_run(folder, history)
    assert ("gpu_lost", ["GPU-1"]) in [(note["code"], note["uuids"]) for note in history.notes(folder.name)]


READINGS = st.fixed_dictionaries(
    {
        "gpu": st.just(0),
        "energy_mj": st.none() | st.integers(0, 2**64 - 1),
        "power_mw": st.none() | st.integers(0, 2**31),
        "sm_active": st.none() | st.integers(0, 1000).map(lambda n: n / 1000),
        "ring": st.lists(
            st.tuples(st.integers(0, 60_000).map(lambda n: n / 1000), st.integers(0, 100)), max_size=8
        ).map(tuple),
    }
).map(lambda values: GpuReading(**values))  # type: ignore[arg-type]  # hypothesis says object of them


@settings(max_examples=40 * SCALE, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**40).map(lambda n: n / 1000), READINGS), max_size=30))
def test_a_block_is_what_was_packed(rows: Any) -> None:
    assert unpack(pack(rows)) == rows


def test_the_file_is_private_and_readable_by_any_tool(folder: Path, history: History) -> None:
    collect_run(folder, history)
    assert history.path.stat().st_mode & 0o777 == 0o600
    shown = sqlite3.connect(history.path).execute("SELECT utilisation_mean FROM v_gpu_utilisation").fetchall()
    assert shown == [(90.0,), (50.0,)]


@pytest.mark.parametrize("content", [b"not a database, just text" * 50, b"SQLite format 3\0" + b"\0" * 100])
def test_a_file_that_is_no_history_is_said_and_left_alone(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="is no history that can be used"):
        History(path)
    assert path.read_bytes() == content


def test_a_folder_in_place_of_the_history_is_said(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=f"{tmp_path}: is a folder; the history is a file, such as "):
        History(tmp_path)


def test_an_sqlite_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cats (name TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="is an SQLite file of something else"):
        History(path)
    assert path.read_bytes() == before


def test_importers_that_race_store_everything_once(folder: Path, history: History, tmp_path: Path) -> None:
    def once(_: Any) -> None:
        with History(history.path) as own:
            collect_run(folder, own)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(once, range(8)))
    with History(tmp_path / "other.db") as other:
        collect_run(folder, other)
    assert dump(history.path) == dump(other.path)


def test_a_new_history_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    script = f"from pathlib import Path; from clusterplan.estimator.history.runs import History; History(Path({str(path)!r}))"
    running = [
        subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [process.communicate()[1] for process in running] == [""] * 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 400 KiB; gives it."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_up_while_importing_is_said_and_costs_nothing(
    folder: Path, small_disk: Path, tmp_path: Path
) -> None:
    with History(small_disk / "history.db") as history:
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(HistoryError, match="disk"):
            collect_run(folder, history)
        filler.unlink()
        assert check_integrity(history.path).faults == ()
        collect_run(folder, history)
        with History(tmp_path / "other.db") as other:
            collect_run(folder, other)
        assert dump(history.path) == dump(other.path)


IMPORTER = """
import sys
from pathlib import Path
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.runs.collect import collect_run
with History(Path(sys.argv[2])) as history:
    print("open", flush=True)
    collect_run(Path(sys.argv[1]), history)
"""
HOLDING = IMPORTER.replace("collect_run(Path", "with history.hold():\n        collect_run(Path")


@pytest.mark.slow
@pytest.mark.parametrize("program", [IMPORTER, HOLDING], ids=["each", "held"])
def test_importers_that_are_killed_lose_and_double_nothing(
    folder: Path, history: History, tmp_path: Path, program: Any
) -> None:
    rng = random.Random(5)
    for _ in range(6 * SCALE):
        with subprocess.Popen(
            [sys.executable, "-c", program, folder, history.path], stdout=subprocess.PIPE
        ) as importer:
            importer.stdout.readline()
            time.sleep(rng.uniform(0, 0.04))
            os.kill(importer.pid, signal.SIGKILL)
    collect_run(folder, history)
    with History(tmp_path / "other.db") as other:
        collect_run(folder, other)
    assert dump(history.path) == dump(other.path)
    assert check_integrity(history.path).faults == ()


@pytest.mark.slow
def test_a_long_spool_is_imported_in_lots_and_goes_on_after_a_kill_between_them(
    folder: Path, history: History, tmp_path: Path
) -> None:
    spool = folder / "n1.00000000.spool"
    spool.unlink()
    with SpoolWriter(spool, spool_header()) as writer:
        for second in range(12_000):
            writer.append(encode(tick(second)))
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTER, folder, history.path], stdout=subprocess.PIPE
    ) as importer:
        while not (position := history.spool_position(folder.name, spool.name)[0]):
            assert importer.poll() is None
        importer.kill()
    assert position < spool.stat().st_size
    collect_run(folder, history)
    with History(tmp_path / "other.db") as other:
        collect_run(folder, other)
    assert dump(history.path) == dump(other.path)
    assert history.gpus(folder.name)[0]["ticks"] == 12_000


def test_what_is_held_is_seen_by_others_after_a_flush(history: History) -> None:
    with History(history.path) as other, history.hold():
        with history.writing():
            history.put_run({"run": "first", "folder": "f", "state": "running"})
        assert other.runs() == []
        history.flush()
        assert [run["run"] for run in other.runs()] == ["first"]


def test_a_block_within_another_is_whole_with_it(history: History) -> None:
    with suppress(ZeroDivisionError), history.writing():
        with history.writing():
            history.put_run({"run": "first", "folder": "f", "state": "running"})
        assert 1 / 0
    assert history.runs() == []


def test_a_block_that_fails_while_others_are_held_is_undone_alone(history: History) -> None:
    with history.hold():
        for name, fails in (("first", False), ("second", True), ("third", False)):
            with suppress(ZeroDivisionError), history.writing():
                history.put_run({"run": name, "folder": "f", "state": "running"})
                assert 1 / (not fails)
    with History(history.path) as other:
        assert {run["run"] for run in other.runs()} == {"first", "third"}


# The commands.


@pytest.fixture
def one_run(folder: Path, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history in which one run is registered, as that of the commands."""
    register_run(folder, history.path)
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history.path))


@pytest.fixture
def ran(one_run: Any, clusterplan: Command) -> Callable[..., Any]:  # noqa: ARG001
    """Run `clusterplan history ARGS` on it."""
    return lambda *arguments: clusterplan("history", *arguments)


@pytest.fixture
def ran_in_process(one_run: Any, in_process: Command) -> Callable[..., Any]:  # noqa: ARG001
    """The same in this process."""
    return lambda *arguments: in_process("history", *arguments)


def test_a_registered_run_is_found_from_anywhere(history: History, folder: Path) -> None:
    register_run(folder, history.path)
    assert list(folders_of_history(history.path)) == [folder]


def test_the_list_collects_first(ran: Callable[..., Any], folder: Path) -> None:
    (run,) = json.loads(ran("list", "--json").stdout)
    assert (run["run"], run["gpus"], run["utilisation_mean"]) == (folder.name, 2, 70.0)
    assert folder.name in ran("list").stdout


@pytest.mark.parametrize("wanted", [[], ["train"]])
def test_a_run_is_shown_by_the_beginning_of_its_id(
    ran_in_process: Callable[..., Any], folder: Path, wanted: list[Any]
) -> None:
    shown = json.loads(ran_in_process("show", *wanted, "--json").stdout)
    assert shown["run"] == folder.name
    assert [gpu["utilisation_mean"] for gpu in shown["gpus"]] == [90, 50]
    text = ran_in_process("show", *wanted).stdout
    assert "gpu_lost" in text
    assert "GPU-1 is lost" in text


def test_an_unknown_run_gets_the_nearest_ids(ran_in_process: Callable[..., Any], folder: Path) -> None:
    done = ran_in_process("show", "trian-2025")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert folder.name in done.stderr


def test_import_path_and_check(ran: Callable[..., Any], history: History, folder: Path) -> None:
    assert ran("path").stdout == f"{history.path}\n"
    assert ran("import").stdout == f"1 run in {history.path}\n"
    assert ran("import", folder).returncode == 0
    assert ran("check").stdout == f"{history.path}: fine\n"


def test_a_damaged_file_fails_the_check(ran: Callable[..., Any], history: History) -> None:
    ran("import")
    history.close()
    data = bytearray(history.path.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    history.path.write_bytes(data)
    before = history.path.read_bytes()
    done = ran("check")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert history.path.read_bytes() == before


@pytest.fixture
def damaged(ran: Callable[..., Any], history: History) -> Any:
    """The history of two runs, one without a folder, in which the rollups are damaged; gives its path."""
    ran("import")
    with history.writing():
        history.put_run({"run": "gone-1", "folder": "/gone", "state": "completed", "began_s": 1.0})
    (root,) = history._db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'rollup_row'").fetchone()
    history.close()
    data = bytearray(history.path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    history.path.write_bytes(data)
    return history.path


@pytest.mark.usefixtures("damaged")
def test_the_check_of_a_damaged_file_says_what_can_be_saved(ran: Callable[..., Any], folder: Path) -> None:
    found = json.loads(ran("check", "--json").stdout)
    assert found["faults"]
    assert (found["rows"]["run"], found["rows"]["raw_block"], found["rows"]["rollup_row"]) == (2, 2, 0)
    tables = "estimate event fault gpu measurement node note package_list raw_block rollup_row run run_gpu series spool"
    assert set(found["rows"]) == {*tables.split(), "spool_gpu", "start_forecast"}
    assert (found["in_run_folders"], found["only_here"]) == ([folder.name], ["gone-1"])
    text = ran("check").stdout
    assert "1 run only in this file: gone-1" in text
    assert "`clusterplan history import --rebuild`" in text


def test_a_damaged_file_is_one_line_to_whoever_reads_it(
    ran: Callable[..., Any], damaged: Any, clusterplan: Command
) -> None:
    done = clusterplan("report", "train", env=os.environ | {"CLUSTERPLAN_HISTORY": str(damaged)})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "`clusterplan history check` says what can be saved" in done.stderr
    done = ran("import", "--rebuild")
    assert (done.returncode, "only in the old one: gone-1" in done.stdout) == (0, True)


def test_a_run_that_cannot_be_collected_does_not_hide_the_others(
    ran: Callable[..., Any], folder: Path
) -> None:
    (folder / "n2.00000000.spool").write_bytes(b"nothing")
    done = ran("list", "--json")
    assert done.returncode == 0
    assert "not collected:" in done.stderr
    assert len(json.loads(done.stdout)) == 1


def test_a_history_that_cannot_be_written_is_listed_all_the_same(
    ran: Callable[..., Any], history: History
) -> None:
    ran("import")
    history.close()
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", history.path.parent, history.path.parent], check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", history.path.parent], check=True)
        (link,) = history.path.with_suffix(".runs").iterdir()
        (link / "status.json").unlink()
        (link / "n2.00000000.spool").write_bytes(b"something new")
        done = ran("list", "--json")
    finally:
        subprocess.run(["umount", history.path.parent], check=True)
    assert len(json.loads(done.stdout)) == 1
    assert done.stderr.count("not collected:") == 1


def test_without_runs_the_list_says_how_to_make_one(clusterplan: Command, tmp_path: Path) -> None:
    environment = os.environ | {"CLUSTERPLAN_HISTORY": str(tmp_path / "new" / "history.db")}
    assert "no runs yet" in clusterplan("history", "list", env=environment).stdout
    assert clusterplan("history", "show", env=environment).returncode == 2


def test_raw_readings_are_exported(ran: Callable[..., Any], folder: Path) -> None:
    lines = ran("export").stdout.splitlines()
    assert lines[0].startswith("run,node,uuid,time_s,utilisation_percent,")
    assert len(lines) == 1 + 200
    first = json.loads(ran("export", "--jsonl").stdout.splitlines()[0])
    assert (first["run"], first["uuid"], first["power_mw"], first["ring"]) == (
        folder.name,
        "GPU-0",
        100_000,
        [[0.5, 90], [0.0, 90]],
    )


@pytest.fixture
def parquet(ran: Callable[..., Any], history: History) -> Callable[..., Any]:
    """Run `clusterplan history export --parquet` with these variables; gives the process, its output as bytes."""
    ran("import")
    program = Path(sys.executable).with_name("clusterplan")

    def run(**variables: Any) -> Any:
        environment = os.environ | {"CLUSTERPLAN_HISTORY": str(history.path), **variables}
        return subprocess.run(
            [program, "history", "export", "--parquet"], env=environment, capture_output=True, check=False
        )

    return run


def test_raw_readings_are_exported_as_parquet(ran: Callable[..., Any], parquet: Callable[..., Any]) -> None:
    reader = pytest.importorskip("pyarrow.parquet")
    table = reader.read_table(io.BytesIO(parquet().stdout))
    as_json = json.loads(ran("export", "--json").stdout)
    assert table.num_rows == len(as_json) == 200
    assert table.column("energy_mj").to_pylist() == [row["energy_mj"] for row in as_json]
    ring = [{"before_s": 0.5, "percent": 90}, {"before_s": 0.0, "percent": 90}]
    assert table.column("ring")[0].as_py() == ring


def test_without_pyarrow_parquet_is_missing(parquet: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError", encoding="utf-8")
    done = parquet(PYTHONPATH=str(tmp_path))
    assert (done.returncode, b"pip install 'clusterplan[parquet]'" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["path"], "path"),
        (["import"], "path runs not_imported"),
        (["check"], "path faults rows in_run_folders only_here not_collected"),
        (["prune"], "blocks"),
        (["vacuum"], "before_bytes after_bytes"),
        (["import", "--rebuild"], "path runs not_imported only_in_the_old_one"),
    ],
    ids=str,
)
def test_every_command_has_json(
    ran: Callable[..., Any], ran_in_process: Callable[..., Any], arguments: list[str], keys: str
) -> None:
    ran_in_process("import")
    assert set(json.loads(ran(*arguments, "--json").stdout)) == set(keys.split())


def test_pruning_forgets_raw_readings_and_keeps_the_rest(ran_in_process: Callable[..., Any]) -> None:
    before = json.loads(ran_in_process("show", "--json").stdout)
    assert "2 blocks of raw readings deleted" in ran_in_process("prune", "--keep", "1d").stdout
    assert len(ran_in_process("export").stdout.splitlines()) == 1
    assert json.loads(ran_in_process("show", "--json").stdout) == before
    assert "MB now" in ran_in_process("vacuum").stdout


def test_pruning_up_to_a_day_yet_to_come_is_refused(clusterplan: Command) -> None:
    done = clusterplan("history", "prune", "--keep", "2999-01-01")
    assert (done.returncode, "2999-01-01 is in the future" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--name", "TRA"], 1),
        (["--name", "other"], 0),
        (["--gpu", "h100"], 1),
        (["--gpu", "a100"], 0),
        (["--since", "2025-11-01"], 1),
        (["--since", "1h"], 0),
        (["--until", "1h"], 1),
        (["--until", "2025-11-01"], 0),
        (["--model", "PHI"], 1),
        (["--model", "llama"], 0),
    ],
    ids=str,
)
def test_the_list_can_be_narrowed(
    ran_in_process: Callable[..., Any], arguments: list[str], found: int
) -> None:
    assert len(json.loads(ran_in_process("list", *arguments, "--json").stdout)) == found


def test_a_history_is_rebuilt_from_the_folders_beside_the_old_one(
    ran: Callable[..., Any], history: History, folder: Path
) -> None:
    ran("import")
    with history.writing():
        history.put_run({"run": "gone-1", "folder": "/gone", "state": "completed", "began_s": 1.0})
    old = history.path.read_bytes()
    done = ran("import", "--rebuild")
    assert "only in the old one: gone-1" in done.stdout
    assert history.path.read_bytes() == old
    with History(history.path.with_name("history.rebuilt.db")) as new:
        assert [run["run"] for run in new.runs()] == [folder.name]
    assert ran("import", "--rebuild").returncode == 2


def test_a_corrupt_history_can_still_be_rebuilt(ran: Callable[..., Any], history: History) -> None:
    history.close()
    history.path.write_bytes(b"garbage" * 1000)
    done = ran("import", "--rebuild")
    assert done.returncode == 0
    assert "the old one is damaged: file is not a database" in done.stderr
    assert history.path.read_bytes() == b"garbage" * 1000


def test_a_wrong_time_is_one_line(ran_in_process: Callable[..., Any]) -> None:
    done = ran_in_process("list", "--since", "soon")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nor a date such as 2026-11-01" in done.stderr


def test_a_file_in_the_place_of_the_list_of_runs_is_named(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "history.runs").write_text("not a folder")
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    for command in (["status"], ["history", "list"], ["logs", "net"]):
        done = in_process(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert "history.runs: is no folder" in done.stderr


def test_a_path_that_is_no_text_is_refused_before_a_run_is_lost_in_it(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_RUNS", f"{tmp_path}/\udcff")
    done = in_process("sample", "--for", "0.1s")
    assert done.returncode == 1
    assert "no UTF-8 text: set CLUSTERPLAN_RUNS to another folder" in done.stderr
    assert not list(tmp_path.iterdir())
