"""The newest checkpoint on disk: what a restart resumes from, whatever the framework calls it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

_DEEPEST = 4  # lightning_logs/version_0/checkpoints/epoch=0-step=9.ckpt
_MOST_ENTRIES = 10_000
# checkpoint-500, step_500, epoch=3-step=500.ckpt, global_step500, iter_0000500; but hpc_ckpt_2 is Lightning's second
_STEP = re.compile(r"(?:checkpoint|step|iter|ckpt)[-_=]?(\d+)(?!.*(?:checkpoint|step|iter|ckpt)[-_=]?\d)")
# A file's; samples/step_900.png is none.  Folders are called what they like.
_ENDINGS = {
    *("", ".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".gz", ".zst", ".zip", ".npz", ".npy"),
    *(".h5", ".hdf5", ".keras", ".index", ".pkl", ".pickle", ".msgpack", ".distcp", ".nemo", ".eqx"),
}
_OF_A_TRAINER = ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state")
_NO_STEP = re.compile(r"(?i)^hpc_ckpt|[.-](tmp|temp|part|partial|incomplete)\b|^\.|^tmp")


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A checkpoint's step, and where it is."""

    step: int
    path: str


def parse_step(name: str) -> int | None:
    """The step in the name of a checkpoint; None for anything else, and for one that is still being written.

    >>> [parse_step(n) for n in ("checkpoint-500", "epoch=3-step=40.ckpt", "global_step7", "step_9.tmp", "logs")]
    [500, 40, 7, None, None]
    """
    found = None if _NO_STEP.search(name) else _STEP.search(name)
    return int(found[1]) if found else None


def find_newest_checkpoint(folder: Path | None) -> Checkpoint | None:
    """The checkpoint of the highest step in `folder`, or a few levels below it."""
    found = list(_found(folder, _DEEPEST)) if folder else []
    return max(found, default=None)


def _found(folder: Path, levels: int) -> list[Checkpoint]:
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry, _ in zip(listing, range(_MOST_ENTRIES), strict=False)]
    except OSError:
        return []
    found = list[Checkpoint]()
    for entry in entries:
        step = parse_step(entry.name)
        is_folder = entry.is_dir()
        if step is not None and (_whole(Path(entry.path)) if is_folder else _ends_like_one(entry.name)):
            found.append(Checkpoint(step, entry.path))
        elif is_folder and step is None and levels > 1:
            found += _found(Path(entry.path), levels - 1)
    return found


def _ends_like_one(name: str) -> bool:
    ending = PurePath(name).suffix.lower()
    return ending in _ENDINGS or ending[1:].isdecimal()  # epoch=3-step=40-loss=0.12 has none


def _whole(folder: Path) -> bool:
    """Hugging Face's Trainer writes its state last; other frameworks rename or need no mark."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    if "checkpoint-is-incomplete.txt" in names:  # Trainer's own mark, of one that it writes as it is stopped
        return False
    if folder.name.startswith("checkpoint-") and any(name.startswith(_OF_A_TRAINER) for name in names):
        return "trainer_state.json" in names  # ranks that were stopped at different steps leave parts
    return bool(names)
