"""Which of the GPUs that NVML shows belong to this job."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from .nvml_device import Device


class Attribution(StrEnum):
    """How sure it is that the sampled GPUs are the job's."""

    ENUMERATED = "enumerated"  # NVML shows no others: a cgroup, or a machine of one's own
    UUID = "uuid"  # CUDA_VISIBLE_DEVICES names them
    GUESS = "guess"  # by position, which differs between NVML, CUDA and Slurm on some nodes


def select_visible(
    devices: Sequence[Device], environment: Mapping[str, str]
) -> tuple[list[Device], Attribution]:
    """The job's GPUs among `devices`, by the environment of the job's step.

    UUIDs in CUDA_VISIBLE_DEVICES (Slurm >= 25.11 writes them) are taken as they are.  Where NVML shows only as
    many GPUs as Slurm gave, they are ours.  Otherwise positions have to do, and that is said: SLURM_JOB_GPUS is
    the node's numbering, CUDA_VISIBLE_DEVICES may be the job's.
    """
    named = _listed(environment.get("CUDA_VISIBLE_DEVICES", ""))
    if "CUDA_VISIBLE_DEVICES" in environment and not any(re.match(r"GPU-|MIG-|\d", name) for name in named):
        return [], Attribution.ENUMERATED  # empty, -1 or NoDevFiles: the job has no GPU
    if any(re.match(r"(GPU|MIG)-", name) for name in named):
        chosen = [d for d in devices if any(_is_named(d, name) for name in named)]
        return chosen, Attribution.UUID
    whole = [d for d in devices if d.identity.mig_parent is None]
    given = environment.get("SLURM_GPUS_ON_NODE", "")
    if given.isdecimal() and len(whole) <= int(given):
        return list(devices), Attribution.ENUMERATED
    positions = _listed(environment.get("SLURM_JOB_GPUS", "") or environment.get("CUDA_VISIBLE_DEVICES", ""))
    wanted = {int(p) for p in positions if p.isdecimal()}
    if not wanted:
        return list(devices), Attribution.ENUMERATED
    owners = {d.identity.uuid for d in whole if d.identity.index in wanted}
    return [d for d in devices if (d.identity.mig_parent or d.identity.uuid) in owners], Attribution.GUESS


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_named(device: Device, name: str) -> bool:
    # A UUID may be shortened as long as it is unique; a whole GPU's name takes in its MIG slices.
    return device.identity.uuid.startswith(name) or (device.identity.mig_parent or "").startswith(name)
