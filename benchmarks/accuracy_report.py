"""The scores of accuracy.py as Markdown tables; errors and shares in percent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markdown_table import percent, table
from scores import (
    ERNEST,
    LINEAR,
    OURS,
    QUANTILES,
    Answer,
    Array,
    Flags,
    SourceScore,
    error_by_factor,
    macro,
    pilot_cover,
    pilot_error,
    score_sources,
    source_means,
)
from transfer_episodes import ALONE, OTHER_GPUS, OTHER_MODELS, OWN_RUNS, task_name

TASKS = {
    "gpus": "more GPUs than any run",
    "few": "2 and 4 runs, all others asked",
    "one": "a single run, all others asked",
}
ON_PAGE = ("gpus", "few")
SHOWN_PILOTS = (1, 4, 8, 12)
# GPUs asked over those of the largest run: the bins' upper ends.
FACTORS = (1, 2, 4, 8, 16, 10_000)
FACTOR_NAMES = ("at most 1", "to 2", "to 4", "to 8", "to 16", "more")

Scores = dict[str, dict[str, SourceScore]]  # by task and source


@dataclass(frozen=True)
class Results:
    """All answers of one run of the program."""

    by_source: Sequence[Answer]
    pilots: Sequence[Answer]
    pilots_elsewhere: Sequence[Answer]  # the same, with runs of the model on other GPUs
    transfer: Sequence[Answer]
    repeats: Mapping[str, tuple[float, int]]  # by source: held in the range of one run, of how many

    @property
    def on_page(self) -> list[Answer]:
        """Return the answers of the tasks that the page shows."""
        return [one for one in self.by_source if one.task in ON_PAGE]

    @property
    def scores(self) -> Scores:
        """Return the scores of each task by source."""
        return scores_by_task(self.by_source)


def scores_by_task(answers: Sequence[Answer]) -> Scores:
    """Return the scores of each task by source."""
    return {task: score_sources(answers, task) for task in TASKS}


def render_page(results: Results) -> list[str]:
    """Return the tables that the page shows: both tasks by source, the pilot runs, and runs of other series."""
    scores = {task: results.scores[task] for task in ON_PAGE}
    names = sorted({source for by_source in scores.values() for source in by_source})
    head = ["source"]
    for task in ON_PAGE:
        head += [f"{task}: error", "linear", "Ernest", "in range (P90/P10)", "above P50"]
    rows = [[name, *(cell for task in ON_PAGE for cell in _cells(scores[task].get(name)))] for name in names]
    means = [f"**{cell}**" for task in ON_PAGE for cell in _means(scores[task])]
    by_source = table(head, [*rows, ["**mean of sources**", *means]])
    return [*by_source, *render_pilots(results.pilots), *_render_others(results.transfer)]


def _cells(score: SourceScore | None) -> list[str]:
    if score is None:
        return [""] * 5
    errors = [percent(score.mean[name]) for name in (OURS, LINEAR, ERNEST)]
    if not score.counts:
        errors = [f"({error})" for error in errors]
    return [*errors, f"{100 * score.covered:.0f} ({score.width:.1f})", f"{100 * (1 - score.at_most[1]):.0f}"]


def _means(scores: Mapping[str, SourceScore]) -> list[str]:
    each = [s for s in scores.values() if s.counts]
    mean, error = macro(s.mean[OURS] for s in each)
    cells = [f"{percent(mean)} ± {percent(error)}"]
    cells += [percent(macro(s.mean[name] for s in each)[0]) for name in (LINEAR, ERNEST)]
    covered, above = macro(s.covered for s in each)[0], 1 - macro(s.at_most[1] for s in each)[0]
    width = macro(s.width for s in each)[0]
    return [*cells, f"{100 * covered:.0f} ({width:.1f})", f"{100 * above:.0f}"]


def render_report(results: Results) -> list[str]:
    """Return every table."""
    lines = list[str]()
    for task, words in TASKS.items():
        lines += [f"## {task}: {words}", "", *_render_task(results.scores[task])]
    lines += ["## Pilot runs: step_times.csv, each series once", "", *render_pilots(results.pilots)]
    lines += ["## In range, by source", "", *_render_coverage(results.on_page)]
    lines += ["## Error by distance", "", *_render_distance(results.on_page)]
    lines += ["## Runs of other series", "", *_render_transfer(results)]
    held = ", ".join(f"{name} {share:.0%} of {n}" for name, (share, n) in results.repeats.items())
    return [*lines, f"The range from one run of a shape holds another run of it: {held}", ""]


def _render_task(scores: Mapping[str, SourceScore]) -> list[str]:
    """Mean over series / median series / P90 of the questions, ours and the rivals'."""
    head = ["source", "series", "asked", *(f"{m}: mean / median / P90" for m in (OURS, LINEAR, ERNEST))]
    head += ["worse by", "in range", "line in range", "below P10", "above P50", "above P90", "P90/P10"]
    rows = []
    for name, s in scores.items():
        errors = [
            " / ".join(percent(e) for e in (s.mean[m], s.median[m], s.p90[m])) for m in (OURS, LINEAR, ERNEST)
        ]
        mark = "" if s.counts else " (not counted)"
        rows.append(
            [f"{name}{mark}", str(s.series), str(s.asked), *errors, f"{100 * s.worse:+.1f}", *_shares([s])]
        )
    each = [s for s in scores.values() if s.counts]
    errors = []
    for m in (OURS, LINEAR, ERNEST):
        mean, error = macro(s.mean[m] for s in each)
        others = [percent(macro(part)[0]) for part in ([s.median[m] for s in each], [s.p90[m] for s in each])]
        errors.append(f"{percent(mean)} ± {percent(error)} / {' / '.join(others)}")
    worse = max((s.worse for s in each), default=float("nan"))
    rows.append(
        [
            "mean of sources",
            "",
            str(sum(s.asked for s in each)),
            *errors,
            f"{100 * worse:+.1f} at most",
            *_shares(each),
        ]
    )
    return table(head, rows)


