"""Flags that make a Hugging Face Trainer save: at an interval, and when it is told to stop."""

from dataclasses import dataclass

from ...estimator.job.framework import TRAINERS, Framework
from .flags import flag_value, takes_no_flags


@dataclass(frozen=True)
class AddedFlags:
    """Words for the end of a command, and the notes that say so to the user."""

    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


NO_FLAGS = AddedFlags()


def saving_flags(
    command: tuple[str, ...], framework: Framework | None, every_steps: int | None, best_steps: int | None
) -> AddedFlags:
    """Return the flags of an interval for a command that has none, which would save at Trainer's default.

    It is `every_steps` of the job file (0: never), else `best_steps`, the one that loses least.

    >>> saving_flags(("python", "train.py"), Framework.HF, None, 200).words
    ('--save_strategy', 'steps', '--save_steps', '200')
    """
    steps = best_steps if every_steps is None else every_steps
    if framework not in TRAINERS or not steps or takes_no_flags(command):
        return NO_FLAGS
    if any(flag_value(command, flag) for flag in ("--save_steps", "--save_strategy")):
        return NO_FLAGS
    words = ("--save_strategy", "steps", "--save_steps", str(steps))
    why = "the interval that loses least" if every_steps is None else "as checkpoint.every_steps says"
    return AddedFlags(words, (f"checkpoints: {' '.join(words)} added, {why}",))


def stopping_flags(command: tuple[str, ...], framework: Framework | None) -> AddedFlags:
    """Return the flag with which a Trainer keeps the steps since its last checkpoint when it is told to stop.

    >>> stopping_flags(("python", "train.py"), Framework.HF).words
    ('--enable_jit_checkpoint',)
    """
    flag = "--enable_jit_checkpoint"
    if framework not in TRAINERS or takes_no_flags(command) or flag_value(command, flag) is not None:
        return NO_FLAGS
    return AddedFlags((flag,), (f"saving when it is stopped: {flag} added",))
