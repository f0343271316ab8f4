"""The pages with blocks that take real time, the test Slurm or GPUs, from their first block to their last."""

from pathlib import Path

import pytest
from conftest import run_program
from launched import write_profile_of_one_host
from page_blocks import PAGES, ROOT, Reader, read_blocks
from slurm_cluster import Cluster

SLOW = [page for page in PAGES if any(block.is_slow for block in read_blocks(page))]
ON_SLURM = [page for page in SLOW if any("slurm" in block.needs for block in read_blocks(page))]


# torchrun for scripts that have nothing to exchange: the first rank alone
TORCHRUN = """import os, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
os.execv(sys.executable, [sys.executable, *words])
"""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read_aloud(page: Path, reader: Reader) -> None:
    wrong = list[str]()
    try:
        for block in read_blocks(page):
            if (
                not wrong and "not run" not in block.marks and not block.missing()
            ):  # each builds on those before
                wrong = reader.run(block)
    finally:
        reader.leave()
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in SLOW if page not in ON_SLURM], ids=name)
def test_a_page_that_takes_time(page: Path, tmp_path: Path, fake_nvml: Path) -> None:
    scenario = tmp_path / "busy.scenario"
    scenario.write_text("wave gpu=* kind=const hi=90\n", encoding="utf-8")
    gpus = {"LD_LIBRARY_PATH": str(fake_nvml), "FAKE_NVML": str(scenario)}
    has_gpus = any("gpus" in block.needs for block in read_blocks(page))
    read_aloud(page, Reader(tmp_path / "clone", run_program, gpus if has_gpus else {}))


@pytest.mark.slow
@pytest.mark.parametrize("page", ON_SLURM, ids=name)
def test_a_page_on_slurm(page: Path, tmp_path: Path, slurm: Cluster) -> None:
    stand_in = tmp_path / "torch/distributed/run.py"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(TORCHRUN, encoding="utf-8")
    variables = {"SLURM_CONF": str(slurm.conf), "PYTHONPATH": str(tmp_path), "STEP_TIME": "1"}
    reader = Reader(tmp_path / "clone", run_program, variables)
    config = write_profile_of_one_host(tmp_path / "clone/home/.config")
    (config / "clusterplan/config.toml").write_text('profile = "test"\n', encoding="utf-8")
    read_aloud(page, reader)
