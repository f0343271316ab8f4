"""Which probe to run next, and as what job: pure.

A probe is the job itself.  Its shape, its partition and its walltime differ, and it writes where no real run looks.
"""

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...cluster_profiles.profile import ClusterProfile, GpuGroup, Partition
from ...errors import InputError
from ...estimator.estimate.estimate import Estimate
from ...estimator.job.given import STATED_RATES
from ...estimator.job.placement import Placement, place
from ...estimator.job.shape import Shape
from ...estimator.job.workload import Workload
from ...estimator.measurements.measurement import Measurement
from ...estimator.memory.peak import Fit, estimate_memory
from ..command.placeholders import OUTPUT, placeholder_names
from ..command.run_name import name_of_command
from ..submission.decide import run_of

NARROW = 1.3  # P90 / P10 of a step time below which another probe is not worth its cost, as in `measure-next`
MOST_PROBE_S = 20 * 60.0  # most models are loaded within that, and 20 steps are done
LEAST_PROBE_S = 60.0  # Slurm's limits are whole minutes
_STEPS = 20  # that a probe takes, about: 10 steady ones, and the first
_STARTUP_S = 60.0  # where no run tells it; our judgement
_OUTPUT_FLAG = re.compile(
    r"--(?:output|out|save|ckpts?|checkpoints?|(?:\w+\.)*default[_-]root|output[_-]path)(?:[_-]?(?:dir|path|folder))?"
)


@dataclass(frozen=True)
class ProbePlan:
    """The next probe: its shape, the workload that has it, and the longest time that it may hold its GPUs.

    `is_elsewhere`: it is on another partition than the job, chosen for its shorter limit.  `is_of_job`: its shape is the
    job's own.
    """

    shape: Shape
    workload: Workload
    most_s: float
    is_elsewhere: bool = False
    is_of_job: bool = False


def check_calibration(workload: Workload) -> None:
    """Raise InputError if no probe of the job could be run, or none could tell anything."""
    run = run_of(workload)
    if workload.model is None:
        raise InputError(
            "the job has no model, by whose name its measurements are kept: give --model NAME, or model in the job file"
        )
    if rate := next((name for name in STATED_RATES if getattr(workload.throughput, name) is not None), None):
        raise InputError(
            f"throughput.{rate} is stated, and stands above what probes would measure: leave it out"
        )
    if OUTPUT not in placeholder_names(run.command):
        raise InputError(
            "the command has no placeholder {output}, so a probe would write where the real run resumes: "
            f"{_how_to_mend(run.command, workload.checkpoint.folder)}"
        )


def _how_to_mend(command: Sequence[str], folder: str | None) -> str:
    """Return the words that the command needs, by its own flag if it has one that names a folder.

    >>> _how_to_mend(["python", "train.py", "--output_dir", "out"], None)
    'write "--output_dir", "{output}" in place of "--output_dir", "out"'
    """
    for word, after in itertools.pairwise([*command, ""]):
        flag, equals, value = word.partition("=")
        value = value or after
        is_output = _OUTPUT_FLAG.fullmatch(flag) or folder == value
        if is_output and value and not value.startswith("-"):
            old, new = (
                (f'"{word}"', f'"{flag}={{output}}"')
                if equals
                else (f'"{word}", "{value}"', f'"{word}", "{{output}}"')
            )
            return f"write {new} in place of {old}"
    return 'add the flag of its output folder, such as "--output_dir", "{output}"'


def plan_probe(
    estimate: Estimate,
    measurements: Sequence[Measurement],
    profile: ClusterProfile | None,
    *,
    left_gpu_s: float,
    partition: str | None = None,
    without: Collection[Shape] = (),
) -> ProbePlan | None:
    """Return the probe that tells most per GPU-second; None if no shape is left, or none that the rest of the budget holds.

    `estimate` is that of the job by what is known so far, `partition` the one for probes, by default that with the
    shortest limit that fits.  Shapes in `without` are not probed again.
    """
    workload, placement = estimate.workload, estimate.placement
    from ...estimator.step_time.links import links_of_job  # noqa: PLC0415  numpy
    from ...estimator.step_time.next_run import candidate_shapes, most_informative_per_gpu_second  # noqa: PLC0415  numpy
    from ...estimator.step_time.transfer import complete_shape, select_runs  # noqa: PLC0415  numpy

    runs = select_runs(workload, measurements)
    target = complete_shape(workload, placement, runs)
    per_node = placement.partition.gpus_per_node if placement.partition else placement.gpus_per_node
    known = {*without, *(run.shape for run in runs)}
    candidates = [
        shape
        for shape in candidate_shapes([target], placement.gpus, placement.nodes, per_node)
        if shape not in known
        and shape.gpus * LEAST_PROBE_S <= left_gpu_s
        and (shape.batch_size == target.batch_size or can_change(workload, "batch_size"))
        and may_fit(workload, shape, profile, measurements)
    ]
    if not candidates:
        return None
    startup = estimate.clock.parts["startup"].seconds
    links = links_of_job(workload, placement, runs)
    startup_s = startup.p50 if startup else _STARTUP_S
    shape = most_informative_per_gpu_second(runs, candidates, target, startup_s, _STEPS, links)
    most_s = min(left_gpu_s / shape.gpus, MOST_PROBE_S)
    short = None if partition else find_short_partition(profile, placement, shape, most_s)
    where = short or ((partition, workload.cluster.gpu) if partition else None)
    probe = as_probe(workload, shape, where, estimate.steps.total)
    limit_s = place(probe, profile).limit_s
    return ProbePlan(
        shape, probe, min(most_s, limit_s or most_s), short is not None, is_shape_of_job(workload, shape)
    )


