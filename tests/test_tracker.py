"""`track` in a training loop: what it writes, that it never disturbs, and what progress is read from it."""

import json
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterplan import track
from clusterplan.estimator.measurements.training_loop import LoopEvaluation, LoopLine, LoopSteps
from clusterplan.launcher.run_folder.progress.loop_lines import read_first_and_latest, read_progress
from clusterplan.launcher.run_folder.progress.progress import Circumstances, Progress, estimate_progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that `track` finds."""
    monkeypatch.setenv("CLUSTERPLAN_RUN_FOLDER", str(tmp_path))
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "CLUSTERPLAN_ATTEMPT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Time that passes only when it is told to."""

    class Clock:
        now = 1000.0

        def pass_(self, seconds: float) -> None:
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def lines(folder: Path, kind: str | None = None) -> list[Any]:
    records = [json.loads(text) for text in (folder / "progress.jsonl").read_text().splitlines()]
    return [line for line in records if kind in (None, line["kind"])]


def test_items_pass_through_and_are_counted_outside_a_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CLUSTERPLAN_RUN_FOLDER", raising=False)
    monkeypatch.chdir(tmp_path)
    steps = track(range(5), start=10)
    assert list(steps) == [0, 1, 2, 3, 4]
    assert steps.step == 15
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rank", [{"RANK": "1"}, {"SLURM_PROCID": "3"}, {"RANK": "0", "LOCAL_RANK": "1"}])
def test_other_ranks_write_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rank: dict[str, str]
) -> None:
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    assert list(track("ab")) == ["a", "b"]
    assert not list(folder.iterdir())


