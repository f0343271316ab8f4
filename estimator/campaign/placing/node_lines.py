"""The free GPUs of each node over time, and the first time at which a shape fits on so many nodes at once.

`estimator/queue/timeline.py` does the same for whole requests of Slurm; a campaign knows GPUs alone and asks a million
times, so that its lines are shorter: they begin where a GPU is free, and stretches with equal numbers are one.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence


class NodeLine:
    """One node of a pool: from `times[i]` until the next one, `free[i]` GPUs are free, and none before the first.

    >>> line = NodeLine(0, 8, now_s=0.0)
    >>> line.take(0.0, 60.0, 4)
    >>> line.first_start_s(8, 0.0, math.inf, 30.0), line.first_start_s(4, 0.0, math.inf, 30.0)
    (60.0, 0.0)
    """

    __slots__ = ("free", "gpus", "place", "times")

    def __init__(self, place: int, gpus: int, now_s: float) -> None:
        self.place, self.gpus = place, gpus
        self.times, self.free = [now_s], [gpus]

    def copy(self) -> "NodeLine":
        """Return a line of its own with the same numbers."""
        line = NodeLine(self.place, self.gpus, 0.0)
        line.times, line.free = self.times.copy(), self.free.copy()
        return line

    def take(self, start_s: float, end_s: float, gpus: int) -> None:
        """Give GPUs away from `start_s` to `end_s`, or back if they are fewer than 0; fewer than none may be free then."""
        times, free = self.times, self.free
        if end_s <= times[0]:
            return
        first, last = self._cut(max(start_s, times[0])), self._cut(end_s)
        for i in range(first, last):
            free[i] -= gpus
        for i in (last, first):
            if 0 < i < len(free) and free[i] == free[i - 1]:
                del times[i], free[i]

    def drop_full_front(self) -> None:
        """Let the line begin where a GPU is free: no job can start before, and none is moved any more."""
        while self.free[0] <= 0 and len(self.free) > 1:
            del self.times[0], self.free[0]

    def _cut(self, time_s: float) -> int:
        """Return the place of the stretch that begins at `time_s`, made if there is none."""
        place = bisect_left(self.times, time_s)
        if time_s < math.inf and (place == len(self.times) or self.times[place] != time_s):
            self.times.insert(place, time_s)
            self.free.insert(place, self.free[place - 1])
        return place

    def first_start_s(self, gpus: int, earliest_s: float, latest_s: float, span_s: float) -> float:
        """Return the first time from which `gpus` are free for `span_s`; infinite if that is after `latest_s`."""
        times, free, count = self.times, self.free, len(self.times)
        i = max(bisect_right(times, earliest_s) - 1, 0)
        while i < count:
            if free[i] < gpus:
                i += 1
                continue
            start_s = max(times[i], earliest_s)
            if start_s > latest_s:
                return math.inf
            end_s, i = start_s + span_s, i + 1
            while i < count and times[i] < end_s and free[i] >= gpus:
                i += 1
            if i == count or times[i] >= end_s:
                return start_s
        return math.inf

    def fit(self, start_s: float, end_s: float) -> tuple[int, float]:
        """Return how well a job fits there, the smaller the better: the GPUs that are free beside it, then for how long.

        A hole that the job fills leaves whole nodes to others, and so does one that ends when it does.
        """
        first, last = max(bisect_right(self.times, start_s) - 1, 0), bisect_left(self.times, end_s)
        least = min(self.free[first : max(last, first + 1)])
        return least, abs((self.times[last] if last < len(self.times) else self.times[-1]) - end_s)

    def free_gpus(self, time_s: float) -> int:
        """Return the GPUs that are free at a time."""
        return self.free[max(bisect_right(self.times, time_s) - 1, 0)] if time_s >= self.times[0] else 0


def find_place(
    lines: Sequence[NodeLine], nodes: int, gpus: int, earliest_s: float, span_s: float
) -> tuple[float, list[NodeLine]] | None:
    """Return when `gpus` are first free on so many nodes at once, and on which; None if they never are.

    Of the nodes that are free then, those with the fewest free GPUs are taken, so that whole nodes stay free.
    """
    lines = [line for line in lines if line.gpus >= gpus]
    if len(lines) < nodes:
        return None
    time_s = earliest_s
    while True:
        starts, earliest = (
            list[float](),
            list[float](),
        )  # of all lines; the `nodes` smallest of them, ascending
        for line in lines:
            latest_s = earliest[-1] if len(earliest) == nodes else math.inf
            start_s = line.first_start_s(gpus, time_s, latest_s, span_s)
            starts.append(start_s)
            if start_s < latest_s or len(earliest) < nodes:
                insort(earliest, start_s)
                del earliest[nodes:]
        common_s = earliest[-1]
        if common_s == math.inf:
            return None
        free = [line for line, start_s in zip(lines, starts, strict=True) if start_s == common_s]
        if len(free) >= nodes:
            free.sort(key=lambda line: line.fit(common_s, common_s + span_s))
            return common_s, free[:nodes]
        time_s = common_s  # before it too few nodes are free at once; whether the first ones still are is asked anew
