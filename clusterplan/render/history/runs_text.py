"""Runs of the history as a person reads them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ...cluster_profiles.local_time import local_time_of_utc
from ...cluster_profiles.units import format_count, format_duration, format_significant, join_names, plural
from ...estimator.gpu_use.record import gpu_index
from ...estimator.history.integrity import Integrity
from ...estimator.job.shape import Shape
from ...estimator.measurements.measurement import Measurement
from ..layout import Page, Style
from ..state_styles import STATE_STYLES


def render_runs(page: Page, runs: Sequence[Mapping[str, Any]]) -> None:
    """Write one row per run, in their order."""
    if not runs:
        page.line("no runs yet: `clusterplan sample -- COMMAND` makes one")
        return
    page.mark(STATE_STYLES)
    user_title = ("user",) if len({run["user"] for run in runs}) > 1 else ()
    page.table(
        ("run", *user_title, "state", "began", "took", "GPUs", "utilisation", "energy"),
        [
            (
                run["run"],
                *([run["user"] or ""] if user_title else []),
                run["state"],
                local_time_of_utc(run["began_utc"]) if run["began_utc"] else "",
                _duration(run["seconds"]),
                format_count(run["gpus"])
                if run["gpus"]
                else "",  # no GPU was sampled, though the run may have had some
                _with_unit(run["utilisation_mean"], "%"),
                _with_unit(run["energy_kwh"], "kWh"),
            )
            for run in runs
        ],
        right=[len(user_title) + place for place in (3, 4, 5, 6)],
        first_to_go=("began",),  # as the run's id says
    )


def render_run(
    page: Page,
    run: Mapping[str, Any],
    gpus: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    measurements: Sequence[Measurement],
) -> None:
    """Write a run: its GPUs, its measurements, and its events."""
    facts = [("run", run["run"], run["state"])]
    if run["started_utc"]:
        facts.append(
            (
                "took",
                _duration(run["seconds"]) or "not known",
                f"from {local_time_of_utc(run['started_utc'])}",
            )
        )
    if run["gpus"]:
        utilisation = _with_unit(run["utilisation_mean"], "%") or "not known"
        energy = _with_unit(run["energy_kwh"], "kWh") or "not known"
        facts.append(("utilisation", utilisation, f"mean of {plural(run['gpus'], 'GPU')}"))
        facts.append(("energy", energy, "by the GPUs' counters"))
    page.facts(facts)
    if gpus:
        page.line()
        page.table(
            ("node", "GPU", "type", "utilisation", "memory peak", "power", "energy", "readings"),
            [
                (
                    gpu["node"],
                    gpu_index(gpu),
                    gpu["name"] or "",
                    _with_unit(gpu["utilisation_mean"], "%"),
                    _with_unit(gpu["memory_peak_gib"], "GiB"),
                    _with_unit(gpu["power_mean_w"], "W"),
                    _with_unit(gpu["energy_j"], "J"),
                    format_count(gpu["ticks"]),
                )
                for gpu in gpus
            ],
            right=(1, 3, 4, 5, 6, 7),
            first_to_go=("readings", "type"),
        )
    if measurements:
        page.line()
        further = {
            "waits": [_share(m.data_wait_share) for m in measurements],
            "busy": [_share(m.busy_share) for m in measurements],
            "parallelism": [_strategy(m.shape) for m in measurements],
        }
        further = {title: cells for title, cells in further.items() if any(cells)}
        page.table(
            ("model", "GPUs", "type", "micro-batch", "precision", "step time", *further, "source"),
            [
                (
                    m.model,
                    format_count(m.gpus),
                    m.gpu or "not known",
                    format_count(m.batch_size),
                    m.precision,
                    f"{format_significant(m.step_time_s)} s",
                    *(cells[place] for cells in further.values()),
                    m.source,
                )
                for place, m in enumerate(measurements)
            ],
            right=(1, 3, 5),
            first_to_go=("waits", "busy"),
        )
    if events:
        page.line()
        page.line("events", Style.BOLD)
        page.notes(
            (event["kind"], f"{_clock(event['time_s'])} on {event['node']}: {event['text']}")
            for event in events
        )


def render_damage(page: Page, integrity: Integrity, folders: int, runs_without_folder: Sequence[str]) -> None:
    """Write which rows of a damaged history can be read, and which runs are saved in their folders."""
    page.table(
        ("table", "rows that can be read"),
        [(table, format_count(rows)) for table, rows in integrity.rows.items()],
        right=(1,),
    )
    page.line()
    saved = f"{plural(folders, 'run')} in run folders: `clusterplan history import --rebuild` makes a new history of them"
    at_risk = f"{plural(len(runs_without_folder), 'run')} only in this file{': ' * bool(runs_without_folder)}{join_names(runs_without_folder)}"
    page.notes([("saved", saved), ("at risk", at_risk)])


def _strategy(shape: Shape) -> str:
    """How its model is split and its states are sharded, as far as that is known; empty for plain data parallelism."""
    if shape.tensor_parallel is None or shape.pipeline_parallel is None:
        split = f"{shape.model_parallel} GPUs per replica"
    else:
        degrees = zip(("tensor", "pipeline", "context"), shape.layout, strict=True)
        split = " x ".join(f"{name} {degree}" for name, degree in degrees if degree > 1)
    return join_names(
        [part for part in (split, f"ZeRO {shape.zero_stage}" if shape.zero_stage else "") if part]
    )


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{format_significant(value)} {unit}"


def _clock(time_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(time_s).astimezone():%Y-%m-%d %H:%M:%S %Z}"
