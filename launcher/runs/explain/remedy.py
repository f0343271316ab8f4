"""What to do about a run that has ended: one thing, by its state and its cause.  Pure."""

import math
import re
import shlex
from dataclasses import dataclass, field, replace

from ....cluster_profiles.units import format_duration
from ...logs.errors import ErrorKind
from ...run_folder.progress.progress import Progress
from ...run_folder.records.run_facts import RunFacts
from ...run_folder.stages.stage import CHECK_FAILED, RunStage
from ..state import OPEN_STATES, RunState, State
from ..waiting.limit_reasons import NEVER
from .exit_codes import SIGKILL_CODE
from .micro_batch import read_micro_batch

_ON_GPU = re.compile(r"CUDA|\bGPU\b|\bHIP\b|cuda|OutOfMemoryError|_ALLOC_FAILED|RESOURCE_EXHAUSTED")
_SHARED_MEMORY = re.compile(r"/dev/shm|shared memory", re.IGNORECASE)  # noqa: S108  the words of an error
_TIME_MARGIN = 1.25  # of the time that a run still needs at its last speed
_MINUTE_S = 60
_AGAIN = "submit the job again with --progressive, or without it to run all of it at once"


@dataclass(frozen=True)
class Remedy:
    """What to do, in a sentence, and the command that goes on with the run."""

    text: str
    command: str


@dataclass(frozen=True)
class EndedFacts:
    """What a remedy follows from, beside the state.

    `run` are the values of run.json, and `nodes` those of the last attempt.  `step` is that of the newest checkpoint;
    None without one that tells it.  `memory_option` asks sbatch for more memory than before.
    """

    run: RunFacts = field(default_factory=RunFacts)
    has_checkpoint: bool = False
    has_begun: bool = True
    step: int | None = None
    progress: Progress | None = None
    nodes: tuple[str, ...] = ()
    memory_option: str = "mem=0"


def find_remedy(run: str, state: RunState, facts: EndedFacts) -> Remedy | None:
    """Return what to do about a run; None if it goes on by itself, is completed, or is a probe, which nothing follows.

    >>> ended = RunState(State.OUT_OF_MEMORY, "exit code 1: CUDA out of memory", 0.0)
    >>> facts = {"command": ["python", "train.py", "--per_device_train_batch_size", "8"]}
    >>> remedy = find_remedy("ddp", ended, EndedFacts(facts, has_checkpoint=True))
    >>> remedy.command, remedy.text
    ('clusterplan resume ddp --batch-size 4 --accumulation 2', 'half the micro-batch, twice the accumulation: the same steps')
    """
    if state.state in OPEN_STATES:
        if NEVER not in state.reason:
            return None
        again = f"clusterplan resume {run}"
        return Remedy(f"then `{again}` with options that ask for something else", f"clusterplan cancel {run}")
    is_complete = state.state is State.COMPLETED and not (facts.progress and facts.progress.stopped_early)
    if is_complete or facts.run.get("probe"):
        return None
    of_stage = _find_stage_remedy(run, state, facts)
    remedy = of_stage or _find_remedy(run, state, facts)
    if of_stage or facts.has_checkpoint or not facts.has_begun:
        return remedy
    words, dashes, command = remedy.command.partition(" -- ")
    return replace(remedy, command=f"{words} --from-start{dashes}{command}")


def _find_stage_remedy(run: str, state: RunState, facts: EndedFacts) -> Remedy | None:
    """Return what to do about a stage that failed its check, or did not begin because one did; None for any other run."""
    stage = RunStage.of(facts.run)
    if stage and state.reason.startswith(CHECK_FAILED):
        return Remedy(f"mend the cause, then {_AGAIN}", f"clusterplan logs {run}")
    if stage and stage.before and not facts.has_begun:
        return Remedy(f"look at that stage, then {_AGAIN}", f"clusterplan status {stage.before.name}")
    return None


