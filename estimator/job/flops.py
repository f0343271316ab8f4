"""Floating-point operations (FLOPs) of training, and the fastest step that they allow."""

from .placement import Placement
from .workload import Workload


def flops_per_sample(workload: Workload) -> float | None:
    """Return 6 FLOPs per parameter and token, 8 if activations are recomputed; None if either is unknown.

    FLOPs = 6 N S with N (active) parameters and S tokens per sample, after Narayanan et al. 2021 (arXiv:2104.04473) without the attention term.

    >>> flops_per_sample(Workload.of(samples=1, seq_len=2048, parameters=1e9, batch_size=1, gpus=1)) / 1e12
    12.288
    """
    parameters, seq_len = workload.architecture.flops_parameters, workload.data.seq_len
    if parameters is None or seq_len is None:
        return None
    return (8 if workload.training.recompute else 6) * float(parameters) * seq_len


def fastest_step_s(workload: Workload, placement: Placement) -> float | None:
    """Return the seconds of a step at the dense peak of its GPUs; no step is faster.  None if that is unknown."""
    flops, gpu = flops_per_sample(workload), placement.gpu
    if flops is None or gpu is None or placement.precision not in gpu.peak_flops:
        return None
    return flops * workload.training.step_samples / (placement.gpus * gpu.peak_flops[placement.precision])


def flops_text(workload: Workload) -> str:
    """Return the rule of `flops_per_sample` in words."""
    factor = 8 if workload.training.recompute else 6
    active = "active " if workload.architecture.active_parameters else ""
    return f"{factor} FLOPs per {active}parameter and token"
