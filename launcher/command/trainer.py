"""Flags that make a Hugging Face Trainer save: at an interval, and when it is told to stop."""

from dataclasses import dataclass

from ...estimator.job.framework import TRAINERS, Framework
from ...estimator.job.given import Pause
from .flags import flag_value, takes_no_flags


@dataclass(frozen=True)
class AddedFlags:
    """Words for the end of a command, and the notes that say so to the user."""

    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


NO_FLAGS = AddedFlags()


def saving_flags(
    command: tuple[str, ...], framework: Framework | None, stated: Pause, steps: int | None
) -> AddedFlags:
    """Return the flags of an interval for a command that has none, which would save at Trainer's default.

    Trainer rounds shares and whole epochs itself, so they are passed on as `stated`; otherwise it gets `steps`, the
    stated interval or the best one in steps.

    >>> saving_flags(("python", "train.py"), Framework.HF, Pause(), 200).words
    ('--save_strategy', 'steps', '--save_steps', '200')
    >>> saving_flags(("python", "train.py"), Framework.HF, Pause(every_epochs=1), 3907).words
    ('--save_strategy', 'epoch')
    """
    interval = steps if stated.every_steps is None else stated.every_steps
    if framework not in TRAINERS or not interval or takes_no_flags(command):
        return NO_FLAGS
    if any(flag_value(command, flag) for flag in ("--save_steps", "--save_strategy")):
        return NO_FLAGS
    by_steps = ("--save_strategy", "steps", "--save_steps", str(interval))
    words = ("--save_strategy", "epoch") if stated.every_epochs == 1 else by_steps
    key = "every_steps" if stated.every_steps is not None else "every_epochs"
    why = f"as checkpoint.{key} says" if stated.has_interval else "the interval that loses least"
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
