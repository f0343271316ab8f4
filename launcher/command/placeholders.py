"""The placeholders of a command: `{name}`, and how braces that mean something else are told apart from them.

`${name}` is a shell's and is never a placeholder; `{{name}}` stands for `{name}` itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ...cluster_profiles.units import join_names
from ...errors import WorkloadError

LATEST, OUTPUT = "latest", "output"
_BRACES = re.compile(
    r"\$\{+[\w-]+\}*"  # a shell's variable
    r"|\{\{(?P<escaped>[A-Za-z_][\w-]*)\}\}"
    r"|\{(?P<name>[A-Za-z_][\w-]*)\}"
)
_ALIKE = 0.85  # difflib's ratio: {batchsize} and {ouput} are misspelled, {step} and {text} are not


def fill_placeholders(
    arguments: Sequence[str],
    values: Mapping[str, object],
    *,
    later: Iterable[str] = (),
    other_braces: bool = False,
) -> tuple[str, ...]:
    """Return `arguments` with every placeholder replaced.  Raises WorkloadError for an unknown one.

    Those named in `later` stay, and so does `{{name}}`, until a last call without `later`.  `other_braces` leaves
    unknown names as they are, unless one is a misspelled placeholder.  A list element stays one argument whatever its
    value holds, and braces around anything but a name are left alone.

    >>> fill_placeholders(["--bs={batch_size}", "{a: 1}", "{{text}}", "${HOME}"], {"batch_size": 32})
    ('--bs=32', '{a: 1}', '{text}', '${HOME}')
    """
    last, kept = not later, set(later)

    def text(match: re.Match[str]) -> str:
        escaped, name = match["escaped"], match["name"]
        if escaped and last:
            return f"{{{escaped}}}"
        if not name or name in kept:
            return match[0]
        if name in values:
            value = str(values[name])
            return value if last else _escape(value)
        check_name(name, {*values, *kept}, other_braces=other_braces)
        return match[0] if last else _escape(match[0])

    return tuple(_BRACES.sub(text, argument) for argument in arguments)


def fill_job(job: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return the tables of a job file as JSON has them, with the values of one run of a sweep in its command.

    >>> fill_job({"run": {"command": ("train", "--lr={lr}", "{output}")}}, {"lr": "1e-3"})
    {'run': {'command': ['train', '--lr=1e-3', '{output}']}}
    """
    tables: dict[str, Any] = _as_json(job)
    run = tables.get("run") or {}
    for key in ("command", "resume"):
        words = run.get(key) or ()
        if words:
            run[key] = list(fill_placeholders(words, values, later=placeholder_names(words) - values.keys()))
    return tables


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(inner) for key, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, tuple | list) else value


def check_name(name: str, known: set[str], *, other_braces: bool) -> None:
    """Raise WorkloadError if `{name}`, which is not among the `known` placeholders, is meant to be one."""
    if name == LATEST:
        raise WorkloadError("{latest} is known only when there is a checkpoint: put it into run.resume")
    plain_names = {_plain(other): other for other in known}
    alike = get_close_matches(_plain(name), plain_names, n=1, cutoff=_ALIKE)
    itself = f"for the text {{{name}}} itself write {{{{{name}}}}}"
    if alike:
        raise WorkloadError(
            f"placeholder {{{name}}} is not known; did you mean {{{plain_names[alike[0]]}}}? {itself}"
        )
    if not other_braces and name.isidentifier():
        raise WorkloadError(
            f"placeholder {{{name}}} is not known: the placeholders are {join_names(sorted(known))}, and the names that "
            f"--sweep gives values to; {itself}"
        )


def placeholder_names(arguments: Iterable[str]) -> set[str]:
    """Return the names of the placeholders in `arguments`.

    >>> sorted(placeholder_names(["--lr={lr}", "{output}/log", "${HOME}", "{{text}}"]))
    ['lr', 'output']
    """
    return set(_names(arguments))


def notes_on_braces(arguments: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return one line on the names in braces that are none of the `known` placeholders, and one on doubled braces.

    >>> notes_on_braces(["{epoch}-{step}", "{output}", "{{text}}"], ["output"])
    ['{epoch}, {step} are no placeholders and stay as written', '{{text}} becomes {text}: doubled braces are for names of placeholders']
    """
    placeholders = {*known, LATEST}
    names = [f"{{{name}}}" for name in dict.fromkeys(_names(arguments)) if name not in placeholders]
    matches = [match for argument in arguments for match in _BRACES.finditer(argument)]
    doubled = [name for match in matches if (name := match["escaped"]) and name not in placeholders]
    are = "are no placeholders and stay" if names[1:] else "is no placeholder and stays"
    return [
        *([f"{join_names(names)} {are} as written"] if names else []),
        *(
            f"{{{{{name}}}}} becomes {{{name}}}: doubled braces are for names of placeholders"
            for name in doubled[:1]
        ),
    ]


def _names(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        yield from (match["name"] for match in _BRACES.finditer(argument) if match["name"])


def _escape(text: str) -> str:
    """Return text in which no later call sees a placeholder, nor takes braces away."""
    return _BRACES.sub(lambda match: match[0] if match[0][0] == "$" else f"{{{match[0]}}}", text)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
