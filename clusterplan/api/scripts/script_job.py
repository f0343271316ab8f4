"""A script that is submitted as it is: its lines for sbatch, its launch line and its arguments, as a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import parse_duration_s
from ...errors import InputError
from ...estimator.job.job_file import load_workload
from ...estimator.job.workload import Workload
from ...launcher.recipes.files import read_text
from ...launcher.recipes.job_text import walltime_of
from ...launcher.recipes.recipe import Recipe, Setting
from ...launcher.recipes.shell.sbatch_lines import read_sbatch_lines
from ...render.init_text import describe_taken
from .find_script import find_script
from .init import init

# Without them there is no run; a size is only estimated.
_NEEDED = ("training.gpus", "cluster.nodes", "run.command", "run.arguments", "run.runs")
_WORTH_READING = ("training.batch_size", "training.global_batch", "run.resume")
# Of data whose size is not known, and of epochs that are not.
_SHARES, _EPOCHS = ("data.validation_share",), ("checkpoint.every_epochs", "evaluation.every_epochs")
_UNSIZED = {"samples": 1, "batch_size": 1}


@dataclass(frozen=True)
class ScriptJob:
    """The job that a script asks for; `walltime_s` is its time limit, `remarks` say what was taken and what not.

    `states_gpus` is whether it says how many GPUs it wants.
    """

    workload: Workload
    is_sized: bool
    walltime_s: float | None
    remarks: tuple[str, ...]
    states_gpus: bool = True


def read_script_job(
    command: Sequence[str], flags: Mapping[str, Any], run_tables: Mapping[str, Any]
) -> ScriptJob | str | None:
    """Return the job of a script, with flags on top; None if the command is none that has to be read.

    `run_tables` are values of [run] and [slurm] that lie on top as well.  A script without lines for sbatch runs as it is
    if nothing in it is of use, or why not is left open: then that is returned in one line.

    Raises InputError if a script with lines for sbatch leaves open what a run needs, or if sbatch would refuse it.
    """
    found = find_script(command)
    text = read_text(found[0]) if found else None
    if found is None or text is None:
        return None
    is_batch = bool(read_sbatch_lines(text.replace("\r\n", "\n"), found[0].name))
    if not is_batch and command[0] != str(found[0]):  # bash run.sh is a command like any other
        return None
    try:
        recipe = init(*found, **flags).recipe
    except InputError as error:
        if is_batch:
            raise
        return f"{found[0].name} runs as it is: {error}"
    recipe, states_gpus = (recipe, True) if is_batch else _with_gpus(recipe)
    reasons = [question.why.split("; ") for question in recipe.questions if question.key in _NEEDED]
    open_questions = list(dict.fromkeys(part for parts in reasons for part in parts))
    if open_questions and is_batch:
        raise InputError(
            f"{'; '.join(open_questions)}: give it by a flag, or write a job file: clusterplan init {found[0]}"
        )
    if not is_batch and not states_gpus and not any(recipe.value(key) for key in _WORTH_READING):
        return None
    if open_questions:
        return f"{found[0].name} runs as it is: {'; '.join(open_questions)}"
    return _job(recipe, found[0], flags, run_tables, states_gpus=states_gpus)


def _with_gpus(recipe: Recipe) -> tuple[Recipe, bool]:
    """The recipe with one GPU where nothing states how many there are, as for any other command."""
    open_ = next((question for question in recipe.questions if question.key == "training.gpus"), None)
    if open_ is None or open_.proposal is not None:  # places that differ, or do not fit
        return recipe, recipe.value("training.gpus") is not None
    return recipe.without("training.gpus").set(
        Setting("training.gpus", 1, "nothing states them: give --gpus")
    ), False


def _job(
    recipe: Recipe,
    script: Path,
    flags: Mapping[str, Any],
    run_tables: Mapping[str, Any],
    *,
    states_gpus: bool,
) -> ScriptJob:
    if recipe.value("training.precision") == "auto" and "precision" not in flags:
        recipe = recipe.without("training.precision")  # a command's numerics are left as they are
    walltime = walltime_of(recipe)
    has_length = any(recipe.value(key) for key in ("data.tokens", "training.max_steps"))
    if recipe.value("data.samples") is None:
        recipe = recipe.without(*_SHARES, *(_EPOCHS if has_length else ()))
    has_size = has_length or bool(recipe.value("data.samples"))
    remarks = [f"{script.name}: taken: {describe_taken(recipe)}", *recipe.remarks]
    if not states_gpus:
        remarks.insert(
            1,
            f"{script.name}: nothing states how many GPUs there are, so the run has one: give --gpus for more",
        )
    return ScriptJob(
        _workload(recipe, run_tables, {"batch_size": 1} if has_length else _UNSIZED),
        has_size and not recipe.questions,
        parse_duration_s(walltime) if walltime else None,
        tuple(remarks),
        states_gpus,
    )


def _workload(recipe: Recipe, run_tables: Mapping[str, Any], defaults: Mapping[str, Any]) -> Workload:
    tables: dict[str, Any] = {}
    for key, setting in recipe.settings.items():
        table, _, name = key.rpartition(".")
        if table != "submit":
            (tables.setdefault(table, {}) if table else tables)[name] = setting.value
    return load_workload(None, None, defaults, tables=tables, run_tables=run_tables)
