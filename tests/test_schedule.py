"""`clusterplan schedule`, run as a user runs it, and the campaign file.

The errors are the ones that people make with such files: a job that waits for itself, a cap that no job can use, a name
that Slurm has for it (`dependency`, `begin`), a date that has passed.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

import clusterplan
from clusterplan.estimator.campaign.definition.windows import closed_times, parse_window

NOW = datetime.fromisoformat("2026-11-29T08:00:00+00:00")  # a Sunday
JOB = """
name = "{name}"
[data]
samples = {samples}
[training]
batch_size = 32
gpus = 8
epochs = 3
{training}
{tables}
[throughput]
samples_per_s_per_gpu = 5.5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three jobs of 1, 2 and 3 million samples an epoch, 19 to 57 hours on 8 GPUs."""
    for number in (1, 2, 3):
        write_job(tmp_path, f"job{number}", number * 1_000_000)
    return tmp_path


def write_job(
    folder: Path, name: str, samples: int = 1_000_000, training: str = "", tables: str = ""
) -> None:
    text = JOB.format(name=name, samples=samples, training=training, tables=tables)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def write_campaign(folder: Path, text: str, jobs: str = "job1 job2 job3") -> Path:
    entries = "".join(f'[[jobs]]\nfile = "{job}.toml"\n' for job in jobs.split())
    path = folder / "campaign.toml"
    path.write_text(f"{text}\n{entries}", encoding="utf-8")
    return path


def plan_of(done: Any) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fault_of(done: Any, code: int = 2) -> str:
    assert done.returncode == code, done.stdout
    assert done.stdout == ""
    line = str(done.stderr)
    assert line.startswith("Error: ")
    assert line.count("\n") == 1
    return line


def schedule(folder: Path, text: str, jobs: str = "job1 job2 job3", **options: Any) -> Any:
    return clusterplan.schedule(
        write_campaign(folder, text, jobs), within="0s", measurements=[], now=NOW, **options
    )


@pytest.mark.usefixtures("folder")
def test_several_job_files_and_a_cap_are_a_campaign(in_process: Command) -> None:
    plan = plan_of(
        in_process("schedule", "job1.toml", "job2.toml", "--cap", "16", "--within", "0s", "--json")
    )
    assert {job["job"] for job in plan["jobs"]} == {"job1", "job2"}
    assert plan["caps"][0]["gpus"] == 16
    assert plan["gap"] < 0.2


def test_the_page_has_the_answer_first(folder: Path, in_process: Command) -> None:
    write_campaign(folder, "[[caps]]\ngpus = 16")
    done = in_process("schedule", "campaign.toml", "--within", "0s")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["all end", "GPU-hours", "how good"]
    head = next(line.split() for line in lines if line.startswith("job "))
    assert head == "job GPUs nodes starts ends, P50 to P90 GPU-hours slack segments".split()
    assert sum("█" in line for line in lines) >= 4  # three jobs, and the use of the cap


def test_the_picture_is_one_svg_that_names_every_job(folder: Path, in_process: Command) -> None:
    done = in_process(
        "schedule", "job1.toml", "job2.toml", "--cap", "8", "--within", "0s", "--svg", "plan.svg"
    )
    assert done.returncode == 0, done.stderr
    picture = (folder / "plan.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg ")
    assert (
        re.findall(r"<title>(job\d): \d+ GPUs? on 1 node</title>", picture) == ["job1", "job2"]
        or "job2" in picture
    )


def test_the_global_batch_stays_the_same_on_other_gpus(folder: Path) -> None:
    answer = schedule(folder, "[[caps]]\ngpus = 16")
    for each in answer.plan.planned:
        estimate = answer.shape_of(each.job).estimate
        assert estimate.placement.gpus == each.mode.gpus
        assert estimate.workload.training.step_samples == 256


def test_the_durations_are_those_of_estimate(folder: Path) -> None:
    answer = schedule(folder, "[[caps]]\ngpus = 16", "job1")
    (planned,) = answer.plan.planned
    alone = clusterplan.estimate(
        folder / "job1.toml", gpus=[planned.mode.gpus], keep="global-batch", measurements=[], now=NOW
    )[0]
    assert (planned.mode.p50_s, planned.mode.p90_s) == (alone.clock.total.p50, alone.clock.total.p90)


def test_a_time_limit_makes_segments(folder: Path) -> None:
    text = 'profile = "slurm-a100"\n[[caps]]\npartition = "short"\ngpus = 8'
    answer = schedule(folder, text, "job1")
    mode = answer.plan.planned[0].mode
    assert mode.segments > 4
    clock = answer.shape_of("job1").estimate.clock
    assert mode.p50_s == clock.total.p50 + (mode.segments - 1) * 120


def test_allowed_shapes_are_kept_to(folder: Path) -> None:
    path = folder / "campaign.toml"
    path.write_text('[[caps]]\ngpus = 32\n[[jobs]]\nfile = "job1.toml"\ngpus = [4, 8]\n', encoding="utf-8")
    answer = clusterplan.schedule(path, within="0s", measurements=[], now=NOW)
    assert {mode.gpus for _, mode in answer.shapes} == {4, 8}


def test_dates_priorities_and_dependencies_reach_the_plan(folder: Path) -> None:
    path = folder / "campaign.toml"
    path.write_text(
        """
