"""A profile from the live cluster, and a profile held against it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import slurm_cluster
from conftest import Command

from clusterplan.cluster_profiles.catalog import load_profile
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.launcher.slurm.cluster import Cluster
from clusterplan.launcher.slurm.discovery import build_profile, differences
from clusterplan.launcher.slurm.nodes import parse_nodes, parse_partitions, parse_settings
from clusterplan.render.profiles import profile_as_toml


def cluster(
    nodes: str, partitions: str = "PartitionName=gpu Default=YES MaxTime=1-0 State=UP", config: str = ""
) -> Cluster:
    return Cluster(
        tuple(parse_partitions(partitions)),
        tuple(parse_nodes(nodes)),
        parse_settings(f"ClusterName = mine\nSLURM_VERSION = 23.11.4\n{config}"),
    )


ONE = cluster("n1|gpu|idle|64|512000|gpu:h200:8\nn2|gpu|down|64|512000|gpu:h200:8")
MIXED = cluster(
    "n1|gpu|idle|64|512000|gpu:h200:8\nn2|gpu|idle|64|512000|gpu:h200:4\n"
    "n3|gpu|idle|64|512000|gpu:h200:4\nn4|gpu|idle|64|512000|(null)"
)


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., Path]:
    """A profile that agrees with the test Slurm, but for what a test replaces."""

    def write(old: str = "", new: str = "") -> Path:
        path = tmp_path / "site.toml"
        path.write_text(SITE.replace(old, new), encoding="utf-8")
        return path

    return write


SITE = """\
name = "site"
default_partition = "long"

[[partitions]]
name = "long"
nodes = 3
gpus_per_node = 8
gpu = "a100-sxm4-80gb"
gres = "a100"
time_limit = "1d"

