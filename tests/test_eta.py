"""When a run ends: from its loop's lines, its estimate and its time limits, where others' formulas are wrong."""

import random
import statistics
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT

from clusterplan.estimator.eta.jobs import JobLimits
from clusterplan.estimator.eta.pauses_to_come import ExpectedPauses
from clusterplan.estimator.eta.stall import LEAST_S, find_stall
from clusterplan.estimator.eta.time_left import Expectation, Start, estimate_time_left
from clusterplan.estimator.measurements.training_loop import (
    LoopEnd,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
)
from clusterplan.estimator.ranges import Range
from clusterplan.launcher.run_folder.progress.progress import Circumstances, estimate_progress

sys.path.insert(0, str(ROOT / "benchmarks"))
from eta import Run, guesses_of, simulate

STEP_S = 2.0


def loop(
    until: int, start: int = 0, begin_s: float = 0.0, evaluate_every: int = 0, total: int = 1_000
) -> Iterator[LoopLine]:
    """The lines of a loop with a step of 2 s, ten in each line, and evaluations of 30 s."""
    now_s = begin_s + 60
    yield LoopStart(now_s, start, total, attempt=str(start))
    for step in range(start + 10, until + 1, 10):
        now_s += 10 * STEP_S
        yield LoopSteps(now_s, step, 10, 10 * STEP_S, STEP_S)
        if evaluate_every and step % evaluate_every == 0:
            now_s += 30
            yield LoopPause(now_s, step, "evaluation", 30)


def left_s(
    lines: list[LoopLine], start: Start | None = None, expectation: Expectation | None = None
) -> float:
    now_s = lines[-1].time_s
    return estimate_time_left(lines, 1_000, now_s, start=start, expectation=expectation).seconds.p50


def test_evaluations_are_counted_and_not_a_share_of_the_time() -> None:
    lines = list(loop(290, evaluate_every=100))
    assert left_s(lines) == pytest.approx(710 * STEP_S + 8 * 30, rel=0.01)


def test_the_steps_before_a_resume_are_done_but_took_no_time_in_this_start() -> None:
    """LLaMA-Factory divides the time of this start by all steps, and tqdm's first update is of all of them at once."""
    before = list(loop(500))
    lines = before + list(loop(510, start=480, begin_s=before[-1].time_s + 9_000))
    assert left_s(lines) == pytest.approx(490 * STEP_S, rel=0.01)


def test_the_time_left_is_known_as_soon_as_a_run_is_resumed() -> None:
    before = list(loop(500))
    began_s = before[-1].time_s + 9_000
    time_left = estimate_time_left(
        before,
        1_000,
        began_s,
        start=Start(began_s, 480),
        expectation=Expectation(startup_s=Range(50, 60, 70)),
    )
    assert time_left.seconds.p50 == pytest.approx(520 * STEP_S + 60, rel=0.02)


def test_another_speed_after_a_resume_counts_after_a_few_lines() -> None:
    before = list(loop(500))
    slow = [LoopSteps(9_000 + 60 * i, 500 + 10 * i, 10, 60, 6) for i in range(1, 7)]
    assert left_s([*before, LoopStart(9_000, 500), *slow]) == pytest.approx(440 * 6, rel=0.05)


def test_the_estimate_counts_until_steps_are_measured() -> None:
    expectation = Expectation(step_s=Range(3, 4, 5), startup_s=Range.exactly(60))
    start = Start(0)
    first = estimate_time_left([], 1_000, 0, start=start, expectation=expectation)
    assert first.seconds.p50 == pytest.approx(1_000 * 4 + 60, rel=0.02)
    assert not first.pace.measured_steps
    silent = estimate_time_left([], 1_000, 1_060, start=start, expectation=expectation)
    assert silent.seconds.p50 == pytest.approx(1_000 * 3, rel=0.02)
    measured = left_s(list(loop(80)), start=start, expectation=expectation)
    assert measured == pytest.approx(920 * STEP_S, rel=0.05)


def test_an_estimated_evaluation_that_is_overdue_is_not_waited_for() -> None:
    expectation = Expectation(pauses={"evaluation": ExpectedPauses(Range.exactly(5_000), 100)})
    assert left_s(list(loop(50)), expectation=expectation) == pytest.approx(950 * (STEP_S + 5), rel=0.01)
    assert left_s(list(loop(200)), expectation=expectation) == pytest.approx(800 * STEP_S, rel=0.01)


def test_saves_that_nobody_marks_are_found_and_counted() -> None:
    lines = [
        LoopSteps(line.time_s, line.step, 10, line.seconds + 40 * (line.step % 100 == 0), line.longest_s)
        if isinstance(line, LoopSteps)
        else line
        for line in loop(550)
    ]
    assert left_s(lines) == pytest.approx(450 * STEP_S + 5 * 40, rel=0.01)


