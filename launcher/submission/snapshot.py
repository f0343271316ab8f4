"""The origin of a run: its code, packages and environment, without secrets."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..secrets.redact import redact_environment
from ..secrets.text import redact_text

_KEPT = re.compile(
    r"(PATH|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|CONDA_.*|CUDA_.*|NCCL_.*|OMP_.*|MKL_.*|TORCH_.*|PYTORCH_.*|HF_HOME|"
    r"TRANSFORMERS_.*|SLURM_CLUSTER_NAME|LOADEDMODULES|LANG|USER|HOSTNAME)"
)
_PLAIN_DIFF = ("diff", "--no-ext-diff", "--no-color")  # whatever program or colours its user sees diffs with
_LARGEST_DIFF = 1_000_000
_LONGEST_S = 20
_PATHS = "import os, sys; sys.stdout.write(os.pathsep.join(sys.path))"
# What an installed package is known by; reading what is in these folders would take 0.3 ms each.
_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def take_snapshot(cwd: Path, environment: Mapping[str, str], python: str | None) -> dict[str, Any]:
    """Return the git commit and the diff against it, the packages of `python`, and the variables on the list to keep."""
    git = ("git", "-C", str(cwd))
    head, changes = _start(*git, "rev-parse", "HEAD"), _start(*git, *_PLAIN_DIFF, "HEAD")
    paths = _start(python, "-c", _PATHS) if python and python != sys.executable else None
    commit, diff, paths_text = (_read_answer(process) for process in (head, changes, paths))
    kept = {name: value for name, value in environment.items() if _KEPT.fullmatch(name)}
    folders = sys.path if python == sys.executable else (paths_text or "").split(os.pathsep)
    return {
        "git": {"commit": commit.strip(), "dirty": bool(diff)} if commit else None,
        "diff": redact_text(diff[:_LARGEST_DIFF]) if diff else None,
        "environment": redact_environment(dict(sorted(kept.items()))),
        "packages": sorted({package for folder in folders for package in _packages(folder)}),
    }


def _packages(folder: str) -> Iterator[str]:
    """Return `name==version` of each package that is installed in a folder of Python's path."""
    try:
        names = [entry.name for entry in Path(folder).iterdir()] if folder else []
    except OSError:  # a zip archive, or not there
        return
    for name in names:
        if match := _INSTALLED.fullmatch(name):
            yield f"{match['name'].replace('_', '-')}=={match['version']}"


def _start(*command: str) -> subprocess.Popen[str] | None:
    """Start another program, whose answer is read later; None if it cannot be started."""
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603  no shell
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, text=True, errors="replace"
        )
    except OSError:
        return None


def _read_answer(process: subprocess.Popen[str] | None) -> str | None:
    """Return the output of a process; None if it failed or takes too long."""
    if process is None:
        return None
    with process:
        try:
            text = process.communicate(timeout=_LONGEST_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return None
    return None if process.returncode else text
