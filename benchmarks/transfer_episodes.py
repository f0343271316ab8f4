"""Whether runs of other series help: those of the model on other GPUs, and those of other models on the cluster.

Of each series 0, 1 and 2 runs are given, alone and beside at most 48 runs of the others.  All ask the same: the
configurations that are in none of these runs.
"""

from collections.abc import Iterator, Sequence

from measured_runs import Run, group_by
from protocols import (
    Episode,
    configuration,
    draw,
    furthest_apart,
    run_and_truth,
    runs_on_half,
    sample,
    without,
)

ALONE, OTHER_GPUS, OTHER_MODELS = "alone", "with other GPUs", "with other models"
OWN_RUNS = (0, 1, 2)
MOST_OTHERS = 48


def task_name(own: int, kind: str) -> str:
    """Return the task of so many own runs, alone or with others."""
    return f"{own} own {kind}"


def transfer_episodes(runs: Sequence[Run]) -> Iterator[Episode]:
    """Yield an episode per series, number of own runs, and kind of the others; none where a series has no others."""
    of_model = group_by(runs, lambda r: (r.source, r.model))
    of_cluster = group_by(runs, lambda r: (r.source, r.gpu))
    for (source, series), of_series in sorted(group_by(runs, lambda r: (r.source, r.series)).items()):
        here, once = of_series[0], run_and_truth(of_series)
        own = furthest_apart(runs_on_half(once), max(OWN_RUNS)) if len(once) > max(OWN_RUNS) else []
        asked = sample(without(once, own), series, "transfer")
        elsewhere = [
            r for r in of_model[source, here.model] if (r.gpu, r.precision) != (here.gpu, here.precision)
        ]
        beside = [r for r in of_cluster[source, here.gpu] if r.model != here.model]
        kinds = {OTHER_GPUS: _some(elsewhere, series), OTHER_MODELS: _some(beside, series)}
        for k in OWN_RUNS if own else OWN_RUNS[:1]:
            for kind, others in kinds.items():
                if others:
                    yield Episode(task_name(k, kind), source, series, own[:k], asked, others)
            if k and any(kinds.values()):
                yield Episode(task_name(k, ALONE), source, series, own[:k], asked)


def _some(runs: Sequence[Run], series: str) -> list[Run]:
    return sorted(runs, key=lambda r: draw(series, "others", r.series, *configuration(r), r.step_time_s))[
        :MOST_OTHERS
    ]
