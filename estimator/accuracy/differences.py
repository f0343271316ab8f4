"""What differs between runs, the most telling of their speed first."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from ...cluster_profiles.units import format_significant, join_names, plural
from ..job.shape import Shape
from .run_facts import RunFacts

# Packages that compute or exchange: their versions tell most of a speed.  The names are those of the package index.
_OF_SPEED = (
    "torch", "nvidia-", "triton", "flash-attn", "transformer-engine", "xformers", "apex", "deepspeed", "accelerate",
    "transformers", "lightning", "megatron", "torchtitan", "bitsandbytes", "peft", "jax", "numpy",
)  # fmt: skip
_SHAPE_NAMES = {
    "gpu": "GPU type",
    "gpus": "GPUs",
    "batch_size": "micro-batch",
    "seq_len": "tokens per sample",
}
_MOST_PACKAGES = 4  # named in a line
_SHORT_COMMIT = 10
CLEAR_WAIT = 0.05  # of a step, from which more waiting for input is a difference


@dataclass(frozen=True)
class Difference:
    """One thing that differs, and how it is in each of two runs."""

    what: str
    first: str
    second: str


def find_differences(first: RunFacts, second: RunFacts) -> list[Difference]:
    """Return what differs between two runs; a thing that is not known of one of them is none."""
    return [
        *_of_shapes(first, second),
        *_of_texts(first, second),
        *_of_packages(first.packages, second.packages),
        *_of_commands(first.command, second.command),
        *_of_commits(first.commit, second.commit),
    ]


def _of_shapes(first: RunFacts, second: RunFacts) -> Iterator[Difference]:
    if first.model and second.model and first.model != second.model:
        yield Difference("model", first.model, second.model)
    if first.measurement is None or second.measurement is None:
        return
    one, other = first.measurement.shape, second.measurement.shape
    for name in (field.name for field in fields(Shape)):
        values = getattr(one, name), getattr(other, name)
        if values[0] != values[1] and None not in values:
            what = _SHAPE_NAMES.get(name, name.replace("_", " "))
            yield Difference(
                what, *(f"{value:,}" if isinstance(value, int) else str(value) for value in values)
            )
    waits = [run.measurement.data_wait_share if run.measurement else None for run in (first, second)]
    if waits[0] is not None and waits[1] is not None and abs(waits[0] - waits[1]) > CLEAR_WAIT:
        yield Difference("wait for input", f"{waits[0]:.0%} of a step", f"{waits[1]:.0%} of a step")


def _of_texts(first: RunFacts, second: RunFacts) -> Iterator[Difference]:
    for what, texts_of in TEXTS.items():
        texts = texts_of(first), texts_of(second)
        if texts[0] != texts[1] and all(texts):
            yield Difference(what, *(join_names(x, 4) for x in texts))


def _watts(run: RunFacts) -> tuple[str, ...]:
    return tuple(f"{format_significant(watts)} W" for watts in run.power_limits_w)


TEXTS: Mapping[str, Callable[[RunFacts], tuple[str, ...]]] = {
    "GPU": lambda run: run.gpus,
    "power limit": _watts,
    "driver": lambda run: run.drivers,
    "node": lambda run: run.nodes,
}


def _of_packages(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Difference]:
    if not first or not second:
        return
    names = order_packages(name for name in {*first, *second} if first.get(name) != second.get(name))
    for name in names[:_MOST_PACKAGES]:
        yield Difference(name, first.get(name, "not there"), second.get(name, "not there"))
    if others := names[_MOST_PACKAGES:]:
        yield Difference(plural(len(others), "more package"), join_names(others, _MOST_PACKAGES), "")


def order_packages(names: "Iterator[str] | Sequence[str]") -> list[str]:
    """Return names of packages, those that tell most of a speed first.

    >>> order_packages(["zarr", "numpy", "torchvision", "torch"])
    ['torch', 'torchvision', 'numpy', 'zarr']
    """

    def rank(name: str) -> tuple[int, str]:
        places = (i for i, start in enumerate(_OF_SPEED) if name.lower().startswith(start))
        return next(places, len(_OF_SPEED)), name

    return sorted(names, key=rank)


def _of_commands(first: Sequence[str], second: Sequence[str]) -> Iterator[Difference]:
    """The stretches of words that differ, each after the flag that it belongs to."""
    if not first or not second or first == second:
        return
    stretches = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if tag != "equal":
            flag = int(a > 0 and first[a - 1].startswith("-") and "=" not in first[a - 1])
            stretches.append((first[a - flag : b], second[c - flag : d]))
    texts = (" ... ".join(" ".join(words) or "-" for words in side) for side in zip(*stretches, strict=True))
    yield Difference("command", *texts)


def _of_commits(first: str | None, second: str | None) -> Iterator[Difference]:
    if first and second and first != second:
        yield Difference("git", *(_short(commit) for commit in (first, second)))


def _short(commit: str) -> str:
    number, dash, dirty = commit.partition("-")
    return f"{number[:_SHORT_COMMIT]}{dash}{dirty}"
