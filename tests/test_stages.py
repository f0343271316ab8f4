"""A job in stages: what each takes, the check at its end, and what follows from it."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from launched import in_one_row

from clusterplan.errors import WorkloadError
from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.measurements.training_loop import LoopLine, LoopStart, LoopSteps
from clusterplan.estimator.stages.check import StageCheck, StageVerdict, judge_stage
from clusterplan.estimator.stages.stages import check_of, lay_out_stages, parse_stages, stage_workload
from clusterplan.launcher.node.stages.check import read_memory_peak_bytes
from clusterplan.launcher.run_folder.records.checked import check_record
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

JOB = Workload.of(name="net", samples=30_000_000, batch_size=32, gpus=8, samples_per_s=44.3)
GIB = 2**30


def lines(losses: Sequence[float | None], step_time_s: float = 1.0) -> list[LoopLine]:
    return [
        LoopStart(0.0, 0),
        *(
            LoopSteps(9.0 + i, i + 1, 1, step_time_s, step_time_s, None, loss)
            for i, loss in enumerate(losses)
        ),
    ]


def course(*points: float) -> list[float]:
    """Losses on straight lines between points, ten from each to the next."""
    return [a + (b - a) * i / 10 for a, b in itertools.pairwise(points) for i in range(10)]


def test_the_thirty_million_of_the_seed_begin_with_one_per_cent() -> None:
    """PKU-YuanGroup/MoE-LLaVA#28: a million of 30 million samples is enough for a first stage."""
    stages = lay_out_stages(JOB)
    assert [(stage.name, stage.estimate.steps.total) for stage in stages] == [
        ("1 %", 1172),
        ("3 %", 3516),
        ("100 %", 117_188),
    ]
    assert stages[-1].check is None
    assert stages[0].check.text.startswith("loss falls by 2 % and does not diverge, at most 6.67s per step")


def test_a_stage_has_an_output_of_its_own_and_the_whole_job_keeps_its_own() -> None:
    job = JOB.model_copy(update={"checkpoint": JOB.checkpoint.model_copy(update={"folder": "out"})})
    shares = parse_stages("2.5%,100%")
    stages = [stage_workload(job, share) for share in shares]
    assert [(stage.name, stage.checkpoint.folder) for stage in stages] == [
        ("net-2_5pct", None),
        ("net", "out"),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("few", "'few' is no share of the steps: write 1%,3%,100%"),
        ("0%,100%", "'0%' is not above 0"),
        ("3%,1%", "does not grow: write the smallest first"),
        ("", "'' is no share"),
    ],
)
def test_stages_are_growing_shares(text: str, fault: str) -> None:
    with pytest.raises(WorkloadError) as error:
        parse_stages(text)
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("losses", "passed", "words"),
    [
        (course(3, 1), True, "the loss fell from 2.9 to 1.3"),
        (course(1.4, 1.1, 1.1), True, "the loss fell"),  # MoE-LLaVA#28 at 7,000 steps
        (course(1.4, 1.39), False, "did not fall by 2 %"),
        (course(3, 1, 2.9), False, "the loss diverges: it fell to"),
        ([*course(3, 1), math.nan], False, "the loss diverged: it is nan"),
        ([*course(3, 1), math.inf], False, "the loss diverged: it is inf"),
        (course(-1, -2), True, "the loss fell"),  # a log-likelihood
        ([3.0, 2.0], None, "2 of the 10 losses that it takes to tell"),
        ([None] * 30, None, "0 of the 10 losses"),
    ],
)
def test_a_loss_has_to_fall_and_stay_there(losses: Any, passed: bool | None, words: str) -> None:
    (finding,) = judge_stage(StageCheck(), lines(losses), None).findings
    assert (finding.passed, words in finding.text) == (passed, True)


def test_speed_and_memory_are_held_against_the_estimate() -> None:
    check = StageCheck(None, step_time_s=1.2, memory_bytes=30 * GIB, capacity_bytes=80 * GIB)
    fine = judge_stage(check, lines(course(3, 1, 1)), 60 * GIB)  # more than estimated, and room is left
    assert (fine.passed, fine.reason) == (True, "")
    slow = judge_stage(check, lines(course(3, 1, 1), 1.3), 78 * GIB)
    assert slow.reason == "a step takes 1.3s, more than 1.2s; a GPU used 78 GiB, more than 76 GiB"
    unknown = judge_stage(check, [], None)
    assert (unknown.passed, [finding.passed for finding in unknown.findings]) == (True, [None, None])
    assert check_record(StageVerdict, json.loads(json.dumps(slow.as_dict()))) == slow
    assert StageCheck.of(check_of(lay_out_stages(JOB)[0].estimate).as_dict()).step_time_s == pytest.approx(
        6.67, abs=0.01
    )


