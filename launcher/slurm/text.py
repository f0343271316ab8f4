"""Times, limits, complaints and job ids as Slurm's commands print them, and the wrappers that sites put around them.

Texts are those of Slurm 20.02 and later with LC_ALL=C; times are Unix seconds (SLURM_TIME_FORMAT=%s) or ISO.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ...cluster_profiles.units import MINUTE_S, parse_duration_s

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COMMAND = re.compile(r"(?:sbatch|squeue|scontrol|scancel|sinfo|sacct|sacctmgr|slurm_\w+): ")
_WRONG = re.compile(r".*?(?:error|fatal|allocation failure): ", re.IGNORECASE)
_PARSABLE = re.compile(r"(\d+)(?:;([\w.-]+))?")
_SENTENCE = re.compile(r"Submitted batch job (\d+)(?: on cluster ([\w.-]+))?", re.IGNORECASE)
_JSON = re.compile(r'"(?:job_?)?id"\s*:\s*"?(\d+)\b', re.IGNORECASE)


@dataclass(frozen=True)
class SbatchAnswer:
    """A job's id, and the name of its Slurm where sbatch says it."""

    job_id: str
    cluster: str | None


def without_colours(text: str) -> str:
    """Return text without the escape sequences that colour it.

    >>> without_colours("\x1b[1;32m7\x1b[0m")
    '7'
    """
    return _COLOURS.sub("", text)


def parse_sbatch_answer(output: str) -> SbatchAnswer | None:
    """Return the job that sbatch names: its sentence, else the last line that is an id, else an id in JSON; None if none.

    >>> parse_sbatch_answer("Welcome to HPC\\n12;west\\n")
    SbatchAnswer(job_id='12', cluster='west')
    >>> parse_sbatch_answer("Submitted batch job 12\\nbalance:\\n4500").job_id
    '12'
    >>> parse_sbatch_answer('{"job_id": 12}').job_id, parse_sbatch_answer("3 jobs of 10 are used")
    ('12', None)
    """
    if sentences := _SENTENCE.findall(output):
        job_id, cluster = sentences[-1]
        return SbatchAnswer(job_id, cluster or None)
    lines = [match for line in output.splitlines() if (match := _PARSABLE.fullmatch(line.strip()))]
    if lines:
        return SbatchAnswer(lines[-1][1], lines[-1][2])
    in_json = _JSON.search(output)
    return SbatchAnswer(in_json[1], None) if in_json else None


def parse_notes(text: str) -> tuple[str, ...]:
    """Return what a command printed beside its answer, a line each, without its name.

    >>> parse_notes("sbatch: your job goes to QOS long\\n\\n")
    ('your job goes to QOS long',)
    """
    return tuple(_COMMAND.sub("", line).strip() for line in text.splitlines() if line.strip())


def parse_complaints(text: str) -> str:
    """Return the complaints of a command in one line: those called errors, otherwise all it printed.

    >>> parse_complaints("Have a nice day\\nsbatch: error: lua: no account\\nsbatch: error: Batch job submission failed")
    'lua: no account; Batch job submission failed'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if _WRONG.match(line)]
    wrong = wrong or [line for line in lines if _COMMAND.match(line)] or lines[-1:]
    return "; ".join(_COMMAND.sub("", _WRONG.sub("", line)) for line in wrong) or "no reason given"


def last_complaint(text: str) -> str:
    """Return the last complaint of a Slurm command, without the command's name.

    >>> last_complaint("sbatch: error: Batch job submission failed: Invalid qos specification\\nBye\\n")
    'Batch job submission failed: Invalid qos specification'
    """
    lines = [line for line in without_colours(text).splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    line = next((line for line in reversed(lines) if _WRONG.match(line)), lines[-1])
    return _COMMAND.sub("", _WRONG.sub("", line.strip())).strip()


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


def parse_memory_mib(text: str) -> int | None:
    """Return an amount of memory as sbatch reads it, in MiB: megabytes without a unit; None for anything else.

    >>> parse_memory_mib("400G"), parse_memory_mib("4000"), parse_memory_mib("1.5T"), parse_memory_mib("all")
    (409600, 4000, None, None)
    """
    match = re.fullmatch(r"(\d+)([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    number, unit = int(match[1]), match[2].upper() or "M"
    return number // 1024 if unit == "K" else number * 1024 ** "MGT".index(unit)


def memory_mib_of_job(environment: Mapping[str, str]) -> int | None:
    """Return the MiB that Slurm gives a job on this node, by the variables of its step; None if it does not say.

    sbatch(1): the variables of --mem and --mem-per-cpu, the second also with the cluster's default.

    >>> memory_mib_of_job({"SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "4"})
    4000
    """
    per_node, per_cpu = (environment.get(f"SLURM_MEM_PER_{what}", "") for what in ("NODE", "CPU"))
    cpus = environment.get("SLURM_CPUS_ON_NODE", "")
    if per_node.isdecimal():
        return int(per_node) or None  # 0 is all that the node has
    return int(per_cpu) * int(cpus) if per_cpu.isdecimal() and cpus.isdecimal() else None
