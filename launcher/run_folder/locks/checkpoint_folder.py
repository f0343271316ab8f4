"""Which run writes its checkpoints into a folder: a file in the folder itself, which users of other histories see too."""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ....cluster_profiles.modes import user_name
from ....errors import InputError, UnreadableFile
from ...command.flags import flag_value
from ..folder import json_text, write_text
from ..launch import Launch
from ..records.files import read_record

_LOCK_FILE = ".clusterplan-run.json"
# Hugging Face's TrainingArguments and diffusers, Megatron-LM, nanoGPT, timm, Lightning's scripts.
_OUTPUT_FLAGS = ("--output_dir", "--save", "--out_dir", "--save_dir", "--checkpoint_dir", "--ckpt_dir")


@dataclass(frozen=True)
class Writer:
    """The run that writes into a folder of checkpoints: its id, its folder and its user."""

    run: str
    folder: str
    user: str


def checkpoint_folders(launch: Launch, own: Path) -> set[Path]:
    """Return the folders of checkpoints that a run states, to us and to its command, outside its `own` folder."""
    words = (flag_value(launch.command, flag) for flag in _OUTPUT_FLAGS)
    folders = {Path(launch.cwd, word).resolve() for word in (launch.output, *words) if word}
    return {folder for folder in folders if not folder.is_relative_to(own.resolve())}


def read_writer(output: Path) -> Writer | None:
    """Return the run that has a folder of checkpoints; None if none has it, or the file that says so cannot be read."""
    with suppress(UnreadableFile):
        return read_record(Writer, output / _LOCK_FILE)
    return None


def lock_checkpoint_folder(output: Path, folder: Path, before: Writer | None) -> None:
    """Let the run in `folder` have a folder of checkpoints; `before` is the run that had it when that was checked.

    Raises InputError if another run has taken it since, and OSError.
    """
    lock = output / _LOCK_FILE
    if before and read_writer(output) == before:
        lock.unlink(missing_ok=True)
    draft = output / f"{_LOCK_FILE}.{os.getpid()}"
    write_text(draft, json_text(asdict(Writer(folder.name, str(folder), user_name()))))
    try:
        os.link(draft, lock)
    except FileExistsError:
        if writer := read_writer(output):
            raise InputError(f"{output}: {describe_writer(writer)}") from None
    finally:
        draft.unlink()


def unlock_checkpoint_folder(folder: Path) -> None:
    """Let go of the folder of checkpoints that the run in `folder` has, if it has one."""
    with suppress(OSError, UnreadableFile):
        output = Path(Launch.read(folder).output or folder)
        if (writer := read_writer(output)) and writer.run == folder.name:
            (output / _LOCK_FILE).unlink()


def describe_writer(writer: Writer) -> str:
    """Return why another run may not write there too.

    >>> describe_writer(Writer("net-1", "/runs/net-1", "ada"))
    'run net-1 of ada writes its checkpoints there, and each would resume from those of the other'
    """
    return f"run {writer.run} of {writer.user} writes its checkpoints there, and each would resume from those of the other"
