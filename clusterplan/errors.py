"""What can go wrong, as one tree.

ClusterplanError                  exit 1
├── InputError                    exit 2  a value, a file or a combination of them is wrong
│   ├── WorkloadError                     in the job file or the flags
│   └── ProfileError                      in a cluster profile
└── EstimateError                 exit 1
    └── NotEnoughHistory          exit 3  the question needs a throughput that nobody knows

Every message says what value, what is wrong with it, and what would be right, in one line.
"""


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
