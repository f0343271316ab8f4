"""Find the shell script that a command starts: what it says is read elsewhere, and only if there is one."""

from collections.abc import Sequence
from pathlib import Path

_SHELLS = ("bash", "sh", "sbatch")
_SCRIPTS = (".sh", ".bash", ".slurm", ".sbatch")


def find_script(command: Sequence[str]) -> tuple[Path, tuple[str, ...]] | None:
    """Return the shell script that a command starts, and its arguments; None if it starts anything else."""
    at = 1 if command and command[0] in _SHELLS else 0
    if len(command) <= at or not command[at].endswith(_SCRIPTS) or not Path(command[at]).is_file():
        return None
    return Path(command[at]), tuple(command[at + 1 :])


def with_shell(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command with `bash` in front, if it is a shell script alone."""
    script = find_script(command)
    return ("bash", *command) if script and command[0] == str(script[0]) else command
