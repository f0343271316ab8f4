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
    """Build libnvidia-ml.so.1; return its folder, for LD_LIBRARY_PATH, or None without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "libnvidia-ml.so.1"
    if not library.exists():
        command = [
            compiler,
            *FLAGS.split(),
            "-o",
            str(library),
            *map(str, sorted(SOURCE.glob("*.c"))),
            "-lm",
            "-pthread",
        ]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            raise RuntimeError(f"{compiler} could not build {SOURCE}:\n{process.stderr}")
    return folder


def environment(
    library: Path, scenario: Path, now: float | None = None, **variables: object
) -> dict[str, str]:
    """Return the environment of a client that sees the scenario, pinned at `now` seconds of it unless None."""
    clock: dict[str, float] = {} if now is None else {"FAKE_NVML_NOW": now, "FAKE_NVML_T0": T0}
    fake = {"LD_LIBRARY_PATH": library, "FAKE_NVML": scenario, **clock, **variables}
    return os.environ | {name: str(value) for name, value in fake.items()}
