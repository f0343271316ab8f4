"""May a training stop?  From Python, as `clusterplan advise` answers it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cluster_profiles.rated import find_rated_profile
from ...errors import ClusterplanError, InputError
from ...estimator.stopping.advice import MIN_GAIN, Rules, State, StopAdvice, advise_stop
from ...estimator.stopping.curve import Curve
from ...estimator.stopping.savings import JOULES_PER_KWH, Price, Savings, price_steps
from ...launcher.curves.assemble import Columns
from ...launcher.curves.read import read_training_log
from ...launcher.curves.run import read_run
from ...launcher.curves.training_log import TrainingLog
from ...launcher.run_folder.folder import history_path
from ...launcher.run_folder.records.booking import read_booking
from ...launcher.run_folder.records.run_facts import RunShape, read_run_facts
from ...launcher.run_folder.registry import find_folders
from ...launcher.sampler.spool import SUFFIX
from ...render.advice.as_dict import advice_as_dict
from ...render.advice.text import write_advice
from ...render.layout import Page
from ..result import Result
from .doubts import describe_not_finite, with_length, without_wrong_length
from .options import parse_band, parse_columns, parse_share

if TYPE_CHECKING:
    from ...cluster_profiles.profile import ClusterProfile
    from ..estimate import JobEstimate
    from ..job import Job

_LENGTHS = frozenset({"samples", "tokens", "max_steps"})  # flags, each of which says how long the training is


@dataclass(frozen=True, repr=False)
class Advice(Result):
    """The state of a training, and what follows from it.

    `state` is a word such as `plateau_unconfirmed`, `may_stop` whether validations confirm that going on gains nothing.
    `judgement` has the reasons, `curve` what they come from, and `origin` where that was read.  `left` is what a stop
    now saves; `since_best` what was spent since the best validation, None if that is the latest one or there is none.
    """

    judgement: StopAdvice
    curve: Curve
    rules: Rules
    origin: str
    trainers_choice: str | None
    price: Price
    left: Savings | None
    since_best: Savings | None
    warnings: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Return the state, a word."""
        return self.judgement.state

    @property
    def may_stop(self) -> bool:
        """Return whether validations confirm that the rest of the training gains less than the minimum."""
        return self.judgement.may_stop

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan advise --json`; docs/reference/json.md describes the keys."""
        return advice_as_dict(self)

    def write(self, page: Page) -> None:
        """Write what to do, then why, and what a stop saves."""
        write_advice(page, self)


def advise(
    source: str | os.PathLike[str] | None = None,
    *,
    job: "Job | None" = None,
    profile: "str | ClusterProfile | None" = None,
    min_gain: str | float = MIN_GAIN,
    band: str | tuple[float, float] | None = None,
    metric: str | None = None,
    columns: str | Mapping[str, str] | None = None,
    constant_lr: bool = False,
    **flags: Any,
) -> Advice:
    """Say whether a training may stop, by its losses, its learning rate and its validations.

    `source` is the id of a run, the beginning of one, or the path of a trainer_state.json, of a folder with one, of a
    CSV, or of a log; by default the latest run.  `job`, a job file or a `Workload`, and the flags of `estimate` say how
    long the training is and what a step takes, where the source does not.  `profile` has the rates.

    `min_gain`, a share such as 0.01 or "1%", is the least improvement that is worth the rest of the training.  `band`
    (such as "1.0,1.2") is the loss that is good enough.  `metric` is the validation metric that counts
    ("eval_wer", "eval_magic:more"), `columns` names those of a table ("step=it,loss=nll").  `constant_lr` says that
    the learning rate stays as it is, so that a plateau needs no decay.

    It never stops anything.  Raises InputError if the source cannot be read or told, and WorkloadError for a flag.

    Examples:
        >>> advise("no-such-run")
        Traceback (most recent call last):
        clusterplan.errors.InputError: no-such-run: no such file, and no run begins with it: ...
    """
    rules = Rules(parse_share(min_gain), parse_band(band), constant_lr)
    chosen = parse_columns(columns, metric)
    folder, log = _read(source, chosen)
    curve, doubts = without_wrong_length(log.curve)
    log = replace(log, curve=curve)
    estimate = _estimate(job, profile, flags, log)
    if estimate and (job is not None or flags.keys() & _LENGTHS):
        curve = with_length(curve, estimate.steps.total)
    judgement = advise_stop(curve, rules)
    price = _price(log, estimate, profile, folder)
    best = judgement.validations.best.step if judgement.validations else judgement.step
    last = curve.validations[-1].step if curve.validations else best
    return Advice(
        judgement=judgement,
        curve=curve,
        rules=rules,
        origin=log.origin,
        trainers_choice=log.trainers_choice,
        price=price,
        left=price_steps(curve.total_steps - judgement.step, price)
        if curve.total_steps and curve.total_steps > judgement.step
        else None,
        since_best=price_steps(judgement.step - best, price) if best < last else None,
        warnings=(
            *doubts,
            *describe_not_finite(curve),
            *(w.text for w in (estimate.warnings if estimate else ()) if w.code == "trainer-steps"),
        ),
    )


def _read(source: str | os.PathLike[str] | None, columns: Columns) -> tuple[Path | None, TrainingLog]:
    """Return what was logged, and the run's folder if it is one."""
    if source is not None:
        if not isinstance(source, str | os.PathLike):
            raise InputError(f"{source!r} is neither a run nor a log: give an id, or a path")
        path = Path(source)
        if path.is_file() or (path.is_dir() and not (path / "run.json").is_file()):
            return None, read_training_log(path, columns)
    folder = _find_run(None if source is None else os.fspath(source))
    return folder, read_run(folder)


def _find_run(run: str | None) -> Path:
    """The folder of a submitted run, or of one that `sample` recorded."""
    first: InputError | None = None
    for kind in ("submit", "sample"):
        try:
            return find_folders(history_path(os.environ), kind, run)[0]
        except InputError as error:
            first = first or error
    if run is None or "/" in run:
        raise InputError(str(first))
    raise InputError(f"{run}: no such file, and no run begins with it: {first}")


def _estimate(
    job: "Job | None", profile: "str | ClusterProfile | None", flags: Mapping[str, Any], log: TrainingLog
) -> "JobEstimate | None":
    """The estimate of the job that the user describes; what the log tells fills the gaps of a description by flags."""
    if job is None and not flags:
        return None
    from ..estimate import estimate  # noqa: PLC0415  pydantic, for a log that needs no job

    gaps: dict[str, Any] = {}
    total = log.curve.total_steps
    if job is None:
        gaps = {"batch_size": 1, "gpus": log.gpus or 1}
        if not flags.keys() & _LENGTHS:
            gaps["max_steps"] = total or max(log.curve.step, 1)
        elif total and "max_steps" not in flags:
            gaps["trainer_steps"] = total
    answer: JobEstimate = estimate(job, profile, **(gaps | dict(flags)))
    return answer


def _price(
    log: TrainingLog,
    estimate: "JobEstimate | None",
    profile: "str | ClusterProfile | None",
    folder: Path | None,
) -> Price:
    step = estimate.step_time.seconds if estimate else None
    step_time_s = log.step_time_s if step is None else step.p50
    gpus = estimate.placement.gpus if estimate else log.gpus
    step_j = _measured_step_j(folder, log) if folder else None
    if estimate and estimate.energy and estimate.energy.kwh:
        step_j = estimate.energy.kwh.p50 * JOULES_PER_KWH / estimate.steps.total
    cluster = _find_cluster(profile, folder, estimate)
    if cluster is None or cluster.rates is None:
        return Price(step_time_s, gpus, step_j)
    partition = estimate.placement.partition if estimate else None
    if folder:
        name = read_booking(folder).partition
        partition = next((p for p in cluster.partitions if p.name == name), None)
    rates = cluster.rates
    return Price(
        step_time_s,
        gpus,
        step_j,
        gpu_hour=rates.gpu_hour(partition),
        currency=rates.currency,
        rates_of=rates.date.isoformat(),
    )


def _find_cluster(
    profile: "str | ClusterProfile | None", folder: Path | None, estimate: "JobEstimate | None"
) -> "ClusterProfile | None":
    """The profile that the user names, otherwise that of the run, of the job or of the settings, if it has rates."""
    if profile is None:
        shape: RunShape = (read_run_facts(folder).get("shape") if folder else None) or {}
        named = estimate.workload.cluster.profile if estimate else None
        return find_rated_profile(shape.get("cluster") or named, os.environ)
    from ...cluster_profiles.catalog import load_profile  # noqa: PLC0415  pydantic, for advice without rates

    return load_profile(profile) if isinstance(profile, str) else profile


def _measured_step_j(folder: Path, log: TrainingLog) -> float | None:
    """Return the joules of a step of a run, by its GPUs' counters; None if they were not read."""
    if not any(folder.glob(f"*{SUFFIX}")):
        return None
    from ...launcher.runs.collect import collect_run  # noqa: PLC0415  SQLite, for a file
    from ..history.history import History  # noqa: PLC0415  likewise

    try:
        with History() as history:
            collect_run(folder, history, steps=False)
            counted_j = [
                gpu["energy_j"] for gpu in history.run_gpus(folder.name) if gpu["energy_j"] is not None
            ]
    except ClusterplanError:
        return None
    return sum(counted_j) / log.steps if counted_j and log.steps else None
