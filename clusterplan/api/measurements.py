"""The measurements that inform an estimate.  Slurm is never asked for them, and no history is made to read them."""

import os
from collections.abc import Callable

from ..cluster_profiles.units import join_names
from ..errors import HistoryError
from ..estimator.measurements.measurement import Measurement
from ..launcher.run_folder.folder import file_exists, history_path, links_folder

ProgressCallback = Callable[
    [int, int], None
]  # is called with the number of the run that is read, and of how many


def find_measurements(
    model: str | None, progress: ProgressCallback | None = None
) -> tuple[list[Measurement], tuple[str, ...]]:
    """Return the measurements that inform jobs of a model, and remarks on everything that could not be read.

    They are those of its runs, and those of other models' latest runs on a cluster of known name.
    Runs are collected first, but not settled.  Without a model, without a history, or with one that cannot be read,
    there are no measurements.
    """
    if model is None:
        return [], ()
    path = history_path(os.environ)
    if not (file_exists(path) or file_exists(links_folder(path))):
        return [], ()
    from .history.history import History, collect, describe_errors  # noqa: PLC0415  SQLite and the launcher, where there is no history

    try:
        with History() as history:
            remarks = describe_errors(collect(history=history, settle=False, progress=progress))
            measurements = history.measurements(model)
            if not measurements:
                import difflib  # noqa: PLC0415  difflib, where the model is known

                if near := difflib.get_close_matches(model, history.models(), n=3, cutoff=0.8):
                    remarks.append(
                        f"no run of model {model!r} is known; there are runs of {join_names(near)}"
                    )
            measurements += history.measurements_of_other_models(model)
    except HistoryError as error:
        return [], (f"estimated without the history: {error}",)
    return measurements, tuple(remarks)
