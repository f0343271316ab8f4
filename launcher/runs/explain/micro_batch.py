"""The micro-batch of a run and its accumulation, as its command has them, and whether a resumption can change them: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...command.flags import flag_value
from ...run_folder.records.run_facts import RunFacts, RunShape

# Of transformers.TrainingArguments (https://huggingface.co/docs/transformers/main_classes/trainer): a command with the
# first takes the second too.
HF_BATCH_SIZE, HF_ACCUMULATION = "--per_device_train_batch_size", "--gradient_accumulation_steps"


@dataclass(frozen=True)
class MicroBatch:
    """Samples per GPU and pass, and passes per step; None where the command does not take a changed number."""

    samples: int | None
    accumulation: int | None


def read_micro_batch(facts: RunFacts) -> MicroBatch:
    """Return the micro-batch of a run from the values of its run.json.

    >>> command = ["python", "train.py", "--per_device_train_batch_size", "8"]
    >>> read_micro_batch({"command": command, "shape": {"batch_size": 1, "accumulation": 1}})
    MicroBatch(samples=8, accumulation=1)
    >>> read_micro_batch({"command": ["python", "train.py"], "shape": {"batch_size": 1, "accumulation": 1}})
    MicroBatch(samples=None, accumulation=None)
    """
    command, shape = tuple(facts.get("command") or ()), facts.get("shape") or {}
    samples = _find_number(command, "batch_size", shape)
    accumulation = _find_number(command, "accumulation", shape)
    if (
        accumulation is None
        and flag_value(command, HF_BATCH_SIZE)
        and not flag_value(command, HF_ACCUMULATION)
    ):
        accumulation = 1
    return MicroBatch(samples, accumulation)


def _find_number(command: Sequence[str], key: str, shape: RunShape) -> int | None:
    """Return the number behind the option of this key, or in place of its placeholder."""
    from ....estimator.job.job_file import keys_called  # noqa: PLC0415  the models of a job, for a run out of memory

    if any(f"{{{key}}}" in word for word in command):
        return _positive(shape.get(key))
    for option in dict.fromkeys(word.partition("=")[0] for word in command if word.startswith("--")):
        value = flag_value(tuple(command), option[:2] + option[2:].replace("-", "_"))
        if keys_called(option) == (f"training.{key}",) and value:
            return _positive(value)
    return None


def _positive(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if number > 0 else None
