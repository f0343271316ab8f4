"""The software that a run was submitted with, from its run.json."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Software(NamedTuple):
    """The commit of its code, with `-dirty` behind it if files had changed, and its packages as `name==version`.

    None and empty are not known.
    """

    commit: str | None
    packages: tuple[str, ...]


def software_of(run: Mapping[str, Any]) -> Software:
    """Return the software of a run, as far as run.json says it."""
    git, packages = run.get("git"), run.get("packages")
    commit = git.get("commit") if isinstance(git, dict) else None
    if isinstance(commit, str) and isinstance(git, dict) and git.get("dirty"):
        commit += "-dirty"  # as `git describe --dirty` says it
    texts = packages if isinstance(packages, list) else []
    return Software(
        commit if isinstance(commit, str) else None,
        tuple(text for text in texts if isinstance(text, str)),
    )
