"""Errors, coverage and their averages: each source counts once, each series once in its source, and so each episode."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from measured_runs import Run
from numpy.typing import NDArray
from protocols import Episode, gpus_factor, is_beyond

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

QUANTILES = (0.1, 0.5, 0.9)
OURS, LINEAR, ERNEST = "clusterplan", "linear", "Ernest"
FEWEST_ASKED = 10  # a source of fewer questions is shown, and not counted

# Runs of the series, shapes, and runs of other series; P10, P50 and P90 (n, 3) in seconds, None where there is no answer.
Predict = Callable[[Sequence[Run], Sequence[Run], Sequence[Run]], Array | None]
Rival = Callable[[Sequence[Run], Sequence[Run]], Array]


class Answer(NamedTuple):
    """How the questions of one episode were answered, an array of one length each."""

    task: str
    source: str
    series: str
    runs: int
    errors: dict[str, Array]  # absolute, as a share of the truth, by method
    at_most: Flags  # (n, 3): whether the truth is at most each of QUANTILES
    covered: Flags  # whether it is in P10 to P90
    line_covered: Flags  # whether the answer of linear scaling is
    width: Array  # P90 / P10
    factor: Array  # GPUs over those of the largest run
    beyond: Flags  # more GPUs or nodes than any run


def answer(episode: Episode, predict: Predict, rivals: Mapping[str, Rival]) -> Answer | None:
    """Ask our method and its rivals; None where ours has no answer."""
    ranges = predict(episode.runs, episode.asked, episode.others)
    if ranges is None:
        return None
    truth = np.array([r.step_time_s for r in episode.asked])
    known = episode.runs or episode.others
    points = {OURS: ranges[:, 1]} | {name: rival(known, episode.asked) for name, rival in rivals.items()}
    return Answer(
        episode.task,
        episode.source,
        episode.series,
        len(episode.runs),
        {name: np.abs(point / truth - 1) for name, point in points.items()},
        truth[:, None] <= ranges,
        _in_range(truth, ranges),
        _in_range(points[LINEAR], ranges),
        ranges[:, 2] / ranges[:, 0],
        np.array([gpus_factor(q, known) for q in episode.asked]),
        np.array([is_beyond(q, known) for q in episode.asked]),
    )


def _in_range(values: Array, ranges: Array) -> Flags:
    return (ranges[:, 0] <= values) & (values <= ranges[:, 2])


def series_means(answers: Iterable[Answer], values: Callable[[Answer], Array | Flags]) -> dict[str, Array]:
    """Return the mean of each series, by source; an episode without a value does not count."""
    means: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in answers:
        of_episode = values(one)
        if len(of_episode):
            means[one.source][one.series].append(float(np.mean(of_episode)))
    return {
        source: np.array([np.mean(v) for v in by_series.values()])
        for source, by_series in sorted(means.items())
    }


def source_means(answers: Iterable[Answer], values: Callable[[Answer], Array | Flags]) -> dict[str, float]:
    """Return the mean of each source over its series."""
    return {source: float(np.mean(means)) for source, means in series_means(answers, values).items()}


def weighted_quantile(answers: Sequence[Answer], values: Callable[[Answer], Array], q: float) -> float:
    """Return a quantile of all questions, each series counting once."""
    asked: dict[str, int] = defaultdict(int)
    for one in answers:
        asked[one.series] += len(values(one))
    every = np.concatenate([values(one) for one in answers])
    weights = np.concatenate([np.full(len(values(one)), 1 / asked[one.series]) for one in answers])
    order = np.argsort(every)
    return float(every[order][np.searchsorted(np.cumsum(weights[order]), q * sum(weights))])


@dataclass(frozen=True)
class SourceScore:
    """How one task went on one source; shares, not percentages."""

    series: int
    asked: int
    mean: dict[str, float]  # by method: over series
    median: dict[str, float]  # the median series
    p90: dict[str, float]  # of the questions
    covered: float  # truths in P10 to P90
    line_covered: float  # answers of linear scaling in P10 to P90
    at_most: tuple[float, float, float]  # truths at most P10, P50, P90
    width: float  # median P90 / P10

    @property
    def counts(self) -> bool:
        """Return whether the source has enough questions."""
        return self.asked >= FEWEST_ASKED

    @property
    def worse(self) -> float:
        """Return our mean error less that of the better of linear and Ernest."""
        return self.mean[OURS] - min(self.mean[LINEAR], self.mean[ERNEST])


def score_sources(answers: Sequence[Answer], task: str) -> dict[str, SourceScore]:
    """Return the score of one task by source."""
    by_source: dict[str, list[Answer]] = defaultdict(list)
    for one in answers:
        if one.task == task:
            by_source[one.source].append(one)
    return {source: _score(by_source[source]) for source in sorted(by_source)}


def _score(answers: Sequence[Answer]) -> SourceScore:
    by_method = {
        name: next(iter(series_means(answers, _errors(name)).values())) for name in answers[0].errors
    }
    below = [next(iter(source_means(answers, _at_most(i)).values())) for i in range(len(QUANTILES))]
    return SourceScore(
        series=len({one.series for one in answers}),
        asked=sum(len(one.covered) for one in answers),
        mean={name: float(np.mean(each)) for name, each in by_method.items()},
        median={name: float(np.median(each)) for name, each in by_method.items()},
        p90={name: weighted_quantile(answers, _errors(name), 0.9) for name in by_method},
        covered=next(iter(source_means(answers, lambda one: one.covered).values())),
        line_covered=next(iter(source_means(answers, lambda one: one.line_covered).values())),
        at_most=(below[0], below[1], below[2]),
        width=weighted_quantile(answers, lambda one: one.width, 0.5),
    )


def _errors(name: str) -> Callable[[Answer], Array]:
    return lambda one: one.errors[name]


def _at_most(place: int) -> Callable[[Answer], Flags]:
    return lambda one: one.at_most[:, place]


def macro(values: Iterable[float]) -> tuple[float, float]:
    """Return the mean of one value per source, and its standard error over sources; NaN where there are too few."""
    each = np.array(list(values))
    if not len(each):
        return float("nan"), float("nan")
    error = float(np.std(each, ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
    return float(np.mean(each)), error


def error_by_factor(
    answers: Sequence[Answer], method: str, factors: Sequence[float]
) -> list[tuple[float, int]]:
    """Return the mean error over sources by GPUs asked / largest measured, and of how many sources.

    Each bin reaches from the factor before, exclusive, to its own; a source counts in those with enough questions.
    """
    bins = []
    for low, high in zip((0.0, *factors), factors, strict=False):

        def errors(one: Answer, low: float = low, high: float = high) -> Array:
            return one.errors[method][(low < one.factor) & (one.factor <= high)]

        asked: dict[str, int] = defaultdict(int)
        for one in answers:
            asked[one.source] += len(errors(one))
        means = [m for source, m in source_means(answers, errors).items() if asked[source] >= FEWEST_ASKED]
        bins.append((float(np.mean(means)) if means else float("nan"), len(means)))
    return bins


def mean_of_series(answers: Iterable[Answer], values: Callable[[Answer], Array | Flags]) -> float:
    """Return the mean over series, whatever their source."""
    every = [mean for means in series_means(answers, values).values() for mean in means]
    return float(np.mean(every)) if every else float("nan")


def pilot_error(answers: Iterable[Answer], k: int, method: str, *, beyond: bool) -> float:
    """Return the mean error after k pilot runs, of what is beyond them or inside."""
    of_k = (one for one in answers if one.task == f"k={k}")
    return mean_of_series(of_k, lambda one: one.errors[method][one.beyond == beyond])


def pilot_cover(answers: Iterable[Answer], k: int, *, beyond: bool) -> float:
    """Return the share of truths in P10 to P90 after k pilot runs, of what is beyond them or inside."""
    of_k = (one for one in answers if one.task == f"k={k}")
    return mean_of_series(of_k, lambda one: one.covered[one.beyond == beyond])