def _shares(scores: Sequence[SourceScore]) -> list[str]:
    low, middle, high = (macro(s.at_most[i] for s in scores)[0] for i in range(len(QUANTILES)))
    covered, line = macro(s.covered for s in scores)[0], macro(s.line_covered for s in scores)[0]
    width = macro(s.width for s in scores)[0]
    shares = (covered, line, low, 1 - middle, 1 - high)
    return [*(f"{100 * share:.0f}" for share in shares), f"{width:.2f}"]


def render_pilots(answers: Sequence[Answer]) -> list[str]:
    """Return errors and coverage by the number of pilot runs, beyond and inside of what they reached."""
    columns = [(k, beyond) for beyond in (True, False) for k in SHOWN_PILOTS]
    head = [f"{'beyond' if beyond else 'inside'}: {k}" for k, beyond in columns]
    rows = [
        [method, *(percent(pilot_error(answers, k, method, beyond=beyond)) for k, beyond in columns)]
        for method in (answers[0].errors if answers else ())
    ]
    covers = [percent(pilot_cover(answers, k, beyond=beyond)) for k, beyond in columns]
    return table(["pilot runs", *head], [*rows, ["in range", *covers]])


def _render_coverage(answers: Sequence[Answer]) -> list[str]:
    """Truths in P10 to P90 over both tasks, beyond and inside of what was measured."""
    columns = []
    for beyond in (True, False):

        def covered(one: Answer, beyond: bool = beyond) -> Flags:  # noqa: FBT001  bound early
            of_part: Flags = one.covered[one.beyond == beyond]
            return of_part

        asked = Counter[str]()
        for one in answers:
            asked[one.source] += len(covered(one))
        columns.append((source_means(answers, covered), asked))
    rows = []
    for name in sorted({one.source for one in answers}):
        cells = [(shares.get(name, float("nan")), asked[name]) for shares, asked in columns]
        rows.append([name, *(cell for share, n in cells for cell in (percent(share), str(n)))])
    return table(["source", "beyond", "asked", "inside", "asked"], rows)


def _render_distance(answers: Sequence[Answer]) -> list[str]:
    head = ["GPUs asked / largest measured", "sources", OURS, LINEAR, ERNEST]
    bins = {m: error_by_factor(answers, m, FACTORS) for m in (OURS, LINEAR, ERNEST)}
    rows = [
        [name, str(bins[OURS][i][1]), *(percent(of_method[i][0]) for of_method in bins.values())]
        for i, name in enumerate(FACTOR_NAMES)
    ]
    return table(head, rows)


def _render_others(answers: Sequence[Answer]) -> list[str]:
    """Return the errors with runs of other series, and alone where own runs answer, by the number of own runs."""
    head = ["runs of other series"]
    for k in OWN_RUNS:
        head += [f"{k} own: error", *(["alone"] if k else []), "in range"]
    rows = []
    for kind in (OTHER_GPUS, OTHER_MODELS):
        row = [kind]
        for k in OWN_RUNS:
            beside = [a for a in answers if a.task == task_name(k, kind)]
            _, _, before, after, _, covered = _paired(
                [a for a in answers if a.task == task_name(k, ALONE)], beside
            )
            row += [after, *([before] if k else []), covered]
        rows.append(row)
    return table(head, rows)


def _render_transfer(results: Results) -> list[str]:
    """Error alone and with others on the same questions, the mean over sources, and the difference."""
    rows = []
    for kind in (OTHER_GPUS, OTHER_MODELS):
        for k in OWN_RUNS:
            beside = [a for a in results.transfer if a.task == task_name(k, kind)]
            if not beside:  # runs of other models alone have no answer
                continue
            alone = [a for a in results.transfer if a.task == task_name(k, ALONE)]
            rows.append([f"{k} own, {kind}", *_paired(alone, beside)])
    for k in (1, 2, 4):
        alone, beside = (
            [a for a in answers if a.task == f"k={k}"]
            for answers in (results.pilots, results.pilots_elsewhere)
        )
        rows.append([f"{k} pilot, {OTHER_GPUS}", *_paired(alone, beside)])
    return table(
        ["runs of other series", "sources", "series", "alone", "with them", "difference", "in range"], rows
    )


def _paired(alone: Sequence[Answer], beside: Sequence[Answer]) -> list[str]:
    """Both errors over the series that have both; over all that have others where nothing stands alone."""

    def ours(one: Answer) -> Array:
        return one.errors[OURS]

    both = {one.series for one in beside}
    alone = [one for one in alone if one.series in both]
    after, before = source_means(beside, ours), source_means(alone, ours)
    covered = macro(source_means(beside, lambda one: one.covered).values())[0]
    counts = [str(len(after)), str(len(both))]
    if not before:
        return [*counts, "", percent(macro(after.values())[0]), "", percent(covered)]
    change, error = macro(after[source] - before[source] for source in after)
    means = [percent(macro(each.values())[0]) for each in (before, after)]
    difference = f"{100 * change:+.1f}" + ("" if np.isnan(error) else f" ± {100 * error:.1f}")
    return [*counts, *means, difference, percent(covered)]
