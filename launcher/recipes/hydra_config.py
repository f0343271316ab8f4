"""The config that hydra composes for a program from its folder of configs, with the groups that a command line chooses.

As https://hydra.cc/docs/advanced/defaults_list describes it, without packages but `_global_`: what is not followed is as
good as absent.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .arguments import Arguments, list_arguments
from .files import Files
from .formats.yaml_text import parse_yaml

_FOLDERS = ("configs", "conf", "config")
_NAMES = ("train", "config", "main", "default")
_OPTIONS = {
    **dict.fromkeys(("config-path", "cp"), "path"),
    **dict.fromkeys(("config-dir", "cd"), "dir"),
    **dict.fromkeys(("config-name", "cn"), "name"),
}
_CHOICE = re.compile(r"\+{0,2}([A-Za-z][\w/@]*)=([\w./-]+)")
_WORD = re.compile(r"(\+{0,2}|~)[A-Za-z][\w./@-]*(=.*)?|-m|--multirun", re.DOTALL)
_DEEPEST = 6


def read_hydra_config(program: str, words: Sequence[str], files: Files) -> tuple[str, Arguments] | None:
    """Return the name of the main config and what the whole says; None if the program has none with a list of defaults.

    `program` is the script, and `words` are those behind it.  Raises InputError for a config that is no YAML.
    """
    options, others = dict(_options(words)), _without_options(words)
    choices = {match[1]: match[2] for word in words if (match := _CHOICE.fullmatch(word))}
    if not program.endswith(".py") or not (options or choices) or not all(map(_WORD.fullmatch, others)):
        return None  # another parser's words
    home, stem = posixpath.dirname(program), posixpath.basename(program).removesuffix(".py")
    if "path" in options or "dir" in options:
        folders = [posixpath.join(home, options["path"]) if "path" in options else options["dir"]]
    else:
        folders = [
            posixpath.join(base, name) for base in (home, posixpath.join(home, "..")) for name in _FOLDERS
        ]
    names = [options["name"].removesuffix(".yaml")] if "name" in options else [stem, *_NAMES]
    for folder in folders:
        for name in names:
            path = posixpath.normpath(posixpath.join(folder, f"{name}.yaml"))
            file = files.read(path)
            if file and re.search(r"(?m)^defaults:", file.text):
                values: dict[str, Any] = {}
                _Composer(posixpath.normpath(folder), choices, files, values).add("", name, 0)
                return path, list_arguments(_resolved(values, values), path, {})
    return None


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option.startswith("-") and (name := _OPTIONS.get(option.lstrip("-"))):
            yield name, value if equals else "".join(words[at + 1 : at + 2])


def _without_options(words: Sequence[str]) -> list[str]:
    others, at = list[str](), 0
    while at < len(words):
        is_ours = words[at].startswith("-") and words[at].partition("=")[0].lstrip("-") in _OPTIONS
        others += [] if is_ours else [words[at]]
        at += 2 if is_ours and "=" not in words[at] else 1
    return others


class _Composer:
    def __init__(self, folder: str, choices: Mapping[str, str], files: Files, values: dict[str, Any]) -> None:
        self.folder, self.choices, self.files, self.values = folder, dict(choices), files, values

    def add(self, group: str, name: str, depth: int) -> None:
        """Add one config of a group, after those that its defaults name; its own keys stand over them unless it says so."""
        file = self.files.read(posixpath.join(self.folder, group, f"{name.removesuffix('.yaml')}.yaml"))
        if file is None or depth > _DEEPEST:
            return
        own = dict(parse_yaml(file.text, str(file.path))) if file.text.strip() else {}
        defaults = own.pop("defaults", None)
        at = "" if re.match(r"\s*#\s*@package\s+_global_", file.text) else group
        for entry in [
            *(defaults if isinstance(defaults, list) else ()),
            *([] if "_self_" in (defaults or ()) else ["_self_"]),
        ]:
            if entry == "_self_":
                _merge(self._table(at), own)
            elif isinstance(entry, str):
                self.add(group, entry, depth + 1)
            elif isinstance(entry, Mapping):
                for key, choice in entry.items():
                    self._add_group(group if at else "", str(key), choice, depth)

    def _add_group(self, outer: str, key: str, choice: object, depth: int) -> None:
        words = key.split()
        name = words[-1].partition("@")[0]
        group = name.lstrip("/") if name.startswith("/") or not outer else posixpath.join(outer, name)
        if "override" in words:
            self._table(group).clear()
        chosen = self.choices.get(group, choice)
        if isinstance(chosen, str) and chosen not in ("null", "???"):
            self.add(group, chosen, depth + 1)

    def _table(self, group: str) -> dict[str, Any]:
        table = self.values
        for part in filter(None, group.split("/")):
            table = table.setdefault(part, {}) if isinstance(table.get(part, {}), dict) else {}
        return table


def _merge(into: dict[str, Any], values: Mapping[Any, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _resolved(values: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The values with what `${a.b}` names; what is mandatory and missing is left out."""
    resolved: dict[str, Any] = {}
    for key, value in values.items():
        match = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
        if isinstance(value, Mapping):
            resolved[key] = _resolved(value, root)
        elif match:
            resolved[key] = _named(root, match[1].split("."), value)
        elif value != "???":
            resolved[key] = value
    return resolved


def _named(root: Mapping[str, Any], path: Sequence[str], otherwise: str) -> Any:
    inner: Any = root
    for part in path:
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return otherwise if inner is None or isinstance(inner, Mapping) else inner
