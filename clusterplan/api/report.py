"""The report on a run from Python, as `clusterplan report` shows it."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cluster_profiles.rated import find_rated_profile
from ..errors import ClusterplanError, InputError, UnreadableFile
from ..estimator.cost.run_cost import RunCost, run_cost
from ..estimator.gpu_use.report import RunReport, build_report
from ..estimator.history.runs import History
from ..launcher.run_folder.final_status import has_final_status
from ..launcher.run_folder.folder import links_folder
from ..launcher.run_folder.records.booking import Booking, read_booking
from ..launcher.run_folder.records.run_facts import RunFacts, read_run_facts
from ..launcher.runs.run_status import RunStatus
from ..launcher.runs.status import read_status
from ..render.layout import Page
from ..render.runs import run_json, run_text
from .history.history import collected_history
from .measurements import ProgressCallback
from .result import Result

if TYPE_CHECKING:
    from ..cluster_profiles.profile import ClusterProfile, Rates
    from ..render.charts.figure import Figure


@dataclass(frozen=True, repr=False)
class Report(Result, RunReport):
    """How a run used its GPUs, as far as it has got: the fields of `RunReport`, and its cost.

    `seconds` is the time from the first start to the end, `gpu_hours` how long its GPUs were held, and `energy_kwh`
    their energy.  `gpus` has one entry per GPU with its `metrics`, and `mean("utilisation_mean")` is the mean of one
    over all of them.  `status` is the state of a run that was submitted, with its reason and what to do.  `notes` say
    what stands out, each with a `code` and a `text`.  None is not known.  `cost` is None without rates.
    """

    cost: RunCost | None = None
    status: RunStatus | None = None
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan report --json`; docs/reference/json.md describes the keys."""
        return run_json.report_as_json(self, self.cost, self.status)

    def write(self, page: Page) -> None:
        """Write the gauges, each GPU over time, and the notes."""
        run_text.render_report(page, self, self.cost, self.status)

    def html(self) -> str:
        """Return the report as the text of one HTML file with its charts, which needs no network.

        The history and the folder of the run are read again.  Raises HistoryError.

        Examples:
            >>> Path("run.html").write_text(report().html())  # doctest: +SKIP
        """
        from .reports.page import draw_report  # noqa: PLC0415  the charts, for a terminal

        return draw_report(self)

    def _figures(self) -> "list[Figure]":
        from .reports.page import draw_figures  # noqa: PLC0415  the charts, for a terminal

        with suppress(ClusterplanError):  # of a history that is gone or damaged, the tables stay
            return draw_figures(self)
        return []


def report(
    run: str | RunStatus | None = None,
    profile: "str | ClusterProfile | None" = None,
    *,
    progress: ProgressCallback | None = None,
) -> Report:
    """Report how a run used its GPUs, and what to do about it; for an open run, until now.

    `run` is the id of a run, the beginning of one, or a `Run`; by default the latest run.  If several runs have this
    beginning, it is the latest of them, and a remark says that.  `profile` is the name or path of a cluster profile
    with rates, or a `Profile`: its rates give the cost and the CO2; by default those of the run's cluster, or of
    the settings, hold.  Everything new in run folders is collected before;
    `progress` is that of `collect`.  Raises InputError if no run has this beginning or the profile has no rates,
    ProfileError, and HistoryError.

    Examples:
        >>> report(profile="one-machine")
        Traceback (most recent call last):
        clusterplan.errors.InputError: --profile: one-machine has no [rates]: add them, to see the cost and the CO2
    """
    if isinstance(profile, str):
        from ..cluster_profiles.catalog import load_profile  # noqa: PLC0415  pydantic, for a report without rates

        cluster: ClusterProfile | None = load_profile(profile)
    else:
        cluster = profile
    if cluster and cluster.rates is None:
        name = profile if isinstance(profile, str) else cluster.name
        raise InputError(f"--profile: {name} has no [rates]: add them, to see the cost and the CO2")
    with collected_history(progress=progress) as history:
        answer = report_in(history, history.find_run(run)["run"], cluster)
        return replace(answer, remarks=tuple(history.remarks))


def report_in(
    history: History, run: str, cluster: "ClusterProfile | None" = None, *, asks_slurm: bool = True
) -> Report:
    """Report on a run as the history has it now; the rest is as with `report`.

    Without `asks_slurm`, nothing but files is read, and an open run has the state that the history has.
    """
    plain = build_report(history.record(run))
    folder = links_folder(history.path) / plain.run
    facts = _read_facts(folder)
    if cluster is None:
        cluster = find_rated_profile((facts.get("shape") or {}).get("cluster"), os.environ)
    rates = cluster.rates if cluster else None
    cost = _cost(plain, cluster, rates, folder) if cluster and rates else None
    is_told = facts.get("kind") == "submit" and (asks_slurm or has_final_status(folder))
    status = _read_status(folder) if is_told else None
    if plain.seconds is None and status:
        plain = replace(plain, seconds=status.elapsed_s)
    return Report(**vars(plain), cost=cost, status=status)


def _read_facts(folder: Path) -> RunFacts:
    """The values of run.json; none if the folder is gone, or as its collection says, if it cannot be read."""
    with suppress(UnreadableFile):
        return read_run_facts(folder)
    return RunFacts()


def _read_status(folder: Path) -> RunStatus | None:
    with suppress(UnreadableFile):
        return read_status(folder)
    return None


def _cost(plain: RunReport, cluster: "ClusterProfile", rates: "Rates", folder: Path) -> RunCost:
    booking = Booking()
    with suppress(UnreadableFile):
        booking = read_booking(folder)
    partition = next((p for p in cluster.partitions if p.name == booking.partition), None)
    if partition and (group := next((g for g in partition.groups if g.gres == booking.gres), None)):
        partition = partition.of_group(group)
    return run_cost(plain.energy_kwh, plain.gpu_hours, rates, partition)
