"""The GPUs that belong to this job, among those that NVML shows."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from .nvml_device import Device


class Attribution(StrEnum):
    """How the GPUs of the job were found."""

    ENUMERATED = "enumerated"  # NVML shows no others: there is a cgroup, or no other job
    UUID = "uuid"  # CUDA_VISIBLE_DEVICES names them
    GUESS = "guess"  # by position, which differs between NVML, CUDA and Slurm on some nodes


def select_visible(
    devices: Sequence[Device], environment: Mapping[str, str]
) -> tuple[list[Device], Attribution]:
    """Return the job's GPUs among `devices`, by the environment of the job's step.

    UUIDs in CUDA_VISIBLE_DEVICES (Slurm >= 25.11 writes them) name the job's GPUs.  If NVML shows no more GPUs than
    Slurm gave the job, all of them are the job's.  Otherwise positions decide, which is a guess: SLURM_JOB_GPUS
    counts the GPUs of the node, CUDA_VISIBLE_DEVICES may count those of the job.
    """
    visible = _split(environment.get("CUDA_VISIBLE_DEVICES", ""))
    if "CUDA_VISIBLE_DEVICES" in environment and not any(re.match(r"GPU-|MIG-|\d", name) for name in visible):
        return [], Attribution.ENUMERATED  # empty, -1 or NoDevFiles: the job has no GPU
    if any(re.match(r"(GPU|MIG)-", name) for name in visible):
        return [d for d in devices if any(_has_uuid(d, name) for name in visible)], Attribution.UUID
    whole = [d for d in devices if d.identity.mig_parent is None]
    gpus_on_node = environment.get("SLURM_GPUS_ON_NODE", "")
    if gpus_on_node.isdecimal() and len(whole) <= int(gpus_on_node):
        return list(devices), Attribution.ENUMERATED
    positions = _split(environment.get("SLURM_JOB_GPUS", "")) or visible
    indices = {str(int(p)) for p in positions if p.isdecimal()}
    if not indices:
        return list(devices), Attribution.ENUMERATED
    owners = {d.identity.uuid for d in whole if d.identity.index in indices}
    return [d for d in devices if (d.identity.mig_parent or d.identity.uuid) in owners], Attribution.GUESS


def has_gpus(environment: Mapping[str, str]) -> bool:
    """Return whether Slurm gave GPUs to the job of this environment.

    >>> has_gpus({"SLURM_GPUS_ON_NODE": "2"}), has_gpus({"SLURM_JOB_ID": "7"})
    (True, False)
    """
    count = environment.get("SLURM_GPUS_ON_NODE", "")
    return bool(environment.get("SLURM_JOB_GPUS")) or (count.isdecimal() and int(count) > 0)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _has_uuid(device: Device, name: str) -> bool:
    # A UUID may be shortened as long as it is unique; that of a whole GPU includes its MIG instances.
    return device.identity.uuid.startswith(name) or (device.identity.mig_parent or "").startswith(name)
