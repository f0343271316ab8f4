"""`track(...).should_stop()`: the rules of `clusterplan advise`, asked inside a training loop."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from loss_curves import TOTAL, linear, train

from clusterplan import track
from clusterplan.estimator.stopping.advice import advise_stop
from clusterplan.estimator.stopping.curve import Curve

if TYPE_CHECKING:
    from clusterplan.launcher.in_training.tracker import Tracker


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job, so that nothing is written."""
    for name in ("CLUSTERPLAN_RUN_FOLDER", "CLUSTERPLAN_ATTEMPT", "RANK", "LOCAL_RANK", "SLURM_PROCID"):
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
    lines: list[object] = [{"kind": "start", "time_s": 1, "step": 0, "attempt": "1.0"}, "torn"]
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
    monkeypatch.setenv("CLUSTERPLAN_ATTEMPT", "1.1")
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


def test_tensor_that_changes_in_place_is_read_while_it_is_the_loss() -> None:
    """A running loss that the script sets to zero would otherwise be zero at all steps."""

    class Tensor:
        value = 2.0

        def detach(self) -> "Tensor":
            same = Tensor()
            same.__dict__ = self.__dict__  # as of torch: another object with the same memory
            return same

        def __float__(self) -> float:
            return self.value

    tensor = Tensor()
    tracker: Tracker[int] = track(total=10)
    tracker.loss(tensor)
    assert not tracker.should_stop()
    tensor.value = 0.0
    tracker.advance()
    tracker.loss(tensor)
    assert [float(value) for _, value in tracker._record._logged["loss"]] == [2.0]
