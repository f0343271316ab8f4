"""Whether a change of the step model counts: two results side by side, and the model under priors drawn at random."""

from collections.abc import Mapping, Sequence

import numpy as np
from accuracy_report import TASKS, Scores, percent, table
from scores import OURS, macro

Errors = Mapping[str, Mapping[str, float]]  # our mean error by task and source, of the sources that count


def render_comparison(old: Errors, new: Errors) -> list[str]:
    """Return what changed between two results, by task and source, and whether it counts."""
    lines = list[str]()
    for task in (task for task in TASKS if task in old and task in new):
        common = sorted(old[task].keys() & new[task].keys())
        rows = [
            [
                name,
                percent(old[task][name]),
                percent(new[task][name]),
                f"{100 * (new[task][name] - old[task][name]):+.1f}",
            ]
            for name in common
        ]
        change, error = macro(new[task][name] - old[task][name] for name in common)
        counts = "counts" if abs(change) > 2 * error else "does not count: within twice its standard error"
        means = [percent(macro(each[task][name] for name in common)[0]) for each in (old, new)]
        rows.append(["mean of sources", *means, f"{100 * change:+.1f} ± {100 * error:.1f}"])
        lines += [*table([task, "old", "new", "difference"], rows), f"{task}: {counts}", ""]
    return lines


def mean_errors(scores: Scores) -> Errors:
    """Return our mean error by task and source, of the sources that count: what a later run is compared with."""
    return {
        task: {name: s.mean[OURS] for name, s in by_source.items() if s.counts}
        for task, by_source in scores.items()
    }


def render_priors(delivered: Errors, drawn: Sequence[Errors]) -> list[str]:
    """Return the macro error under the model's own prior, and under those drawn at random."""
    rows = []
    for task in TASKS:
        own = macro(delivered[task].values())[0]
        others = sorted(macro(errors[task].values())[0] for errors in drawn)
        middle, worst = float(np.median(others)), others[-1]
        rows.append([task, *(percent(e) for e in (own, others[0], middle, worst)), f"{worst / own - 1:+.0%}"])
    head = [
        f"{len(drawn)} priors drawn at random",
        "delivered",
        "best",
        "median",
        "worst",
        "worst / delivered",
    ]
    return table(head, rows)
