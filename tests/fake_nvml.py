"""Build the fake NVML library of tests/fakenvml, and set the stage for its clients.

`docs/reference/fake-nvml.md` describes the scenarios.
"""

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "fakenvml"
FLAGS = "-std=c11 -Wall -Wextra -Werror -O1 -shared -fPIC -fvisibility=hidden -Wl,-soname,libnvidia-ml.so.1"
T0 = 1_700_000_000  # the epoch of a pinned scenario: a fixed date, so that time stamps are literal


def build(folder: Path) -> Path | None:
    """The folder holding libnvidia-ml.so.1, for LD_LIBRARY_PATH; None without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "libnvidia-ml.so.1"
    if not library.exists():
        command = [compiler, *FLAGS.split(), "-o", library, *sorted(SOURCE.glob("*.c")), "-lm", "-pthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{compiler} could not build {SOURCE}:\n{done.stderr}")
    return folder


def environment(library: Path, scenario: Path, now: float | None = None, **variables) -> dict[str, str]:
    """What a client's process needs to see the scenario; pinned at `now` seconds of it, unless None."""
    clock = {} if now is None else {"FAKE_NVML_NOW": now, "FAKE_NVML_T0": T0}
    fake = {"LD_LIBRARY_PATH": library, "FAKE_NVML": scenario, **clock, **variables}
    return os.environ | {name: str(value) for name, value in fake.items()}
