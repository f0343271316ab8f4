"""What is wrong with a command's words: it is started as it is, without a shell."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

_BUILTINS = {
    "cd",
    "source",
    ".",
    "export",
    "set",
    "ulimit",
    "module",
}  # module: a function on many clusters
_OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&>"}


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
    if words and (words[0] in _BUILTINS or _OPERATORS & {*words}):
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
    """
    word = next((word for word in command if word in _OPERATORS), None)
    return word and f"{word!r} needs a shell, and no shell reads the command: give {_in_a_shell(command)}"


def _in_a_shell(command: Sequence[str]) -> str:
    line = " ".join(
        word if word in _OPERATORS or len(command) == 1 else shlex.quote(word) for word in command
    )
    return shlex.join(["bash", "-c", line])
