"""Profiles: found by name or path, checked, shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan.cluster_profiles.catalog import load_profile, profile_paths
from clusterplan.errors import WorkloadError
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.job.workload import Workload

MINE = """\
name = "mine"

[[partitions]]
name = "gpu"
nodes = 4
gpus_per_node = 4
gpu = "NVIDIA A100-SXM4-40GB"
time_limit = "1-12:00:00"

[rates]
currency = "EUR"
date = 2026-11-01
per_gpu_hour = 1.5
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "config" / "clusterplan" / "profiles"
    folder.mkdir(parents=True)
    path = folder / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["one-machine", "slurm-a100", "slurm-h100"])
def test_bundled_profiles_are_fine(clusterplan: Command, name: str) -> None:
    assert name in profile_paths()
    assert clusterplan("profiles", "check", name).returncode == 0


def test_a_users_profile_is_found_by_name_and_by_path(in_process: Command, mine: Path) -> None:
    for wanted in ("mine", mine):
        shown = json.loads(in_process("profiles", "show", wanted, "--json").stdout)
        assert shown["partitions"][0]["gpu"] == "a100-sxm4-40gb"
        assert shown["partitions"][0]["time_limit_s"] == 36 * 3600


@pytest.mark.usefixtures("mine")
def test_rates_make_a_cost_with_their_date(clusterplan: Command) -> None:
    done = clusterplan(
        *"estimate --samples 1000000 --batch-size 32 --gpus 8 --samples-per-s 44.3 --profile mine".split()
    )
    assert "EUR" in done.stdout
    assert "rates of 2026-11-01" in done.stdout


def test_without_rates_nothing_is_said_of_money(in_process: Command) -> None:
    done = in_process(
        *"estimate --samples 1000000 --batch-size 32 --gpus 8 --samples-per-s 44.3 --profile slurm-a100".split()
    )
    assert "cost" not in done.stdout


def test_the_list_names_every_profile_and_shows_broken_ones(clusterplan: Command, mine: Path) -> None:
    mine.with_name("broken.toml").write_text("name = 3", encoding="utf-8")
    mine.with_name("worse.toml").write_text("name =", encoding="utf-8")
    mine.with_name("folder.toml").mkdir()
    listed = clusterplan("profiles", "list").stdout
    for name in ("one-machine", "slurm-a100", "slurm-h100", "mine"):
        assert name in listed
    assert listed.count("broken:") == 3
    rows = json.loads(clusterplan("profiles", "list", "--json").stdout)
    assert {row["profile"] for row in rows if row["error"]} == {"broken", "worse", "folder"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nodes = 4", "nodes = 0", "mine.toml:5: partitions.1.nodes: 0 must be greater than 0"),
        ("nodes = 4", "node = 4", "mine.toml:5: partitions.1.node: unknown key; did you mean 'nodes'?"),
        ("NVIDIA A100-SXM4-40GB", "8", "partitions.1.gpu: '8' is a number; the number of GPUs is --gpus"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb", "partitions.1.gpu: 'a100-40gb' is ambiguous: give one of "),
        ('"1-12:00:00"', '"often"', "partitions.1.time_limit: 'often' is not a duration"),
        ('"EUR"', '"euros"', "rates.currency: 'euros' must be three capital letters"),
        ("2026-11-01", '"yesterday"', "rates.date: 'yesterday' must be a date such as 2026-11-01"),
        (
            'name = "gpu"',
            'name = "gpu; rm -rf /"',
            "partitions.1.name: 'gpu; rm -rf /' must be a name as Slurm spells it",
        ),
        ('name = "mine"', 'name = "mine"\nshared_folders = "/home"', 'must be a list, such as ["/home"]'),
        (
            'name = "mine"',
            'name = "mine"\nshared_folders = ["home"]',
            "must be absolute paths, and 'home' is not",
        ),
        (
            'name = "mine"',
            'name = "mine"\ndefault_partition = "cpu"',
            "default_partition 'cpu' is not a partition",
        ),
    ],
)
def test_a_wrong_profile_gets_one_line(
    in_process: Command, mine: Path, old: str, new: str, message: str
) -> None:
    mine.write_text(MINE.replace(old, new), encoding="utf-8")
    done = in_process("profiles", "check", mine)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_links_are_facts_of_a_partition() -> None:
    partition = load_profile("slurm-h100").partition()
    assert (partition.intra_node.gb_per_s, partition.inter_node.gb_per_s) == (450, 50)


