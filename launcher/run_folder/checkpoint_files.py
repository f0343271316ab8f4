"""The files that training saves, and whether a checkpoint is complete: looks at names, sizes and the ends of files, and loads nothing.

A save that was killed leaves files that are empty or cut, or folders that lack the file that is written last.
"""

import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from ...cluster_profiles.files.bounded_file import open_regular
from ...errors import UnreadableFile
from .checkpoint_names import has_weight_suffix, is_unfinished, may_hold_checkpoints
from .records.checked import check_record
from .records.files import parse_json, read_record

_MAX_DEPTH = 5  # iter_0000500/mp_rank_00/model_optim_rng.pt; Orbax has folders per item, and data below
_MAX_FILES = 10_000
_LISTED_FILES = 5
_LENGTH_BYTES = (
    8  # of a safetensors file: the length of its header, which is at most 100 MB by its specification
)
_MAX_HEADER_BYTES = 100 << 20
_TRAINER_FILES = ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state")
# Files that only checkpoints have: Hugging Face's Trainer, torch's and Orbax's distributed checkpoints.
_MARKS = {"trainer_state.json", ".metadata", "_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt", ".zarray"}
_UNFINISHED = re.compile(r"\.(?:tmp|part|partial|incomplete)$|incomplete|orbax-checkpoint-tmp|-unfinished$")
_NO_STATE = re.compile(
    r"(?:png|jpe?g|gif|svg|pdf|mp4|webm|wav|mp3|html?|md|csv|tsv|log)$|^events\.out|^readme|^license"
    r"|(?:^|[-_.])(?:metrics?|results?|evals?|pred\w*|samples?|generat\w*|logs?|scores?)(?:[-_.]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Index:
    """The file of each tensor, as Hugging Face's index of a checkpoint in several files has it."""

    weight_map: Mapping[str, str]


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies behind the header of a safetensors file; None of the file's metadata."""

    data_offsets: tuple[int, int] | None = None


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a complete checkpoint: when the last of them changed, and whether they look like weights."""

    changed_s: float
    has_weights: bool


def read_checkpoint_files(path: Path) -> CheckpointFiles | None:
    """Return what the files of a checkpoint say; None if it is incomplete, or holds nothing to go on from."""
    try:
        if not path.is_dir():
            return CheckpointFiles(path.stat().st_mtime, has_weights=True) if is_whole_file(path) else None
        files = list(_walk(path, _MAX_DEPTH))
        return _read_folder(files) if files and not _lacks_files(path, files) else None
    except (OSError, UnreadableFile):  # deleted meanwhile, or on a disk that does not answer
        return None


def _walk(folder: Path, levels: int, is_searched: Callable[[str], bool] = bool) -> Iterator[Path]:
    """Yield the files in `folder` and in the folders whose names `is_searched` accepts."""
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry, _ in zip(listing, range(_MAX_FILES), strict=False)]
    except OSError:  # deleted meanwhile
        return
    for entry in entries:
        if not is_folder_entry(entry):
            yield Path(entry.path)
        elif levels > 1 and is_searched(entry.name):
            yield from _walk(Path(entry.path), levels - 1, is_searched)


def is_folder_entry(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link without an end is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _read_folder(files: list[Path]) -> CheckpointFiles | None:
    weights = [file for file in files if has_weight_suffix(file.name) or _is_unnamed_data(file)]
    if not all(is_whole_file(file) for file in weights):
        return None
    has_weights = bool(weights) or any(file.name in _MARKS for file in files)
    if not has_weights and all(_NO_STATE.search(file.name) for file in files):
        return None
    return CheckpointFiles(max(file.stat().st_mtime for file in files), has_weights)


def _is_unnamed_data(file: Path) -> bool:
    """Return whether a file without a suffix may hold weights, as flax, t5x and Orbax write them."""
    return not file.suffix and not file.name.startswith((".", "_")) and not _NO_STATE.search(file.name)


def _lacks_files(path: Path, files: list[Path]) -> bool:
    """Return whether a folder shows by its names that a save did not end."""
    names = {file.name for file in files}
    if any(_UNFINISHED.search(str(file.relative_to(path))) for file in files):
        return True
    is_trainers = path.name.startswith("checkpoint-") and any(
        name.startswith(_TRAINER_FILES) for name in names
    )
    if is_trainers and "trainer_state.json" not in names:  # Trainer writes its state last
        return True
    # torch's distributed checkpoint: the coordinator writes .metadata when all ranks have written.
    shards = {file.parent for file in files if file.suffix == ".distcp"}
    if any(folder / ".metadata" not in files for folder in shards):
        return True
    return any(
        not _has_all_shards(file, files)
        for file in files
        if file.name.endswith((".safetensors.index.json", ".bin.index.json"))
    )


def _has_all_shards(index: Path, files: list[Path]) -> bool:
    try:
        shards = read_record(_Index, index, most_bytes=_MAX_HEADER_BYTES)
    except UnreadableFile:
        return False
    return shards is None or all(index.parent / shard in files for shard in shards.weight_map.values())


def is_whole_file(path: Path) -> bool:
    """Return whether a file of weights is not seen to be empty or cut.  Raises OSError.

    torch (since 1.6), numpy's npz and Keras write zip files, whose directory stands at the end; the header of a
    safetensors file says how long it is.
    """
    size = path.stat().st_size
    if size == 0:
        return PurePath(path).suffix == ".distcp"  # a rank without tensors of its own writes an empty file
    with open_regular(path) as file:
        start = file.read(_LENGTH_BYTES + 1)
    if start.startswith(b"PK\x03\x04"):
        return zipfile.is_zipfile(path)
    if path.suffix == ".safetensors" and start[_LENGTH_BYTES:] == b"{":
        return _safetensors_bytes(path, int.from_bytes(start[:_LENGTH_BYTES], "little")) <= size
    return True  # of another format: its reader will tell


def _safetensors_bytes(path: Path, header_bytes: int) -> float:
    """Return the bytes that the header of a safetensors file promises; infinite if the header itself is cut."""
    with open_regular(path) as file:
        file.seek(_LENGTH_BYTES)
        text = file.read(min(header_bytes, _MAX_HEADER_BYTES))
    try:
        header = check_record(dict[str, _Tensor], parse_json(text.decode()))
        ends = [tensor.data_offsets[1] for tensor in header.values() if tensor.data_offsets]
    except ValueError:
        return float("inf")
    return _LENGTH_BYTES + header_bytes + max(ends, default=0)


def newest_weights_s(folder: Path) -> float | None:
    """Return when the newest complete file of weights in `folder` changed, whatever its name; None without one."""
    changed_s = None
    for file in _walk(folder, _MAX_DEPTH, may_hold_checkpoints):
        if has_weight_suffix(file.name) and not is_unfinished(file.name):
            with suppress(OSError):  # deleted meanwhile
                facts = file.stat()
                if facts.st_size:
                    changed_s = max(changed_s or 0.0, facts.st_mtime)
    return changed_s


def describe_unrecognised(folder: Path, pattern: str | None = None) -> str:
    """Say what is in `folder`, in which no checkpoint is recognised."""
    names = sorted(os.path.relpath(file, folder) for file in _walk(folder, _MAX_DEPTH))
    if not names:
        return f"nothing was saved in {folder.name}/"
    listed = ", ".join(names[:_LISTED_FILES])
    more = f" and {len(names) - _LISTED_FILES} more" if len(names) > _LISTED_FILES else ""
    what = "matches checkpoint.pattern" if pattern else "is recognised"
    return f"no checkpoint {what} in {folder.name}/; files there: {listed}{more}"
