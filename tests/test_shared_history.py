"""Two users of one group, with one history: each submits, looks at both runs, and stops only their own.

C. of the first hours: history.db was 0600 in a setgid folder, and the second user could not even submit.
"""

import grp
import json
import stat
from pathlib import Path

import pytest
from two_users import ADA, BEN, EVE, As, share, state_at_end, submit


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
    [
        pytest.param(0o2770, 0o077, "", id="a private umask"),
        pytest.param(0o775, 0o022, "shared = true\n", id="the setting", marks=pytest.mark.slow),
    ],
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
    refusal = f"Error: {run['run']} is a run of daemon, who alone can resume it\n"
    assert (other.returncode, other.stderr) == (2, refusal)
    (lab / ADA[0] / "again").touch()
    assert run_as(ADA, "resume", run["run"], "--from-start").returncode == 0
    assert state_at_end(run_as, ADA, run) == "completed"