def test_a_limit_may_be_infinite_as_sinfo_prints_it(mine: Path) -> None:
    mine.write_text(MINE.replace('"1-12:00:00"', '"infinite"'), encoding="utf-8")
    assert load_profile(str(mine)).partition().time_limit is None


def test_a_check_can_be_read_by_a_program(in_process: Command) -> None:
    found = json.loads(in_process("profiles", "check", "slurm-a100", "--json").stdout)
    assert found == {
        "profile": "slurm-a100",
        "gpus": 128,
        "partitions": 2,
        "error": None,
        "differences": None,
    }


def test_the_partition_that_has_the_gpu_is_taken(mine: Path) -> None:
    more = '\n[[partitions]]\nname = "old"\nnodes = 1\ngpus_per_node = 2\ngpu = "t4"\n'
    mine.write_text(MINE.replace("\n[rates]", more + "\n[rates]"), encoding="utf-8")
    job = Workload.of(samples=100, batch_size=1, gpus=2, gpu="t4")
    assert estimate_workload(job, load_profile(str(mine))).placement.partition.name == "old"
    default = Workload.of(samples=100, batch_size=1, gpus=2, gpu="a100-sxm4-40gb")
    assert estimate_workload(default, load_profile(str(mine))).placement.partition.name == "gpu"


@pytest.fixture
def as_discovered(tmp_path: Path) -> Any:
    """Partitions of which only Slurm's name of the GPU is known; the first is the default."""
    names = ("old", "v100"), ("new", "a100"), ("odd", "zz9")
    shape = "nodes = 1\ngpus_per_node = 8\n"
    parts = [f'[[partitions]]\nname = "{name}"\ngres = "{gres}"\n{shape}' for name, gres in names]
    path = tmp_path / "found.toml"
    path.write_text('name = "found"\n' + "".join(parts), encoding="utf-8")
    return load_profile(str(path))


@pytest.mark.parametrize(
    ("asked", "partition"),
    [
        ({"gpu": "a100-pcie-40gb"}, "new"),
        ({"gpu": "v100-sxm2-16gb"}, "old"),
        ({"gpu": "a100-pcie-40gb", "partition": "odd"}, "odd"),
        ({}, "old"),
    ],
)
def test_the_partition_whose_gpu_slurm_calls_so_is_taken(
    as_discovered: Any, asked: dict[str, Any], partition: str
) -> None:
    placed = estimate_workload(
        Workload.of(samples=100, batch_size=1, gpus=2, **asked), as_discovered
    ).placement
    assert placed.partition.name == partition
    assert placed.gpu is None or placed.gpu.key == asked["gpu"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"gpu": "h100-sxm"}, "found: no partition has GPU 'h100-sxm'"),
        (
            {"gpu": "a100-pcie-40gb", "partition": "old"},
            "partition 'old' of found has v100, not a100-pcie-40gb",
        ),
    ],
)
def test_a_gpu_that_slurms_name_cannot_mean_is_refused(
    as_discovered: Any, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(WorkloadError, match=said):
        estimate_workload(Workload.of(samples=100, batch_size=1, gpus=2, **asked), as_discovered)


def test_partitions_of_the_same_nodes_are_not_counted_twice(in_process: Command, tmp_path: Path) -> None:
    partition = '[[partitions]]\nname = "{}"\nnodes = 3\ngpus_per_node = 8\ngres = "a100"\n'
    text = 'name = "shared"\n' + partition.format("short") + partition.format("long")
    (tmp_path / "config/clusterplan/profiles").mkdir(parents=True)
    (tmp_path / "config/clusterplan/profiles/shared.toml").write_text(text, encoding="utf-8")
    (line,) = [row for row in in_process("profiles", "list").stdout.splitlines() if row.startswith("shared")]
    assert line.split() == ["shared", "24", "a100", "no", "limit"]