[[partitions]]
name = "preempt"
nodes = 3
gpus_per_node = 8
time_limit = "1d"
preemptible = true
"""


def test_what_is_discovered_is_a_profile(
    slurm: slurm_cluster.Cluster,  # noqa: ARG001
    clusterplan: Command,
    tmp_path: Path,
) -> None:
    done = clusterplan("profiles", "discover")
    path = tmp_path / "found.toml"
    path.write_text(done.stdout, encoding="utf-8")
    found = load_profile(str(path))
    assert (found.name, found.partition().name, found.requeue) == ("test", "long", True)
    assert {p.name: (p.nodes, p.gres, p.time_limit, p.preemptible) for p in found.partitions} == {
        "short": (3, "a100", 120, False),
        "long": (3, "a100", 86400, False),
        "preempt": (3, "a100", 86400, True),
        "old": (1, "v100", 86400, False),
        "grace": (3, "a100", 86400, True),
        "mixed": (1, "v100", 86400, False),
    }


@pytest.mark.usefixtures("slurm")
def test_it_is_kept_under_a_name_and_agrees_with_the_cluster(clusterplan: Command) -> None:
    kept = clusterplan("profiles", "discover", "--name", "site")
    assert kept.stdout.endswith("/profiles/site.toml\n")
    assert "may be v100-sxm2-16gb or v100-sxm2-32gb" in kept.stderr
    checked = clusterplan("profiles", "check", "site", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["differences"]) == (0, [])


@pytest.mark.usefixtures("slurm")
def test_a_file_that_exists_is_not_overwritten(clusterplan: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine", encoding="utf-8")
    done = clusterplan("profiles", "discover", "--output", path)
    assert (done.returncode, path.read_text(encoding="utf-8")) == (2, "mine")
    assert "mine.toml: exists already" in done.stderr


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize("name", ["../x", "x.toml", "/etc/x"])
def test_a_path_is_no_name(in_process: Command, name: str) -> None:
    done = in_process("profiles", "discover", "--name", name)
    assert done.returncode == 2
    assert "is a path; give a word" in done.stderr


@pytest.mark.usefixtures("slurm")
def test_on_a_mixed_partition_slurm_gets_the_type(clusterplan: Command) -> None:
    def script(*options: str) -> str:
        done = clusterplan(
            "submit",
            "--dry-run",
            "--partition",
            "mixed",
            "--gpus",
            "2",
            *options,
            "--time",
            "1m",
            "--",
            "true",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "#SBATCH --gpus-per-node=v100:2" in script()
    assert "#SBATCH --gpus-per-node=nvidia_h100_80gb_hbm3:2" in script("--gpu", "h100")
    assert "#SBATCH --gpus-per-node=nvidia_h100_80gb_hbm3_1g.10gb:2" in script("--gpu", "1g.10gb")


def test_without_slurm_nothing_is_discovered(
    clusterplan: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = clusterplan("profiles", "discover")
    assert (done.returncode, done.stdout) == (3, "")
    assert "is not on PATH" in done.stderr


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"1d"', '"2d"', "partition 'long': its time limit is 1d, not 2d"),
        ("nodes = 3", "nodes = 4", "partition 'long': it has 3 such nodes, not 4"),
        ("gpus_per_node = 8", "gpus_per_node = 4", "partition 'long': its nodes have 8 GPUs, not 4"),
        ('gres = "a100"', 'gres = "h100"', "partition 'long': Slurm calls its GPUs a100, not h100"),
        ("a100-sxm4-80gb", "h100-sxm", "partition 'long': its GPUs are a100, not h100-sxm"),
        ('name = "preempt"', 'name = "gone"', "partition 'gone' is not on the cluster"),
        ("preemptible = true", "", "partition 'preempt': its jobs may be preempted: preemptible = true"),
        ('name = "site"', 'name = "site"\nrequeue = false', "requeue is true on the cluster"),
        ('"long"\n\n', '"preempt"\n\n', "the default partition is 'long', not 'preempt'"),
    ],
)
def test_each_difference_is_a_line(
    in_process: Command, profile: Callable[..., Path], old: str, new: str, line: str
) -> None:
    done = in_process("profiles", "check", profile(old, new))
    assert done.returncode == 1
    assert any(line in told for told in done.stdout.splitlines())


@pytest.mark.usefixtures("slurm")
def test_a_profile_that_agrees_is_fine(clusterplan: Command, profile: Callable[..., Path]) -> None:
    done = clusterplan("profiles", "check", profile())
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


@pytest.mark.usefixtures("slurm")
def test_a_bundled_profile_is_of_no_cluster(in_process: Command) -> None:
    assert in_process("profiles", "check", "slurm-a100").returncode == 0


def test_a_slurm_that_does_not_answer_is_said_and_no_fault_of_the_profile(
    slurm: slurm_cluster.Cluster, clusterplan: Command, profile: Callable[..., Path]
) -> None:
    with slurm.without("slurmctld"):
        done = clusterplan("profiles", "check", profile())
    assert done.returncode == 0
    assert "not compared with the cluster: Slurm does not answer" in done.stderr


def test_a_name_of_one_gpu_only_is_that_gpu() -> None:
    found = build_profile(ONE)
    assert (found.profile.name, found.profile.partitions[0].gpu) == ("mine", "h200")
    assert [note for note in found.notes if "shared_folders" not in note] == []


def test_nodes_of_several_shapes_are_all_kept() -> None:
    found = build_profile(MIXED)
    groups = found.profile.partitions[0].groups
    assert [(group.nodes, group.gpus_per_node) for group in groups] == [(2, 4), (1, 8)]
    assert differences(found.profile, MIXED) == []


# Types as AutoDetect=nvml and sites name them: https://slurm.schedmd.com/gres.html,
# https://github.com/facebookresearch/hydra/issues/1366 (3g.39gb).
TYPES = cluster(
    "n1|gpu|idle|64|512000|gpu:nvidia_h100_80gb_hbm3_1g.10gb:14(S:0-1),gpu:nvidia_h100_80gb_hbm3:2(S:0-1)\n"
    "n2|gpu|mixed|64|512000|gpu:nvidia_l40s:4(S:0-1),shard:nvidia_l40s:16(S:0-1)\n"
    "n3|gpu|idle|64|512000|gpu:3g.39gb:2,mps:200"
)


def test_every_type_of_a_partition_is_kept_whole_gpus_first(tmp_path: Path) -> None:
    found = build_profile(TYPES)
    (partition,) = found.profile.partitions
    assert [(g.gres, g.gpu, g.slice, g.nodes, g.gpus_per_node) for g in partition.groups] == [
        ("nvidia_l40s", "l40s", None, 1, 4),
        ("nvidia_h100_80gb_hbm3", "h100-sxm", None, 1, 2),
        ("nvidia_h100_80gb_hbm3_1g.10gb", "h100-sxm", "1g.10gb", 1, 14),
        ("3g.39gb", None, "3g.39gb", 1, 2),
    ]
    assert any(note.endswith("a job that names none gets nvidia_l40s") for note in found.notes)
    path = tmp_path / "site.toml"
    path.write_text(profile_as_toml(found.profile, found.notes), encoding="utf-8")
    assert load_profile(str(path)) == found.profile
    assert differences(found.profile, TYPES) == []


def test_a_type_that_a_profile_leaves_out_is_a_difference() -> None:
    partition = {"name": "gpu", "nodes": 1, "gpus_per_node": 4, "gres": "nvidia_l40s", "time_limit": "1d"}
    stated = ClusterProfile.model_validate({"name": "mine", "partitions": [partition]})
    line = "partition 'gpu': it also has 1 node of 2 nvidia_h100_80gb_hbm3: add them as other_gpus"
    assert line in differences(stated, TYPES)


def test_a_partition_without_gpus_is_left_out() -> None:
    partitions = "PartitionName=cpu Default=YES MaxTime=UNLIMITED\nPartitionName=gpu MaxTime=UNLIMITED"
    found = build_profile(cluster("n1|cpu|idle|64|512000|(null)\nn2|gpu|idle|64|512000|gpu:2", partitions))
    only = found.profile.partitions[0]
    assert (only.name, only.gres, only.time_limit) == ("gpu", None, None)
    assert found.profile.default_partition is None
    assert "partition 'cpu' has no GPUs" in found.notes[0]


@pytest.mark.parametrize(
    ("config", "may"),
    [
        ("PreemptType = preempt/none", False),
        ("PreemptType = (null)", False),
        ("PreemptType = preempt/qos", True),
        ("PreemptType = preempt/partition_prio", False),  # none is above it
    ],
)
def test_preemption_follows_the_kind_of_it(config: str, may: bool) -> None:
    partitions = "PartitionName=gpu MaxTime=1-0 PriorityTier=1 PreemptMode=REQUEUE"
    found = build_profile(cluster("n1|gpu|idle|64|512000|gpu:h200:8", partitions, config))
    assert found.profile.partitions[0].preemptible is may


@pytest.mark.usefixtures("slurm")
def test_the_doctor_compares_the_default_profile_with_the_cluster(
    clusterplan: Command, profile: Callable[..., Path], tmp_path: Path
) -> None:
    settings = tmp_path / "config/clusterplan/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'profile = "{profile("nodes = 3", "nodes = 4")}"\n', encoding="utf-8")
    done = clusterplan("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert (done.returncode, found["slurm"]["state"], found["requeue"]["state"]) == (1, "ok", "ok")
    assert "partition 'long': it has 3 such nodes, not 4" in found["profile"]["text"]
    assert found["slurm"]["text"].startswith("cluster test, 5 nodes, 40 GPUs; answered in ")
