"""Changed numbers in a command that has them as its trainer's own options, and not as placeholders.  Pure."""

from collections.abc import Collection

from ...estimator.job.job_file import keys_called
from ...estimator.job.workload import Workload
from ..command.flags import flag_value, with_flag_value

_NUMBERS = ("batch_size", "accumulation", "epochs", "max_steps")


def with_literal_values(workload: Workload, flags: Collection[str]) -> tuple[Workload, frozenset[str]]:
    """Return the job with the numbers of `flags` in its command's own options, and the flags that reach it so.

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
    options = dict.fromkeys(word.partition("=")[0] for word in command if word.startswith("--"))
    for flag in _NUMBERS:
        for option in options if flag in flags else ():
            name = option[:2] + option[2:].replace("-", "_")
            value = flag_value(command, name)
            if keys_called(option) == (f"training.{flag}",) and value and "{" not in value:
                command = with_flag_value(command, name, f"{getattr(workload.training, flag):g}")
                reached.add(flag)
    run = workload.run.model_copy(update={"command": command})
    return workload.model_copy(update={"run": run}), frozenset(reached)
