"""The machines that a script asks sbatch for: nodes, GPUs and their type, tasks, the time limit.  Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...cluster_profiles.units import ceil_div, parse_count
from ...errors import InputError
from .recipe import Question, Recipe, Setting
from .shell.sbatch_lines import SbatchOption

_LIMIT = re.compile(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|unlimited|infinite", re.IGNORECASE)
_TYPED_COUNT = re.compile(r"(?:(?P<type>[^:=]*[^:=\d][^:=]*)[:=])?(?P<count>\d+[kKmM]?)?(?:\(.*\))?")


@dataclass(frozen=True)
class BatchShape:
    """The machines that a script asks for; None is what it does not say.

    `gpus` are those of the whole job, `walltime` is the limit as it is written, `source` says where both counts were
    read, and `environment` holds NAME=VALUE.
    """

    nodes: int | None = None
    gpus: int | None = None
    tasks_per_node: int | None = None
    cpus_per_task: int | None = None
    walltime: str | None = None
    source: str = ""
    environment: tuple[str, ...] = ()

    @property
    def gpus_per_node(self) -> int | None:
        """Return the GPUs on the fullest node; None if their number is not known."""
        return ceil_div(self.gpus, self.nodes or 1) if self.gpus else None


def read_machines(values: dict[str, SbatchOption], script: str) -> tuple[Recipe, BatchShape]:
    """Return the machines as settings and as a shape, from options by their names.  Raises InputError."""

    def source(*names: str) -> str:
        there = [values[name] for name in names if name in values]
        return (
            f"{script} line {there[0].line}: {' '.join(option.text for option in there)}" if there else script
        )

    nodes, tasks, per_node = (
        _nodes(values, script),
        _count(values, "ntasks"),
        _count(values, "ntasks-per-node"),
    )
    if nodes is None and tasks and per_node:
        nodes = ceil_div(tasks, per_node)
    per_node = per_node or (ceil_div(tasks, nodes or 1) if tasks and nodes else None)
    recipe = Recipe()
    counted = _gpus(values, script, nodes or 1, tasks or (per_node or 1) * (nodes or 1))
    if "nodes" in values and "-" in values["nodes"].value:
        why = (
            f"{source('nodes')} leaves the number of nodes to Slurm, and steps depend on it: give one number"
        )
        recipe = Recipe(questions=(Question("cluster.nodes", why, nodes),))
    elif nodes:
        recipe = Recipe.of(Setting("cluster.nodes", nodes, source("nodes", "ntasks")))
    gpu_source = ""
    if counted:
        names, count, type_ = counted
        gpu_source = source(*names, "nodes")
        machine = [Setting("training.gpus", count, gpu_source)] if count else []
        machine += [Setting("cluster.gpu", type_, source(names[0]))] if type_ else []
        recipe = Recipe.of(*machine).over(recipe)
    recipe = recipe.over(_other_gres(values, source("gres")))
    limit = values.get("time")
    if limit and not _LIMIT.fullmatch(limit.value):
        raise InputError(f"{source('time')} is no time limit of sbatch: write minutes, H:MM:SS or D-HH:MM:SS")
    shape = BatchShape(
        nodes,
        counted[1] if counted else None,
        per_node,
        _count(values, "cpus-per-task"),
        limit.value if limit else None,
        gpu_source or source("nodes", "ntasks", "ntasks-per-node"),
        tuple(part for part in values["export"].value.split(",") if "=" in part)
        if "export" in values
        else (),
    )
    if shape.cpus_per_task:
        recipe = Recipe.of(Setting("slurm.cpus-per-task", shape.cpus_per_task, source("cpus-per-task"))).over(
            recipe
        )
    return recipe, shape


def _nodes(values: dict[str, SbatchOption], script: str) -> int | None:
    if "nodes" not in values:
        return None
    option = values["nodes"]
    try:
        return parse_count(option.value.partition("-")[0].partition(",")[0].partition(":")[0])
    except ValueError:
        raise InputError(f"{script} line {option.line}: {option.text} is no number of nodes") from None


def _count(values: dict[str, SbatchOption], name: str) -> int | None:
    value = values[name].value if name in values else ""
    return int(value) if value.isdecimal() and int(value) else None


def _gpus(
    values: dict[str, SbatchOption], script: str, nodes: int, tasks: int
) -> tuple[tuple[str, ...], int | None, str] | None:
    """The options that say how many GPUs the job has, their number (None: open), and their type ("": any)."""
    factors = {"gpus": 1, "gpus-per-node": nodes, "gpus-per-task": tasks}
    for name, factor in factors.items():
        if name in values:
            type_, count = _typed_count(values[name].value, values[name], script)
            return (name, "ntasks"), count * factor, type_
    for part in _gres_parts(values):
        if part.partition(":")[0].partition("=")[0] == "gpu":
            type_, count = _typed_count(re.sub(r"^gpu[:=]?", "", part), values["gres"], script)
            return ("gres",), count * nodes, type_
    if "ntasks-per-gpu" in values and (per_gpu := _count(values, "ntasks-per-gpu")) and "ntasks" in values:
        return ("ntasks-per-gpu", "ntasks"), tasks // per_gpu, ""
    return None


def _gres_parts(values: dict[str, SbatchOption]) -> Iterable[str]:
    text = values["gres"].value if "gres" in values else ""
    return [
        part.strip().removeprefix("gres/").removeprefix("gres:") for part in text.split(",") if part.strip()
    ]


def _typed_count(text: str, option: SbatchOption, script: str) -> tuple[str, int]:
    parts = [_TYPED_COUNT.fullmatch(part) for part in text.split(",")]
    if not all(parts):
        raise InputError(
            f"{script} line {option.line}: {option.text} is no number of GPUs such as gpu:a100:4"
        )
    counts = [parse_count(match["count"] or "1") for match in parts if match]
    types = {match["type"] or "" for match in parts if match}
    return (types.pop() if len(types) == 1 else ""), sum(counts)


def _other_gres(values: dict[str, SbatchOption], source: str) -> Recipe:
    others = [part for part in _gres_parts(values) if not re.match(r"gpu([:=]|$)", part) and part != "none"]
    if not others:
        return Recipe()
    return Recipe(remarks=(f"{source}: {','.join(others)} is not taken: the job file has no key for it",))
