"""The GPU catalogue: every number has a source, and the numbers agree with each other."""

import tomllib
from importlib import resources
from typing import Any

import pytest

from clusterplan.cluster_profiles.gpu import find_gpu, read_gpus
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.errors import InputError

RAW = tomllib.loads(
    resources.files("clusterplan.cluster_profiles").joinpath("gpus.toml").read_text(encoding="utf-8")
)
# GPUs that many clusters have: none of them may leave the catalogue.  A new GPU need not be listed here.
COMMON_GPUS = """p100-pcie-16gb v100-sxm2-16gb v100-sxm2-32gb t4 a10 a10g a30 a40 a100-sxm4-40gb a100-sxm4-80gb l4 l40s
rtx-2080-ti rtx-3090 rtx-4090 rtx-5090 quadro-rtx-6000 rtx-a6000 rtx-6000-ada h100-pcie h100-sxm h100-nvl h200 b200
a800-sxm4-80gb a800-pcie-80gb h800-sxm h800-pcie h20 gh200-96gb gh200-144gb b300 gb200 mi250x mi300x""".split()


@pytest.mark.parametrize("key", RAW["gpus"])
def test_every_number_has_a_source_or_says_unverified(key: Any) -> None:
    for field, value in RAW["gpus"][key].items():
        if field not in {"name", "nvml", "slurm"}:
            assert value[1] == "unverified" or RAW["sources"][value[1]].startswith("https://"), field


def test_no_source_is_idle() -> None:
    used = {
        pair[1]
        for gpu in RAW["gpus"].values()
        for pair in gpu.values()
        if isinstance(pair, list) and len(pair) == 2
    }
    assert set(RAW["sources"]) <= used


def test_the_gpus_people_have_are_there() -> None:
    assert set(COMMON_GPUS) <= set(read_gpus())


@pytest.mark.parametrize("gpu", read_gpus().values(), ids=lambda gpu: gpu.key)
def test_precisions_follow_the_architecture(gpu: Any) -> None:
    native = set(gpu.peak_flops)
    assert Precision.FP32 in native
    if gpu.compute_capability is None:  # AMD CDNA, from the second generation on
        assert {Precision.BF16, Precision.FP16} <= native
        return
    assert (Precision.BF16 in native) == (gpu.compute_capability >= (8, 0))
    assert (Precision.TF32 in native) == (gpu.compute_capability >= (8, 0))
    assert (Precision.FP8 in native) == (gpu.compute_capability >= (8, 9))


@pytest.mark.parametrize("gpu", read_gpus().values(), ids=lambda gpu: gpu.key)
def test_auto_is_bf16_wherever_it_is_native(gpu: Any) -> None:
    assert (gpu.best_precision() is Precision.BF16) == (Precision.BF16 in gpu.peak_flops)


@pytest.mark.parametrize(
    ("key", "precision", "dense"),
    [
        ("a100-sxm4-80gb", "bf16", 312),  # 624 sparse
        ("h100-sxm", "fp8", 1979),  # 3,958 sparse
        ("b200", "bf16", 2250),  # 4,500 sparse
        ("l4", "fp16", 121),  # 242 sparse
        ("a10g", "fp16", 70),  # the A10's 125 is another card's
        ("rtx-4090", "bf16", 165.2),  # 330.3 with fp16 accumulation
        ("rtx-3090", "fp16", 71),  # 142 with fp16 accumulation
        ("rtx-5090", "bf16", 209.5),  # 419 with fp16 accumulation
        ("h20", "bf16", 148),  # the H100's chip, cut to 15 %
        ("h800-sxm", "bf16", 989),  # the H100 with slower NVLink
        ("gb200", "bf16", 2500),  # one of the two GPUs of a superchip, which has 5,000
        ("mi250x", "bf16", 191.5),  # one of the two dies of a module, which has 383
        ("mi300x", "fp8", 2614.9),  # 5,229.8 sparse
    ],
)
def test_peaks_are_dense_with_fp32_accumulation(key: str, precision: str, dense: float) -> None:
    assert read_gpus()[key].peak_flops[Precision(precision)] / 1e12 == pytest.approx(dense, rel=0.01)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("h200", "h200"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Tesla T4", "t4"),
        ("L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Quadro RTX 6000", "quadro-rtx-6000"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA A800-SXM4-80GB", "a800-sxm4-80gb"),
        ("NVIDIA A800 80GB PCIe", "a800-pcie-80gb"),
        ("NVIDIA H800", "h800-sxm"),
        ("NVIDIA H20", "h20"),
        ("h20", "h20"),
        ("NVIDIA GH200 480GB", "gh200-96gb"),  # 480 GB are the CPU's
        ("NVIDIA GH200 144G HBM3e", "gh200-144gb"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA GB200", "gb200"),
        ("AMD Instinct MI250X", "mi250x"),
        ("mi300x", "mi300x"),
    ],
)
def test_a_gpu_is_found_by_the_names_people_nvml_and_slurm_use(name: str, key: str) -> None:
    assert find_gpu(name).key == key


def test_a_name_of_several_gpus_lists_them() -> None:
    with pytest.raises(InputError, match="ambiguous: give one of a100-sxm4-40gb, a100-sxm4-80gb"):
        find_gpu("a100")


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="'a900' is not in the catalogue"):
        find_gpu("a900")
