"""The software that a run was submitted with, from its run.json."""

from typing import NamedTuple

from ...run_folder.records.run_facts import RunFacts


class Software(NamedTuple):
    """The commit of its code, with `-dirty` behind it if files had changed, and its packages as `name==version`.

    None and empty are not known.
    """

    commit: str | None
    packages: tuple[str, ...]


def software_of(run: RunFacts) -> Software:
    """Return the software of a run, as far as run.json says it."""
    git = run.get("git") or {}
    commit = git.get("commit")
    if commit is not None and git.get("dirty"):
        commit += "-dirty"  # as `git describe --dirty` says it
    return Software(commit, tuple(run.get("packages") or ()))
