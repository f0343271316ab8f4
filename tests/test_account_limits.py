"""Limits of a QOS or an account, which a job would wait for for ever: refused as a partition's limit is.

Recorded lines are those of sacctmgr 22.05; cases: the QOS pages of UMIACS and of CU Boulder's Alpine.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import slurm_cluster
from conftest import run_program
from launched import Launched
from test_preflight import CLUSTER, found

from clusterplan.launcher.slurm.limits import Accounting, parse_accounts, parse_associations, parse_qos
from clusterplan.launcher.slurm.nodes import parse_partitions, parse_settings

QOS = """\
normal||||||||
debug||00:10:00|gres/gpu=4|gres/gpu=3|gres/gpu=2|||
long|OverPartQOS|2-00:00:00||||||
large||2-00:00:00|node=4|||gres/gpu=16|gres/gpu=24|gres/gpu=4
typed|||gres/gpu:a100=1,mem=100G|||||
"""
ASSOCIATIONS = """\
lab||normal|00:20:00|||
lab|old|||||gres/gpu=2
class||debug||||
"""
CENTRE = replace(CLUSTER, accounting=Accounting("lab", parse_associations(ASSOCIATIONS), parse_qos(QOS)))


def codes(
    cluster: Any = CENTRE, *, gpus: str = "1", time: str | None = "00:05:00", **options: str
) -> list[Any]:
    request: dict[str, Any] = {
        "nodes": 1,
        "gpus_per_node": gpus,
        "time": time,
        "further": tuple(options.items()),
    }
    return [code for code in found(cluster=cluster, **request) if code != "signal"]


@pytest.mark.parametrize(
    ("request_", "is_refused"),
    [
        ({"time": "00:30:00"}, True),  # the account's 20 minutes
        ({"time": "00:20:00"}, False),
        ({"time": "00:20:00", "qos": "debug"}, True),  # the QOS's 10 minutes come before the account's 20
        ({"time": "1-00:00:00", "qos": "large", "gpus": "4"}, False),  # and a longer limit of a QOS, too
        ({"gpus": "2", "qos": "debug"}, False),
        ({"gpus": "3", "qos": "debug"}, True),  # two per user, so one job of three never starts
        ({"gpus": "2", "account": "class"}, False),
        ({"gpus": "3", "account": "class"}, True),  # by its default QOS
        ({"gpus": "1", "qos": "large"}, True),  # it takes none with fewer than four
        ({"gpus": "a100:2", "qos": "typed"}, True),
        ({"gpus": "2", "qos": "typed"}, False),  # of any type
        ({"gpus": "8", "qos": "unknown"}, False),  # sbatch says so
        ({"time": None, "qos": "debug"}, False),  # Slurm takes the shorter of the two by itself
    ],
)
def test_a_job_is_held_against_the_limits_of_its_qos_and_account(
    request_: dict[str, Any], is_refused: bool
) -> None:
    assert ("account-limit!" in codes(**request_)) == is_refused


def test_a_limit_of_a_partitions_own_qos_comes_first() -> None:
    long = parse_partitions("PartitionName=long Default=YES MaxTime=1-00:00:00 QoS=debug State=UP")
    cluster = replace(CENTRE, partitions=tuple(long))
    assert codes(cluster, time="00:15:00") == ["account-limit!"]
    assert codes(cluster, time="00:15:00", qos="long") == []  # OverPartQOS


def test_the_association_of_the_partition_comes_before_the_general_one() -> None:
    accounting = CENTRE.accounting
    assert accounting is not None
    (limits,) = [one for one in accounting.limits_of(None, None, "old", None) if "account" in one.holder]
    assert (limits.wall_s, limits.in_all) == (None, {"gres/gpu": 2})


def test_the_accounts_above_count_too() -> None:
    """A group limit counts at each level, so the least of them holds; each other limit is that of the nearest."""
    accounts = parse_accounts(
        "lab|physics||||gres/gpu=8\nphysics|root|01:00:00|node=2||gres/gpu=4\nroot|||||"
    )
    accounting = replace(CENTRE.accounting, accounts=accounts)
    cluster = replace(CENTRE, accounting=accounting)
    assert codes(cluster, gpus="4") == []
    assert codes(cluster, gpus="5") == ["account-limit!"]
    assert [one.holder for one in accounting.limits_of("lab", None, "long", None)][-2:] == [
        "account 'physics'",
        "account 'root'",
    ]


def test_the_longest_walltime_of_a_job_is_the_least_of_all_limits() -> None:
    assert CENTRE.longest_walltime_s("long", {}) == 20 * 60  # the account's
    assert CENTRE.longest_walltime_s("long", {"qos": "debug"}) == 10 * 60
    assert CENTRE.longest_walltime_s("short", {"qos": "long"}) == 30 * 60  # the partition's own


SACCTMGR = """#!/bin/sh
case "$*" in
    *"show user"*) echo lab ;;
    *"user= "*) echo "lab|root||||" ;;
    *assoc*) echo "lab|||00:20:00|||" ;;
    *qos*) echo "debug||00:10:00||||||" ;;
