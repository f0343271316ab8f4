"""Which runs a method is given and which shapes it is asked for: two protocols, each series judged as if it were new.

`source_episodes` judge by source, on any layout.  Runs of one configuration count once: one of them, drawn by a hash of
its name, is what a user saw; the median of all is the truth that is asked.

- `gpus`: given are at most 12 configurations on at most G GPUs, asked those on more.  G is the smallest, the
  middle and the largest but one GPU count of the series.
- `few`: given are 2 and 4 configurations on at most half of the largest job, asked all others.
- `one`: the same with a single run, where nothing but scaling can be learned.

`pilot_episodes` are k runs as a user makes them first: 1 GPU first, few batch sizes, at most 4 GPUs (8 from k = 8), at
most 2 nodes, and never more than half of the largest job.  Asked is every other shape within a factor 4 of their
batch sizes.
"""

import hashlib
import math
import zlib
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from measured_runs import Run, group_by

MOST_GIVEN, MOST_ASKED = 12, 40
FEW = {1: "one", 2: "few", 4: "few"}  # the task of so many runs
# By number of pilot runs: the most GPUs, and how many batch sizes.
PILOT_GPUS = {1: 1, 2: 2, 3: 4, 4: 4, 6: 4, 8: 8, 12: 8}
PILOT_BATCH_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 6: 2, 8: 3, 12: 4}
PILOT_NODES, BATCH_FACTOR, REPEATS = 2, 4, 4


class Episode(NamedTuple):
    """What one method is given and asked; `step_time_s` of `asked` is the truth, which it is not shown.

    `others` are runs of other series, for the tasks that ask whether they help.
    """

    task: str
    source: str
    series: str
    runs: Sequence[Run]
    asked: Sequence[Run]
    others: Sequence[Run] = ()


def configuration(run: Run) -> tuple[Any, ...]:
    """Return all that tells a run from the others of its series, in the order in which draws hash it."""
    return (
        run.nodes,
        run.gpus,
        run.batch_size,
        run.accumulation,
        run.tensor_parallel,
        run.pipeline_parallel,
        run.model_parallel,
        run.seq_len,
        run.strategy,
        run.model,
    )


def draw(*key: object) -> int:
    """Return a number that looks random and is the same everywhere."""
    return int(hashlib.sha256("/".join(map(str, key)).encode()).hexdigest()[:12], 16)


