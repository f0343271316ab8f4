"""A digest of readings taken one at a time equals what the whole list gives."""

import random
import statistics
from itertools import groupby, pairwise
from typing import Any

import pytest

from clusterplan.estimator.gpu_use.coverage import Break
from clusterplan.estimator.gpu_use.digest import RunGpu, digest
from clusterplan.estimator.gpu_use.energy_counter import CounterReading, fold_counter
from clusterplan.estimator.gpu_use.reading import GpuReading
from clusterplan.estimator.gpu_use.utilisation import median_of_counts

IDLE_S = 30.0


def recorded(seed: Any) -> tuple[Any, Any]:
    """Two attempts of a GPU at 1 Hz, with holes, unknown values and a counter that is reset between them."""
    rng, rows, starts = random.Random(seed), [], (1000.0, 6000.0)
    for time_s in starts:
        energy = 0
        for _ in range(600):
            time_s += rng.choice((1.0, 1.0, 1.0, 1.001, 0.999, 5.0))  # noqa: PLW2901  from there on
            use = rng.choice((0, 90)) if int(time_s) // 100 % 2 else 0
            energy += 400_000
            reading = GpuReading(
                0,
                utilisation_percent=rng.choice((None, use, use)),
                memory_used_bytes=rng.randrange(10**9),
                clock_reasons=rng.choice((0, 4)),
                energy_mj=energy,
            )
            rows.append((round(time_s, 3), reading))
    return rows, Break(rows[599][0], starts[1])


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_comes_to_what_the_list_does(seed: Any) -> None:
    rows, pause = recorded(seed)
    folded = digest(RunGpu("GPU-0", "n1", "0", breaks=[pause]), iter(rows))
    attempts = [[row for row in rows if (row[0] >= pause.began_s) is late] for late in (False, True)]
    percents = [r.utilisation_percent for _, r in rows if r.utilisation_percent is not None]
    idle_s = [
        float(len(list(stretch)))
        for attempt in attempts
        for idle, stretch in groupby(
            r.utilisation_percent <= 2 for _, r in attempt if r.utilisation_percent is not None
        )
        if idle
    ]
    long = [seconds for seconds in idle_s if seconds >= IDLE_S]
    counters = [[CounterReading(time_s, r.energy_mj) for time_s, r in attempt] for attempt in attempts]
    used_mj = sum(fold_counter(counter, None)[0] for counter in counters)
    sampled_s = sum(attempt[-1][0] - attempt[0][0] for attempt in attempts)
    intervals_ms = [(b - a) * 1000 for (a, _), (b, _) in pairwise(rows)]
    holes = sum(b - a > 2 for attempt in attempts for (a, _), (b, _) in pairwise(attempt))
    assert folded.missing == holes * 4  # of 5 s each
    assert folded.utilisation.mean == statistics.fmean(percents)
    assert folded.utilisation.first[:100] == percents[:100]
    assert (folded.idle.number, folded.idle.total_s, folded.idle.longest_s) == (
        len(long),
        sum(long),
        max(long),
    )
    assert folded.power.mean_w == pytest.approx(used_mj / 1000 / sampled_s)
    assert median_of_counts(folded.intervals_ms) == pytest.approx(statistics.median(intervals_ms))
    assert folded.memory_peak_bytes == max(r.memory_used_bytes for _, r in rows)
    assert folded.clock_reasons[4] == sum(r.clock_reasons == 4 for _, r in rows)
    assert folded.ticks == len(rows)
