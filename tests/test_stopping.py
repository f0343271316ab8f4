"""May a training stop?  Each curve is walked prefix by prefix, as a user would ask while it runs."""

import json
import math
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from loss_curves import SCHEDULES, TOTAL, constant, cosine, last_decay, linear, prefixes, train

from clusterplan.estimator.stopping.advice import Rules, State, StopAdvice, advise_stop
from clusterplan.estimator.stopping.curve import Curve, Point, in_order
from clusterplan.estimator.stopping.schedule import Phase, find_phase

DEFAULT, CONSTANT = Rules(), Rules(is_lr_constant=True)


def walk(curve: Curve, rules: Rules = DEFAULT, count: int = 25) -> list[tuple[int, StopAdvice]]:
    return [(step, advise_stop(prefix, rules)) for step, prefix in prefixes(curve, count)]


def stops(curve: Curve, rules: Rules = DEFAULT, count: int = 25) -> list[int]:
    return [step for step, advice in walk(curve, rules, count) if advice.may_stop]


def false_stops(curve: Curve, at: list[int]) -> list[int]:
    """The stops after which a validation is better than the best until then by more than 1 %."""
    values = curve.cost_of(curve.validation_name, curve.validations)
    return [
        step
        for step in at
        if min((p.value for p in values if p.step > step), default=math.inf)
        < 0.99 * min(p.value for p in values if p.step <= step)
    ]


def series(*values: float, every: int = 100) -> tuple[Point, ...]:
    return tuple(Point(every * number, value) for number, value in enumerate(values, 1))


def test_no_stop_before_the_last_decay_and_few_that_are_false() -> None:
    early, right, false = [], 0, 0
    for name, schedule in SCHEDULES.items():
        for evaluation_noise in (0.003, 0.02):
            curve = train(schedule, evaluation_noise=evaluation_noise)
            at = stops(curve)
            early += [(name, step) for step in at if name == "constant" or step < last_decay(schedule)]
            false += len(false_stops(curve, at))
            right += len(at)
    assert early == []
    assert right >= 10
    assert false <= 0.05 * right


def test_constant_rate_stops_only_where_the_user_says_that_it_stays() -> None:
    curve = train(constant)
    at = stops(curve, CONSTANT)
    assert (stops(curve), at[-1:], false_stops(curve, at)) == ([], [TOTAL], [])
    assert advise_stop(curve).state is State.PLATEAU_HIGH_LR


@pytest.mark.parametrize("name", ["linear", "cosine", "stable_then_decay", "restarts", "one_cycle"])
def test_flat_validations_are_confirmed_once_the_rate_has_decayed(name: str) -> None:
    curve = train(SCHEDULES[name])
    flat = replace(curve, validations=tuple(p._replace(value=2.0) for p in curve.validations))
    assert last_decay(SCHEDULES[name]) <= min(stops(flat, count=50)) <= TOTAL


def test_without_validation_nothing_stops() -> None:
    curve = replace(train(linear), validations=())
    states = {advice.state for _, advice in walk(curve, CONSTANT)}
    assert State.PLATEAU_UNCONFIRMED in states
    assert not states & {State.STOP_CONFIRMED, State.OVERFITTING}


def test_without_learning_rate_nothing_stops() -> None:
    curve = replace(train(linear), learning_rates=())
    assert stops(curve) == []
    assert advise_stop(curve).state is State.PLATEAU_UNCONFIRMED


def test_two_validations_confirm_nothing() -> None:
    flat = series(*[2.0] * 90)
    curve = Curve(flat, series(2.0, 2.0, 2.0, every=3000), total_steps=9500)
    assert advise_stop(curve, CONSTANT).state is State.PLATEAU_UNCONFIRMED


def test_validations_within_two_percent_of_the_steps_confirm_nothing() -> None:
    validations = tuple(Point(8900 + step, 2.0) for step in range(0, 100, 10))
    curve = Curve(series(*[2.0] * 90), validations, total_steps=9500)
    assert not advise_stop(curve, CONSTANT).may_stop


