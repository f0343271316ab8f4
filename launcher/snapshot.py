"""What a run was made from: code, packages, environment; secrets left out."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"(?i)key|token|secret|passw(or)?d|credential")
# A flag and its value are one argument or two; a bare word such as --tokenizer is no secret.
_SECRET_FLAG = re.compile(
    r"(?i)^--?[\w.-]*?(?<![a-z])(api[-_]?key|key|token|secret|passw(?:or)?d|credentials?)(=.*)?$"
)
_SECRET_LINE = re.compile(
    r"(?im)^([+\- ].*?\b[\w.-]*(?:api_?key|token|secret|passw(?:or)?d)[\w.-]*\b[\"']?\s*[=:]\s*)(\S.*)$"
)
_KEPT = re.compile(
    r"(PATH|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|CONDA_.*|CUDA_.*|NCCL_.*|OMP_.*|MKL_.*|TORCH_.*|PYTORCH_.*|HF_HOME|"
    r"TRANSFORMERS_.*|SLURM_CLUSTER_NAME|LOADEDMODULES|LANG|USER|HOSTNAME)"
)
_LARGEST_DIFF = 1_000_000
_LONGEST_S = 20
_HIDDEN = "[redacted]"
_PATHS = "import os, sys; sys.stdout.write(os.pathsep.join(sys.path))"
# What an installed package is known by; reading what is in these folders would take 0.3 ms each.
_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def snapshot(cwd: Path, environment: Mapping[str, str], python: str | None) -> dict[str, Any]:
    """The git commit and what differs from it, the packages of `python`, and the variables on the list of those kept."""
    head, changes = (
        _start("git", "-C", str(cwd), *asked) for asked in (("rev-parse", "HEAD"), ("diff", "HEAD"))
    )
    paths = _start(python, "-c", _PATHS) if python and python != sys.executable else None
    commit, diff, found = (_said(asked) for asked in (head, changes, paths))
    kept = {
        name: value
        for name, value in environment.items()
        if _KEPT.fullmatch(name) and not _SECRET.search(name)
    }
    folders = sys.path if python == sys.executable else (found or "").split(os.pathsep)
    return {
        "git": {"commit": commit.strip(), "dirty": bool(diff)} if commit else None,
        "diff": without_secrets(diff[:_LARGEST_DIFF]) if diff else None,
        "environment": dict(sorted(kept.items())),
        "packages": sorted({package for folder in folders for package in _packages(folder)}),
    }


def _packages(folder: str) -> Iterator[str]:
    """`name==version` of what is installed in a folder of Python's path."""
    try:
        names = [entry.name for entry in Path(folder).iterdir()] if folder else []
    except OSError:  # a zip archive, or not there
        return
    for name in names:
        if found := _INSTALLED.fullmatch(name):
            yield f"{found['name'].replace('_', '-')}=={found['version']}"


def redacted(arguments: Iterable[str]) -> list[str]:
    """Arguments with the values of KEY, TOKEN, SECRET and PASSWORD flags hidden.

    >>> redacted(["train.py", "--api-key", "abc", "--hf_token=x", "--tokenizer", "bert", "WANDB_API_KEY=1"])
    ['train.py', '--api-key', '[redacted]', '--hf_token=[redacted]', '--tokenizer', 'bert', 'WANDB_API_KEY=[redacted]']
    """
    found, hide = [], False
    for argument in arguments:
        match = _SECRET_FLAG.match(argument)
        name, given, _ = argument.partition("=")
        if hide and not argument.startswith("-"):
            found.append(_HIDDEN)
        elif given and (match or (name.isupper() and _SECRET.search(name))):
            found.append(f"{name}={_HIDDEN}")
        else:
            found.append(argument)
        hide = bool(match) and not given
    return found


def without_secrets(diff: str) -> str:
    """A diff in which what is assigned to such a name is hidden.

    >>> without_secrets("+API_KEY = 'abc'")
    '+API_KEY = [redacted]'
    """
    return _SECRET_LINE.sub(rf"\1{_HIDDEN}", diff)


def _start(*command: str) -> subprocess.Popen[str] | None:
    """A question asked of another program, to be answered while others are; None where there is no such program."""
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603  no shell
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, text=True, errors="replace"
        )
    except OSError:
        return None


def _said(asked: subprocess.Popen[str] | None) -> str | None:
    """What it printed; None where it failed, or takes too long."""
    if asked is None:
        return None
    with asked:
        try:
            said = asked.communicate(timeout=_LONGEST_S)[0]
        except subprocess.TimeoutExpired:
            asked.kill()
            return None
    return None if asked.returncode else said
