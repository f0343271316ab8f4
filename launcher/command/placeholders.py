"""The placeholders of a job file's command: their values, and that none is left over or missing."""

import re
from collections.abc import Iterable, Mapping, Sequence

from ...cluster_profiles.units import join_names
from ...errors import WorkloadError

LATEST, OUTPUT = "latest", "output"
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


def fill_placeholders(
    arguments: Sequence[str], values: Mapping[str, object], *, later: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return `arguments` with every placeholder replaced; those named in `later` stay.  Raises WorkloadError.

    A list element stays one argument whatever its value holds, and braces around anything but a name are left alone.

    >>> fill_placeholders(["--bs={batch_size}", "{a: 1}"], {"batch_size": 32})
    ('--bs=32', '{a: 1}')
    """
    kept = set(later)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in kept:
            return match[0]
        if name == LATEST and name not in values:
            raise WorkloadError("{latest} is known only when there is a checkpoint: put it into run.resume")
        if name not in values:
            raise WorkloadError(
                f"placeholder {match[0]} is not known: the placeholders are {join_names(sorted({*values, *kept}))}; or give it values by "
                f"--sweep {name}=A,B"
            )
        return str(values[name])

    return tuple(_PLACEHOLDER.sub(value, argument) for argument in arguments)


def placeholder_names(arguments: Iterable[str]) -> set[str]:
    """Return the names of the placeholders in `arguments`.

    >>> sorted(placeholder_names(["--lr={lr}", "{output}/log"]))
    ['lr', 'output']
    """
    return {name for argument in arguments for name in _PLACEHOLDER.findall(argument)}
