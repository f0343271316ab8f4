"""Two users of one group, with one history: each submits, looks at both runs, and stops only their own.

C. of the first hours: history.db was 0600 in a setgid folder, and the second user could not even submit.
"""

import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from slurm_cluster import until

ADA, BEN, EVE = ("daemon", "users"), ("games", "users"), ("nobody", "nogroup")
As = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lab() -> Iterator[Path]:
    """A folder of the group `users`, with a home for each user."""
    if os.geteuid() != 0:
        pytest.skip("only root may become other users")
    for user, group in (ADA, BEN, EVE):
        try:
            pwd.getpwnam(user), grp.getgrnam(group)
        except KeyError as error:
            pytest.skip(f"this machine lacks a user: {error}")
    # The folders that pytest makes are root's alone.
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    folder.chmod(0o755)
    for user, group in (ADA, BEN, EVE):
        (folder / user).mkdir(mode=0o755)
        shutil.chown(folder / user, user, group)
    (folder / "shared").mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def share(lab: Path, mode: int) -> None:
    shutil.chown(lab / "shared", ADA[0], ADA[1])
    (lab / "shared").chmod(mode)


@pytest.fixture
def run_as(lab: Path) -> As:
    """Run `clusterplan` as a user, with a umask; the history is the lab's."""

    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(version, path="/usr/bin:/usr/local/bin")  # this one may be root's alone
    if not python:
        pytest.skip(f"no {version} is installed for all users")

    def run(who: tuple[str, str], *words: object, umask: int = 0o022, settings: str = "") -> Any:
        home = lab / who[0]
        if settings:
            (home / "clusterplan").mkdir(exist_ok=True)
            (home / "clusterplan/config.toml").write_text(settings)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{sysconfig.get_path('purelib')}",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_CONFIG_DIRS": str(home),
            "TMPDIR": str(home),
            "CLUSTERPLAN_HISTORY": str(lab / "shared/history.db"),
            "CLUSTERPLAN_RUNS": str(home / "runs"),
        }
        return subprocess.run(
            [python, "-m", "clusterplan", *map(str, words)],
            cwd=home,
            env=environment,
            user=who[0],
            group=who[1],
            extra_groups=[],
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    reachable = run(ADA, "--version")
    if reachable.returncode:
        pytest.skip(f"other users cannot run this installation: {reachable.stderr.strip()[-200:]}")
    return run


def submit(run_as: As, who: tuple[str, str], *words: str, umask: int = 0o022, settings: str = "") -> Any:
    done = run_as(
        who,
        "submit",
        "--executor",
        "local",
        "--json",
        "--",
        *(words or ("echo", "hello")),
        umask=umask,
        settings=settings,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def state_at_end(run_as: As, who: tuple[str, str], run: Any) -> Any:
    until((Path(run["folder"]) / "status.json").exists, f"the end of {run['run']}")
    return json.loads(run_as(who, "status", run["folder"], "--json").stdout)["runs"][0]["state"]


def users_in(listing: str) -> set[str]:
    return {line.split()[1] for line in listing.splitlines()[1:]}


def test_two_users_share_a_history_as_it_is_made(lab: Path, run_as: As) -> None:
    share(lab, 0o2775)
    runs = {who: submit(run_as, who) for who in (ADA, BEN)}
    for who, run in runs.items():
        assert state_at_end(run_as, who, run) == "completed"
    for command in ("status", "logs", "report"):  # of the other's run
        assert run_as(ADA, command, runs[BEN]["run"]).returncode == 0
    listed = run_as(BEN, "history", "list")
    assert (listed.stderr, users_in(listed.stdout)) == ("", {"daemon", "games"})
    for name in ("history.db", "history.runs"):
        shared = (lab / "shared" / name).stat()
        assert stat.S_IMODE(shared.st_mode) & 0o770 == (0o660 if name.endswith("db") else 0o770)
        assert grp.getgrgid(shared.st_gid).gr_name == "users"
    for run in runs.values():  # nobody else writes into a run
        assert stat.S_IMODE(Path(run["folder"]).stat().st_mode) == 0o2750
        assert stat.S_IMODE((Path(run["folder"]) / "run.json").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("mode", "umask", "settings"),
    [(0o2770, 0o077, ""), (0o775, 0o022, "shared = true\n")],
    ids=["a private umask", "the setting"],
)
def test_a_history_is_shared_whatever_the_umask_and_where_the_settings_say_so(
    lab: Path, run_as: As, mode: int, umask: int, settings: str
) -> None:
    share(lab, mode)
    (lab / "shared").chmod(mode | 0o020)
    for who in (ADA, BEN):
        submit(run_as, who, umask=umask, settings=settings)
        listed = run_as(who, "history", "list", umask=umask)
        assert (listed.returncode, listed.stderr) == (0, "")
    runs = json.loads(run_as(ADA, "history", "list", "--json").stdout)
    assert {run["user"] for run in runs} == {"daemon", "games"}


def test_only_its_owner_stops_a_run(lab: Path, run_as: As) -> None:
    share(lab, 0o2770)
    run = submit(run_as, ADA, "sleep", "60")
    refused = run_as(BEN, "cancel", run["run"])
    assert (refused.returncode, refused.stderr) == (
        2,
        f"Error: {run['run']} is a run of daemon, who alone can stop it\n",
    )
    assert run_as(ADA, "cancel", run["run"]).returncode == 0
    assert state_at_end(run_as, BEN, run) == "cancelled"


def test_who_may_not_use_the_history_is_told_so_and_submits_all_the_same(lab: Path, run_as: As) -> None:
    share(lab, 0o2770)
    submit(run_as, ADA)
    listed = run_as(EVE, "status")
    assert listed.returncode == 1
    assert "permission denied for nobody" in listed.stderr
    assert "belongs to daemon, mode 2770" in listed.stderr
    asked = run_as(EVE, "history", "list")
    assert (asked.returncode, "permission denied for nobody" in asked.stderr) == (1, True)
    done = run_as(EVE, "submit", "--executor", "local", "--json", "--", "true")
    assert done.returncode == 0
    assert "the run cannot be registered: Permission denied" in done.stderr
    assert state_at_end(run_as, EVE, json.loads(done.stdout)) == "completed"


def test_a_history_of_one_user_stays_that_users(lab: Path, run_as: As) -> None:
    share(lab, 0o755)
    run = submit(run_as, ADA, umask=0o002)
    assert run_as(ADA, "history", "list").returncode == 0
    for path in (lab / "shared/history.db", Path(run["folder"]), lab / "shared/history.runs"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert "permission denied for games" in run_as(BEN, "status").stderr
    for command in (("check",), ("import", "--rebuild")):
        done = run_as(BEN, "history", *command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "permission denied for games" in done.stderr


def test_a_run_is_resumed_by_its_own_user_alone(lab: Path, run_as: As) -> None:
    share(lab, 0o2775)
    run = submit(run_as, ADA, "sh", "-c", "test -e again", umask=0o002)
    assert state_at_end(run_as, ADA, run) == "failed"
    other = run_as(BEN, "resume", run["run"], "--from-start")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1), other.stderr
    assert "Permission denied" in other.stderr
    (lab / ADA[0] / "again").touch()
    assert run_as(ADA, "resume", run["run"], "--from-start").returncode == 0
    assert state_at_end(run_as, ADA, run) == "completed"
