"""What a run asked Slurm for: the parts of `request.json` that are used after its submission."""

from dataclasses import dataclass
from pathlib import Path

from ..folder import REQUEST_FILE
from .files import read_record
from .values import Count


@dataclass(frozen=True)
class Booking:
    """The partition, Slurm's name of the GPUs, the walltime, how many such jobs in a row, and further options of sbatch."""

    partition: str | None = None
    gres: str | None = None
    time: str | None = None
    segments: Count | None = None
    further: tuple[tuple[str, str | int | bool], ...] | None = None


def read_booking(folder: Path) -> Booking:
    """Return what a run asked for; an empty one if it asked for nothing, or its folder is gone.  Raises UnreadableFile."""
    return read_record(Booking, folder / REQUEST_FILE) or Booking()
