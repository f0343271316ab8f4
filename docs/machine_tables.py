"""GPUs, the metrics that are read of them, and the tables of the history that keeps them."""

from sqlite_utils import Database

from clusterplan.cluster_profiles.gpu import read_gpus
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.cluster_profiles.units import format_significant
from clusterplan.estimator.gpu_use.metrics import Call, Field, Gpm
from clusterplan.estimator.gpu_use.reading import DISPLAYS, METRICS
from clusterplan.estimator.history.schema import migrations


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
