"""The callbacks for Trainer and Lightning, called in the order of these frameworks' loops.

`make frameworks` runs them in the real ones.
"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from clusterplan import lightning_callback, trainer_callback


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that `track` finds."""
    monkeypatch.setenv("CLUSTERPLAN_RUN_FOLDER", str(tmp_path))
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, base in (("transformers", "TrainerCallback"), ("lightning.pytorch", "Callback")):
        module = ModuleType(name)
        setattr(module, base, type(base, (), {}))
        monkeypatch.setitem(sys.modules, name, module)
    return tmp_path


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def test_a_trainers_callback_reports_steps_losses_evaluations_and_saves(folder: Path) -> None:
    """transformers/trainer.py, _inner_training_loop and _maybe_log_save_evaluate, after a resume at step 10."""
    callback, args = trainer_callback(), SimpleNamespace(per_device_train_batch_size=4)
    state, control = (
        SimpleNamespace(global_step=10, max_steps=20),
        SimpleNamespace(should_evaluate=False, should_save=False),
    )
    callback.on_train_begin(args, state, control, model=None)
    for step in range(11, 21):
        state.global_step = step
        control.should_evaluate = control.should_save = step == 20
        callback.on_step_end(args, state, control, model=None)
        callback.on_log(args, state, control, logs={"loss": 2.0, "grad_norm": 1.0, "learning_rate": 1e-5})
    callback.on_log(args, state, control, logs={"eval_loss": 1.5, "eval_runtime": 3.0})
    callback.on_evaluate(args, state, control, metrics={})
    callback.on_save(args, state, control)
    callback.on_train_end(args, state, control)
    start, *others, end = lines(folder)
    assert [start[key] for key in ("kind", "step", "total", "batch_size")] == ["start", 10, 20, 4]
    assert sum(line["steps"] for line in others if line["kind"] == "steps") == 10
    assert [line["what"] for line in others if line["kind"] == "pause"] == ["evaluation", "checkpoint"]
    assert [line["loss"] for line in others if line["kind"] == "evaluation"] == [1.5]
    assert (end["kind"], end["step"]) == ("end", 20)


def test_lightnings_callback_counts_optimizer_steps_and_not_batches(folder: Path) -> None:
    """lightning/pytorch/loops/training_epoch_loop.py; the sanity check before training is no evaluation of it."""
    callback = lightning_callback()
    trainer = SimpleNamespace(
        global_step=0, estimated_stepping_batches=5, sanity_checking=True, optimizers=[], callback_metrics={}
    )
    callback.on_validation_start(trainer, None)
    callback.on_validation_end(trainer, None)
    trainer.sanity_checking = False
    callback.on_train_start(trainer, None)
    for batch in range(1, 11):
        trainer.global_step = batch // 2
        callback.on_train_batch_end(trainer, None, {"loss": 3.0}, None, batch - 1)
    callback.on_validation_start(trainer, None)
    callback.on_validation_end(trainer, None)
    callback.on_train_end(trainer, None)
    start, *others, end = lines(folder)
    assert (start["total"], end["kind"], end["step"]) == (5, "end", 5)
    assert [line["what"] for line in others if line["kind"] == "pause"] == ["evaluation"]
    assert {line["loss"] for line in others if line["kind"] == "steps"} == {3.0}


def test_a_lightning_run_without_limit_has_no_total(folder: Path) -> None:
    trainer = SimpleNamespace(global_step=0, estimated_stepping_batches=float("inf"), sanity_checking=False)
    lightning_callback().on_train_start(trainer, None)
    assert lines(folder)[0]["total"] is None


@pytest.mark.parametrize("make", [trainer_callback, lightning_callback])
def test_the_framework_has_to_be_imported_first(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transformers", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(RuntimeError, match=r"^import \S+.* first: the callback is for its Trainer$"):
        make()


@pytest.mark.usefixtures("folder")
def test_a_trainers_callback_ends_the_training_at_a_confirmed_plateau_if_asked_to() -> None:
    """transformers/trainer_callback.py: TrainerControl.should_training_stop."""
    stopped_at = {}
    for stop in (True, False):
        callback, control = trainer_callback(stop=stop), SimpleNamespace(should_training_stop=False)
        state = SimpleNamespace(global_step=0, max_steps=1000)
        callback.on_train_begin(SimpleNamespace(per_device_train_batch_size=4), state, control)
        for step in range(10, 1001, 10):
            state.global_step = step
            callback.loop.count_to(step)
            callback.on_log(
                None, state, control, logs={"loss": 2.0, "learning_rate": 1e-3 * (1 - step / 1000)}
            )
            if step % 50 == 0:
                callback.on_log(None, state, control, logs={"eval_loss": 2.0})
            if control.should_training_stop:
                stopped_at[stop] = step
                break
    assert list(stopped_at) == [True]
    assert 900 <= stopped_at[True] < 1000  # the learning rate is below 10 % of its peak


@pytest.mark.usefixtures("folder")
def test_lightnings_callback_ends_the_training_at_a_confirmed_plateau_if_asked_to() -> None:
    """lightning/pytorch/callbacks/early_stopping.py: trainer.should_stop, the same on all ranks."""
    trainer = SimpleNamespace(
        global_step=0,
        estimated_stepping_batches=1000,
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.0}])],
        callback_metrics={"val_loss": 2.0},
        sanity_checking=False,
        strategy=SimpleNamespace(broadcast=bool),
        should_stop=False,
    )
    callback = lightning_callback(stop=True)
    callback.on_train_start(trainer, None)
    while not trainer.should_stop and trainer.global_step < 1000:
        trainer.global_step += 10
        trainer.optimizers[0].param_groups[0]["lr"] = 1e-3 * (1 - trainer.global_step / 1000)
        callback.on_train_batch_end(trainer, None, {"loss": 2.0}, None, 0)
        if trainer.global_step % 50 == 0:
            callback.on_validation_start(trainer, None)
            callback.on_validation_end(trainer, None)
    assert 900 <= trainer.global_step < 1000
