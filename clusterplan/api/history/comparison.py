"""Two runs of the history side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError
from ...estimator.accuracy.comparison import RunComparison, compare_runs
from ...estimator.history.runs import History
from ...launcher.runs.run_status import RunStatus
from ...render.history import comparison_text
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from .history import collected_history


@dataclass(frozen=True, repr=False)
class Comparison(Result, RunComparison):
    """Two runs, `speed_ratio` (the second's samples/s over the first's), and the `differences` between them."""

    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history compare --json`."""
        return comparison_text.comparison_as_json(self)

    def write(self, page: Page) -> None:
        """Write which run is faster, the measured values of both, and what differs."""
        comparison_text.render_comparison(page, self)


def history_compare(
    first: str | RunStatus, second: str | RunStatus, *, progress: ProgressCallback | None = None
) -> Comparison:
    """Compare two runs, each by its id or its beginning, as `clusterplan history compare` does.

    Everything new in run folders is collected before; `progress` is that of `collect`.  Raises InputError if no run has
    that beginning, or both are one run, and HistoryError.

    Examples:
        >>> history_compare("no-such-run", "other-run")
        Traceback (most recent call last):
        clusterplan.errors.InputError: there are no runs yet: `clusterplan sample -- COMMAND` makes one
    """
    with collected_history(progress=progress) as history:
        runs = [history.find_run(run) for run in (first, second)]
        return replace(compare_in(history, *runs), remarks=tuple(history.remarks))


def compare_in(history: History, first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparison:
    """Compare two runs by their rows, as the history has them now.  Raises InputError if both are one run."""
    runs = first, second
    if first["run"] == second["run"]:
        raise InputError(f"{first['run']}: both are this one run; name another one to compare it with")
    facts = [history.run_facts(run["run"]) for run in runs]
    earlier, later = sorted((0, 1), key=lambda i: runs[i]["began_utc"] or "")
    repeats = history.earlier_repeats(facts[later].run)
    if facts[earlier] not in repeats:  # of another shape
        repeats = [facts[earlier], *history.earlier_repeats(facts[earlier].run)]
    return Comparison(**vars(compare_runs(facts[0], facts[1], repeats)))
