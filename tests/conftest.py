"""Commands are run as a user runs them: the installed program, in a folder of its own.

GPUs are faked at the driver's library: real clients of NVML load tests/fakenvml.
Slurm is real: four nodes of it on this machine, by tests/slurm_cluster.py.
"""

import ctypes
import os
import subprocess
import sys
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


def pytest_collection_modifyitems(items):
    for item in items:
        if "real_slurm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slurm)


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
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    program = Path(sys.executable).with_name("clusterplan")

    def run(*args, cwd=tmp_path, **extra):
        return subprocess.run(
            [program, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False, **extra
        )

    return run


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
