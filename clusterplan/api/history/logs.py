"""Logs of runs made elsewhere, as measurements to enter."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import format_duration, plural
from ...errors import InputError
from ...estimator.job.run import check_log_pattern
from ...estimator.measurements.entered import ENTERED_RATES, EnteredRun, parse_entered
from ...launcher.logs.formats.files.read_log import read_log
from ...launcher.logs.formats.frameworks.catalogue import FORMATS
from ...launcher.logs.formats.job_length import JobLength
from ...launcher.logs.formats.log_format import LogFormat
from ...launcher.logs.formats.summary import LogSummary, summarize_log
from ...launcher.logs.formats.user_pattern import user_format


@dataclass(frozen=True)
class LogOptions:
    """How logs are read: the framework that they must be of, and the user's own expression of their lines."""

    framework: str | None = None
    log_pattern: str | None = None


def read_entry(
    log: Path, values: Mapping[str, Any], flags: Mapping[str, str], options: LogOptions
) -> tuple[EnteredRun, str]:
    """Return what a log measured, in the shape of `values`, and a sentence that says what was taken.

    Raises InputError that names the log, or the flag.
    """
    if stated := [flags[name] for name in ENTERED_RATES if name in values]:
        raise InputError(
            f"{stated[0]}: does not go with a log, which says the time of a step; leave one of them out"
        )
    accumulation = values.get("accumulation", 1)
    length = JobLength(accumulation=int(accumulation) if str(accumulation).isdecimal() else 1)
    formats = _formats(options)
    try:
        summary = summarize_log(read_log(log, formats, length), formats)
        _check_framework(summary, options.framework)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(log)) else f"{log}: {error}") from None
    state = summary.state
    entry = parse_entered(
        {
            "source": f"{log.name} ({summary.form.title})",
            "when": _date(log, summary),
            **values,
            "step_time_s": state.step_time_s,
            "spread": None if state.spread is None else min(state.spread, 0.99),
            "n_steps": summary.steps,
            "data_wait_share": state.data_wait_share,
            "evaluation_s": state.evaluation_s,
            "checkpoint_s": state.checkpoint_s,
        },
        flags,
    )
    _check_batch(log, entry, summary)
    return entry, _describe(log, summary)


def _formats(options: LogOptions) -> Sequence[LogFormat]:
    if options.log_pattern is None:
        return FORMATS
    try:
        return (user_format(check_log_pattern(options.log_pattern)), *FORMATS)
    except ValueError as error:
        raise InputError(f"--log-pattern: {options.log_pattern!r} {error}") from None


def _check_framework(summary: LogSummary, stated: str | None) -> None:
    names = _letters(summary.form.framework)
    if stated and _letters(stated) not in names:
        raise InputError(
            f"is a log of {summary.form.title}, and --framework says {stated}: leave the flag out, or give the right log"
        )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("hugging face", "hf").replace("huggingface", "hf"))


def _check_batch(log: Path, entry: EnteredRun, summary: LogSummary) -> None:
    samples = entry.shape.step_samples
    if summary.batch is not None and summary.batch != samples:
        raise InputError(
            f"{log}: reports a global batch of {summary.batch:,}, and the flags make {samples:,.0f} samples per step: "
            "give --gpus, --batch-size, --accumulation and the parallelism of this run"
        )


def _date(log: Path, summary: LogSummary) -> datetime:
    return datetime.fromtimestamp(summary.ended_s or log.stat().st_mtime, UTC)


def _describe(log: Path, summary: LogSummary) -> str:
    state = summary.state
    pauses = [
        f"{what} {format_duration(seconds)}"
        for what, seconds in (("an evaluation", state.evaluation_s), ("a save", state.checkpoint_s))
        if seconds is not None
    ]
    return (
        f"{log}: {summary.form.title}: {format_duration(state.step_time_s)} per step, from {plural(summary.steps, 'step')} "
        f"up to step {summary.last_step:,} in {plural(summary.lines, 'line')}{''.join(f'; {pause}' for pause in pauses)}"
    )
