"""The profile whose rates hold where the user names none."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import ProfileError
from .configuration import read_configuration

if TYPE_CHECKING:
    from .profile import ClusterProfile


def find_rated_profile(cluster: str | None, environment: Mapping[str, str]) -> "ClusterProfile | None":
    """Return the profile of a run's `cluster`, otherwise that of the settings; None if it is gone or has no rates.

    Raises InputError for a file of settings that cannot be used.

    >>> find_rated_profile("one-machine", {}) is None
    True
    """
    name = cluster or read_configuration(environment).text("profile")
    if not name:
        return None
    from .catalog import load_profile  # noqa: PLC0415  pydantic, for a site without a profile

    try:
        profile = load_profile(name)
    except ProfileError:  # of another site, or removed since
        return None
    return profile if profile.rates else None
