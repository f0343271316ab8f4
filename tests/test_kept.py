"""What a run keeps and what is redacted of it, as the table of SECURITY.md says, line by line."""

import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from clusterplan.launcher.resume.ended_run import read_ended_run

SECRET = "c0rrect-h0rse-battery"
TABLE = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `") and line.count("|") == 4
]
TRAIN = f"""
import sys
print("logged in with", {SECRET!r})
sys.exit("ValueError: https://me:{SECRET}@hub.example cannot be reached")
"""


@pytest.fixture
def kept_run(launched: Any) -> Path:
    """A run that failed, of which each place where words come from has a secret; collected into the history."""
    git = ("git", "-C", str(launched.folder), "-c", "user.name=a", "-c", "user.email=a@b")
    (launched.folder / "code.py").write_text("x = 1\n")
    for words in (("init", "-q"), ("add", "code.py"), ("commit", "-qm", "one")):
        subprocess.run([*git, *words], check=True)
    (launched.folder / "code.py").write_text(f"login({SECRET!r})\n")
    launched.file("train.py", TRAIN)
    launched.file("ds.json", json.dumps({"train_micro_batch_size_per_gpu": 1, "x": {"api_key": SECRET}}))
    job = launched.file(
        "job.toml",
        f"[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 1\nprecision = 'bf16'\nframework = 'deepspeed'\n"
        f"[slurm]\ncomment = 'token={SECRET}'\n[run]\nmax_restarts = 0\nbootstrap = 'single'\n"
        f"command = ['python', 'train.py', '--deepspeed_config', 'ds.json', '--api-key', '{SECRET}', '--x={{hf_token}}']\n",
    )
    environment = {"CONDA_TOKEN": SECRET, "CONDA_URL": f"https://me:{SECRET}@x"}
    sweep = ("--sweep", f"hf_token={SECRET}")
    run = launched.submit("--executor", "local", "--force", *sweep, job, env=environment)["runs"][0]
    launched.ended(run["run"])
    assert launched("history", "import").returncode == 0
    return Path(run["folder"])


def files_of(kept_run: Path, patterns: str) -> list[Path]:
    """The files of a row: a folder's are all in it."""
    if "history.db" in patterns:
        return list(kept_run.parents[1].glob("history.db*"))
    names = [pattern.strip("` ") for pattern in patterns.split(",")]
    files = [path for path in kept_run.rglob("*") if path.is_file()]
    return [path for path in files if any(_is_named(path.relative_to(kept_run), name) for name in names)]


def _is_named(path: Path, name: str) -> bool:
    return path.parts[0] == name.rstrip("/") if name.endswith("/") else fnmatch(str(path), name)


def test_a_run_keeps_its_secrets_where_the_table_says_and_nowhere_else(kept_run: Path, launched: Any) -> None:
    listed = set[Path]()
    for files_cell, _, secrets in TABLE:
        files = files_of(kept_run, files_cell)
        assert files, f"the run has no {files_cell}"
        holds = any(SECRET.encode() in path.read_bytes() for path in files)
        if files_cell != "`submitit/`":  # on this machine no batch script is written
            assert holds == secrets.startswith("kept"), files_cell
        if secrets == "redacted" and "history.db" not in files_cell:
            assert any("[redacted]" in path.read_text() for path in files), files_cell
        listed |= {*files}
    assert {path for path in kept_run.rglob("*") if path.is_file()} <= listed

    resumed = read_ended_run(kept_run).job["run"]["command"]
    assert resumed[-3:] == ["--api-key", SECRET, f"--x={SECRET}"]

    for command in (
        ("status", kept_run.name),
        ("history", "show"),
        ("report", "--json"),
        ("status", "--json"),
    ):
        shown = launched(*command)
        assert SECRET not in shown.stdout + shown.stderr, command


def test_the_table_has_every_file_of_a_run_folder() -> None:
    page = (ROOT / "docs/reference/run-folder.md").read_text(encoding="utf-8").partition("\n## ")[0]
    names = re.findall(r"(?m)^\| `([^`]+)` \|", page)
    names = [re.sub(r"<[^>]*>", "1", name) for name in names]
    patterns = [pattern.strip("` ") for row in TABLE for pattern in row[0].split(",")]
    assert len(names) > 15
    assert not [name for name in names if not any(_is_named(Path(name), pattern) for pattern in patterns)]