def test_the_memory_of_the_fullest_gpu_of_all_nodes_counts(tmp_path: Path) -> None:
    for node, used in (("a", [1, 3]), ("b", [None, 2])):
        with SpoolWriter(tmp_path / f"{node}.spool", {"run": "r", "node": node, "gpus": []}) as writer:
            for time_s, gib in enumerate(used):
                reading = GpuReading(0, memory_used_bytes=None if gib is None else gib * GIB)
                writer.append(encode(Tick(time_s, (reading,))))
    assert read_memory_peak_bytes(tmp_path) == 3 * GIB
    assert read_memory_peak_bytes(tmp_path / "none") is None


def test_an_estimate_in_stages_has_them_as_json(in_process: Command) -> None:
    job = "--samples 30e6 --batch-size 32 --gpus 8 --samples-per-s 44.3".split()
    done = in_process("estimate", *job, "--stages", "10%,100%", "--json")
    stages = json.loads(done.stdout)["stages"]
    assert [(stage["share"], stage["steps"]["total"], stage["check"] is None) for stage in stages] == [
        (0.1, 11_719, False),
        (1.0, 117_188, True),
    ]
    text = in_process("estimate", *job, "--progressive").stdout
    assert ("GPU-hours" in text, "cost" in text) == (True, False)  # no rates, no column of them
    refused = in_process("estimate", *job, "--progressive", "--deadline", "2d")
    assert (refused.returncode, "--deadline does not go with --progressive" in refused.stderr) == (2, True)


SCRIPT = """
import sys, time
from clusterplan import track
steps = track(range(int(sys.argv[1])), total=int(sys.argv[1]))
for step in steps:
    time.sleep(0.02)
    steps.loss(float("nan") if step > 20 and sys.argv[3:] else 1.0)
"""


def job_file(launched: Any, *more: str, words: Any = ("{max_steps}", "{output}"), table: str = "") -> Any:
    command = ["python", str(launched.file("train.py", SCRIPT)), *words, *more]
    return launched.file(
        "job.toml",
        "name = 'net'\n[data]\nsamples = 1_600\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'floor'\n"
        f"precision = 'fp32'\n{table}[run]\nbootstrap = 'per-gpu'\ncommand = {json.dumps(command)}\n",
    )


ON_CPU = ("--executor", "local", "--force")  # this machine has no GPU


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["{output}"], "no placeholder {max_steps}, so every stage would train in full"),
        (["{max_steps}"], "no placeholder {output}, so a stage would go on from the one before"),
    ],
)
def test_a_command_that_cannot_be_a_stage_is_refused(
    launched: Any, in_process: Command, words: Any, fault: str
) -> None:
    done = in_process("submit", job_file(launched, words=words), *ON_CPU, "--progressive")
    assert (done.returncode, fault in done.stderr) == (2, True)


def test_a_stage_that_passes_lets_the_next_begin(launched: Any) -> None:
    first, whole = launched.submit(job_file(launched), *ON_CPU, "--stages", "20%,100%")["stages"]
    assert launched.ended(whole["run"])["state"] == "completed"
    status = launched.status(first["run"])
    assert (status["state"], status["check"]["passed"]) == ("completed", True)
    outputs = [
        json.loads((Path(run["folder"]) / "launch.json").read_text())["output"] for run in (first, whole)
    ]
    assert len(set(outputs)) == 2


def test_a_stage_that_diverges_fails_and_the_next_never_begins(launched: Any) -> None:
    first, whole = launched.submit(job_file(launched, "nan"), *ON_CPU, "--stages", "20%,100%")["stages"]
    ended = launched.ended(whole["run"])
    assert ended["state"] == "cancelled"
    failed = "ended as failed: its check failed: the loss diverged: it is nan"
    assert ended["reason"] == f"the stage before, {first['run']}, {failed}"
    assert launched.status(first["run"])["exit_code"] == 1
    shown = in_one_row(launched("status", first["run"]).stdout)
    assert "stage 20 % of the steps loss failed the loss diverged: it is nan" in shown
    assert "go on clusterplan logs" in shown
