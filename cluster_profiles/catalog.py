"""Cluster profiles by name or path: bundled ones, the user's own, or any file."""

import os
from functools import partial
from pathlib import Path

from ..errors import ProfileError
from .files.toml_file import locate, parse_toml, read_toml, validate
from .profile import ClusterProfile
from .units import join_names

BUNDLED = Path(__file__).parent
_NOT_PROFILES = {"gpus.toml"}


def user_folder() -> Path:
    """Return the folder of the user's own profiles."""
    import platformdirs  # noqa: PLC0415  platformdirs, where no profile is looked for

    return platformdirs.user_config_path("clusterplan") / "profiles"


def profile_paths() -> dict[str, Path]:
    """Return the file of every named profile; the user's own win over bundled ones.

    >>> sorted(profile_paths())[:1]
    ['one-machine']
    """
    return {
        path.stem: path
        for folder in (BUNDLED, user_folder())
        for path in sorted(folder.glob("*.toml"))
        if path.name not in _NOT_PROFILES
    }


def profile_path(name_or_path: str) -> Path:
    """Return the file of a profile.  Raises ProfileError if no profile has that name."""
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        return Path(name_or_path).expanduser()
    paths = profile_paths()
    if name_or_path not in paths:
        raise ProfileError(
            f"profile {name_or_path!r} does not exist: give {join_names(sorted(paths))}, or a path that ends in .toml"
        )
    return paths[name_or_path]


def load_profile(name_or_path: str | os.PathLike[str]) -> ClusterProfile:
    """Return the profile of that name, or in that file.

    Text with a slash, or that ends in .toml, is a path; other text is a name.  Raises ProfileError.

    Examples:
        >>> load_profile("slurm-a100").partition().gpus_per_node
        8
    """
    path = profile_path(os.fspath(name_or_path))
    text = read_toml(path)
    return validate(ClusterProfile, parse_toml(text, path), partial(locate, text, path), ProfileError)
