"""From the lines of a log to steps, their times, and the pauses between them."""

from collections.abc import Iterable
from typing import Any

import pytest

from clusterplan.estimator.measurements.steady_state import steady_state
from clusterplan.estimator.measurements.training_loop import (
    LoopEnd,
    LoopEvaluation,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
)
from clusterplan.launcher.logs.formats.loop_lines import Intervals, loop_lines
from clusterplan.launcher.logs.formats.record import LogRecord, RecordKind
from clusterplan.launcher.logs.formats.stream import StreamReader

START_S = 1_700_000_000.0


class Output:
    """What a command prints, with the time at which it does; `stamped` says whether anyone was there to look."""

    def __init__(self, *, stamped: bool = True) -> None:
        self.now_s, self._stamped = 0.0, stamped
        self._reader = StreamReader()
        self.records: list[LogRecord] = []

    def write(self, text: str, after_s: float = 0.0) -> None:
        self.now_s += after_s
        stamps = (START_S + self.now_s, self.now_s) if self._stamped else (None, None)
        self.records += self._reader.feed(text.encode(), *stamps)


def bar(step: int, total: int, elapsed_s: float) -> str:
    """Return a bar as tqdm draws it, with a rate and a rest that are wrong, as they are after a resume."""
    minutes, seconds = divmod(int(elapsed_s), 60)
    return (
        f"\r {step * 100 // total:3d}%|##   | {step}/{total} [{minutes:02d}:{seconds:02d}<99:00:00, 99.9s/it]"
    )


def trainer_output(resumed_at: int = 0, step_s: float = 2.0, **kind: Any) -> list[LogRecord]:
    """Print as the Trainer: the bar begins at 0, a dict every 10 steps, an evaluation of 12 s every 20."""
    output = Output(**kind)
    output.write("\r  0%|     | 0/1000 [00:00<?, ?it/s]")
    output.now_s += 9
    for step in range(resumed_at + 1, resumed_at + 101):
        output.write(bar(step, 1000, output.now_s + step_s), after_s=step_s)
        again = bar(step, 1000, output.now_s)
        if step % 10 == 0:
            output.write(
                f"\r          \r{{'loss': '2.5', 'learning_rate': '5e-05', 'epoch': '0.02'}}\n{again}"
            )
        if step % 20 == 0:
            output.write("\n\n  0%|     | 0/4 [00:00<?, ?it/s]\x1b[A")
            output.write("\n100%|#####| 4/4 [00:12<00:00, 0.33it/s]\x1b[A", after_s=12)
            output.write(f"{{'eval_loss': '2.1', 'eval_runtime': '12', 'epoch': '0.02'}}\n{again}")
    return output.records


def pauses(lines: Iterable[LoopLine], what: str) -> list[float]:
    return [line.seconds for line in lines if isinstance(line, LoopPause) and line.what == what]


@pytest.mark.parametrize("kind", [{}, {"resumed_at": 500}, {"resumed_at": 500, "stamped": False}])
def test_the_trainer_s_steps_and_evaluations_are_parted(kind: dict[str, Any]) -> None:
    """Also after a resume, where its bar jumps and the rate that it shows is wrong.

    Without anyone who stamps the lines, the bar's own clock in whole seconds is used.
    """
    lines = loop_lines(trainer_output(**kind))
    state = steady_state(lines)
    assert state is not None
    assert (state.step_time_s, state.evaluation_s) == (2, 12)
    assert state.n_steps >= 95
    assert isinstance(lines[0], LoopStart)
    assert lines[0].total == 1000
    steps = [line for line in lines if isinstance(line, LoopSteps)]
    assert steps[-1].step == kind.get("resumed_at", 0) + 100
    assert {line.loss for line in steps} == {None, 2.5}


def test_steps_faster_than_a_second_share_a_line() -> None:
    lines = loop_lines(trainer_output(step_s=0.3))
    assert len(lines) < 60
    state = steady_state(lines)
    assert state is not None
    assert state.step_time_s == pytest.approx(0.3)


def megatron(output: Output, step: int, step_s: float, batch: int = 16) -> None:
    output.write(
        f" [2026-08-22 10:00:00] iteration {step:8d}/     500 | consumed samples: 1 | elapsed time per iteration (ms): "
        f"{step_s * 1000:.1f} | learning rate: 1.0E-05 | global batch size: {batch:5d} | lm loss: 1.07E+01 |\n",
        after_s=10 * step_s,
    )


def test_megatron_s_own_mean_is_free_of_pauses() -> None:
    """megatron/training/training.py stops `interval-time` while it evaluates and saves."""
    output = Output()
    for step in range(10, 110, 10):
        megatron(output, step, 0.5)
        if step == 50:
            output.write("saving checkpoint at iteration      50 to /ckpt in torch_dist format\n")
            output.write("  successfully saved checkpoint from iteration      50 to /ckpt\n", after_s=7)
        if step == 70:
            output.write(
                " validation loss at iteration 70 | lm loss value: 2.9E+00 | lm loss PPL: 1E+01 |\n", 20
            )
    lines = loop_lines(output.records)
    state = steady_state(lines)
    assert state is not None
    assert state.n_steps == 90
    assert state.step_time_s == pytest.approx(0.5)
    assert state.checkpoint_s == pytest.approx(7)
    assert state.evaluation_s == pytest.approx(20)
    assert [line.loss for line in lines if isinstance(line, LoopEvaluation)] == [2.9]


