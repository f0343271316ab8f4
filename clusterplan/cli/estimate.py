"""`clusterplan estimate`."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from ..cluster_profiles.catalog import load_profile
from ..cluster_profiles.units import format_duration, parse_deadline_s, plural
from ..errors import InputError, WorkloadError
from ..estimator.estimate.estimate import estimate as estimate_one
from ..estimator.estimate.shapes import Keep, choose_best, judge_bounds, parse_budget, vary_shapes
from ..estimator.job.job_file import load_workload
from ..render import estimate_json, estimate_text
from ..render.explain import explained
from ..render.layout import Page, Style
from .measured import measurements_of
from .options import WorkloadCommand, echo_page, json_option, workload_values

T = TypeVar("T")


@click.command(cls=WorkloadCommand)
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
    help='Mark shapes that end in time: "2d", or a date. Queue time is not counted.',
)
@click.option(
    "--budget", metavar="AMOUNT", help='Mark shapes that cost less: "500 GPU-hours", or "1200 EUR".'
)
@click.option("--explain", is_flag=True, help="Print the arithmetic with the numbers put in.")
@json_option
def estimate(
    words: tuple[Path, ...],
    keep: str,
    deadline: str | None,
    budget: str | None,
    explain: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flagged: Any,
) -> None:
    """Steps, wall-clock and GPU-hours of a training job, before you book it.

    JOB is a job file; flags add to it or replace what it says.  Without a file the flags are enough:

        clusterplan estimate --samples 1_000_000 --batch-size 32 --gpus 8
    """
    if as_json and explain:
        raise WorkloadError("--json and --explain are both given; give one of them")
    job = _job(words, flagged, {"--budget": budget, "--deadline": deadline})
    given, gpus, precisions = workload_values(flagged)
    first = {name: listed[0] for name, listed in (("gpus", gpus), ("precision", precisions)) if listed}
    base = load_workload(job, given, assumed=first)
    here = datetime.now().astimezone().replace(tzinfo=None)  # an offset would hold today's only
    deadline_s = _parsed("--deadline", deadline, lambda text: parse_deadline_s(text, here))
    bound = _parsed("--budget", budget, parse_budget)

    profile = load_profile(base.cluster.profile) if base.cluster.profile else None
    asked = vary_shapes(
        base, gpus or [base.training.gpus], precisions or [base.training.precision], Keep(keep)
    )
    if "nodes" in given:
        asked = [w.model_copy(update={"cluster": base.cluster}) for w in asked]
    known = measurements_of(base.model)
    now = datetime.now(UTC)
    estimates = [estimate_one(workload, profile, known, now) for workload in dict.fromkeys(asked)]
    judged = [judge_bounds(e, deadline_s, bound) for e in estimates]
    chosen = choose_best(estimates, judged)

    if as_json:
        many = estimate_json.several(estimates, Keep(keep), judged, chosen)
        click.echo(
            json.dumps(many if len(estimates) > 1 else estimate_json.one(estimates[0], judged[0]), indent=2)
        )
        return
    bounds = []
    if deadline is not None and deadline_s is not None:
        left = format_duration(deadline_s)
        said = deadline if deadline == left else f"{deadline} (in {left})"
        bounds.append(estimate_text.Bound("deadline", said))
    if budget is not None:
        bounds.append(estimate_text.Bound("budget", budget))

    def fill(page: Page) -> None:
        if len(estimates) > 1:
            estimate_text.several(page, estimates, Keep(keep), judged, bounds, chosen)
        else:
            estimate_text.one(page, estimates[0], judged[0], bounds)
        for e in estimates if explain else ():
            page.line()
            page.line(
                f"the arithmetic for {plural(e.placement.gpus, 'GPU')}, {e.placement.precision}", Style.BOLD
            )
            for line in explained(e):
                page.sentence(line)

    echo_page(fill)


def _job(words: Sequence[Path], flagged: Mapping[str, Any], quoted: Mapping[str, str | None]) -> Path | None:
    """The job file; other words are what the shell tore off an option's value."""
    if not words and all(value is None for value in flagged.values()):
        raise InputError("nothing to estimate: give a job file, or --samples, --batch-size and --gpus")
    files = [word for word in words if word.suffix == ".toml" or word.exists()]
    rest = [str(word) for word in words if word not in files]
    gpus = flagged["gpus"]
    if rest and gpus and all(word.isdecimal() for word in rest):
        counts = ",".join((gpus.strip(","), *rest))
        raise InputError(f"{' '.join(rest)}: several GPU counts are written with commas: --gpus {counts}")
    for flag, value in quoted.items():
        if rest and value:
            raise InputError(
                f'{rest[0]}: no such file; if it belongs to {flag}, put quotes: {flag} "{value} {" ".join(rest)}"'
            )
    if len(words) > 1:
        raise InputError(f"{' '.join(map(str, words))}: one job file at a time: give one")
    return words[0] if words else None


def _parsed(flag: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise WorkloadError(f"{flag}: {text!r} {error}") from None
