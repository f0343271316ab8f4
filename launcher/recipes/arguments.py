"""The arguments of a training program, from its command line or from a config file, under one kind of name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TRUE = {"true", "yes", "t", "y", "1", "on"}
_FALSE = {"false", "no", "f", "n", "0", "off", "none", ""}
_ASSIGNED = re.compile(r"\+{0,2}([A-Za-z_][\w.@-]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Argument:
    """One argument: its value as text, or as the config file has it; True where it stands alone.

    `at` is the index of the word that holds the value, on a command line; without dashes it is no option.
    """

    name: str
    value: Any
    source: str
    at: int | None = None
    is_option: bool = True

    @property
    def is_on(self) -> bool:
        """Return whether it switches something on."""
        return self.value is True or str(self.value).strip().lower() in _TRUE

    @property
    def is_off(self) -> bool:
        """Return whether it switches something off."""
        return self.value is False or str(self.value).strip().lower() in _FALSE

    @property
    def number(self) -> int | float | None:
        """Return the number that it is; None if it is none.

        >>> Argument("save_steps", "5_000", "").number, Argument("lr", "2e-5", "").number, Argument("x", "'50'", "").number
        (5000, 2e-05, 50)
        """
        if isinstance(self.value, bool):
            return None
        text = str(self.value).strip().strip("'\"").replace("_", "")
        try:
            number = float(text)
        except ValueError:
            return None
        return int(number) if number.is_integer() else number


Arguments = Mapping[str, Argument]


def parse_arguments(words: Sequence[str], place: str, lines: Sequence[int] = ()) -> dict[str, Argument]:
    """Return the arguments on a command line by their names, dashes inside as underscores; the last of two counts.

    `place` stands before each source, and behind it the line of the argument, if `lines` has those of the words.  An
    argument with several values has them in one text.  `a.b=1` without dashes, as OmegaConf and hydra read it, is an
    argument too.

    >>> arguments = parse_arguments(["--bf16", "--lr=1e-4", "--modules", "fc1", "fc2", "--layer", "-2"], "run.sh line 3")
    >>> [(name, argument.value, argument.at) for name, argument in arguments.items()]
    [('bf16', True, None), ('lr', '1e-4', 1), ('modules', 'fc1 fc2', 3), ('layer', '-2', 6)]
    >>> [(a.name, a.value, a.at) for a in parse_arguments(["x.yaml", "max_steps=5", "+trainer.devices=8"], "").values()]
    [('max_steps', '5', 1), ('trainer.devices', '8', 2)]
    """

    def source(at: int, text: str) -> str:
        return f"{place} line {lines[at]}: {_shortened(text)}" if lines else f"{place}: {_shortened(text)}"

    arguments: dict[str, Argument] = {}
    at = 0
    while at < len(words):
        match = re.match(r"--?([A-Za-z][^=]*)(=)?", words[at])
        if not match:
            if bare := _ASSIGNED.match(words[at]):
                name = bare[1].replace("-", "_")
                arguments[name] = Argument(name, bare[2], source(at, words[at]), at, is_option=False)
            at += 1
            continue
        name, start = match[1].replace("-", "_"), at + 1
        at += 1
        if match[2]:
            value, index, text = words[start - 1][match.end() :], start - 1, words[start - 1]
        else:
            while at < len(words) and not re.match(r"--?[A-Za-z]", words[at]):
                if at > start and _ASSIGNED.match(words[at]):
                    break
                at += 1
            value, index = " ".join(words[start:at]), start
            text = f"--{match[1]} {value}".strip()
        is_bare = index == at
        arguments[name] = Argument(
            name, True if is_bare else value, source(start - 1, text), None if is_bare else index
        )
    return arguments


def list_arguments(values: Mapping[str, Any], place: str, lines: Mapping[str, int]) -> dict[str, Argument]:
    """Return the values of a config file as arguments; those of tables inside it are called `table.key`.

    `lines` has the lines on which the keys of the outermost table stand.  An empty value is as good as absent.

    >>> arguments = list_arguments({"bf16": True, "trainer": {"devices": 8}, "x": None}, "sft.yaml", {"bf16": 3})
    >>> [(a.name, a.value, a.source) for a in arguments.values()]
    [('bf16', True, 'sft.yaml line 3: bf16'), ('trainer.devices', 8, 'sft.yaml: trainer.devices')]
    """
    arguments: dict[str, Argument] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        line = f" line {lines[key]}" if key in lines else ""
        if isinstance(value, Mapping):
            inner = list_arguments(value, place, {})
            arguments |= {
                f"{name}.{k}": Argument(f"{name}.{k}", a.value, f"{place}{line}: {name}.{k}")
                for k, a in inner.items()
            }
        elif value is not None:
            arguments[name] = Argument(name, value, f"{place}{line}: {key}")
    return arguments


def find_number(arguments: Arguments, *names: str) -> tuple[int | float, str] | None:
    """Return the number of the first of these arguments that is one, and its source; None without any."""
    for name in names:
        if name in arguments and (number := arguments[name].number) is not None:
            return number, arguments[name].source
    return None


def nest_arguments(arguments: Arguments, table: str) -> dict[str, Any]:
    """Return a table of a config file, whose values are arguments called `table.key`, as nested dicts.

    >>> nest_arguments(list_arguments({"fsdp": {"a": {"b": 1}, "c": 2}}, "x.yaml", {}), "fsdp")
    {'a': {'b': 1}, 'c': 2}
    """
    nested: dict[str, Any] = {}
    for name, argument in arguments.items():
        if name.startswith(f"{table}."):
            *outer, last = name.removeprefix(f"{table}.").split(".")
            inner = nested
            for key in outer:
                inner = inner.setdefault(key, {})
            inner[last] = argument.value
    return nested


def _shortened(text: str) -> str:
    longest = 60
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
