"""A note of a report, and its wording: one line for GPUs with alike values, named as nvidia-smi numbers them.  Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar

from ...cluster_profiles.units import join_names

T = TypeVar("T")

ALIKE_FACTOR = 1.25  # values up to this many times the lowest of a group are alike
_MOST_NODES = 4  # named in a line
_WORST_FIRST = (
    "driver",
    "xid",
    "gpu_lost",
    "no-permission",
    "hang",
    "no-process",
    "idle",
    "straggler",
    "slower",
    "input",
    "stall",
    "throttled",
    "precision",
    "clock",
    "coverage",
    "damage",
    "head-room",
)


@dataclass(frozen=True)
class Note:
    """One thing to know; `code` is stable, `uuids` are the GPUs it holds for."""

    code: str
    text: str
    uuids: tuple[str, ...]


def order_notes(notes: Iterable[Note], gpus: int) -> list[Note]:
    """Return the notes on a run of so many GPUs: the odd one out before what holds for all, then the worst first.

    >>> slow, idle = Note("straggler", "", ("GPU-1",)), Note("idle", "", ("GPU-0", "GPU-1"))
    >>> [note.code for note in order_notes([idle, slow], 2)]
    ['straggler', 'idle']
    """
    return sorted(notes, key=lambda note: (1 < gpus == len(note.uuids), _WORST_FIRST.index(note.code)))


class NumberedGpu(Protocol):
    """A GPU with its node and its index there: "0", or "1:0" for a MIG instance."""

    @property
    def node(self) -> str: ...
    @property
    def index(self) -> str: ...


def group_alike(items: Iterable[T], value: Callable[[T], float]) -> list[list[T]]:
    """Return the items in groups of alike values, the smallest group first; inside a group the order stays.

    Values are alike if they are at most `ALIKE_FACTOR` times the lowest of their group.

    >>> group_alike([12, 100, 10, 11], float)
    [[100], [12, 10, 11]]
    """
    groups: list[list[tuple[int, T]]] = []
    lowest = 0.0
    for place, item in sorted(enumerate(items), key=lambda pair: value(pair[1])):
        if not groups or value(item) > ALIKE_FACTOR * lowest:
            lowest = value(item)
            groups.append([])
        groups[-1].append((place, item))
    return [[item for _, item in sorted(group, key=itemgetter(0))] for group in sorted(groups, key=len)]


def name_gpus(gpus: Sequence[NumberedGpu], run: Sequence[NumberedGpu]) -> str:
    """Return how a line names some of a run's GPUs, with their nodes if the run has several.

    >>> from clusterplan.estimator.gpu_use.digest import RunGpu
    >>> run = [RunGpu(f"GPU-{i}", "n1", str(i)) for i in range(6)]
    >>> name_gpus([run[5]], run), name_gpus([*run[:3], run[4]], run), name_gpus(run, run)
    ('GPU 5', 'GPUs 0-2, 4', 'all 6 GPUs')
    >>> run += [RunGpu(f"GPU-{i}", "n2", f"1:{i}") for i in (6, 7)]
    >>> name_gpus(run[4:], run)
    'GPUs 4, 5 on n1 and GPUs 1:6, 1:7 on n2'
    """
    if len(gpus) == len(run) > 1:
        return f"all {len(run)} GPUs"
    if len({gpu.node for gpu in run}) <= 1:
        return name_indices([gpu.index for gpu in gpus])
    by_node: dict[str, list[str]] = {}
    for gpu in gpus:
        by_node.setdefault(gpu.node, []).append(gpu.index)
    nodes_of: dict[str, list[str]] = {}
    for node, indices in by_node.items():
        nodes_of.setdefault(name_indices(indices), []).append(node)
    parts = (f"{names} on {name_nodes(nodes)}" for names, nodes in nodes_of.items())
    return join_names(parts, _MOST_NODES, " and ")


def name_nodes(nodes: Iterable[str]) -> str:
    """Return the nodes' names, each once, the rest of a long list only counted."""
    return join_names(dict.fromkeys(nodes), _MOST_NODES)


def advise_to_avoid(nodes: Iterable[str]) -> str:
    """Return what to do about broken GPUs on these nodes."""
    return f"report it to the administrators and avoid {name_nodes(nodes)}"


def name_indices(indices: Sequence[str]) -> str:
    """Return the names of GPUs of one node, by the indices that nvidia-smi shows.

    >>> name_indices(["2"]), name_indices(["0", "1", "2", "4", "6:0"])
    ('GPU 2', 'GPUs 0-2, 4, 6:0')
    """
    return f"GPU{'' if len(indices) == 1 else 's'} {', '.join(_index_ranges(indices))}"


def _index_ranges(indices: Sequence[str]) -> Iterator[str]:
    """Yield the indices; whole GPUs that follow each other as a range of at least three."""
    numbers = sorted(int(index) for index in indices if index.isdecimal())
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        values = [number for _, number in run]
        if len(values) > 2:  # noqa: PLR2004  "4, 5" is as short as "4-5"
            yield f"{values[0]}-{values[-1]}"
        else:
            yield from map(str, values)
    yield from sorted(index for index in indices if not index.isdecimal())


def format_span(values: Iterable[float], spell: Callable[[float], str]) -> str:
    """Return the values as one text, or as "LOWEST to HIGHEST" if these two read differently.

    >>> format_span([0.121, 0.14, 0.12], lambda share: f"{share * 100:.0f}"), format_span([7.1, 7.2], "{:.0f}".format)
    ('12 to 14', '7')
    """
    numbers = list(values)
    low, high = spell(min(numbers)), spell(max(numbers))
    return low if low == high else f"{low} to {high}"