def _find_remedy(run: str, state: RunState, facts: EndedFacts) -> Remedy:  # noqa: PLR0911  one line per case
    resume, error = f"clusterplan resume {run}", state.failure.error or "" if state.failure else ""
    kind = state.failure.kind if state.failure else None
    words = f"{error} {state.reason}"
    if state.state is State.OUT_OF_MEMORY:
        on_gpu = _ON_GPU.search(words)
        return _save_memory(resume, facts.run) if on_gpu else _more_memory(resume, facts.memory_option)
    if kind is ErrorKind.DISK_FULL or _SHARED_MEMORY.search(words):
        return _make_room(resume, words)
    if state.state is State.FAILED and state.exit_code == SIGKILL_CODE:
        return _more_memory(resume, facts.memory_option)
    if not facts.has_begun and state.state is not State.CANCELLED:
        return Remedy("it never began: ask for something else, as in `--partition` or `--slurm`", resume)
    if state.state is State.TIMED_OUT:
        return _more_time(resume, facts)
    if state.state is State.NODE_FAILURE and len(facts.nodes) == 1:
        return Remedy(f"it goes on without {facts.nodes[0]}", f"{resume} --slurm exclude={facts.nodes[0]}")
    if kind is ErrorKind.CONSEQUENCE:
        node = state.failure.node if state.failure else ""
        return Remedy(
            f"a peer of this rank was lost, and none says why: look at `clusterplan logs {run} --all`; if it comes "
            f"again, keep off {node or 'the node'}",
            f"{resume} --slurm exclude={node}" if node and len(facts.nodes) > 1 else resume,
        )
    if state.state is State.FAILED:
        return Remedy(f"mend the cause first; then {_goes_on(facts)}", resume)
    if state.state is State.COMPLETED:
        return Remedy(f"if it was to train on: {_goes_on(facts)}", resume)
    return Remedy(_goes_on(facts), resume)


def _goes_on(facts: EndedFacts) -> str:
    if not facts.has_checkpoint:
        return "it begins again: no checkpoint was saved" if facts.has_begun else "it begins"
    return (
        "it goes on from its newest checkpoint"
        if facts.step is None
        else f"it goes on from step {facts.step:,}"
    )


def _more_time(resume: str, facts: EndedFacts) -> Remedy:
    """Return the time that the rest takes at the last speed, where it is known; a checkpoint makes any limit enough."""
    progress = facts.progress
    if facts.has_checkpoint:
        return Remedy(f"{_goes_on(facts)}; --time gives it more time", resume)
    save = "nothing was saved: write checkpoints into {output}"
    if progress is None or not progress.total or not progress.rate_steps_per_s:
        return Remedy(f"{save}, or give it more time with --time", resume)
    needs_s = progress.total / progress.rate_steps_per_s
    minutes = math.ceil(needs_s * _TIME_MARGIN / _MINUTE_S)
    text = f"{save}, or give it the time of all steps, {format_duration(needs_s)} at its last speed"
    return Remedy(text, f"{resume} --time {minutes}m")


def _save_memory(resume: str, run: RunFacts) -> Remedy:
    """Return a smaller micro-batch with as many more parts of a step, so that steps and weights stay the same."""
    batch = read_micro_batch(run)
    if batch.samples is None:
        command = shlex.join(run.get("command") or ())
        return Remedy(
            "write half the micro-batch, and twice the accumulation, into this command",
            f"{resume} -- {command}",
        )
    if batch.samples == 1:
        return Remedy(
            "a micro-batch of 1 is the smallest: recompute activations, split the model over GPUs, or use larger ones",
            resume,
        )
    smaller = max(part for part in range(1, batch.samples // 2 + 1) if batch.samples % part == 0)
    times = batch.samples // smaller
    words = "half the micro-batch" if times == 2 else f"a micro-batch of {smaller}"  # noqa: PLR2004
    command = f"{resume} --batch-size {smaller}"
    if batch.accumulation is None:
        return Remedy(
            f"{words}; its steps are smaller: accumulate {times} times more if the script can", command
        )
    more = "twice" if times == 2 else f"{times} times"  # noqa: PLR2004
    command = f"{command} --accumulation {batch.accumulation * times}"
    return Remedy(f"{words}, {more} the accumulation: the same steps", command)


def _more_memory(resume: str, option: str) -> Remedy:
    how = "all the memory of its node" if option == "mem=0" else "twice the memory"
    return Remedy(
        f"the node's memory ran out, or somebody killed it: {how}, or use fewer workers for data",
        f"{resume} --slurm {option}",
    )


def _make_room(resume: str, words: str) -> Remedy:
    if _SHARED_MEMORY.search(words):
        return Remedy(
            "the shared memory of the node is full: use fewer workers for data, or let them share files",
            resume,
        )
    return Remedy("the disk is full, or its quota is used: make room first (`df -h`, `quota -s`)", resume)