def test_seed_in_its_band_is_an_unconfirmed_plateau() -> None:
    """PKU-YuanGroup/MoE-LLaVA#28: loss 1.4 at step 3,000, 1.1 at 7,000, 30 M records on 8 GPUs at batch 32."""
    curve = Curve((Point(3000, 1.4), Point(7000, 1.1)), total_steps=117_188)
    assert advise_stop(curve, Rules(band=(1.0, 1.2))).state is State.PLATEAU_UNCONFIRMED
    assert advise_stop(curve).state is State.UNKNOWN


def test_seed_logged_each_ten_steps_is_improving_without_its_band() -> None:
    draw = random.Random(28)
    losses = tuple(Point(s, 1.4 * (s / 3000) ** -0.285 + draw.gauss(0, 0.05)) for s in range(10, 7001, 10))
    curve = Curve(losses, total_steps=117_188)
    assert advise_stop(curve).state is State.IMPROVING
    assert advise_stop(curve, Rules(band=(1.0, 1.2))).state is State.PLATEAU_UNCONFIRMED


def test_validation_that_rises_while_training_falls_is_overfitting() -> None:
    """Public trainer state of whisper-small-hi: best at step 1,000, worse at each of the next four validations."""
    losses = series(*(0.9 * 0.9**n for n in range(50)))
    curve = Curve(losses, series(0.3075, 0.3558, 0.4214, 0.4519, 0.4679, every=1000), total_steps=5000)
    advice = advise_stop(curve)
    assert advice.state is State.OVERFITTING
    assert advice.validations is not None
    assert advice.validations.best == Point(1000, 0.3075)
    assert not advice.may_stop


def test_further_metric_that_still_improves_is_named() -> None:
    losses = series(*(0.9 * 0.9**n for n in range(50)))
    curve = Curve(
        losses,
        series(0.3075, 0.3558, 0.4214, 0.4519, 0.4679, every=1000),
        total_steps=5000,
        others=(("eval_wer", series(34.6, 33.1, 32.6, 32.0, 32.1, every=1000)),),
    )
    assert advise_stop(curve).still_improving == ("eval_wer",)


def test_validation_that_rises_with_the_training_loss_is_not_overfitting() -> None:
    rising = series(*[2.0] * 50, *(2.0 + 0.004 * n for n in range(50)))
    curve = Curve(rising, rising[9::10], total_steps=20_000)
    assert State.OVERFITTING not in {advice.state for _, advice in walk(curve)}


def test_noise_of_flat_validations_is_rarely_overfitting() -> None:
    alarms = 0
    for seed in range(6):
        draw = random.Random(seed)
        losses = series(*(2.0 - 0.002 * n + draw.gauss(0, 0.02) for n in range(100)))
        validations = tuple(Point(p.step, 2 + draw.gauss(0, 0.04)) for p in losses[4::5])
        walked = walk(Curve(losses, validations, total_steps=10_000), count=20)
        alarms += sum(advice.state is State.OVERFITTING for _, advice in walked)
    assert alarms <= 6 * 20 * 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_no_number_has_diverged(bad: float) -> None:
    fine = series(*(3 - 0.01 * n for n in range(100)), bad, bad, bad)
    assert advise_stop(Curve(fine, total_steps=20_000)).state is State.DIVERGED
    assert advise_stop(Curve(fine[:-2], total_steps=20_000)).state is State.IMPROVING  # a single one passes


def test_loss_that_loses_most_of_its_gain_has_diverged() -> None:
    falling = [11 * (1 + n) ** -0.3 for n in range(100)]
    curve = Curve(series(*falling, *[7.5] * 60), total_steps=20_000)
    assert advise_stop(curve).state is State.DIVERGED


def test_few_points_that_explode_have_diverged() -> None:
    curve = Curve(
        series(*[3.0, 2.5, 2.2, 2.1, 2.0, 2.0], *(2.0 * 1.5**n for n in range(1, 9))), total_steps=9_000
    )
    assert advise_stop(curve).state is State.DIVERGED


