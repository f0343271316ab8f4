"""Commands are run as a user runs them: the installed program, in a folder of its own.

GPUs are faked at the driver's library: real clients of NVML load tests/fakenvml.
Slurm is real: four nodes of it on this machine, by tests/slurm_cluster.py.
"""

import ctypes
import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import fake_nvml as fake
import pynvml
import pytest
import slurm_cluster

ROOT = Path(__file__).parent.parent
collect_ignore = ["frameworks/scripts"]  # run by Slurm, in an environment that has torch
SCALE = int(
    os.environ.get("CLUSTERPLAN_TEST_SCALE", "1")
)  # how many times more random cases; `make test-slow`


# There is one of each in a run of the tests: with `-n`, one process has all the files that use it.
ONCE = {
    "real_slurm": {
        "test_discovery",
        "test_frameworks",
        "test_preflight",
        "test_request",
        "test_slurm",
        "test_slurm_cluster",
        "test_submit",
    },
    "fake_nvml": {"test_fake_nvml", "test_following", "test_local_queue", "test_report", "test_sampler"},
}


def pytest_collection_modifyitems(items):
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "real_slurm" in fixtures:
            item.add_marker(pytest.mark.slurm)
        for name, files in ONCE.items():
            if name in fixtures and item.path.stem not in files:
                raise pytest.UsageError(f"{item.path}: it uses {name}, so name it in ONCE of {__file__}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each test goes to the process that is free, but for those of ONCE."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  `make gpu` has no xdist

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = Path(nodeid.partition("::")[0]).stem
            return next((name for name, files in ONCE.items() if file in files), nodeid)

    return Scheduler(config, log)


def _at_home(folder, patch):
    patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    patch.setenv("XDG_DATA_HOME", str(folder / "data"))


@pytest.fixture(scope="session", autouse=True)
def _history_of_nobody(tmp_path_factory):
    """Keep what tests run out of the history of whoever runs them, and that one out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.delenv("CLUSTERPLAN_HISTORY", raising=False)
        patch.delenv("CLUSTERPLAN_RUNS", raising=False)
        yield


@pytest.fixture
def clusterplan(tmp_path, monkeypatch):
    """Run `clusterplan ARGS` in an empty folder; gives the finished process."""
    _at_home(tmp_path, monkeypatch)
    program = Path(sys.executable).with_name("clusterplan")

    def run(*args, cwd=tmp_path, **extra):
        return subprocess.run(
            [program, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False, **extra
        )

    return run


def run_in_process(*args):
    """What `clusterplan ARGS` does, in this process; gives what a finished process gives."""
    from clusterplan.cli import main  # noqa: PLC0415  `make gpu` has none of what it needs

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in args])
    return subprocess.CompletedProcess(args, ended.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def in_process(tmp_path, monkeypatch):
    """As `clusterplan`, without a process: for what is asked by the dozen, and is true of any process."""
    _at_home(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return run_in_process


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory):
    """The folder of a libnvidia-ml.so.1 whose GPUs do what a scenario says."""
    folder = fake.build(tmp_path_factory.mktemp("fakenvml"))
    if folder is None:
        pytest.skip("no C compiler to build the fake NVML library with")
    return folder


@pytest.fixture
def run_on_gpus(fake_nvml, tmp_path):
    """Run a Python snippet in a process that sees the GPUs of a scenario; gives the finished process."""

    def run(snippet, scenario="", now=None, **variables):
        path = tmp_path / "scenario"
        path.write_text(scenario, encoding="utf-8")
        variables = fake.environment(fake_nvml, path, now, **variables)
        return subprocess.run(
            [sys.executable, "-c", snippet], env=variables, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def gpus(fake_nvml, tmp_path, monkeypatch):
    """Start a scenario in this process, its clock pinned; gives the function that moves the clock.

    Python's os.environ sets the C environment too, which is where the library reads it.
    """

    def start(scenario="", now=0, **variables):
        path = tmp_path / "scenario"
        path.write_text(scenario, encoding="utf-8")
        variables = {"FAKE_NVML": path, "FAKE_NVML_T0": fake.T0, "FAKE_NVML_NOW": now, **variables}
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        pynvml.nvmlInit()
        started.append(scenario)
        return lambda t: monkeypatch.setenv("FAKE_NVML_NOW", str(t))

    started = []
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(fake_nvml / "libnvidia-ml.so.1")))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield start
    for _ in started:
        pynvml.nvmlShutdown()


@pytest.fixture(scope="session")
def real_slurm(tmp_path_factory):
    """A Slurm of four nodes with 8 GPUs each, started once; `slurm` is for one test."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm_with_accounting(tmp_path_factory, monkeypatch):
    """Another such cluster, of this test alone, with slurmdbd and a database: its commands answer here."""
    if reason := slurm_cluster.missing(accounting=True):
        pytest.skip(reason)
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm"), accounting=True) as cluster:
        monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
        yield cluster


@pytest.fixture
def slurm(real_slurm, monkeypatch):
    """The test Slurm as this test's own: its commands answer here, and its jobs end with the test."""
    monkeypatch.setenv("SLURM_CONF", str(real_slurm.conf))
    yield real_slurm
    real_slurm.ask("scancel", "--user=root")
