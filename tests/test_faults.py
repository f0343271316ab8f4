"""Nothing that is wrong with one file reaches a command as a traceback, or another run: a few cases of benchmarks/faults.py.

`make test-slow` runs a thousand.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read in /proc")
def test_commands_over_damaged_files_end_in_words() -> None:
    program = str(ROOT / "benchmarks" / "faults.py")
    command = [sys.executable, program, "--only", "commands", "--cases", "4", "--seed", "15"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
