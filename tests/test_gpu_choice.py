"""Which GPUs of a partition with several types a job gets: by name, or whole ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan import Precision
from clusterplan.cluster_profiles.gpu_choice import describe_others
from clusterplan.cluster_profiles.mig import parse_slice
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.errors import WorkloadError
from clusterplan.estimator.job.placement import Placement, place
from clusterplan.estimator.job.workload import Workload
from clusterplan.launcher.slurm.cluster import Cluster
from clusterplan.launcher.slurm.nodes import parse_nodes, parse_partitions, parse_settings
from clusterplan.launcher.submission.fit.check import check_on_cluster
from clusterplan.launcher.submission.request import SlurmRequest
from clusterplan.render.profiles import profile_as_toml

H100, SLICE, L40S = "nvidia_h100_80gb_hbm3", "nvidia_h100_80gb_hbm3_1g.10gb", "nvidia_l40s"


def profile(*partitions: dict[str, Any]) -> ClusterProfile:
    return ClusterProfile.model_validate({"name": "site", "partitions": list(partitions)})


def group(gres: str, nodes: int = 1, per_node: int = 2, **more: Any) -> dict[str, Any]:
    return {"gres": gres, "nodes": nodes, "gpus_per_node": per_node, **more}


# A node of slices beside whole GPUs, as https://github.com/NVIDIA/mig-parted/issues/31 makes them.
MIXED = profile({"name": "mixed", **group(H100), "other_gpus": [group(L40S), group(SLICE, per_node=4)]})
SLICES = profile({"name": "mig", **group("a100_3g.20gb"), "other_gpus": [group("1g.5gb")]})


def placed(where: ClusterProfile, gpu: str | None, gpus: int = 1, **more: Any) -> Placement:
    return place(Workload.of(samples=1, batch_size=1, gpus=gpus, gpu=gpu, **more), where)


@pytest.mark.parametrize(
    ("gpu", "gres"),
    [
        (None, H100),
        ("nvidia_h100_80gb_hbm3", H100),  # https://github.com/aws/aws-parallelcluster/issues/5880
        ("NVIDIA_H100_80GB_HBM3", H100),
        ("h100-sxm", H100),
        ("h100", H100),
        ("NVIDIA H100 80GB HBM3", H100),
        ("L40S", L40S),
        (SLICE, SLICE),
        (SLICE.upper(), SLICE),
        ("1g.10gb", SLICE),
        ("h100_1g.10gb", SLICE),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", SLICE),
    ],
)
def test_each_name_gets_its_type(gpu: str | None, gres: str) -> None:
    partition = placed(MIXED, gpu).partition
    assert partition
    assert partition.gres == gres


def test_without_a_name_a_whole_type_with_room_is_taken() -> None:
    roomy = profile({"name": "p", **group(H100), "other_gpus": [group("a100", nodes=4, per_node=8)]})
    partition = placed(roomy, None, 16).partition
    assert partition
    assert (partition.gres, partition.gpus_per_node) == ("a100", 8)
    assert describe_others(partition) == (
        f"partition 'p' has several types of GPUs, and a100 is taken: add --gpu {H100} for another"
    )


@pytest.mark.parametrize(
    ("where", "gpu", "gpus", "said"),
    [
        (
            MIXED,
            L40S,
            4,
            "2 nodes for 4 GPUs are more than partition 'mixed' has: 1 node of 2 nvidia_l40s, 2 in all",
        ),
        (MIXED, "a100", 1, "no partition has GPU 'a100'"),
        (MIXED, "2g.20gb", 1, "no partition has GPU '2g.20gb'"),
        (SLICES, None, 1, "partition 'mig' has only slices of GPUs, .* add --gpu a100_3g.20gb or 1g.5gb"),
        (SLICES, "a100", 1, "no partition has GPU 'a100'"),
    ],
)
def test_what_cannot_be_had_is_said_with_the_right_numbers(
    where: ClusterProfile, gpu: str | None, gpus: int, said: str
) -> None:
    with pytest.raises(WorkloadError, match=said):
        placed(where, gpu, gpus)


def test_several_names_of_the_catalogue_that_are_one_type_to_slurm_are_no_ambiguity() -> None:
    where = profile({"name": "p", **group("a100", per_node=8)})
    assert placed(where, "a100").gpu_type == "a100"
    assert placed(where, "a100").precision is Precision.BF16


def test_two_types_of_slurm_under_one_name_are_an_ambiguity() -> None:
    large, small = "nvidia_a100-sxm4-80gb", "nvidia_a100-sxm4-40gb"
    where = profile({"name": "p", **group(large), "other_gpus": [group(small)]})
    with pytest.raises(WorkloadError, match=f"ambiguous: give one of {large}, {small}"):
        placed(where, "a100")


def test_a_slice_has_the_hardware_of_its_gpu_and_not_its_memory() -> None:
    there = placed(MIXED, "1g.10gb")
    assert (there.gpu, there.gpu_type, there.precision) == (None, SLICE, Precision.BF16)


@pytest.mark.parametrize(
    "name",
    ["a100", "nvidia_a100-sxm4-80gb", "tesla_v100-sxm2-32gb", "gtx1080ti", "rtx_a6000", "nvidia_gh200_480gb"],
)
def test_a_whole_gpu_is_no_slice(name: str) -> None:
    assert parse_slice(name) is None


@pytest.mark.parametrize(
    ("name", "profile", "of"),
    [
        ("3g.39gb", "3g.39gb", None),
        ("1g.10gb+me", "1g.10gb+me", None),
        ("a100_3g.20gb", "3g.20gb", "a100"),
        ("a100-mig-1g.5gb", "1g.5gb", "a100"),
        ("a100_1g_5gb", "1g_5gb", "a100"),
        ("nvidia_a100_80gb_pcie_1g.10gb", "1g.10gb", "nvidia_a100_80gb_pcie"),
        ("mig", "mig", None),
    ],
)
def test_a_slice_is_known_by_any_spelling(name: str, profile: str, of: str | None) -> None:
    cut = parse_slice(name)
    assert cut
    assert (cut.profile, cut.gpu) == (profile, of)


def test_a_request_without_a_type_is_warned_of_slices() -> None:
    nodes = f"n1|mixed|idle|16|64000|gpu:{H100}:2(S:0-1),gpu:{SLICE}:4(S:0-1)"
    partitions = "PartitionName=mixed Default=YES MaxTime=1-0 State=UP"
    there = Cluster(
        tuple(parse_partitions(partitions)), tuple(parse_nodes(nodes)), parse_settings("ClusterName = test")
    )

    def codes(request: SlurmRequest) -> list[str]:
        return [problem.code for problem in check_on_cluster(request, 1, there)]

    assert codes(SlurmRequest(1, 1, 90)) == ["gpu-choice"]
    assert codes(SlurmRequest(1, 2, 90, gres=H100)) == []
    (problem,) = check_on_cluster(SlurmRequest(1, 4, 90, gres=H100), 1, there)
    assert problem.text.startswith(
        f"the request is for 4 {H100} per node, and the nodes of partition 'mixed' "
    )


def test_an_estimate_says_which_gpus_it_is_for(in_process: Command, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(profile_as_toml(MIXED, []), encoding="utf-8")
    flags = f"--profile {path} --gpus 1 --samples 1000 --batch-size 8 --samples-per-s 20 --json"

    def answer(*gpu: str) -> Any:
        return json.loads(in_process("estimate", *flags.split(), *gpu).stdout)

    codes = [advice["code"] for advice in answer()["warnings"]]
    assert "gpu-choice" in codes
    cut = answer("--gpu", "1g.10gb")  # a rate is of the GPUs that are named beside it
    assert (cut["shape"]["gpu"], cut["wall_clock_parts_s"]["training"]["p50"]) == (SLICE, 50)
    assert "gpu-choice" not in [advice["code"] for advice in cut["warnings"]]
