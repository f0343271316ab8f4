"""Where the throughputs of several shapes come from, each origin once and with the shapes it is of."""

from collections.abc import Iterator, Sequence

from ..estimator.estimate.estimate import Estimate

_BEYOND = "beyond"


def source_of(estimate: Estimate) -> str:
    """In a word where a shape's throughput comes from: `beyond` what was measured, or the kind of its source."""
    source = estimate.step_time.source
    return _BEYOND if source.beyond else str(source.kind)


def origins(estimates: Sequence[Estimate], names: Sequence[str]) -> Iterator[str]:
    """A line an origin, with all that was assumed on it; `names` are those of the shapes."""
    of_origin: dict[str, list[int]] = {}
    for i, e in enumerate(estimates):
        of_origin.setdefault(e.step_time.source.origin, []).append(i)
    for origin, places in of_origin.items():
        texts: dict[str, list[int]] = {}
        for i in places:
            source = estimates[i].step_time.source
            beyond = "beyond what was measured" if source.beyond else None
            for text in (beyond, *source.assumed):
                if text:
                    texts.setdefault(text, []).append(i)
        said = [
            text if len(of) == len(places) else f"{joined([names[i] for i in of])}: {text}"
            for text, of in texts.items()
        ]
        shapes = f" of {joined([names[i] for i in places])}" if len(of_origin) > 1 else ""
        yield f"throughput{shapes}: {'; '.join((origin, *said))}"


def joined(names: Sequence[str]) -> str:
    """Names as people list them.

    >>> joined(["1 GPU", "2 GPUs", "4 GPUs"])
    '1, 2 and 4 GPUs'
    """
    words = {name.partition(" ")[2].removeprefix("GPUs").removeprefix("GPU") for name in names}
    *first, last = names
    if not first:
        return last
    short = [name.partition(" ")[0] if len(words) == 1 else name for name in first]
    return f"{', '.join(short)} and {last}"
