"""The settings in force, as a table and as a dict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cluster_profiles.configuration import Configuration
from .layout import Page

_UNSET = {
    "profile": "the live cluster for submit, no limits for estimate",
    "partition": "Slurm's default",
    "account": "Slurm's default",
}


def configuration_as_dict(
    configuration: Configuration, runs: Path, history: Path, files: Sequence[tuple[Path, bool]]
) -> dict[str, Any]:
    """Return every setting with its value and source, and every file that may hold settings."""
    paths = {"runs": str(runs), "history": str(history)}
    return {
        "settings": {
            name: {"value": paths.get(name, setting.value), "source": setting.source}
            for name, setting in vars(configuration).items()
        },
        "files": [{"path": str(path), "exists": exists} for path, exists in files],
    }


def write_configuration(
    page: Page, configuration: Configuration, runs: Path, history: Path, files: Sequence[tuple[Path, bool]]
) -> None:
    """Write one row per setting with its value and source, then every file that may hold settings."""
    paths = {"runs": str(runs), "history": str(history)}
    rows = []
    for name, setting in vars(configuration).items():
        value = paths.get(name, setting.value)
        shown = ("yes" if value else "no") if isinstance(value, bool) else value or _UNSET[name]
        rows.append((name, shown, setting.source))
    page.table(("setting", "value", "from"), rows)
    page.line()
    page.table(
        ("file of settings", ""), [(str(path), "" if exists else "not there") for path, exists in files]
    )
