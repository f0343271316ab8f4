"""Users of one group and one of none, on this machine, with a folder that they share; only root can be all of them."""

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from slurm_cluster import until

ADA, BEN, EVE = ("daemon", "users"), ("games", "users"), ("nobody", "nogroup")
As = Callable[..., subprocess.CompletedProcess[str]]


class Attack:
    """A pickle that runs a command as it is loaded (docs.python.org/3/library/pickle.html, its warning)."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@contextmanager
def make_lab() -> Iterator[Path]:
    """A folder of the group `users`, with a home for each user."""
    if os.geteuid() != 0:
        pytest.skip("only root may become other users")
    for user, group in (ADA, BEN, EVE):
        try:
            pwd.getpwnam(user), grp.getgrnam(group)
        except KeyError as error:
            pytest.skip(f"this machine lacks a user: {error}")
    # The folders that pytest makes are root's alone.
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    folder.chmod(0o755)
    for user, group in (ADA, BEN, EVE):
        (folder / user).mkdir(mode=0o755)
        shutil.chown(folder / user, user, group)
    (folder / "shared").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def share(lab: Path, mode: int) -> None:
    shutil.chown(lab / "shared", ADA[0], ADA[1])
    (lab / "shared").chmod(mode)


def python_for_all() -> str:
    """The Python with which every user may run this installation: ours may be root's alone."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(version, path="/usr/bin:/usr/local/bin")
    if not python:
        pytest.skip(f"no {version} is installed for all users")
    if reason := _why_unreachable(python):
        pytest.skip(f"other users cannot run this installation: {reason}")
    return python


_PYTHONPATH = f"{ROOT}{os.pathsep}{sysconfig.get_path('purelib')}"


@cache
def _why_unreachable(python: str) -> str:
    asked = subprocess.run(
        [python, "-m", "clusterplan", "--version"],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": _PYTHONPATH, "HOME": "/nonexistent"},
        user=ADA[0],
        group=ADA[1],
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return asked.stderr.strip()[-200:] or "it fails" if asked.returncode else ""


def as_users(lab: Path, run_words: Callable[..., Any]) -> As:
    """Run words with this installation as a user, with a umask; the history is the lab's."""

    def run(
        who: tuple[str, str],
        *words: object,
        umask: int = 0o022,
        settings: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Any:
        home = lab / who[0]
        if settings:
            (home / "clusterplan").mkdir(exist_ok=True)
            (home / "clusterplan/config.toml").write_text(settings)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": _PYTHONPATH,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_CONFIG_DIRS": str(home),
            "TMPDIR": str(home),
            "CLUSTERPLAN_HISTORY": str(lab / "shared/history.db"),
            "CLUSTERPLAN_RUNS": str(home / "runs"),
            **(variables or {}),
        }
        return run_words(
            words, cwd=home, env=environment, user=who[0], group=who[1], extra_groups=[], umask=umask
        )

    return run


def python_of(lab: Path) -> As:
    """Run Python with this installation as a user."""
    python = python_for_all()

    def run_python(words: Sequence[object], **more: Any) -> Any:
        return subprocess.run(
            [python, *map(str, words)], capture_output=True, text=True, check=False, timeout=120, **more
        )

    return as_users(lab, run_python)


def submit(run_as: As, who: tuple[str, str], *words: str, umask: int = 0o022, settings: str = "") -> Any:
    done = run_as(
        who,
        "submit",
        "--executor",
        "local",
        "--json",
        "--",
        *(words or ("echo", "hello")),
        umask=umask,
        settings=settings,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def state_at_end(run_as: As, who: tuple[str, str], run: Any) -> Any:
    until((Path(run["folder"]) / "status.json").exists, f"the end of {run['run']}")
    return json.loads(run_as(who, "status", run["folder"], "--json").stdout)["runs"][0]["state"]
