"""What a run says it was made from."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clusterplan.launcher.submission.snapshot import take_snapshot


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """An environment of its own, with one package in it."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (found,) = venv.glob("lib/python3*/site-packages")
    (found / "train_tools-1.2.dist-info").mkdir()
    return venv / "bin" / "python"


def test_packages_are_those_of_the_python_the_command_starts_in(other_python: Path, tmp_path: Path) -> None:
    assert take_snapshot(tmp_path, os.environ, str(other_python))["packages"] == ["train-tools==1.2"]


def test_packages_of_our_own_python_need_no_process(tmp_path: Path) -> None:
    names = {package.split("==")[0] for package in take_snapshot(tmp_path, {}, sys.executable)["packages"]}
    assert {"clusterplan", "pydantic", "nvidia-ml-py"} <= names


def test_a_program_that_is_no_python_has_no_packages(tmp_path: Path) -> None:
    assert take_snapshot(tmp_path, os.environ, None)["packages"] == []


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., None]:
    """Run git in a repository with one file, train.py, that says x = 1."""

    def git(*words: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "train.py").write_text("x = 1\n")
    git("add", "train.py")
    git("commit", "-qm", "one")
    return git


@pytest.mark.usefixtures("repository")
def test_a_diff_larger_than_a_pipe_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("".join(f"x = {i}\n" for i in range(50_000)))
    said = take_snapshot(tmp_path, os.environ, None)
    assert said["git"]["dirty"]
    assert said["diff"].endswith("+x = 49999\n")


def test_a_diff_is_plain_whatever_its_user_sees_diffs_with(
    tmp_path: Path, repository: Callable[..., None]
) -> None:
    repository("config", "diff.external", "echo a window opens")
    repository("config", "color.ui", "always")
    (tmp_path / "train.py").write_text("x = 2\n")
    assert take_snapshot(tmp_path, os.environ, None)["diff"].splitlines()[-2:] == ["-x = 1", "+x = 2"]


def test_secrets_of_the_diff_and_of_the_environment_are_not_kept(
    tmp_path: Path, repository: Callable[..., None]
) -> None:
    repository("status")
    (tmp_path / "train.py").write_text("login('c0rrect-h0rse')\n")
    variables = {
        "CONDA_TOKEN": "c0rrect-h0rse",
        "CONDA_URL": "https://me:c0rrect-h0rse@x",
        "CUDA_HOME": "/cuda",
    }
    snapshot = take_snapshot(tmp_path, variables, None)
    assert snapshot["environment"] == {"CONDA_URL": "https://me:[redacted]@x", "CUDA_HOME": "/cuda"}
    assert "+login('[redacted]')" in snapshot["diff"].splitlines()