deadline = "20d"
objective = "completion"
[[caps]]
gpus = 8
[[jobs]]
file = "job1.toml"
priority = 3
earliest = "12h"
[[jobs]]
file = "job2.toml"
deadline = 2026-12-10
after = ["job1"]
""",
        encoding="utf-8",
    )
    campaign = clusterplan.schedule(path, within="0s", measurements=[], now=NOW).plan.campaign
    first, second = campaign.jobs
    assert (first.weight, first.earliest_s - campaign.now_s) == (3.0, 12 * 3600)
    assert first.deadline_s - campaign.now_s == 20 * 86400
    assert second.after == ("job1",)
    assert second.deadline_s == datetime(2026, 12, 10).astimezone().timestamp()


def test_reservations_windows_and_taken_gpus_are_kept_to(folder: Path) -> None:
    text = """
[[caps]]
gpus = 16
start = "2026-11-30T00:00:00+00:00"
end = "40d"
[[caps.taken]]
gpus = 8
end = "5d"
"""
    plan = schedule(folder, text).plan
    opens_s = datetime.fromisoformat("2026-11-30T00:00:00+00:00").timestamp()
    assert min(each.start_s for each in plan.planned) == opens_s
    taken_until_s = plan.campaign.now_s + 5 * 86400
    assert all(each.nodes == (0,) for each in plan.planned if each.start_s < taken_until_s)


def test_a_late_job_is_told_what_would_help(folder: Path, in_process: Command) -> None:
    write_campaign(folder, 'deadline = "2d"\n[[caps]]\ngpus = 8')
    done = in_process("schedule", "campaign.toml", "--within", "0s")
    assert re.search(r"deadlines +\d of 3 met +not by ", done.stdout)
    assert re.search(r"job\d misses .* at P90: it would be in time with a deadline ", done.stdout)
    assert re.search(r"\b1 of its 3\s+epochs|\d+ more GPUs|% of its steps", done.stdout)


def test_a_job_that_waits_for_input_is_not_widened(folder: Path) -> None:
    measurement = clusterplan.Measurement(
        model="fed", gpu="a100-sxm4-80gb", nodes=1, gpus=8, gpus_per_node=8, batch_size=32, step_time_s=2.0,
        data_wait_share=0.6, accumulation=1, precision=clusterplan.Precision.BF16, seq_len=None,
    )  # fmt: skip
    text = """
name = "fed"
model = "fed"
[data]
samples = 1_000_000
[training]
batch_size = 32
gpus = 8
[cluster]
gpu = "a100-sxm4-80gb"
"""
    (folder / "fed.toml").write_text(text, encoding="utf-8")
    answer = clusterplan.schedule(
        [folder / "fed.toml"], caps=["32"], within="0s", measurements=[measurement], now=NOW
    )
    assert max(mode.gpus for _, mode in answer.shapes) == 8


def test_unknown_speeds_are_named_with_the_way_to_measure_them(folder: Path, in_process: Command) -> None:
    for name in ("new", "newer"):
        text = f'name = "{name}"\nmodel = "{name}"\n[data]\nsamples = 1_000_000\n[training]\nbatch_size = 32\ngpus = 8\n'
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    line = fault_of(in_process("schedule", "new.toml", "job1.toml", "newer.toml", "--cap", "16"), code=3)
    assert "the speed of job 'new' is not known, nor of newer" in line
    assert (
        line.count("`clusterplan calibrate new.toml` measures it") == line.count("clusterplan calibrate") == 1
    )


def test_a_guess_is_planned_at_its_p90_and_only_if_asked(folder: Path, in_process: Command) -> None:
    text = """
