"""How long commands take while Slurm's controller is down: each of its programs waits for an answer that does not come."""

import subprocess
import time
from pathlib import Path

from fault_world import CLUSTERPLAN, build_world

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "sacctmgr", "sprio", "sshare", "scancel")
MOST_S = 6.0


def time_in_silence(scratch: Path) -> dict[str, tuple[float, int]]:
    """Return the seconds and the exit code of commands over runs of which one is open on the silent Slurm."""
    world = build_world(scratch / "world")
    for name in PROGRAMS:
        program = world.folder / "bin" / name
        program.write_text("#!/bin/sh\nexec /bin/sleep 600\n", encoding="utf-8")
        program.chmod(0o755)
    run = world.run_ids["slurm"]
    took = {}
    for words in (("status",), ("status", run), ("history", "list"), ("report", run), ("logs", run)):
        began_s = time.monotonic()
        done = subprocess.run(
            [CLUSTERPLAN, *words], cwd=world.folder, env=world.environment, capture_output=True, check=False
        )
        took[" ".join(words).replace(run, "RUN")] = time.monotonic() - began_s, done.returncode
    return took
