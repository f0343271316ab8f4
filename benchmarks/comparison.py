"""Whether a change of the step model counts: two results side by side, and the model under priors drawn at random."""

from collections.abc import Mapping, Sequence

import numpy as np
from accuracy_report import ON_PAGE, TASKS, Scores
from markdown_table import percent, table
from scores import OURS, macro

from clusterplan.estimator.step_time.model.belief import PRIOR, Normal, Prior, Regime

CLOSE = 0.15  # of the delivered score

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


def draw_prior(rng: np.random.Generator) -> Prior:
    """Return a prior around the delivered one, in wide ranges.

    Means are up to one standard deviation off, those of a regime up to 1; standard deviations are halved to doubled, and
    any weights of the regimes are as likely.
    """

    def redrawn(mean: float, sd: float, reach: float) -> Normal:
        return mean + reach * rng.uniform(-1, 1), sd * 2 ** rng.uniform(-1, 1)

    beliefs = {p: redrawn(mean, sd, sd) for p, (mean, sd) in PRIOR.beliefs.items()}
    weights = rng.dirichlet(np.ones(len(PRIOR.regimes)))
    regimes = [
        Regime(float(weight), {p: redrawn(mean, sd, 1) for p, (mean, sd) in regime.changes.items()})
        for weight, regime in zip(weights, PRIOR.regimes, strict=True)
    ]
    return Prior(beliefs, tuple(regimes))


def render_priors(delivered: Errors, drawn: Sequence[Errors]) -> list[str]:
    """Return the macro errors under the delivered prior and under those drawn, and how many of these are close."""

    def macros(errors: Errors) -> list[float]:
        means = [macro(errors[task].values())[0] for task in ON_PAGE]
        return [*means, float(np.mean(means))]

    rows = []
    others = np.array([macros(errors) for errors in drawn])
    for name, own, scores in zip((*ON_PAGE, "mean of both"), macros(delivered), others.T, strict=True):
        spread = [percent(x) for x in (own, *np.quantile(scores, (0, 0.5, 1)))]
        rows.append([name, *spread, f"{np.sum(np.abs(scores / own - 1) <= CLOSE)} of {len(drawn)}"])
    head = ["priors drawn at random", "delivered", "best", "median", "worst", f"within {CLOSE:.0%}"]
    return table(head, rows)
