"""The stages of a job: `estimate --progressive` and `submit --progressive`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .options import echo, echo_page, echo_result, say, say_notes, show_collecting

if TYPE_CHECKING:
    from ..api.submit import JobToSubmit
    from ..estimator.measurements.measurement import Measurement
    from ..launcher.submission.decide import SubmitOptions

_DEFAULT = "1%,3%,100%"


def stage_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --progressive and --stages to a command, as a decorator of click."""
    for option in (
        click.option(
            "--stages",
            metavar="SHARES",
            help=f"The stages of --progressive, as shares of the steps; the last one has no check. Default: {_DEFAULT}.",
        ),
        click.option(
            "--progressive",
            is_flag=True,
            help="The job in stages, the small ones first: each has to pass a check before the next.",
        ),
    ):
        command = option(command)
    return command


def shares_of(stages: str | None, *, progressive: bool) -> str | None:
    """Return the shares of the stages that are wanted; None if none are."""
    return stages or (_DEFAULT if progressive else None)


def refuse_beside_stages(options: Mapping[str, object]) -> None:
    """Raise InputError if an option is used that has no meaning for stages."""
    if used := next((name for name, value in options.items() if value), None):
        raise InputError(
            f"{used} does not go with --progressive, which is one job in stages: leave one of them out"
        )


def echo_staged_estimate(job: Path | None, values: dict[str, Any], stages: str, *, as_json: bool) -> None:
    """Print the estimate of each stage of a job."""
    from ..api.trials.stages import estimate_stages  # noqa: PLC0415  the submission of jobs, for --progressive only

    with show_collecting() as progress:
        estimate = estimate_stages(job, stages=stages, progress=progress, **values)
    echo_result(estimate, as_json=as_json)


def submit_in_stages(
    job: "JobToSubmit",
    stages: str,
    options: "SubmitOptions",
    *,
    executor: str | None,
    measurements: "Sequence[Measurement]",
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit the stages of a job and print their runs; with `dry_run` print what each would run."""
    from ..api.trials import staged_submission  # noqa: PLC0415  likewise
    from ..api.trials import stages as trials  # noqa: PLC0415  the checks of stages, for --progressive only
    from ..estimator.stages.stages import parse_stages  # noqa: PLC0415  likewise
    from ..render.submit_text import dry_run as write_dry_run  # noqa: PLC0415  likewise

    prepared = staged_submission.prepare_stages(
        job,
        parse_stages(stages),
        options,
        executor=executor,
        measurements=measurements,
        dry_run=dry_run,
    )
    laid_out = tuple(stage for stage, _ in prepared)
    if dry_run:
        echo_page(trials.StagedEstimate(laid_out).write)
        for stage, each in prepared:
            for line in ("", f"stage {stage.name}", ""):
                echo(line)
            for problem in each.problems:
                say(problem.text)
            echo_page(partial(write_dry_run, prepared=each))
        return
    with say_notes():
        submissions = tuple(staged_submission.submit_prepared_stages(prepared, force=force))
    echo_result(trials.StagedSubmission(laid_out, submissions), as_json=as_json)
