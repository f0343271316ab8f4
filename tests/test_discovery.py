"""A profile from the live cluster, and a profile held against it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import slurm_cluster
from conftest import Command

from clusterplan.cluster_profiles.catalog import load_profile
from clusterplan.launcher.slurm.cluster import Cluster
from clusterplan.launcher.slurm.discovery import build_profile, differences
from clusterplan.launcher.slurm.nodes import parse_nodes, parse_partitions, parse_settings


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


def test_of_several_shapes_the_commonest_is_taken_and_said() -> None:
    found = build_profile(MIXED)
    assert (found.profile.partitions[0].nodes, found.profile.partitions[0].gpus_per_node) == (2, 4)
    assert "2 nodes of 4 h200 taken, 1 node of 8 h200 left out" in found.notes[0]
    assert differences(found.profile, MIXED) == []


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
