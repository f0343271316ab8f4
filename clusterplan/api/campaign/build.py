"""The campaign as values: pools of the caps, and the jobs with the shapes that they may have there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ...cluster_profiles.units import DAY_S, join_names
from ...errors import InputError, NotEnoughHistory, WorkloadError
from ...estimator.campaign.campaign import Busy, Campaign, CampaignJob, Mode, Objective, Pool
from ...estimator.campaign.definition.campaign_file import Cap
from ...estimator.campaign.definition.shapes import JobShape, UnknownSpeed, estimate_shapes
from ...estimator.campaign.definition.windows import closed_times, parse_window
from ...estimator.job.workload import Workload
from ...estimator.measurements.measurement import Measurement
from ..measurements import ProgressCallback, find_measurements
from .definition import Definition, Training, gpus_in_all, gpus_per_node
from .moment import parse_future, parse_moment

_WINDOW_DAYS = 120  # windows are known for so long
_FOREVER_S = 100 * 366 * DAY_S


@dataclass(frozen=True)
class Built:
    """The campaign that is planned, the shape behind each mode of each job, and remarks on the history."""

    campaign: Campaign
    shapes: Mapping[tuple[str, Mode], JobShape]
    remarks: tuple[str, ...]


def build_campaign(
    definition: Definition,
    now: datetime,
    *,
    objective: Objective | None = None,
    deadline: str | None = None,
    measurements: Sequence[Measurement] | None = None,
    use_priors: bool = False,
    progress: ProgressCallback | None = None,
) -> Built:
    """Return the campaign at the moment `now`.

    Raises InputError for a wrong date, cap or shape, and NotEnoughHistory that names the jobs whose speed nobody knows.
    """
    pools = {
        name: Pool.of(name, gpus_in_all(cap, definition.profile), gpus_per_node(cap, definition.profile))
        for name, cap in definition.caps.items()
    }
    known = _Measurements(measurements, progress)
    shapes: dict[str, list[JobShape]] = {}
    unknown: dict[str, str] = {}
    for name, training in definition.trainings.items():
        try:
            shapes[name] = _shapes(
                definition, training, pools, known.of(training.workload), now, use_priors=use_priors
            )
        except UnknownSpeed as error:
            unknown[name] = str(error)
        except WorkloadError as error:
            raise WorkloadError(f"job {name!r}: {error}") from None
    if unknown:
        raise NotEnoughHistory(_how_to_measure(definition, unknown))
    jobs = tuple(
        _job(definition, training, tuple(shape.mode for shape in shapes[name]), deadline, now)
        for name, training in definition.trainings.items()
    )
    busy = tuple(each for name, cap in definition.caps.items() for each in _busy(name, cap, pools[name], now))
    campaign = Campaign(
        now.timestamp(),
        jobs,
        tuple(pools.values()),
        busy,
        objective or definition.file.objective,
        definition.name,
    )
    by_mode = {(name, shape.mode): shape for name, each in shapes.items() for shape in each}
    return Built(campaign, by_mode, known.remarks)


class _Measurements:
    """The measurements of each model, each read once."""

    def __init__(self, stated: Sequence[Measurement] | None, progress: ProgressCallback | None) -> None:
        self._stated, self._progress = stated, progress
        self._of_model: dict[str | None, Sequence[Measurement]] = {}
        self.remarks: tuple[str, ...] = ()

    def of(self, workload: Workload) -> Sequence[Measurement]:
        """Return those that inform a job."""
        if self._stated is not None:
            return self._stated
        if workload.model not in self._of_model:
            self._of_model[workload.model], remarks = find_measurements(workload.model, self._progress)
            self.remarks = tuple(dict.fromkeys((*self.remarks, *remarks)))
        return self._of_model[workload.model]


def _shapes(
    definition: Definition,
    training: Training,
    pools: Mapping[str, Pool],
    measurements: Sequence[Measurement],
    now: datetime,
    *,
    use_priors: bool,
) -> list[JobShape]:
    shapes, faults = list[JobShape](), list[str]()
    for name in definition.caps_of(training):
        cap = definition.caps[name]
        cluster = training.workload.cluster
        there = cluster.model_copy(
            update={
                "profile": None,
                "partition": (cap.partition or cluster.partition) if definition.profile else None,
                "gpu": cap.gpu or cluster.gpu,
                "nodes": None,
            }
        )
        try:
            shapes += estimate_shapes(
                training.workload.model_copy(update={"cluster": there}),
                training.entry.gpus,
                pools[name],
                definition.profile,
                measurements,
                now,
                definition.file.keep,
                use_priors=use_priors,
            )
        except WorkloadError as error:
            faults.append(str(error))
    if not shapes:
        raise WorkloadError(join_names(faults, 3, "; "))
    return shapes


def _how_to_measure(definition: Definition, unknown: Mapping[str, str]) -> str:
    name, reason = next(iter(unknown.items()))
    file = definition.trainings[name].file
    others = f", nor of {join_names(list(unknown)[1:], 5)}" if len(unknown) > 1 else ""
    calibrate = f"`clusterplan calibrate {file or 'JOB'}`"
    why = reason.rstrip(".").replace("`clusterplan calibrate JOB`", calibrate)
    way = "" if calibrate in why else f". {calibrate} measures it"
    return f"the speed of job {name!r} is not known{others}: {why}{way}; --priors plans with a guess from its size"


def _job(
    definition: Definition, training: Training, modes: tuple[Mode, ...], deadline: str | None, now: datetime
) -> CampaignJob:
    entry, name = training.entry, training.name
    wish = entry.deadline or deadline or definition.file.deadline
    earliest_s = parse_moment(f"job {name!r}: earliest", entry.earliest, now) if entry.earliest else 0.0
    deadline_s = parse_future(f"job {name!r}: deadline", wish, now) if wish else None
    if deadline_s is not None and earliest_s >= deadline_s:
        raise InputError(
            f"job {name!r}: it may start only after its deadline: give an earlier `earliest` or a later `deadline`"
        )
    return CampaignJob(name, modes, entry.priority, deadline_s, earliest_s, entry.after)


def _busy(name: str, cap: Cap, pool: Pool, now: datetime) -> list[Busy]:
    """Return when a cap is closed, and what others have of it."""
    where, now_s = f"cap {name}", now.timestamp()
    windows = [parse_window(text) for text in cap.windows]
    local_now = now.astimezone().replace(tzinfo=None)
    busy = [Busy(name, *span, reason="closed") for span in closed_times(windows, local_now, _WINDOW_DAYS)]
    if cap.start:
        opens_s = parse_moment(f"{where}: start", cap.start, now)
        busy += [Busy(name, now_s, opens_s, reason="closed")] if opens_s > now_s else []
    if cap.end:
        busy.append(
            Busy(name, parse_future(f"{where}: end", cap.end, now), now_s + _FOREVER_S, reason="closed")
        )
    for taken in cap.taken:
        start_s = parse_moment(f"{where}: taken: start", taken.start, now) if taken.start else now_s
        end_s = parse_future(f"{where}: taken: end", taken.end, now)
        if taken.gpus > pool.gpus:
            raise InputError(f"{where}: taken: {taken.gpus} GPUs are more than the cap of {pool.gpus}")
        busy.append(Busy(name, start_s, end_s, _last_nodes(pool, taken.gpus), "taken"))
    return busy


def _last_nodes(pool: Pool, gpus: int) -> tuple[int, ...]:
    """Return so many GPUs of a pool node by node, the last nodes first, so that whole nodes stay free.

    >>> _last_nodes(Pool("gpu", (8, 8, 8)), 12)
    (0, 4, 8)
    """
    counts = []
    for size in reversed(pool.nodes):
        counts.append(min(size, gpus))
        gpus -= counts[-1]
    return tuple(reversed(counts))
