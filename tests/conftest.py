"""Commands are run as a user runs them: the installed program, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCALE = int(
    os.environ.get("CLUSTERPLAN_TEST_SCALE", "1")
)  # how many times more random cases; `make test-slow`


@pytest.fixture
def clusterplan(tmp_path, monkeypatch):
    """Run `clusterplan ARGS` in an empty folder; gives the finished process."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    program = Path(sys.executable).with_name("clusterplan")

    def run(*args, cwd=tmp_path, **extra):
        return subprocess.run(
            [program, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False, **extra
        )

    return run
