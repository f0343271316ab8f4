"""One line, read as one format says: pure."""

from typing import Any

from .log_format import LogFormat
from .quantities import QUANTITIES, read_values
from .record import LogRecord, RecordKind


def read_line(form: LogFormat, line: str, **origin: Any) -> LogRecord | None:
    """Return what a line says as the format `form`; None if it is of another format, or torn.

    `origin` are fields of the record that are known beside the line: when it arrived, and from which rank.

    >>> from .frameworks.catalogue import find_format
    >>> line = "iter 100: loss 3.1234, time 145.20ms, mfu 35.10%"
    >>> record = read_line(find_format("nanogpt"), line)
    >>> record.step, record.loss, round(record.step_time_s, 4)
    (101, 3.1234, 0.1452)
    """
    match = form.regex.search(line)
    if match is None:
        return None
    fields: dict[str, Any] = read_values(line, form.values) if form.values else {}
    for name, text in match.groupdict().items():
        if text is not None:
            fields |= QUANTITIES[name](text)
    if "epoch_number" in fields:
        epoch, length = fields.pop("epoch_number"), fields.pop("epoch_length")
        fields["step"] = (epoch - 1) * length + fields.pop("epoch_step")
    for name in ("step", "session_step"):
        if name in fields:
            fields[name] += 1 - form.first_step
    wait_s = fields.pop("wait_s", None)
    if wait_s is not None and fields.get("step_time_s"):
        fields["wait_share"] = min(wait_s / fields["step_time_s"], 1.0)
    is_evaluation = "evaluation_loss" in fields and "loss" not in fields
    return LogRecord(RecordKind.EVALUATION if is_evaluation else form.kind, form.name, **(origin | fields))
