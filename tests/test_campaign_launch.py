"""A plan turned into jobs: who waits for whom, what is left after something happened, and a campaign run on this machine.

sbatch(1) of Slurm: `afterok` is never satisfied once the job has failed, and `--kill-on-invalid-dep=yes` ends the job then;
`afterany` is satisfied by any end, also by that of a job that was cancelled before it began.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from launched import Launched
from test_campaign import HOUR_S, NOW_S, campaign, mode

from clusterplan.api.campaign.progress import look_at_campaign
from clusterplan.errors import InputError, UnreadableFile
from clusterplan.estimator.campaign.campaign import Busy, CampaignJob, PlannedJob
from clusterplan.estimator.campaign.launching.actions import Action, Booking, Do, decide_actions
from clusterplan.estimator.campaign.launching.happened import Fate, Happened, find_overfull, find_rest
from clusterplan.estimator.campaign.launching.turns import Turn, find_turns
from clusterplan.estimator.campaign.plan import make_plan
from clusterplan.launcher.campaigns.record import (
    CampaignJobRecord,
    CampaignRecord,
    PlannedRecord,
    lock_campaign,
    read_campaign_record,
    write_campaign_record,
)

PENDING, RUNNING = Happened(Fate.PENDING, "pending"), Happened(Fate.RUNNING, "running", NOW_S)
DONE, FAILED = Happened(Fate.COMPLETED, "completed", 1.0, 2.0), Happened(Fate.FAILED, "failed", 1.0, 2.0)


def planned(job: str, start_h: float, gpus: int = 8, hours: float = 1.0, place: int = 0) -> PlannedJob:
    return PlannedJob(job, mode(gpus, hours), NOW_S + start_h * HOUR_S, (place,))


def jobs(*names: str, **more: Any) -> tuple[CampaignJob, ...]:
    return tuple(CampaignJob(name, (mode(8, 1.0), mode(4, 2.0)), **more) for name in names)


def test_a_job_waits_for_every_job_that_has_its_gpus_before_it() -> None:
    """If only for the last of them, it would begin beside the first once the last is cancelled."""
    turns = find_turns(
        campaign(*jobs("a", "b", "c"), gpus=8), [planned("a", 0), planned("b", 1), planned("c", 2)]
    )
    assert turns["a"] == Turn()
    assert set(turns["c"].ended) == {"a", "b"}


def test_halves_of_a_node_wait_apart() -> None:
    plan = [planned("a", 0, 4, 2), planned("b", 0, 4, 3), planned("c", 2, 4, 2), planned("d", 3, 4, 2)]
    turns = find_turns(campaign(*jobs("a", "b", "c", "d"), gpus=8), plan)
    assert (turns["c"].ended, turns["d"].ended) == (("a",), ("b",))


def test_no_job_begins_at_its_planned_start_only() -> None:
    turns = find_turns(campaign(*jobs("a", "b"), gpus=8), [planned("a", 0), planned("b", 1)])
    assert turns["b"].begin_s is None


def test_a_job_begins_no_earlier_than_its_cap_opens() -> None:
    opens_s = NOW_S + 3 * HOUR_S
    busy = (Busy("gpu", NOW_S, opens_s, reason="closed"),)
    turns = find_turns(campaign(*jobs("a", "b"), gpus=8, busy=busy), [planned("a", 3), planned("b", 4)])
    assert (turns["a"].begin_s, turns["b"].begin_s) == (opens_s, opens_s)


def test_gpus_of_the_queue_are_no_begin_time() -> None:
    """Slurm gives them as soon as they are free."""
    busy = (Busy("gpu", NOW_S, NOW_S + HOUR_S, reason="queue"),)
    turns = find_turns(campaign(*jobs("a"), gpus=8, busy=busy), [planned("a", 1)])
    assert turns["a"].begin_s is None


def test_at_most_the_cap_runs_whatever_ends_first() -> None:
    """The jobs that may run at once, as each one's turn allows, never need more GPUs than there are."""
    many = campaign(*(CampaignJob(f"j{i}", (mode(2 ** (i % 4), 1 + i % 3),)) for i in range(24)), gpus=16)
    plan = make_plan(many).planned
    turns, gpus = find_turns(many, plan), {each.job: each.mode.gpus for each in plan}
    for last_first in (True, False):
        open_jobs, running = [each.job for each in plan], list[str]()
        while open_jobs or running:
            for name in [n for n in open_jobs if not {*turns[n].waits_for} & {*open_jobs, *running}]:
                open_jobs.remove(name)
                running.append(name)
            assert sum(gpus[name] for name in running) <= 16
            running.pop(-1 if last_first else 0)