esac
"""
RECORDED = {
    "partition": "PartitionName=gpu Default=YES MaxTime=1-00:00:00 State=UP",
    "config": "ClusterName = centre\nAccountingStorageEnforce = limits",
    "reservation": "No reservations in the system",
}


def test_the_walltime_of_an_estimate_is_cut_to_the_limit_of_the_account(launched: Any) -> None:
    """A centre whose partition has a day, and its account 20 minutes: as UMIACS and Alpine limit by QOS."""
    folder = launched.folder / "bin"
    folder.mkdir()
    scontrol = "".join(f"*{what}*) echo '{text}' ;;\n" for what, text in RECORDED.items())
    programs = {
        "scontrol": f'#!/bin/sh\ncase "$*" in\n{scontrol}esac\n',
        "sinfo": "#!/bin/sh\necho 'n1|gpu|idle|16|64000|gpu:a100:8'\n",
        "sacctmgr": SACCTMGR,
        "sbatch": "#!/bin/sh\nexit 1\n",
    }
    for name, text in programs.items():
        path = launched.file(f"bin/{name}", text)
        path.chmod(0o755)
    size = ["--samples", "9_000", "--batch-size", "1", "--step-time", "1", "--gpus", "1"]
    environment = {"PATH": f"{folder}{os.pathsep}{launched.environment['PATH']}"}
    done = launched("submit", "--dry-run", *size, "--", "true", env=environment)
    assert "#SBATCH --time=00:20:00" in done.stdout
    assert "cut to the limit of account 'lab', 20m per job" in done.stdout


def test_no_limit_is_no_limit() -> None:
    """Where MariaDB is newer than slurmdbd 22.05 knows, sacctmgr prints zeros for what is not set."""
    (association,) = parse_associations("lab|||00:00:00|||")
    assert association.limits.wall_s is None


@pytest.mark.parametrize(
    ("enforced", "is_asked"),
    [("none", False), ("associations", False), ("associations,limits,qos", True), ("safe", True)],
)
def test_limits_count_where_slurm_enforces_them(enforced: str, is_asked: bool) -> None:
    assert parse_settings(f"AccountingStorageEnforce = {enforced}").enforces_limits == is_asked


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm_cluster.missing(accounting=True)), reason="no slurmdbd here")
def test_a_real_qos_refuses_with_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "slurm"
    folder.mkdir()
    with slurm_cluster.running(folder, accounting=True) as slurm:
        with slurm.without("slurmctld"), slurm.conf.open("a", encoding="utf-8") as conf:
            conf.write("AccountingStorageEnforce=limits\nAccountingStorageTRES=gres/gpu\n")
        slurm.ask("sacctmgr", "-i", "add", "qos", "debug", "MaxWall=10:00", "MaxTRESPerUser=gres/gpu=2")
        monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
        launched = Launched(tmp_path, run_program)
        words = ["submit", "--slurm", "qos=debug"]
        long = launched(*words, "--time", "30m", "--gpus", "1", "--", "true")
        assert (
            "a walltime of 30m is above the limit of QOS 'debug', 10m: the job would wait for ever"
            in long.stderr
        )
        wide = launched(*words, "--time", "5m", "--gpus", "3", "--", "true")
        assert "the request is for 3 GPUs, and QOS 'debug' gives one user at most 2" in wide.stderr
        assert (long.returncode, wide.returncode) == (2, 2)
