"""The measurements of a model for commands that estimate; remarks on them are printed."""

from ..api.measurements import find_measurements
from ..estimator.measurements.measurement import Measurement
from .options import say, show_collecting


def measurements_of(model: str | None) -> list[Measurement]:
    """Return the measurements of a model's runs; a history that is not there, or cannot be read, has none."""
    with show_collecting() as progress:
        measurements, remarks = find_measurements(model, progress)
    for remark in remarks:
        say(remark)
    return measurements
