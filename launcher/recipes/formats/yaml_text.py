"""YAML as the frameworks read it: YAML 1.1 of PyYAML, in which `no` is false and `1e-4` is text."""

import re
from collections.abc import Mapping
from typing import Any

from ....errors import InputError


def parse_yaml(text: str, name: str) -> Mapping[str, Any]:
    """Return the table in the first document.  Raises InputError if it is no YAML, or no table.

    >>> dict(parse_yaml("a: &x {b: 1e-4, c: no}\\nd: {<<: *x}\\n", "sft.yaml"))
    {'a': {'b': '1e-4', 'c': False}, 'd': {'b': '1e-4', 'c': False}}
    """
    import yaml  # noqa: PLC0415  PyYAML, for YAML files alone

    try:
        values = next(iter(yaml.safe_load_all(text)), None)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{name}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise InputError(f"{name}: holds no table of settings")
    return values


def lines_of_keys(text: str) -> dict[str, int]:
    """Return the lines, from 1, on which the keys of the outermost table stand.

    >>> lines_of_keys("# config\\nbf16: true\\ntrainer:\\n  devices: 8\\n")
    {'bf16': 2, 'trainer': 3}
    """
    keys = {}
    for line, content in enumerate(text.splitlines(), 1):
        if match := re.match(r"[\"']?([A-Za-z_][\w.-]*)[\"']?\s*:(\s|$)", content):
            keys[match[1]] = line
    return keys
