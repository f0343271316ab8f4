"""How good estimates were, as a person reads it and as JSON."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ...cluster_profiles.local_time import format_utc
from ...cluster_profiles.units import format_duration, format_significant, plural
from ...estimator.accuracy.accuracy import LEAST_RUNS, Accuracy, Group, Score, StartScore, WalltimeScore
from ..layout import Page

_CLEAR_BIAS = 0.05  # of the P50, from which it is said


def render_accuracy(page: Page, accuracy: Accuracy) -> None:
    """Write the walltime and both quantities: of all runs, by source, and over time."""
    everything = accuracy.everything
    if everything is None:
        page.line("no run that was estimated has ended yet: `clusterplan submit JOB.toml` makes one")
        if accuracy.start:
            page.facts(_start(accuracy.start))
        return
    page.facts([*_walltime(everything.walltime), *_start(accuracy.start)])
    page.line()
    groups = [*accuracy.by_source, *([everything] if len(accuracy.by_source) > 1 else [])]
    rows = list(_rows([(group.name, group) for group in groups]))
    page.table(("", "estimated by", "runs", "off by", "in range"), rows, right=(2, 3, 4))
    if accuracy.over_time:
        page.line()
        rows = list(_rows([(_period(group), group) for group in accuracy.over_time]))
        page.table(("", "ended", "runs", "off by", "in range"), rows, right=(2, 3, 4))
    page.line()
    for remark in _remarks(accuracy.by_source, everything):
        page.sentence(remark)


def _walltime(walltime: WalltimeScore) -> Iterator[tuple[str, str, str]]:
    if not walltime.runs:
        yield "walltime", "not known", "no job of these runs was given the walltime of its estimate"
        return
    ratio, others = walltime.asked_over_used, walltime.others
    stated = f"; {plural(others, 'run')} with another walltime than the estimate's left out" if others else ""
    asked = f"asked for {format_significant(ratio)} times what was used, in the median" if ratio else ""
    yield "walltime", f"enough in {walltime.enough:,} of {plural(walltime.runs, 'run')}", f"{asked}{stated}"


def _start(start: StartScore | None) -> Iterator[tuple[str, str, str]]:
    if start is None or start.error_s is None:
        return
    within = f"; {start.in_range:,} of {start.with_range:,} in range" if start.with_range else ""
    few = "" if start.runs >= LEAST_RUNS else "; too few to say"
    remark = f"from its forecast, in the median of {plural(start.runs, 'run')}{within}{few}"
    yield "start", f"off by {format_duration(start.error_s)}", remark


def _rows(groups: Sequence[tuple[str, Group]]) -> Iterator[tuple[str, ...]]:
    for what, name in (("step time", "step_time"), ("wall-clock", "wall_clock")):
        first = what
        for label, group in groups:
            score: Score = getattr(group, name)
            if score.runs:
                yield first, label, f"{score.runs:,}", _error(score), f"{score.in_range:,} of {score.runs:,}"
                first = ""


def _error(score: Score) -> str:
    return f"{(score.error or 0.0) * 100:.1f} %" if score.is_enough else "too few to say"


def _period(group: Group) -> str:
    first, last = (dt.datetime.fromtimestamp(s).astimezone().date() for s in (group.first_s, group.last_s))
    return f"{first}" if first == last else f"{first} to {last}"


def _remarks(groups: Sequence[Group], everything: Group) -> Iterator[str]:
    for group in groups:
        for what, score in (("step times", group.step_time), ("wall-clocks", group.wall_clock)):
            if fault := score.range_fault:
                yield f"{what} that were {group.name}: their ranges are too {fault}, as 8 of 10 should be in range"
    for what, score in (("step times", everything.step_time), ("wall-clocks", everything.wall_clock)):
        if score.bias is not None and score.is_enough and abs(score.bias) > _CLEAR_BIAS:
            direction = "longer" if score.bias > 0 else "shorter"
            yield f"{what} were {abs(score.bias):.0%} {direction} than estimated, in the median"
    if not everything.wall_clock.is_enough or any(not group.step_time.is_enough for group in groups):
        yield f"fewer than {LEAST_RUNS} runs are too few to say; a wall-clock counts if the run ran to its end"
    yield "off by: the median of |actual / P50 - 1|; in range: from P10 to P90, as 8 of 10 should be"


def accuracy_as_json(accuracy: Accuracy) -> dict[str, Any]:
    """Return the keys of `clusterplan history accuracy --json`; docs/reference/json.md describes them."""
    everything = accuracy.everything
    return {
        "all": _group_as_json(everything) if everything else None,
        "by_source": [{"source": group.name, **_group_as_json(group)} for group in accuracy.by_source],
        "over_time": [_group_as_json(group) for group in accuracy.over_time],
        "start": asdict(accuracy.start) if accuracy.start else None,
    }


def _group_as_json(group: Group) -> dict[str, Any]:
    walltime = group.walltime
    return {
        "first_ended_utc": format_utc(group.first_s),
        "last_ended_utc": format_utc(group.last_s),
        "step_time": _score_as_json(group.step_time),
        "wall_clock": _score_as_json(group.wall_clock),
        "walltime": {
            "runs": walltime.runs,
            "enough": walltime.enough,
            "asked_over_used": walltime.asked_over_used,
            "others": walltime.others,
        },
    }


def _score_as_json(score: Score) -> dict[str, Any]:
    return {
        "runs": score.runs,
        "enough_runs": score.is_enough,
        "error_share": score.error,
        "bias_share": score.bias,
        "in_range": score.in_range,
    }
