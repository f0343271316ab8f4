"""The newest checkpoint on disk, from which a restart resumes, in the names that frameworks use."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

_MAX_DEPTH = 4  # lightning_logs/version_0/checkpoints/epoch=0-step=9.ckpt
_MAX_ENTRIES = 10_000
# checkpoint-500, step_500, epoch=3-step=500.ckpt, global_step500, iter_0000500; hpc_ckpt_2 is Lightning's second save
_STEP = re.compile(r"(?:checkpoint|step|iter|ckpt)[-_=]?(\d+)(?!.*(?:checkpoint|step|iter|ckpt)[-_=]?\d)")
# Of a file: samples/step_900.png is not a checkpoint.  A folder may have any suffix.
_SUFFIXES = {
    *("", ".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".gz", ".zst", ".zip", ".npz", ".npy"),
    *(".h5", ".hdf5", ".keras", ".index", ".pkl", ".pickle", ".msgpack", ".distcp", ".nemo", ".eqx"),
}
_TRAINER_FILES = ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state")
_NO_CHECKPOINT = re.compile(r"(?i)^hpc_ckpt|[.-](tmp|temp|part|partial|incomplete)\b|^\.|^tmp")


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A checkpoint: its step and its path."""

    step: int
    path: str


def parse_step(name: str) -> int | None:
    """Return the step in the name of a checkpoint; None for other names, and for one that is still being written.

    >>> [parse_step(n) for n in ("checkpoint-500", "epoch=3-step=40.ckpt", "global_step7", "step_9.tmp", "logs")]
    [500, 40, 7, None, None]
    """
    match = None if _NO_CHECKPOINT.search(name) else _STEP.search(name)
    return int(match[1]) if match else None


def find_newest_checkpoint(folder: Path | None) -> Checkpoint | None:
    """Return the checkpoint of the highest step in `folder` or up to three levels below it; None without one."""
    return max(_find_checkpoints(folder, _MAX_DEPTH), default=None) if folder else None


def _find_checkpoints(folder: Path, levels: int) -> list[Checkpoint]:
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry, _ in zip(listing, range(_MAX_ENTRIES), strict=False)]
    except OSError:
        return []
    checkpoints = list[Checkpoint]()
    for entry in entries:
        step = parse_step(entry.name)
        is_folder = entry.is_dir()
        if step is not None and (_is_complete(Path(entry.path)) if is_folder else _has_suffix(entry.name)):
            checkpoints.append(Checkpoint(step, entry.path))
        elif is_folder and step is None and levels > 1:
            checkpoints += _find_checkpoints(Path(entry.path), levels - 1)
    return checkpoints


def _has_suffix(name: str) -> bool:
    suffix = PurePath(name).suffix.lower()
    return suffix in _SUFFIXES or suffix[1:].isdecimal()  # the .12 of epoch=3-step=40-loss=0.12


def _is_complete(folder: Path) -> bool:
    """Return whether a checkpoint's folder is complete: Hugging Face's Trainer writes its state last, others rename it."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    if "checkpoint-is-incomplete.txt" in names:  # Trainer's mark while it saves after a stop signal
        return False
    if folder.name.startswith("checkpoint-") and any(name.startswith(_TRAINER_FILES) for name in names):
        return "trainer_state.json" in names  # ranks that stop at different steps leave parts of checkpoints
    return bool(names)
