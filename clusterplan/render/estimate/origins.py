"""The sources of the throughput of several shapes: each origin once, with its shapes."""

from collections.abc import Iterator, Sequence

from ...estimator.estimate.estimate import Estimate

_BEYOND = "beyond"


def source_of(estimate: Estimate) -> str:
    """Return the source of a shape's throughput in a word: its kind, or `beyond` what was measured."""
    source = estimate.step_time.source
    return _BEYOND if source.beyond else str(source.kind)


def origins(estimates: Sequence[Estimate], names: Sequence[str]) -> Iterator[str]:
    """Yield one line per origin, with all that was assumed; `names` are those of the shapes."""
    shapes_of: dict[str, list[int]] = {}
    for i, e in enumerate(estimates):
        shapes_of.setdefault(e.step_time.source.origin, []).append(i)
    for origin, places in shapes_of.items():
        texts: dict[str, list[int]] = {}
        for i in places:
            source = estimates[i].step_time.source
            beyond = "beyond what was measured" if source.beyond else None
            for text in (beyond, *source.assumed):
                if text:
                    texts.setdefault(text, []).append(i)
        of_all = [text for text, some in texts.items() if len(some) == len(places)]
        of_some: dict[tuple[int, ...], list[str]] = {}
        for text, some in texts.items():
            if text not in of_all:
                of_some.setdefault(tuple(some), []).append(text)
        assumed = [
            f"{join_shapes([names[i] for i in some])}: {', '.join(said)}" for some, said in of_some.items()
        ]
        shapes = f" of {join_shapes([names[i] for i in places])}" if len(shapes_of) > 1 else ""
        yield f"throughput{shapes}: {'; '.join((origin, *of_all, *assumed))}"


def join_shapes(names: Sequence[str]) -> str:
    """Return the names of shapes as people list them.

    >>> join_shapes(["1 GPU", "2 GPUs", "4 GPUs"])
    '1, 2 and 4 GPUs'
    """
    words = {name.partition(" ")[2].removeprefix("GPUs").removeprefix("GPU") for name in names}
    *first, last = names
    if not first:
        return last
    short = [name.partition(" ")[0] if len(words) == 1 else name for name in first]
    return f"{', '.join(short)} and {last}"
