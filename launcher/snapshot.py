"""What a run was made from: code, packages, environment; secrets left out."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
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
_GIT_S = 20
_HIDDEN = "[redacted]"


def snapshot(cwd: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The git commit and what differs from it, Python's packages, and the variables on the list of those kept."""
    commit = _git(cwd, "rev-parse", "HEAD")
    diff = _git(cwd, "diff", "HEAD") if commit else None
    kept = {
        name: value
        for name, value in environment.items()
        if _KEPT.fullmatch(name) and not _SECRET.search(name)
    }
    return {
        "git": {"commit": commit.strip(), "dirty": bool(diff)} if commit else None,
        "diff": without_secrets(diff[:_LARGEST_DIFF]) if diff else None,
        "environment": dict(sorted(kept.items())),
        "packages": sorted({f"{d.name}=={d.version}" for d in metadata.distributions() if d.name}),
    }


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


def _git(cwd: Path, *arguments: str) -> str | None:
    command: Sequence[str] = ("git", "-C", str(cwd), *arguments)
    try:
        done = subprocess.run(  # noqa: S603  no shell
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_S,
            check=False,
            env=dict(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout
