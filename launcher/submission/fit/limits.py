"""Whether a request fits the limits of its QOS and account, where Slurm enforces them.  Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ....cluster_profiles.units import format_duration, plural
from ...slurm.nodes import PartitionFacts
from ..problem import Problem, refusal
from ..request import SlurmRequest

if TYPE_CHECKING:
    from ...slurm.limits import Accounting

_MOST = {  # fields of `Limits`
    "per_job": "gives a job at most",
    "per_node": "gives a job per node at most",
    "per_user": "gives one user at most",
    "per_account": "gives one account at most",
    "in_all": "has for all jobs together",
}


def check_limits(
    request: SlurmRequest, partition: PartitionFacts, accounting: "Accounting"
) -> Iterator[Problem]:
    """Yield what the QOS or the account never lets a job have; of each kind of limit, only the first holds."""
    stated = {name: str(value) for name, value in request.further}
    levels = accounting.limits_of(stated.get("account"), stated.get("qos"), partition.name, partition.qos)
    wall = next((limits for limits in levels if limits.wall_s), None)
    if wall and wall.wall_s and request.walltime_s and request.walltime_s > wall.wall_s:
        yield refusal(
            "account-limit",
            f"a walltime of {format_duration(request.walltime_s)} is above the limit of {wall.holder}, {format_duration(wall.wall_s)}: the job would wait for ever",
        )
    asks = {"node": request.nodes, "gres/gpu": request.gpus, f"gres/gpu:{request.gres}": request.gpus}
    for resource, count in asks.items():
        name = "node" if resource == "node" else f"{request.gres} GPU" if ":" in resource else "GPU"
        for kind, gives in _MOST.items():
            wanted = request.gpus_per_node if kind == "per_node" else count
            holder = next((limits for limits in levels if resource in getattr(limits, kind)), None)
            if holder and wanted > (most := getattr(holder, kind)[resource]):
                yield refusal(
                    "account-limit",
                    f"the request is for {plural(wanted, name)}, and {holder.holder} {gives} {most:,}: the job would wait for ever",
                )
        least = next((limits.at_least[resource] for limits in levels if resource in limits.at_least), 0)
        if count < least:
            yield refusal(
                "account-limit",
                f"the request is for {plural(count, name)}, and its QOS takes no job with fewer than {least:,}",
            )
