"""`watch`, `estimate --plot`, `completion` and colours: what a terminal shows, at 80 columns too."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Command
from launched import Launched
from terminal import terminal

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


@pytest.mark.parametrize(
    ("leave", "code", "columns"), [(b"q", 0, 40), (signal.SIGINT, 0, 80), (signal.SIGTERM, 143, 80)]
)
def test_a_watch_that_is_left_gives_the_terminal_back_and_leaves_the_run_running(
    watched: Launched, leave: bytes | signal.Signals, code: int, columns: int
) -> None:
    with terminal([PROGRAM, "watch"], watched.folder, watched.environment, columns) as shown:
        shown.read_until(lambda text: b"1 running" in text or b"1 pending" in text)
        if isinstance(leave, bytes):
            shown.press(leave)
        else:
            shown.process.send_signal(leave)
        assert shown.read_to_end() == code, shown.seen
        assert shown.settings_now() == shown.settings
        lines = [re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", line) for line in shown.seen.split(b"\n")]
    watched.file("end", "")
    assert shown.seen.rindex(b"\x1b[?25h") > shown.seen.rindex(b"\x1b[?25l")
    assert (b"on without you" in b" ".join(shown.seen.split())) == (leave is not signal.SIGTERM)
    assert max(columns_of(line.decode().strip("\r").rpartition("\r")[2]) for line in lines) <= columns


def test_a_watch_without_a_terminal_says_so_and_prints_lines(watched: Launched) -> None:
    watched.file("end", "")
    process = subprocess.Popen(
        [PROGRAM, "watch"],
        cwd=watched.folder,
        env=watched.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output, talk = process.communicate(timeout=120)
    assert process.returncode == 0
    if "no run is open" in talk:  # it had ended before the first look
        return
    assert (
        "stdout is no terminal: a line per run every 30 s; `clusterplan status` shows the runs once" in talk
    )
    assert re.fullmatch(r"\d\d:\d\d:\d\d \S+ \| .*", output.splitlines()[0])
    assert "\x1b" not in output


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


COMPLETES = """
import sys
from click.shell_completion import ShellComplete
from clusterplan.cli import clusterplan
complete = ShellComplete(clusterplan, {}, "clusterplan", "_X").get_completions
print(*(item.value for item in complete(["status"], "")))
print(*(name for name in sys.modules if name.startswith(("clusterplan.api", "pydantic", "numpy", "sqlite3", "rich"))))
print(*(item.value for item in complete(["logs"], "--")))
"""


def test_completing_a_run_loads_little_and_its_options_are_those_of_the_command(watched: Launched) -> None:
    """A shell waits for it at every press of the key."""
    watched.file("end", "")
    run = next((watched.folder / "runs").iterdir()).name
    done = subprocess.run(
        [sys.executable, "-c", COMPLETES], env=watched.environment, capture_output=True, text=True, check=True
    )
    runs, modules, options = done.stdout.splitlines()
    assert (runs, modules) == (run, "")
    assert {"--follow", "--rank", "--all"} <= set(options.split())