def test_the_rank_of_the_launcher_counts_before_that_of_the_task(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("SLURM_PROCID", "1")
    list(track("ab"))
    assert lines(folder)


def test_a_loop_begins_and_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_ATTEMPT", "2")
    list(track("ab", start=7, total=9, batch_size=4, dtype="bf16"))
    start, *_, end = lines(folder)
    assert {key: start[key] for key in start if key != "time_s"} == {
        "kind": "start",
        "step": 7,
        "total": 9,
        "attempt": "2",
        "batch_size": 4,
        "dtype": "bf16",
    }
    assert (end["kind"], end["step"]) == ("end", 9)


def test_the_file_is_the_users_alone(folder: Path) -> None:
    list(track("ab"))
    assert stat.S_IMODE((folder / "progress.jsonl").stat().st_mode) == 0o600


def test_the_first_step_has_a_line_of_its_own(folder: Path, clock: Any) -> None:
    for _ in track(range(4)):
        clock.pass_(0.1)
    assert [line["steps"] for line in lines(folder, "steps")] == [1, 3]


def test_fast_steps_share_a_line_a_second(folder: Path, clock: Any) -> None:
    for _ in track(range(1001)):
        clock.pass_(0.01)
    assert len(lines(folder, "steps")) == 1 + 10
    assert sum(line["seconds"] for line in lines(folder, "steps")) == pytest.approx(10.01)


def test_lines_become_rarer_in_a_long_run(folder: Path, clock: Any) -> None:
    for _ in track(range(10_000)):
        clock.pass_(1)
    assert lines(folder, "steps")[-2]["steps"] == 11


def test_a_step_much_longer_than_the_others_has_a_line_of_its_own(folder: Path, clock: Any) -> None:
    for i in track(range(1000)):
        clock.pass_(5 if i == 500 else 0.01)
    alone = [line for line in lines(folder, "steps") if line["longest_s"] == 5]
    assert [line["steps"] for line in alone] == [1]


def test_the_wait_for_input_is_told_apart(folder: Path, clock: Any) -> None:
    def loader() -> Iterator[int]:
        for i in range(3):
            clock.pass_(0.25)
            yield i

    for _ in track(loader()):
        clock.pass_(0.75)
    second = lines(folder, "steps")[1]
    assert (second["seconds"], second["wait_s"]) == (2, 0.5)


def test_marked_pauses_are_no_part_of_a_step(folder: Path, clock: Any) -> None:
    steps = track(range(3))
    for _ in steps:
        clock.pass_(0.1)
        with steps.evaluation():
            clock.pass_(20)
            with steps.checkpoint():
                clock.pass_(5)
    assert [(p["what"], p["seconds"]) for p in lines(folder, "pause")[:2]] == [
        ("checkpoint", 5),
        ("evaluation", 20),
    ]
    assert sum(line["seconds"] for line in lines(folder, "steps")) == pytest.approx(0.3)


def test_several_items_make_a_step_with_accumulation(folder: Path) -> None:
    steps = track(range(10), per_step=4)
    list(steps)
    assert steps.step == 2
    assert sum(line["steps"] for line in lines(folder, "steps")) == 2


def test_a_loop_of_its_own_making_advances_it(folder: Path, clock: Any) -> None:
    steps: Any = track(total=3)
    for _ in range(3):
        clock.pass_(0.5)
        steps.advance()
    assert steps.step == 3
    assert lines(folder, "steps")[0]["seconds"] == 0.5
    assert lines(folder, "steps")[0]["wait_s"] is None


def test_the_next_epoch_goes_on_counting(folder: Path, clock: Any) -> None:
    steps = track("abc", total=6)
    for _ in range(2):
        for _ in steps:
            clock.pass_(0.1)
        clock.pass_(100)  # between the epochs
    assert [line["kind"] for line in lines(folder)] == ["start", *["steps", "steps", "end"] * 2]
    assert sum(line["seconds"] for line in lines(folder, "steps")) == pytest.approx(0.6)
    assert steps.step == 6


class Tensor:
    """As torch's: a graph hangs on it, and reading it waits for the GPU."""

    reads = 0

    def detach(self) -> "Tensor":
        return self

    def __float__(self) -> float:
        Tensor.reads += 1
        return 2.5


def test_a_loss_on_the_gpu_is_read_only_when_it_is_written(folder: Path, clock: Any) -> None:
    steps = track(range(100))
    for _ in steps:
        clock.pass_(0.001)
        steps.loss(Tensor())
    assert [line["loss"] for line in lines(folder, "steps")] == [2.5, 2.5]
    assert Tensor.reads == 2


@pytest.mark.parametrize(("loss", "written"), [(float("nan"), "nan"), (float("-inf"), "-inf"), ([], None)])
def test_a_loss_that_is_no_json_number_is_still_json(folder: Path, loss: Any, written: str | None) -> None:
    steps = track("a")
    for _ in steps:
        steps.loss(loss)
    assert lines(folder, "steps")[0]["loss"] == written


def test_an_exception_ends_the_loop_with_what_was_done(folder: Path) -> None:
    code = (
        "from clusterplan import track\n"
        "for i in track(range(100)):\n"
        "    if i == 50: raise RuntimeError('CUDA out of memory')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "CUDA out of memory" in done.stderr
    assert sum(line["steps"] for line in lines(folder, "steps")) == 50
    assert lines(folder)[-1]["kind"] == "end"


def test_leaving_the_loop_ends_it(folder: Path) -> None:
    for i in track(range(100)):
        if i == 50:
            break
    assert lines(folder)[-1] == {**lines(folder)[-1], "kind": "end", "step": 50}


def test_training_goes_on_in_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_RUN_FOLDER", str(tmp_path / "gone"))
    steps = track("abc")
    assert list(steps) == ["a", "b", "c"]
    assert steps.step == 3


def test_training_goes_on_when_nothing_more_can_be_written(folder: Path) -> None:
    (folder / "progress.jsonl").symlink_to("/dev/full")
    steps = track("abc")
    assert list(steps) == ["a", "b", "c"]
    assert steps.step == 3


def test_no_steps_at_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="per_step: 0"):
        track("a", per_step=0)


def progress_of(lines: list[LoopLine], total: int | None = None) -> Progress | None:
    """The progress at the last line."""
    return estimate_progress(lines, total, Circumstances(lines[-1].time_s) if lines else None)


def test_progress_tells_steps_rate_and_the_time_left(folder: Path, clock: Any) -> None:
    steps = track(range(50), total=100)
    for i in steps:
        clock.pass_(30 if i == 0 else 0.5)
        if i == 24:
            with steps.evaluation():
                clock.pass_(24.5 / 2)
        steps.loss(1 / (i + 1))
    now = progress_of(read_progress(folder)[0])
    assert (now.steps_done, now.total) == (50, 100)
    assert now.rate_steps_per_s == pytest.approx(2)
    assert now.eta_s == pytest.approx(50 / 2 + 2 * 24.5 / 2, rel=0.01)  # evaluations after 72 and 96 steps
    assert now.loss == 0.02


def test_a_resumed_loop_keeps_its_rate_until_it_has_a_new_one(folder: Path, clock: Any) -> None:
    for _ in track(range(20), total=100):
        clock.pass_(1)
    next(iter(track(range(20), start=10, total=100)))
    now = progress_of(read_progress(folder)[0])
    assert now.steps_done == 10
    assert now.rate_steps_per_s == pytest.approx(1)


def test_the_jobs_own_total_is_used_where_the_script_says_none(folder: Path, clock: Any) -> None:
    for _ in track(range(11)):
        clock.pass_(1)
    assert progress_of(read_progress(folder)[0], total=21).eta_s == pytest.approx(10, rel=0.01)


def test_there_is_no_progress_without_lines(tmp_path: Path) -> None:
    assert estimate_progress(read_progress(tmp_path)[0]) is None


def test_torn_and_foreign_lines_are_left_out(folder: Path) -> None:
    list(track("abc"))
    whole, _ = read_progress(folder)
    with (folder / "progress.jsonl").open("ab") as file:
        file.write(b'{"kind":"steps","time_s":1,"st\n[1]\n{"kind":"later","time_s":1}\n\xff\n')
        file.write(b'{"kind":"steps","time_s":NaN,"step":1,"steps":1,"seconds":1,"longest_s":1}\n')
    assert read_progress(folder)[0] == whole


def test_a_line_without_its_end_is_read_the_next_time(folder: Path) -> None:
    path = folder / "progress.jsonl"
    path.write_bytes(b'{"kind":"end","time_s":1,"step":1}\n{"kind":"end","time_s":2,')
    first, offset = read_progress(folder)
    with path.open("ab") as file:
        file.write(b'"step":2}\n')
    both, end = read_progress(folder)
    assert ([line.step for line in first], offset < end) == ([1], True)
    assert [line.step for line in both] == [1, 2]


def long_file(folder: Path, count: int) -> None:
    """A loop of so many lines of 10 s, with an evaluation of 20 s every 100 lines."""
    with (folder / "progress.jsonl").open("w", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "start", "time_s": 0, "step": 0, "total": 9 * count}) + "\n")
        for i in range(1, count):
            line = {
                "kind": "steps",
                "time_s": 10 * i,
                "step": 5 * i,
                "steps": 5,
                "seconds": 10,
                "longest_s": 3,
            }
            if i % 100 == 0:
                line = {"kind": "pause", "time_s": 10 * i, "step": 5 * i, "what": "evaluation", "seconds": 20}
            file.write(json.dumps(line) + "\n")


