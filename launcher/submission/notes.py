"""A sentence on each choice of a submission that its user did not make.  Pure."""

from ...cluster_profiles.gpu_choice import describe_others
from ...cluster_profiles.units import format_duration, plural
from ...estimator.job.framework import Bootstrap
from ...estimator.job.placement import Placement
from ...estimator.job.workload import Workload
from ..command.container import Container
from ..command.launchers import pythons_before
from .destination import Destination
from .request import SlurmRequest


def bootstrap_note(
    bootstrap: Bootstrap, placement: Placement, command: tuple[str, ...], *, one_task: bool
) -> str:
    """Return who starts the processes of a node."""
    if bootstrap is Bootstrap.TORCHRUN:
        others = "".join(f"; before it, `{each}` runs once per node" for each in pythons_before(command))
        return f"torchrun starts a process for each of {plural(placement.gpus_per_node, 'GPU')} of a node{others}"
    if bootstrap is Bootstrap.PER_GPU:
        return "one task per GPU, with RANK, WORLD_SIZE, LOCAL_RANK and MASTER_ADDR set"
    if placement.gpus > 1 and not one_task:
        return "one task per node, which runs the command as it is"
    return "one task runs the command as it is"


def container_notes(container: Container | None) -> list[str]:
    """Return in which image the command runs, if it does in one."""
    if container is None:
        return []
    return [
        f"{container.runtime} runs the command in {container.image}; clusterplan itself stays outside of it"
    ]


def request_notes(request: SlurmRequest, workload: Workload, destination: Destination) -> list[str]:
    """Return what of the request was chosen by others: GPUs, options, the walltime and its warning."""
    stated = dict(workload.slurm)
    partition = destination.placement.partition if destination.on_slurm else None
    others = describe_others(partition) if partition and not workload.cluster.gpu else None
    notes = [others] if others else []
    notes += [
        f"--{name}={option.value}, as {option.source} says"
        for name, option in destination.standing_options.items()
        if name not in stated
    ]
    if request.time_min:
        notes.append(
            f"Slurm may shorten that to {request.time_min} if it can start sooner; the run goes on afterwards"
        )
    if (
        destination.limit_holder
        and request.walltime_s
        and request.walltime_s == destination.placement.limit_s
    ):
        notes.append(
            f"cut to the limit of {destination.limit_holder}, {format_duration(request.walltime_s)} per job"
        )
    walltime_s = request.walltime_s or destination.default_walltime_s
    if walltime_s and destination.on_slurm:
        whose = "its" if request.time else "the partition's"
        notes.append(
            f"{request.signal_delay_s} s before {whose} limit of {format_duration(walltime_s)} the run is told to save; "
            f"then {'it is requeued and goes on' if request.requeue else 'a new job goes on with it'}"
        )
    return notes


def limit_notes(limit_s: float | None, grace_s: float) -> list[str]:
    """Return when a run on this machine is told to end, if it has a limit."""
    if limit_s is None:
        return []
    note = (
        f"told to save and end {grace_s:g} s before its {format_duration(limit_s)} are over, counted from when it has "
        "its GPUs; nothing starts it again then"
    )
    return [note]
