"""A recipe as the text of a job file: each value with its source beside it, what is left to fill in, what was left out.  Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...cluster_profiles.files.toml_file import table_of
from ...cluster_profiles.units import slurm_time
from ...cluster_profiles.visible_text import show_controls, toml_escapes
from ...estimator.job.workload import Workload
from ..slurm.text import parse_limit_s
from .recipe import Question, Recipe, Setting

_TABLES = ("data", "training", "architecture", "evaluation", "checkpoint", "cluster", "slurm", "run")
_WIDTH = 110
_READABLE_FROM = 10_000  # numbers have underscores


def render_job_text(recipe: Recipe, title: str) -> str:
    """Return the text of a job file; `title` says in its first line where it comes from.

    >>> gpus = Question("training.gpus", "nothing states how many GPUs there are", 8)
    >>> recipe = Recipe.of(Setting("training.epochs", 1, "run.sh line 3: --epochs 1")).asking(gpus)
    >>> print(render_job_text(recipe, "Read from run.sh"))
    # Read from run.sh
    <BLANKLINE>
    [training]
    # FILL IN gpus: nothing states how many GPUs there are
    #gpus = 8
    epochs = 1  # run.sh line 3: --epochs 1
    <BLANKLINE>
    """
    parts = [f"# {title}\n"]
    outer = [key for key in ("name", "model") if key in recipe.settings]
    if outer:
        parts.append("".join(_lines(key, recipe.settings[key]) for key in outer))
    for table in _TABLES:
        lines = [*_questions(recipe.questions, table), *_settings(recipe, table)]
        if lines:
            parts.append(f"[{table}]\n" + "".join(lines))
    if limit := walltime_of(recipe):
        parts.append(
            f"# The script's time limit is no key of a job file: clusterplan submit ... --time {limit}\n"
        )
    if recipe.remarks:
        parts.append(
            "# Not in this file:\n" + "".join(f"# - {_one_line(remark)}\n" for remark in recipe.remarks)
        )
    return "\n".join(parts)


def walltime_of(recipe: Recipe) -> str | None:
    """Return the script's time limit as `submit --time` takes it; None if it has none.

    >>> walltime_of(Recipe.of(Setting("submit.time", "90", "run.sh line 2: --time=90")))
    '01:30:00'
    """
    seconds = parse_limit_s(str(recipe.value("submit.time") or ""))
    return slurm_time(int(-(-seconds // 60)) * 60) if seconds else None


def _questions(questions: Sequence[Question], table: str) -> Iterator[str]:
    for question in questions:
        if question.key.partition(".")[0] != table:
            continue
        key = question.key.partition(".")[2]
        yield f"# FILL IN {key}: {_one_line(question.why)}\n"
        if key not in ("arguments", "runs"):
            proposal = "" if question.proposal is None else render_value(question.proposal)
            yield f"#{key} = {proposal}".rstrip() + "\n"


def _settings(recipe: Recipe, table: str) -> Iterator[str]:
    for key, setting in settings_of(recipe, table).items():
        yield _lines(key, setting)


def settings_of(recipe: Recipe, table: str) -> dict[str, Setting]:
    """Return the settings of one table by their keys in it, in the order of the job file's reference."""
    settings = {key.partition(".")[2]: s for key, s in recipe.settings.items() if key.startswith(f"{table}.")}
    model = table_of(Workload.model_fields[table].annotation)
    order = [key for key in (model.model_fields if model else ()) if key in settings]
    return {key: settings[key] for key in (*order, *(key for key in settings if key not in order))}


def _lines(key: str, setting: Setting) -> str:
    source = _one_line(setting.source)
    if isinstance(setting.value, tuple | list) and len(setting.value) > 1:
        return f"# {source}\n{key} = [\n{''.join(_grouped(setting.value))}]\n"
    line = f"{key} = {render_value(setting.value)}"
    return f"{line}  # {source}\n" if len(line) + len(source) < _WIDTH else f"# {source}\n{line}\n"


def _grouped(words: Sequence[Any]) -> Iterator[str]:
    """The words of a command, an option with its values per line."""
    line: list[str] = []
    for word in words:
        is_option = isinstance(word, str) and re.match(r"--?[A-Za-z]", word)
        if line and (is_option or len(", ".join(line)) + len(str(word)) > _WIDTH - 10):
            yield f"    {', '.join(line)},\n"
            line = []
        line.append(render_value(word))
    yield f"    {', '.join(line)},\n"


def render_value(value: Any) -> str:
    """Return a value as TOML.

    >>> render_value(558128), render_value(True), render_value(("a", 1.5)), render_value('say "x"')
    ('558_128', 'true', '["a", 1.5]', '"say \\\\"x\\\\""')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}" if value >= _READABLE_FROM else str(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(render_value, value))}]"
    return toml_escapes(json.dumps(str(value), ensure_ascii=False))


def _one_line(text: str) -> str:
    return show_controls(" ".join(text.split()))  # TOML has no controls, not in a comment either
