"""`clusterplan report --html FILE` by the command line: where it writes, what it refuses, and what a hostile run says.

Text that a page must not obey: https://owasp.org/www-community/attacks/xss/, CVE-2021-42574 (direction marks).
"""

import json
import os
import stat
from pathlib import Path

import pytest
from conftest import Command
from launched import Launched

import clusterplan
from clusterplan.estimator.gpu_use.reading import GpuReading
from clusterplan.estimator.history.runs import History

T0 = 1_767_600_000.0
HOSTILE = "<img src=http://x.test/a onerror=alert(1)></script><script>alert(2)</script>\x1b]0;t\x07\u202e"
SEEN = "&lt;img src=http://x.test/a onerror=alert(1)&gt;&lt;/script&gt;&lt;script&gt;"


def put_run(history: History, run: str, gpus: int, seconds: int) -> None:
    """Put a run that has ended; its GPUs are eight per node and have a reading per second."""
    with history.writing():
        times = {"began_s": T0 - 60, "started_s": T0, "ended_s": T0 + seconds}
        history.put_run({"run": run, "folder": "/gone", "name": HOSTILE, "state": "completed", **times})
        for number in range(gpus):
            node, uuid = f"n{number // 8}", f"GPU-{run}-{number}"
            history.put_node(
                run, node, {"period_s": 1.0}, [{"uuid": uuid, "index": str(number % 8), "name": HOSTILE}]
            )
            rows = [
                (T0 + second, GpuReading(0, 90 + number % 7, power_mw=600_000)) for second in range(seconds)
            ]
            history.put_readings(run, f"{node}.0.spool", uuid, rows)
        history.put_notes(run, [{"code": "idle", "text": HOSTILE, "uuids": []}])


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with runs of 0, 1 and 64 GPUs, and one whose readings are damaged."""
    path = tmp_path_factory.mktemp("shelf") / "history.db"
    with History(path) as history:
        for run, gpus, seconds in (("none", 0, 60), ("one", 1, 60), ("wide", 64, 3), ("damaged", 1, 60)):
            put_run(history, run, gpus, seconds)
        with history.writing():
            history._db.execute("UPDATE raw_block SET packed = x'00' WHERE run = 'damaged'")
    return path


@pytest.fixture
def report(shelf: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `clusterplan report ARGS` on that history."""
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(shelf))
    return lambda *arguments: in_process("report", *arguments)


@pytest.mark.parametrize(("run", "charts"), [("none", 0), ("one", 2), ("wide", 2)])
def test_a_run_becomes_one_file_whose_texts_stay_text(
    report: Command, tmp_path: Path, run: str, charts: int
) -> None:
    done = report(run, "--html", "run.html")
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert (done.returncode, done.stderr.startswith("run.html: written, ")) == (0, True)
    assert page.count('<figure class="chart"') == charts
    assert SEEN in page
    assert "<img" not in page
    assert not {"\x1b", "\x07", "\u202e"} & set(page)
    assert page.count("<script") == page.count("</script>") == (2 if run == "wide" else 1)


def test_a_run_without_a_reading_says_so(report: Command, tmp_path: Path) -> None:
    report("none", "--html", "run.html")
    assert "No GPU was read." in (tmp_path / "run.html").read_text(encoding="utf-8")


def test_a_file_is_replaced_and_a_link_to_it_stays(report: Command, tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old")
    (tmp_path / "link.html").symlink_to("old.html")
    assert report("one", "--html", "link.html").returncode == 0
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "old.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_dash_prints_the_page_alone(report: Command, tmp_path: Path) -> None:
    done = report("one", "--html", "-")
    assert (done.stdout.startswith("<!doctype html>"), done.stdout.endswith("</html>\n")) == (True, True)
    assert list(tmp_path.glob("*")) == []
    assert report("one", "--html", "-", "--json").returncode == 2


def test_json_stays_on_stdout_beside_a_file(report: Command) -> None:
    assert json.loads(report("one", "--html", "run.html", "--json").stdout)["run"] == "one"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("gone/run.html", "there is no folder gone: make it, or give another file"),
        ("file/run.html", "there is no folder file: make it, or give another file"),
        (".", "is a folder; give a file, such as run.html"),
        ("", "is a folder; give a file, such as run.html"),  # a shell variable that is not set
        (os.devnull, "is no file; give a file, such as run.html"),
    ],
)
def test_a_place_that_is_none_is_one_line(report: Command, tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "file").touch()
    done = report("one", "--html", place)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"Error: --html {place or '.'}: {why}\n")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(report: Command, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    done = report("one", "--html", "shut/run.html")
    assert done.stderr == "Error: --html shut/run.html: cannot be written: Permission denied\n"


@pytest.mark.parametrize(
    ("run", "code", "why"), [("nothing", 2, "nothing"), ("damaged", 1, "history import --rebuild")]
)
def test_what_cannot_be_reported_is_one_line_and_no_file(
    report: Command, tmp_path: Path, run: str, code: int, why: str
) -> None:
    done = report(run, "--html", "run.html")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert why in done.stderr
    assert list(tmp_path.glob("*")) == []


def test_a_notebook_shows_the_charts_of_the_page_as_images(report: Command) -> None:
    assert report("wide", "--html", "run.html").returncode == 0
    html = clusterplan.report("wide")._repr_html_()
    assert html.count('<img alt="') == html.count('src="data:image/svg+xml;base64,') == 2
    assert "<script" not in html
    assert "<style" not in html


def test_a_sweep_becomes_one_file_whose_values_stay_text(launched: Launched) -> None:
    script = launched.file("train.py", "import sys\nprint(sys.argv)\n")
    words = ("--executor", "local", "--name", "lr", "--gpus", "1", "--sweep", f"x=1,'{HOSTILE}'")
    runs = launched.submit(*words, "--", "python", script, "{x}")["runs"]
    for run in runs:
        launched.ended(run["run"])
    done = launched("report", "lr", "--html", "sweep.html")
    assert (done.returncode, "sweep.html: written" in done.stderr) == (0, True)
    page = (launched.folder / "sweep.html").read_text(encoding="utf-8")
    assert SEEN in page
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 1
