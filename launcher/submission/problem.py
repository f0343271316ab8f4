"""What stands against a submission: one line for the user under a stable code."""

from dataclasses import dataclass

PROBLEM_CODES = {
    "command-missing": "The command is not found, or cannot be started.",
    "shell": "A word such as > or $NAME needs a shell, and no shell reads the command.",
    "entry": "The command's Python file or shell script does not exist, or the Python does not compile.",
    "torchrun": "The command's Python has no torch, so torchrun cannot start it.",
    "srun": "The command starts a step of Slurm or queues another job, which the job itself keeps from starting.",
    "node-alone": "The command's launcher knows of no other node, so each node would train by itself.",
    "one-process": "The command starts one process, or too few, for the GPUs of a node.",
    "exit-code": "A shell would end with another code than its training, so that a failed one counts as completed.",
    "folder": "The folder cannot hold a run.",
    "folder-open": "A folder on the way to the runs or the checkpoints is others' to write, and not sticky: they may replace what is there.",
    "checkpoint-folder": "Another run that has not ended writes its checkpoints into the same folder.",
    "unregistered": "The run cannot be put into the list of runs beside the history.",
    "folder-not-shared": "Nodes of the job would not see the run's folder.",
    "slurm-silent": "Slurm does not answer, so a dry run checks the job against no cluster.",
    "partition": "The partition does not exist.",
    "partition-down": "The partition takes no jobs now.",
    "time-limit": "The walltime is above the partition's limit: Slurm would let the job wait for ever.",
    "account-limit": "The QOS or the account never gives one job so much: Slurm would let it wait for ever.",
    "gpus-missing": "This machine shows no GPU, or its driver does not start: a run here would train on the CPU.",
    "gpu-type": "The partition has no GPUs of that type.",
    "gpu-choice": "The job names no GPU type, and Slurm may give it slices.",
    "gpu-count": "No node of the partition has as many GPUs of that type.",
    "nodes": "The partition has too few of these nodes, or gives a job too few: Slurm would let it wait for ever.",
    "memory": "No node that has the GPUs has as much memory.",
    "reserved": "A reservation, such as a maintenance, begins before the job could end: it waits until that is over.",
    "precision": "The GPU has no hardware for that precision.",
    "checkpoint": "A job under the limit would end before its first checkpoint.",
    "signal": "The warning before the limit takes much of the walltime.",
    "requeue": "The job may not be put back into the queue.",
    "inside-job": "The job is submitted from inside another job.",
    "array": "The sweep has more runs than an array of Slurm holds.",
}


@dataclass(frozen=True)
class Problem:
    """One line for the user; `code` is one of PROBLEM_CODES.  A job is not submitted while one `refuses`."""

    code: str
    text: str
    refuses: bool


def refusal(code: str, text: str) -> Problem:
    """Return a problem that keeps a job from being submitted."""
    return Problem(code, text, refuses=True)


def warning(code: str, text: str) -> Problem:
    """Return a problem that is said, and lets the job go."""
    return Problem(code, text, refuses=False)
