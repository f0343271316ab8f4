"""Cluster profiles: list them, show one, check one, and discover the one of this cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cluster_profiles.catalog import BUNDLED, load_profile, profile_path, profile_paths, user_folder
from ..cluster_profiles.modes import make_folder
from ..cluster_profiles.profile import ClusterProfile
from ..errors import InputError, ProfileError, SlurmUnavailable
from ..launcher.slurm import client as slurm
from ..launcher.slurm import discovery
from ..launcher.slurm.cluster_reader import read_cluster
from ..render import profiles as pages
from ..render.layout import Page
from .result import Result


@dataclass(frozen=True, repr=False)
class ProfileList(Result):
    """Every profile that has a name, with its file; for a broken one, its fault in one line."""

    paths: Mapping[str, Path]
    profiles: Mapping[str, ClusterProfile | str]

    def as_dict(self) -> list[dict[str, Any]]:
        """Return the list of `clusterplan profiles list --json`."""
        return pages.profiles_as_dicts(self.paths, self.profiles)

    def write(self, page: Page) -> None:
        """Write one row per profile."""
        pages.write_profiles(page, self.profiles)


@dataclass(frozen=True, repr=False)
class ShownProfile(Result):
    """One profile."""

    profile: ClusterProfile

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan profiles show --json`."""
        return pages.profile_as_dict(self.profile)

    def write(self, page: Page) -> None:
        """Write the whole profile."""
        pages.write_profile(page, self.profile)


@dataclass(frozen=True, repr=False)
class ProfileCheck(Result):
    """A profile that can be used, and its differences from the cluster here; None if no cluster was compared."""

    name: str
    profile: ClusterProfile
    differences: tuple[str, ...] | None
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan profiles check --json`."""
        return pages.check_as_dict(self.name, self.profile, self.differences)

    def write(self, page: Page) -> None:
        """Write whether it can be used, and each difference."""
        pages.write_check(page, self.name, self.profile, self.differences)


@dataclass(frozen=True)
class DiscoveredProfile:
    """The profile of this cluster as the TOML file that holds it, the file if it was written, and notes on gaps."""

    text: str
    path: Path | None
    notes: tuple[str, ...]


def list_profiles() -> ProfileList:
    """Return every profile that has a name: the bundled ones and the user's own."""
    paths = profile_paths()
    return ProfileList(paths, {name: _load_or_fault(path) for name, path in paths.items()})


def show_profile(name: str) -> ShownProfile:
    """Return the profile of that name or path.  Raises ProfileError."""
    return ShownProfile(load_profile(name))


def check_profile(name: str) -> ProfileCheck:
    """Return whether a profile can be used, compared with the cluster here if there is one.

    A bundled profile is of no cluster, so it is not compared.  Raises ProfileError with the first fault and its line.
    """
    profile = load_profile(name)
    if profile_path(name).resolve().parent == BUNDLED.resolve() or not slurm.is_available():
        return ProfileCheck(name, profile, None)
    try:
        return ProfileCheck(name, profile, tuple(discovery.differences(profile, read_cluster())))
    except SlurmUnavailable as error:
        return ProfileCheck(name, profile, None, (f"not compared with the cluster: {error}",))


def discover_profile(name: str | None = None, output: Path | None = None) -> DiscoveredProfile:
    """Return a profile of this cluster as Slurm describes it, and write it to `output` or under its `name`.

    Without either nothing is written.  A file that exists is never overwritten.  Raises ProfileError and
    SlurmUnavailable.
    """
    discovered = discovery.build_profile(read_cluster(), name)
    text = pages.profile_as_toml(discovered.profile, discovered.notes)
    if name and ("/" in name or name.endswith(".toml")):
        raise ProfileError(f"--name: {name!r} is a path; give a word, or --output with a path")
    path = output or (user_folder() / f"{name}.toml" if name else None)
    if path is not None:
        _write_new(path, text, is_new_place=output is None)
    return DiscoveredProfile(text, path, tuple(discovered.notes))


def _write_new(path: Path, text: str, *, is_new_place: bool) -> None:
    try:
        if is_new_place:
            make_folder(path.parent, None)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ProfileError(f"{path}: exists already; remove it, or choose another name") from None
    except OSError as error:
        raise ProfileError(f"{path}: cannot be written: {error.strerror}") from None


def _load_or_fault(path: Path) -> ClusterProfile | str:
    try:
        return load_profile(str(path))
    except InputError as error:
        return str(error)
