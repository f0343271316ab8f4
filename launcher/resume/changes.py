"""What is changed as a run is resumed: its resources alone, or its training.  Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...estimator.job.workload import Workload, stated_values

# Where and how long it runs, how it is started again, and what an estimate is made from: none of it changes the weights.
_RESOURCES = (
    "cluster",
    "slurm",
    "throughput",
    "startup",
    "evaluation",
    "checkpoint",
    "architecture",
    "model",
)
_RESOURCE_KEYS = {
    "training": {"gpus"},
    "run": {
        "resume",
        "bootstrap",
        "srun",
        "container",
        "stop_signal",
        "max_restarts",
        "log_pattern",
        "stall_command",
    },
}
_ONE_TIME = ("begin", "deadline", "dependency")  # options of sbatch that were meant for the first job


def list_training_changes(before: Workload, after: Workload, *, is_sized: bool = True) -> tuple[str, ...]:
    """Return what changes the training, a few words per key; nothing if only resources change.

    A number that was not stated, as of a run whose size is not known, has no value before.

    >>> job = {"max_steps": 100, "batch_size": 8, "gpus": 4}
    >>> list_training_changes(Workload.of(**job), Workload.of(**job | {"gpus": 2, "partition": "short"}))
    ()
    >>> list_training_changes(Workload.of(**job), Workload.of(**job | {"batch_size": 4, "accumulation": 2}))
    ('batch_size 8 -> 4', 'accumulation 1 -> 2')
    """
    values, others = before.model_dump(mode="json"), after.model_dump(mode="json")
    stated = dict.fromkeys([*_keys(stated_values(before)), *_keys(stated_values(after))])
    changed = [key for key in stated if _value(values, key) != _value(others, key)]
    return tuple(
        _words(key, _value(values, key) if is_sized else None, _value(others, key)) for key in changed
    )


def is_other_shape(before: Workload, after: Workload) -> bool:
    """Return whether a run gets another number of GPUs or nodes."""
    shapes = [(job.training.gpus, job.cluster.nodes, job.cluster.gpu) for job in (before, after)]
    return shapes[0] != shapes[1]


def without_one_time_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of sbatch without those that were meant for the first job.

    >>> without_one_time_options({"account": "lab", "begin": "now+2hours"})
    {'account': 'lab'}
    """
    return {name: value for name, value in options.items() if name not in _ONE_TIME}


def describe_code_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return how the code and the environment differ from those of the run; None if they are the same, or not known.

    Both are a run's facts with its `git`, `diff` and `environment`.

    >>> facts = {"git": {"commit": "a" * 40}, "diff": None, "environment": {}}
    >>> describe_code_change(facts, facts | {"git": {"commit": "b" * 40}})
    'the code is at commit bbbbbbbb now, and was at aaaaaaaa'
    """
    was, now_at = ((facts.get("git") or {}).get("commit") for facts in (before, now))
    if was and now_at:
        if was != now_at:
            return f"the code is at commit {now_at[:8]} now, and was at {was[:8]}"
        if before.get("diff") != now.get("diff"):
            return "the repository has other uncommitted changes now: git.diff in the run's folder has those of then"
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        values = [(facts.get("environment") or {}).get(name) for facts in (before, now)]
        if values[0] and values[0] != values[1]:
            return f"{name} is {values[1] or 'not set'} now, and was {values[0]}: activate it if the command needs it"
    return None


def _keys(values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a training, with their tables; that the GPUs imply is not stated, and so is none."""
    for name, content in values.items():
        if name in _RESOURCES:
            continue
        if not isinstance(content, Mapping):
            yield (name,)
            continue
        yield from ((name, key) for key in content if key not in _RESOURCE_KEYS.get(name, set()))


def _value(values: Mapping[str, Any], key: tuple[str, ...]) -> object:
    inner: Any = values
    for part in key:
        inner = inner[part] if inner else None
    return inner


def _words(key: tuple[str, ...], before: object, after: object) -> str:
    if isinstance(before, list) or isinstance(after, list):
        return f"another {key[-1]}"
    return f"{key[-1]} {'none' if before is None else before} -> {'none' if after is None else after}"
