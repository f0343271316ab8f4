"""The codes and names of clusterplan and of Slurm with their meaning, as tables."""

from collections.abc import Mapping
from typing import Any

from clusterplan.estimator.estimate.advice import ADVICE_CODES
from clusterplan.estimator.job.framework import OTHER_NAMES, STEP_RULES
from clusterplan.launcher.runs.waiting.limit_reasons import explain_limit
from clusterplan.launcher.runs.waiting.queue_reasons import REASONS
from clusterplan.launcher.submission.problem import PROBLEM_CODES
from clusterplan.web.access.gate import HOME
from clusterplan.web.api.openapi import describe_api

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


def advice() -> str:
    """Every code, and its meaning."""
    return _in_words("code", "meaning", ADVICE_CODES)


def api_routes() -> str:
    """Every operation of the API, its keys but for the flags of a workload, and its errors."""
    lines = list[str]()
    for path, methods in describe_api()["paths"].items():
        for method, operation in methods.items():
            lines.append(f"\n## {method.upper()} {HOME.rstrip('/')}{path}\n\n{operation['summary']}.\n")
            keys = [p for p in operation["parameters"] if p["in"] == "query"]
            if path == "/estimate.json":
                keys = keys[-3:]
                lines.append("The flags of `estimate`, and:\n")
            if keys:
                lines += ["| key | meaning |", "|---|---|"]
                lines += [f"| `{p['name']}` | {p['description']}{_choices(p)} |" for p in keys]
                lines.append("")
            answers = [
                f"{code}: {a['description']}" for code, a in operation["responses"].items() if code != "200"
            ]
            lines += ["Errors:\n", *(f"- {line}" for line in answers)]
    return "\n".join(lines) + "\n"


def _choices(parameter: Mapping[str, Any]) -> str:
    words = parameter["schema"].get("enum")
    return f" One of {', '.join(f'`{word}`' for word in words)}." if words else ""


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
