"""`clusterplan book`: boxes of GPUs x time, and the line for the administrator.

scontrol(1) of Slurm: a reservation needs `StartTime`, `Duration` or `EndTime`, and `Users` or `Accounts`.
"""

import itertools
import json
import re
from datetime import datetime
from pathlib import Path

import pytest
from conftest import Command
from test_schedule import NOW, write_campaign, write_job

import clusterplan
from clusterplan.errors import InputError

CAMPAIGN = 'profile = "slurm-a100"\ndeadline = "4d"\n[[caps]]\npartition = "gpu"\ngpus = 32'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        write_job(tmp_path, f"job{number}", number * 1_000_000)
    return write_campaign(tmp_path, CAMPAIGN, "job1 job2 job3")


def test_the_line_books_whole_nodes_for_somebody_from_a_date_on(path: Path) -> None:
    answer = clusterplan.book(
        path, users=["ann", "bob"], start="2026-12-01T08:00:00", measurements=[], now=NOW
    )
    box, reservation = answer.boxes[answer.best], answer.reservations[answer.best]
    words = reservation.command().split()
    assert words[:3] == ["scontrol", "create", "reservation"]
    assert words[3:5] == ["ReservationName=campaign", "StartTime=2026-12-01T08:00:00"]
    assert words[6:] == ["PartitionName=gpu", f"NodeCnt={box.nodes}", "Users=ann,bob"]
    assert re.fullmatch(r"Duration=(\d+-)?\d\d:00:00", words[5])
    assert box.plan.campaign.now_s == datetime.fromisoformat("2026-12-01T08:00:00").astimezone().timestamp()
    assert 0 <= reservation.duration_s - box.p90_s < 3600


def test_no_box_is_beaten_by_a_smaller_one(path: Path) -> None:
    boxes = clusterplan.book(path, users=["ann"], measurements=[], now=NOW).boxes
    assert [box.nodes for box in boxes] == sorted({box.nodes for box in boxes})
    assert all(later.p90_s < box.p90_s for box, later in itertools.pairwise(boxes))


def test_the_best_box_meets_the_deadlines(path: Path) -> None:
    answer = clusterplan.book(path, users=["ann"], measurements=[], now=NOW)
    assert answer.boxes[answer.best].is_in_time
    assert not all(box.is_in_time for box in answer.boxes)


def test_the_page_has_the_boxes_and_the_line(path: Path, in_process: Command) -> None:
    done = in_process("book", path.name, "--accounts", "lab")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ +scontrol create reservation .* Accounts=lab$", done.stdout, flags=re.MULTILINE)
    answer = json.loads(in_process("book", path.name, "--users", "ann", "--json").stdout)
    assert set(answer["boxes"][answer["best"]]) >= {
        "nodes",
        "gpus",
        "needs_s",
        "booked_s",
        "used_share",
        "command",
    }


def test_another_box_can_be_chosen(path: Path) -> None:
    answer = clusterplan.book(path, nodes=2, users=["ann"], measurements=[], now=NOW)
    assert answer.boxes[answer.best].nodes == 2
    with pytest.raises(InputError, match="--nodes: no box has 9 nodes: there are 1, 2"):
        clusterplan.book(path, nodes=9, users=["ann"], measurements=[], now=NOW)


def test_a_start_in_the_past_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="--start: '2020-01-01' is in the past"):
        clusterplan.book(path, start="2020-01-01", measurements=[], now=NOW)
