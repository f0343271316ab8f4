"""`watch`, `estimate --plot`, `completion` and colours: what a terminal shows, at 80 columns too."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command
from launched import Launched

from clusterplan.launcher.run_folder.progress.progress import Progress
from clusterplan.launcher.runs.run_status import RunStatus
from clusterplan.launcher.runs.state import RunState, State
from clusterplan.launcher.sampler.recent import RecentGpu, recent_gpus
from clusterplan.render.columns import columns_of
from clusterplan.render.layout import Page, Style
from clusterplan.render.runs.watch_text import write_frame

PROGRAM = Path(sys.executable).with_name("clusterplan")
TRAINS = RunStatus(
    "训练-20261128T101500-0a1b",
    Path("runs"),
    RunState(State.RUNNING, "", 0.0, None),
    "1",
    1,
    Progress(1240, 3750, 0.27, 2.31, source="log:hf-trainer"),
)
WAITS = RunStatus(
    "phi2-20261128T101500-0a1b", Path("runs"), RunState(State.PENDING, "Priority", 0.0, None), "2", 0, None
)
GPUS = {TRAINS.run: [RecentGpu("gpu1", "0", 90.0, 61 * 2**30, 80 * 2**30, 412.0)]}


@pytest.mark.parametrize("width", [80, 120])
def test_a_frame_fits_its_terminal_and_keeps_the_progress(width: int) -> None:
    page = Page(width, colour=False)
    write_frame(page, [TRAINS, WAITS], GPUS, {}, 0.0, "q: leave")
    text = str(page)
    assert max(map(columns_of, text.splitlines())) <= width
    assert re.search(r"███░░░░░░░ +33%", text)
    assert re.search(r"gpu1 0 +█████████░ +90 % +61\.0/80 GiB +412 W", text)
    assert re.search(r"phi2-\S+ +Priority", text)
    assert "1 running, 1 pending" in text


def test_the_columns_of_a_frame_stand_below_each_other_beside_chinese_names() -> None:
    page = Page(120, colour=False)
    write_frame(page, [TRAINS, WAITS], {}, {}, 0.0)
    header, *rows = str(page).splitlines()[2:5]
    places = [
        columns_of(row[: row.index(str(run.state.state))])
        for row, run in zip(rows, (TRAINS, WAITS), strict=True)
    ]
    assert places == [header.index("state")] * 2


def test_the_states_of_a_frame_have_their_colours() -> None:
    page = Page(120, colour=True)
    write_frame(page, [TRAINS, WAITS], {}, {}, 0.0)
    assert f"{Style.CODE}pending" in str(page)


def test_no_gpu_is_shown_of_a_folder_without_samples(tmp_path: Path) -> None:
    (tmp_path / "n1.0.spool").write_bytes(b"junk")
    assert recent_gpus(tmp_path) == []


@pytest.fixture
def watched(clusterplan: Command, tmp_path: Path) -> Launched:
    here = Launched(tmp_path, clusterplan)
    here.submit("--executor", "local", "--", "sh", "-c", "while ! test -e end; do sleep 0.1; done")
    return here


@pytest.mark.parametrize(("leave", "code"), [("q", 0), ("ctrl-c", 0), ("term", 143)])
def test_a_watch_that_is_left_gives_the_cursor_back_and_leaves_the_run_running(
    watched: Launched, leave: str, code: int
) -> None:
    ours, theirs = pty.openpty()
    environment = {**watched.environment, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        [PROGRAM, "watch"], cwd=watched.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    read = _reader(ours)
    seen = read(lambda text: b"1 running" in text or b"1 pending" in text)
    if leave == "q":
        os.write(ours, b"q")
    else:
        process.send_signal(signal.SIGINT if leave == "ctrl-c" else signal.SIGTERM)
    seen = read(lambda _: process.poll() is not None)
    watched.file("end", "")
    os.close(ours)
    assert process.wait(60) == code, seen
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")
    assert (b"on without you" in seen) == (leave != "term")


def _reader(terminal: int) -> Callable[[Callable[[bytes], bool]], bytes]:
    """Return what reads a terminal until all that was read fulfils a condition, or for a minute."""
    seen = b""

    def read(is_enough: Callable[[bytes], bool]) -> bytes:
        nonlocal seen
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            is_last = is_enough(seen)
            while select.select([terminal], [], [], 0.2)[0]:
                try:
                    block = os.read(terminal, 4096)
                except OSError:  # the other side is closed
                    return seen
                if not block:
                    return seen
                seen += block
                if is_enough(seen):
                    break
            if is_last:
                break
        return seen

    return read


def test_nothing_to_watch_is_said(clusterplan: Command) -> None:
    done = clusterplan("watch")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no run is open" in done.stderr


JOB = (
    "estimate",
    "--samples",
    "1_000_000",
    "--batch-size",
    "32",
    "--samples-per-s",
    "44.3",
    "--throughput-gpus",
    "8",
)


def test_a_plot_shows_time_and_efficiency_of_each_count(
    in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    lines = in_process(*JOB, "--gpus", "1,8,64", "--plot").stdout.splitlines()
    time_at, efficiency_at = (
        next(i for i, line in enumerate(lines) if f"GPUs  {title}:" in line)
        for title in ("time", "efficiency")
    )
    for start in (time_at, efficiency_at):
        drawn = lines[start + 1 : start + 4]
        assert [line.split()[0] for line in drawn] == ["1", "8", "64"]
        assert all("●" in line and " to " in line for line in drawn)
        assert max(map(columns_of, drawn)) <= 80


def test_a_plot_of_one_shape_says_what_to_give(in_process: Command) -> None:
    done = in_process(*JOB, "--gpus", "8", "--plot")
    assert done.returncode == 2
    assert "--gpus 1,2,4,8" in done.stderr


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_force_color_colours_a_pipe_and_no_color_wins(
    in_process: Command, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], is_coloured: bool
) -> None:  # https://no-color.org, https://force-color.org
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in in_process(*JOB, "--gpus", "8").stdout) == is_coloured


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(in_process: Command, shell: str) -> None:
    done = in_process("completion", shell)
    assert done.returncode == 0
    assert f"_CLUSTERPLAN_COMPLETE={shell}_complete" in done.stdout


def test_bash_completes_commands_runs_and_profiles(watched: Launched) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash to complete in")
    watched.file("end", "")
    run = next((watched.folder / "runs").iterdir()).name
    script = (
        'eval "$(clusterplan completion bash)"\n'
        'try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _clusterplan_completion clusterplan; '
        'echo "${COMPREPLY[*]}"; }\n'
        f"try clusterplan wat\ntry clusterplan status {run[:3]}\ntry clusterplan profiles show slurm-a\n"
    )
    done = subprocess.run(
        [bash, "-c", script],
        cwd=watched.folder,
        env=watched.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["watch", run, "slurm-a100"], done.stderr
