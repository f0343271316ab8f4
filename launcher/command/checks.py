"""What is wrong with a command's words: it is started as it is, without a shell."""

import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .processes.wrappers import base_name

_BUILTINS = {
    "cd",
    "source",
    ".",
    "export",
    "set",
    "ulimit",
    "module",
}  # module: a function on many clusters
_OPERATORS = {"|", "||", "|&", "&", "&&", ";", "<", "<<", "<<<"}
_REDIRECTED = re.compile(r"(?:\d?|&)>>?(?:&\d|[\w.~/$-]*)")  # > log, 2>&1, >>log; no token such as <pad>
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=", re.DOTALL)

# What a shell would replace.  Not ${lr}, which is hydra's, nor .*, which is a regular expression's.
_REPLACED = re.compile(
    r"(?P<variable>\$(?:[A-Za-z_]\w*|\{[A-Z_][A-Z0-9_]*\}|\([^()]+\))|`[\w$][^`]*`)"
    r"|(?P<home>(?:^|(?<==))~(?=/|$))"
    r"|(?P<files>^\*$|(?:^|[/=])\*\.\w|/[^/\s]*(?<!\.)\*)"
)
_HOME = re.compile(r"(?:^|(?<==))~(?=/|$)")  # behind = a shell leaves it, but its user means the folder
_TAKES_CODE = re.compile(r"(ba|da|z|k)?sh|python[\d.]*|perl|node")


def find_program(word: str, cwd: Path, environ: Mapping[str, str]) -> str | None:
    """Return the file that `word` would start in `cwd`, as a shell finds it; None if there is none."""
    # One with a slash is relative to where the job runs.
    return shutil.which(str(cwd / word) if "/" in word else word, path=environ.get("PATH"))


def why_it_cannot_start(command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> str | None:
    """Return why nothing would start in `cwd`, and what would be right; None if something does."""
    first = command[0]
    if find_program(first, cwd, environ):
        return None
    words = first.split()
    if _ASSIGNED.match(first) and len(command) > 1:
        return f"{first!r} is no program: put env before it: -- env {shlex.join(command)}"
    if words and (words[0] in _BUILTINS or any(map(_is_operator, words))):
        return f"{first!r} needs a shell, and no shell reads the command: give {_in_a_shell(command)}"
    if len(words) > 1 and len(command) == 1:
        return f"command {first!r} is not found: leave out the quotes: -- {first}"
    if (cwd / first).is_file():
        starter = {".py": "python", ".sh": "bash"}.get(Path(first).suffix)
        right = f"put {starter} before it" if starter else f"chmod +x {shlex.quote(first)}"
        return f"command {first!r} is {'not executable' if '/' in first else 'not on PATH'}: {right}"
    return f"command {first!r} is not found: give a program on PATH, or its path"


def why_it_needs_a_shell(command: Sequence[str]) -> str | None:
    """Return that a word is a shell's, which the command would get as an argument; None if none is.

    >>> why_it_needs_a_shell(["python", "train.py", ">", "log"])
    "'>' needs a shell, and no shell reads the command: give bash -c 'python train.py > log'"
    >>> print(why_it_needs_a_shell(["python", "train.py", "shards/*.tar"]))
    'shards/*.tar' arrives as it is, because no shell reads the command: for the shell's * give bash -c 'python train.py shards/*.tar'
    """
    word = next(filter(_is_operator, command), None)
    if word and command[-1] == "&":
        return "'&' arrives as it is, because no shell reads the command: leave it out: the run goes on without you"
    if word:
        return f"{word!r} needs a shell, and no shell reads the command: give {_in_a_shell(command)}"
    word, match = next(_replaced_by_a_shell(command), ("", None))
    if match is None:
        return None
    what = match["variable"] or ("~" if match["home"] is not None else "*")
    shell = _in_a_shell(command)
    return (
        f"{word!r} arrives as it is, because no shell reads the command: for the shell's {what} give {shell}"
    )


def _replaced_by_a_shell(command: Sequence[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield the words that a shell would change; the code that `bash -c` and `python -c` take is no such word."""
    takes_code = False
    for at, word in enumerate(command):
        takes_code = takes_code or _TAKES_CODE.fullmatch(base_name(word)) is not None
        if takes_code and at and re.fullmatch("-[a-z]*c", command[at - 1]):
            return
        if match := _REPLACED.search(word):
            yield word, match


def _is_operator(word: str) -> bool:
    return word in _OPERATORS or _REDIRECTED.fullmatch(word) is not None


def _in_a_shell(command: Sequence[str]) -> str:
    line = " ".join(word if len(command) == 1 else _quote(word) for word in command)
    return shlex.join(["bash", "-c", line])


def _quote(word: str) -> str:
    """Return a word as a shell has to read it, for it to replace what it replaces."""
    match = _REPLACED.search(word)
    if _is_operator(word) or (match and match["files"]):
        return word
    return f'"{_HOME.sub("$HOME", word)}"' if match else shlex.quote(word)
