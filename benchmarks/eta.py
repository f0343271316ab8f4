"""Compare the time left that clusterplan says with that of progress bars and of LLaMA-Factory.

    python benchmarks/eta.py [RUNS]

Each run is simulated step by step: noisy steps, evaluations (marked) and saves (not marked, as Hugging Face's Trainer
logs them), and a time limit, at which 7 in 10 save, then the queue, a startup, and the resume.  At 25
moments of each run, from the fifth log line of each start on, the time left is compared with what came.

The others' formulas, as their sources have them:
    progress bar    tqdm's rate, smoothed with 0.3 over updates; Trainer makes it at 0 and updates it to the step that it
                    resumes from (tqdm/std.py; transformers/trainer_callback.py, ProgressCallback).  jobgpumonitor 0.6
                    takes this rate too (jobgpumonitor/hooks/tqdm_hook.py).
    LLaMA-Factory   elapsed / steps done, those before the resume included (llamafactory/train/callbacks.py)
"""

import argparse
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from clusterplan.estimator.eta.jobs import JobLimits
from clusterplan.estimator.eta.time_left import Start, estimate_time_left
from clusterplan.estimator.measurements.training_loop import LoopLine, LoopPause, LoopStart, LoopSteps
from clusterplan.estimator.ranges import Range

_MOMENTS = 25
_FIRST_LINE = 5
_SMOOTHING = 0.3


@dataclass(frozen=True)
class Run:
    """What is drawn for one run: counts in steps, times in seconds."""

    total: int
    step_s: float
    noise: float
    log_every: int
    evaluate_every: int
    evaluation_s: float
    save_every: int
    save_s: float
    startup_s: float
    limit_s: float
    wait_s: float
    saves_at_limit: bool

    @classmethod
    def draw(cls, random_: random.Random) -> "Run":
        """Return a run of hours to days that meets its limit once or twice."""
        total = random_.randrange(1_000, 8_000)
        step_s = random_.uniform(0.4, 8)
        save_every = total // random_.randrange(6, 25)
        return cls(
            total=total,
            step_s=step_s,
            noise=random_.uniform(0.01, 0.1),
            log_every=random_.choice([5, 10, 20]),
            evaluate_every=total // random_.randrange(5, 25),
            evaluation_s=step_s * random_.uniform(5, 60),
            save_every=save_every,
            save_s=step_s * random_.uniform(2, 30),
            startup_s=random_.uniform(30, 300),
            limit_s=max(total * random_.uniform(0.45, 0.9), 2.2 * save_every) * step_s * 1.1,
            wait_s=random_.uniform(125, 400),
            saves_at_limit=random_.random() < 0.7,
        )


@dataclass
class Bar:
    """The remaining time of tqdm, updated once per step: means of the last updates, weighed exponentially."""

    total: int
    done: int = 0
    steps: float = 0.0
    seconds: float = 0.0

    def update(self, done: int, seconds: float) -> None:
        """Take the steps done in all, after `seconds` more."""
        self.steps += _SMOOTHING * (done - self.done - self.steps)
        self.seconds += _SMOOTHING * (seconds - self.seconds)
        self.done = done

    @property
    def left_s(self) -> float:
        """Return the time left."""
        return (self.total - self.done) * self.seconds / self.steps


@dataclass(frozen=True)
class Moment:
    """What was known at one log line: the lines so far, the start, and what the others said was left."""

    time_s: float
    lines: tuple[LoopLine, ...]
    start: Start
    limits: JobLimits
    bar_s: float
    share_s: float


