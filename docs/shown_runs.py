"""Runs that the pages show, as `clusterplan status` writes them: their facts are of real runs, their words are the code's."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from clusterplan.estimator.eta.jobs import JobLimits
from clusterplan.estimator.eta.pace import Pace
from clusterplan.estimator.eta.time_left import TimeLeft
from clusterplan.estimator.ranges import Range
from clusterplan.launcher.logs.failure import Failure
from clusterplan.launcher.run_folder.checkpoint_names import parse_name
from clusterplan.launcher.run_folder.checkpoints import Checkpoint
from clusterplan.launcher.run_folder.progress.progress import Progress
from clusterplan.launcher.runs.explain.restarts import Restart
from clusterplan.launcher.runs.run_status import RunStatus
from clusterplan.launcher.runs.state import RunState, State
from clusterplan.render.layout import Page
from clusterplan.render.resume_text import describe_resumption
from clusterplan.render.runs.status_text import render_status, render_statuses

_RUNS = Path("/scratch/me/runs")
_TWO_NODES = ("gpu1", "gpu2")


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _checkpoint(run: str, name: str, changed: str) -> Checkpoint:
    parsed = parse_name(name, is_folder=True)
    assert parsed is not None  # noqa: S101  a page shows a name that is recognised
    return Checkpoint(str(_RUNS / run / "output" / name), parsed, _at(changed))


def _restarts(reason: str, *steps: int) -> tuple[Restart, ...]:
    return tuple(Restart(number, reason, step, _TWO_NODES) for number, step in enumerate(steps, 1))


_DDP = "cpu-ddp-20261125T130848-e744"
_SWEPT = "lr-20261125T130916"
DDP_RUNS = RunStatus(
    run=_DDP,
    folder=_RUNS / _DDP,
    state=RunState(State.RUNNING, "", _at("2026-11-25 13:09:20")),
    job="4",
    restarts=0,
    progress=Progress(
        261,
        2000,
        9.46,
        0.00864,
        source="track",
        time_left=TimeLeft(
            Range(178, 186, 187),
            Range(178, 186, 187),
            Pace(Range(0.1, 0.106, 0.11), 261),
            JobLimits(760.0),
            0.99,
        ),
    ),
    began_s=_at("2026-11-25 13:08:52"),
    nodes=_TWO_NODES,
    checkpoint=_checkpoint(_DDP, "step_260", "2026-11-25 13:09:20"),
    looked_s=_at("2026-11-25 13:09:20") + 0.4,
)
_SWEEP = (
    RunStatus(
        run=f"{_SWEPT}-9501",
        folder=_RUNS / f"{_SWEPT}-9501",
        state=RunState(
            State.PENDING,
            "its sweep already runs as many jobs at once as it may",
            _at("2026-11-25 13:09:20"),
        ),
        job="5_1",
        restarts=0,
        progress=None,
        sweep={"lr": "1e-4", "seed": "1"},
    ),
    RunStatus(
        run=f"{_SWEPT}-84dc",
        folder=_RUNS / f"{_SWEPT}-84dc",
        state=RunState(State.RUNNING, "", _at("2026-11-25 13:09:28")),
        job="5_0",
        restarts=0,
        progress=None,
        sweep={"lr": "1e-3", "seed": "2"},
        began_s=_at("2026-11-25 13:09:16"),
        looked_s=_at("2026-11-25 13:09:28") - 0.1,
    ),
)
DDP_ENDED = RunStatus(
    run=_DDP,
    folder=_RUNS / _DDP,
    state=RunState(State.COMPLETED, "", _at("2026-11-25 13:12:49"), 0),
    job="4",
    restarts=2,
    progress=Progress(2000, 2000, 9.6, 0.0017, source="track"),
    began_s=_at("2026-11-25 13:08:52"),
    nodes=_TWO_NODES,
    starts=_restarts("the time limit was near", 684, 1407),
    waited_between_s=22.8,
    checkpoint=_checkpoint(_DDP, "step_2000", "2026-11-25 13:12:49"),
    has_saved=True,
    looked_s=_at("2026-11-25 13:14:59"),
)
_FOUR = "four-20261128T201158-3f9b"
_FAULT = "ValueError: could not decode image train/00381.jpg"
FOUR_FAILED = RunStatus(
    run=_FOUR,
    folder=_RUNS / _FOUR,
    state=RunState(
        State.FAILED,
        f"rank 2 on gpu2, exit code 1: {_FAULT}",
        _at("2026-11-28 20:12:56"),
        1,
        failure=Failure(2, 2, "gpu2", 1, _FAULT, None, _at("2026-11-28 20:12:56")),
    ),
    job="3",
    restarts=2,
    progress=Progress(30, 100, 9.59, 0.0262, source="track"),
    began_s=_at("2026-11-28 20:12:01"),
    nodes=_TWO_NODES,
    starts=_restarts(f"rank 2 on gpu2, exit code 1: {_FAULT}", 20, 20),
    waited_between_s=32.3,
    checkpoint=_checkpoint(_FOUR, "step_20", "2026-11-28 20:12:08"),
    has_saved=True,
    looked_s=_at("2026-11-28 20:16:53"),
)
_MOE = "finetune_moe-20261128T205216-a188"
MOE_CANCELLED = RunStatus(
    run=_MOE,
    folder=_RUNS / _MOE,
    state=RunState(State.CANCELLED, "", _at("2026-11-28 20:52:55")),
    job="7",
    restarts=0,
    progress=Progress(80, 5198, source="checkpoint"),
    began_s=_at("2026-11-28 20:52:20") + 0.6,
    nodes=("gpu1",),
    checkpoint=_checkpoint(_MOE, "checkpoint-80", "2026-11-28 20:52:54"),
    has_saved=True,
    looked_s=_at("2026-11-28 20:53:10"),
)


def shown_statuses() -> str:
    """What `clusterplan status` shows of three runs that have not ended."""
    return _written("status", lambda page: render_statuses(page, [*_SWEEP, DDP_RUNS]))


def shown_status(name: str, status: RunStatus) -> str:
    """What `clusterplan status NAME` shows of one run."""
    return _written(f"status {name}", lambda page: render_status(page, status))


def shown_resumption(name: str, status: RunStatus) -> str:
    """The first line of `clusterplan resume NAME`."""
    line = describe_resumption(status.run, status.run, status.checkpoint, ())
    return f"$ clusterplan resume {name}\n{line}\n"


def console(*parts: str) -> str:
    """Return commands and what they print as one block of a page."""
    return "\n```console\n" + "".join(parts) + "```\n"


def _written(arguments: str, fill: Callable[[Page], None]) -> str:
    page = Page(None, colour=False)
    with _in_utc():
        fill(page)
    return f"$ clusterplan {arguments}\n{page}"


@contextmanager
def _in_utc() -> Iterator[None]:
    """Write times as on a machine in UTC, wherever the pages are made."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()
