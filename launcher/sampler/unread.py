"""The metrics that the GPUs of a node did not give, and why: a line per fact, not per GPU.  Pure."""

from collections.abc import Iterable, Mapping

from .nvml_device import NOT_SUPPORTED, GpuIdentity


def describe_unread(gpus: Iterable[tuple[GpuIdentity, Mapping[str, str]]]) -> list[str]:
    """Return a line per reason and type of GPU, from each GPU's metrics that were not read and the reasons.

    A metric that no GPU of a type supports is no news, and not in a line.

    >>> a, b = (GpuIdentity(f"GPU-{i}", "NVIDIA L4", str(i), None, None, None) for i in range(2))
    >>> describe_unread([(a, {"sm_active": "not supported", "ring": "no permission"}), (b, {"sm_active": "not supported"})])
    ['ring: no permission on GPU 0, unlike other NVIDIA L4']
    """
    types: dict[tuple[str, bool], dict[str, Mapping[str, str]]] = {}
    for identity, reasons in gpus:
        gpu_type = identity.name, identity.mig_parent is not None
        types.setdefault(gpu_type, {})[identity.index] = reasons
    return [line for (name, _), reasons in types.items() for line in _describe_type(name, reasons)]


def _describe_type(name: str, reasons_by_gpu: Mapping[str, Mapping[str, str]]) -> list[str]:
    gpus_by_cause: dict[tuple[str, str], list[str]] = {}
    for index, reasons in reasons_by_gpu.items():
        for metric, reason in reasons.items():
            gpus_by_cause.setdefault((metric, reason), []).append(index)
    metrics: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (metric, reason), indices in gpus_by_cause.items():
        if reason != NOT_SUPPORTED or len(indices) < len(reasons_by_gpu):
            metrics.setdefault((reason, tuple(indices)), []).append(metric)
    return [
        f"{', '.join(names)}: {reason} on {_describe_gpus(name, indices, len(reasons_by_gpu))}"
        for (reason, indices), names in metrics.items()
    ]


def _describe_gpus(name: str, indices: tuple[str, ...], of_type: int) -> str:
    if len(indices) == of_type:
        return f"every {name}" if of_type > 1 else f"the {name}"
    return f"GPU {', '.join(indices)}, unlike other {name}"
