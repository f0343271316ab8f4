"""A resumed run: what goes on, from where, and whether it is the same run."""

from collections.abc import Sequence

from ..launcher.run_folder.checkpoints import Checkpoint
from ..launcher.submission.submission import Submission
from . import submit_text
from .layout import Page


def resume_line(run: str) -> str:
    """Return the command that goes on with a run that has ended.

    >>> resume_line("ddp-20261125T130848-e744")
    'clusterplan resume ddp-20261125T130848-e744'
    """
    return f"clusterplan resume {run}"


def resumed(
    page: Page,
    submission: Submission,
    resumes: str,
    checkpoint: Checkpoint | None,
    changes: Sequence[str],
) -> None:
    """Write what goes on and from where, then what is submitted."""
    page.sentence(describe_resumption(submission.runs[0].run, resumes, checkpoint, changes))
    page.line()
    submit_text.submitted(page, submission)


def describe_resumption(run: str, resumes: str, checkpoint: Checkpoint | None, changes: Sequence[str]) -> str:
    """Return one sentence on what goes on, and from where.

    >>> describe_resumption("a-2", "a-1", Checkpoint(70, "out/step_70"), ["batch_size 8 -> 4"])
    'a-2 goes on at step 70, from out/step_70: a new run after a-1, because the training changes (batch_size 8 -> 4)'
    """
    where = (
        f"goes on at step {checkpoint.step:,}, from {checkpoint.path}" if checkpoint else "starts at step 0"
    )
    if run == resumes:
        return f"{run} {where}: the same run"
    return f"{run} {where}: a new run after {resumes}, because the training changes ({', '.join(changes)})"
