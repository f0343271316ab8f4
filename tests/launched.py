"""clusterplan as a user runs it, on the test Slurm or on this machine: jobs, what to wait for, and stories."""

import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from conftest import HOSTILE_NAME, run_program
from slurm_cluster import Cluster, until

from clusterplan.launcher.runs.state import OPEN_STATES
from clusterplan.launcher.runs.status import read_status

EXAMPLE = Path(__file__).parent.parent / "examples" / "cpu_ddp.py"
ENDED_S = 120
STORIES_AT_ONCE = 8
POLL_S = 0.4  # a question to Slurm starts processes

Told = Generator[None, None, None]
Story = Callable[["Launched"], Told]


class Launched:
    """clusterplan in a folder with a history and runs of its own."""

    slurm: Cluster | None = None

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder = folder
        self._run = run
        self.environment = {
            **os.environ,
            "CLUSTERPLAN_HISTORY": str(folder / "history.db"),
            "CLUSTERPLAN_RUNS": str(folder / "runs"),
            "CLUSTERPLAN_LOCKS": str(folder),
            # As in a user's environment: the command's own Python is the one on PATH.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def __call__(self, *args: Any, **more: Any) -> Any:
        environment = {**self.environment, **more.pop("env", {})}
        return self._run(*args, cwd=more.pop("cwd", self.folder), env=environment, **more)

    def submit(self, *args: Any, **more: Any) -> Any:
        # This machine has no GPU, unless the test has the fake driver: a run that states some is on the CPU if forced.
        on_cpu = ["--force"] if "local" in args and "FAKE_NVML" not in self.environment else []
        done = self("submit", "--json", *on_cpu, *args, **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self, run: str) -> Any:
        done = self("status", "--json", run)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["runs"][0]

    def wait(self, run: str, *states: str) -> Any:
        return self._status_when(run, lambda state, _: state in states, f"{run} to be {states}")

    def ended(self, run: str) -> Any:
        return self._status_when(run, lambda state, _: state not in OPEN_STATES, f"the end of {run}")

    def says(self, run: str, words: str) -> Any:
        return self._status_when(run, lambda _, reason: words in (reason or ""), f"{run}: {words}")

    def _status_when(self, run: str, fits: Callable[[str, str | None], bool], what: str) -> Any:
        """The program's word, asked when it may be that: to ask it all the time would take a core."""

        def there() -> Any:
            state = read_status(Path(self.environment["CLUSTERPLAN_RUNS"]) / run).state
            if fits(state.state, state.reason):
                now = self.status(run)
                return now if fits(now["state"], now["reason"]) else None
            if self.slurm:
                time.sleep(POLL_S)
            return None

        return until(there, what, ENDED_S)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        new = path.with_name(f"{path.name}.new")  # whole at once: a run may be waiting for it
        new.write_text(text, encoding="utf-8")
        return new.replace(path)


def write_profile_of_one_host(config: Path) -> Path:
    """The test Slurm's profile as `test`: all its nodes are this machine, so they share every folder."""
    folder = config / "clusterplan" / "profiles"
    folder.mkdir(parents=True)
    profile = run_program("profiles", "discover").stdout
    (folder / "test.toml").write_text(f'shared_folders = ["/"]\n{profile}', encoding="utf-8")
    return config


ON_TWO_NODES = """
[cluster]
nodes = 2
profile = "test"
"""


def job_file(
    launched: Launched, steps: int = 60, step_time: float = 0.1, more: str = "", where: Any = ON_TWO_NODES
) -> Any:
    """The example on 2 nodes of 2 GPUs."""
    return launched.file(
        "job.toml",
        f"""
name = "ddp"
[data]
samples = {steps * 32 * 4}
[training]
batch_size = 32
gpus = 4
framework = "floor"
precision = "fp32"
{where}
[run]
command = ["python", "{EXAMPLE}", "--steps", "{{max_steps}}", "--batch-size", "{{batch_size}}",
           "--output", "{{output}}", "--step-time", "{step_time}"]
resume = ["--resume", "{{latest}}"]
bootstrap = "per-gpu"
{more}
""",
    )


def in_one_row(text: Any) -> Any:
    """Without the spaces of its columns, and what was wrapped in one piece."""
    return " ".join(text.split())


def on_partition(launched: Launched, name: Any) -> list[Any]:
    """Options for typed GPUs of a partition whose limit the profile does not know."""
    profile = launched.file(
        "profile.toml",
        f"""
name = "test"
shared_folders = ["/"]
default_partition = "{name}"
[[partitions]]
name = "{name}"
nodes = 3
gpus_per_node = 8
gpu = "a100-sxm4-80gb"
gres = "a100"
""",
    )
    return ["--profile", profile, "--gpus", "4"]


def slurm_states(run: Any) -> list[Any]:
    """What Slurm said to the first task of each start as it ended it."""
    files = sorted((Path(run["folder"]) / "tasks").glob("*.0.json"))
    return [json.loads(file.read_text())["slurm_state"] for file in files]


def steps_done(run: Any) -> Any:
    """From the file itself: under load a command takes longer than many steps."""
    path = Path(run["folder"]) / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def running_job(run: Any, attempt: Any) -> Any:
    path = Path(run["folder"]) / "tasks" / f"{run['job_id']}.{attempt}.0.json"
    return run["job_id"] if path.exists() and json.loads(path.read_text())["state"] == "running" else None


TRAINS_ON = """
import os, sys, time
from pathlib import Path
from clusterplan import track
for step in track(range(10**6)):
    Path("steps").write_text(str(step))
    if os.path.exists("end"):
        sys.exit(int(Path("end").read_text()))
    time.sleep(0.02)
"""


@contextmanager
def small_disk(launched: Launched) -> Iterator[tuple[Any, Any]]:
    """Run folders go to a disk of 4 MB; gives the function that fills it and the one that makes room again."""
    disk = launched.folder / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    launched.environment["CLUSTERPLAN_RUNS"] = str(disk)

    def fill() -> None:
        with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(512)):
                pass

    try:
        yield fill, (disk / "filler").unlink
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def runs_over_a_full_disk(launched: Launched, run: Any, code: Any, fill: Any) -> Any:
    """Fill the disk while the run trains, see that it trains on, and let it end with `code`."""
    count = launched.folder / "steps"

    def steps() -> Any:
        return int(count.read_text() or 0) if count.exists() else 0

    until(lambda: steps() > 5, "steps", ENDED_S)
    fill()
    before = steps()
    until(lambda: steps() > before + 50, "steps on a full disk", ENDED_S)
    launched.file("end", str(code))
    return launched.ended(run["run"])


