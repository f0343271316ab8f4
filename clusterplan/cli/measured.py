"""What commands that estimate know of a model.  Where there is no history, what reads one is not even loaded."""

import os

from ..cluster_profiles.units import join_names
from ..errors import HistoryError
from ..estimator.measurements.measurement import Measurement
from ..launcher.run_folder.folder import history_path, links_folder
from .options import say


def measurements_of(model: str | None) -> list[Measurement]:
    """What runs of a model were measured to take; a history that is not there, or cannot be read, has none."""
    path = history_path(os.environ)
    if model is None or not (path.exists() or links_folder(path).exists()):
        return []
    from .recorded import collected  # noqa: PLC0415  SQLite and the launcher, where there is no history

    try:
        with collected() as db:
            found = db.measurements(model)
            if not found:
                import difflib  # noqa: PLC0415  difflib, for an unknown model only

                if near := difflib.get_close_matches(model, db.models(), n=3, cutoff=0.8):
                    say(f"no run of model {model!r} is known; there are runs of {join_names(near)}")
            return found
    except HistoryError as error:
        say(f"estimated without the history: {error}")
        return []
