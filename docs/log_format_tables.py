"""The formats of logs as tables, one for each kind of line."""

from clusterplan.launcher.logs.formats.frameworks.catalogue import FORMATS
from clusterplan.launcher.logs.formats.log_format import LogFormat
from clusterplan.launcher.logs.formats.record import RecordKind

_LINES_OF = {
    RecordKind.STEP: "Lines of steps",
    RecordKind.EVALUATION: "Lines of evaluations",
    RecordKind.SAVE: "Lines of saves",
    RecordKind.START: "Lines of a start",
    RecordKind.END: "Lines of an end",
}
# Quantities by which a step is put together.


_SHOWN = {
    "done": "step",
    "length": "total_steps",
    "last_step_from_0": "total_steps",
    "step_of_total": "step",
    "epoch_number": "epoch",
    "epoch_step": "step",
    "epoch_length": "",
    "rank": "",
}


_FORMAT_HEAD = (
    "| format | framework | where | reads | steps from | clock | step time | on a resume | read in |\n"
    + "|---" * 9
    + "|\n"
)


def _format_row(form: LogFormat) -> str:
    shown = [_SHOWN.get(name, name) for name in form.quantities]
    reads = ", ".join(f"`{name}`" for name in dict.fromkeys(shown) if name)
    clock = "yes" if form.has_clock else ""
    cells = (
        f"`{form.name}`",
        form.framework,
        form.where,
        reads,
        form.first_step if form.kind is RecordKind.STEP else "",
        clock,
        form.step_time.value,
        form.resume,
        f"{form.reference} ({form.versions})",
    )
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def log_formats() -> str:
    """Every format of logs, a table for each kind of line."""
    parts = []
    for kind in RecordKind:
        rows = [form for form in FORMATS if form.kind is kind]
        parts.append(f"\n## {_LINES_OF[kind]}\n\n{_FORMAT_HEAD}" + "".join(map(_format_row, rows)))
    return "".join(parts)
