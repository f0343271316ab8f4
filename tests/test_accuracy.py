"""The accuracy benchmark runs from a file, plays by its rules, and the product's path leads there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import rivals

HEADER = "series,model,gpu,num_nodes,num_gpus,gpus_per_node,local_bsz,step_time\n"


def benchmark(tmp_path: Any, *arguments: Any) -> str:
    rows = [
        f"m@c,m,c,{nodes},{nodes * each},{each},{batch},{0.05 + 0.01 * batch + 0.03 * (each > 1) + 0.1 * (nodes > 1)}\n"
        for nodes in (1, 2)
        for each in (1, 2, 4)
        for batch in (8, 32)
    ]
    data = tmp_path / "times.csv"
    data.write_text(HEADER + "".join(rows))
    command = [
        sys.executable,
        ROOT / "benchmarks" / "accuracy.py",
        "--data",
        data,
        "--seeds",
        "1",
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def mape(table: Any, part: Any, method: Any) -> list[Any]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {part}, {method} |"))
    return [float(cell) for cell in line.split("|")[2:-1]]


def test_ours_beats_linear_scaling_beyond_what_was_measured(tmp_path: Path) -> None:
    table = benchmark(tmp_path, "--methods", "linear,clusterplan")
    ours, linear = (mape(table, "extra", method) for method in ("clusterplan", "linear"))
    assert sum(ours) < sum(linear)


@pytest.mark.parametrize("method", [rivals.linear, rivals.amdahl, rivals.ernest, rivals.pollux])
def test_every_rival_fits_a_series_that_scales_perfectly(method: Any) -> None:
    runs = np.array([[1, 1, 1, 32], [1, 2, 2, 32], [1, 4, 4, 32]], float)
    asked = np.array([[1, 8, 8, 32]], float)
    assert method(runs, np.full(3, 0.4), asked) == pytest.approx(0.4, rel=0.05)


def test_published_throughput_that_scales_perfectly_is_told_from_fewer_gpus(tmp_path: Path) -> None:
    header = "source,model,gpu,precision,seq_len,n_gpus,micro_batch,global_batch,tokens_per_s_per_gpu,parallelism\n"
    rows = [f"s,m,g,bf16,2048,{gpus},8,{gpus * 16},4000,FULL_SHARD\n" for gpus in (8, 16, 64, 256)]
    data = tmp_path / "published.csv"
    data.write_text(header + "".join(rows) + "s,m,g,bf16,2048,512,8,8192,9000,tp=2 pp=4\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "published_scaling.py"), "--data", str(data)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    factors, count, ours, perfect, _ = (cell.strip() for cell in told.splitlines()[-1].strip("|").split("|"))
    assert (factors, count, float(perfect)) == ("2 to 64", "6", 0)
    assert float(ours) < 10