def test_what_failed_blocks_those_that_wait_for_it_and_no_others() -> None:
    whole = campaign(*jobs("a", "d"), *jobs("b", after=("a",)), *jobs("c", after=("b",)), gpus=8)
    plan = {name: planned(name, i) for i, name in enumerate("abcd")}
    rest = find_rest(whole, plan, {"a": FAILED, "b": PENDING, "c": PENDING, "d": PENDING})
    assert rest.blocked == {"b": "a", "c": "a"}
    assert [job.name for job in rest.campaign.jobs] == ["d"]


def test_a_running_job_stays_under_a_smaller_cap() -> None:
    whole = campaign(*jobs("a", "b"), gpus=4)
    plan = {"a": planned("a", 0, place=0), "b": planned("b", 1)}
    rest = find_rest(whole, plan, {"a": RUNNING, "b": PENDING})
    assert find_overfull(rest.campaign) == {"gpu": 8}
    after = {each.job: each for each in make_plan(rest.campaign).planned}
    assert after["b"].start_s >= after["a"].end_s


def test_a_late_job_lasts_as_long_as_its_steps_say() -> None:
    late = replace(RUNNING, start_s=NOW_S - HOUR_S, left_s=4 * HOUR_S)
    rest = find_rest(campaign(*jobs("a"), gpus=8), {"a": planned("a", -1)}, {"a": late})
    assert rest.campaign.jobs[0].started.mode.p50_s == 5 * HOUR_S


def test_a_running_job_that_left_the_campaign_keeps_its_gpus() -> None:
    rest = find_rest(campaign(*jobs("b"), gpus=8), {"a": planned("a", 0)}, {"a": RUNNING})
    assert {job.name for job in rest.campaign.jobs} == {"a", "b"}


def decide(before: dict[str, Booking], after: list[Booking], **happened: Happened) -> tuple[Action, ...]:
    return decide_actions(before, after, happened, NOW_S)


def test_nothing_is_done_where_nothing_is_other() -> None:
    bookings = {"a": Booking(planned("a", 0), Turn()), "b": Booking(planned("b", 1), Turn((), ("a",)))}
    assert decide(bookings, list(bookings.values()), a=PENDING, b=PENDING) == ()
    # a has ended: b does not wait for it any more, and Slurm knows that.
    assert decide(bookings, [Booking(planned("b", 0.2), Turn())], a=DONE, b=PENDING) == ()


def test_a_job_that_gets_another_number_takes_those_that_wait_for_it_along() -> None:
    before = {"a": Booking(planned("a", 0), Turn()), "b": Booking(planned("b", 1), Turn(("a",)))}
    after = [Booking(planned("a", 0, 4, 2), Turn()), before["b"]]
    actions = decide(before, after, a=PENDING, b=PENDING)
    assert [(each.do, each.job) for each in actions] == [(Do.RESUBMIT, "a"), (Do.RESUBMIT, "b")]


def test_a_pending_job_that_left_the_campaign_is_cancelled() -> None:
    actions = decide({"a": Booking(planned("a", 0), Turn())}, [], a=PENDING)
    assert [(each.do, each.job) for each in actions] == [(Do.CANCEL, "a")]


def record(*names: str) -> CampaignRecord:
    one = PlannedRecord.of(planned("a", 0))
    entries = tuple(CampaignJobRecord(name, one, one) for name in names)
    return CampaignRecord(1, "papers", "ann", "/here", "/here/runs", "local", 1.0, 2.0, {"gpu": 8}, entries)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_campaign_record(tmp_path, record("a", "b"))
    assert read_campaign_record(tmp_path) == record("a", "b")
    assert read_campaign_record(tmp_path / "none") is None


@pytest.mark.parametrize("fault", [{"schema": 99}, {"jobs": "many"}, {"caps": {"gpu": -1}}])
def test_a_record_that_is_wrong_is_named(tmp_path: Path, fault: dict[str, Any]) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({**asdict(record("a")), **fault}), encoding="utf-8")
    with pytest.raises(UnreadableFile, match=r"plan\.json"):
        read_campaign_record(tmp_path)


def test_two_at_once_refuse(tmp_path: Path) -> None:
    history = tmp_path / "history.db"
    with (
        lock_campaign(history, "papers"),
        pytest.raises(InputError, match="by another process"),
        lock_campaign(history, "papers"),
    ):
        pass
    with lock_campaign(history, "papers"):  # it went with its block
        pass


