"""The queue of Slurm, as what it leaves to a campaign."""

import time
from dataclasses import replace

from ...errors import InputError
from ...estimator.campaign.campaign import Campaign
from ...estimator.campaign.queue_busy import busy_by_queue
from ...launcher.slurm.queue.reader import read_queue_state
from ..queue.shape_starts import check_slurm
from .definition import Definition


def leave_to_others(
    campaign: Campaign, definition: Definition, own: frozenset[str] = frozenset()
) -> Campaign:
    """Return the campaign without the GPUs that running and pending jobs of its partitions have; jobs in `own` are its own.

    Raises InputError for a cap without a partition where Slurm has no default one, and SlurmUnavailable.
    """
    check_slurm()
    state = read_queue_state(time.time())
    busy = list(campaign.busy)
    for name, cap in definition.caps.items():
        partition = cap.partition or state.default_partition
        if not partition or partition not in state.partitions:
            known = ", ".join(sorted(state.partitions))
            raise InputError(
                f"cap {name}: --queue: partition {partition!r} is not one of Slurm's here: it has {known}"
            )
        busy += busy_by_queue(state, campaign.pool[name], partition, own=own)
    return replace(campaign, busy=tuple(busy))
