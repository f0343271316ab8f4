"""The settings in force, and where each is from."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cluster_profiles.configuration import Configuration, find_config_files, read_configuration
from ..launcher.run_folder.folder import history_path, runs_root
from ..render.configuration import configuration_as_dict, write_configuration
from ..render.layout import Page
from .result import Result


@dataclass(frozen=True, repr=False)
class ShownConfiguration(Result):
    """The settings in force; `files` says of each file of settings whether it exists."""

    configuration: Configuration
    runs: Path
    history: Path
    files: tuple[tuple[Path, bool], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan config show --json`."""
        return configuration_as_dict(self.configuration, self.runs, self.history, self.files)

    def write(self, page: Page) -> None:
        """Write one row per setting, then the files."""
        write_configuration(page, self.configuration, self.runs, self.history, self.files)


def show_configuration() -> ShownConfiguration:
    """Return the settings in force for this user in the working folder.  Raises InputError for a wrong file.

    Examples:
        >>> show_configuration().configuration.partition.source
        'default'
    """
    files = tuple(find_config_files())
    settings = read_configuration(os.environ)
    return ShownConfiguration(settings, runs_root(os.environ), history_path(os.environ), files)