def test_the_ends_of_a_long_file_tell_what_all_of_it_does(folder: Path) -> None:
    long_file(folder, 20_000)
    ends, (every, _) = read_first_and_latest(folder), read_progress(folder)
    assert len(ends) < 4_000
    from_ends, from_all = progress_of(ends), progress_of(every)
    assert (from_ends.steps_done, from_ends.total, from_ends.rate_steps_per_s) == (
        from_all.steps_done,
        from_all.total,
        from_all.rate_steps_per_s,
    )
    assert from_ends.eta_s == pytest.approx(from_all.eta_s, rel=0.002)


@pytest.mark.parametrize("count", [1, 2, 30, 2_000])
def test_the_ends_of_a_short_file_are_all_of_it(folder: Path, count: int) -> None:
    long_file(folder, count)
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "end", "tim')
    assert read_first_and_latest(folder) == read_progress(folder)[0]


def test_a_long_file_is_read_line_by_line(folder: Path) -> None:
    long_file(folder, 20_000)
    tracemalloc.start()
    try:
        read_progress(folder)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 6 * 2**20


def test_learning_rate_and_validation_loss_are_written_and_read_back(folder: Path, clock: Any) -> None:
    steps = track(range(4), total=4)
    for number, _ in enumerate(steps):
        clock.pass_(2)
        steps.log(loss=2.0, learning_rate=1e-3)
        if number == 1:
            steps.log(eval_loss=1.5)
    assert [line["loss"] for line in lines(folder, "evaluation")] == [1.5]
    rates = [(x.loss, x.learning_rate) for x in read_progress(folder)[0] if isinstance(x, LoopSteps)]
    assert rates == [(2.0, 1e-3)] * 4
    assert [(x.step, x.loss) for x in read_progress(folder)[0] if isinstance(x, LoopEvaluation)] == [(1, 1.5)]


def test_validation_loss_that_is_no_number_is_left_out(folder: Path) -> None:
    track().log(eval_loss="much")  # type: ignore[arg-type]
    assert not lines(folder, "evaluation")
