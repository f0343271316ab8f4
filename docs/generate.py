"""The parts of the reference that are made from the code; `make docs-pages` writes them, lint checks them."""

import contextlib
import inspect
import io
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlite_utils import Database

from clusterplan.cli import clusterplan, main
from clusterplan.cluster_profiles.gpu import read_gpus
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.cluster_profiles.profile import ClusterProfile, GpuGroup, Link, Partition, Rates
from clusterplan.cluster_profiles.units import format_significant
from clusterplan.estimator.estimate.advice import ADVICE_CODES
from clusterplan.estimator.gpu_use.metrics import Call, Field, Gpm
from clusterplan.estimator.gpu_use.reading import DISPLAYS, METRICS
from clusterplan.estimator.history.schema import migrations
from clusterplan.estimator.job.framework import OTHER_NAMES, STEP_RULES
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.measurements.entered import EnteredRun
from clusterplan.launcher.logs.formats.frameworks.catalogue import FORMATS
from clusterplan.launcher.logs.formats.log_format import LogFormat
from clusterplan.launcher.logs.formats.record import RecordKind
from clusterplan.launcher.runs.limit_reasons import explain_limit
from clusterplan.launcher.runs.queue_reasons import REASONS
from clusterplan.launcher.submission.problem import PROBLEM_CODES

os.environ["CLUSTERPLAN_HISTORY"] = (
    "/nonexistent/history.db"  # what the writer has run is not for these pages
)
_HELP_WIDTH = 100
_LIMITS = (  # of the names that `explain_limit` reads
    "QOSMaxWallDurationPerJobLimit",
    "AssocMaxWallDurationPerJobLimit",
    "QOSMaxGRESPerJob",
    "QOSMaxGRESPerNode",
    "QOSMaxGRESPerUser",
    "QOSMinGRES",
    "QOSMaxJobsPerUserLimit",
    "AssocGrpGRES",
    "AssocGrpGRESMinutes",
)


def commands() -> str:
    """The help of every command."""
    settings = {**clusterplan.context_settings, "max_content_width": _HELP_WIDTH}
    context = click.Context(clusterplan, info_name="clusterplan", terminal_width=_HELP_WIDTH, **settings)
    return "\n".join(_help(clusterplan, context))


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"\n## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner:
                yield from _help(inner, click.Context(inner, info_name=name, parent=context))


def job_file() -> str:
    """Every key of a job file, table by table."""
    top = {key: field for key, field in Workload.model_fields.items() if _section(field) is None}
    tables = {key: _section(field) for key, field in Workload.model_fields.items()}
    return _table("At the top", top) + "".join(
        _table(f"[{key}]", section.model_fields, section.__doc__ or "")
        for key, section in tables.items()
        if section
    )


def entered() -> str:
    """Every column of a CSV of measurements."""
    return _table("Columns", EnteredRun.model_fields).replace("\n## Columns\n", "")


def log_formats() -> str:
    """Every format of logs, a table for each kind of line."""
    parts = []
    for kind in RecordKind:
        rows = [form for form in FORMATS if form.kind is kind]
        parts.append(f"\n## {_LINES_OF[kind]}\n\n{_FORMAT_HEAD}" + "".join(map(_format_row, rows)))
    return "".join(parts)


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


def profile() -> str:
    """Every key of a profile."""
    parts: list[tuple[str, type[BaseModel]]] = [
        ("At the top", ClusterProfile),
        ("[[partitions]]", Partition),
        ("[[partitions.other_gpus]]", GpuGroup),
    ]
    parts += [("intra_node and inter_node", Link), ("[rates]", Rates)]
    return "".join(_table(title, model.model_fields, model.__doc__ or "") for title, model in parts)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _table(title: str, fields: dict[str, FieldInfo], about: str = "") -> str:
    rows = [
        f"| `{key}` | {_flag(field)} | {_default(field)} | {field.description} |"
        for key, field in fields.items()
        if _section(field) is None or title != "At the top"
    ]
    flagged = any(_flag(field) for field in fields.values())
    if not flagged:
        rows = [row.replace(" |  | ", " | ", 1) for row in rows]
    head = (
        "| key | flag | default | meaning |\n|---|---|---|---|"
        if flagged
        else "| key | default | meaning |\n|---|---|---|"
    )
    intro = f"{inspect.cleandoc(about)}\n\n" if about else ""
    return f"\n## {title}\n\n{intro}{head}\n" + "\n".join(rows) + "\n"


