"""Where an unknown option of the command line belongs: to a flag, or to a key of the job file."""

import difflib
from collections.abc import Sequence
from contextlib import suppress

from ..cluster_profiles.precision import Precision
from ..estimator.job.job_file import flag_of, keys_called

_TYPO = 0.85  # likeness, by difflib, from which an option may be a misspelling of another; our judgement


def explain_option(option: str, known: Sequence[str]) -> str:
    """Return one line on an option that does not exist; `known` are those that do.

    >>> explain_option("--zero-stage", ["--max-steps"])
    "No such option '--zero-stage': a key of the job file: training.zero_stage"
    """
    return f"No such option {option!r}{_where(option, known)}"


def _where(option: str, known: Sequence[str]) -> str:
    keys = keys_called(option)
    flags = dict.fromkeys(flag for key in keys if (flag := flag_of(key)) and flag in known)
    if flags:
        return f": the flag is {' or '.join(f'{flag}{_value(option, flag)}' for flag in flags)}"
    if keys:
        return f": {'keys' if len(keys) > 1 else 'a key'} of the job file: {' or '.join(keys)}"
    near = difflib.get_close_matches(option, known, n=1, cutoff=_TYPO)
    return f"; did you mean {near[0]!r}?" if near else ""


def _value(option: str, flag: str) -> str:
    """The value that an option such as --bf16 stands for."""
    if flag == flag_of("training.precision"):
        with suppress(ValueError):
            return f" {Precision(option.strip('-'))}"
    return ""
