"""`track(...).should_stop()`: the rules of `clusterplan advise`, asked inside a training loop."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from loss_curves import TOTAL, linear, train

import clusterplan
from clusterplan import track
from clusterplan.estimator.stopping.advice import advise_stop
from clusterplan.estimator.stopping.curve import Curve

if TYPE_CHECKING:
    from clusterplan.launcher.in_training.tracker import Tracker


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job, so that nothing is written."""
    for name in ("CLUSTERPLAN_RUN_FOLDER", "RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def flat_curve() -> Curve:
    """A decay after which validation does not improve."""
    curve = train(linear)
    return Curve(
        tuple(p._replace(value=2.0) for p in curve.losses),
        tuple(p._replace(value=2.0) for p in curve.validations),
        curve.learning_rates,
        TOTAL,
    )


def replay(curve: Curve, tracker: "Tracker[int]", first: int, last: int) -> None:
    """Log a curve through a tracker that counts its steps."""
    losses, rates, evaluations = (
        {p.step: p.value for p in points}
        for points in (curve.losses, curve.learning_rates, curve.validations)
    )
    for step in range(first + 1, last + 1):
        tracker.advance()
        if step in losses:
            tracker.log(loss=losses[step], learning_rate=rates[step], eval_loss=evaluations.get(step))


def test_loop_is_told_what_advise_tells() -> None:
    curve = flat_curve()
    tracker: Tracker[int] = track(total=TOTAL)
    answers, expected = [], []
    for step in (5_000, 8_000, 9_500, TOTAL):
        replay(curve, tracker, tracker.step, step)
        answers.append(tracker.should_stop())
        expected.append(advise_stop(curve.until(step)).may_stop)
    assert answers == expected == [False, False, True, True]


def test_nothing_logged_is_no_reason_to_stop() -> None:
    assert not track(total=10).should_stop()


def test_rate_that_stays_is_stated_by_the_script() -> None:
    tracker: Tracker[int] = track(total=TOTAL)
    for step in range(1, 9_001):
        tracker.advance()
        if step % 50 == 0:
            tracker.log(loss=2.0, eval_loss=2.0 if step % 250 == 0 else None)
    assert not tracker.should_stop()
    assert tracker.should_stop(constant_lr=True)


def test_resumed_loop_goes_on_with_what_earlier_attempts_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = flat_curve()
    lines = [{"kind": "start", "time_s": 1, "step": 0}, "torn"]
    rates = {p.step: p.value for p in curve.learning_rates}
    lines += [
        {"kind": "steps", "step": p.step, "loss": p.value, "learning_rate": rates[p.step]}
        for p in curve.losses
        if p.step <= 9_300
    ]
    lines += [
        {"kind": "evaluation", "step": p.step, "loss": p.value} for p in curve.validations if p.step <= 9_300
    ]
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("CLUSTERPLAN_RUN_FOLDER", str(tmp_path))
    tracker: Tracker[int] = track(start=9_300, total=TOTAL)
    replay(curve, tracker, 9_300, 9_600)
    assert tracker.should_stop()


def test_more_than_two_thousand_losses_are_thinned_out() -> None:
    tracker: Tracker[int] = track(total=20_000)
    for _ in range(10_000):
        tracker.advance()
        tracker.loss(2.0)
    assert not tracker.should_stop()
    assert len(tracker._record._logged["loss"]) <= 2_048


def test_callback_of_trainer_ends_the_training_where_the_loop_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers, trainer_callback.py: `on_log(args, state, control, logs)`, on training and evaluation alike.

    The package stands in for transformers, which is large: `make frameworks` has the real one.
    """
    (tmp_path / "transformers.py").write_text("class TrainerCallback:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    curve, callback = flat_curve(), clusterplan.stop_callback("hf")
    monkeypatch.delitem(sys.modules, "transformers")
    control = SimpleNamespace(should_training_stop=False)
    rates, evaluations = dict(curve.learning_rates), dict(curve.validations)
    stopped_at = None
    for step, loss in curve.losses:
        state = SimpleNamespace(global_step=step, max_steps=TOTAL)
        callback.on_log(None, state, control, {"loss": loss, "learning_rate": rates[step]})
        if step in evaluations:
            callback.on_log(None, state, control, {"eval_loss": evaluations[step]})
        if control.should_training_stop:
            stopped_at = step
            break
    assert stopped_at is not None
    assert 0.9 * TOTAL < stopped_at < TOTAL
    assert advise_stop(curve.until(stopped_at)).may_stop


def test_callback_of_lightning_asks_after_each_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lightning.pytorch, callbacks/early_stopping.py: the strategy makes one answer of those of all ranks."""
    (tmp_path / "lightning").mkdir()
    (tmp_path / "lightning/__init__.py").write_text("")
    (tmp_path / "lightning/pytorch.py").write_text("class Callback:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    curve, callback = flat_curve(), clusterplan.stop_callback("lightning")
    for name in ("lightning", "lightning.pytorch"):
        monkeypatch.delitem(sys.modules, name)
    trainer = SimpleNamespace(
        global_step=0,
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.0}])],
        callback_metrics={},
        sanity_checking=False,
        estimated_stepping_batches=TOTAL,
        strategy=SimpleNamespace(broadcast=bool),
        should_stop=False,
    )
    rates, evaluations = dict(curve.learning_rates), dict(curve.validations)
    for step, loss in curve.losses:
        trainer.global_step = step
        trainer.optimizers[0].param_groups[0]["lr"] = rates[step]
        callback.on_train_batch_end(trainer, None, {"loss": loss}, None, 0)
        if step in evaluations:
            trainer.callback_metrics["val_loss"] = evaluations[step]
            callback.on_validation_end(trainer, None)
        if trainer.should_stop:
            break
    assert 0.9 * TOTAL < trainer.global_step < TOTAL
