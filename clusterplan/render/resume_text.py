"""A resumed run: what goes on, from where, and whether it is the same run."""

from collections.abc import Sequence

from ..launcher.run_folder.checkpoints import Checkpoint
from ..launcher.submission.submission import PreparedSubmission, Submission
from . import submit_text
from .layout import Page


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


def dry_run(
    page: Page,
    prepared: PreparedSubmission,
    resumes: str,
    checkpoint: Checkpoint | None,
    changes: Sequence[str],
) -> None:
    """Write what would go on and from where, then what would be submitted."""
    run = "a run with an id of its own" if changes else resumes
    page.sentence(describe_resumption(run, resumes, checkpoint, changes))
    page.line()
    submit_text.dry_run(page, prepared)


def describe_resumption(run: str, resumes: str, checkpoint: Checkpoint | None, changes: Sequence[str]) -> str:
    """Return one sentence on what goes on, and from where.

    >>> describe_resumption("a-1", "a-1", None, [])
    'a-1 starts at step 0: the same run'
    >>> describe_resumption("a-2", "a-1", None, ["batch_size 8 -> 4"])
    'a-2 starts at step 0: a new run after a-1, because the training changes (batch_size 8 -> 4)'
    """
    if checkpoint is None:
        where = "starts at step 0"
    elif checkpoint.step is None:
        where = f"goes on from {checkpoint.path}"
    else:
        where = f"goes on at step {checkpoint.step:,}, from {checkpoint.path}"
    if run == resumes:
        return f"{run} {where}: the same run"
    return f"{run} {where}: a new run after {resumes}, because the training changes ({', '.join(changes)})"
