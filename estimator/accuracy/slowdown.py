"""A run that is slower than its own history: the runs of its model in its shape before it."""

from collections.abc import Iterator, Sequence
from statistics import median

from ...cluster_profiles.units import format_duration, join_names, plural
from ..gpu_use.notes import Note
from ..measurements.repeats import learn_spread
from .differences import CLEAR_WAIT, TEXTS, order_packages
from .run_facts import RunFacts

SLOWER_SHARE = 0.03  # of the step time, from which a run is noted
_LEAST_EARLIER = 2
_CLEAR = 0.99  # one run of a hundred is as slow by chance
_MOST_NAMED = 6


def find_slowdown(run: RunFacts, earlier: Sequence[RunFacts]) -> Note | None:
    """Return a note if `run` is clearly slower than `earlier` runs of its model in its shape, with what differs.

    Runs on the same type of GPU count, and others only where there are none.  It is clearly slower if its step takes 3 %
    longer than their median, and longer than 99 of 100 runs would by how far theirs differ.

    >>> find_slowdown(RunFacts("r"), [])
    """
    if run.measurement is None:
        return None
    own_gpu = [other for other in earlier if _gpu(other) == _gpu(run)]
    repeats = own_gpu if len(own_gpu) >= _LEAST_EARLIER else list(earlier)
    times_s = [other.measurement.step_time_s for other in repeats if other.measurement]
    if len(times_s) < _LEAST_EARLIER:
        return None
    step_s, usual_s = run.measurement.step_time_s, median(times_s)
    if step_s <= usual_s * max(1 + SLOWER_SHARE, learn_spread([times_s]).factor(len(times_s), _CLEAR)):
        return None
    differing = list(_what_differs(run, repeats))
    why = (
        f"only in this run: {join_names(differing, _MOST_NAMED)}"
        if differing
        else "nothing that is recorded differs"
    )
    text = (
        f"{step_s / usual_s - 1:.1%} slower than {plural(len(times_s), 'run')} of its shape before: "
        f"{format_duration(step_s)} per step, in their median {format_duration(usual_s)} "
        f"({format_duration(min(times_s))} to {format_duration(max(times_s))}); {why}"
    )
    return Note("slower", text, ())


def _gpu(run: RunFacts) -> str | None:
    return run.measurement.gpu if run.measurement else None


def _what_differs(run: RunFacts, earlier: Sequence[RunFacts]) -> Iterator[str]:
    """Yield what no earlier run had, each with what the latest of them had."""
    wait, waits = _wait(run), [share for other in earlier if (share := _wait(other)) is not None]
    if wait is not None and waits and wait - median(waits) > CLEAR_WAIT:
        yield f"{wait:.0%} of a step waits for input, not {median(waits):.0%}"
    for what, texts_of in TEXTS.items():
        own, others = texts_of(run), [texts for other in earlier if (texts := texts_of(other))]
        if new := [text for text in own if others and all(text not in texts for texts in others)]:
            yield f"{what} {join_names(new, 4)}, not {join_names(others[0], 4)}"
    listed = [other.packages for other in earlier if other.packages]
    changed = [
        name
        for name, version in run.packages.items()
        if listed and all(packages.get(name) != version for packages in listed)
    ]
    for name in order_packages(changed)[:4]:
        yield f"{name} {run.packages[name]}, not {listed[0].get(name, 'there')}"
    commits = [other.commit for other in earlier if other.commit]
    if run.commit and commits and run.commit not in commits:
        yield "its code (`clusterplan history compare` shows the commits)"
    commands = [other.command for other in earlier if other.command]
    if run.command and commands and run.command not in commands:
        yield "its command"


def _wait(run: RunFacts) -> float | None:
    return run.measurement.data_wait_share if run.measurement else None
