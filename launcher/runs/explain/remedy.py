"""What to do about a run that has ended: one thing, by its state and its cause.  Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...logs.errors import ErrorKind
from ..state import OPEN_STATES, RunState, State
from .exit_codes import SIGKILL_CODE

_ON_GPU = re.compile(r"CUDA|\bGPU\b|\bHIP\b|cuda|OutOfMemoryError|_ALLOC_FAILED|RESOURCE_EXHAUSTED")
_SHARED_MEMORY = re.compile(r"/dev/shm|shared memory", re.IGNORECASE)  # noqa: S108  the words of an error


@dataclass(frozen=True)
class Remedy:
    """What to do, in a sentence, and the command that goes on with the run."""

    text: str
    command: str


def find_remedy(
    run: str, state: RunState, shape: Mapping[str, Any], *, has_checkpoint: bool, nodes: tuple[str, ...] = ()
) -> Remedy | None:
    """Return what to do about a run; None if it is open, or completed.

    `shape` is that of run.json, and `nodes` are those of its last attempt.

    >>> ended = RunState(State.OUT_OF_MEMORY, "exit code 1: CUDA out of memory", 0.0)
    >>> remedy = find_remedy("ddp", ended, {"batch_size": 8, "accumulation": 2}, has_checkpoint=True)
    >>> remedy.command, remedy.text
    ('clusterplan resume ddp --batch-size 4 --accumulation 4', 'half the micro-batch, twice the accumulation, the same steps')
    """
    if state.state in (*OPEN_STATES, State.COMPLETED):
        return None
    remedy = _find_remedy(run, state, shape, has_checkpoint=has_checkpoint, nodes=nodes)
    return remedy if has_checkpoint else replace(remedy, command=f"{remedy.command} --from-start")


def _find_remedy(  # noqa: PLR0911  one line per case
    run: str, state: RunState, shape: Mapping[str, Any], *, has_checkpoint: bool, nodes: tuple[str, ...]
) -> Remedy:
    resume, error = f"clusterplan resume {run}", state.failure.error or "" if state.failure else ""
    kind = state.failure.kind if state.failure else None
    words = f"{error} {state.reason}"
    if state.state is State.OUT_OF_MEMORY:
        return _save_memory(resume, shape) if _ON_GPU.search(words) else _more_memory(resume)
    if kind is ErrorKind.DISK_FULL or _SHARED_MEMORY.search(words):
        return _make_room(resume, words)
    if state.state is State.FAILED and state.exit_code == SIGKILL_CODE:
        return _more_memory(resume)
    if state.state is State.TIMED_OUT and not has_checkpoint:
        return Remedy(
            "nothing was saved: write a checkpoint into {output} before the limit, or ask for more time with --time",
            resume,
        )
    if state.state is State.TIMED_OUT:
        return Remedy("it goes on from its newest checkpoint; --time gives it more time", resume)
    if state.state is State.NODE_FAILURE and len(nodes) == 1:
        return Remedy(f"it goes on without {nodes[0]}", f"{resume} --slurm exclude={nodes[0]}")
    if kind is ErrorKind.CONSEQUENCE:
        node = state.failure.node if state.failure else ""
        return Remedy(
            f"a peer of this rank was lost, and none says why: look at `clusterplan logs {run} --all`; if it comes "
            f"again, keep off {node or 'the node'}",
            f"{resume} --slurm exclude={node}" if node and len(nodes) > 1 else resume,
        )
    if state.state is State.FAILED:
        return Remedy(f"read `clusterplan logs {run}`, mend the cause, then go on", resume)
    return Remedy(
        "it goes on from its newest checkpoint" if has_checkpoint else "nothing was saved yet", resume
    )


def _save_memory(resume: str, shape: Mapping[str, Any]) -> Remedy:
    """Return a smaller micro-batch with as many more parts of a step, so that steps and weights stay the same."""
    batch, accumulation = shape.get("batch_size"), shape.get("accumulation")
    if not isinstance(batch, int) or not isinstance(accumulation, int):
        return Remedy(
            "half the micro-batch, and twice the accumulation, are the same steps in less memory", resume
        )
    if batch == 1:
        return Remedy(
            "a micro-batch of 1 is the smallest: recompute activations, split the model over GPUs, or use larger ones",
            resume,
        )
    smaller = max(part for part in range(1, batch // 2 + 1) if batch % part == 0)
    times = batch // smaller
    words = "half the micro-batch, twice" if times == 2 else f"a micro-batch of {smaller}, {times} times"  # noqa: PLR2004
    command = f"{resume} --batch-size {smaller} --accumulation {accumulation * times}"
    return Remedy(f"{words} the accumulation, the same steps", command)


def _more_memory(resume: str) -> Remedy:
    return Remedy(
        "the memory of the node ran out, or somebody killed it: ask for more than before, or use fewer workers for data",
        f"{resume} --slurm mem=MEMORY",
    )


def _make_room(resume: str, words: str) -> Remedy:
    if _SHARED_MEMORY.search(words):
        return Remedy(
            "the shared memory of the node is full: use fewer workers for data, or let them share files",
            resume,
        )
    return Remedy(
        "the disk is full, or its quota is used: make room (`df -h`, `quota -s`), then go on", resume
    )
