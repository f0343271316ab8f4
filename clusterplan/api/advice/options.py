"""What the user states of a curve: the least gain, the band, the metric and the columns.  Pure."""

from collections.abc import Mapping

from ...errors import InputError, WorkloadError
from ...launcher.curves.assemble import Columns
from ...launcher.curves.metrics import NAMES

_BETTER = {"more": True, "less": False}


def parse_share(value: str | float) -> float:
    """Return a share, as a number or in percent.

    >>> parse_share("0.5%"), parse_share(0.02)
    (0.005, 0.02)
    """
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise InputError(f"--min-gain: {value!r} is not a share of the loss: write 1%, or 0.01")
    return share


def parse_band(band: str | tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the ends of a band, such as `1.0,1.2`."""
    if band is None:
        return None
    try:
        low, high = (float(end) for end in (band.split(",") if isinstance(band, str) else band))
    except (ValueError, TypeError):
        low, high = 1.0, 0.0
    if not low < high:
        raise InputError(
            f"--band: {band!r} is not a band of losses: write the lower end first, as in 1.0,1.2"
        )
    return low, high


def parse_columns(columns: str | Mapping[str, str] | None, metric: str | None) -> Columns:
    """Return the columns and the metric that the user states."""
    pairs: dict[str, str] = {}
    if isinstance(columns, str):
        for part in columns.split(","):
            quantity, equals, name = (word.strip() for word in part.partition("="))
            if not (quantity in NAMES and equals and name):
                raise WorkloadError(
                    f"--columns: {part!r} names no column: write QUANTITY=NAME with one of {', '.join(NAMES)}"
                )
            pairs[quantity] = name
    elif columns:
        pairs = dict(columns)
    name, _, better = (metric or "").rpartition(":")
    if metric and better in _BETTER and name:
        return Columns(pairs, name, _BETTER[better])
    return Columns(pairs, metric)
