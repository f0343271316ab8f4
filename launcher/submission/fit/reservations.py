"""Whether reservations, such as a maintenance, leave a request time to run before they begin.  Pure."""

import math
from collections.abc import Iterator, Sequence

from ....cluster_profiles.local_time import format_local_time
from ....cluster_profiles.units import MINUTE_S, format_duration, plural
from ...slurm.cluster import Cluster
from ...slurm.nodes import NodeFacts
from ..problem import Problem, warning
from ..request import SlurmRequest


def check_reservations(
    request: SlurmRequest, partition: str, nodes: Sequence[NodeFacts], cluster: Cluster
) -> Iterator[Problem]:
    """Yield a warning if reservations keep so many of the `nodes`, which have the GPUs, that the job waits for their end.

    Slurm starts no job that could still run when the reservation of its nodes begins
    (https://slurm.schedmd.com/reservations.html), so a shorter walltime may start at once.
    """
    now_s = cluster.now_s
    walltime_s = request.walltime_s or cluster.default_walltime_s(partition)
    if not cluster.reservations or walltime_s is None or "reservation" in dict(request.further):
        return
    names = {node.name for node in nodes}
    ahead = sorted(
        (each for each in cluster.reservations if each.end_s > now_s and each.nodes & names),
        key=lambda each: each.start_s,
    )
    free_s = {
        name: min((each.start_s for each in ahead if name in each.nodes), default=math.inf) - now_s
        for name in names
    }
    fits_s = sorted(free_s.values(), reverse=True)[request.nodes - 1]
    if fits_s >= walltime_s:
        return
    first = next(each for each in ahead if each.start_s - now_s == fits_s)
    kept = len(first.nodes & names)
    when = f"until {format_local_time(first.end_s, now_s)}"
    if first.start_s > now_s:
        when = f"from {format_local_time(first.start_s, now_s)} {when}"
    minutes = int(fits_s // MINUTE_S) - 1  # the job is queued a moment later
    remedy = f"; --time {format_duration(minutes * MINUTE_S)} fits before it" if minutes >= 1 else ""
    yield warning(
        "reserved",
        f"reservation {first.name!r} keeps {plural(kept, 'node')} of partition {partition!r} {when}: a job of "
        f"{format_duration(walltime_s)} waits for its end{remedy}",
    )
