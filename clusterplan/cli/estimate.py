"""`clusterplan estimate`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..api.estimate import JobEstimate
from ..api.estimate import estimate as estimate_job
from ..cluster_profiles.units import plural
from ..errors import InputError, WorkloadError
from ..estimator.estimate.shapes import Keep
from ..render.layout import Page, Style
from .options import echo_page, echo_result, json_option, show_collecting
from .stages import echo_staged_estimate, refuse_beside_stages, shares_of, stage_options
from .workload_options import WorkloadCommand, one_shape, workload_values

_FEWEST_SHAPES = 2  # of a plot


class _Estimate(WorkloadCommand):
    """Takes a workload's flags, of which some may have several values."""

    common = ("samples", "batch_size", "gpus", "epochs", "step_time", "profile", "deadline")


@click.command(cls=_Estimate)
@click.argument("words", nargs=-1, metavar="[JOB]", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.Choice([str(k) for k in Keep]),
    default=str(Keep.PER_GPU_BATCH),
    show_default=True,
    help="What stays the same over several --gpus: weak or strong scaling.",
)
@click.option(
    "--deadline",
    metavar="WHEN",
    help='Mark shapes that end in time: "2d", "friday 18:00", or a date. The wait in the queue counts with --queue.',
)
@click.option(
    "--budget", metavar="AMOUNT", help='Mark shapes that cost less: "500 GPU-hours", or "1200 EUR".'
)
@stage_options
@click.option(
    "--queue",
    is_flag=True,
    help="Ask Slurm when each shape would start, and say which ends first.",
)
@click.option("--plot", is_flag=True, help="Draw time and efficiency by GPUs, from P10 to P90.")
@click.option("--explain", is_flag=True, help="Print the arithmetic with the numbers put in.")
@json_option
def estimate(
    words: tuple[Path, ...],
    keep: str,
    deadline: str | None,
    budget: str | None,
    progressive: bool,  # noqa: FBT001
    stages: str | None,
    queue: bool,  # noqa: FBT001
    plot: bool,  # noqa: FBT001
    explain: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flags: Any,
) -> None:
    """Estimate steps, wall-clock and GPU-hours of a training job before you book it.

    JOB is a job file; flags add to it or replace its values.  Without a file the flags are enough:

        clusterplan estimate --samples 1_000_000 --batch-size 32 --gpus 8
    """
    if as_json and (explain or plot):
        name = "--explain" if explain else "--plot"
        raise WorkloadError(f"--json and {name} are both given; give one of them")
    job = _job(words, flags, {"--budget": budget, "--deadline": deadline})
    if shares := shares_of(stages, progressive=progressive):
        refuse_beside_stages(
            {
                "--deadline": deadline,
                "--budget": budget,
                "--queue": queue,
                "--plot": plot,
                "--explain": explain,
            }
        )
        echo_staged_estimate(job, one_shape(flags), shares, as_json=as_json)
        return
    values, gpus, precisions = workload_values(flags)
    if plot and len(gpus) * max(len(precisions), 1) < _FEWEST_SHAPES:
        raise InputError("--plot draws several shapes: give GPU counts with commas, such as --gpus 1,2,4,8")
    with show_collecting() as progress:
        shapes = estimate_job(
            job,
            gpus=gpus,
            precision=precisions,
            keep=keep,
            deadline=deadline,
            budget=budget,
            queue=queue,
            progress=progress,
            **values,
        )
    echo_result(shapes if len(shapes) > 1 else shapes[0], as_json=as_json)
    if plot:
        from ..render.estimate.plot import write_plot  # noqa: PLC0415  for --plot only

        echo_page(lambda page: write_plot(page, shapes, page.width))
    if explain:
        echo_page(lambda page: _explain(page, shapes))


def _explain(page: Page, estimates: Sequence[JobEstimate]) -> None:
    for estimate in estimates:
        shape = estimate.placement
        page.line()
        page.line(f"the arithmetic for {plural(shape.gpus, 'GPU')}, {shape.precision}", Style.BOLD)
        for line in estimate.explain():
            page.sentence(line)


def _job(words: Sequence[Path], flags: Mapping[str, Any], quoted: Mapping[str, str | None]) -> Path | None:
    """The job file; other words are what the shell tore off an option's value."""
    if not words and all(value is None for value in flags.values()):
        raise InputError("nothing to estimate: give a job file, or --samples, --batch-size and --gpus")
    files = [word for word in words if word.suffix == ".toml" or word.exists()]
    rest = [str(word) for word in words if word not in files]
    gpus = flags["gpus"]
    if rest and gpus and all(word.isdecimal() for word in rest):
        counts = ",".join((gpus.strip(","), *rest))
        raise InputError(f"{' '.join(rest)}: several GPU counts are written with commas: --gpus {counts}")
    for flag, value in quoted.items():
        if rest and value:
            raise InputError(
                f'{rest[0]}: no such file; if it belongs to {flag}, put quotes: {flag} "{value} {" ".join(rest)}"'
            )
    if len(words) > 1:
        raise InputError(f"{' '.join(map(str, words))}: estimate takes one job file: give one of them")
    return words[0] if words else None
