"""The script of `make gpu`, as far as a machine without a GPU can run it: its sections are real, its figures are not."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import fake_nvml as fake
import pytest
from conftest import ROOT
from warm_program import Process

SCRIPT = ROOT / "tests/gpu/report.py"
BUSY = "wave gpu=* kind=const hi=90\n"


def report(*args: str, environment: dict[str, str] | None = None) -> Process:
    return subprocess.run(
        [sys.executable, SCRIPT, *args], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def page(fake_nvml: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the page of a dry run on a fake H100."""
    scenario = tmp_path_factory.mktemp("scenario") / "scenario"
    scenario.write_text(BUSY, encoding="utf-8")
    done = report("--device", "cpu", environment=fake.environment(fake_nvml, scenario, FAKE_NVML_T0=fake.T0))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_without_a_gpu_it_is_skipped_with_the_reason() -> None:
    done = report()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("skipped: no NVIDIA GPU here: ")


def test_the_page_names_date_gpu_driver_and_torch(page: str) -> None:
    for key in (
        "| date | 20",
        "| GPU | NVIDIA H100 80GB HBM3, compute capability 9.0 |",
        "| driver |",
        "| torch |",
    ):
        assert key in page


def test_the_page_says_that_a_dry_run_means_nothing(page: str) -> None:
    assert "A dry run on the CPU: these figures mean nothing." in page


def test_the_catalogue_is_compared(page: str) -> None:
    assert "| `h100-sxm` | catalogue | driver | agree |" in page
    assert "| compute capability | 9.0 | 9.0 | yes |" in page


def test_every_call_is_timed_and_the_ring_is_counted(page: str) -> None:
    assert "`nvmlDeviceGetUtilizationRates`: `utilisation_percent`" in page
    assert "| a whole reading |" in page
    assert "GPM: permitted." in page
    assert "The ring holds 100 samples of 167 ms: 16.5 s." in page


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed here")
def test_without_torch_its_parts_are_skipped_with_the_reason(page: str) -> None:
    assert page.count("Skipped: No module named 'torch'.") == 2


@pytest.mark.skipif(find_spec("torch") is None, reason="`make frameworks` has torch")
def test_every_shape_is_trained_and_compared(page: str) -> None:
    for caption in ("Step times in ms", "Memory peaks in GB", "Shares of time by GPM"):
        assert caption in page
    assert page.count("| bf16 | 16 | ") == page.count("| fp32 | 32 | ") == 3 * 3
    assert "The sampler ran beside it for " in page
