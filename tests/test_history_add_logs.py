"""`history add LOG`: old logs as measurements, and logs that would teach something wrong refused in a line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command

import clusterplan
from clusterplan.estimator.history.runs import History

LOGS = ROOT / "tests/logs"
SHAPE = "--model phi2 --gpu h100-sxm --gpus 8 --batch-size 8".split()


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "h" / "history.db"))
    monkeypatch.setenv("CLUSTERPLAN_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def add(in_process: Command) -> Callable[..., Any]:
    return lambda *args: in_process("history", "add", *SHAPE, *args)


@pytest.fixture
def entered(tmp_path: Path) -> Callable[[], Any]:
    def read() -> Any:
        with History(tmp_path / "h" / "history.db") as db:
            return db.measurements()

    return read


def iterations(*steps: int, loss: str = "2.5") -> str:
    """Return lines of nanoGPT, which carry the time of a step."""
    return "".join(f"iter {step}: loss {loss}, time 500.00ms, mfu 35.10%\n" for step in steps)


def refused(add: Callable[..., Any], tmp_path: Path, text: str, *flags: str) -> str:
    log = tmp_path / "run.log"
    log.write_text(text, encoding="utf-8")
    done = add(log, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return str(line).removeprefix(f"Error: {log}: ")


def test_a_log_is_entered_and_says_what_was_taken(
    add: Callable[..., Any], entered: Callable[[], Any]
) -> None:
    log = LOGS / "megatron-rampup.log"
    done = add(log)
    assert (done.returncode, done.stdout) == (0, "1 measurement of phi2 entered\n")
    assert done.stderr == (
        f"{log}: Megatron-LM: 1.5s per step, from 150 steps up to step 200 in 20 lines; an evaluation 45s; a save 30s\n"
    )
    (measured,) = entered()
    assert measured.step_time_s == pytest.approx(1.5, rel=0.01)
    assert (measured.n_steps, measured.batch_size, measured.gpus) == (150, 8, 8)
    assert measured.evaluation_s == pytest.approx(45, rel=0.01)
    assert measured.checkpoint_s == pytest.approx(30, rel=0.01)
    assert measured.source == "megatron-rampup.log (Megatron-LM)"
    assert f"{measured.when:%Y-%m-%d}" == "2026-08-22"


def test_several_logs_are_several_runs_and_a_log_is_entered_once(add: Callable[..., Any]) -> None:
    logs = [LOGS / "torchtitan.log", LOGS / "tensorboard"]
    assert add(*logs).stdout == "2 measurements of phi2 entered\n"
    again = add(*logs)
    assert again.stdout == "0 measurements entered\n"
    assert "2 measurements not entered: the history has them" in again.stderr


def test_an_estimate_learns_from_a_log(add: Callable[..., Any]) -> None:
    add(LOGS / "torchtitan.log")
    answer = clusterplan.estimate(samples=64_000, batch_size=8, gpus=8, model="phi2", gpu="h100-sxm")
    assert answer.step_time is not None
    assert answer.step_time.source.kind.value == "measured"
    assert answer.step_time.seconds.p50 == pytest.approx(1.5, rel=0.02)


def test_a_bar_that_jumps_to_the_step_of_a_resume_says_nothing_of_a_step(
    add: Callable[..., Any], entered: Callable[[], Any]
) -> None:
    """transformers 5.24.0 resumed at step 20 of 60, where a step slept 0.12 s: the bar is at 21 within the first second."""
    assert add(LOGS / "hf-trainer-5.24-resumed.log").returncode == 0
    assert entered()[0].step_time_s == pytest.approx(0.135, rel=0.15)


def test_it_is_a_python_call_too(entered: Callable[[], Any]) -> None:
    result = clusterplan.history_add(
        LOGS / "nanogpt.log", model="gpt2", gpus=1, gpu="h100-sxm", batch_size=12, accumulation=40
    )
    assert [measurement.n_steps for measurement in result.measurements] == [100]
    assert entered()[0].step_time_s == pytest.approx(0.2453, rel=0.001)
    with pytest.raises(TypeError, match="'batch' is not a value of a measurement"):
        clusterplan.history_add(LOGS / "nanogpt.log", batch=3)


def test_batches_of_an_epoch_s_bar_are_made_into_steps(
    add: Callable[..., Any], entered: Callable[[], Any]
) -> None:
    """lightning/pytorch/callbacks/progress/tqdm_progress.py counts batches: 4 of them make a step here."""
    assert add(LOGS / "lightning-tqdm.log", "--accumulation", "2").returncode == 0
    assert entered()[0].step_time_s == pytest.approx(5, rel=0.05)


def test_lines_of_one_s_own(add: Callable[..., Any], tmp_path: Path, entered: Callable[[], Any]) -> None:
    log = tmp_path / "mine.log"
    log.write_text("".join(f"it {n} took 250 ms\n" for n in range(1, 41)), encoding="utf-8")
    assert add(log, "--log-pattern", r"it (?P<step>\d+) took (?P<step_time_ms>\d+) ms").returncode == 0
    assert entered()[0].step_time_s == 0.25


def test_the_trainer_s_last_line_alone_is_a_mean(
    add: Callable[..., Any], tmp_path: Path, entered: Callable[[], Any]
) -> None:
    """With disable_tqdm there is neither bar nor step (transformers/trainer_callback.py, PrinterCallback)."""
    log = tmp_path / "quiet.log"
    log.write_text(
        "{'loss': 2.5, 'learning_rate': 5e-05, 'epoch': 0.5}\n"
        "{'train_runtime': 250.0, 'train_samples_per_second': 12.8, 'train_steps_per_second': 0.4, 'train_loss': 2.5, 'epoch': 1.0}\n",
        encoding="utf-8",
    )
    assert add(log).returncode == 0
    (measured,) = entered()
    assert (measured.step_time_s, measured.n_steps) == (2.5, 100)


@pytest.mark.parametrize("name", ["run.log", "trainer_state.json"])
def test_a_log_that_is_a_fifo_is_not_waited_for(add: Callable[..., Any], tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    done = add(tmp_path / name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {tmp_path / name}: is a FIFO, not a file\n"


def test_a_state_that_is_nested_too_deep_is_refused(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text('{"log_history": ' + "[" * 100_000, encoding="utf-8")
    done = in_process("advise", tmp_path / "trainer_state.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is torn, or no JSON" in done.stderr


def test_a_log_without_steps(add: Callable[..., Any], tmp_path: Path) -> None:
    line = refused(add, tmp_path, "Loading weights\nTraining begins\n")
    assert line.startswith("no line reports a step; lines of these are known: ms-swift, ")
    assert line.endswith("; for others give --step-time, or --log-pattern")


def test_a_log_without_times(add: Callable[..., Any]) -> None:
    line = add(LOGS / "lightning.metrics.csv").stderr
    assert "has steps of Lightning, but no times (metrics.csv has no clock): give --step-time" in line


def test_a_log_that_is_too_short(add: Callable[..., Any], tmp_path: Path) -> None:
    line = refused(add, tmp_path, iterations(1, 2, 3))
    assert line == (
        "has 2 timed steps of nanoGPT after the first line, and 10 are the least: "
        "give a longer log, or --step-time without it"
    )


def test_two_runs_in_one_file(add: Callable[..., Any], tmp_path: Path) -> None:
    line = refused(add, tmp_path, iterations(*range(0, 60, 10)) + iterations(*range(0, 60, 10)))
    assert line == "holds two runs: after step 51 one begins at step 1; give each a file of its own"
    trainer = (LOGS / "hf-trainer-4.log").read_text(encoding="utf-8")
    assert "holds two runs" in refused(add, tmp_path, trainer + trainer)


def test_a_run_and_its_resume_in_one_file(
    add: Callable[..., Any], tmp_path: Path, entered: Callable[[], Any]
) -> None:
    """Slurm appends to the log of a requeued job: the Trainer's bar begins at 0 again, and jumps to step 21."""
    log = tmp_path / "requeued.log"
    first = (LOGS / "hf-trainer-4.log").read_bytes()
    second = (LOGS / "hf-trainer-5-resumed.log").read_bytes()
    log.write_bytes(
        first[: first.index(b"| 26/60")] + b"\nslurmstepd: error: *** JOB 7 CANCELLED ***\n" + second
    )
    assert add(log).returncode == 0
    (measured,) = entered()
    assert measured.step_time_s == pytest.approx(2.5, rel=0.02)
    assert measured.n_steps > 45


