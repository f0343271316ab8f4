"""Made-up training whose step time is known in closed form: not the formula of clusterplan's step model.

A micro-batch of x tokens on one GPU takes

    compute    F x / (peak u x / (x + h)) w      F FLOPs per token, attention counted; u the rate that large matrices
                                                 reach, h the tokens at which half of it is reached
               w = ceil(v) / v                   the last wave of thread blocks is not full; v = x / 512 waves
    launch     LAYERS l                          the host starts kernels, beside the GPU: the longer of both counts

Two thirds of it are the backward pass, behind which gradients are exchanged: a ring of g GPUs in a node, then one of n
nodes over the network cards, each in buckets of 25 MB with a latency; ZeRO 3 gathers the weights too, in every
micro-batch.  A part of that is never hidden.  The optimizer reads and writes its share of the states.  All GPUs wait for
the slowest.  A loader reads ahead, as fast as its node can.

    step = max(read, (compute of all micro-batches + exposed exchange + optimizer) straggling)

Each run draws its own factor, and one for its network where it has several nodes: other jobs share that.
"""

import math
import random
from dataclasses import dataclass

PEAK_FLOPS = {"a100-sxm4-80gb": 312e12, "h100-sxm": 989e12}  # bf16, dense
MEMORY_BYTES_PER_S = {"a100-sxm4-80gb": 2.0e12, "h100-sxm": 3.35e12}
_BUCKET_BYTES = 25e6  # of DistributedDataParallel
_WAVE_TOKENS = 512


@dataclass(frozen=True)
class Site:
    """A cluster with its software: rates in bytes/s, times in seconds, spreads as deviations of a logarithm.

    `repeat_sd` is as in series published by csc.fi and with Sia (SOSP 2023), 0.2 to 7 %.  `reading_per_node` is in
    samples/s, None where the loader always keeps up.
    """

    gpu: str
    best_rate: float  # of the peak
    half_rate_tokens: float
    launch_s: float  # of a layer, forward and backward
    in_node: float  # of a GPU
    between_nodes: float  # of a node's card for each of its GPUs
    latency_s: float
    exposed: float  # share of the exchange that no work hides
    straggling: float
    repeat_sd: float
    network_sd: float
    startup_s: float
    startup_sd: float
    save_bytes_per_s: float
    reading_per_node: float | None


@dataclass(frozen=True)
class Network:
    """A model that is trained: its parameters, layers and hidden size, tokens per sample, and ZeRO stage."""

    parameters: float
    layers: int
    hidden: int
    seq_len: int
    zero_stage: int


@dataclass(frozen=True)
class Layout:
    """GPUs on nodes, samples per micro-batch, micro-batches per step."""

    gpus: int
    nodes: int
    batch_size: int
    accumulation: int = 1


def draw_site(rng: random.Random) -> Site:
    """Return a site as there are many: kernels, links, loaders and neighbours differ."""
    gpu = rng.choice(list(PEAK_FLOPS))
    link, card = (300e9, 25e9) if gpu.startswith("a100") else (450e9, 50e9)
    return Site(
        gpu=gpu,
        best_rate=rng.uniform(0.4, 0.75),
        half_rate_tokens=math.exp(rng.uniform(math.log(100), math.log(2000))),
        launch_s=math.exp(rng.uniform(math.log(0.2e-3), math.log(2e-3))),
        in_node=link * rng.uniform(0.5, 0.9),
        between_nodes=card * rng.uniform(0.3, 0.9),
        latency_s=math.exp(rng.uniform(math.log(20e-6), math.log(200e-6))),
        exposed=rng.uniform(0.05, 0.3),
        straggling=rng.uniform(0.0, 0.01),
        repeat_sd=math.exp(rng.uniform(math.log(0.002), math.log(0.07))),
        network_sd=rng.uniform(0.02, 0.15),
        startup_s=math.exp(rng.uniform(math.log(25), math.log(250))),
        startup_sd=rng.uniform(0.05, 0.3),
        save_bytes_per_s=math.exp(rng.uniform(math.log(0.3e9), math.log(4e9))),
        reading_per_node=None if rng.random() < 0.85 else math.exp(rng.uniform(math.log(20), math.log(500))),
    )


