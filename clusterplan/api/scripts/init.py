"""A job file from what people have: a batch script, a launch line, a config of a framework."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import parse_count
from ...errors import InputError
from ...estimator.job.workload import nest_values
from ...launcher.recipes.job_text import render_job_text
from ...launcher.recipes.recipe import Recipe, Setting
from ...launcher.recipes.source import read_command, read_source
from ...render import init_text
from ...render.layout import Page
from ..result import Result

# A value by one of these flags makes what a script says of the others void.
_REPLACED = {
    "data.tokens": ("data.samples",),
    "data.samples": ("data.tokens",),
    "training.global_batch": ("training.accumulation",),
    "training.max_steps": ("training.epochs",),
}
_ENOUGH = ("data.tokens", "training.max_steps")  # the size need not be asked for


@dataclass(frozen=True, repr=False)
class JobFile(Result):
    """A job file that was read from something else: its `text`, and the `recipe` with the source of every value."""

    text: str
    recipe: Recipe
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan init --json`; docs/reference/json.md describes the keys."""
        return init_text.recipe_as_dict(self.recipe, self.source)

    def write(self, page: Page) -> None:
        """Write what was taken, what has to be filled in, and what was left out."""
        init_text.write_summary(page, self.recipe, self.source)


def init(
    source: str | os.PathLike[str] | None = None,
    arguments: Sequence[object] = (),
    *,
    command: Sequence[object] = (),
    **flags: Any,
) -> JobFile:
    """Read a batch script, a shell script, or a config of a framework into the text of a job file; nothing is run.

    `source` is the path of the script or config, and `arguments` are those that the script is started with.  A `command`
    is a launch line instead, as a list of words.  Flags by their names (`samples=1_000_000` for `--samples 1_000_000`)
    give what the source does not say, and stand in place of what it says.

    Raises InputError if it is nothing that can be read, or if sbatch would refuse it.

    Examples:
        >>> file = init(command="torchrun --nproc_per_node 4 train.py --num_train_epochs 1".split(), samples=1000)
        >>> file.recipe.value("training.gpus"), [question.key for question in file.recipe.questions]
        (4, [])
    """
    values = _by_key(flags)
    environment, folder = dict(os.environ), Path.cwd()
    stated = {key: count for key in ("training.gpus", "cluster.nodes") if (count := _count(values.get(key)))}
    if command:
        recipe = read_command([str(word) for word in command], folder, environment, stated)
        name = "the command"
    elif source is not None:
        path = Path(source)
        recipe = read_source(path, folder, [str(word) for word in arguments], environment, stated)
        name = str(path)
    else:
        raise InputError("nothing to read: give a script or a config, or a command after --")
    recipe = _with_flags(recipe, values)
    return JobFile(render_job_text(recipe, f"Read from {name} by clusterplan init."), recipe, name)


def _by_key(flags: Mapping[str, Any]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for table, content in nest_values(flags).items():
        inner = content.items() if isinstance(content, Mapping) else None
        keys |= {f"{table}.{key}": value for key, value in inner} if inner is not None else {table: content}
    return keys


def _with_flags(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    settings = []
    for key, value in values.items():
        recipe = recipe.without(*_REPLACED.get(key, ()))
        settings.append(Setting(key, _typed(value), "given to init"))
    recipe = Recipe.of(*settings).over(recipe)
    return recipe.without("data.samples") if any(key in values for key in _ENOUGH) else recipe


def _typed(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d[\d_]*", value):
        return int(value)
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d+\.\d+", value) else value


def _count(value: object) -> int | None:
    try:
        return None if value is None else parse_count(value)
    except ValueError:
        return None  # said where the whole job is checked
