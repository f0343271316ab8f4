"""What follows an attempt: from the checkpoint before, from what was saved anew, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from launched import in_one_row

from clusterplan.launcher.node.restart_policy import AttemptEnd, Progress, StopCause, decide_restart

FAILED, LIMIT, TERMINATED = StopCause.FAILED, StopCause.TIME_LIMIT, StopCause.TERMINATED
NONE, WEIGHTS, SAVE = Progress.NONE, Progress.WEIGHTS, Progress.SAVE
STEPS, CHECKPOINT = Progress.STEPS, Progress.CHECKPOINT


@pytest.mark.parametrize(
    ("ends", "restarts"),
    [
        ([(LIMIT, WEIGHTS)] * 9, True),  # nanoGPT's ckpt.pt is recognised; another name is not
        ([(LIMIT, NONE)] * 2, True),
        ([(LIMIT, NONE)] * 3, False),
        ([(LIMIT, NONE), (LIMIT, NONE), (LIMIT, STEPS)], True),
        ([(LIMIT, NONE), (LIMIT, NONE), (TERMINATED, None), (LIMIT, NONE)], False),
        ([(LIMIT, NONE), (LIMIT, WEIGHTS), (LIMIT, NONE), (LIMIT, NONE)], True),
        ([(FAILED, NONE)], False),
        ([(FAILED, WEIGHTS)], False),  # the final weights, and then an error: not the training once more
        ([(FAILED, CHECKPOINT)] * 9, True),
        ([(FAILED, SAVE)] * 3, True),
        ([(FAILED, SAVE)] * 4, False),
        ([(FAILED, SAVE)] * 3 + [(LIMIT, WEIGHTS), (FAILED, SAVE)], True),
        ([(FAILED, SAVE), (TERMINATED, None)] * 4 + [(FAILED, SAVE)], False),
    ],
)
def test_a_run_goes_on_as_long_as_something_new_is_saved(ends: list[Any], restarts: bool) -> None:
    assert decide_restart([AttemptEnd(*end) for end in ends], 100).restart is restarts


def test_attempts_fall_back_three_times_at_most() -> None:
    ends = list[AttemptEnd]()
    for number in (9, 8, 7, 6):
        ends.append(AttemptEnd(FAILED, NONE, f"step_{number}.pt"))
        decision = decide_restart(ends, 100, before=f"step_{number - 1}.pt")
        assert decision.leaves_out is decision.restart
    assert not decision.restart
    assert "4 attempts in a row failed" in decision.reason


def test_the_checkpoints_that_did_not_help_are_named() -> None:
    ends = [AttemptEnd(FAILED, NONE, "step_9.pt"), AttemptEnd(FAILED, NONE, "step_8.pt")]
    assert decide_restart(ends, 100).reason == "neither step_9.pt nor step_8.pt could be resumed from"


def test_a_run_whose_peer_is_gone_without_a_word_starts_again_three_times_at_most() -> None:
    """NCCL's "remote process exited" comes at once, and Slurm knows of a dead node after SlurmdTimeout: 5 minutes."""
    lost = [AttemptEnd(FAILED, NONE)]
    assert decide_restart(lost, 100, lost_nodes="gpu2").reason == "what ran on gpu2 is gone without a word"
    assert decide_restart(lost * 3, 100, lost_nodes="gpu2").restart
    assert not decide_restart(lost * 4, 100, lost_nodes="gpu2").restart


def test_preemptions_before_the_first_save_are_no_attempts_without_progress() -> None:
    taken = [AttemptEnd(TERMINATED, None)] * 9
    assert decide_restart([*taken, AttemptEnd(LIMIT, NONE)], 100).restart


TRAINS = """
import pathlib, pickle, sys
output, mode = pathlib.Path(sys.argv[1]), sys.argv[2]
resumed = pathlib.Path(sys.argv[-1]) if "--resume" in sys.argv else None
with open("starts", "a") as starts:
    print(resumed.name if resumed else "new", file=starts)
state = pickle.loads(resumed.read_bytes()) if resumed else {"step": 0}
for step in range(state["step"] + 10, 60, 10):
    data = pickle.dumps({"step": step, "weights": bytes(1000)})
    if mode == "cut" and step == 30 and not pathlib.Path("cut").exists():
        pathlib.Path("cut").touch()
        (output / "step_30.bin").write_bytes(data[:500])  # killed in the middle of a save
        sys.exit(1)
    (output / f"step_{step}.bin").write_bytes(data)
    if mode == "fails" and step == 50:
        raise ValueError("at every start")
if mode == "fails":
    raise ValueError("at every start")
"""


def submit(launched: Any, mode: str, *options: str) -> Any:
    launched.file("train.py", TRAINS)
    resume = json.dumps(["--resume", "{latest}"])
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 1\n"
        f'[run]\ncommand = ["python", "train.py", "{{output}}", "{mode}"]\nresume = {resume}\n',
    )
    return launched.ended(launched.submit("--executor", "local", job, *options)["run"])


def test_a_start_that_fails_on_a_cut_checkpoint_is_followed_by_one_from_the_checkpoint_before(
    launched: Any,
) -> None:
    """vllm-project/speculators#739, llnl/scr#174: killed in the middle of a save that is not atomic."""
    ended = submit(launched, "cut")
    assert (ended["state"], ended["attempts"]) == ("completed", 3)
    assert (launched.folder / "starts").read_text().split() == ["new", "step_30.bin", "step_20.bin"]
    records = sorted((Path(ended["folder"]) / "tasks").glob("*.json"))
    reasons = [json.loads(record.read_text())["reason"] for record in records]
    assert reasons[1] == "step_30.bin could not be resumed from: starts again from step_20.bin"
    shown = launched("status", ended["run"]).stdout
    assert "step_30.bin could not be resumed from" in in_one_row(shown)


@pytest.mark.slow
def test_a_command_that_always_fails_is_ended_soon(launched: Any) -> None:
    ended = submit(launched, "fails")
    assert ended["state"] == "failed"
    starts = (launched.folder / "starts").read_text().split()
    assert starts == ["new", "step_50.bin", "step_40.bin", "step_50.bin", "step_40.bin"]