def can_change(workload: Workload, name: str) -> bool:
    """Return whether the command has the placeholder of a value, without which every probe would have the same one."""
    return name in placeholder_names(run_of(workload).command)


def is_shape_of_job(workload: Workload, shape: Shape) -> bool:
    """Return whether a probe has the GPUs and the micro-batch of the job itself."""
    training = workload.training
    return (shape.gpus, shape.batch_size) == (training.gpus, training.batch_size)


def may_fit(
    workload: Workload, shape: Shape, profile: ClusterProfile | None, measurements: Sequence[Measurement]
) -> bool:
    """Return whether a shape is not known to need more memory than its GPUs have: sharded states need many GPUs.

    That of the job itself is always tried.
    """
    if is_shape_of_job(workload, shape):
        return True
    probe = as_probe(workload, shape, None, 1)
    memory = estimate_memory(probe, place(probe, profile), measurements)
    return memory.fits is not Fit.NO and not memory.undecided


def as_probe(workload: Workload, shape: Shape, where: tuple[str, str | None] | None, steps: int) -> Workload:
    """Return the job in another shape, on the partition and GPUs `where`, which neither resumes nor restarts.

    It writes into a folder of its own, and saves at its last step if the job does not say when.
    """
    run = run_of(workload)
    partition, gpu = where or (workload.cluster.partition, workload.cluster.gpu)
    cluster = {"nodes": shape.nodes, "partition": partition, "gpu": gpu}
    training = {
        "gpus": shape.gpus,
        "batch_size": shape.batch_size,
        "accumulation": shape.accumulation,
        "global_batch": None,
        "trainer_steps": None,
    }
    checkpoint = {"folder": None} | ({} if workload.checkpoint.has_interval else {"every_steps": steps})
    return workload.model_copy(
        update={
            "name": f"{workload.name or name_of_command(run.command)}-probe",
            "cluster": workload.cluster.model_copy(update=cluster),
            "training": workload.training.model_copy(update=training),
            "checkpoint": workload.checkpoint.model_copy(update=checkpoint),
            "run": run.model_copy(update={"resume": (), "max_restarts": 0}),
        }
    )


def find_short_partition(
    profile: ClusterProfile | None, placement: Placement, shape: Shape, walltime_s: float
) -> tuple[str, str | None] | None:
    """Return the partition with the shortest limit that holds the probe, and the name by which it gives the GPUs.

    It has the job's type of GPU, and a shorter limit than the job's partition, as one for debugging has; None if there
    is none.  One whose jobs are preempted is left out, unless the job's is such a one.
    """
    own = placement.partition
    if profile is None or own is None:
        return None

    def holds(group: GpuGroup) -> bool:
        alike = group.type_name == own.type_name and group.slice == own.slice
        return alike and group.nodes >= shape.nodes and group.gpus_per_node >= shape.gpus_per_node

    shorter = [
        (partition.time_limit, partition, group)
        for partition in profile.partitions
        for group in partition.groups
        if partition.time_limit is not None
        and walltime_s <= partition.time_limit < (own.time_limit or float("inf"))
        and (own.preemptible or not partition.preemptible)
        and holds(group)
    ]
    if not shorter:
        return None
    _, partition, group = min(shorter, key=lambda each: each[0])
    return partition.name, None if is_first_group(partition, group) else group.label


def is_first_group(partition: Partition, group: GpuGroup) -> bool:
    """Return whether a job that names no GPU type gets those of this group."""
    return partition.groups[0] == group