class Stories:
    """The parts of stories before their `yield`, run side by side on the test Slurm.

    They run in threads of this process, so Slurm and the profile are in its environment; that ends with the last story,
    because other tests follow in this process that must not see them.
    """

    def __init__(self, stories: Iterable[Story], slurm: Cluster, make_folder: Callable[[str], Path]) -> None:
        self._slurm = slurm
        self._pool = ThreadPoolExecutor(STORIES_AT_ONCE)
        self._patch = pytest.MonkeyPatch()
        self._patch.setenv("SLURM_CONF", str(slurm.conf))
        self._patch.setenv("XDG_CONFIG_HOME", str(write_profile_of_one_host(make_folder("config"))))
        self._begun = {tell: self._pool.submit(self._begin, tell, make_folder("story")) for tell in stories}

    def _begin(self, tell: Story, folder: Path) -> Told:
        hostile = folder / HOSTILE_NAME
        hostile.mkdir()
        launched = Launched(hostile, run_program)
        launched.slurm = self._slurm
        told = tell(launched)
        next(told)
        return told

    def tell(self, story: Story) -> None:
        """Run the rest of a story, after its `yield`."""
        told = None
        try:
            told = self._begun[story].result()
            next(told, None)
            assert inspect.getgeneratorstate(told) == inspect.GEN_CLOSED, "a story has one yield"
        finally:
            if told:
                told.close()
            del self._begun[story]
            if not self._begun:
                self.close()

    def close(self) -> None:
        self._slurm.ask("scancel", "--user=root")
        self._pool.shutdown(cancel_futures=True)
        for future in self._begun.values():
            if not future.cancelled() and not future.exception():
                future.result().close()
        self._begun.clear()
        self._patch.undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def story(tell: Story) -> Callable[..., None]:
    """Make a test of a generator function with one `yield`, which takes a `Launched` on the test Slurm.

    What comes before the `yield` begins together with the other stories, because most of it is waiting; the rest is
    the test, and runs in its turn.
    """

    def test(stories: Stories) -> None:
        stories.tell(tell)

    test.__name__, test.__doc__ = tell.__name__, tell.__doc__
    test.story = tell  # type: ignore[attr-defined]  # what the fixture `stories` begins
    return test
