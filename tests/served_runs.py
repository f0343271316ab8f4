"""Runs with their folders beside a served history: one that goes on, a sweep, a hostile one, and their campaign."""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from damaged_runs import T0, add_spool, documents, make_run
from served import HOSTILE

from clusterplan.api.history.history import collect
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.campaigns.record import (
    CampaignJobRecord,
    CampaignRecord,
    PlannedRecord,
    record_folder,
    write_campaign_record,
)
from clusterplan.launcher.run_folder.folder import write_json
from clusterplan.launcher.run_folder.task_records import TaskRecord, process_birth

STEPS_DONE, STEPS, STEP_S = 120, 1000, 0.5


def add_runs(history: Path) -> dict[str, str]:
    """Add the runs to a history, and return their ids by what they show."""
    root = history.parent / "runs"
    root.mkdir()
    goes_on = make_open_run(root, history)
    sweep = [
        make_run(root, history, "lr", 9, sweep={"lr": value, HOSTILE[:20]: "x"})
        for value in ("0.1", "0.01", HOSTILE)
    ]
    hostile = make_run(root, history, HOSTILE, 20, command=[HOSTILE, "train.py"], model=HOSTILE)
    (hostile / "logs" / "0.log").write_text(f"{HOSTILE}\n", encoding="utf-8")
    end = {"state": "failed", "ended_s": T0 + 60, "exit_code": 1, "reason": HOSTILE, "error": HOSTILE}
    write_json(
        hostile / "status.json",
        end | {"rank": 0, "log": 0, "node": HOSTILE, "error_kind": "error", "job": "7"},
    )
    add_spool(hostile)
    add_campaign(history, {"first": sweep[0], HOSTILE: hostile, "second": goes_on})
    with History(history) as opened:
        assert collect(history=opened, settle=False) == []
    return {
        "open": goes_on.name,
        "of sweep": sweep[0].name,
        "sweep": sweep[0].name[:-5],
        "hostile": hostile.name,
    }


def add_campaign(history: Path, runs: Mapping[str, Path]) -> None:
    """Add a campaign of these runs, and of a job that is not submitted yet and has a deadline."""
    now_s = time.time()
    jobs = [
        CampaignJobRecord(
            name,
            planned := PlannedRecord("gpu", 1, 2, now_s + 3600 * (place - 2), 3600.0, 4000.0),
            planned,
            runs=() if folder is None else (str(folder),),
            deadline_s=None if folder else planned.end_s - 600,
        )
        for place, (name, folder) in enumerate({**runs, "third": None}.items())
    ]
    record = CampaignRecord(
        1,
        "papers",
        "ann",
        "/here",
        "/here/runs",
        "local",
        now_s - 7200,
        now_s - 7200,
        {"gpu": 8},
        tuple(jobs),
    )
    folder = record_folder(history, "papers")
    folder.mkdir(parents=True)
    write_campaign_record(folder, record)


def make_open_run(root: Path, history: Path) -> Path:
    """Make a run of this process that is at step `STEPS_DONE`, with a checkpoint."""
    now_s = time.time()
    began_s = now_s - STEPS_DONE * STEP_S
    folder = make_run(root, history, "goes-on", 30, began_s=began_s, steps=STEPS)
    (folder / "status.json").unlink()
    process = socket.gethostname(), os.getpid(), process_birth(os.getpid())
    task = TaskRecord("7", 0, 0, 1, socket.gethostname(), *process, began_s, now_s)
    write_json(folder / "tasks" / "7.0.0.json", asdict(task))
    start = {"kind": "start", "time_s": began_s, "step": 0, "total": STEPS, "attempt": "7.0"}
    steps = [
        {
            "kind": "steps",
            "time_s": began_s + step * STEP_S,
            "step": step,
            "steps": 1,
            "seconds": STEP_S,
            "longest_s": STEP_S,
            "loss": 3 / step,
        }
        for step in range(1, STEPS_DONE + 1)
    ]
    lines = "".join(f"{json.dumps(line)}\n" for line in (start, *steps))
    (folder / "progress.jsonl").write_text(lines, encoding="utf-8")
    saved = folder / "output" / "checkpoint-100"
    saved.mkdir()
    (saved / "model.safetensors").write_bytes(b"weights")
    assert documents(folder)["launch.json"]["output"] == str(folder / "output")
    return folder