def draw_network(rng: random.Random) -> Network:
    """Return a transformer of 0.1B to 7B parameters."""
    parameters = math.exp(rng.uniform(math.log(0.1e9), math.log(7e9)))
    layers = max(12, round(12 * (parameters / 0.1e9) ** 0.25))
    hidden = round(math.sqrt(parameters / (12 * layers)) / 64) * 64
    return Network(
        parameters,
        layers,
        hidden,
        rng.choice((512, 1024, 2048, 4096)),
        3 if parameters > 1.5e9 else rng.choice((0, 1, 2)),
    )


def compute_s(site: Site, network: Network, layout: Layout) -> float:
    """Return the seconds of one micro-batch on one GPU, without any exchange."""
    tokens = layout.batch_size * network.seq_len
    per_token = 6 * network.parameters + 6 * network.layers * network.hidden * network.seq_len
    rate = PEAK_FLOPS[site.gpu] * site.best_rate * tokens / (tokens + site.half_rate_tokens)
    waves = tokens / _WAVE_TOKENS
    return max(per_token * tokens / rate * math.ceil(waves) / waves, network.layers * site.launch_s)


def exchange_s(site: Site, network: Network, layout: Layout, slower: float = 1.0) -> float:
    """Return the seconds of one exchange of all gradients; `slower` is the factor of its network between nodes."""
    in_node, nodes, size = layout.gpus // layout.nodes, layout.nodes, 2 * network.parameters
    buckets = math.ceil(size / _BUCKET_BYTES)
    seconds = 2 * (in_node - 1) / in_node * size / site.in_node
    if in_node > 1:
        seconds += buckets * site.latency_s
    if nodes > 1:
        share = size / in_node
        seconds += (
            2 * (nodes - 1) / nodes * share / site.between_nodes + buckets * site.latency_s * math.log2(nodes)
        ) * slower
    return seconds


def step_s(site: Site, network: Network, layout: Layout, slower: float = 1.0) -> float:
    """Return the seconds of a step."""
    return max(_work_s(site, network, layout, slower), _read_s(site, layout))


def waits_s(site: Site, network: Network, layout: Layout, slower: float = 1.0) -> float:
    """Return the seconds of a step that wait for input."""
    return max(_read_s(site, layout) - _work_s(site, network, layout, slower), 0.0)


def _read_s(site: Site, layout: Layout) -> float:
    samples = layout.batch_size * layout.accumulation * layout.gpus / layout.nodes
    return samples / site.reading_per_node if site.reading_per_node else 0.0


def _work_s(site: Site, network: Network, layout: Layout, slower: float) -> float:
    micro_s = compute_s(site, network, layout)
    exchange = exchange_s(site, network, layout, slower)
    gathers = exchange * 0.5 if network.zero_stage == 3 else 0.0  # of the weights: half a ring, in each pass
    each_s = micro_s + max(2 * gathers - micro_s, site.exposed * 2 * gathers)
    last_s = max(exchange - micro_s * 2 / 3, site.exposed * exchange)
    states = 16 * network.parameters / (layout.gpus if network.zero_stage else 1)
    optimizer_s = 2 * states / MEMORY_BYTES_PER_S[site.gpu]
    slowest = 1 + site.straggling * math.sqrt(2 * math.log(max(layout.gpus, 1)))
    return (each_s * layout.accumulation + last_s + optimizer_s) * slowest


@dataclass(frozen=True)
class RunFactors:
    """What one run draws: the factor of its speed, of its network, and of its startup."""

    speed: float
    network: float
    startup: float


def draw_factors(site: Site, rng: random.Random) -> RunFactors:
    """Return the factors of a run."""
    return RunFactors(
        math.exp(rng.gauss(0, site.repeat_sd)),
        math.exp(rng.gauss(0, site.network_sd)),
        math.exp(rng.gauss(0, site.startup_sd)),
    )


def run_step_s(site: Site, network: Network, layout: Layout, factors: RunFactors) -> float:
    """Return the mean seconds of a step of one run."""
    return step_s(site, network, layout, factors.network) * factors.speed
