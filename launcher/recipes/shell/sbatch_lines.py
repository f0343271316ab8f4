"""The `#SBATCH` lines of a script, as sbatch reads them.  Pure.

Tried on Slurm 22.05: sbatch reads lines before the first command that begin with `#SBATCH` at column 0, and of these
everything up to a `#`; options may be shortened as getopt allows.  The options are those of sbatch(1)
(https://slurm.schedmd.com/sbatch.html).
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from ....errors import InputError

_LETTERS = """
A account a array b begin c cpus-per-task C constraint d dependency D chdir e error F nodefile G gpus H hold i input
J job-name k no-kill L licenses M clusters m distribution N nodes n ntasks O overcommit o output p partition q qos Q quiet
s oversubscribe S core-spec t time v verbose W wait w nodelist x exclude B extra-node-info h help V version
"""
_SHORT = dict(zip(_LETTERS.split()[::2], _LETTERS.split()[1::2], strict=True))
_SWITCHES = """
contiguous get-user-env help hold ignore-pbs no-requeue overcommit parsable quiet reboot requeue spread-job test-only usage
use-min-nodes verbose version wait container-mount-home no-container-mount-home container-remap-root
no-container-remap-root container-writable container-readonly no-container-entrypoint container-entrypoint
"""
_VALUE_MAY_FOLLOW = "exclusive nice no-kill oversubscribe propagate resv-ports"
_VALUES = """
account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container container-env
container-id container-image container-mounts container-name container-save container-workdir core-spec cores-per-socket
cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution error exclude export export-file extra
extra-node-info gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint input job-name
kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile
nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output partition power
prefer priority profile qos reservation segment signal sockets-per-node switches tasks-per-node thread-spec
threads-per-core time time-min tmp tres-bind tres-per-task uid wait-all-nodes wckey wrap
"""
_TAKES_NO_VALUE, _MAY_TAKE_ONE = {*_SWITCHES.split()}, {*_VALUE_MAY_FOLLOW.split()}
_KNOWN = {*_TAKES_NO_VALUE, *_MAY_TAKE_ONE, *_VALUES.split()}
_ALIASES = {"tasks-per-node": "ntasks-per-node"}  # a name that sbatch knows too
_ADD_UP = ("gres", "gpus-per-node")


@dataclass(frozen=True)
class SbatchOption:
    """One option by its long name; `value` is "" of a switch, and `line` is its line in the script, from 1."""

    name: str
    value: str
    line: int

    @property
    def text(self) -> str:
        """Return the option as on the command line of sbatch."""
        return f"--{self.name}={self.value}" if self.value else f"--{self.name}"


def read_sbatch_lines(text: str, name: str = "script") -> tuple[SbatchOption, ...]:
    """Return the options of the `#SBATCH` lines of a script; of two with one name the last counts, but gres add up.

    Raises InputError with the line, for what sbatch would refuse.

    >>> [option.text for option in read_sbatch_lines("#!/bin/bash\\n#SBATCH -N2 --time 1-0 # a day\\n##SBATCH -p gpu\\n")]
    ['--nodes=2', '--time=1-0']
    """
    options: dict[str, SbatchOption] = {}
    for line, rest in _lines(text):
        try:
            words = shlex.split(rest.rstrip().removesuffix("\\"), comments=True)
        except ValueError:
            raise InputError(f"{name} line {line}: {rest.strip()!r} has a quote that is not closed") from None
        for option in _options(words, line, name):
            earlier = options.pop(option.name, None)
            if earlier and option.name in _ADD_UP:
                option = SbatchOption(option.name, f"{earlier.value},{option.value}", line)  # noqa: PLW2901
            options[option.name] = option
    return tuple(options.values())


def list_lines_not_read(text: str) -> list[str]:
    """Return remarks on lines that look like options for sbatch, which it does not read.

    >>> list_lines_not_read("#SBATCH -N 2\\n# SBATCH -p gpu\\npython t.py\\n#SBATCH -t 5\\n")
    ['line 2: "# SBATCH -p gpu" is a comment to sbatch: not taken', 'line 4: "#SBATCH -t 5" stands after the first command, where sbatch does not read it: not taken']
    """
    remarks, after = [], False
    for line, content in enumerate(text.splitlines(), 1):
        if content.startswith("#SBATCH"):
            if after:
                remarks.append(
                    f'line {line}: "{content.strip()}" stands after the first command, where sbatch does not read it: not taken'
                )
        elif content.startswith("#PBS"):
            remarks.append(f'line {line}: "{content.strip()}" is for PBS, and sbatch may read it: not taken')
        elif re.match(r"\s*#+\s*#?\s*SBATCH\b", content, re.IGNORECASE):
            remarks.append(f'line {line}: "{content.strip()}" is a comment to sbatch: not taken')
        after = after or bool(content.strip() and not content.lstrip().startswith("#"))
    return remarks


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for line, content in enumerate(text.split("\n"), 1):
        if content.strip() and not content.lstrip().startswith("#"):
            return
        if content.startswith("#SBATCH"):
            yield line, content.removeprefix("#SBATCH")


def _options(words: list[str], line: int, name: str) -> Iterator[SbatchOption]:
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("hetjob", "packjob"):
            raise InputError(
                f"{name} line {line}: a heterogeneous job is more than clusterplan runs: submit it with sbatch"
            )
        if not re.match(r"--?[A-Za-z]", word):
            raise InputError(f"{name} line {line}: {word!r} is no option of sbatch: write --OPTION=VALUE")
        if word.startswith("--"):
            given, equals, value = word[2:].partition("=")
            option = _long_name(given, f"{name} line {line}")
        else:
            if word[1] not in _SHORT:
                raise InputError(f"{name} line {line}: -{word[1]} is no option of sbatch")
            option, value = _SHORT[word[1]], word[2:]
            equals = value
        if option in _TAKES_NO_VALUE:
            if value and not word.startswith("--"):
                words.insert(0, f"-{value}")  # several letters in one word
                value = ""
        elif not equals and option not in _MAY_TAKE_ONE:
            if not words:
                raise InputError(f"{name} line {line}: --{option} has no value")
            value = words.pop(0)
        yield SbatchOption(option, value.strip(), line)


def _long_name(given: str, place: str) -> str:
    if given in _ALIASES:
        return _ALIASES[given]
    if given in _KNOWN:
        return given
    matches = sorted(known for known in _KNOWN if known.startswith(given))
    names = {_ALIASES.get(match, match) for match in matches}
    if len(names) == 1:
        return names.pop()
    if matches:
        raise InputError(
            f"{place}: --{given} may mean {', '.join(f'--{m}' for m in matches)}: sbatch refuses it"
        )
    raise InputError(f"{place}: --{given} is no option of sbatch")
