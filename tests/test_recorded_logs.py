"""A log of each framework, from its file to the step time; tests/logs/README.md says how each was made."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from clusterplan.errors import InputError
from clusterplan.estimator.measurements.steady_state import SteadyState, steady_state
from clusterplan.estimator.measurements.training_loop import (
    LoopEnd,
    LoopEvaluation,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
)
from clusterplan.launcher.logs.formats.files.read_log import read_log
from clusterplan.launcher.logs.formats.files.tensorboard import is_event_file, read_scalars
from clusterplan.launcher.logs.formats.job_length import JobLength
from clusterplan.launcher.logs.formats.loop_lines import Intervals, loop_lines
from clusterplan.launcher.logs.formats.record import LogRecord, RecordKind
from clusterplan.launcher.logs.formats.stream import StreamReader

LOGS = ROOT / "tests/logs"

# The file, the first and the last step, the time of a step, and that of an evaluation and of a save.
# fmt: off
RECORDED = [
    ("accelerate.log",              0,   40,  2.5,    15,    None),
    ("deepspeed-pipeline.log",      9,   100, 0.512,  None,  None),
    ("deepspeed-resumed.log",       209, 300, 0.9,    None,  None),
    ("detectron2.log",              19,  400, 0.3012, None,  None),
    ("detectron2.metrics.json",     19,  400, 0.3,    None,  None),
    ("hf-trainer-4.log",            0,   30,  2.5,    12,    None),
    ("hf-trainer-5-resumed.log",    0,   50,  2.5,    12,    None),
    ("lightning-rich.log",          0,   40,  2.5,    None,  None),
    ("lightning-tqdm.log",          0,   40,  2.5,    8,     None),
    ("llama-factory-resumed.jsonl", 9,   200, 2.0,    None,  None),
    ("mmengine.log",                49,  400, 0.35,   None,  None),
    ("mmengine.scalars.json",       49,  400, 0.35,   None,  None),
    ("ms-swift.jsonl",              0,   94,  3.3,    None,  None),
    ("ms-swift-2.jsonl",            0,   94,  3.3,    None,  None),
    ("nanogpt.log",                 0,   101, 0.2453, None,  None),
    ("nanotron.log",                0,   30,  1.36,   None,  None),
    ("nemo.log",                    0,   30,  0.4357, None,  None),
    ("tensorboard",                 9,   200, 1.7,    14.5,  None),
    ("torchtitan.log",              0,   100, 1.5,    20,    None),
]
# fmt: on


def state_of(path: Path) -> SteadyState:
    state = steady_state(loop_lines(read_log(path)))
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("name", "first", "last", "step_s", "evaluation_s", "save_s"), RECORDED, ids=[row[0] for row in RECORDED]
)
def test_the_step_time_of_a_log(
    name: str, first: int, last: int, step_s: float, evaluation_s: float | None, save_s: float | None
) -> None:
    """Within 1.5 %: some clocks count whole seconds."""
    lines = loop_lines(read_log(LOGS / name))
    state = steady_state(lines)
    assert state is not None
    assert state.step_time_s == pytest.approx(step_s, rel=0.015)
    assert state.evaluation_s == (evaluation_s and pytest.approx(evaluation_s, rel=0.01))
    assert state.checkpoint_s == save_s
    start = next(line for line in lines if isinstance(line, LoopStart))
    steps = [line.step for line in lines if isinstance(line, LoopSteps)]
    assert start.step == first
    assert last - 8 <= max(steps) <= last


def replay(name: str, **length: Any) -> list[LoopLine]:
    """Return the lines of a log that was recorded with the times at which its pieces came."""
    reader, intervals = StreamReader(length=JobLength(**length)), Intervals(shortest_s=0.3)
    data, lines = (LOGS / f"{name}.log").read_bytes(), list[LoopLine]()
    for arrival in (LOGS / f"{name}.arrivals").read_text(encoding="utf-8").splitlines():
        time_s, size = arrival.split()
        for record in reader.feed(data[: int(size)], 1e9 + float(time_s), float(time_s)):
            lines += intervals.add(record)
        data = data[int(size) :]
    return [*lines, *intervals.finish()]


@pytest.mark.parametrize("start", ["", "-resumed"])
def test_the_trainer_as_it_was_recorded(start: str) -> None:
    """transformers 5.24.0: a step of 0.12 s and what Python adds, evaluations of 10 batches, also after a resume."""
    lines = replay(f"hf-trainer-5.24{start}")
    state = steady_state(lines)
    assert state is not None
    assert state.step_time_s == pytest.approx(0.132, abs=0.003)
    assert state.evaluation_s == pytest.approx(1.06, abs=0.02)
    steps = [line for line in lines if isinstance(line, LoopSteps)]
    assert steps[-1].step == 60
    losses = [line.loss for line in lines if isinstance(line, LoopEvaluation)]
    assert losses == ([3.645, 3.644] if start else [3.648, 3.645, 3.644])
    assert isinstance(lines[-1], LoopEnd)


def test_the_trainer_without_a_bar_is_followed_by_its_epochs() -> None:
    """transformers 5.24.0 with disable_tqdm: the job file says that 60 steps are 1.5 epochs."""
    lines = replay("hf-trainer-5.24-no-bar", total_steps=60, epochs=1.5)
    state = steady_state(lines)
    assert state is not None
    assert state.step_time_s == pytest.approx(0.135, abs=0.01)
    assert [line.step for line in lines if isinstance(line, LoopSteps)] == list(range(5, 61, 5))


def test_a_ramp_up_of_the_batch_makes_steps_longer_not_the_run_shorter() -> None:
    """The last lines hold the speed of the full batch; Megatron's saves and evaluations are not in it."""
    lines = loop_lines(read_log(LOGS / "megatron-rampup.log"))
    steps = [line for line in lines if isinstance(line, LoopSteps)]
    assert [round(line.seconds / line.steps, 1) for line in steps[1:]] == [0.5] * 3 + [1.5] * 16
    state = steady_state(lines)
    assert state is not None
    assert state.checkpoint_s == pytest.approx(30, rel=0.001)
    assert state.evaluation_s == pytest.approx(45, rel=0.001)


