"""The cluster as Slurm describes it now: its partitions, nodes, settings, reservations, and this user's limits."""

import os
import pwd
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from ...errors import SlurmRefused, SlurmUnavailable
from .client import ask, read_nodes, read_partitions, read_settings
from .cluster import Cluster

if TYPE_CHECKING:
    from ...estimator.queue.state import Reservation
    from .limits import Accounting

_LIMITS_TIMEOUT_S = 3.0  # a submission does not wait for its database


def read_cluster() -> Cluster:
    """Return partitions, nodes, settings and reservations, asked for at once; then the limits, where they are enforced.

    Raises SlurmUnavailable and SlurmRefused.
    """
    with ThreadPoolExecutor() as pool:
        partitions, nodes = pool.submit(read_partitions), pool.submit(read_nodes)
        settings, reservations = pool.submit(read_settings), pool.submit(_read_reservations)
    return Cluster(
        tuple(partitions.result()),
        tuple(nodes.result()),
        settings.result(),
        _read_limits() if settings.result().enforces_limits else None,
        reservations.result(),
        time.time(),
    )


def _read_reservations() -> "tuple[Reservation, ...]":
    """Read reservations; that this user may see none keeps no job from being submitted."""
    try:
        text = ask("scontrol", "--oneliner", "show", "reservation")
    except SlurmRefused:
        return ()
    if "ReservationName=" not in text:
        return ()
    from .queue.nodes import parse_reservations  # noqa: PLC0415  the queue, where nothing is reserved

    return tuple(parse_reservations(text))


def _read_limits() -> "Accounting | None":
    """Read the limits of this user and of every account and QOS; None if accounting does not answer at once."""
    from . import limits  # noqa: PLC0415  the limits, where none are enforced

    user = pwd.getpwuid(os.getuid()).pw_name
    questions = (
        ("user", "where", f"name={user}", "format=DefaultAccount"),
        ("assoc", "where", f"user={user}", f"format={limits.ASSOCIATION_FORMAT}"),
        ("qos", f"format={limits.QOS_FORMAT}"),
    )
    show = partial(ask, "sacctmgr", "--noheader", "--parsable2", "show", timeout_s=_LIMITS_TIMEOUT_S)
    try:
        with ThreadPoolExecutor() as pool:
            default, own, qos = pool.map(lambda words: show(*words), questions)
        associations = limits.parse_associations(own)
        accounts = dict[str, limits.Account]()
        above = {one.account for one in associations}
        while above:  # one question per level: sacctmgr's own list of all leaves some out
            names = ",".join(sorted(above))
            level = show("assoc", "where", f"account={names}", "user=", f"format={limits.PARENT_FORMAT}")
            accounts |= limits.parse_accounts(level)
            above = {one.parent for one in accounts.values() if one.parent} - accounts.keys() - above
    except (SlurmUnavailable, SlurmRefused):
        return None
    lines = default.split()
    return limits.Accounting(lines[-1] if lines else None, associations, limits.parse_qos(qos), accounts)
