"""Times, limits and complaints as Slurm's commands print them.

Texts are those of Slurm 20.02 and later with LC_ALL=C; times are Unix seconds (SLURM_TIME_FORMAT=%s) or ISO.
"""

import re
from datetime import datetime

from ...cluster_profiles.units import MINUTE_S, parse_duration_s


def last_complaint(text: str) -> str:
    """Return the last complaint of a Slurm command, without the command's name.

    >>> last_complaint("sbatch: error: Batch job submission failed: Invalid qos specification\\n")
    'Batch job submission failed: Invalid qos specification'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    return re.sub(r"^(?:\w+: )?(?:(?:error|fatal|allocation failure): )?", "", lines[-1])


def parse_slurm_time_s(text: str) -> float | None:
    """Return a time of Slurm in Unix seconds; None for N/A, Unknown and the like.

    >>> parse_slurm_time_s("1795610546"), parse_slurm_time_s("Unknown")
    (1795610546.0, None)
    """
    if text.isdecimal():
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()  # Slurm prints the zone of this machine
    except ValueError:
        return None


def parse_limit_s(text: str) -> float | None:
    """Return a time limit of Slurm in seconds; a bare number is minutes; None for UNLIMITED, NONE and the like.

    >>> parse_limit_s("1-00:00:00"), parse_limit_s("2:00"), parse_limit_s("30"), parse_limit_s("UNLIMITED")
    (86400.0, 120.0, 1800.0, None)
    """
    if text.isdecimal():
        return float(int(text) * MINUTE_S)
    try:
        return parse_duration_s(text)
    except ValueError:
        return None
