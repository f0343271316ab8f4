"""A run whose steps waited for their input."""

from ...cluster_profiles.units import format_significant
from ..gpu_use.notes import Note
from .comparison import samples_per_s
from .run_facts import RunFacts

INPUT_SHARE = 0.1  # of a step; a loader that keeps up costs a few per cent


def find_input_wait(run: RunFacts) -> Note | None:
    """Return a note if a clear share of a run's steps waited for input, as its loop or its log reported it.

    >>> find_input_wait(RunFacts("r"))
    """
    m = run.measurement
    if m is None or m.data_wait_share is None or m.data_wait_share < INPUT_SHARE:
        return None
    busy = f", and its GPUs were {m.busy_share:.0%} busy" if m.busy_share is not None else ""
    rate, could = (
        format_significant(samples_per_s(m) / share) for share in (1, 1 - min(m.data_wait_share, 0.99))
    )
    text = (
        f"{m.data_wait_share:.0%} of a step waited for input{busy}: it gave {rate} samples/s where the GPUs could have taken "
        f"{could}; more workers of the data loader, faster storage or data prepared before shorten that, a wider job may "
        "only wait longer"
    )
    return Note("input", text, ())
