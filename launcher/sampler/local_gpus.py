"""The GPUs of this machine that a run here may be given, and why there are none."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...cluster_profiles.units import plural
from ...errors import NvmlUnavailable
from . import nvml
from .visible_gpus import select_visible


@dataclass(frozen=True)
class LocalGpus:
    """The UUIDs of the whole GPUs that are visible here; `fault` says why there are none, in words of NVML if it has any.

    `is_broken`: a driver is installed, and does not start or does not open its GPUs.
    """

    uuids: tuple[str, ...] = ()
    fault: str | None = None
    is_broken: bool = False


def find_local_gpus(environment: Mapping[str, str]) -> LocalGpus:
    """Return the whole GPUs of this machine that `environment` leaves visible."""
    try:
        with nvml.open_library() as library:
            shown, failures = library.devices()
            visible = select_visible(shown, environment)[0]
    except NvmlUnavailable as error:
        what = "the NVIDIA driver does not start" if error.is_installed else "there is no NVIDIA driver"
        return LocalGpus(fault=f"{what} ({error})", is_broken=error.is_installed)
    whole = tuple(device.identity.uuid for device in visible if not device.identity.mig_parent)
    if whole:
        return LocalGpus(whole)
    if visible:
        return LocalGpus(fault="only MIG slices are visible, and a run here is given whole GPUs")
    if shown:
        hidden = environment.get("CUDA_VISIBLE_DEVICES", "")
        return LocalGpus(fault=f"CUDA_VISIBLE_DEVICES={hidden!r} hides {plural(len(shown), 'GPU')}")
    if failures:
        return LocalGpus(fault="; ".join(failure.text for failure in failures), is_broken=True)
    return LocalGpus(fault="NVML shows none")
