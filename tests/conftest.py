"""Commands are run as a user runs them: the installed program, in a folder of its own.

GPUs are faked at the driver's library: real clients of NVML load tests/fakenvml.
Slurm is real: five nodes of it on this machine, by tests/slurm_cluster.py.
"""

import ctypes
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import fake_nvml as fake
import pynvml
import pytest
import slurm_cluster
from warm_program import Process, WarmProgram

from clusterplan.cli import main

if TYPE_CHECKING:
    from launched import Launched, Stories

ROOT = Path(__file__).parent.parent
HOSTILE_NAME = "a 'quoted\" place"
collect_ignore = ["frameworks/scripts"]  # run by Slurm, in an environment that has torch
SCALE = int(
    os.environ.get("CLUSTERPLAN_TEST_SCALE", "1")
)  # how many times more random cases; `make test-slow`

Command = Callable[..., Process]  # the fixtures `clusterplan`, `in_process` and `run_on_gpus`
MoveClock = Callable[[float], None]
StartScenario = Callable[..., MoveClock]  # the fixture `gpus`

# There is one of each in a run of the tests: with `-n`, one process has all the files that use it.
ONCE = {
    "real_slurm": {
        "test_campaign_slurm",
        "test_discovery",
        "test_frameworks",
        "test_neighbours_slurm",
        "test_page_blocks_slow",
        "test_partition_lists",
        "test_preflight",
        "test_request",
        "test_restarts",
        "test_scripts_slurm",
        "test_resume_slurm",
        "test_site_filters",
        "test_slurm",
        "test_slurm_cluster",
        "test_slurm_runs",
        "test_submit_sweep",
    },
    "fake_nvml": {
        "test_fake_nvml",
        "test_following",
        "test_gpu_report",
        "test_local_queue",
        "test_page_blocks_slow",
        "test_report",
        "test_sampler",
    },
    "pages_browser": {"test_serve_pages"},
}


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "real_slurm" in fixtures:
            item.add_marker(pytest.mark.slurm)
        for name, files in ONCE.items():
            if name in fixtures and item.path.stem not in files:
                raise pytest.UsageError(f"{item.path}: it uses {name}, so name it in ONCE of {__file__}")
    # Stories run side by side on the test Slurm, and any other test of it cancels all jobs: so they come last.
    items.sort(key=lambda item: "stories" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Each test goes to the process that is free, but for those of ONCE and of files that make something once."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  xdist, which only `-n` needs

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            group = next((name for name, files in ONCE.items() if Path(file).stem in files), None)
            return group or (file if file in made_once else nodeid.partition("[")[0])

    made_once = {
        f"tests/{path.name}"
        for path in Path(__file__).parent.glob("test_*.py")
        if 'scope="module"' in path.read_text(encoding="utf-8")
    }

    return Scheduler(config, log)


def _at_home(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    patch.setenv("XDG_DATA_HOME", str(folder / "data"))


_home = pytest.MonkeyPatch()
_home_folder = tempfile.TemporaryDirectory()


def pytest_sessionstart() -> None:
    """Keep the runs of tests out of the user's history, and the user's history out of tests and of examples in docstrings."""
    for name, place in (
        ("XDG_DATA_HOME", "data"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CONFIG_DIRS", "site"),
    ):
        folder = Path(_home_folder.name, place)
        folder.mkdir()
        _home.setenv(name, str(folder))
    _home.delenv("CLUSTERPLAN_HISTORY", raising=False)
    _home.delenv("CLUSTERPLAN_RUNS", raising=False)


def pytest_sessionfinish() -> None:
    _home.undo()
    _home_folder.cleanup()


warm_program = WarmProgram()


@pytest.fixture(scope="session", autouse=True)
def _warm_program() -> Iterator[None]:
    yield
    warm_program.close()


def run_program(*args: object, **more: Any) -> Process:
    """Run `clusterplan ARGS` in a process of its own; `more` as of subprocess.run."""
    return warm_program.run(args, **more)


@pytest.fixture
def clusterplan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `clusterplan ARGS` in an empty folder; return the finished process."""
    _at_home(tmp_path, monkeypatch)

    def run(*args: object, cwd: Path = tmp_path, **more: Any) -> Process:
        return run_program(*args, cwd=cwd, **more)

    return run


def run_in_process(*args: object) -> Process:
    """Run `clusterplan ARGS` in this process; return what a finished process would be."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_info:
        main([str(argument) for argument in args])
    return subprocess.CompletedProcess(
        args, cast("int", exit_info.value.code), out.getvalue(), err.getvalue()
    )


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `clusterplan ARGS` without a process of its own: for dozens of cases that are the same in any process."""
    _at_home(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return run_in_process


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a libnvidia-ml.so.1 whose GPUs do what a scenario says; return its folder."""
    folder = fake.build(tmp_path_factory.mktemp("fakenvml"))
    if folder is None:
        pytest.skip("no C compiler to build the fake NVML library with")
    return folder


@pytest.fixture
def run_on_gpus(fake_nvml: Path, tmp_path: Path) -> Command:
    """Run a Python snippet in a process that sees the GPUs of a scenario; return the finished process."""

    def run(snippet: str, scenario: str = "", now: float | None = None, **variables: object) -> Process:
        path = tmp_path / "scenario"
        path.write_text(scenario, encoding="utf-8")
        environment = fake.environment(fake_nvml, path, now, **variables)
        return subprocess.run(
            [sys.executable, "-c", snippet], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def gpus(fake_nvml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartScenario]:
    """Start a scenario in this process, its clock pinned; return the function that moves the clock.

    Python's os.environ sets the C environment too, which is where the library reads it.
    """

    def start(scenario: str = "", now: float = 0, **variables: object) -> MoveClock:
        path = tmp_path / "scenario"
        path.write_text(scenario, encoding="utf-8")
        variables = {"FAKE_NVML": path, "FAKE_NVML_T0": fake.T0, "FAKE_NVML_NOW": now, **variables}
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        pynvml.nvmlInit()
        started.append(scenario)
        return lambda t: monkeypatch.setenv("FAKE_NVML_NOW", str(t))

    started: list[str] = []
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(fake_nvml / "libnvidia-ml.so.1")))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield start
    for _ in started:
        pynvml.nvmlShutdown()


@pytest.fixture(scope="session")
def real_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_cluster.Cluster]:
    """Start a Slurm of five nodes with 8 GPUs each, once for all tests; `slurm` lends it to one test."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm_with_accounting(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[slurm_cluster.Cluster]:
    """Start a cluster for one test, with slurmdbd and a database, and let Slurm's commands use it."""
    if reason := slurm_cluster.missing(accounting=True):
        pytest.skip(reason)
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm"), accounting=True) as cluster:
        monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
        yield cluster


@pytest.fixture
def slurm(
    real_slurm: slurm_cluster.Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[slurm_cluster.Cluster]:
    """Lend the test Slurm to one test: Slurm's commands use it, and its jobs end with the test."""
    monkeypatch.setenv("SLURM_CONF", str(real_slurm.conf))
    yield real_slurm
    real_slurm.ask("scancel", "--user=root")


@pytest.fixture
def launched(clusterplan: Command, tmp_path: Path) -> "Launched":
    """Give clusterplan in a folder of a hostile name, with a history and runs of its own."""
    from launched import Launched  # noqa: PLC0415  it imports this module

    folder = tmp_path / HOSTILE_NAME
    folder.mkdir()
    return Launched(folder, clusterplan)


@pytest.fixture
def without_slurm(launched: "Launched") -> "Launched":
    """Take Slurm's commands off PATH."""
    few = launched.folder / "bin"
    few.mkdir()
    for name in ("env", "python"):
        (few / name).symlink_to(shutil.which(name))
    launched.environment["PATH"] = str(few)
    return launched


@pytest.fixture
def on_slurm(slurm: slurm_cluster.Cluster, launched: "Launched", tmp_path: Path) -> "Launched":
    """Give clusterplan on the test Slurm, whose profile is called `test`."""
    from launched import write_profile_of_one_host  # noqa: PLC0415  likewise

    launched.slurm = slurm
    write_profile_of_one_host(tmp_path / "config")
    return launched


@pytest.fixture(scope="session")
def stories(
    request: pytest.FixtureRequest,
    real_slurm: slurm_cluster.Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> "Iterator[Stories]":
    """Begin every story of this session, a few at a time."""
    from launched import Stories  # noqa: PLC0415  likewise

    tests = cast("list[pytest.Function]", request.session.items)
    wanted = [item.function.story for item in tests if "stories" in item.fixturenames]
    with Stories(wanted, real_slurm, tmp_path_factory.mktemp) as stories:
        yield stories


@pytest.fixture
def lab() -> Iterator[Path]:
    """A folder that users of one group share, with a home for each."""
    from two_users import make_lab  # noqa: PLC0415  it imports this module

    with make_lab() as folder:
        yield folder


@pytest.fixture
def python_as(lab: Path) -> Callable[..., Any]:
    """Run Python with this installation as a user."""
    from two_users import python_of  # noqa: PLC0415  likewise

    return python_of(lab)


@pytest.fixture(scope="session")
def program_for_all() -> Iterator[WarmProgram]:
    """Clusterplan in a Python that every user may run."""
    from two_users import python_for_all  # noqa: PLC0415  likewise

    python = python_for_all()
    program = WarmProgram(python, [python, "-m", "clusterplan"])
    yield program
    program.close()


@pytest.fixture
def run_as(lab: Path, program_for_all: WarmProgram) -> Callable[..., Any]:
    """Run `clusterplan` as a user."""
    from two_users import as_users  # noqa: PLC0415  likewise

    return as_users(lab, program_for_all.run)
