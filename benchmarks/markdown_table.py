"""Tables in Markdown, as the reports of the benchmarks print them."""

import math
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def percent(value: float) -> str:
    """Return a share as percent with one decimal."""
    return "" if math.isnan(value) else f"{100 * value:.1f}"
