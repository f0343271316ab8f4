"""What can go wrong, as one tree.

ClusterplanError                  exit 1
├── InputError                    exit 2  a value, a file or a combination of them is wrong
│   ├── WorkloadError                     in the job file or the flags
│   └── ProfileError                      in a cluster profile
├── EstimateError                 exit 1
│   └── NotEnoughHistory          exit 3  the question needs a throughput that nobody knows
├── SpoolError                    exit 1  readings cannot be written, or cannot be read back
├── HistoryError                  exit 1  the history cannot be opened, read or written
├── UnfitValue                    exit 1  a value that the history cannot keep
├── DamagedBlock                  exit 1  readings that the history kept, and that cannot be unpacked
├── UnreadableFile                exit 1  a file cannot be read, or holds something else
├── NotCollected                  exit 1  a run's folder cannot be read into the history, or not as a whole
├── RunFolderError                exit 1  a run's folder cannot be made or written
│   └── ForeignFile                       a file that would be run, and that somebody else may have written
├── SubmissionError               exit 1  a job is not accepted, or cannot be started
│   └── JobUnknown                        a job may be queued, but its id cannot be read
├── SlurmUnavailable              exit 3  Slurm's commands are missing, or nobody answers them
├── SlurmRefused                  exit 1  Slurm says no; its words
├── PackageMissing                exit 3  an optional package is not installed
├── NvmlUnavailable               exit 3  no NVIDIA driver answers here
└── GpuLost                       exit 1  one GPU has fallen off the bus; its UUID

Every message says what value, what is wrong with it, and what would be right, in one line.
"""

import os


class ClusterplanError(Exception):
    """Anything clusterplan raises on purpose."""

    exit_code = 1


class InputError(ClusterplanError):
    """A value, a file or a combination of them is wrong."""

    exit_code = 2


class WorkloadError(InputError):
    """The job file or a flag is wrong."""


class ProfileError(InputError):
    """A cluster profile is wrong or missing."""


class EstimateError(ClusterplanError):
    """The estimate cannot be made."""


class NotEnoughHistory(EstimateError):  # noqa: N818  the public name says what is missing
    """The question needs a throughput that nobody knows."""

    exit_code = 3


class SpoolError(ClusterplanError):
    """Samples cannot be written, or cannot be read back."""


class HistoryError(ClusterplanError):
    """The history cannot be opened, read or written."""


class UnfitValue(ClusterplanError):  # noqa: N818  it says what is wrong
    """A value that the history cannot keep: of one run, so that others go on."""


class DamagedBlock(ClusterplanError):  # noqa: N818  it says what is wrong
    """Readings that the history kept, and that cannot be unpacked: of one run, so that others go on."""


class UnreadableFile(ClusterplanError):  # noqa: N818  the name says what is so
    """The file at `path` cannot be read, or holds something else, for a `reason`: of one run, so that others go on.

    `is_lasting` if it stays so until the file changes, and not until a disk answers.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str, *, is_lasting: bool = True) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path, self.reason, self.is_lasting = os.fspath(path), reason, is_lasting

    @classmethod
    def of(cls, path: str | os.PathLike[str], error: OSError) -> "UnreadableFile":
        """Return the fault of a file that the system does not let us read."""
        return cls(path, f"cannot be read: {error.strerror or error}", is_lasting=False)


class NotCollected(ClusterplanError):  # noqa: N818  the name says what is so
    """The folder of a `run` cannot be read into the history, or not as a whole; `is_new` if nobody was told yet."""

    def __init__(self, run: str, reason: str, *, is_new: bool = True) -> None:
        super().__init__(f"{run}: {reason}")
        self.run, self.is_new = run, is_new


class RunFolderError(ClusterplanError):
    """A run's folder cannot be made or written."""


class ForeignFile(RunFolderError):  # noqa: N818  the name says what is so
    """A file that would be run, or says what is run, and that somebody else may have written."""


class SubmissionError(ClusterplanError):
    """A job is not accepted, or cannot be started."""


class JobUnknown(SubmissionError):  # noqa: N818  the name says what is so
    """A job may be queued, but its id cannot be read: its run folder must stay."""


class SlurmUnavailable(ClusterplanError):  # noqa: N818  the name says what is so
    """Slurm's commands are missing, or nobody answers them."""

    exit_code = 3


class SlurmRefused(ClusterplanError):  # noqa: N818  the name says what is so
    """Slurm says no; the text has its words."""


class PackageMissing(ClusterplanError):  # noqa: N818  the name says what is so
    """An optional package is not installed."""

    exit_code = 3


class NvmlUnavailable(ClusterplanError):  # noqa: N818  the name says what is so
    """No NVIDIA driver answers here; `is_installed` if its library is here, and does not start."""

    exit_code = 3

    def __init__(self, words: str, *, is_installed: bool = True) -> None:
        super().__init__(words)
        self.is_installed = is_installed


class GpuLost(ClusterplanError):  # noqa: N818  NVML's own word
    """One GPU has fallen off the bus; the text is its UUID."""