def test_one_pause_that_nobody_marked_may_come_again_or_not() -> None:
    """A loop of 50 ms a step, of which 20 share a line, that hung for 40 s after 80 of 500 steps."""
    lines, now_s = list[LoopLine]([LoopStart(0, 0, 500)]), 0.0
    for step in range(20, 501, 20):
        seconds = 1 + 40 * (step == 80)
        now_s += seconds
        lines.append(LoopSteps(now_s, step, 20, seconds, seconds / 20))
    for at, line in enumerate(lines[4:-1], 5):
        progress = estimate_progress(lines[:at], circumstances=Circumstances(line.time_s))
        steps_s = (500 - line.step) * 0.05
        left = progress.time_left.seconds
        assert progress.rate_steps_per_s == pytest.approx(20)
        assert progress.time_left.pace.step_s.p50 == pytest.approx(0.05)
        assert left.p10 <= steps_s <= left.p90
        if line.step <= 160:  # it may be a save, after each 80 steps
            assert left.p90 >= steps_s + (500 // 80 - 1) * 40
        if line.step > 200:
            assert left.p50 == pytest.approx(steps_s, rel=0.1)


def test_the_time_left_is_never_negative_and_stays_while_nothing_comes() -> None:
    lines = list(loop(990))
    ends = [
        estimate_time_left(lines, total, lines[-1].time_s + late_s).seconds.p50
        for total, late_s in ((980, 0), (990, 50), (1_000, 1e6))
    ]
    assert min(ends) >= 0
    stuck = [estimate_time_left(list(loop(500)), 1_000, 1_060 + late_s).seconds.p50 for late_s in (1e4, 1e5)]
    assert stuck[0] == stuck[1] == pytest.approx(490 * STEP_S, rel=0.01)


def test_a_run_over_its_limit_waits_starts_up_and_goes_on() -> None:
    lines = list(loop(500))
    limits = JobLimits(left_s=400, next_s=600, goes_on=True, wait_s=Range.exactly(150))
    expectation = Expectation(startup_s=Range.exactly(50))
    time_left = estimate_time_left(lines, 1_000, lines[-1].time_s, expectation=expectation, limits=limits)
    assert (time_left.beats_limit, time_left.further_jobs) == (0, 2)
    assert time_left.seconds.p50 == pytest.approx(500 * STEP_S + 2 * (50 + 150), rel=0.01)
    assert time_left.work.p50 == pytest.approx(500 * STEP_S, rel=0.01)


def test_steps_that_a_restart_repeats_are_repeated_at_the_next() -> None:
    before = list(loop(500))
    lines = before + list(loop(600, start=400, begin_s=before[-1].time_s + 100))
    limits = JobLimits(left_s=400, next_s=10_000, goes_on=True, wait_s=Range.exactly(150))
    expectation = Expectation(startup_s=Range.exactly(50))
    time_left = estimate_time_left(lines, 1_000, lines[-1].time_s, expectation=expectation, limits=limits)
    assert time_left.seconds.p50 == pytest.approx((400 + 100) * STEP_S + 50 + 150, rel=0.01)


def test_a_run_that_nothing_starts_again_keeps_the_time_of_its_work() -> None:
    limits = JobLimits(left_s=400, goes_on=False)
    lines = list(loop(500))
    time_left = estimate_time_left(lines, 1_000, lines[-1].time_s, limits=limits)
    assert (time_left.beats_limit, time_left.further_jobs) == (0, 0)
    assert time_left.seconds.p50 == pytest.approx(500 * STEP_S, rel=0.01)


def test_from_the_fifth_line_the_median_error_is_below_5_percent() -> None:
    """Runs with evaluations, unmarked saves, time limits and resumes, as in benchmarks/eta.py."""
    random_ = random.Random(7)
    errors, bars = list[float](), list[float]()
    for _ in range(4):
        run = Run.draw(random_)
        moments, end_s = simulate(run, random_)
        for moment in random_.sample(moments, 20):
            truth_s = end_s - moment.time_s + 1
            _, said = guesses_of(run, moment)
            errors.append(abs(said["clusterplan"] / truth_s - 1))
            bars.append(abs(said["progress bar"] / truth_s - 1))
    assert statistics.median(errors) < 0.05
    assert statistics.median(errors) < statistics.median(bars) / 2


def test_a_loop_that_goes_on_is_no_stall() -> None:
    lines = list(loop(500, evaluate_every=100))
    assert find_stall(lines, lines[-1].time_s + LEAST_S) is None


def test_no_step_for_much_longer_than_usual_is_a_stall() -> None:
    lines = list(loop(500))
    stall = find_stall(lines, lines[-1].time_s + LEAST_S + 1)
    assert (stall.since_s, stall.usual_s) == (lines[-1].time_s, 20)


def test_a_long_evaluation_sets_the_limit_of_a_stall() -> None:
    lines = [*loop(500), LoopPause(2_000, 500, "evaluation", 900), LoopSteps(2_020, 510, 10, 20, 2)]
    assert find_stall(lines, 2_020 + 2_600) is None
    assert find_stall(lines, 2_020 + 2_800).limit_s == 2_700


def test_a_loop_that_has_ended_does_not_stall() -> None:
    lines = [*loop(500), LoopEnd(1_060, 500)]
    assert find_stall(lines, 1e6) is None


def test_a_start_may_take_half_an_hour_to_its_first_step() -> None:
    before = list(loop(500))
    assert find_stall(before, 9_000 + 1_700, Start(9_000)) is None
    assert find_stall(before, 9_000 + 1_900, Start(9_000)).usual_s is None


def test_a_batch_that_grows_makes_the_steps_to_come_longer() -> None:
    """Megatron-LM's ramp-up: 0.2 s per step and 0.1 s per sample, of 8 samples to step 200 and of 32 from step 400."""
    batches = [8] * 200 + [16] * 200 + [32] * 600
    lines, now_s = list[LoopLine]([LoopStart(0, 0, 1_000)]), 0.0
    for step in range(10, 301, 10):
        samples = sum(batches[step - 10 : step])
        seconds = 10 * 0.2 + 0.1 * samples
        now_s += seconds
        lines.append(LoopSteps(now_s, step, 10, seconds, seconds / 10, samples=samples))
    truth_s = 700 * 0.2 + 0.1 * sum(batches[300:])
    assert left_s(lines, expectation=Expectation(samples=sum(batches))) == pytest.approx(truth_s, rel=0.03)
