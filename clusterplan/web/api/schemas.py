"""JSON Schema of the answers: the keys that programs may rely on; docs/reference/json.md describes them all."""

_RANGE = {
    "type": ["object", "null"],
    "properties": {name: {"type": ["number", "null"]} for name in ("p10", "p50", "p90")},
    "required": ["p10", "p50", "p90"],
}
ESTIMATE = {
    "type": "object",
    "properties": {
        "steps": {"type": "object", "required": ["total"]},
        "step_time_s": _RANGE,
        "samples_per_s": _RANGE,
        "gpu_hours": _RANGE,
        "wall_clock_s": _RANGE,
        "source": {"type": "object", "required": ["kind", "runs", "text"]},
        "request": {"type": "object"},
        "warnings": {"type": "array", "items": {"type": "object", "required": ["code", "text"]}},
    },
    "required": ["steps", "step_time_s", "gpu_hours", "wall_clock_s", "source", "request", "warnings"],
}
RUN_ROW = {
    "type": "object",
    "properties": {
        "run": {"type": "string"},
        "name": {"type": ["string", "null"]},
        "user": {"type": ["string", "null"]},
        "model": {"type": ["string", "null"]},
        "state": {"type": "string"},
        "seconds": {"type": ["number", "null"]},
        "gpus": {"type": "integer"},
        "utilisation_mean": {"type": ["number", "null"]},
        "energy_kwh": {"type": ["number", "null"]},
    },
    "required": ["run", "state", "gpus"],
}
REPORT = {
    "type": "object",
    "properties": {
        "run": {"type": "string"},
        "state": {"type": "string"},
        "gpus": {"type": "array", "items": {"type": "object", "required": ["uuid", "node"]}},
        "notes": {"type": "array", "items": {"type": "object", "required": ["code", "text", "gpus"]}},
        "forecasts": {"type": "array"},
    },
    "required": ["run", "state", "gpus", "notes", "coverage", "forecasts"],
}
ACCURACY = {
    "type": "object",
    "properties": {
        "all": {"type": ["object", "null"]},
        "by_source": {"type": "array"},
        "over_time": {"type": "array"},
    },
    "required": ["all", "by_source", "over_time", "start"],
}

_PLANNED = {"type": "object", "required": ["cap", "gpus", "nodes", "start_utc", "end_utc", "gpu_hours"]}
SCHEDULE = {
    "type": "object",
    "properties": {
        "schema": {"type": "integer"},
        "campaign": {"type": "string"},
        "caps": {"type": "object", "additionalProperties": {"type": "integer"}},
        "jobs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "job": {"type": "string"},
                    "run": {"type": ["string", "null"]},
                    "state": {"type": "string"},
                    "first_plan": _PLANNED,
                    "plan": _PLANNED,
                    "start_utc": {"type": ["string", "null"]},
                    "end_utc": {"type": ["string", "null"]},
                    "gpu_hours": {"type": "number"},
                },
                "required": ["job", "run", "state", "first_plan", "plan", "start_utc", "end_utc"],
            },
        },
        "notes": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["schema", "campaign", "submitted_utc", "planned_utc", "caps", "jobs", "notes"],
}
SWEEP = {
    "type": "object",
    "properties": {
        "sweep": {"type": "string"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "run": {"type": "string"},
                    "values": {"type": "object", "additionalProperties": {"type": "string"}},
                    "state": {"type": "string"},
                    "last_loss": {"type": ["number", "null"]},
                    "best_evaluation": {"type": ["number", "null"]},
                    "steps_per_s": {"type": ["number", "null"]},
                    "gpu_hours": {"type": ["number", "null"]},
                },
                "required": ["run", "values", "state", "last_loss", "best_evaluation"],
            },
        },
    },
    "required": ["sweep", "runs"],
}
