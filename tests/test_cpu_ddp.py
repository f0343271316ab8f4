"""The example that trains on CPUs: interrupted or not, it ends at the same weights."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

np = pytest.importorskip("numpy")
PROGRAM = ROOT / "examples" / "cpu_ddp.py"


def free_port() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def started(output: Any, *arguments: Any, size: int = 2, steps: int = 40) -> Iterator[list[Any]]:
    """The ranks of one job, on this machine; killed at the end of the block if they still run."""
    port = free_port()
    ranks = []
    for rank in range(size):
        place = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ranks.append(
            subprocess.Popen(
                [sys.executable, PROGRAM, "--steps", str(steps), "--output", output, *map(str, arguments)],
                env=os.environ
                | {"OMP_NUM_THREADS": "1"}
                | {name: str(value) for name, value in place.items()},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        yield ranks
    finally:
        for process in ranks:
            process.kill()
            process.communicate()


def ended(ranks: Any) -> list[Any]:
    """Exit code, what was printed and what was complained about, of each rank."""
    said = [rank.communicate(timeout=60) for rank in ranks]
    return [(rank.returncode, *streams) for rank, streams in zip(ranks, said, strict=True)]


def codes(ranks: Any) -> list[Any]:
    return [code for code, *_ in ended(ranks)]


def saved(output: Any) -> Any:
    return sorted(int(path.name[5:]) for path in output.glob("step_*"))


def weights(output: Any, step: Any) -> Any:
    with np.load(output / f"step_{step}" / "state.npz") as state:
        return state["weights"]


def when_there(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a run that nobody interrupted."""
    output = tmp_path_factory.mktemp("whole")
    with started(output) as ranks:
        assert codes(ranks) == [0, 0]
    return output


def test_it_learns(tmp_path: Path) -> None:
    with started(tmp_path, size=1, steps=200) as ranks:
        ((code, printed, _),) = ended(ranks)
    losses = [float(line.rsplit(" ", 1)[1]) for line in printed.splitlines()]
    assert (code, losses[-1] < losses[0] / 2) == (0, True)


def test_the_last_two_checkpoints_are_kept(whole: Any) -> None:
    assert saved(whole) == [20, 40]


@pytest.mark.parametrize("told", [0, 1])
def test_told_to_stop_any_rank_stops_all_and_the_weights_end_the_same(
    told: int, whole: Any, tmp_path: Path
) -> None:
    with started(tmp_path, "--step-time", 0.02, "--checkpoint-every", 5) as ranks:
        when_there(tmp_path / "step_5")
        ranks[told].send_signal(signal.SIGTERM)
        assert codes(ranks) == [75, 75]
    assert 5 <= saved(tmp_path)[-1] < 40
    with started(tmp_path, "--resume", tmp_path / f"step_{saved(tmp_path)[-1]}") as ranks:
        assert codes(ranks) == [0, 0]
    assert (weights(tmp_path, 40) == weights(whole, 40)).all()


def test_killed_it_goes_on_from_the_newest_checkpoint_in_its_folder(whole: Any, tmp_path: Path) -> None:
    with started(tmp_path, "--step-time", 0.02, "--checkpoint-every", 5) as ranks:
        when_there(tmp_path / "step_10")
        for rank in ranks:
            rank.kill()
    (tmp_path / "step_39.tmp").mkdir()  # one that was being written is no checkpoint
    with started(tmp_path) as ranks:
        assert codes(ranks) == [0, 0]
    assert (weights(tmp_path, 40) == weights(whole, 40)).all()


@pytest.mark.parametrize("killed", [0, 1])
def test_the_other_rank_fails_when_one_dies(killed: int, tmp_path: Path) -> None:
    with started(tmp_path, "--step-time", 0.02, "--checkpoint-every", 5, steps=10_000) as ranks:
        when_there(tmp_path / "step_5")
        ranks[killed].kill()
        code, _, complaint = ended(ranks)[1 - killed]
    assert (code, "gone" in complaint) == (1, True)


def test_a_finished_run_ends_at_once(whole: Any) -> None:
    with started(whole) as ranks:
        assert codes(ranks) == [0, 0]


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with started(tmp_path, "--resume", tmp_path / "final", size=1) as ranks:
        ((code, _, complaint),) = ended(ranks)
    assert (code, "is no checkpoint: give a folder step_N" in complaint) == (1, True)


def test_it_tells_clusterplan_of_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_RUN_FOLDER", str(tmp_path))
    with started(tmp_path / "out") as ranks:
        assert codes(ranks) == [0, 0]
    assert '"total": 40' in (tmp_path / "progress.jsonl").read_text(encoding="utf-8")
