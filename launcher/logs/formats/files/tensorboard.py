"""TensorBoard's event files, with the standard library alone: pure.

A file is a row of TFRecords: length (u64), its masked CRC (u32), data, masked CRC of the data (u32), all little-endian.
The data is a protobuf message Event: wall_time (field 1, double), step (2, varint), summary (5), whose field 1 is a
value with a tag (1) and a number (2, float; in field 8 a tensor that may hold it as field 5).
Sources: tensorboard/compat/proto/event.proto, summary.proto, tensor.proto; tensorflow/core/lib/io/record_writer.h.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..frameworks.files import TENSORBOARD
from ..quantities import QUANTITIES
from ..record import LogRecord, RecordKind

_HEADER, _FOOTER_BYTES, _MOST_BYTES = struct.Struct("<QI"), 4, 1 << 28
_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8  # of CRC-32C
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WALL_TIME, _STEP, _SUMMARY, _VALUE = 1, 2, 5, 1
_TAG, _NUMBER, _TENSOR, _TENSOR_FLOATS = 1, 2, 8, 5


class Scalar(NamedTuple):
    """One number of an event."""

    time_s: float
    step: int
    tag: str
    value: float


def is_event_file(head: bytes) -> bool:
    """Return whether a file with this beginning has a whole TFRecord header.

    >>> is_event_file(b"step 1 of 100\\n")
    False
    """
    if len(head) < _HEADER.size:
        return False
    return _HEADER.unpack_from(head)[1:] == (_masked_crc(head[:8]),)


def read_scalars(data: bytes) -> Iterator[Scalar]:
    """Yield the numbers of an event file, up to a torn tail."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, at)
        begin, at = at + _HEADER.size, at + _HEADER.size + length + _FOOTER_BYTES
        if length > _MOST_BYTES or at > len(data) or _masked_crc(data[begin - 12 : begin - 4]) != crc:
            return
        yield from _scalars_of_event(data[begin : begin + length])


def records_of_scalars(scalars: Iterator[Scalar]) -> Iterator[LogRecord]:
    """Yield a record for the numbers of each step, whose time is that of the first of them."""
    step, time_s, fields = None, 0.0, dict[str, Any]()
    for scalar in scalars:
        quantity = TENSORBOARD.values.get(scalar.tag)
        if quantity is None:
            continue
        values = QUANTITIES[quantity](repr(scalar.value))
        is_other_kind = ("loss" in fields and "evaluation_loss" in values) or (
            "evaluation_loss" in fields and "loss" in values
        )
        if scalar.step != step or is_other_kind:
            if step is not None:
                yield _record(step, time_s, fields)
            step, time_s, fields = scalar.step, scalar.time_s, {}
        fields |= values
    if step is not None:
        yield _record(step, time_s, fields)


def _record(step: int, time_s: float, fields: dict[str, Any]) -> LogRecord:
    is_evaluation = "evaluation_loss" in fields or ("seconds" in fields and "loss" not in fields)
    kind = RecordKind.EVALUATION if is_evaluation else RecordKind.STEP
    return LogRecord(kind, TENSORBOARD.name, time_s=time_s, step=step, **fields)


def _scalars_of_event(event: bytes) -> Iterator[Scalar]:
    time_s, step, summaries = 0.0, 0, list[bytes]()
    for number, value in _fields(event):
        if number == _WALL_TIME and isinstance(value, bytes):
            (time_s,) = struct.unpack("<d", value)
        elif number == _STEP and isinstance(value, int):
            step = value
        elif number == _SUMMARY and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == _VALUE and isinstance(value, bytes):
                tag, scalar = _tag_and_number(value)
                if scalar is not None:
                    yield Scalar(time_s, step, tag, scalar)


def _tag_and_number(value: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, content in _fields(value):
        if not isinstance(content, bytes):
            continue
        if field == _TAG:
            tag = content.decode(errors="replace")
        elif field == _NUMBER:
            number = _float(content)
        elif field == _TENSOR:
            number = next(
                (_float(c) for f, c in _fields(content) if f == _TENSOR_FLOATS and isinstance(c, bytes)), None
            )
    return tag, number


def _float(content: bytes) -> float | None:
    return struct.unpack_from("<f", content)[0] if len(content) >= _FIXED32 - 1 else None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a protobuf message, as far as it is whole: varints as int, all others as bytes."""
    at = 0
    try:
        while at < len(message):
            key, at = _varint(message, at)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, at = _varint(message, at)
                yield number, value
                continue
            if kind == _BYTES:
                size, at = _varint(message, at)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
            else:
                return
            if at + size > len(message):
                return
            yield number, message[at : at + size]
            at += size
    except IndexError:
        return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004  the last byte has no high bit
            return value, at


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
