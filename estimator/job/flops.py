"""Floating-point operations (FLOPs) of training, and the fastest step that they allow.

The conventions are those of published model FLOPs: PaLM (arXiv:2204.02311, appendix B), Narayanan et al. 2021
(arXiv:2104.04473), and the tables of llm-foundry.
"""

import math

from .placement import Placement
from .workload import Architecture, Workload

# Hidden size over layers: 64 to 160 in published language models from 1B on; Llama 2 7B has 128.  Layers x hidden
# size changes with the third root of it only.
HIDDEN_PER_LAYER = 128
# A kernel may skip the half of the attention matrix that a causal mask hides; published FLOPs count both halves.
CAUSAL_SHARE = 0.5
_CLEAR_SHARE = 0.1  # of the FLOPs, from which attention is named


def layers_and_hidden(architecture: Architecture) -> tuple[float, float] | None:
    """Return the layers and the hidden size; None if neither they nor the parameters are stated.

    What is not stated is guessed as in a transformer of  P = 12 L h^2  parameters with  h = 128 L.  P are the active
    parameters: experts make a layer larger without making it wider (Mixtral 8x7B has 32 layers of 4,096: 12.9B active
    parameters mean 40 of 5,164, the 46.7B in all 62 of 7,928).

    >>> layers, hidden = layers_and_hidden(Architecture(parameters=6_738_415_616))  # Llama 2 7B: 32 of 4,096
    >>> round(layers), round(hidden)
    (32, 4158)
    """
    parameters, layers, hidden = architecture.flops_parameters, architecture.layers, architecture.hidden
    if layers and hidden:
        return layers, hidden
    if parameters is None:
        return None
    if hidden:
        return max(parameters / (12 * hidden**2), 1.0), hidden
    depth = layers or max((parameters / (12 * HIDDEN_PER_LAYER**2)) ** (1 / 3), 1.0)
    return depth, math.sqrt(parameters / (12 * depth))


def hidden_size(architecture: Architecture) -> float | None:
    """Return the hidden size, as stated or as guessed by `layers_and_hidden`; None if neither is known."""
    size = layers_and_hidden(architecture)
    return architecture.hidden or (size[1] if size else None)


def flops_per_sample(workload: Workload) -> float | None:
    """Return the FLOPs of training on one sample, recomputation included; None if parameters or length are unknown.

    >>> flops_per_sample(Workload.of(samples=1, seq_len=2048, parameters=1e9, batch_size=1, gpus=1)) // 1e9
    14193.0
    """
    tokens = workload.data.tokens_per_sample
    return None if tokens is None else flops_per_sample_at(workload, tokens)


def flops_per_sample_at(workload: Workload, tokens: int, attention: float = 1.0) -> float | None:
    """Return the FLOPs of training on a sample of so many tokens; None if the parameters are unknown.

        S (2 N + 2 N + 2 N_trained + 12 L h S),   with recomputation  S (2 N + 4 L h S)  more,
        with selective recomputation  S (4 L h S)  more

    N are the (active) parameters, S the tokens, L the layers and h the hidden size.  A forward pass takes 2 N; gradients
    of the activations take 2 N, and pass through frozen weights too, because trained ones lie before them (adapters, a
    projector); gradients of the weights take 2 for each trained parameter.  Frozen weights before all trained ones, as
    a frozen vision tower, need the forward pass alone: they are counted too high.  The attention term counts both
    halves of a causal mask; `attention` is a factor on it.
    """
    architecture = workload.architecture
    parameters, size = architecture.flops_parameters, layers_and_hidden(architecture)
    if parameters is None or size is None:
        return None
    forward, of_attention = 2.0 * parameters, 4.0 * size[0] * size[1] * tokens * attention
    recompute = workload.training.recompute
    passes, passes_of_attention = 4 if recompute is True else 3, 4 if recompute else 3
    passes_of_all = passes - (1 - architecture.trained_share)
    return tokens * (passes_of_all * forward + passes_of_attention * of_attention)


def forward_share(workload: Workload) -> float:
    """Return the share of a forward pass in the work of training on a sample: 2 N of 6 N, or of 8 N with recomputation.

    Frozen weights have no gradients of their own: 2 N of 4 N + 2 N_trained.

    >>> round(forward_share(Workload.of(samples=1, batch_size=1, gpus=1, recompute=True)), 3)
    0.25
    """
    passes = 4 if workload.training.recompute is True else 3
    return 1 / (passes - (1 - workload.architecture.trained_share))


def without_recomputation(workload: Workload) -> Workload:
    """Return the same job with no activation recomputed; MFU counts its FLOPs (PaLM, appendix B)."""
    return workload.model_copy(update={"training": workload.training.model_copy(update={"recompute": False})})


def fastest_step_s(workload: Workload, placement: Placement) -> float | None:
    """Return the seconds of a step at the dense peak of its GPUs; no step is faster.  None if that is unknown.

    Attention counts by half: see `CAUSAL_SHARE`.
    """
    return step_s_at_peak(workload, placement, CAUSAL_SHARE)


def step_s_at_peak(workload: Workload, placement: Placement, attention: float = 1.0) -> float | None:
    """Return the seconds of a step's FLOPs at the dense peak of its GPUs; None if that is unknown."""
    tokens, gpu = workload.data.tokens_per_sample, placement.gpu
    if tokens is None or gpu is None or placement.precision not in gpu.peak_flops:
        return None
    flops = flops_per_sample_at(workload, tokens, attention)
    if flops is None:
        return None
    return flops * workload.training.step_samples / (placement.gpus * gpu.peak_flops[placement.precision])


def attention_share(workload: Workload) -> float:
    """Return the share of attention in the FLOPs; 0 if these are unknown."""
    flops, tokens = flops_per_sample(workload), workload.data.tokens_per_sample
    if flops is None or tokens is None:
        return 0.0
    return 1 - (flops_per_sample_at(workload, tokens, 0.0) or 0.0) / flops


def flops_text(workload: Workload, least_share: float = _CLEAR_SHARE) -> str:
    """Return the rule of `flops_per_sample` in words; attention is named from `least_share` of the FLOPs on."""
    architecture = workload.architecture
    recomputed = 2 if workload.training.recompute is True else 0
    active = "active " if architecture.active_parameters else ""
    if architecture.trained_share == 1:
        rule = f"{6 + recomputed} FLOPs per {active}parameter and token"
    else:
        rule = f"{4 + recomputed} FLOPs per {active}parameter and token, 2 more per trained one"
    attention = attention_text(workload, least_share)
    return f"{rule}, {attention}" if attention else rule


def attention_text(workload: Workload, least_share: float = _CLEAR_SHARE) -> str:
    """Return the share of attention in the FLOPs in words; empty where it is below `least_share`."""
    share, size = attention_share(workload), layers_and_hidden(workload.architecture)
    if size is None or share < least_share:
        return ""
    architecture = workload.architecture
    origin = "" if architecture.layers and architecture.hidden else ", guessed from the parameters"
    return f"attention {share:.0%} of all FLOPs ({size[0]:.0f} layers of {size[1]:,.0f}{origin})"
