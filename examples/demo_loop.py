"""`make demo-loop`: a job that nobody has measured, round the whole loop, by the commands a user would type.

It runs on Slurm if sbatch is found and answers, otherwise on this machine.  The job is examples/cpu_ddp.py, which needs
no GPU.  Its limit comes before its end, so that it saves, stops and goes on.  Everything is written into a folder of its
own, and nothing into your history.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).with_name("clusterplan")
JOB = f"""\
name = "loop"
model = "cpu-ddp"

[data]
samples = 20_480

[training]
batch_size = 32
gpus = 2
framework = "floor"
precision = "fp32"

[evaluation]
every_steps = 0

[checkpoint]
every_steps = 50
time_s = 0.1

[run]
bootstrap = "per-gpu"
command = ["{sys.executable}", "{ROOT}/examples/cpu_ddp.py", "--steps", "{{max_steps}}", "--batch-size", "{{batch_size}}",
           "--output", "{{output}}", "--checkpoint-every", "{{save_steps}}", "--step-time", "0.1"]
resume = ["--resume", "{{latest}}"]
"""
ENDED_S = 150  # for a run of 30 s with a stop or two, on a slow machine
POLL_S = 1.0


class Shell:
    """A folder with a history of its own, in which commands are typed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kept = {"CLUSTERPLAN_HISTORY": f"{folder}/history.db", "CLUSTERPLAN_RUNS": f"{folder}/runs"}
        self._environment = {**os.environ, **kept}

    def type(self, comment: str, arguments: str) -> None:
        """Print a command and what it answers; a command that fails ends the demo."""
        print(f"\n# {comment}\n$ clusterplan {arguments}\n", flush=True)
        self._run(arguments.split(), check=True)

    def ask(self, arguments: str) -> dict[str, object]:
        """Return what a command answers as JSON, without printing it."""
        done = self._run([*arguments.split(), "--json"], check=True, capture_output=True, text=True)
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    def newest_run(self) -> dict[str, object]:
        """Return the newest run, as `status` has it."""
        runs = self.ask("status")["runs"]
        assert isinstance(runs, list)  # noqa: S101  for the type checker
        run: dict[str, object] = runs[0]
        return run

    def wait(self, comment: str, *, steps: int = 0) -> dict[str, object]:
        """Wait until the newest run has ended or, with `steps`, has done so many; return it as `status` has it."""
        print(f"\n# {comment}", flush=True)
        give_up_s = time.monotonic() + ENDED_S
        while True:
            run = self.newest_run()
            is_there = bool(steps) and int(str(run["steps_done"] or 0)) >= steps
            if is_there or run["state"] not in ("pending", "running"):
                return run
            if time.monotonic() > give_up_s:
                sys.exit(f"{run['run']} is {run['state']} after {ENDED_S} s: {run['reason']}")
            time.sleep(POLL_S)

    def _run(self, words: list[str], **more: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([PROGRAM, *words], cwd=self._folder, env=self._environment, **more)  # type: ignore[call-overload,no-any-return]  # noqa: PLW1510, S603  our own program


def has_slurm() -> bool:
    """Whether there is a Slurm that answers."""
    if not shutil.which("sbatch"):
        return False
    return subprocess.run(["sinfo", "--noheader"], capture_output=True, check=False).returncode == 0  # noqa: S607  the site's own


def main() -> None:
    """Go round the loop once."""
    on_slurm = has_slurm()
    where = "--executor slurm" if on_slurm else "--executor local --force"
    limit = "1m" if on_slurm else "35s"  # Slurm's limits are whole minutes
    # A node sees this repository, and not the /tmp of this machine.
    with tempfile.TemporaryDirectory(prefix=".demo-loop-", dir=ROOT if on_slurm else None) as folder:
        (Path(folder) / "job.toml").write_text(JOB, encoding="utf-8")
        shell = Shell(Path(folder))
        shell.type("how long will it take? nobody has measured it", "estimate job.toml")
        shell.type("measure it cheaply", f"calibrate job.toml --budget 8m {where}")
        shell.type("and now?", "estimate job.toml")
        shell.type("run it, with a limit before its end", f"submit job.toml --time {limit} {where}")
        run = shell.wait("it trains ...", steps=40)["run"]
        shell.type("how is it going, and when does it end?", f"status {run}")
        ended = shell.wait("... until its limit: it saves there, and is stopped ...")
        if ended["state"] == "timed_out":  # on Slurm it goes on by itself
            shell.type("it goes on from where it was", f"resume {run} --time 5m {where}")
            shell.wait("... and trains to its end")
        shell.type("how often did it stop, and why?", f"status {run}")
        shell.type("were the GPUs used?", f"report {run}")
        shell.type("how good was the estimate?", "history accuracy")
        shell.type("and on other shapes?", "estimate job.toml --gpus 1,2,4,8")


if __name__ == "__main__":
    main()
