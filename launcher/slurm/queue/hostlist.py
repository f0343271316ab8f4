"""Lists of hosts as Slurm writes them."""

import re
from collections.abc import Iterator


def expand_hostlist(text: str) -> Iterator[str]:
    """Yield the names in a list of hosts.

    >>> list(expand_hostlist("gpu[1-3,07],login,r[1-2]n[0-1]"))
    ['gpu1', 'gpu2', 'gpu3', 'gpu07', 'login', 'r1n0', 'r1n1', 'r2n0', 'r2n1']
    >>> list(expand_hostlist("(null)"))
    []
    """
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        if part not in ("(null)", "N/A", "None"):
            yield from _expand(part)


def _expand(part: str) -> Iterator[str]:
    match = re.search(r"\[([^\]]*)\]", part)
    if not match:
        yield part
        return
    for item in match[1].split(","):
        first, _, last = item.partition("-")
        numbers = first.isdecimal() and last.isdecimal()
        values = (
            [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
            if numbers
            else [item]
        )
        for value in values:
            yield from _expand(f"{part[: match.start()]}{value}{part[match.end() :]}")
