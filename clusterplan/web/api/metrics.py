"""The history in the text format of Prometheus, for sites that scrape.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4).
"""

from collections.abc import Iterator, Sequence
from http import HTTPStatus

from ...estimator.history.browse.usage import Usage, sum_usage
from ..answer import Answer
from ..site import Site
from .answers import Request, read_usage

_MEDIA_TYPE = "text/plain; version=0.0.4"
_SUMS = (
    ("clusterplan_gpu_hours", "GPU-hours in which samplers read the GPUs of runs.", "gpu_hours"),
    ("clusterplan_idle_gpu_hours", "GPU-hours without any work.", "idle_gpu_hours"),
    ("clusterplan_used_gpu_hours", "GPU-hours times their utilisation.", "used_gpu_hours"),
    ("clusterplan_energy_kwh", "Energy of the GPUs by their own counters.", "energy_kwh"),
)


async def metrics(site: Site, request: Request) -> Answer:
    """Answer runs by state, and the use of GPUs by user and partition."""
    request.query.check_keys(())
    usage = await read_usage(site)
    changed_s = site.history.stat().st_mtime
    lines = await site.make("metrics", lambda *values: list(metric_lines(*values)), usage, changed_s)
    return Answer(HTTPStatus.OK, "".join(f"{line}\n" for line in lines), _MEDIA_TYPE)


def metric_lines(usage: Sequence[Usage], changed_s: float) -> Iterator[str]:
    """Yield the lines of the text format; all are gauges, as a run may be removed.

    >>> list(metric_lines([], 12.0))[-1]
    'clusterplan_history_changed_timestamp_seconds 12.0'
    """
    yield from _head("clusterplan_runs", "Runs in the history by state.")
    for each in sum_usage(usage, "state"):
        yield f"clusterplan_runs{_labels(state=each.state)} {each.runs}"
    for name, help_text, field in _SUMS:
        yield from _head(name, help_text)
        groups = {(each.user, each.partition): 0.0 for each in usage}
        for each in usage:
            groups[each.user, each.partition] += getattr(each, field)
        for (user, partition), value in groups.items():
            yield f"{name}{_labels(user=user, partition=partition)} {value:.6g}"
    yield from _head("clusterplan_history_changed_timestamp_seconds", "When the history file changed last.")
    yield f"clusterplan_history_changed_timestamp_seconds {changed_s}"


def _head(name: str, help_text: str) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} gauge"


def _labels(**values: str | None) -> str:
    """The labels of a line: a backslash, a quote and a line break have an escape, as the format says."""
    escaped = (
        (name, (value or "").replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in values.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
