"""Two runs side by side, as a person reads it and as JSON."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from ...cluster_profiles.units import format_duration, format_significant, plural
from ...estimator.accuracy.comparison import RunComparison, samples_per_s
from ...estimator.accuracy.run_facts import RunFacts
from ...launcher.runs.measurement import as_json
from ..layout import Page, Style

_NEAR = 0.005  # a change that is as good as none


def render_comparison(page: Page, comparison: RunComparison) -> None:
    """Write which run is faster, the measured values of both, and what differs."""
    first, second = comparison.first, comparison.second
    page.sentence(_answer(comparison), Style.BOLD)
    page.line()
    page.table(
        ("", first.run, second.run, "change"),
        list(_measured(first, second)),
        right=(1, 2, 3),
    )
    page.line()
    if comparison.differences:
        page.table(
            ("what differs", first.run, second.run),
            [(each.what, each.first, each.second) for each in comparison.differences],
        )
    else:
        page.line("nothing that is recorded differs")


def _answer(comparison: RunComparison) -> str:
    ratio, first, second = comparison.speed_ratio, comparison.first, comparison.second
    if ratio is None:
        missing = [run.run for run in (first, second) if run.measurement is None]
        return f"no speed is measured of {' and '.join(missing)}, so they cannot be compared in it"
    fast, slow = (second, first) if ratio >= 1 else (first, second)
    rates = [format_significant(samples_per_s(run.measurement)) for run in (fast, slow) if run.measurement]
    share = max(ratio, 1 / ratio) - 1
    by = f"{fast.run} is {share:.1%} faster: {rates[0]} samples/s, the other {rates[1]}"
    if comparison.repeats > 1:
        basis = f"as {plural(comparison.repeats, 'run')} of one shape say"
    else:
        basis = "as published repeats say; this shape has one run"
    verdict = "more than chance" if comparison.is_beyond_chance else "no more than chance"
    return f"{by}; {verdict}: two runs of one shape differ by up to {comparison.chance - 1:.1%} ({basis})"


def _measured(first: RunFacts, second: RunFacts) -> Iterator[tuple[str, str, str, str]]:
    columns: dict[str, tuple[Callable[[RunFacts], float | None], Callable[[float], str]]] = {
        "samples/s": (
            lambda run: samples_per_s(run.measurement) if run.measurement else None,
            format_significant,
        ),
        "per GPU": (
            lambda run: samples_per_s(run.measurement) / run.measurement.gpus if run.measurement else None,
            format_significant,
        ),
        "step time": (lambda run: run.measurement.step_time_s if run.measurement else None, format_duration),
        "waits for input": (
            lambda run: run.measurement.data_wait_share if run.measurement else None,
            _percent,
        ),
        "GPUs busy": (
            lambda run: None if run.utilisation_percent is None else run.utilisation_percent / 100,
            _percent,
        ),
        "memory peak": (lambda run: run.memory_peak_bytes, lambda n: f"{format_significant(n / 1e9)} GB"),
        "energy per sample": (
            lambda run: run.measurement.energy_per_sample_j if run.measurement else None,
            lambda joules: f"{format_significant(joules)} J",
        ),
    }
    for name, (value_of, spell) in columns.items():
        values = value_of(first), value_of(second)
        if values != (None, None):
            one, other = ("not known" if value is None else spell(value) for value in values)
            yield name, one, other, _points(*values) if spell is _percent else _change(*values)


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _points(first: float | None, second: float | None) -> str:
    return "" if first is None or second is None else f"{(second - first) * 100:+.0f} points"


def _change(first: float | None, second: float | None) -> str:
    if not first or second is None:
        return ""
    change = second / first - 1
    return "same" if abs(change) < _NEAR else f"{change:+.0%}"


def comparison_as_json(comparison: RunComparison) -> dict[str, Any]:
    """Return the keys of `clusterplan history compare --json`; docs/reference/json.md describes them."""
    return {
        "speed_ratio": comparison.speed_ratio,
        "chance_share": comparison.chance - 1,
        "beyond_chance": comparison.is_beyond_chance,
        "repeats": comparison.repeats,
        "runs": [_facts_as_json(run) for run in (comparison.first, comparison.second)],
        "differences": [asdict(each) for each in comparison.differences],
    }


def _facts_as_json(run: RunFacts) -> dict[str, Any]:
    return {
        "run": run.run,
        "model": run.model,
        "measurement": as_json(run.measurement) if run.measurement else None,
        "gpus": list(run.gpus),
        "power_limits_w": list(run.power_limits_w),
        "drivers": list(run.drivers),
        "nodes": list(run.nodes),
        "packages": dict(run.packages),
        "command": list(run.command),
        "commit": run.commit,
        "utilisation_percent": run.utilisation_percent,
        "memory_peak_bytes": run.memory_peak_bytes,
    }
