"""`logs -f` and `submit --follow`: in a pipe, on a terminal, and stopped by Ctrl-C."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from launched import Launched
from slurm_cluster import until

PROGRAM = Path(sys.executable).with_name("clusterplan")
# It ends once the file is there.
WAITS = "import os, sys, time\nprint('hello')\nwhile not os.path.exists('end'): time.sleep(0.05)\n"
TRACKED = (
    "import os, time\nfrom clusterplan import track\n"
    "for _ in track(range(10_000), total=10_000):\n    time.sleep(0.05)\n    if os.path.exists('end'): break\n"
)


@pytest.fixture
def here(clusterplan: Command, tmp_path: Path) -> Iterator[Launched]:
    here = Launched(tmp_path, clusterplan)
    here.environment.pop("PYTHONUNBUFFERED", None)
    yield here
    here.file("end", "")


def started(here: Launched, *args: str, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([PROGRAM, *args], cwd=here.folder, env=here.environment, text=True, **streams)


def follow(here: Launched, script: str, **streams: Any) -> subprocess.Popen[str]:
    here.file("waits.py", script)
    return started(here, "submit", "--executor", "local", "--follow", "--", "python", "waits.py", **streams)


@pytest.fixture
def on_gpus(here: Launched, fake_nvml: Path) -> Launched:
    """The same on a machine whose GPU is 90 % busy."""
    scenario = here.file("gpus", "gpu count=1\nwave gpu=0 kind=const hi=90\n")
    here.environment |= {"LD_LIBRARY_PATH": str(fake_nvml), "FAKE_NVML": str(scenario)}
    return here


def on_terminal(here: Launched, script: str, wanted: bytes) -> str:
    """What a run that is followed on a terminal shows, up to `wanted`; then it is let end."""
    ours, theirs = pty.openpty()
    process = follow(here, script, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    while wanted not in seen and time.monotonic() < deadline:
        if select.select([ours], [], [], 1)[0]:
            seen += os.read(ours, 4096)
    here.file("end", "")
    process.wait(60)
    os.close(ours)
    return seen.decode()


def test_a_followed_run_prints_its_log_and_its_end(here: Launched) -> None:
    here.file("end", "")
    process = follow(here, WAITS, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed, said = process.communicate(timeout=60)
    assert printed.endswith("\nhello\n")
    assert "\x1b" not in printed
    assert said.endswith(": completed\n")
    assert process.returncode == 0


def test_following_a_run_that_fails_fails(here: Launched) -> None:
    process = follow(here, "raise ValueError('no')", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert ": failed, exit code 1: ValueError: no\ngo on: clusterplan resume " in said


def test_a_terminal_has_a_live_line(here: Launched) -> None:
    seen = on_terminal(here, TRACKED, b" left")
    assert "\x1b[Krunning | step " in seen
    assert re.search(r"/10,000 at [0-9.]+/s \| .* left", seen)


def test_the_live_line_tells_how_busy_the_gpus_of_the_run_are(on_gpus: Launched) -> None:
    seen = on_terminal(on_gpus, TRACKED, b" % busy")
    assert " | GPUs 90 % busy" in seen


def test_ctrl_c_leaves_the_run_running_and_says_so(here: Launched) -> None:
    process = follow(here, WAITS, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: "hello" in process.stdout.readline(), "the log")
    run = next((here.folder / "runs").glob("*")).name
    leave(process, run)
    again = started(here, "logs", "-f", run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert again.stdout.readline() == "hello\n"
    leave(again, run)
    assert here.status(run)["state"] == "running"


def leave(process: "subprocess.Popen[str]", run: str) -> None:
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith(f"{run} goes on without you: ")


def test_a_run_that_ended_in_silence_is_not_waited_for(here: Launched) -> None:
    run = here.submit("--executor", "local", "--", "true")["run"]
    here.ended(run)
    shown = here("logs", run)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", f"{run}: nothing was printed\n")


def test_a_run_that_is_silent_so_far_may_yet_speak(here: Launched) -> None:
    here.file("waits.py", WAITS.replace("print('hello')", ""))
    run = here.submit("--executor", "local", "--", "python", "waits.py")["run"]
    shown = here("logs", run)
    assert (shown.returncode, shown.stderr.splitlines()[0]) == (0, f"{run}: nothing printed yet")


def test_the_tasks_that_have_printed_something_are_named(here: Launched) -> None:
    job = here.file(
        "job.toml",
        "[data]\nsamples = 2\n[training]\nbatch_size = 1\ngpus = 3\n[run]\nbootstrap = 'per-gpu'\n"
        "command = ['sh', '-c', '[ $RANK = 0 ] || echo rank $RANK']\n",
    )
    run = here.submit("--executor", "local", job)["run"]
    here.ended(run)
    assert here("logs", run).stderr == f"{run}: nothing was printed; 2 other logs: --rank 1, 2\n"
    refused = here("logs", run, "--rank", "3")
    assert (refused.returncode, refused.stderr) == (2, f"Error: --rank 3: {run} has ranks 0 to 2\n")


def test_the_log_of_a_failed_run_ends_with_how_it_goes_on(here: Launched) -> None:
    run = here.submit("--executor", "local", "--", "sh", "-c", "echo oops; exit 3")["run"]
    here.ended(run)
    shown = here("logs", run)
    assert (shown.returncode, shown.stdout) == (0, "oops\n")
    said = shown.stderr.splitlines()
    assert said[0].startswith(f"{run}: failed, exit code 3")
    assert said[1] == f"go on: clusterplan resume {run} --from-start"


@pytest.mark.parametrize("other", [["--json"], ["--sweep", "lr=1,2"]])
def test_what_cannot_be_followed_is_refused(here: Launched, other: list[str]) -> None:
    done = here("submit", "--executor", "local", "--follow", *other, "--", "echo", "{lr}")
    assert (done.returncode, done.stderr) == (
        2,
        f"Error: --follow shows one run as text: leave out {other[0]}\n",
    )
