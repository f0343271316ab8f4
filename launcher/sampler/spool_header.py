"""The header of a spool: which node and GPUs its readings are of, and which metrics they have.

What a header cannot be is left out of it, so that one wrong value costs only itself.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import SpoolError
from ...estimator.gpu_use.metrics import MOST_POWER_W
from ...estimator.gpu_use.reading import METRICS
from .spool import SPOOL_FORMAT
from .spool_items import OWN_COLUMNS, Columns, is_time

_BEGIN = b"{"  # of JSON, where a tick begins with 1 and an event with 2
_CODES = ("B", "H", "I", "Q")
_MOST_COLUMNS = 32  # bits of a mask
_LONGEST_TEXT = 200  # characters
_EARLIER_S, _LONGEST_S = 86_400.0, 400 * 86_400.0  # of the times in a spool, from its header on
_LONGEST_PERIOD_S = 86_400.0


@dataclass(frozen=True)
class SpoolGpu:
    """One GPU of a spool; None is not known."""

    uuid: str
    index: str | None = None
    name: str | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    compute_capability: str | None = None
    mig_parent: str | None = None


@dataclass(frozen=True)
class SpoolHeader:
    """The header of a spool: `gpus` are in the order of their places, None is not known.

    `spool` is the name of its file, `file` that with which it was made.  `is_known` is False for the header of a spool in
    which none can be read.
    """

    spool: str
    node: str
    gpus: tuple[SpoolGpu, ...] = ()
    period_s: float | None = None
    time_s: float | None = None
    driver: str | None = None
    attribution: str | None = None
    steady: bool = True
    columns: Columns = OWN_COLUMNS
    is_known: bool = True
    file: str | None = None

    def may_say(self, time_s: float) -> bool:
        """Return whether a time may be one of this spool: its clock begins with the header, and no step moves it."""
        if not self.steady or self.time_s is None:
            return True
        return self.time_s - _EARLIER_S <= time_s <= self.time_s + _LONGEST_S

    def gpu(self, place: int) -> SpoolGpu:
        """Return the GPU of a place; one that the header does not have is named by the spool and its place."""
        return self.gpus[place] if place < len(self.gpus) else _unknown_gpu(self.spool, place)

    def gpu_facts(self, place: int) -> dict[str, Any]:
        """Return what is known of the GPU of a place, as the history keeps it."""
        facts = {key: value for key, value in asdict(self.gpu(place)).items() if value is not None}
        return {**facts, "place": place}


def is_header(payload: bytes) -> bool:
    """Return whether the payload of a frame may be a header."""
    return payload[:1] == _BEGIN


def parse_header(payload: bytes, spool: str) -> SpoolHeader | None:
    """Return the header in the payload of a frame; None if it is none.  Raises SpoolError for a newer format."""
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    version = values.get("format") if isinstance(values, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        return None
    if version > SPOOL_FORMAT:
        raise SpoolError(
            f"{spool}: is of format {version}, and this clusterplan reads up to {SPOOL_FORMAT}: upgrade it"
        )
    gpus = values.get("gpus")
    return SpoolHeader(
        spool,
        node=_text(values, "node") or _node_of(spool),
        gpus=tuple(
            _gpu(gpu, spool, place) for place, gpu in enumerate(gpus if isinstance(gpus, list) else [])
        ),
        period_s=_number(values, "period_s", _LONGEST_PERIOD_S),
        time_s=values["time_s"] if is_time(values.get("time_s")) else None,
        driver=_text(values, "driver"),
        attribution=_text(values, "attribution"),
        steady=values.get("steady") is True,
        columns=_columns(values.get("metrics")),
        file=_text(values, "file"),
    )


def unknown_header(spool: str) -> SpoolHeader:
    """Return the header of a spool in which none can be read: the node is in the name of the file.

    >>> unknown_header("n1.1f2e3d4c.spool").node, unknown_header("n1.1f2e3d4c.spool").gpu(2).uuid
    ('n1', 'unknown-2@n1.1f2e3d4c.spool')
    """
    return SpoolHeader(spool, _node_of(spool), is_known=False)


def _node_of(spool: str) -> str:
    """Return the node in the name of a spool, `<node>.<8 digits>.spool`; a node's own name may have dots."""
    stem = Path(spool).stem
    return stem.rpartition(".")[0] or stem


def _unknown_gpu(spool: str, place: int) -> SpoolGpu:
    return SpoolGpu(f"unknown-{place}@{spool}")


def _gpu(values: Any, spool: str, place: int) -> SpoolGpu:
    if not isinstance(values, dict) or not (uuid := _text(values, "uuid")):
        return _unknown_gpu(spool, place)
    memory = _number(values, "memory_bytes", METRICS["memory_used_bytes"].largest)
    return SpoolGpu(
        uuid,
        _text(values, "index"),
        _text(values, "name"),
        None if memory is None else int(memory),
        _number(values, "power_limit_w", MOST_POWER_W),
        _text(values, "compute_capability"),
        _text(values, "mig_parent"),
    )


def _columns(values: Any) -> Columns:
    """Return the metrics that a header names; this clusterplan's own if it names none, or something that is none."""
    if not isinstance(values, list) or len(values) > _MOST_COLUMNS:
        return OWN_COLUMNS
    columns = []
    for value in values:
        match value:
            case [str(name), str(code), int(parts)] if code in _CODES and parts > 0:
                columns.append((name, code, parts))
            case _:
                return OWN_COLUMNS
    return Columns(tuple(columns)) if columns else OWN_COLUMNS


def _text(values: Mapping[str, Any], key: str) -> str | None:
    """Return a text as the history can keep it; None for something else."""
    value = values.get(key)
    if not isinstance(value, str) or not value:
        return None
    return value[:_LONGEST_TEXT].encode(errors="replace").decode()


def _number(values: Mapping[str, Any], key: str, most: float) -> float | None:
    value = values.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 < value <= most else None  # type: ignore[operator]  # NaN is no number
