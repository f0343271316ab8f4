"""The origin of a run: its code, packages and environment, without secrets."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"(?i)key|token|secret|passw(or)?d|credential")
# What a name ends in that has a secret for its value, in any spelling: hf_token, wandb.api_key, ApiKey; not tokenizer.
_NAME = (
    r"[-+~]*(?i:[\w./@-]*?(?<![a-z])(?:api[-_]?key|key|token|secret|passw(?:or)?d|passphrase|credentials?))"
)
_SECRET_NAME = re.compile(_NAME)
_SECRET_WORD = re.compile(
    rf"(?<![^\s'\"?&])({_NAME}=|--?{_NAME}\s+)[^\s;&|]+"
)  # in the text of `bash -c`, in an address
# In an address, https://user:password@host (RFC 3986, 3.2.1), or a token alone before the @ of http.
_URL_PASSWORD = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/?#@:'\"]*:|\bhttps?://)[^\s/?#'\"]+(?=@)")
_SECRET_LINE = re.compile(
    r"(?im)^([+\- ].*?\b[\w.-]*(?:(?:api|access|account|auth|private)_?key|token|secret|passw(?:or)?d)[\w.-]*\b"
    r"[\"']?\s*[=:]\s*)(\S.*)$"
)
_KEPT = re.compile(
    r"(PATH|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|CONDA_.*|CUDA_.*|NCCL_.*|OMP_.*|MKL_.*|TORCH_.*|PYTORCH_.*|HF_HOME|"
    r"TRANSFORMERS_.*|SLURM_CLUSTER_NAME|LOADEDMODULES|LANG|USER|HOSTNAME)"
)
_PLAIN_DIFF = ("diff", "--no-ext-diff", "--no-color")  # whatever program or colours its user sees diffs with
_LARGEST_DIFF = 1_000_000
_LONGEST_S = 20
_HIDDEN = "[redacted]"
_PATHS = "import os, sys; sys.stdout.write(os.pathsep.join(sys.path))"
# What an installed package is known by; reading what is in these folders would take 0.3 ms each.
_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def take_snapshot(cwd: Path, environment: Mapping[str, str], python: str | None) -> dict[str, Any]:
    """Return the git commit and the diff against it, the packages of `python`, and the variables on the list to keep."""
    git = ("git", "-C", str(cwd))
    head, changes = _start(*git, "rev-parse", "HEAD"), _start(*git, *_PLAIN_DIFF, "HEAD")
    paths = _start(python, "-c", _PATHS) if python and python != sys.executable else None
    commit, diff, paths_text = (_read_answer(process) for process in (head, changes, paths))
    kept = {
        name: value
        for name, value in environment.items()
        if _KEPT.fullmatch(name) and not _SECRET.search(name)
    }
    folders = sys.path if python == sys.executable else (paths_text or "").split(os.pathsep)
    return {
        "git": {"commit": commit.strip(), "dirty": bool(diff)} if commit else None,
        "diff": without_secrets(diff[:_LARGEST_DIFF]) if diff else None,
        "environment": dict(sorted(kept.items())),
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


def redact(arguments: Iterable[str]) -> list[str]:
    """Return arguments with the values of KEY, TOKEN, SECRET and PASSWORD flags and settings hidden.

    >>> redact(["train.py", "--api-key", "abc", "--hf_token=x", "--tokenizer", "bert", "WANDB_API_KEY=1"])
    ['train.py', '--api-key', '[redacted]', '--hf_token=[redacted]', '--tokenizer', 'bert', 'WANDB_API_KEY=[redacted]']
    >>> redact(["+logger.token=abc", "model.tokens=512", "export HF_TOKEN=abc; train --password abc"])
    ['+logger.token=[redacted]', 'model.tokens=512', 'export HF_TOKEN=[redacted]; train --password [redacted]']
    >>> redact(["--proxy=http://me:abc@host:80/x", "ssh://git@host/a.git", "https://host?token=abc&x=1"])
    ['--proxy=http://me:[redacted]@host:80/x', 'ssh://git@host/a.git', 'https://host?token=[redacted]&x=1']
    """
    shown, hide = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        secret = _SECRET_NAME.fullmatch(name) or (name.isupper() and _SECRET.search(name))
        if hide and not argument.startswith("-"):
            shown.append(_HIDDEN)
        elif equals and secret:
            shown.append(f"{name}={_HIDDEN}")
        else:
            shown.append(_without_url_passwords(_SECRET_WORD.sub(rf"\1{_HIDDEN}", argument)))
        hide = bool(secret) and not equals and argument.startswith("-")
    return shown


def without_secrets(diff: str) -> str:
    """Return a diff in which the values assigned to secret names are hidden.

    >>> without_secrets("+aws_access_key_id = 'abc'")
    '+aws_access_key_id = [redacted]'
    """
    return _without_url_passwords(_SECRET_LINE.sub(rf"\1{_HIDDEN}", diff))


def _without_url_passwords(text: str) -> str:
    return _URL_PASSWORD.sub(rf"\1{_HIDDEN}", text)


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