def test_input_wait_is_read_where_a_framework_states_it() -> None:
    shares = {name: state_of(LOGS / name).data_wait_share for name in ("detectron2.log", "mmengine.log")}
    assert shares == {"detectron2.log": pytest.approx(0.1, abs=0.001), "mmengine.log": pytest.approx(0.04)}


def test_the_losses_of_a_log_without_times_are_read() -> None:
    records = list(read_log(LOGS / "lightning.metrics.csv"))
    assert [record.step for record in records if record.loss][:2] == [50, 100]
    assert [record.step for record in records if record.evaluation_loss] == [200, 400]


def checkpoints(folder: Path, *, step_s: float = 2.0) -> Path:
    """Lay out checkpoints every 50 steps, with the file times that a run leaves; return the last."""
    state = json.loads((LOGS / "trainer_state.json").read_text(encoding="utf-8"))
    for step in range(50, 201, 50):
        file = folder / f"checkpoint-{step}" / "trainer_state.json"
        file.parent.mkdir(parents=True)
        history = [entry for entry in state["log_history"] if entry["step"] <= step]
        file.write_text(json.dumps(state | {"global_step": step, "log_history": history}), encoding="utf-8")
        time_s = 1.78e9 + step * step_s + step / 50 * 14.5
        os.utime(file, (time_s, time_s))
    return file


@pytest.mark.parametrize("whole_folder", [True, False])
def test_file_times_of_checkpoints_are_a_clock(tmp_path: Path, *, whole_folder: bool) -> None:
    last = checkpoints(tmp_path)
    state = state_of(tmp_path if whole_folder else last)
    assert state.step_time_s == pytest.approx(2, rel=0.01)
    assert state.evaluation_s == 14.5


def test_a_torn_state_file_is_refused_in_a_line(tmp_path: Path) -> None:
    """transformers writes it with a plain open (trainer_callback.py, TrainerState.save_to_json)."""
    file = tmp_path / "trainer_state.json"
    file.write_text((LOGS / "trainer_state.json").read_text(encoding="utf-8")[:900], encoding="utf-8")
    with pytest.raises(
        InputError, match=r"trainer_state.json: is torn, .* take that of an earlier checkpoint"
    ):
        list(read_log(file))


def test_a_torn_tail_of_an_event_file_is_left_out() -> None:
    (first, _) = sorted((LOGS / "tensorboard").iterdir())
    data = first.read_bytes()
    whole = list(read_scalars(data))
    assert len(whole) == 34
    assert whole[0].tag == "train/loss"
    for cut in (1, 5, 40):
        assert list(read_scalars(data[:-cut])) == whole[: len(list(read_scalars(data[:-cut])))]
        assert 32 <= len(list(read_scalars(data[:-cut]))) < 34
    assert is_event_file(data)
    assert not is_event_file(data[1:])


def test_a_path_that_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        list(read_log(tmp_path / "none.log"))
    with pytest.raises(InputError, match="has neither TensorBoard's events"):
        list(read_log(tmp_path))


def test_a_binary_file_has_no_records() -> None:
    assert list(read_log(Path(shutil.which("true") or "/bin/true"))) == []


@pytest.mark.parametrize("name", [row[0] for row in RECORDED if row[0] != "tensorboard"])
def test_a_damaged_log_is_read_without_an_error(name: str) -> None:
    """Bytes are lost, doubled, swapped and replaced by digits, as a node that fails or several ranks leave them."""
    chance, data = random.Random(name), bytearray((LOGS / name).read_bytes())
    for _ in range(len(data) // 20):
        at = chance.randrange(len(data) - 20)
        piece = bytes(data[at : at + chance.randrange(1, 20)])
        data[at : at + len(piece)] = chance.choice(
            [b"", piece + piece, piece[::-1], b"9" * 400, b"e999", b"nan"]
        )
    reader = StreamReader()
    for at in range(0, len(data), 1000):
        records = reader.feed(bytes(data[at : at + 1000]), 1e9 + at, float(at))
        assert all(record.step is None or 0 <= record.step < 1e16 for record in records)
    lines = loop_lines([*StreamReader().feed(bytes(data), None, None), *reader.finish()])
    assert all(0 <= line.seconds < 1e15 for line in lines if isinstance(line, LoopSteps | LoopPause))


def test_a_log_is_read_in_pieces(tmp_path: Path) -> None:
    """The middle of a log of 2.5 MB holds no record, and what it holds is not kept."""
    log = tmp_path / "big.log"
    noise = b"some words of a library that nobody reads\n" * 3_000
    with log.open("wb") as file:
        for step in range(20):
            file.write(noise)
            file.write(b"iter %d: loss 2.5, time 100.00ms, mfu 1.00%%\n" % step)
    records: list[LogRecord] = list(read_log(log))
    assert [record.step for record in records if record.kind is RecordKind.STEP] == list(range(1, 21))