def test_validation_that_is_no_number_counts_only_if_the_loss_is_gone_too() -> None:
    """transformers/training_args.py, logging_nan_inf_filter: Trainer leaves out losses that are not finite, and prints 0."""
    falling = series(*(3 - 0.01 * n for n in range(100)))
    validations = (*falling[9:90:10], Point(10_000, math.nan))
    assert advise_stop(Curve(falling, validations, total_steps=20_000)).state is State.IMPROVING
    zero = (*falling[:-3], *(p._replace(value=0.0) for p in falling[-3:]))
    assert advise_stop(Curve(zero, validations, total_steps=20_000)).state is State.DIVERGED


def test_spikes_change_nothing() -> None:
    smooth = train(cosine, noise=0.01)
    spiky = replace(
        smooth, losses=tuple(p._replace(value=9.0) if n % 37 == 0 else p for n, p in enumerate(smooth.losses))
    )
    assert [a.state for _, a in walk(spiky)] == [a.state for _, a in walk(smooth)]


def test_restart_of_the_rate_is_no_divergence() -> None:
    states = {
        advice.state for name in ("restarts", "triangles") for _, advice in walk(train(SCHEDULES[name]))
    }
    assert State.DIVERGED not in states


def test_unit_of_the_loss_changes_nothing() -> None:
    nats = train(linear)
    bits = replace(
        nats,
        losses=tuple(p._replace(value=p.value / math.log(2)) for p in nats.losses),
        validations=tuple(p._replace(value=p.value / math.log(2)) for p in nats.validations),
    )
    assert [a.state for _, a in walk(bits)] == [a.state for _, a in walk(nats)]


def test_accuracy_that_still_rises_is_improving_and_a_flat_one_stops() -> None:
    curve = train(linear)
    accuracy = replace(curve, validation_name="eval_accuracy", is_more_better=frozenset({"eval_accuracy"}))
    rising = replace(accuracy, validations=tuple(Point(s, s / 20_000) for s in range(500, TOTAL + 1, 500)))
    assert advise_stop(rising.until(9_600)).state is State.IMPROVING
    flat = replace(
        accuracy, validations=tuple(Point(s, min(0.9, s / 5_000)) for s in range(500, TOTAL + 1, 500))
    )
    assert advise_stop(flat.until(9_600)).state is State.STOP_CONFIRMED
    assert advise_stop(flat).validations is not None


def test_reward_rises_and_collapses() -> None:
    """As GRPO logs it: the reward is what is trained, and more is better."""
    draw = random.Random(3)
    up = [math.tanh(n / 60) + draw.gauss(0, 0.1) for n in range(150)]
    curve = Curve(series(*up), total_steps=40_000, loss_name="reward", is_more_better=frozenset({"reward"}))
    assert advise_stop(curve.until(6_000)).state is State.IMPROVING
    collapsed = replace(curve, losses=series(*up, *(0.1 + draw.gauss(0, 0.1) for _ in range(80))))
    assert advise_stop(collapsed).state is State.DIVERGED


def test_resume_replaces_what_came_after_its_step() -> None:
    assert in_order([(10, 3.0), (20, 2.0), (30, 9.0), (20, 2.1), (30, 2.0)]) == series(
        3.0, 2.1, 2.0, every=10
    )


def test_warm_up_is_warming() -> None:
    curve = train(cosine)
    assert advise_stop(curve.until(200)).state is State.WARMING
    assert find_phase([Point(s, s / 1000) for s in range(500)], 10_000) is Phase.WARM_UP


def test_nothing_logged_is_unknown() -> None:
    assert advise_stop(Curve()).state is State.UNKNOWN


def test_rules_need_the_standard_library_alone() -> None:
    """Training code imports them."""
    code = (
        "import sys, json; before = set(sys.modules); import clusterplan.estimator.stopping.advice;"
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert set(loaded) <= sys.stdlib_module_names | {"clusterplan"}