JOB = """
name = "{name}"
[data]
samples = 320
[training]
batch_size = 1
gpus = 1
[throughput]
samples_per_s_per_gpu = 160
[run]
command = ["/bin/bash", "-c", "echo {name} >> order; test ! -e fail-{name}"]
"""


def write_campaign(launched: Launched, entries: dict[str, list[str]], gpus: int = 1) -> None:
    text = f'name = "papers"\n[[caps]]\ngpus = {gpus}\n'
    for name, after in entries.items():
        launched.file(f"{name}.toml", JOB.format(name=name))
        text += f'[[jobs]]\nfile = "{name}.toml"\nafter = {json.dumps(after)}\n'
    launched.file("papers.toml", text)


def look(launched: Launched, *options: str) -> Any:
    done = launched("schedule", "papers.toml", "--within", "0s", "--force", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


def fault_of(done: Any) -> str:
    assert done.returncode == 2, done.stdout
    lines = str(done.stderr).strip().splitlines()
    assert lines[-1].startswith("Error: ")
    return lines[-1]


def states(answer: Any) -> dict[str, str]:
    return {job["job"]: "waits" if job["blocked_by"] else job["state"] for job in answer["jobs"]}


def test_a_campaign_is_submitted_fails_in_part_and_is_finished(without_slurm: Launched) -> None:
    launched = without_slurm
    write_campaign(launched, {"a": [], "b": ["a"], "c": ["b"], "d": []})
    launched.file("fail-b", "")
    submitted = look(launched, "--submit", "--executor", "local")
    assert set(states(submitted).values()) == {"pending"}
    words = fault_of(launched("schedule", "papers.toml", "--submit", "--executor", "local"))
    assert "'papers' was submitted at" in words
    assert "--replan" in words
    ended = {"a": "completed", "b": "failed", "c": "waits", "d": "completed"}
    runs = {job["job"]: job["run"] for job in submitted["jobs"]}
    for job in "abcd":
        launched.ended(runs[job])
    shown = look_at_campaign(Path(launched.environment["CLUSTERPLAN_HISTORY"]))  # as the pages do
    assert states(shown.as_dict()) == ended
    answer = look(launched, "--replan")
    assert (states(answer), answer["actions"]) == (ended, [])
    assert launched("schedule", "papers.toml", "--replan").stdout == ""
    order = (launched.folder / "order").read_text(encoding="utf-8").split()
    assert order.index("a") < order.index("b")
    assert "c" not in order

    (launched.folder / "fail-b").unlink()
    b = next(job for job in answer["jobs"] if job["job"] == "b")
    assert b["run"] in b["remedy"]
    assert launched("resume", b["run"], "--from-start", "--force").returncode == 0
    again = look(launched, "--replan")
    assert [(each["do"], each["job"]) for each in again["actions"]] == [("submit", "c")]
    launched.ended(next(job["run"] for job in again["jobs"] if job["job"] == "c"))
    done = launched("schedule", "papers.toml", "--replan", "--dry-run")
    assert "4 jobs: 4 completed" in done.stdout
    assert (launched.folder / "order").read_text(encoding="utf-8").split()[-1] == "c"


def test_a_submission_that_was_killed_goes_on_with_the_rest(without_slurm: Launched) -> None:
    launched = without_slurm
    write_campaign(launched, {"a": [], "b": ["a"]})
    first = look(launched, "--submit", "--executor", "local")
    path = launched.folder / "history.campaigns" / "papers" / "plan.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for job in values["jobs"]:  # as if it was killed after the first was queued, and before that was written
        job |= {"runs": [], "submitting_s": values["submitted_s"] if job["job"] == "a" else None}
    path.write_text(json.dumps(values), encoding="utf-8")
    launched("cancel", "b-", "--all")
    again = look(launched, "--submit")
    runs = {job["job"]: job["run"] for job in again["jobs"]}
    assert runs["a"] == next(job["run"] for job in first["jobs"] if job["job"] == "a")
    assert [each["job"] for each in again["actions"]] == ["b"]


def test_wrong_uses_are_one_line(without_slurm: Launched) -> None:
    launched = without_slurm
    write_campaign(launched, {"a": []})
    for options, words in (
        (["--replan"], "was not submitted yet"),
        (["--submit", "--replan"], "give one"),
        (["--dry-run"], "--dry-run goes with --replan"),
        (["--executor", "local"], "--executor goes with --submit"),
    ):
        assert words in fault_of(launched("schedule", "papers.toml", *options))
