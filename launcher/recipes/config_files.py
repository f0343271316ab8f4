"""The config files that a program is given, as arguments: YAML, JSON, TOML, and Python of plain assignments."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence

from ...errors import InputError
from .arguments import Arguments, list_arguments
from .files import Files, NamedFile
from .formats.pretraining.nanogpt import parse_assignments
from .formats.yaml_text import lines_of_keys, parse_yaml

_OPTIONS = ("config", "c", "job.config_file", "config_file", "cfg", "config_path")


def read_config_files(words: Sequence[str], files: Files) -> tuple[str, Arguments]:
    """Return the name of the last config file on a command line, "" without one, and what all of them say; later ones win."""
    last, arguments = "", dict[str, Arguments]()
    for name in _config_names(words):
        if name.endswith(tuple(_READERS)) and (file := files.read(name)):
            last = name
            arguments[name] = read_config_file(file)
    return last, {key: value for each in arguments.values() for key, value in each.items()}


def read_config_file(file: NamedFile) -> Arguments:
    """Return the settings in a config file as arguments.  Raises InputError."""
    return _READERS[file.path.suffix](file)


def _config_names(words: Sequence[str]) -> Iterator[str]:
    """The words that may name a config: the first that is no option, and those behind options for one."""
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        name = option.lstrip("-").replace("-", "_")
        if option.startswith("-") and name in _OPTIONS:
            following = words[at + 1] if at + 1 < len(words) else ""
            yield value if equals else following
        elif at == 0 or (at == 1 and not words[0].startswith("-")):
            yield word


def _read_yaml(file: NamedFile) -> Arguments:
    return list_arguments(parse_yaml(file.text, str(file.path)), file.path.name, lines_of_keys(file.text))


def _read_toml(file: NamedFile) -> Arguments:
    try:
        values: Mapping[str, object] = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file.path}: is no TOML: {error}") from None
    return list_arguments(values, file.path.name, {})


_READERS: Mapping[str, Callable[[NamedFile], Arguments]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_yaml,
    ".toml": _read_toml,
    ".py": lambda file: parse_assignments(file.text, file.path.name),
}