def test_steps_that_go_back(add: Callable[..., Any], tmp_path: Path) -> None:
    line = refused(add, tmp_path, iterations(*range(0, 60, 10), *range(20, 90, 10)))
    assert line == (
        "the steps go back from 51 to 21: cut the log there, and give each part a file of its own"
    )


def test_a_loss_that_is_no_number(add: Callable[..., Any], tmp_path: Path) -> None:
    line = refused(add, tmp_path, iterations(*range(0, 60, 10)) + iterations(60, loss="nan"))
    assert line == ("the loss is nan at step 61: a run that diverged teaches no speed; cut the log before it")


def test_a_log_of_another_framework(add: Callable[..., Any]) -> None:
    done = add(LOGS / "torchtitan.log", "--framework", "megatron")
    assert done.returncode == 2
    assert "is a log of torchtitan, and --framework says megatron: leave the flag out" in done.stderr
    assert add(LOGS / "torchtitan.log", "--framework", "torchtitan").returncode == 0
    assert add(LOGS / "hf-trainer-4.log", "--framework", "hf").returncode == 0


def test_a_log_of_another_shape(add: Callable[..., Any]) -> None:
    line = add(LOGS / "megatron-rampup.log", "--accumulation", "4").stderr
    assert "reports a global batch of 64, and the flags make 256 samples per step" in line


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--step-time", "3"], "--step-time: does not go with a log"),
        (["--csv", "old.csv"], "--csv: does not go with logs"),
        (["--log-pattern", "x"], "--log-pattern: 'x' has no group for the step"),
        (["--gpus", "many"], "--gpus: 'many' is not a whole number"),
    ],
)
def test_flags_that_do_not_go_with_a_log(add: Callable[..., Any], flags: list[str], fault: str) -> None:
    done = add(LOGS / "torchtitan.log", *flags)
    assert done.returncode == 2
    assert fault in done.stderr


def test_flags_of_logs_need_one(add: Callable[..., Any]) -> None:
    assert "say how a log is read: give the log" in add("--step-time", "3", "--framework", "hf").stderr
