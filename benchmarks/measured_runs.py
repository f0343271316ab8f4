"""Published step times as frozen values, read from the two tables that the benchmarks of the step model take.

`step_times.csv` has data-parallel runs: series (MODEL@CLUSTER), dataset, model, gputype, num_nodes,
num_gpus, gpus_per_node, local_bsz (micro-batch of one GPU) and step_time (s).  `measured_steps.csv` has layouts and
lengths too: source, series, model, gpu, nodes, gpus, gpus_per_node, batch_size (micro-batch of one replica),
accumulation, tensor_parallel, pipeline_parallel, model_parallel (GPUs of one replica), strategy, precision, seq_len,
parameters and step_time_s.  An empty cell is not known.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
TRACES, TABLES = "step_times.csv", "measured_steps.csv"


class Run(NamedTuple):
    """One measured step time (s) and its shape; None is not known.

    A series is one model, cluster, software, precision and strategy; the clusters of one source differ in their GPU.
    """

    source: str
    series: str
    model: str
    gpu: str
    precision: str
    strategy: str
    nodes: int
    gpus: int
    gpus_per_node: int
    batch_size: int
    accumulation: int
    tensor_parallel: int | None
    pipeline_parallel: int | None
    model_parallel: int
    seq_len: int | None
    parameters: int | None
    step_time_s: float


def read_traces(path: Path) -> list[Run]:
    """Read a table with the columns of `step_times.csv`; a series is SOURCE/MODEL@CLUSTER."""
    return _read(
        path,
        lambda r: Run(
            source=r["dataset"],
            series=f"{r['dataset']}/{r['series']}",
            model=r["model"],
            gpu=r["gputype"],
            precision="",
            strategy="ddp",
            nodes=int(r["num_nodes"]),
            gpus=int(r["num_gpus"]),
            gpus_per_node=int(r["gpus_per_node"]),
            batch_size=int(r["local_bsz"]),
            accumulation=1,
            tensor_parallel=1,
            pipeline_parallel=1,
            model_parallel=1,
            seq_len=None,
            parameters=None,
            step_time_s=float(r["step_time"]),
        ),
    )


def read_tables(path: Path) -> list[Run]:
    """Read a table with the columns of `measured_steps.csv`."""
    return _read(
        path,
        lambda r: Run(
            source=r["source"],
            series=r["series"],
            model=r["model"],
            gpu=r["gpu"],
            precision=r["precision"],
            strategy=r["strategy"],
            nodes=int(r["nodes"]),
            gpus=int(r["gpus"]),
            gpus_per_node=int(r["gpus_per_node"]),
            batch_size=int(r["batch_size"]),
            accumulation=int(r["accumulation"]),
            tensor_parallel=_whole_number(r["tensor_parallel"]),
            pipeline_parallel=_whole_number(r["pipeline_parallel"]),
            model_parallel=int(r["model_parallel"]),
            seq_len=_whole_number(r["seq_len"]),
            parameters=_whole_number(r["parameters"]),
            step_time_s=float(r["step_time_s"]),
        ),
    )


def _read(path: Path, run_of: Callable[[dict[str, str]], Run]) -> list[Run]:
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; give a folder with {TABLES} and {TRACES}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        try:
            return [run_of(row) for row in rows]
        except KeyError as missing:
            raise SystemExit(
                f"{path}: no column {missing.args[0]}; {Path(__file__).name} lists them"
            ) from None
        except (TypeError, ValueError) as error:
            raise SystemExit(f"{path}:{rows.line_num}: {error}") from None


def _whole_number(text: str) -> int | None:
    return int(float(text)) if text else None


def group_by(runs: Iterable[Run], key: Callable[[Run], K]) -> dict[K, list[Run]]:
    """Return the runs of each key, in their order."""
    groups: dict[K, list[Run]] = defaultdict(list)
    for run in runs:
        groups[key(run)].append(run)
    return dict(groups)
