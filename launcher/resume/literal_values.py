"""Changed numbers in a command that has them as its trainer's own options, and not as placeholders.  Pure."""

from collections.abc import Collection

from ...estimator.job.job_file import keys_called
from ...estimator.job.workload import Workload
from ..command.flags import flag_value, option_words, with_flag_value
from ..command.placeholders import placeholder_names
from ..command.processes.program import with_arguments
from ..runs.explain.micro_batch import HF_ACCUMULATION, HF_BATCH_SIZE

_NUMBERS = ("batch_size", "accumulation", "epochs", "max_steps")


def with_literal_values(workload: Workload, flags: Collection[str]) -> tuple[Workload, frozenset[str]]:
    """Return the job with the numbers of `flags` in its command's own options, and the flags that reach it so.

    An accumulation is added to a command of a Hugging Face Trainer that states none.

    >>> job = {"data": {"samples": 9}, "training": {"batch_size": 4, "gpus": 1}}
    >>> words = ["python", "train.py", "--per_device_train_batch_size", "8"]
    >>> changed, reached = with_literal_values(
    ...     Workload.model_validate({**job, "run": {"command": words}}), ["batch_size"]
    ... )
    >>> changed.run.command[-1], sorted(reached)
    ('4', ['batch_size'])
    """
    if workload.run is None:
        return workload, frozenset()
    command, reached = workload.run.command, set[str]()
    words = option_words(command)
    options = dict.fromkeys(word.partition("=")[0] for word in words if word.startswith("--"))
    for flag in _NUMBERS:
        for option in options if flag in flags else ():
            name = option[:2] + option[2:].replace("-", "_")
            value = flag_value(command, name)
            if keys_called(option) == (f"training.{flag}",) and value and "{" not in value:
                command = with_flag_value(command, name, f"{getattr(workload.training, flag):g}")
                reached.add(flag)
    if "accumulation" in flags and "accumulation" not in reached and _takes_accumulation(command):
        command = with_arguments(command, (HF_ACCUMULATION, f"{workload.training.accumulation}"))
        reached.add("accumulation")
    run = workload.run.model_copy(update={"command": command})
    return workload.model_copy(update={"run": run}), frozenset(reached)


def _takes_accumulation(command: tuple[str, ...]) -> bool:
    """Return whether a command without an accumulation takes one: it has a Hugging Face Trainer's own option."""
    return bool(flag_value(command, HF_BATCH_SIZE)) and "accumulation" not in placeholder_names(command)
