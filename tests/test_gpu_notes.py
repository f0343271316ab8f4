"""Each note appears for its cause, and for nothing else."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from clusterplan.estimator.gpu_use.coverage import Break, RunNode, find_node_notes
from clusterplan.estimator.gpu_use.detectors import find_notes
from clusterplan.estimator.gpu_use.digest import RunGpu, digest
from clusterplan.estimator.gpu_use.notes import order_notes
from clusterplan.estimator.gpu_use.reading import Event, GpuReading
from clusterplan.estimator.gpu_use.utilisation import sawtooth_lag

RING = 6  # samples a second


def series(
    place: int = 0,
    seconds: int = 300,
    wave: Any = lambda _: 95.0,
    *,
    power: Any = None,
    memory: float = 0.7,
    reasons: Any = 0,
    processes: int = 1,
    events: Any = (),
    rows: Any = None,
    pauses: Any = (),
    node: str = "n1",
) -> Any:
    """One GPU of 80 GB and 700 W whose utilisation follows `wave` over the seconds."""
    readings = []
    for s in range(seconds) if rows is None else rows:
        ring = tuple((1 - (i + 1) / RING, round(wave(s + i / RING))) for i in range(RING))
        mean = sum(percent for _, percent in ring) / RING
        watts = power if power is not None else 70 + 5.7 * mean
        reading = GpuReading(
            place,
            ring[-1][1],
            40,
            int(memory * 80e9),
            int(watts * 1000),
            60,
            1980,
            2619,
            reasons(s) if callable(reasons) else reasons,
            ring=ring,
            processes=processes,
        )
        readings.append((1000.0 + s, reading))
    gpu = RunGpu(f"GPU-{place}", node, str(place), 1.0, 700.0, 80 * 10**9, events, breaks=pauses)
    return digest(gpu, readings)


def codes(run: Any) -> list[Any]:
    return [(note.code, *note.uuids) for note in find_notes(run)]


def noisy(level: Any) -> Callable[..., Any]:
    rng = random.Random(1)
    return lambda _: min(max(rng.gauss(level, 2), 0), 100)


@pytest.mark.parametrize("level", [30, 50, 95, 100])
def test_flat_work_at_any_level_has_no_note(level: int) -> None:
    assert codes([series(i, wave=noisy(level)) for i in range(4)]) == []


def test_half_the_power_of_a_gpu_is_not_dead_half_the_time() -> None:
    flat, dead = series(0, wave=noisy(50)), series(1, wave=lambda t: 100.0 if t < 150 else 0.0)
    assert codes([flat, dead]) == [("idle", "GPU-1")]


def test_a_note_on_an_idle_gpu_has_its_time_and_cost() -> None:
    (note,) = find_notes([series(5, 600, lambda t: 95.0 if t < 60 else 0.0)])
    assert note.code == "idle"
    assert "GPU 5 was idle for 9m of 10m (once, first after 1m; 0.15 GPU-hours)" in note.text


def test_short_pauses_are_not_idleness() -> None:
    # 20 s of evaluation at irregular times: neither idle nor a saw-tooth.
    pauses = [40, 130, 260]
    wave = lambda t: 0.0 if any(p <= t < p + 8 for p in pauses) else 95.0  # noqa: E731
    assert codes([series(wave=wave)]) == []


BETWEEN = (Break(1300.0, 4900.0),)  # two attempts of 300 s, an hour apart
TWO_ATTEMPTS = [*range(300), *range(3900, 4200)]


def test_idleness_ends_with_its_attempt() -> None:
    def idle_around(seconds: Any) -> Callable[..., Any]:
        return lambda t: 0.0 if 300 - seconds <= t < 3900 + seconds else 95.0

    assert codes([series(rows=TWO_ATTEMPTS, pauses=BETWEEN, wave=idle_around(20))]) == []
    (note,) = find_notes([series(rows=TWO_ATTEMPTS, pauses=BETWEEN, wave=idle_around(40))])
    assert "idle for 1m 20s of 10m (2 times, first after 4m 20s; 0.022 GPU-hours)" in note.text


def test_a_hang_ends_with_its_attempt() -> None:
    wave = lambda t: 100.0 if 260 <= t < 3940 else 90.0  # noqa: E731
    assert codes([series(rows=TWO_ATTEMPTS, pauses=BETWEEN, wave=wave, power=90)]) == []


def test_the_period_of_a_stall_is_that_within_an_attempt() -> None:
    wave = lambda t: 97.0 if t % 10 < 7 else 2.0  # noqa: E731
    (note,) = find_notes([series(rows=TWO_ATTEMPTS, pauses=BETWEEN, wave=wave)])
    assert "stalls every 10 s" in note.text


def test_a_gpu_is_unused_in_attempts_alone() -> None:
    (note,) = find_notes(
        [series(rows=TWO_ATTEMPTS, pauses=BETWEEN, wave=lambda _: 0.0, processes=0, memory=0.0)]
    )
    assert "the run used no GPU at all (0.17 GPU-hours)" in note.text


def test_a_gpu_that_no_process_used_is_one_too_many() -> None:
    assert codes([series(0), series(1, wave=lambda _: 0.0, processes=0, memory=0.0)]) == [
        ("no-process", "GPU-1")
    ]


def test_gpus_that_no_process_used_are_one_note() -> None:
    run = [series(0), *(series(i, wave=lambda _: 0.0, processes=0, memory=0.0) for i in (1, 2))]
    (note,) = find_notes(run)
    assert (note.uuids, "ask for 2 fewer" in note.text) == (("GPU-1", "GPU-2"), True)
    (note,) = find_notes(run[1:])
    assert "the run used no GPU at all" in note.text


def of_one_kind(limit_w: float | None = 900.0, **values: Any) -> Any:
    """A GPU of 96 GB whose readings are all `values`, beside no visible process, for five minutes."""
    gpu = RunGpu("GPU-0", "n1", "0", 1.0, limit_w, 96 * 10**9)
    return digest(gpu, [(1000.0 + s, GpuReading(0, processes=0, **values)) for s in range(300)])


@pytest.mark.parametrize(
    "values",
    [
        {},  # a vGPU that says nothing
        # Utilisation is not supported on a MIG GPU (https://github.com/wookayin/gpustat/issues/106).
        {"memory_used_bytes": 52 * 2**30, "power_mw": 668_000, "sm_active": 0.66},
        {"memory_used_bytes": 52 * 2**30},
        {"power_mw": 668_000, "utilisation_percent": 0},
        {"sm_active": 0.66, "utilisation_percent": 0},
        {"memory_used_bytes": 52 * 2**30, "utilisation_percent": 0, "sm_active": 0.0},
    ],
)
def test_a_gpu_whose_own_numbers_say_otherwise_is_not_called_unused(values: dict[str, Any]) -> None:
    assert "no-process" not in [note.code for note in find_notes([of_one_kind(**values)])]


@pytest.mark.parametrize("values", [{"power_mw": 668_000}, {"sm_active": 0.66}])
def test_a_gpu_whose_power_or_sms_work_is_not_idle(values: dict[str, Any]) -> None:
    assert find_notes([of_one_kind(utilisation_percent=0, **values)]) == []


@pytest.mark.parametrize("values", [{"utilisation_percent": 0}, {"sm_active": 0.0}])
def test_a_gpu_whose_numbers_agree_is_called_unused(values: dict[str, Any]) -> None:
    run = [of_one_kind(memory_used_bytes=600 * 2**20, power_mw=95_000, **values)]
    assert codes(run) == [("no-process", "GPU-0")]


def test_a_gpu_that_may_not_be_read_is_not_called_broken() -> None:
    events = [Event(1000.0, "no_permission", "GPUs 0-7: Insufficient Permissions")]
    (note,) = find_node_notes([RunNode("n1", (), events)], None)
    assert (note.code, "avoid" in note.text) == ("no-permission", False)


END = Event(1300.0, "end", "sampling ended as asked")


@pytest.mark.parametrize(
    ("events", "last_s", "ended_s", "expected"),
    [
        ([END], 1300.0, 5000.0, []),
        ([], 1300.0, 1310.0, []),
        ([], 1300.0, None, []),
        ([], 1300.0, 4900.0, ["coverage"]),
        ([END, Event(1100.0, "clock_step", "the clock jumped by +3600.0 s")], 1300.0, 1300.0, ["clock"]),
        ([END, Event(1000.0, "gpu_lost", "GPU 1: GPU is lost")], 1300.0, 1300.0, ["gpu_lost"]),
        ([END, Event(1000.0, "gap", "no reading for 9 s")], 1300.0, 1300.0, []),
    ],
)
def test_a_killed_sampler_and_a_wrong_clock_are_notes(
    events: list[Any], last_s: float, ended_s: float | None, expected: list[Any]
) -> None:
    assert [
        note.code for note in find_node_notes([RunNode("n1", ("GPU-0",), events, last_s)], ended_s)
    ] == expected


@pytest.mark.parametrize(("period", "duty"), [(1.0, 0.5), (4.0, 0.6), (10.0, 0.7), (30.0, 0.5)])
def test_an_input_stall_is_found_with_its_period(period: float, duty: float) -> None:
    (note,) = find_notes([series(6, wave=lambda t: 97.0 if t % period < duty * period else 2.0)])
    assert note.code == "stall"
    period_s = float(note.text.split("every ")[1].split(" s")[0])
    assert period_s == pytest.approx(period, rel=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_the_period_of_an_uneven_stall_is_not_one_of_its_multiples(seed: Any) -> None:
    rng = random.Random(seed)
    edges = [96.0 if i % RING < RING / 2 else 0.0 for i in range(100 * RING)]
    assert sawtooth_lag([rng.uniform(0, 96) if rng.random() < 0.1 else value for value in edges]) == RING


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_no_sawtooth(seed: Any) -> None:
    rng = random.Random(seed)
    assert sawtooth_lag([min(max(rng.gauss(80, 10), 0), 100) for _ in range(1800)]) is None


def test_a_straggler_is_slow_in_work_and_in_power() -> None:
    run = [series(i, wave=noisy(95)) for i in range(7)] + [series(7, wave=noisy(60))]
    assert codes(run) == [("straggler", "GPU-7")]
    witness = [series(i, wave=noisy(95)) for i in range(7)] + [series(7, wave=noisy(60), power=650)]
    assert codes(witness) == []


def test_a_hung_collective_is_busy_at_idle_power() -> None:
    assert codes([series(wave=lambda _: 100.0, power=90)]) == [("hang", "GPU-0")]


@pytest.mark.parametrize(
    ("reasons", "word"), [(0x40, "thermal (hardware)"), (0x4, "power cap"), (0x80, "power brake")]
)
def test_a_note_on_throttling_names_the_reason(reasons: int, word: str) -> None:
    (note,) = find_notes([series(7, reasons=reasons)])
    assert note.code == "throttled"
    assert f"{word} 100 % of the time on GPU 7; " in note.text


@pytest.mark.parametrize("reasons", [0x1, 0x2, 0x10])
def test_an_idle_clock_or_a_clock_that_was_set_is_no_throttling(reasons: int) -> None:
    assert codes([series(reasons=reasons)]) == []


def test_a_lost_gpu_has_notes_on_its_loss_and_xid_only() -> None:
    events = (Event(1004.9, "xid", "XID 79", 3), Event(1005.0, "gpu_lost", "GPU-3 is lost", 3))
    run = [series(i) for i in range(3)] + [series(3, seconds=5, events=events)]
    assert codes(run) == [("xid", "GPU-3"), ("gpu_lost", "GPU-3")]


def test_missing_samples_are_counted() -> None:
    (note,) = find_notes([series(rows=[s for s in range(300) if not 100 <= s < 120])])
    assert (note.code, "GPU 0 lacks 20 of 300 readings" in note.text) == ("coverage", True)


def test_unused_memory_is_one_note_for_the_run() -> None:
    (note,) = find_notes([series(i, memory=0.3) for i in range(4)])
    assert (note.code, len(note.uuids)) == ("head-room", 4)


def test_a_gpu_without_a_value_has_no_note() -> None:
    gpu = RunGpu("GPU-0", "n1", "0")
    silent = digest(gpu, [(float(t), GpuReading(0)) for t in range(100)])
    assert find_notes([silent]) == []
    assert find_notes([]) == []


def test_the_scripted_node_has_four_notes_and_no_more() -> None:
    events = (Event(1005.0, "gpu_lost", "GPU-3 is lost", 3),)
    run = [series(i, wave=noisy(90)) for i in (0, 1, 2, 4)]
    run += [
        series(3, seconds=5, wave=noisy(90), events=events),
        series(5, wave=lambda t: 90.0 if t < 60 else 0.0),
        series(6, wave=lambda t: 96.0 if t % 1 < 0.5 else 0.0),
        series(7, wave=noisy(90), reasons=0x40),
    ]
    assert sorted(codes(run)) == [
        ("gpu_lost", "GPU-3"),
        ("idle", "GPU-5"),
        ("stall", "GPU-6"),
        ("throttled", "GPU-7"),
    ]


def test_gpus_with_one_fact_share_a_line_and_the_odd_one_comes_first() -> None:
    run = [series(i, rows=range(100), reasons=lambda s: 4 if s < 12 else 0) for i in (0, 1, 2, 4)]
    run += [series(3, rows=range(100), reasons=lambda s: 4 if s < 50 else 0), series(5)]
    texts = [note.text.partition(";")[0] for note in find_notes(run)]
    assert texts == ["power cap 50 % of the time on GPU 3", "power cap 12 % of the time on GPUs 0-2, 4"]


def test_alike_values_are_a_span() -> None:
    run = [series(i, rows=range(100), reasons=lambda s, i=i: 4 if s < 12 + i else 0) for i in range(3)]
    (note,) = find_notes(run)
    assert note.text.startswith("power cap 12 to 14 % of the time on all 3 GPUs; ")
    assert note.uuids == ("GPU-0", "GPU-1", "GPU-2")


def test_a_fact_of_some_gpus_comes_before_one_of_all() -> None:
    run = [series(i, wave=noisy(95), memory=0.3, reasons=4) for i in range(7)]
    run.append(series(7, wave=noisy(60), memory=0.3, reasons=4))
    notes = order_notes(find_notes(run), len(run))
    assert [note.code for note in notes] == ["straggler", "throttled", "head-room"]


def test_the_node_is_named_where_there_are_several() -> None:
    run = [series(i, node=node) for node, i in (("n1", 0), ("n1", 1), ("n2", 2))]
    run.append(series(3, node="n2", seconds=600, wave=lambda t: 95.0 if t < 60 else 0.0))
    (note,) = find_notes(run)
    assert note.text.startswith("GPU 3 on n2 was idle for 9m of 10m ")


def test_an_xid_of_several_gpus_is_one_note_and_another_one_another() -> None:
    events = [(Event(1005.0, "xid", "XID 31"),) * 2, (Event(1007.0, "xid", "XID 31"),), (), ()]
    run = [series(i, events=of_gpu) for i, of_gpu in enumerate(events)]
    run.append(series(4, events=(Event(1009.0, "xid", "XID 79"),)))
    assert [note.text.partition(";")[0] for note in find_notes(run)] == [
        "GPUs 0, 1 reported XID 31 3 times after 5s to 7s",
        "GPU 4 reported XID 79 after 9s",
    ]


def test_a_clock_that_is_wrong_on_all_nodes_is_one_note() -> None:
    wrong = Event(0, "clock_wrong", "the clock says 1970")
    nodes = [RunNode(f"n{i}", (f"GPU-{i}",), [wrong, END], 1300.0) for i in range(3)]
    (note,) = find_node_notes(nodes, 1300.0)
    assert (note.text, len(note.uuids)) == ("n0, n1, n2: the clock says 1970", 3)