def simulate(run: Run, random_: random.Random) -> tuple[list[Moment], float]:
    """Return the moments of a run, and when it ended."""
    now_s, saved = 0.0, 0
    lines, moments = list[LoopLine](), list[Moment]()
    while True:
        start, ends_s = Start(now_s, saved), now_s + run.limit_s
        first_s, bar = now_s + run.startup_s, Bar(run.total)
        lines.append(LoopStart(first_s, saved, run.total, attempt=str(len(moments))))
        for logged, (time_s, step) in enumerate(_log(run, random_, first_s, saved, lines, bar), 1):
            limits = JobLimits(ends_s - time_s, run.limit_s, goes_on=True)
            if logged >= _FIRST_LINE:
                share_s = (time_s - first_s) / step * (run.total - step)
                moments.append(Moment(time_s, tuple(lines), start, limits, bar.left_s, share_s))
            if step == run.total:
                return moments, time_s
            if time_s > ends_s:
                saved = step if run.saves_at_limit else step - step % run.save_every
                now_s = ends_s + run.wait_s
                break


def _log(
    run: Run, random_: random.Random, now_s: float, step: int, lines: list[LoopLine], bar: Bar
) -> Iterator[tuple[float, int]]:
    """Train from `step` on, and yield the time and the step at each log line."""
    steps, seconds = 0, 0.0
    while step < run.total:
        step += 1
        took_s = run.step_s * random_.lognormvariate(0, run.noise)
        before_s, steps, seconds = now_s, steps + 1, seconds + took_s
        now_s += took_s
        if step % run.evaluate_every == 0:
            now_s += run.evaluation_s
            lines.append(LoopPause(now_s, step, "evaluation", run.evaluation_s))
        if step % run.save_every == 0:
            now_s, seconds = now_s + run.save_s, seconds + run.save_s
        bar.update(step, now_s - before_s)
        if step % run.log_every == 0 or step == run.total:
            lines.append(LoopSteps(now_s, step, steps, seconds, seconds / steps))
            steps, seconds = 0, 0.0
            yield now_s, step


def guesses_of(run: Run, moment: Moment) -> tuple[Range, dict[str, float]]:
    """Return the range that clusterplan says, and what each way says, in seconds."""
    left = estimate_time_left(
        moment.lines, run.total, moment.time_s, start=moment.start, limits=moment.limits
    )
    if left is None:
        raise ValueError("no pace after five lines")
    said = {"clusterplan": left.seconds.p50, "progress bar": moment.bar_s, "LLaMA-Factory": moment.share_s}
    return left.seconds, said


def main() -> None:
    """Print a line for each way to tell the time left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=int, nargs="?", default=60)
    runs = parser.parse_args().runs
    random_ = random.Random(1)
    errors: dict[str, list[tuple[bool, float]]] = {}
    inside = list[bool]()
    for _ in range(runs):
        run = Run.draw(random_)
        moments, end_s = simulate(run, random_)
        last = moments[-1].start
        for moment in random_.sample(moments, min(_MOMENTS, len(moments))):
            truth_s = end_s - moment.time_s
            if truth_s < run.step_s * run.log_every:
                continue
            seconds, said = guesses_of(run, moment)
            inside.append(seconds.p10 <= truth_s <= seconds.p90)
            for name, guess_s in said.items():
                errors.setdefault(name, []).append((moment.start == last, abs(guess_s / truth_s - 1)))
    print(
        f"{runs} runs, {len(inside)} moments; P10 to P90 held the time left at {statistics.fmean(inside):.0%}"
    )
    print(
        f"{'error of the time left':24}{'median':>8}{'P90':>8}{'ratio':>8}{'median in the last job':>24}{'ratio':>8}"
    )
    ours = _medians(errors["clusterplan"])
    for name, values in errors.items():
        median, p90, in_last = _medians(values)
        ratios = median / ours[0], in_last / ours[2]
        print(f"{name:24}{median:>8.1%}{p90:>8.1%}{ratios[0]:>8.1f}{in_last:>24.1%}{ratios[1]:>8.1f}")


def _medians(values: list[tuple[bool, float]]) -> tuple[float, float, float]:
    """Return the median and the P90 of the errors, and the median in the last job, where no wait is to come."""
    ordered = sorted(error for _, error in values)
    in_last = statistics.median(error for is_last, error in values if is_last)
    return statistics.median(ordered), ordered[int(0.9 * len(ordered))], in_last


if __name__ == "__main__":
    main()
