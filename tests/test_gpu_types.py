"""GPU types that the catalogue lacks, or that have several entries in it: a rate or a run is enough for an estimate."""

import json
from pathlib import Path

import pytest
from conftest import Command

from clusterplan import Measurement, Precision
from clusterplan.cluster_profiles.gpu import gpu_type, match_gpus, may_be_same_gpu, nearest_gpus
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.errors import WorkloadError
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.job.workload import Workload

# LLaVA-1.5's pretraining data (README of haotian-liu/LLaVA); at 58 samples/s its 2,181 steps of 256 take 2h 40m.
LLAVA = {"samples": 558_128, "batch_size": 32, "gpus": 8}
MY_GPU = ClusterProfile.model_validate(
    {"name": "mine", "partitions": [{"name": "gpu", "nodes": 4, "gpus_per_node": 8, "gpu": "mygpu"}]}
)


def run(gpu: str) -> Measurement:
    return Measurement(
        model="llava",
        gpu=gpu,
        nodes=1,
        gpus=8,
        gpus_per_node=8,
        batch_size=32,
        precision=Precision.BF16,
        step_time_s=4.41,
        accumulation=1,
        seq_len=None,
    )


@pytest.mark.parametrize("gpu", ["a800", "mygpu", "RTX 9999", "3080", "a100"])
def test_with_a_rate_any_gpu_type_is_answered(in_process: Command, gpu: str) -> None:
    flags = "--samples 558128 --batch-size 32 --gpus 8 --samples-per-s 58 --json"
    answer = json.loads(in_process("estimate", *flags.split(), "--gpu", gpu).stdout)
    assert answer["wall_clock_parts_s"]["training"]["p50"] == pytest.approx(2 * 3600 + 40 * 60, rel=0.01)
    assert answer["shape"]["gpu"] == gpu
    said = next(w["text"] for w in answer["warnings"] if w["code"] == "gpu-unknown")
    assert said.startswith(f"GPU '{gpu}' ")


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ("a900", "GPU 'a900' is not in the catalogue: give a rate measured on it, such as --samples-per-s"),
        ("a100-smx4-80gb", "GPU 'a100-smx4-80gb' is not in the catalogue: give a100-sxm4-80gb, or a rate"),
        ("a100", "GPU 'a100' is ambiguous: give one of a100-sxm4-40gb, a100-sxm4-80gb"),
        ("8", "GPU '8' is a number; the number of GPUs is --gpus: give a type"),
    ],
)
def test_without_a_rate_the_line_says_what_makes_it_run(in_process: Command, gpu: str, said: str) -> None:
    flags = "--samples 558128 --batch-size 32 --gpus 8"
    done = in_process("estimate", *flags.split(), "--gpu", gpu)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("a100-smx4-80gb", ["a100-sxm4-80gb"]),
        ("A100_SXM4_80GP", ["a100-sxm4-80gb"]),
        ("h100-sxm5", ["h100-sxm"]),
        ("nvidia_geforce_rtx_4080", []),  # one digit from the 4090, and another GPU
        ("a900", []),
        ("a1000", []),
        ("tpu", []),
        ("b20", []),
    ],
)
def test_only_a_name_that_is_misspelt_or_cut_is_near(name: str, nearest: list[str]) -> None:
    assert nearest_gpus(name) == nearest


def test_names_of_one_type_are_the_same_in_any_spelling() -> None:
    assert may_be_same_gpu("NVIDIA RTX A5000", "rtx_a5000")
    assert may_be_same_gpu("a100", "a100-sxm4-80gb")
    assert not may_be_same_gpu("a100-sxm4-40gb", "a100-sxm4-80gb")
    assert gpu_type("NVIDIA H200") == "h200"


@pytest.mark.parametrize("name", ["mygpu", "MyGPU", "NVIDIA mygpu"])
def test_a_run_on_a_gpu_of_that_name_is_enough(name: str) -> None:
    answer = estimate_workload(Workload.of(**LLAVA, model="llava", gpu="mygpu"), None, [run(name)])
    assert answer.step_time.seconds
    assert answer.step_time.seconds.p50 == pytest.approx(4.41, rel=0.01)
    assert answer.memory.fits is None


def test_a_run_on_another_gpu_is_not_enough() -> None:
    with pytest.raises(WorkloadError, match="GPU 'mygpu' is not in the catalogue"):
        estimate_workload(Workload.of(**LLAVA, model="llava", gpu="mygpu"), None, [run("h100-sxm")])


def test_a_rate_of_another_gpu_does_not_hold_on_it() -> None:
    values = {"data": {"samples": 100}, "training": {"batch_size": 1, "gpus": 8}, "cluster": {"gpu": "mygpu"}}
    job = Workload.model_validate(values | {"throughput": {"samples_per_s": 5, "gpu": "h100-sxm"}})
    answer = estimate_workload(job)
    assert answer.step_time.seconds is None
    assert "given on h100-sxm; that does not tell the speed of mygpu" in answer.step_time.source.text


def test_a_profile_may_have_a_gpu_that_the_catalogue_lacks() -> None:
    placed = estimate_workload(Workload.of(**LLAVA, samples_per_s=58), MY_GPU).placement
    assert (placed.gpu_type, placed.gpu) == ("mygpu", None)
    named = estimate_workload(Workload.of(**LLAVA, gpu="MyGPU"), MY_GPU)
    assert named.placement.gpu_type == "mygpu"
    assert named.step_time.seconds is None  # the cluster has it, so steps are answered without a rate
    with pytest.raises(WorkloadError, match="mine: no partition has GPU 'a100': give mygpu"):
        estimate_workload(Workload.of(**LLAVA, gpu="a100"), MY_GPU)


def test_slurms_name_for_a_gpu_that_the_catalogue_lacks_chooses_its_partition() -> None:
    partitions = [
        {"name": name, "nodes": 4, "gpus_per_node": 8, "gres": gres}
        for name, gres in (("new", "h100"), ("odd", "rtx_9999"))
    ]
    profile = ClusterProfile.model_validate({"name": "two", "partitions": partitions})
    placed = estimate_workload(Workload.of(**LLAVA, gpu="rtx-9999"), profile).placement
    assert placed.partition
    assert placed.partition.name == "odd"


def test_such_a_profile_can_be_checked_and_submitted_to(in_process: Command, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    partition = '[[partitions]]\nname = "gpu"\nnodes = 4\ngpus_per_node = 8\ngpu = "mygpu"\ngres = "mygpu"\n'
    profile.write_text(f'name = "mine"\n{partition}', encoding="utf-8")
    assert in_process("profiles", "check", profile).returncode == 0
    flags = f"--profile {profile} --gpus 8 --executor slurm --dry-run --time 1h -- true"
    shown = in_process("submit", *flags.split())
    assert shown.returncode == 0, shown.stderr
    assert "#SBATCH --gpus-per-node=mygpu:8" in shown.stdout


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        # "8*A100 40G": https://github.com/haotian-liu/LLaVA/issues/594
        ("A100-80G", {"a100-sxm4-80gb", "a100-pcie-80gb"}),
        ("A800 80G", {"a800-sxm4-80gb", "a800-pcie-80gb"}),
        ("H100 SXM5", {"h100-sxm"}),
        ("A10G", {"a10g"}),
        ("L40", {"l40"}),  # with half the rates of an L40S
    ],
)
def test_a_gpu_is_known_as_people_write_it(name: str, keys: set[str]) -> None:
    assert {gpu.key for gpu in match_gpus(name)} == keys
