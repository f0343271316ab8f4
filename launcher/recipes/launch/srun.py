"""The options of srun in front of a launch line.  Pure.  They are those of srun(1), https://slurm.schedmd.com/srun.html."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..shell.word import Word

_SWITCHES = """
contiguous disable-status exact exclusive hold label multi-prog no-allocate no-kill overcommit overlap oversubscribe
preserve-env pty quiet quit-on-interrupt reboot spread-job unbuffered use-min-nodes verbose kill-on-bad-exit
container-mount-home no-container-mount-home container-remap-root no-container-remap-root container-writable
container-readonly container-entrypoint no-container-entrypoint
"""
_SHORT_SWITCHES = "EHIKlOQsuvWXZk"
_LETTERS = {
    "A": "account",
    "c": "cpus-per-task",
    "C": "constraint",
    "D": "chdir",
    "d": "dependency",
    "e": "error",
    "G": "gpus",
    "i": "input",
    "J": "job-name",
    "L": "licenses",
    "m": "distribution",
    "N": "nodes",
    "n": "ntasks",
    "o": "output",
    "p": "partition",
    "q": "qos",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
    "K": "kill-on-bad-exit",
    "l": "label",
    "u": "unbuffered",
    "W": "wait",
    "s": "oversubscribe",
    "E": "preserve-env",
    "k": "no-kill",
}
_FOR_SRUN = (
    "container",
    "no-container",
    "cpu-bind",
    "cpu_bind",
    "mpi",
    "gpu-bind",
    "mem-bind",
    "export",
    "cpu-freq",
)
_NEEDLESS = (
    "kill-on-bad-exit",
    "wait",
    "label",
    "unbuffered",
    "jobid",
    "overlap",
    "exact",
    "pty",
    "quiet",
    "verbose",
    "preserve-env",
)


@dataclass(frozen=True)
class SrunOption:
    """One option by its long name, and the words that it is."""

    name: str
    value: str
    words: tuple[str, ...]

    @property
    def is_for_srun(self) -> bool:
        """Return whether the run's own srun can take it."""
        return self.name.startswith(_FOR_SRUN)

    @property
    def is_of_image(self) -> bool:
        """Return whether it names an image and its folders, which the run's own container is."""
        return self.name in ("container-image", "container-mounts")

    @property
    def is_needless(self) -> bool:
        """Return whether clusterplan sees to it, or it says nothing on the job."""
        return self.name in _NEEDLESS or self.name in ("output", "error", "input", "unbuffered")


def split_srun(words: Sequence[Word]) -> tuple[tuple[SrunOption, ...], tuple[Word, ...]]:
    """Return the options of srun, which is the first word, and the command behind them.

    >>> line = [Word.of(word) for word in "srun -N 2 --gres=gpu:8 -u --cpu-bind none python t.py -N 3".split()]
    >>> options, command = split_srun(line)
    >>> [(option.name, option.value) for option in options], [word.text for word in command]
    ([('nodes', '2'), ('gres', 'gpu:8'), ('unbuffered', ''), ('cpu-bind', 'none')], ['python', 't.py', '-N', '3'])
    """
    options, at = [], 1
    while at < len(words) and words[at].text.startswith("-") and words[at].text != "-":
        text = words[at].text
        if text == "--":
            at += 1
            break
        name, value, takes_next = _read(text)
        following = (words[at + 1].text,) if takes_next and at + 1 < len(words) else ()
        options.append(SrunOption(name, following[0] if following else value, (text, *following)))
        at += 1 + len(following)
    return tuple(options), tuple(words[at:])


def _read(text: str) -> tuple[str, str, bool]:
    """The name of an option, its value in the same word, and whether the next word is its value."""
    if long := re.fullmatch(r"--([\w-]+)(=(.*))?", text, re.DOTALL):
        name = long[1].replace("cpu_bind", "cpu-bind")
        return name, long[3] or "", not long[2] and name not in _SWITCHES.split()
    letter, value = text[1], text[2:].removeprefix("=")
    return _LETTERS.get(letter, letter), value, not value and letter not in _SHORT_SWITCHES