def _flag(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return f"`{extra['flag']}`" if isinstance(extra, dict) else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ((), ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def advice() -> str:
    """Every code, and its meaning."""
    return _in_words("code", "meaning", ADVICE_CODES)


def preflight() -> str:
    """Every code of the checks before a job is queued."""
    return _in_words("code", "meaning", PROBLEM_CODES)


def waiting() -> str:
    """Every reason of Slurm's that has words of our own."""
    limits = {name: explain_limit(name) or "" for name in _LIMITS}
    return _in_words("Slurm's reason", "in words", REASONS | limits)


def _in_words(what: str, means: str, known: Mapping[str, str]) -> str:
    rows = "\n".join(f"| `{code}` | {text} |" for code, text in known.items())
    return f"\n| {what} | {means} |\n|---|---|\n{rows}\n"


def frameworks() -> str:
    """Every value of --framework."""
    rows = "\n".join(
        f"| `{f}` | {rule.name} | {rule.total.rule} | {', '.join(OTHER_NAMES.get(f, '').split())} |"
        for f, rule in STEP_RULES.items()
    )
    return f"\n| `--framework` | whose steps | rule | other names |\n|---|---|---|---|\n{rows}\n"


def catalogue() -> str:
    """The GPUs, with dense peaks."""
    kinds = [p for p in Precision if p is not Precision.AUTO]
    lines = [
        f"\n| GPU | cc | memory, GB | GB/s | TDP, W | {' | '.join(kinds)} |",
        "|---|---|" + "---:|" * (3 + len(kinds)),
    ]
    for key, gpu in read_gpus().items():
        peaks = [_peak(gpu.peak_flops.get(p), gpu.sources.get(f"{p}_tflops", "")) for p in kinds]
        capability = ".".join(map(str, gpu.compute_capability or ()))
        memory, rate = gpu.memory_bytes / 1e9, gpu.bandwidth_bytes_per_s / 1e9
        lines.append(
            f"| `{key}` | {capability} | {memory:g} | {rate:g} | {gpu.tdp_w:g} | {' | '.join(peaks)} |"
        )
    return "\n".join(lines) + "\n"


def _peak(flops: float | None, source: str) -> str:
    if flops is None:
        return ""
    return format_significant(flops / 1e12, 4) + ("?" if source == "unverified" else "")


def published_trainings() -> str:
    """Return what was published of trainings beside the estimates of the same jobs."""
    program = str(Path(__file__).parent.parent / "benchmarks/published_trainings.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)  # noqa: S603  our own program
    return f"\n{done.stdout}"


def spool_fields() -> str:
    """Return the table of the metrics of a reading, in their order."""
    kinds = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64"}
    rows = [
        f"| {bit} | `{name}` | {kinds[metric.code]} | {f'1/{metric.parts} ' if metric.parts > 1 else ''}{metric.unit} |"
        for bit, (name, metric) in enumerate(METRICS.items())
    ]
    return "\n| bit | metric | type | unit |\n|---:|---|---|---|\n" + "\n".join(rows) + "\n"


def tick_calls() -> str:
    """Return the table of the calls of a tick about one GPU, and the metrics that each of them reads."""
    metrics_of: dict[Call | type, list[str]] = {}
    for name, metric in METRICS.items():
        source = metric.source
        key = Call(source.function, source.arguments) if isinstance(source, Call) else type(source)
        metrics_of.setdefault(key, []).append(f"`{name}`")
    functions = {Field: "`nvmlDeviceGetFieldValues`", Gpm: "`nvmlGpmSampleGet`, `nvmlGpmMetricsGet`"}
    rows = [
        f"| {', '.join(names)} | {f'`{key.function}`' if isinstance(key, Call) else functions[key]} |"
        for key, names in metrics_of.items()
    ]
    head = "| metrics | calls per GPU |\n|---|---|\n"
    return "\n" + head + "\n".join([*rows, "| the ring | `nvmlDeviceGetSamples` |"]) + "\n"


def report_metrics() -> str:
    """Return the table of the metrics of a GPU in `report --json`, and of their columns in the text."""
    rows = [f"| `{display.column}` | {display.title}, {display.unit} |" for display in DISPLAYS]
    return "\n| metric | in the report's table |\n|---|---|\n" + "\n".join(rows) + "\n"


def history_schema() -> str:
    """Every table and view of a new history, as SQLite has it."""
    db = Database(memory=True)
    migrations.apply(db)
    parts = []
    for table in sorted(db.table_names()):
        if not table.startswith(("sqlite_", "_")):
            rows = "\n".join(
                f"| `{c.name}` | {c.type} |{' key' if c.is_pk else ''} |" for c in db[table].columns
            )
            parts.append(f"\n## {table}\n\n| column | type | |\n|---|---|---|\n{rows}\n")
    for view in db.views:
        names = ", ".join(f"`{c.name}`" for c in view.columns)
        parts.append(f"\n## {view.name}\n\nA view: {names}.\n")
    return "".join(parts)


def shown_after(entered: str, arguments: str) -> str:
    """The same, where the history has what a CSV file of measurements says, and nothing else."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CLUSTERPLAN_HISTORY": f"{folder}/history.db", "CLUSTERPLAN_RUNS": f"{folder}/runs"}
        path = Path(folder, "measured.csv")
        path.write_text(entered, encoding="utf-8")
        done = shown(f"history add --csv {path}")
        if "entered" not in done:
            raise ValueError(f"not what a page can show: {done}")
        try:
            return shown(arguments)
        finally:
            os.environ.clear()
            os.environ |= before


def shown(arguments: str) -> str:
    """A command as typed from the root of the repository, and what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(shlex.split(arguments))
    return f"\n```console\n$ clusterplan {arguments}\n{out.getvalue()}```\n"
