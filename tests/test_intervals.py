"""The steps between evaluations and checkpoints, as each trainer rounds them."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan.errors import WorkloadError
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.estimate.intervals import count_evaluations, interval_steps
from clusterplan.estimator.estimate.steps import count_steps
from clusterplan.estimator.job.job_file import load_workload
from clusterplan.estimator.job.workload import Workload


def job(samples: int = 10_000, *, evaluation: dict[str, Any], **training: Any) -> Workload:
    """10,000 samples in batches of 8 x 4: 313 batches per epoch."""
    return Workload.model_validate(
        {
            "data": {"samples": samples},
            "training": {"batch_size": 8, "gpus": 4, **training},
            "evaluation": evaluation,
            "throughput": {"step_time": 1},
        }
    )


def trainer_evaluations(total: int, epoch_steps: int, epochs: Fraction, every: float | None) -> list[int]:
    """Walk through Trainer's loop: the steps at which it evaluates.

    `TrainerState.compute_steps` makes an interval below 1 a number of steps; the default callback asks for an
    evaluation at multiples of it, or at the end of each epoch, the last included where `max_steps` cuts it short
    (src/transformers/trainer_callback.py and trainer.py in huggingface/transformers).
    """
    steps = math.ceil(total * every) if every is not None and every < 1 else every
    evaluated, step = [], 0
    for _ in range(math.ceil(epochs)):
        for _ in range(epoch_steps):
            step += 1
            if steps and step % steps == 0:
                evaluated.append(step)
            if step == total:
                break
        if steps is None:
            evaluated.append(step)
        if step == total:
            break
    return evaluated


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("epochs", ["1", "3", "2.5"])
@pytest.mark.parametrize("every", [None, 0.1, 0.07, 0.34, 100, 1])
def test_intervals_are_those_of_a_walk_through_trainers_loop(
    accumulation: int, epochs: str, every: float | None
) -> None:
    stated = {"every_epochs": 1} if every is None else {"every_steps": every}
    workload = job(evaluation=stated, accumulation=accumulation, epochs=epochs)
    steps = count_steps(workload)
    walk = trainer_evaluations(steps.total, -(-313 // accumulation), workload.training.epochs, every)
    assert not walk or interval_steps(workload.evaluation, workload, steps) == walk[0]
    assert count_evaluations(workload, steps) == len(walk)


@pytest.mark.parametrize(("share", "batches"), [(0.25, 78), (0.33, 103), (0.5, 156), (1, 313), (2, 626)])
def test_lightning_validates_after_a_whole_number_of_batches(share: float, batches: int) -> None:
    # `val_check_interval` 0.25 of 313 batches: int(313 x 0.25); 2 is check_val_every_n_epoch
    # (src/lightning/pytorch/loops/fit_loop.py in Lightning-AI/pytorch-lightning).
    workload = job(evaluation={"every_epochs": share}, framework="lightning", epochs=4)
    assert interval_steps(workload.evaluation, workload, count_steps(workload)) == batches


def test_an_epoch_of_megatrons_stream_ends_within_a_step() -> None:
    workload = job(evaluation={"every_epochs": 1}, framework="megatron", epochs=3, accumulation=10)
    steps = count_steps(workload)  # 10,000 / 320 = 31.25 steps per epoch
    assert interval_steps(workload.evaluation, workload, steps) == 31
    assert count_evaluations(workload, steps) == 3


def test_evaluation_and_checkpoints_by_epoch_or_share_take_their_time() -> None:
    by_epoch = {"every_epochs": 1, "time_s": 60}
    workload = job(evaluation=by_epoch, epochs=3).model_copy(
        update={
            "checkpoint": job(evaluation={}).checkpoint.model_copy(update={"every_steps": 0.1, "time_s": 10})
        }
    )
    parts = estimate_workload(workload).clock.parts
    assert parts["evaluation"].seconds
    assert parts["evaluation"].seconds.p50 == 3 * 60
    assert parts["checkpoints"].seconds
    assert parts["checkpoints"].seconds.p50 == 10 * 10  # every ceil(93.9) of 939 steps, the last at the end


def test_every_answer_names_the_same_interval(in_process: Command, tmp_path: Any) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        "[data]\nsamples = 10_000\n[training]\nbatch_size = 8\ngpus = 4\nepochs = 3\n[throughput]\nstep_time = 1\n"
        "[evaluation]\nevery_epochs = 1\ntime_s = 60\n[checkpoint]\nevery_steps = 0.1\ntime_s = 10\n"
    )
    answer = json.loads(in_process("estimate", file, "--json").stdout)
    assert answer["interval_steps"] == {"evaluation": 313, "checkpoint": 94}
    shown = in_process("estimate", file, "--explain").stdout
    assert "evaluation every epoch = 313 steps" in shown
    assert "checkpoint every ceil(0.1 x 939 steps) = 94 steps" in shown


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ("every_steps = 2.5", "2.5 is neither a whole number of steps nor a share of the run below 1"),
        ("every_steps = -0.1", "must be at least 0"),
        ("every_epochs = 0", "must be greater than 0"),
        ("every_epochs = 1\nevery_steps = 100", "every_steps and every_epochs are both given"),
    ],
)
def test_an_interval_that_is_none_is_one_clear_line(tmp_path: Any, stated: str, fault: str) -> None:
    file = tmp_path / "job.toml"
    file.write_text(f"[data]\nsamples = 100\n[training]\nbatch_size = 8\ngpus = 4\n[evaluation]\n{stated}\n")
    with pytest.raises(WorkloadError, match=fault.replace(".", r"\.")):
        load_workload(file, {})


def test_every_0_still_means_never() -> None:
    workload = job(evaluation={"every_steps": 0})
    assert interval_steps(workload.evaluation, workload, count_steps(workload)) == 0
    assert count_evaluations(workload, count_steps(workload)) == 0


def test_a_share_of_lightnings_is_one_of_an_epoch(in_process: Command, tmp_path: Path) -> None:
    # `val_check_interval=0.25` is 4 times per epoch, https://github.com/Lightning-AI/pytorch-lightning/issues/4137
    job = tmp_path / "job.toml"
    training = "[training]\nbatch_size = 4\ngpus = 2\nepochs = 3\nframework = 'lightning'\n"
    job.write_text(f"[data]\nsamples = 10000\n{training}[evaluation]\nevery_steps = 0.25\n")
    said = "evaluation.every_steps 0.25 is a share of the run, and Lightning takes shares of an epoch: give every_epochs = 0.25"
    done = in_process("estimate", str(job))
    assert (done.returncode, done.stderr) == (2, f"Error: {job}: {said}\n")


@pytest.mark.parametrize("every", ["epoch", "4 per epoch"])
def test_an_interval_in_words_names_the_keys(in_process: Command, tmp_path: Path, every: str) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f'[data]\nsamples = 10000\n[training]\nbatch_size = 4\ngpus = 2\n[evaluation]\nevery_steps = "{every}"\n'
    )
    assert (
        "is neither steps such as 500 nor a share of the run such as 0.1; epochs are given as every_epochs"
        in (in_process("estimate", str(job)).stderr)
    )
