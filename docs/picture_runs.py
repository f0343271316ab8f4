"""The runs behind the pictures: examples/cpu_ddp.py on this machine, with the fake driver's GPUs where GPUs are shown."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import fake_nvml  # noqa: E402

PROGRAM = Path(sys.executable).with_name("clusterplan")
HERE = ("--executor", "local", "--force")
_ENDED_S = 300
_OPEN = ("pending", "running")
_HIDE_CURSOR = "\x1b[?25l"  # what was drawn before it is no frame
_NEXT_FRAME = re.compile(r"\r?\x1b\[(?:2K|\d*A)")
_CURSOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")  # what moves the cursor; colours end with m


class Machine:
    """A folder with runs and a history of its own; with a scenario it has the GPUs of the fake driver."""

    def __init__(self, folder: Path, scenario: str = "") -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "CLUSTERPLAN_HISTORY": f"{folder}/history.db",
            "CLUSTERPLAN_RUNS": f"{folder}/runs",
            "CLUSTERPLAN_LOCKS": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        self._environment.pop("NO_COLOR", None)
        if scenario:
            library = fake_nvml.build(folder)
            if library is None:
                sys.exit("the fake driver needs a C compiler: none is on PATH")
            (folder / "scenario").write_text(scenario, encoding="utf-8")
            self._environment |= fake_nvml.environment(
                library, folder / "scenario", FAKE_NVML_T0=time.time(), SLURMD_NODENAME="gpu1"
            )

    def ask(self, *words: object) -> Any:
        """Return what a command answers as JSON."""
        done = subprocess.run(  # noqa: S603  our own program
            [PROGRAM, *map(str, words), "--json"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.stdout:
            sys.exit(f"clusterplan {' '.join(map(str, words))}: {done.stderr}")
        return json.loads(done.stdout)

    def run(self, *words: object) -> None:
        """Run a command that writes a file."""
        subprocess.run(  # noqa: S603  our own program
            [PROGRAM, *map(str, words)],
            cwd=self.folder,
            env=self._environment,
            check=True,
            capture_output=True,
        )

    def wait(self, run: str, is_there: Callable[[Any], bool] = lambda _: False) -> Any:
        """Return the status of a run when it has ended, or when it is as `is_there` says."""
        give_up_s = time.monotonic() + _ENDED_S
        while time.monotonic() < give_up_s:
            status = self.ask("status", run)["runs"][0]
            if status["state"] not in _OPEN or is_there(status):
                return status
            time.sleep(1)
        return sys.exit(f"{run} has not ended after {_ENDED_S} s")

    def show(self, columns: int, *words: object, seconds: float = 4.0) -> str:
        """Return what a command draws on a terminal that is so wide, with its colours, before q is pressed."""
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(self.folder)
            size = {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
            os.execve(PROGRAM, [str(PROGRAM), *map(str, words)], {**self._environment, **size})  # noqa: S606  our own program
        time.sleep(seconds)
        os.write(terminal, b"q")
        seen = b""
        while True:
            try:
                block = os.read(terminal, 65_536)
            except OSError:  # Linux says so that the other side is closed
                break
            if not block:
                break
            seen += block
        os.waitpid(process, 0)
        return seen.decode()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve the history while the block runs; gives the link to its pages."""
        command = [str(PROGRAM), "serve", "--port", "0", "--print-url"]
        with subprocess.Popen(  # noqa: S603  our own program
            command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield (process.stdout.readline() if process.stdout else "").strip()
            finally:
                process.terminate()

    def write_job(
        self, name: str, steps: int, gpus: int, batch: int, step_s: float, model: str = "cpu-ddp"
    ) -> Path:
        """Write the job file of a training that takes about so many seconds per step."""
        path = self.folder / f"{name}.toml"
        path.write_text(
            _JOB.format(
                name=name,
                model=model,
                samples=steps * gpus * batch,
                batch=batch,
                gpus=gpus,
                python=sys.executable,
                program=ROOT / "examples" / "cpu_ddp.py",
                step_s=step_s,
            ),
            encoding="utf-8",
        )
        return path


def first_frame(shown: str) -> str:
    """Return the first frame of a program that draws anew, with its colours alone.

    >>> first_frame("working, 1 s\\r\\x1b[K\\x1b[?25l\\x1b[1mone\\x1b[0m\\r\\n\\x1b[1A\\x1b[2Ktwo")
    '\\x1b[1mone\\x1b[0m'
    """
    frames = shown.partition(_HIDE_CURSOR)[2] or shown
    return _CURSOR.sub("", _NEXT_FRAME.split(frames)[0]).replace("\r", "").rstrip("\n")


_JOB = """\
name = "{name}"
model = "{model}"

[data]
samples = {samples}

[training]
batch_size = {batch}
gpus = {gpus}
framework = "floor"
precision = "fp32"

[evaluation]
every_steps = 0

[checkpoint]
every_steps = 50
time_s = 0.1

[run]
bootstrap = "per-gpu"
command = ["{python}", "{program}", "--steps", "{{max_steps}}", "--batch-size", "{{batch_size}}",
           "--output", "{{output}}", "--checkpoint-every", "{{save_steps}}", "--step-time", "{step_s:.3f}"]
resume = ["--resume", "{{latest}}"]
"""
