"""The keys of files as tables: of a job file, a profile, a CSV of measurements."""

import inspect

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from clusterplan.cluster_profiles.profile import ClusterProfile, GpuGroup, Link, Partition, Rates
from clusterplan.estimator.campaign.definition.campaign_file import CampaignFile, Cap, JobEntry, TakenGpus
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.measurements.entered import EnteredRun


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


def profile() -> str:
    """Every key of a profile."""
    parts: list[tuple[str, type[BaseModel]]] = [
        ("At the top", ClusterProfile),
        ("[[partitions]]", Partition),
        ("[[partitions.other_gpus]]", GpuGroup),
    ]
    parts += [("intra_node and inter_node", Link), ("[rates]", Rates)]
    return "".join(_table(title, model.model_fields, model.__doc__ or "") for title, model in parts)


def campaign() -> str:
    """Every key of a campaign file."""
    parts: list[tuple[str, type[BaseModel]]] = [
        ("At the top", CampaignFile),
        ("[[jobs]]", JobEntry),
        ("[[caps]]", Cap),
        ("[[caps.taken]]", TakenGpus),
    ]
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
