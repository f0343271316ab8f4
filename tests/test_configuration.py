"""Settings of a site and of a user: which wins, where each is from, and what they change."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

WriteSettings = Callable[[str, str], Path]


@pytest.fixture
def write_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteSettings:
    """Write the file of settings of the `site` or the `user`."""
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))

    def write(whose: str, text: str) -> Path:
        path = tmp_path / {"site": "site", "user": "config"}[whose] / "clusterplan" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def shown(command: Command) -> dict[str, dict[str, str | bool | None]]:
    done = command("config", "show", "--json")
    assert done.returncode == 0, done.stderr
    settings: dict[str, dict[str, str | bool | None]] = json.loads(done.stdout)["settings"]
    return settings


def test_the_user_wins_over_the_site_and_a_variable_over_both(
    in_process: Command, write_settings: WriteSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = write_settings("site", 'profile = "slurm-a100"\naccount = "lab"\nhistory = "/lab/history.db"\n')
    user = write_settings("user", 'account = "thesis"\nruns = "$HOME/my runs"\n')
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "other.db"))
    settings = shown(in_process)
    assert settings["profile"] == {"value": "slurm-a100", "source": str(site)}
    assert settings["account"] == {"value": "thesis", "source": str(user)}
    assert settings["runs"] == {"value": "/home/ada/my runs", "source": str(user)}
    assert settings["history"] == {"value": str(tmp_path / "other.db"), "source": "$CLUSTERPLAN_HISTORY"}
    assert settings["shared"] == {"value": False, "source": "default"}


def test_a_relative_path_counts_from_its_file(in_process: Command, write_settings: WriteSettings) -> None:
    site = write_settings("site", 'history = "history.db"\n')
    assert shown(in_process)["history"]["value"] == str(site.parent / "history.db")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'partiton = "gpu"',
            "config.toml: line 1: partiton is no setting: the settings are profile, partition, ",
        ),
        ("\nshared = 1", "config.toml: line 2: shared is 1: give true or false"),
        ("account = 7", "config.toml: line 1: account is 7: give text in quotes"),
        ('runs = "$NO_SUCH/runs"', "the variable NO_SUCH is not set here"),
        ("runs = /scratch", "is not valid TOML"),
    ],
)
@pytest.mark.parametrize("command", [("config", "show"), ("status",), ("estimate", "--samples", "1")])
def test_a_wrong_file_is_one_line(
    in_process: Command, write_settings: WriteSettings, text: str, words: str, command: tuple[str, ...]
) -> None:
    write_settings("user", text)
    done = in_process(*command, *(("--batch-size", "1", "--gpus", "1") if command[0] == "estimate" else ()))
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_place_that_cannot_be_looked_at_is_one_line(
    in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a site's folder is that others may not enter; root may enter all, so here the name is too long."""
    monkeypatch.setenv("XDG_CONFIG_HOME", f"/{'x' * 300}")
    done = in_process("config", "show")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "config.toml: File name too long" in done.stderr


def test_the_profile_of_the_settings_is_that_of_a_job_that_names_none(
    in_process: Command, write_settings: WriteSettings
) -> None:
    write_settings("site", 'profile = "slurm-a100"\n')
    job = ("--samples", "1_000_000", "--batch-size", "32", "--gpus", "8", "--step-time", "0.5")
    answer = json.loads(in_process("estimate", *job, "--json").stdout)
    named = json.loads(in_process("estimate", *job, "--profile", "slurm-a100", "--json").stdout)
    other = json.loads(in_process("estimate", *job, "--profile", "one-machine", "--json").stdout)
    assert answer == named
    assert answer["request"] != other["request"]


def test_runs_and_history_lie_where_the_settings_say(
    clusterplan: Command, write_settings: WriteSettings, tmp_path: Path
) -> None:
    write_settings("site", f'runs = "{tmp_path}/lab/runs"\nhistory = "{tmp_path}/lab/history.db"\n')
    done = clusterplan("submit", "--executor", "local", "--json", "--", "true")
    run = json.loads(done.stdout)
    assert Path(run["folder"]).parent == tmp_path / "lab/runs"
    assert (tmp_path / "lab/history.runs" / run["run"]).is_symlink()
    assert json.loads(clusterplan("status", "--json").stdout)["runs"][0]["run"] == run["run"]
