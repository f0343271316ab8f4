"""What `report.py` computes with torch: the rate of a product of matrices, and the steps of a transformer."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from clusterplan.cluster_profiles.gpu import Gpu, find_gpu
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.errors import InputError
from clusterplan.estimator.job.shape import Shape

WARM_UP, LEAST_STEPS = 3, 5
SECONDS_PER_SHAPE = 8.0
DTYPES = {Precision.FP16: "float16", Precision.BF16: "bfloat16"}


@dataclass(frozen=True)
class Size:
    """The transformer, the shapes that it trains in, and the rows of the matrices whose product is timed."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int
    batch_sizes: tuple[int, int, int]
    lengths: tuple[int, int]
    matrix: int
    most_steps: int


GPT2_SMALL = Size(12, 768, 12, 50_304, (4, 8, 16), (512, 2048), 8192, 30)
TINY = Size(2, 32, 2, 64, (1, 2, 4), (16, 32), 128, 5)


@dataclass(frozen=True)
class Trained:
    """One shape that was trained: step times in seconds, memory in bytes, shares of time; None is not known.

    `allocated` and `reserved` are torch's peaks, `used` is of the whole GPU.
    """

    shape: Shape
    parameters: int
    steps_s: tuple[float, ...]
    allocated: int | None = None
    reserved: int | None = None
    used: int | None = None
    sm_active: float | None = None
    tensor_active: float | None = None


def size_of(torch: Any) -> Size:
    return GPT2_SMALL if torch.get_default_device().type == "cuda" else TINY


def catalogue_entry(device: Any) -> Gpu | None:
    try:
        return find_gpu(device.identity.name) if device else None
    except InputError:
        return None


def measure_rates(torch: Any, device: Any) -> Iterator[str]:
    """Yield the best rate of a large matrix product per precision, and its share of the catalogue's dense peak."""
    gpu, size = catalogue_entry(device), size_of(torch)
    yield f"The product of two matrices of {size.matrix:,} x {size.matrix:,}, the fastest of 20:\n"
    yield "| precision | TFLOP/s | of the dense peak |"
    yield "|---|---:|---:|"
    for precision in (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16):
        if gpu and precision not in gpu.peak_flops:
            yield f"| {precision} | not native | |"
            continue
        torch.set_float32_matmul_precision("high" if precision is Precision.TF32 else "highest")
        kind = getattr(torch, DTYPES.get(precision, "float32"))
        a, b = (torch.randn(size.matrix, size.matrix, dtype=kind) for _ in range(2))
        rate = 2 * size.matrix**3 / min(_timed(torch, a, b) for _ in range(20))
        share = f"{rate / gpu.peak_flops[precision]:.0%}" if gpu else "no peak known"
        yield f"| {precision} | {rate / 1e12:.3g} | {share} |"
    torch.set_float32_matmul_precision("highest")


def _timed(torch: Any, a: Any, b: Any) -> float:
    return timed_s(torch, lambda: a @ b)


def train_shape(torch: Any, device: Any, size: Size, shape: Shape) -> Trained:
    """Train a fresh model in one shape, after some steps to warm up."""
    on_gpu = torch.get_default_device().type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step, parameters = _model(torch, size, shape)
    for _ in range(WARM_UP):
        timed_s(torch, step)
    if device:
        device.read(0)  # shares count from here
    steps: list[float] = []
    while len(steps) < LEAST_STEPS or (sum(steps) < SECONDS_PER_SHAPE and len(steps) < size.most_steps):
        steps.append(timed_s(torch, step))
    peaks = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()) if on_gpu else (None, None)
    seen = device.read(0) if device else None
    shares = (seen.memory_used_bytes, seen.sm_active, seen.tensor_active) if seen else ()
    return Trained(shape, parameters, tuple(steps), *peaks, *shares)


def _model(torch: Any, size: Size, shape: Shape) -> tuple[Callable[[], None], int]:
    """Return an optimizer step of a new transformer on random tokens, and its parameters."""
    embedding = torch.nn.Embedding(size.vocabulary, size.hidden)
    block = torch.nn.TransformerEncoderLayer(
        size.hidden, size.heads, 4 * size.hidden, 0.0, "gelu", batch_first=True, norm_first=True
    )
    blocks = torch.nn.TransformerEncoder(block, size.layers, enable_nested_tensor=False)
    parameters = [*embedding.parameters(), *blocks.parameters()]
    optimizer = torch.optim.AdamW(parameters)
    device = torch.get_default_device().type
    half = DTYPES.get(shape.precision)
    scaler = torch.amp.GradScaler(device, enabled=half == "float16")
    tokens = torch.randint(size.vocabulary, (shape.batch_size, shape.seq_len + 1))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(shape.seq_len)

    def step() -> None:
        with torch.autocast(device, getattr(torch, half or "bfloat16"), enabled=half is not None):
            hidden = blocks(embedding(tokens[:, :-1]), mask=mask, is_causal=True)
            logits = hidden @ embedding.weight.T
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return step, sum(p.numel() for p in parameters)


def timed_s(torch: Any, work: Callable[[], object]) -> float:
    """Return the seconds until the GPU has done `work`."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
