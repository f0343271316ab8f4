"""The settings of a site and of a user, from two files: what holds where neither a flag nor a job file says it.

    /etc/xdg/clusterplan/config.toml      the site's, for everybody
    ~/.config/clusterplan/config.toml     the user's own, which wins

The folders are those of the XDG base directory specification, so `XDG_CONFIG_DIRS` and `XDG_CONFIG_HOME` move them.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .units import join_names

CONFIG_FILE = "config.toml"
DEFAULT = "default"
_PATHS = ("runs", "history")
_VARIABLES = {"runs": "CLUSTERPLAN_RUNS", "history": "CLUSTERPLAN_HISTORY"}
_OF_A_GROUP = stat.S_ISGID | stat.S_IWGRP
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


@dataclass(frozen=True)
class Setting:
    """A value, and where it is from: a variable, a file, or `default`."""

    value: str | bool | None
    source: str = DEFAULT


@dataclass(frozen=True)
class Configuration:
    """The settings in force.

    `profile` is the cluster profile of jobs that name none; `partition` and `account` are those of a job on Slurm that
    states none.  `runs` is the folder of the run folders, `history` the history file.  `shared` says that the history
    and the runs belong to a group, which may read and write them.
    """

    profile: Setting = Setting(None)
    partition: Setting = Setting(None)
    account: Setting = Setting(None)
    runs: Setting = Setting(None)
    history: Setting = Setting(None)
    shared: Setting = Setting(value=False)

    def text(self, name: str) -> str | None:
        """Return the value of a setting that is a text; None where nobody set it."""
        value = getattr(self, name).value
        return value if isinstance(value, str) else None


_NAMES = tuple(Configuration.__dataclass_fields__)


def find_config_files() -> list[tuple[Path, bool]]:
    """Return where the files of settings may be, the user's own last, and whether each is there.

    Raises InputError for a place that cannot be looked at.
    """
    import platformdirs  # noqa: PLC0415  platformdirs, for commands that need no setting

    site = platformdirs.site_config_path("clusterplan", multipath=True)
    folders = [Path(folder) for folder in str(site).split(os.pathsep)]
    own = platformdirs.user_config_path("clusterplan")
    paths = [folder / CONFIG_FILE for folder in (*reversed(folders), own)]
    try:
        return [(path, path.is_file()) for path in paths]
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None


def read_configuration(environment: Mapping[str, str]) -> Configuration:
    """Return the settings of the variables, the user's file and the site's, in this order of strength.

    A path may hold `~` and variables such as `$USER`; a relative one counts from the folder of its file.  Raises
    InputError for a file that cannot be used.
    """
    settings = dict[str, Setting]()
    for path, is_there in find_config_files():
        if is_there:
            settings |= _read_file(path, environment)
    for name, variable in _VARIABLES.items():
        if value := environment.get(variable):
            settings[name] = Setting(str(Path(value).absolute()), f"${variable}")
    return Configuration(**settings)


def find_group(history: Path) -> int | None:
    """Return the id of the group that shares the history at this path; None if it is one user's.

    A history in a folder that hands its group on (setgid) and that the group may write is the group's; the setting
    `shared` says it of any folder.  Raises InputError for a file of settings that cannot be used.
    """
    folder = next((folder for folder in history.parents if folder.exists()), None)
    status = folder.stat() if folder else None
    if status is None:
        return None
    is_shared = read_configuration(os.environ).shared.value or status.st_mode & _OF_A_GROUP == _OF_A_GROUP
    return status.st_gid if is_shared else None


def _read_file(path: Path, environment: Mapping[str, str]) -> dict[str, Setting]:
    from .files.toml_file import line_of, parse_toml, read_toml  # noqa: PLC0415  pydantic, where no such file is

    text = read_toml(path)
    settings = {}
    for name, value in parse_toml(text, path).items():
        try:
            settings[name] = Setting(_check(name, value, path.parent, environment), str(path))
        except ValueError as error:
            line = line_of(text, (name,))
            raise InputError(f"{path}: {f'line {line}: ' if line else ''}{name} {error}") from None
    return settings


def _check(name: str, value: Any, folder: Path, environment: Mapping[str, str]) -> str | bool:
    """Return the value of one setting.  Raises ValueError with what is wrong, and what would be right."""
    if name not in _NAMES:
        raise ValueError(f"is no setting: the settings are {join_names(_NAMES)}")
    if name == "shared":
        if not isinstance(value, bool):
            raise ValueError(f"is {value!r}: give true or false")
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {value!r}: give text in quotes")
    return str(folder / _expand(value, environment)) if name in _PATHS else value


def _expand(path: str, environment: Mapping[str, str]) -> str:
    """Return the path with its variables and `~` replaced.  Raises ValueError for a variable that is not set.

    >>> _expand("/scratch/$USER/runs", {"USER": "ada"})
    '/scratch/ada/runs'
    """

    def value(match: re.Match[str]) -> str:
        name = match[1].strip("{}")
        if not environment.get(name):
            raise ValueError(f"is {path!r}, but the variable {name} is not set here")
        return environment[name]

    return os.path.expanduser(_VARIABLE.sub(value, path))  # noqa: PTH111  it takes a text that may not be a path
