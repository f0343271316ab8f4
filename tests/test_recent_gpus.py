"""How busy a run's GPUs are right now, from the ends of its spools."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.launcher.sampler.recent import recent_utilisation
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

T0 = 1_763_900_000.0


@pytest.fixture
def sampled(tmp_path: Path) -> Callable[..., Path]:
    """Write a node's spool: `busy` returns the per cent of each GPU in a second; returns the file."""

    def write(node: str, busy: Any, seconds: int = 30) -> Path:
        path = tmp_path / f"{node}.0.spool"
        with SpoolWriter(path, {"node": node, "gpus": []}) as spool:
            for second in range(seconds):
                readings = tuple(GpuReading(i, percent) for i, percent in enumerate(busy(second)))
                spool.append(encode(Tick(T0 + second, readings)))
            spool.append(encode(Event(T0 + seconds, "gap", "no sample")))
        return path

    return write


def test_the_mean_is_over_the_gpus_of_all_nodes(sampled: Callable[..., Path], tmp_path: Path) -> None:
    sampled("n1", lambda _: (90, 70))
    sampled("n2", lambda _: (20, 60))
    assert recent_utilisation(tmp_path) == 60


def test_only_the_last_seconds_count_also_in_a_long_spool(
    sampled: Callable[..., Path], tmp_path: Path
) -> None:
    path = sampled("n1", lambda second: (100,) * 8 if second >= 9_990 else (0,) * 8, seconds=10_000)
    assert path.stat().st_size > 2**19
    assert recent_utilisation(tmp_path) == 100


def test_the_spool_of_an_earlier_start_does_not_count(sampled: Callable[..., Path], tmp_path: Path) -> None:
    old = sampled("n1", lambda _: (0,))
    os.utime(old, (time.time() - 300,) * 2)
    sampled("n2", lambda _: (80,))
    assert recent_utilisation(tmp_path) == 80


def test_without_samples_or_a_readable_spool_it_is_none(sampled: Callable[..., Path], tmp_path: Path) -> None:
    assert recent_utilisation(tmp_path) is None
    sampled("n1", lambda _: ())
    (tmp_path / "n2.0.spool").write_bytes(b"junk")
    assert recent_utilisation(tmp_path) is None
