"""Run folders as `submit` and the node write them, of runs whose time is made up."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterplan.estimator.estimate.estimate import Estimate
from clusterplan.estimator.estimate.shapes import Verdicts
from clusterplan.estimator.job.placement import shape_of_job
from clusterplan.launcher.in_training.progress_file import PROGRESS_FILE
from clusterplan.launcher.in_training.tracker import MAX_INTERVAL_S
from clusterplan.launcher.run_folder.folder import (
    ESTIMATE_FILE,
    REQUEST_FILE,
    STATUS_FILE,
    TASKS,
    create_run_folder,
    json_text,
    register_run,
    write_new_text,
)
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.submission.request import request_of
from clusterplan.render.estimate.as_dict import estimate_as_dict

_MOST_LINES = 300


@dataclass(frozen=True)
class Course:
    """What a run does: its steps with their time and spread, its pauses, how it ends; times are in seconds.

    `stops_after` is the step after which it ends, by default the last.
    """

    steps: int
    step_s: float
    startup_s: float = 60.0
    waits_s: float = 0.0  # of each step, for its input
    evaluation_s: float = 0.0
    evaluation_every: int | None = None
    checkpoint_s: float = 0.0
    checkpoint_every: int | None = None
    queue_s: float = 30.0
    step_noise: Sequence[float] = (1.0,)  # factors, line after line, over and over
    stops_after: int | None = None
    state: str = "completed"


def write_submitted(
    name: str,
    root: Path,
    history: Path,
    estimate: Estimate,
    now_s: float,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder of a new run with its estimate and request, and register it."""
    workload, placement, size = estimate.workload, estimate.placement, estimate.workload.architecture
    shape = {
        "model": workload.model,
        **asdict(shape_of_job(workload, placement)),
        "cluster": placement.cluster,
        "parameters": size.parameters,
        "active_parameters": size.active_parameters,
        "trainable_parameters": size.trainable_parameters,
    }
    run = {"kind": "submit", "model": workload.model, "command": ["train.py"], "steps": estimate.steps.total}
    run |= {"shape": shape, "began_s": now_s, **(facts or {})}
    folder = create_run_folder(name, root, datetime.fromtimestamp(now_s, UTC), run)
    write_new_text(folder / ESTIMATE_FILE, json_text(estimate_as_dict(estimate, Verdicts(None, None))))
    write_new_text(folder / REQUEST_FILE, json_text(asdict(request_of(estimate))))
    register_run(folder, history)
    return folder


def write_ended(folder: Path, course: Course, submitted_s: float) -> float:
    """Write what the node writes of a run until its end; return the Unix time of that."""
    began_s = submitted_s + course.queue_s
    lines = list(_lines(course, began_s, f"{folder.name}.0"))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / PROGRESS_FILE).write_text(text, encoding="utf-8")
    ended_s = float(lines[-1]["time_s"])
    record = TaskRecord(
        job=folder.name,
        restart=0,
        rank=0,
        ranks=1,
        node="n1",
        host="n1",
        pid=1,
        birth="1",
        began_s=began_s,
        beat_s=ended_s,
        state="ended",
        outcome="completed",
        exit_code=0,
        ended_s=ended_s,
    )
    (folder / TASKS).mkdir()
    write_new_text(folder / TASKS / record.file_name, json_text(asdict(record)))
    status = {"state": course.state, "exit_code": 0, "ended_s": ended_s}
    write_new_text(folder / STATUS_FILE, json_text(status))
    return ended_s


def _lines(course: Course, began_s: float, attempt: str) -> Iterator[dict[str, Any]]:
    """The lines of `track`, each of about the steps of ten seconds; the first step is alone, as it is slow."""
    now_s, done, number = began_s + course.startup_s, 0, 0
    yield {"kind": "start", "time_s": now_s, "step": 0, "total": course.steps, "attempt": attempt}
    every = max(round(MAX_INTERVAL_S / course.step_s), -(-course.steps // _MOST_LINES), 1)
    stops = [n for n in (course.evaluation_every, course.checkpoint_every) if n]
    last = course.stops_after or course.steps
    while done < last:
        size = min(every if done else 1, last - done, *(n - done % n for n in stops))
        seconds = course.step_s * course.step_noise[number % len(course.step_noise)] * size
        now_s, done, number = now_s + seconds, done + size, number + 1
        yield {
            "kind": "steps",
            "time_s": now_s,
            "step": done,
            "steps": size,
            "seconds": seconds,
            "wait_s": course.waits_s * size,
            "longest_s": seconds / size,
        }
        for what, pause_s, n in (
            ("evaluation", course.evaluation_s, course.evaluation_every),
            ("checkpoint", course.checkpoint_s, course.checkpoint_every),
        ):
            if n and (done % n == 0 or (what == "checkpoint" and done == course.steps)):
                now_s += pause_s
                yield {"kind": "pause", "time_s": now_s, "step": done, "what": what, "seconds": pause_s}
    yield {"kind": "end", "time_s": now_s, "step": done}
