"""The query of an address, as values; a wrong one is an error that names it."""

from collections.abc import Sequence
from dataclasses import fields
from urllib.parse import parse_qsl

from ...api.history.runs import parse_moment_s
from ...errors import InputError
from ...estimator.history.browse.browser import SORTS, RunFilter

_MOST_FIELDS = 100
_LONGEST = 500  # characters of a value
_FILTERS = tuple(
    f.name for f in fields(RunFilter) if f.name not in {"since_s", "until_s", "sort", "descending"}
)
RUN_KEYS = (*_FILTERS, "since", "until", "sort", "order")


class Query(dict[str, str]):
    """The keys of a query, each with its last value; empty ones are left out, as a form sends them."""

    def __init__(self, text: str) -> None:
        try:
            pairs = parse_qsl(text, max_num_fields=_MOST_FIELDS, keep_blank_values=False, errors="strict")
        except ValueError:
            raise InputError(
                f"the query is no text of UTF-8, or has more than {_MOST_FIELDS} fields"
            ) from None
        super().__init__(pairs)
        for key, value in self.items():
            if len(value) > _LONGEST:
                raise InputError(
                    f"{key[:40]!r}: {len(value):,} characters are too many; {_LONGEST} are allowed"
                )

    def check_keys(self, known: Sequence[str]) -> None:
        """Raise InputError for a key that is not known."""
        for key in self:
            if key not in known:
                raise InputError(f"{key[:80]!r} is no key here; the keys are {', '.join(known)}")

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """Return a whole number.  Raises InputError if it is none, or not within these."""
        text = self.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):  # noqa: PLR2004  digits
            raise InputError(f"{key}: {text[:40]!r} is no whole number from {least:,} to {most:,}")
        return int(text)

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """Return one of some words.  Raises InputError for another one."""
        word = self.get(key, default)
        if word not in choices:
            raise InputError(f"{key}: {word[:40]!r} is none of {', '.join(choices)}")
        return word

    def run_filter(self) -> RunFilter:
        """Return which runs are asked for.  Raises InputError."""
        since, until = self.get("since"), self.get("until")
        return RunFilter(
            **{name: self.get(name) for name in _FILTERS},
            since_s=None if since is None else parse_moment_s("since", since),
            until_s=None if until is None else parse_moment_s("until", until),
            sort=self.choice("sort", "began", tuple(SORTS)),
            descending=self.choice("order", "desc", ("asc", "desc")) == "desc",
        )
