"""The job of a run as its folder keeps it: job.json without secrets, and launch.json with the whole where some were hidden.

So one file alone holds secrets, the one that has to: its command is run.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..command.placeholders import fill_placeholders, placeholder_names
from ..secrets.redact import redact_values
from .launch import Launch


def with_secrets_of_job(launch: Launch, job: Mapping[str, Any], values: Mapping[str, str]) -> Launch:
    """Return the launch of a run with its job, if job.json or the run's `values` of a sweep hide a secret of it."""
    whole = job_of_run(job, values)
    is_whole = redact_values(whole) == whole and redact_values(values) == values
    return replace(launch, stated_job=None if is_whole else whole)


def job_of_run(job: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return the job of one run of a sweep, as plain lists and tables, with the run's values in its command."""
    tables = {name: _plain(value) for name, value in job.items()}
    run = tables.get("run") or {}
    for key in ("command", "resume"):
        words = run.get(key, ())
        if words:
            run[key] = list(fill_placeholders(words, values, later=placeholder_names(words) - values.keys()))
    return tables


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
