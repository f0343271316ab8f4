"""What the API has, as an OpenAPI 3.1 document; the flags come from the models of the job file."""

from typing import Any

from ... import __version__
from ...estimator.estimate.shapes import Keep
from ...estimator.history.browse.browser import SORTS
from ...estimator.job.workload import list_flags
from ..access.gate import HOME, MOST_BODY_BYTES
from .schemas import ACCURACY, ESTIMATE, REPORT, RUN_ROW, SCHEDULE, SWEEP

_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_ERRORS = {
    "400": "A value is wrong; the line says which, and what would be right.",
    "401": "No token, or a wrong one.",
    "403": "A page of another site sent this.",
    "404": "There is no such run, sweep or campaign.",
    "405": "Nothing here is written: only GET, and POST of a job to estimate.json.",
    "413": f"The body has more than {MOST_BODY_BYTES:,} bytes.",
    "422": "A deadline or budget was given, and no throughput is known.",
    "503": "The history cannot be read now, or Slurm does not answer.",
}


def describe_api() -> dict[str, Any]:
    """Return the document."""
    job = {
        "required": True,
        "description": "The tables and keys of a job file, as JSON. A profile is a name that is known here.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    estimated = {
        "anyOf": [
            ESTIMATE,
            {
                "type": "object",
                "properties": {"shapes": {"type": "array", "items": ESTIMATE}},
                "required": ["shapes"],
            },
        ]
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "clusterplan",
            "version": __version__,
            "description": "Estimates, runs and their reports; the values are those of the command line with --json.",
        },
        "servers": [{"url": HOME.rstrip("/")}],
        "security": [{"token": []}, {"cookie": []}],
        "paths": {
            "/estimate.json": {
                "get": _operation("estimate_flags", "Estimate a job of flags", estimated, _flags(), ("422",)),
                "post": _operation(
                    "estimate_job",
                    "Estimate a job; flags lie on top of it",
                    estimated,
                    _flags(),
                    ("403", "413", "422"),
                )
                | {"requestBody": job},
            },
            "/runs.json": {
                "get": _operation(
                    "list_runs",
                    "List runs, the latest first",
                    {"type": "array", "items": RUN_ROW},
                    _filters(),
                )
            },
            "/run/{run}.json": {
                "get": _operation(
                    "report_run", "Report on a run", REPORT, [_part("run", "The id of a run.")], ("404",)
                )
            },
            "/sweep/{sweep}.json": {
                "get": _operation(
                    "compare_sweep",
                    "Compare the runs of a sweep",
                    SWEEP,
                    [_part("sweep", "The beginning of the ids of its runs, up to the last dash.")],
                    ("404",),
                )
            },
            "/accuracy.json": {
                "get": _operation(
                    "accuracy",
                    "Score the estimates of ended runs",
                    ACCURACY,
                    [_text("model", "Only runs of models whose name contains this.")],
                )
            },
            "/schedule.json": {
                "get": _operation(
                    "follow_campaign",
                    "Hold the plan of a campaign against what happened",
                    SCHEDULE,
                    [_text("campaign", "The name of a campaign; the latest one by default.")],
                    ("404",),
                )
            },
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The token of --token-file."},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "clusterplan_PORT",
                    "description": "Of the link, which works once.",
                },
            }
        },
    }


def _operation(
    name: str, summary: str, schema: Any, parameters: list[dict[str, Any]], errors: tuple[str, ...] = ()
) -> dict[str, Any]:
    answers = {"200": {"description": summary, "content": {"application/json": {"schema": schema}}}}
    for code in sorted({"400", "401", "503", *errors}):
        answers[code] = {"description": _ERRORS[code], "content": {"application/json": {"schema": _ERROR}}}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": answers}


def _flags() -> list[dict[str, Any]]:
    flags = [_text(flag[2:].replace("-", "_"), str(field.description)) for flag, _, field in list_flags()]
    return [
        *flags,
        _text("deadline", 'Say whether shapes end in time: "2d", or a date.'),
        _text("budget", 'Say whether shapes cost less: "500 GPU-hours".'),
        _text("keep", "What stays the same over several gpus.", tuple(map(str, Keep))),
    ]


def _filters() -> list[dict[str, Any]]:
    words = {
        "name": "Only runs whose id or name contains this.",
        "model": "Only runs of models whose name contains this.",
        "user": "Only runs of users whose name contains this.",
        "partition": "Only runs on partitions whose name contains this.",
        "gpu": "Only runs on GPUs whose type contains this.",
        "state": "Only runs in this state.",
        "since": "Only runs that began within this time, such as 7d, or since a date.",
        "until": "Only runs that began longer ago than this time, or before a date.",
    }
    return [
        *(_text(name, text) for name, text in words.items()),
        _text("sort", "The order.", tuple(SORTS)),
        _text("order", "Its direction.", ("asc", "desc")),
        _whole("limit", "How many runs at most.", 1, 1000),
        _whole("offset", "How many runs are left out before them.", 0, 10**8),
    ]


def _part(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": description,
    }


def _text(name: str, description: str, choices: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": 500} | (
        {"enum": list(choices)} if choices else {}
    )
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _whole(name: str, description: str, least: int, most: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return {"name": name, "in": "query", "description": description, "schema": schema}
