"""How good the estimates of past runs were."""

from dataclasses import dataclass
from typing import Any

from ...estimator.accuracy.accuracy import Accuracy
from ...render.history import accuracy_text
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from .history import collected_history


@dataclass(frozen=True, repr=False)
class AccuracyReport(Result, Accuracy):
    """The accuracy of estimates: `everything` of all runs, `by_source` and `over_time`.

    Each is a `Group` with the `step_time` and `wall_clock` (a `Score` each) and the `walltime` that was asked for.
    """

    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history accuracy --json`."""
        return accuracy_text.accuracy_as_json(self)

    def write(self, page: Page) -> None:
        """Write the walltime, the step times and the wall-clocks."""
        accuracy_text.render_accuracy(page, self)


def history_accuracy(model: str | None = None, *, progress: ProgressCallback | None = None) -> AccuracyReport:
    """Score the estimates that runs were submitted with by what the runs took, as `clusterplan history accuracy` does.

    `model` leaves runs of all other models out: those whose model does not contain this text.  Everything new in run
    folders is collected before; `progress` is that of `collect`.  Raises HistoryError.

    Examples:
        >>> scores = history_accuracy("no-such-model")
        >>> scores.everything is None
        True
    """
    with collected_history(progress=progress) as history:
        return AccuracyReport(**vars(history.accuracy(model)), remarks=tuple(history.remarks))
