"""What a command is given of its job: the values of its placeholders, and the variables that say its shape."""

from collections.abc import Collection

from ...errors import WorkloadError
from ...estimator.job.placement import Placement
from ...estimator.job.run import RunOptions
from ...estimator.job.workload import Workload
from .placeholders import placeholder_names


def placeholder_values(
    workload: Workload, placement: Placement, steps: int | None, save_steps: int | None
) -> dict[str, object]:
    """Return the values of the placeholders that all runs of a submission share.

    `steps` are those of the run, and `save_steps` those between checkpoints where the job file does not state them; None
    is not known.
    """
    stated = workload.checkpoint.every_steps
    counts = {"max_steps": steps, "save_steps": save_steps if stated is None else stated}
    return {
        "batch_size": workload.training.batch_size,
        "accumulation": workload.training.accumulation,
        "gpus": placement.gpus,
        "nodes": placement.nodes,
        "precision": placement.precision,
        **{name: count for name, count in counts.items() if count is not None},
    }


def shape_variables(workload: Workload, placement: Placement, *, is_sized: bool = True) -> dict[str, str]:
    """Return the variables that tell a script the shape it trains in, as far as it is stated.

    A job that is not `is_sized`, whose size is not known, has a batch of 1 unless it states another.

    >>> from clusterplan.estimator.job.placement import place
    >>> job = Workload.of(samples=1, batch_size=1, gpus=2)
    >>> shape_variables(job, place(job, None), is_sized=False)
    {'CLUSTERPLAN_GPUS': '2', 'CLUSTERPLAN_NODES': '1'}
    """
    training = workload.training
    batch = {"BATCH_SIZE": training.batch_size} if is_sized or training.batch_size > 1 else {}
    states_steps = not {"accumulation", "global_batch"}.isdisjoint(training.model_fields_set)
    accumulation = {"ACCUMULATION": training.accumulation} if states_steps else {}
    shape = {**batch, **accumulation, "GPUS": placement.gpus, "NODES": placement.nodes}
    return {f"CLUSTERPLAN_{name}": str(value) for name, value in shape.items()}


def check_flags_reach(run: RunOptions, flags: Collection[str]) -> None:
    """Raise WorkloadError unless the flags that change the job file's numbers reach its command.

    >>> check_flags_reach(RunOptions(command=("python", "train.py", "{batch_size}")), ["batch_size", "gpus"])
    """
    names = placeholder_names((*run.command, *run.resume))
    carrier = {"global_batch": "accumulation", "epochs": "max_steps"}
    for flag in ("batch_size", "accumulation", "global_batch", "epochs", "max_steps"):
        name = carrier.get(flag, flag)
        if flag in flags and name not in names:
            raise WorkloadError(
                f"--{flag.replace('_', '-')}: the command has no placeholder {{{name}}}, so it would train with its own "
                "value: put the placeholder in"
            )


def check_batch_size_is_unused(run: RunOptions) -> None:
    """Raise WorkloadError if the command wants the batch size, which is not stated.

    >>> check_batch_size_is_unused(RunOptions(command=("python", "train.py")))
    """
    if "batch_size" in placeholder_names((*run.command, *run.resume)):
        raise WorkloadError("{batch_size} in the command: the batch size is not known: give --batch-size")


_WHERE_FROM = {
    "max_steps": "the length of the run is not known: give --max-steps, or --samples and --batch-size",
    "save_steps": "the steps between checkpoints are not known: set checkpoint.every_steps",
}


def check_values_are_known(run: RunOptions, values: Collection[str]) -> None:
    """Raise WorkloadError if the command wants a number of steps that is not among the `values`.

    >>> check_values_are_known(RunOptions(command=("train", "--save_steps", "{save_steps}")), ["max_steps"])
    Traceback (most recent call last):
    clusterplan.errors.WorkloadError: {save_steps} in the command: the steps between checkpoints are not known: set checkpoint.every_steps
    """
    names = placeholder_names((*run.command, *run.resume))
    for name, why in _WHERE_FROM.items():
        if name in names and name not in values:
            raise WorkloadError(f"{{{name}}} in the command: {why}")
