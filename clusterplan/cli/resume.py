"""`clusterplan resume`."""

import json
from typing import Any

import click

from ..api.resume.prepare import prepare_resumption
from ..api.resume.resume import resume_prepared
from ..api.submit import run_tables
from ..errors import InputError
from ..render import resume_text
from .completion import complete_run
from .options import duration_s, echo_page, echo_text, json_option, say, say_notes, show_collecting
from .passthrough import WithCommand
from .run_options import run_options, slurm_options
from .workload_options import WorkloadCommand, one_shape


class _Resume(WithCommand, WorkloadCommand):
    """Takes a workload's flags, one value of each, and a command of its own; the run stands first."""

    tables = False
    common = ("time", "gpus", "batch_size", "partition", "follow", "dry_run")
    title = "Submission"

    def stands_before(self, word: str) -> bool:  # noqa: ARG002  the first word is the run, whatever it is
        return True


@click.command(cls=_Resume)
@click.argument("run", shell_complete=complete_run)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--executor", type=click.Choice(["slurm", "local"]), help="Default: as before.")
@click.option("--time", metavar="TIME", callback=duration_s, help="Walltime of one job. Default: as before.")
@click.option(
    "--requeue/--no-requeue",
    default=None,
    help="Whether Slurm may put the job back into the queue. Default: as before.",
)
@run_options
@click.option("--from-start", is_flag=True, help="Begin again, if the run has saved no checkpoint.")
@click.option("--force", is_flag=True, help="Submit even if the checks refuse.")
@click.option(
    "--follow", is_flag=True, help="Show what the run prints until it ends; Ctrl-C leaves it running."
)
@click.option("--dry-run", is_flag=True, help="Say what would go on, and from where; submit nothing.")
@json_option
def resume(
    run: str,
    command: tuple[str, ...],
    executor: str | None,
    time: float | None,
    requeue: bool | None,  # noqa: FBT001
    slurm: tuple[str, ...],
    bootstrap: str | None,
    resume_args: str,
    container: str | None,
    from_start: bool,  # noqa: FBT001
    force: bool,  # noqa: FBT001
    follow: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flags: Any,
) -> None:
    """Go on with a run that has ended, from its newest checkpoint.

    RUN is an id, or the beginning of one. What is not given stays as it was:

        clusterplan resume RUN --time 12h --partition long

        clusterplan resume RUN --batch-size 4 --accumulation 4

    If only resources change, the same run goes on. If the training changes, a new run goes on from the checkpoint.
    """
    if dry_run and (as_json or follow):
        raise InputError(
            f"--dry-run prints text and submits nothing: leave out {'--json' if as_json else '--follow'}"
        )
    with show_collecting() as progress:
        prepared = prepare_resumption(
            run,
            command,
            one_shape(flags),
            run_tables(slurm_options(slurm), bootstrap, resume_args, container),
            executor=executor,
            walltime_s=time,
            requeue=requeue,
            from_start=from_start,
            progress=progress,
        )
    if dry_run:
        for text in (*(problem.text for problem in prepared.prepared.refusals()), *prepared.remarks):
            say(text)
        echo_page(
            lambda page: resume_text.dry_run(
                page, prepared.prepared, prepared.ended.folder.name, prepared.checkpoint, prepared.changes
            )
        )
        return
    with say_notes():
        result = resume_prepared(prepared, force=force)
    for remark in result.remarks:
        say(remark)
    if as_json:
        echo_text(json.dumps(result.as_dict(), indent=2) + "\n")
    else:
        echo_page(result.write)
    if follow:
        from .following import follow_to_end  # noqa: PLC0415  the state of runs, for --follow only

        follow_to_end(result.folder)
