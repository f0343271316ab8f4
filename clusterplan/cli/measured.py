"""What commands that estimate know of a model.  Where there is no history, what reads one is not even loaded."""

import os

from ..errors import HistoryError
from ..estimator.runs import Measurement
from ..launcher.run_folder import history_path, links_folder
from .options import say


def measurements_of(model: str | None) -> list[Measurement]:
    """What runs of a model were measured to take; a history that is not there, or cannot be read, has none."""
    path = history_path(os.environ)
    if model is None or not (path.exists() or links_folder(path).exists()):
        return []
    from .recorded import collected

    try:
        with collected() as db:
            return db.measurements(model)
    except HistoryError as error:
        say(f"estimated without the history: {error}")
        return []