def source_episodes(runs: Sequence[Run]) -> Iterator[Episode]:
    """Yield the episodes of the tasks `gpus`, `one` and `few`, series by series."""
    for (source, series), of_series in sorted(group_by(runs, lambda r: (r.source, r.series)).items()):
        once = run_and_truth(of_series)
        counts = sorted({run.gpus for run, _ in once})
        limits = {counts[0], counts[(len(counts) - 1) // 2], counts[-2]} if len(counts) > 1 else set[int]()
        plans = [
            (
                "gpus",
                furthest_apart([run for run, _ in once if run.gpus <= limit], MOST_GIVEN),
                [truth for _, truth in once if truth.gpus > limit],
            )
            for limit in sorted(limits)
        ]
        for k, task in FEW.items():
            if len(once) > k:
                few = furthest_apart(runs_on_half(once), k)
                plans.append((task, few, without(once, few)))
        for task, given, asked in plans:
            if given and asked:
                yield Episode(task, source, series, given, sample(asked, series, task))


def runs_on_half(once: Sequence[tuple[Run, Run]]) -> list[Run]:
    """Return the runs on at most half of the largest GPU count, or on the smallest."""
    counts = [run.gpus for run, _ in once]
    return [run for run, _ in once if run.gpus <= max(max(counts) // 2, min(counts))]


def without(once: Sequence[tuple[Run, Run]], runs: Sequence[Run]) -> list[Run]:
    """Return the truth of each configuration that none of `runs` has."""
    given = {configuration(run) for run in runs}
    return [truth for _, truth in once if configuration(truth) not in given]


def sample(asked: Sequence[Run], series: str, task: str) -> list[Run]:
    """Return at most 40 of the questions, by the draw of each."""
    return sorted(asked, key=lambda r: draw(series, task, *configuration(r)))[:MOST_ASKED]


def run_and_truth(series: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Return one run of each configuration as it was measured, and one with the median of all its runs."""
    groups = group_by(series, configuration)
    pairs = []
    for key in sorted(groups, key=str):
        repeats = groups[key]
        truth = repeats[0]._replace(step_time_s=float(np.median([r.step_time_s for r in repeats])))
        pairs.append((repeats[draw(truth.series, key) % len(repeats)], truth))
    return pairs


def furthest_apart(runs: Sequence[Run], n: int) -> list[Run]:
    """Return n runs: a large batch on the fewest GPUs, then again and again the one furthest from those chosen."""
    if len(runs) <= n:
        return list(runs)
    position = np.array([[math.log2(x) for x in _position(run)] for run in runs])
    chosen = [min(range(len(runs)), key=lambda i: (runs[i].gpus, -runs[i].batch_size * runs[i].accumulation))]
    distance = np.full(len(runs), np.inf)
    while len(chosen) < n:
        distance = np.minimum(distance, np.sum((position - position[chosen[-1]]) ** 2, 1))
        chosen.append(int(np.argmax(distance)))
    return [runs[i] for i in chosen]


def _position(run: Run) -> tuple[float, ...]:
    return (
        run.nodes,
        run.gpus / run.nodes,
        run.batch_size,
        run.accumulation,
        run.tensor_parallel or 1,
        run.pipeline_parallel or run.model_parallel,
        run.seq_len or 1,
    )


def pilot_episodes(runs: Sequence[Run]) -> Iterator[Episode]:
    """Yield the episodes `k=1` to `k=12`; `others` are runs of the model on other clusters of the source."""
    for (source, series), of_series in sorted(group_by(runs, lambda r: (r.source, r.series)).items()):
        for k in PILOT_GPUS:
            for repeat in range(REPEATS):
                pilots, asked = _pilots_and_asked(of_series, k, repeat)
                others = _runs_elsewhere(runs, of_series[0], repeat)
                yield Episode(f"k={k}", source, series, pilots, asked, others)


def _generator(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def _name(run: Run) -> str:
    return run.series.removeprefix(f"{run.source}/")


def _shape(run: Run) -> tuple[int, int, int, int]:
    return run.nodes, run.gpus, run.gpus_per_node, run.batch_size


def _pilots_and_asked(series: Sequence[Run], k: int, repeat: int) -> tuple[list[Run], list[Run]]:
    """Return one run of each of the k pilot shapes, and the truth of all others near them."""
    groups = group_by(series, _shape)
    shapes = [groups[shape][0] for shape in sorted(groups)]
    rng = _generator("develop", _name(series[0]), k, repeat)
    pilots = _pilot_shapes(shapes, k, rng, across_nodes=k >= 4 and repeat % 2 == 0)
    runs = [groups[_shape(p)][rng.integers(len(groups[_shape(p)]))] for p in pilots]
    sizes = [run.batch_size for run in runs]
    asked = [
        s._replace(step_time_s=median(r.step_time_s for r in groups[_shape(s)]))
        for s in shapes
        if s not in pilots and min(sizes) / BATCH_FACTOR <= s.batch_size <= max(sizes) * BATCH_FACTOR
    ]
    return runs, asked


def _pilot_shapes(shapes: list[Run], k: int, rng: np.random.Generator, *, across_nodes: bool) -> list[Run]:
    gpus = min(PILOT_GPUS[k], max(max(s.gpus for s in shapes) // 2, 1))
    nodes = 1 if k <= 2 else PILOT_NODES
    sizes = sorted({s.batch_size for s in shapes})
    upper = sizes[len(sizes) // 4 :]  # people start near what fits
    wanted = min(PILOT_BATCH_SIZES[k], len(sizes))
    chosen = [int(b) for b in rng.choice(upper if len(upper) >= wanted else sizes, wanted, replace=False)]

    def pool() -> list[Run]:
        return [s for s in shapes if s.batch_size in chosen and s.gpus <= gpus and s.nodes <= nodes]

    while len(pool()) < k and len(chosen) < len(sizes):
        chosen.append(int(rng.choice([b for b in sizes if b not in chosen])))
    single = [s for s in pool() if s.gpus == 1] or [s for s in shapes if s.gpus == 1]
    pilots = [single[rng.integers(len(single))]]
    rest = [s for s in pool() if s not in pilots]
    more = min(k - 1, len(rest))
    if more:
        weight = np.array([1 / s.gpus for s in rest])
        pilots += [rest[i] for i in rng.choice(len(rest), more, replace=False, p=weight / weight.sum())]
    across = [s for s in pool() if s.nodes > 1]
    if across_nodes and across and not any(s.nodes > 1 for s in pilots):
        pilots[-1] = across[rng.integers(len(across))]
    return pilots


def _runs_elsewhere(runs: Sequence[Run], here: Run, repeat: int, most: int = 24) -> list[Run]:
    """Return at most 24 runs of each other cluster that the source has the model on."""
    rng = _generator("other", _name(here), repeat)
    elsewhere = [r for r in runs if (r.model, r.source) == (here.model, here.source) and r.gpu != here.gpu]
    groups = group_by(elsewhere, lambda r: r.series)
    return [groups[name][i] for name in sorted(groups) for i in rng.permutation(len(groups[name]))[:most]]


def work(run: Run) -> float:
    """Return the samples of one GPU and step, or the tokens where the sequence length is known."""
    return run.batch_size * run.accumulation / run.model_parallel * (run.seq_len or 1)


def is_beyond(asked: Run, runs: Sequence[Run]) -> bool:
    """Return whether the shape has more GPUs or nodes than any run."""
    return asked.gpus > max(r.gpus for r in runs) or asked.nodes > max(r.nodes for r in runs)


def gpus_factor(asked: Run, runs: Sequence[Run]) -> float:
    """Return the GPUs of the shape over those of the largest run."""
    return asked.gpus / max(r.gpus for r in runs)
