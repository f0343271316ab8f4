"""What `init` has read, and what `submit` takes from a batch script."""

from typing import Any

from ..launcher.recipes.job_text import render_value, settings_of, walltime_of
from ..launcher.recipes.recipe import Recipe
from .layout import Page, Style

_SHOWN = ("data", "training", "cluster", "evaluation", "checkpoint", "slurm", "run")


def recipe_as_dict(recipe: Recipe, source: str) -> dict[str, Any]:
    """Return a recipe as the dict of `--json`."""
    return {
        "source": source,
        "settings": {key: {"value": s.value, "source": s.source} for key, s in recipe.settings.items()},
        "questions": [{"key": q.key, "why": q.why, "proposal": q.proposal} for q in recipe.questions],
        "remarks": list(recipe.remarks),
    }


def write_summary(page: Page, recipe: Recipe, source: str) -> None:
    """Write what was taken, table by table, what has to be filled in, and what was left out."""
    page.notes(_taken(recipe))
    if recipe.questions:
        page.line()
        page.line("to fill in", Style.BOLD)
        page.notes((question.key, question.why) for question in recipe.questions)
    if recipe.remarks:
        page.line()
        page.line(f"to know about {source}", Style.BOLD)
        for remark in recipe.remarks:
            page.sentence(f"- {remark}")


def describe_taken(recipe: Recipe) -> str:
    """Return what was taken in one line, for `submit`.

    >>> from clusterplan.launcher.recipes.recipe import Setting
    >>> describe_taken(Recipe.of(Setting("training.gpus", 8, ""), Setting("slurm.account", "lab", "")))
    'training gpus 8; slurm account lab'
    """
    limit = walltime_of(recipe)
    parts = [f"{table} {text}" for table, text in _taken(recipe)]
    return "; ".join([*parts, *([f"time {limit}"] if limit else [])])


def _taken(recipe: Recipe) -> list[tuple[str, str]]:
    rows = []
    for table in _SHOWN:
        settings = {
            key: s.value
            for key, s in settings_of(recipe, table).items()
            if (table, key) != ("run", "command")
        }
        if settings:
            rows.append((table, ", ".join(f"{key} {_short(value)}" for key, value in settings.items())))
    return rows


def _short(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else render_value(value).strip('"')