def test_a_pause_without_a_time_is_what_the_steps_leave() -> None:
    """nanoGPT says neither how long an evaluation takes nor a save, and the step after them holds both."""
    output = Output()
    for step in range(0, 60, 5):
        if step == 30:
            output.write("step 30: train loss 3.0, val loss 3.1\nsaving checkpoint to out\n", after_s=40)
        output.write(f"iter {step}: loss 3.1, time 1000.00ms, mfu 3.00%\n", after_s=5)
    lines = loop_lines(output.records)
    state = steady_state(lines)
    assert state is not None
    assert state.step_time_s == pytest.approx(1)
    assert pauses(lines, "other") == [pytest.approx(40)]


def test_lines_without_any_clock_are_timed_by_what_they_state() -> None:
    log = "".join(f"iter {n}: loss 3.1, time 250.00ms, mfu 3.00%\n" for n in range(0, 50, 10))
    state = steady_state(loop_lines(StreamReader().feed(log.encode(), None, None)))
    assert state is not None
    assert (state.step_time_s, state.n_steps) == (0.25, 40)


def test_lines_that_come_in_bursts_are_not_steps_in_no_time() -> None:
    """A command whose output is buffered prints 20 lines at once."""
    output = Output()
    for burst in range(6):
        lines = (f"step: {burst * 20 + n} loss: 3.1 grad_norm: 1.0 tps: 9\n" for n in range(1, 21))
        output.write("".join(lines), after_s=40)
    state = steady_state(loop_lines(output.records))
    assert state is not None
    assert state.step_time_s == pytest.approx(2)


def test_the_clock_of_the_line_counts_where_it_has_fractions() -> None:
    line = "[2024-01-01 12:00:{:06.3f}] [INFO] [logging.py:96:log_dist] [Rank 0] step={}, skipped=0, lr=[1e-05], mom=[]\n"
    output = Output()
    output.write("".join(line.format(n * 1.5, n) for n in range(15)).replace(".", ","), after_s=3)
    fixed = [record for record in output.records if record.step]
    state = steady_state(loop_lines(fixed))
    assert state is not None
    assert state.step_time_s == pytest.approx(1.5)


def test_the_line_of_a_late_rank_is_no_restart() -> None:
    records = [
        LogRecord(RecordKind.STEP, "nanogpt", monotonic_s=at, step=step)
        for at, step in [(0, 10), (5, 20), (5.1, 10), (10, 30), (10.1, 20), (15, 40)]
    ]
    lines = loop_lines(records)
    assert sum(isinstance(line, LoopStart) for line in lines) == 1
    assert [line.step for line in lines if isinstance(line, LoopSteps)] == [10, 20, 30, 40]


def test_clocks_of_two_nodes_may_differ() -> None:
    """Both print each step, and the clock of one is 15 s behind: three intervals of 10 s."""
    records = [
        LogRecord(RecordKind.STEP, "deepspeed", time_s=1e9 + at, step=step)
        for step, at in [(10, 0.5), (10, -14.5), (20, 10.5), (20, -4.5), (30, 20.5), (20, -4.5), (40, 30.5)]
    ]
    lines = loop_lines(records)
    assert sum(isinstance(line, LoopStart) for line in lines) == 1
    assert [line.seconds for line in lines if isinstance(line, LoopSteps)] == [0, 10, 10, 10]


def test_steps_that_fall_back_are_a_new_start() -> None:
    steps = [*range(10, 60, 10), *range(20, 60, 10)]
    records = [
        LogRecord(RecordKind.STEP, "nanogpt", monotonic_s=5.0 * n, step=s) for n, s in enumerate(steps)
    ]
    assert [line.step for line in loop_lines(records) if isinstance(line, LoopStart)] == [9, 19]


def test_the_start_of_the_command_gives_the_start_up() -> None:
    intervals = Intervals(attempt="1")
    assert intervals.add(LogRecord(RecordKind.START, "", arrival_s=100.0, monotonic_s=1.0, step=500)) == []
    first = intervals.add(LogRecord(RecordKind.STEP, "nanogpt", arrival_s=161.0, monotonic_s=62.0, step=510))
    assert first == [LoopStart(100.0, 500, None, "1"), LoopSteps(161.0, 510, 10, 61.0, 6.1)]
    end = intervals.add(LogRecord(RecordKind.END, "hf-trainer-end", arrival_s=170.0, monotonic_s=71.0))
    assert end == [LoopEnd(161.0, 510)]


def test_a_line_with_the_step_counts_more_than_a_bar() -> None:
    bars = [LogRecord(RecordKind.STEP, "tqdm", monotonic_s=float(n), step=n) for n in range(5)]
    line = [LogRecord(RecordKind.STEP, "ms-swift", monotonic_s=5.0 + 9 * n, step=10 * n) for n in range(1, 4)]
    *_, last, end = loop_lines([*bars, *line])
    assert [last, end] == [LoopSteps(0.0, 20, 10, 9.0, 0.9), LoopSteps(0.0, 30, 10, 9.0, 0.9)]


def test_rough_steps_are_counted_over_long_intervals() -> None:
    """Steps that follow from 4 digits of the epoch jump by 10."""
    records = [
        LogRecord(RecordKind.STEP, "hf-trainer", monotonic_s=2.0 * n, step=n // 10 * 10, step_resolution=10)
        for n in range(0, 1000, 7)
    ]
    steps = [line for line in loop_lines(records) if isinstance(line, LoopSteps)]
    assert all(line.steps >= 180 for line in steps[1:-1])
