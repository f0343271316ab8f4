"""The checkpoints on disk, newest first: from which a restart resumes, and whether anything was saved."""

import heapq
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path, PurePath

from ...cluster_profiles.files.bounded_file import read_text
from ...errors import UnreadableFile
from .checkpoint_files import CheckpointFiles, is_folder_entry, read_checkpoint_files
from .checkpoint_names import (
    CheckpointName,
    Family,
    has_weight_suffix,
    is_unfinished,
    match_pattern,
    may_hold_checkpoints,
    parse_name,
)

_MAX_DEPTH = 4  # lightning_logs/version_0/checkpoints/epoch=0-step=9.ckpt
_MAX_ENTRIES = 10_000
_MAX_POINTER_BYTES = 4096
_MOST_WITHOUT_STEP = 20
# Text in which a framework names its last complete checkpoint: Megatron and verl, DeepSpeed, MMEngine and detectron2.
_POINTERS = ("latest_checkpointed_iteration.txt", "latest", "last_checkpoint")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its path, what its name says, and when it last changed, in Unix seconds."""

    path: str
    name: CheckpointName
    changed_s: float

    @property
    def step(self) -> int | None:
        """Return the step at which it was saved; None if its name does not tell it."""
        return self.name.step


@dataclass(frozen=True)
class _Candidate:
    path: str
    name: CheckpointName
    is_folder: bool


def find_newest_checkpoint(folder: Path | None, pattern: str | None = None) -> Checkpoint | None:
    """Return the newest complete checkpoint in `folder` or up to three levels below it; None without one."""
    return next(find_checkpoints(folder, pattern), None) if folder else None


def find_last_step(folder: Path | None, pattern: str | None = None) -> int | None:
    """Return the step of the newest checkpoint whose name tells one."""
    return last_step(find_checkpoints(folder, pattern)) if folder else None


def last_step(checkpoints: Iterable[Checkpoint]) -> int | None:
    """Return the first step that the newest of these checkpoints tell; there may be thousands that tell none."""
    steps = (checkpoint.step for checkpoint in islice(checkpoints, _MOST_WITHOUT_STEP))
    return next((step for step in steps if step is not None), None)


def find_checkpoints(folder: Path, pattern: str | None = None) -> Iterator[Checkpoint]:
    """Return the complete checkpoints in `folder`, the one to resume from first, then the one before it.

    Numbers decide within a family of names, the time of the last change between families.  Folders without weights
    count only where nothing has weights, and files that are just a word and a number where nothing has a better name.
    `pattern` is `checkpoint.pattern` of the job file, and replaces the names of frameworks.
    """
    # Of two with one time the first family wins: `last.ckpt` may be a link to a checkpoint with a number.
    merged = heapq.merge(*_find_families(folder, pattern), key=lambda save: -save.changed_s)
    seen = set[str]()
    for checkpoint in merged:
        if (real := os.path.realpath(checkpoint.path)) not in seen:
            seen.add(real)
            yield checkpoint


def find_newest_of_families(folder: Path, pattern: str | None = None) -> list[Checkpoint]:
    """Return the newest complete checkpoint of each family of names: `epoch_3.pt`, `step_500.pt` and `last.pt`."""
    return [newest for family in _find_families(folder, pattern) if (newest := next(family, None))]


def read_name(path: str, folder: Path, pattern: str | None = None) -> CheckpointName | None:
    """Return what the path of a checkpoint in `folder` says, which may be deleted since."""
    if pattern:
        return match_pattern(re.compile(pattern), os.path.relpath(path, folder))
    name = PurePath(path).name
    return parse_name(name, is_folder=not has_weight_suffix(name))


def _find_families(folder: Path, pattern: str | None) -> list[Iterator[Checkpoint]]:
    """Return the complete checkpoints of each family of names, by falling number."""
    expression = re.compile(pattern) if pattern else None
    depth = max(_MAX_DEPTH, pattern.count("/") + 1) if pattern else _MAX_DEPTH
    candidates = _scan(folder, folder, depth, expression)
    clear = [candidate for candidate in candidates if candidate.name.family is not Family.OTHER]
    files = dict[str, CheckpointFiles | None]()
    for group, needs_weights in ((clear, expression is None), (candidates, True), (clear, False)):
        families = [
            (first, later)
            for members in _group(group)
            if (first := next(later := _sort(members, files, needs_weights=needs_weights), None))
        ]
        if families:
            return [chain([first], later) for first, later in families]
    return []


def _group(candidates: Iterable[_Candidate]) -> Iterator[list[_Candidate]]:
    def family(candidate: _Candidate) -> tuple[Family, str]:
        return candidate.name.family, candidate.name.stem

    return (list(members) for _, members in groupby(sorted(candidates, key=family), key=family))


def _sort(
    family: Iterable[_Candidate], files: dict[str, CheckpointFiles | None], *, needs_weights: bool
) -> Iterator[Checkpoint]:
    """Yield what is complete; files are read as late as possible, because there may be thousands of checkpoints."""

    def number(candidate: _Candidate) -> tuple[int, ...]:
        return candidate.name.number

    for _, same_number in groupby(sorted(family, key=number, reverse=True), key=number):
        saves = []
        for candidate in same_number:
            if candidate.path not in files:
                files[candidate.path] = read_checkpoint_files(Path(candidate.path))
            content = files[candidate.path]
            if content and (content.has_weights or not needs_weights):
                saves.append(Checkpoint(candidate.path, candidate.name, content.changed_s))
        yield from sorted(saves, key=lambda save: -save.changed_s)


def _scan(root: Path, folder: Path, levels: int, pattern: re.Pattern[str] | None) -> list[_Candidate]:
    """Return what may be a checkpoint by its name, in `folder` and `levels` - 1 levels below."""
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry, _ in zip(listing, range(_MAX_ENTRIES), strict=False)]
    except OSError:
        return []
    here, below = list[_Candidate](), list[_Candidate]()
    unfinished = {
        entry.name.lower().removesuffix("-unfinished") for entry in entries if is_unfinished(entry.name)
    }
    for entry in entries:
        is_folder = is_folder_entry(entry)
        if pattern:
            name = match_pattern(pattern, os.path.relpath(entry.path, root))
        else:
            name = parse_name(entry.name, is_folder=is_folder)
        inner = list[_Candidate]()
        is_searched = name is None or (pattern is None and _may_contain(name))
        if is_folder and levels > 1 and is_searched and (pattern or may_hold_checkpoints(entry.name)):
            inner = _scan(root, Path(entry.path), levels - 1, pattern)
        if name and not (is_folder and any(_is_rather(candidate, name) for candidate in inner)):
            if entry.name.lower().removesuffix(".ckpt") not in unfinished:  # NeMo's mark beside a save
                here.append(_Candidate(entry.path, name, is_folder))
        else:
            below += inner
    return _without_later(here, entries) + below


def _may_contain(name: CheckpointName) -> bool:
    """Return whether a folder with the name of a checkpoint may only be a folder of checkpoints: `checkpoint/`, `0/`."""
    if name.family is Family.OVERWRITTEN:
        return name.stem in ("checkpoint", "ckpt")
    return name.family in (Family.EPOCH, Family.OTHER) or name.stem == "#"


def _is_rather(inner: _Candidate, folder: CheckpointName) -> bool:
    """Return whether `inner` is the checkpoint, and the folder around it is not."""
    if folder.family in (Family.OVERWRITTEN, Family.OTHER):
        return inner.name.family is not Family.OTHER
    return inner.name.family in (Family.STEP, Family.EPOCH) or (
        inner.name.family is Family.SAVE and inner.is_folder and folder.family is Family.SAVE
    )


def _without_later(candidates: list[_Candidate], entries: list[os.DirEntry[str]]) -> list[_Candidate]:
    """Leave out saves beyond the last complete one, where the framework names that one in a file beside them."""
    for entry in entries:
        last = _read_pointer(entry) if entry.name in _POINTERS else None
        if last and any(candidate.name == last for candidate in candidates):
            candidates = [
                candidate
                for candidate in candidates
                if candidate.name.family is not last.family or candidate.name.number <= last.number
            ]
    return candidates


def _read_pointer(entry: os.DirEntry[str]) -> CheckpointName | None:
    try:
        text = read_text(entry.path, _MAX_POINTER_BYTES).strip()
    except (OSError, UnreadableFile):
        return None
    if text.isdecimal():
        return CheckpointName(Family.STEP, (int(text),), step=int(text))
    name = PurePath(text).name
    return parse_name(name, is_folder=not has_weight_suffix(name)) if name else None
