"""Whether the end of a training would be hidden: a shell ends with the code of its last command."""

import re

from .launcher import launcher_of
from .program import find_program_in, outer_words
from .shell_text import ShellText, SimpleCommand

_AFTERWARDS = {"fi", "done", "esac", "}", "exit"}  # they hand the code on


def hidden_exit_code(command: tuple[str, ...], shell: ShellText) -> str | None:
    """Return why a training in the text of a shell that fails would count as completed; None if it would not.

    >>> from .shell_text import parse_shell
    >>> hidden_exit_code(("bash", "-c", "python t.py | tee log"), parse_shell("python t.py | tee log"))
    'the shell ends with the code of tee, so a failed python would count as completed: put `set -o pipefail` before it'
    """
    options = " ".join(outer_words(command))
    trainings = [at for at, each in enumerate(shell.commands) if _trains(each)]
    if not trainings or "$?" in shell.text or "PIPESTATUS" in shell.text:
        return None
    at = trainings[-1]
    training, later = shell.commands[at], shell.commands[at + 1 :]
    if training.operator == "&":
        waits = any(_name(each) in ("wait", "tail") for each in later)
        ends = f"the shell does not wait for {_name(training)}, which is killed as the shell ends: leave out the &"
        return None if waits else ends
    is_piped = training.operator in ("|", "|&")
    if is_piped and "pipefail" in shell.text + options:
        return None
    stops = re.search(r"\bset -\w*e", shell.text) or re.search(r"\s-\w*e\w*\b", options)
    moves_on = training.operator in (";", "\n") and not stops
    names = [name for each in later if (name := _name(each)) not in _AFTERWARDS]
    if not names or not (is_piped or moves_on):
        return None
    remedy = "`set -o pipefail`" if is_piped else "`set -e`"
    last = names[0] if is_piped else names[-1]
    return (
        f"the shell ends with the code of {last}, so a failed {_name(training)} would count as completed: put {remedy} "
        "before it"
    )


def _trains(command: SimpleCommand) -> bool:
    program = find_program_in(command)
    return program.is_python or launcher_of(program) is not None


def _name(command: SimpleCommand) -> str:
    return find_program_in(command).name
