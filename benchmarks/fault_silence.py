"""How long commands take while Slurm's controller is down: each of its programs waits for an answer that does not come."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from fault_world import CLUSTERPLAN, build_world

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "sacctmgr", "sprio", "sshare", "scancel")
COMMANDS = (("status",), ("status", "RUN"), ("history", "list"), ("report", "RUN"), ("logs", "RUN"))
MOST_S = 6.0


def time_in_silence(scratch: Path) -> dict[str, tuple[float, float]]:
    """Return the seconds of commands over runs of which one is open on a silent Slurm, and those without any Slurm."""
    world = build_world(scratch / "world")
    run = world.run_ids["slurm"]

    def seconds(words: Sequence[str]) -> float:
        command = [CLUSTERPLAN, *(run if word == "RUN" else word for word in words)]
        began_s = time.monotonic()
        subprocess.run(command, cwd=world.folder, env=world.environment, capture_output=True, check=True)
        return time.monotonic() - began_s

    without_s = [seconds(words) for words in COMMANDS]
    for name in PROGRAMS:
        program = world.folder / "bin" / name
        program.write_text("#!/bin/sh\nexec /bin/sleep 600\n", encoding="utf-8")
        program.chmod(0o755)
    return {
        " ".join(words): (seconds(words), least_s) for words, least_s in zip(COMMANDS, without_s, strict=True)
    }