name = "guess"
model = "guess"
[data]
tokens = 1_000_000_000
seq_len = 2048
[training]
batch_size = 4
gpus = 8
[architecture]
parameters = 1_000_000_000
[cluster]
gpu = "a100-sxm4-80gb"
"""
    (folder / "guess.toml").write_text(text, encoding="utf-8")
    line = fault_of(in_process("schedule", "guess.toml", "--cap", "8"), code=3)
    assert "only a guess from its size is known" in line
    plan = plan_of(in_process("schedule", "guess.toml", "--cap", "8", "--priors", "--within", "0s", "--json"))
    duration = plan["jobs"][0]["duration_s"]
    assert duration["p50"] == duration["p90"]


@pytest.mark.parametrize(
    ("text", "jobs", "fault"),
    [
        ("[[caps]]\ngpus = 8", "", "jobs: is missing"),
        ("[[caps]]\ngpus = 8", "missing", "missing.toml: no such file"),
        ("[[caps]]\ngpus = 0", "job1", "campaign.toml:2: caps.1.gpus: 0 must be greater than 0"),
        ("", "job1", "no cap is known: give the GPUs"),
        ("[[caps]]\ngpus = 8\n[[caps]]\ngpus = 16", "job1", "two caps are on the same partition and GPU type"),
        ('objective = "fast"\n[[caps]]\ngpus = 8', "job1", "'fast' must be one of 'end', 'gpu-hours' or 'completion'"),
        ('deadline = "2020-01-01"\n[[caps]]\ngpus = 8', "job1", "job 'job1': deadline: '2020-01-01' is in the past"),
        ('[[caps]]\ngpus = 8\nwindows = ["8 to 20"]', "job1", "'8 to 20' is not a window such as \"20:00-08:00\""),
        ('[[caps]]\ngpus = 8\nwindows = ["20:00-21:00"]', "job1", "is never open or free for so long"),
        ('profile = "slurm-a100"\n[[caps]]\npartition = "gpu"\ngpus = 1_000', "job1", "1,000 GPUs are more than slurm-a100"),
        ('profile = "slurm-a100"\n[[caps]]\npartition = "cpu"\ngpus = 8', "job1", "partition 'cpu' is not a partition of"),
        ('profile = "slurm-a100"\n[[caps]]\ngpu = "h100"\ngpus = 8', "job1", "has no GPU 'h100'"),
        ("[[caps]]\ngpus = 8", "job1 job1", "two jobs are called 'job1'"),
    ],
)  # fmt: skip
def test_a_wrong_campaign_gets_one_line(
    text: str, jobs: str, fault: str, folder: Path, in_process: Command
) -> None:
    write_campaign(folder, text, jobs)
    assert fault in fault_of(in_process("schedule", "campaign.toml", "--within", "0s"))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('depends_on = ["job2"]', "campaign.toml:5: jobs.1.depends_on: unknown key; here it is after"),
        ('after = ["job1"]', "job 'job1' waits for itself: take a name out of `after`"),
        ('after = ["job9"]', "after: 'job9' is not a job of this campaign: give one of job1"),
        ("gpus = [3]", "job 'job1': 3 GPUs: a global batch of 256 does not divide over 3 data-parallel GPUs"),
        ("gpus = [64]", "none of its shapes fits cap: 64 GPUs: they are more than cap has: 8 on 1 node"),
        ("priority = -1", "jobs.1.priority: -1.0 must be greater than 0"),
        ('earliest = "3d"\ndeadline = "2d"', "it may start only after its deadline"),
    ],
)
def test_a_wrong_job_gets_one_line(entry: str, fault: str, folder: Path, in_process: Command) -> None:
    (folder / "campaign.toml").write_text(
        f'[[caps]]\ngpus = 8\n[[jobs]]\nfile = "job1.toml"\n{entry}\n', encoding="utf-8"
    )
    assert fault in fault_of(in_process("schedule", "campaign.toml", "--within", "0s"))


@pytest.mark.usefixtures("folder")
def test_options_that_make_no_sense_are_refused(in_process: Command) -> None:
    assert "nothing to schedule" in fault_of(in_process("schedule"))
    assert "'many' is no number of GPUs: write 16" in fault_of(
        in_process("schedule", "job1.toml", "--cap", "many")
    )
    assert "--within: '30' has no unit" in fault_of(
        in_process("schedule", "job1.toml", "--cap", "8", "--within", "30")
    )


def test_jobs_of_two_clusters_are_no_campaign(folder: Path, in_process: Command) -> None:
    for name, profile in (("one", "slurm-a100"), ("two", "slurm-h100")):
        write_job(folder, name, tables=f'[cluster]\nprofile = "{profile}"')
    line = fault_of(in_process("schedule", "one.toml", "two.toml"))
    assert "job 'two' is for the cluster 'slurm-h100', and the campaign for 'slurm-a100'" in line


def test_a_job_of_another_partition_than_every_cap_is_refused(folder: Path, in_process: Command) -> None:
    write_job(folder, "short", tables='[cluster]\nprofile = "slurm-a100"\npartition = "short"')
    line = fault_of(in_process("schedule", "short.toml", "--cap", "gpu=8"))
    assert "job 'short' asks for partition 'short', and no cap is on it: there are caps on gpu" in line


def test_nights_are_open_from_evening_to_morning() -> None:
    local = datetime(2026, 11, 30, 12, 0)  # noqa: DTZ001  a Monday, local time
    closed = closed_times([parse_window("Mon-Fri 20:00-08:00")], local, 7)
    spans = [(datetime.fromtimestamp(begin).strftime("%a %H"), datetime.fromtimestamp(end).strftime("%a %H"))  # noqa: DTZ006
             for begin, end in closed[:-1]]  # fmt: skip
    assert spans == [
        ("Mon 12", "Mon 20"),
        *((f"{day} 08", f"{day} 20") for day in ("Tue", "Wed", "Thu", "Fri")),
    ]
    assert closed[-1][1] == float("inf")
