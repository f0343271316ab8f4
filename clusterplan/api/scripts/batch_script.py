"""A batch script that is submitted as it is: its lines for sbatch and its launch line, as a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...cluster_profiles.units import parse_duration_s
from ...errors import InputError
from ...estimator.job.job_file import load_workload
from ...estimator.job.workload import Workload
from ...launcher.recipes.files import read_text
from ...launcher.recipes.job_text import walltime_of
from ...launcher.recipes.recipe import Recipe
from ...launcher.recipes.shell.sbatch_lines import read_sbatch_lines
from ...render.init_text import describe_taken
from .find_script import find_script
from .init import init

# Without them there is no run; a size is only estimated.
_NEEDED = ("training.gpus", "cluster.nodes", "run.command", "run.arguments", "run.runs")
_UNSIZED = {"samples": 1, "batch_size": 1}


@dataclass(frozen=True)
class BatchJob:
    """The job that a batch script asks for; `walltime_s` is its time limit, `remarks` say what was taken and what not."""

    workload: Workload
    is_sized: bool
    walltime_s: float | None
    remarks: tuple[str, ...]


def read_batch_job(
    command: Sequence[str], flags: Mapping[str, Any], run_tables: Mapping[str, Any]
) -> BatchJob | None:
    """Return the job of a script with lines for sbatch, with flags on top; None if the command is no such script.

    `run_tables` are values of [run] and [slurm] that lie on top as well.

    Raises InputError if the script leaves open what a run needs, or if sbatch would refuse it.
    """
    found = find_script(command)
    text = read_text(found[0]) if found else None
    if found is None or text is None or not read_sbatch_lines(text.replace("\r\n", "\n"), found[0].name):
        return None
    script, arguments = found
    recipe = init(script, arguments, **flags).recipe
    if recipe.value("training.precision") == "auto" and "precision" not in flags:
        recipe = recipe.without("training.precision")  # a command's numerics are left as they are
    open_questions = [question.why for question in recipe.questions if question.key in _NEEDED]
    if open_questions:
        raise InputError(
            f"{'; '.join(open_questions)}: give it by a flag, or write a job file: clusterplan init {script}"
        )
    walltime = walltime_of(recipe)
    has_size = any(recipe.value(key) for key in ("data.samples", "data.tokens", "training.max_steps"))
    remarks = (f"{script.name}: taken: {describe_taken(recipe)}", *recipe.remarks)
    return BatchJob(
        _workload(recipe, run_tables),
        has_size and not recipe.questions,
        parse_duration_s(walltime) if walltime else None,
        remarks,
    )


def _workload(recipe: Recipe, run_tables: Mapping[str, Any]) -> Workload:
    tables: dict[str, Any] = {}
    for key, setting in recipe.settings.items():
        table, _, name = key.rpartition(".")
        if table != "submit":
            (tables.setdefault(table, {}) if table else tables)[name] = setting.value
    has_length = any(recipe.value(key) for key in ("data.tokens", "training.max_steps"))
    defaults = {"batch_size": 1} if has_length else _UNSIZED
    return load_workload(None, None, defaults, tables=tables, run_tables=run_tables)
