"""Checks on a real NVIDIA GPU: `make gpu`.  They need pytest and pynvml; the measured rates need torch too."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from clusterplan.cluster_profiles.gpu import find_gpu
from clusterplan.cluster_profiles.precision import Precision

pytestmark = pytest.mark.gpu
SIZE = 8192  # large enough to fill a GPU: 2 x 8192^3 = 1.1 TFLOP
REPEATS = 20


@pytest.fixture(scope="module")
def device() -> Iterator[tuple[Any, Any]]:
    """NVML's handle of the first GPU."""
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        pytest.skip(f"no NVIDIA GPU here: {error}")
    yield pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
    pynvml.nvmlShutdown()


@pytest.fixture
def gpu(device: tuple[Any, Any]) -> Any:
    pynvml, handle = device
    return find_gpu(pynvml.nvmlDeviceGetName(handle))


def test_the_catalogue_has_its_compute_capability(device: tuple[Any, Any], gpu: Any) -> None:
    pynvml, handle = device
    assert tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)) == gpu.compute_capability


def test_the_catalogue_has_its_memory(device: tuple[Any, Any], gpu: Any) -> None:
    pynvml, handle = device
    total = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    print(f"{gpu.name}: NVML {total / 1e9:.1f} GB, catalogue {gpu.memory_bytes / 1e9:.1f} GB")
    assert total == pytest.approx(gpu.memory_bytes, rel=0.1)


def test_the_catalogue_has_its_power_limit(device: tuple[Any, Any], gpu: Any) -> None:
    pynvml, handle = device
    watts = pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000
    assert watts == pytest.approx(gpu.tdp_w, rel=0.1)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16])
def test_a_matrix_multiplication_stays_below_the_dense_peak(gpu: Any, precision: Any) -> None:
    torch = pytest.importorskip("torch")
    if precision not in gpu.peak_flops:
        pytest.skip(f"{gpu.name} has no native {precision}")
    torch.backends.cuda.matmul.allow_tf32 = precision is Precision.TF32
    kind = {Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}.get(precision, torch.float32)
    a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=kind) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(REPEATS):
        a @ b
    torch.cuda.synchronize()
    rate = REPEATS * 2 * SIZE**3 / (time.perf_counter() - start)
    share = rate / gpu.peak_flops[precision]
    print(f"{gpu.name} {precision}: {rate / 1e12:.0f} TFLOP/s, {share:.0%} of the dense peak")
    assert 0.4 < share < 1.02
