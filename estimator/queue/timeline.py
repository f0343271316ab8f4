"""What is free on each node over time, and when a request fits: the board on which the queue is planned."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence

from .state import Node, Request, Reservation

Amounts = Sequence[tuple[int, int]]  # a slot of a node, and how much of it
_CPUS, _MEMORY, GPUS, _FIRST_TYPE = range(4)


class NodeTimeline:
    """One node: from `times[i]` until the next one, `free[i]` is free in each slot: CPUs, MiB, GPUs, GPUs by type."""

    __slots__ = ("_types", "blocks", "free", "node", "times", "total")

    def __init__(self, node: Node, now_s: float) -> None:
        self.node = node
        self._types = {name: _FIRST_TYPE + i for i, (name, _) in enumerate(node.gpus)}
        self.total = [node.cpus, node.memory_mib, node.gpus_in_all, *(count for _, count in node.gpus)]
        self.times = [now_s]
        self.free = [self.total.copy()]
        self.blocks: list[tuple[float, float, str]] = []

    def amounts(self, request: Request) -> Amounts | None:
        """Return what the request takes of this node; None if it can never be there."""
        if request.exclusive:
            needs = list(enumerate(self.total))
            if self.total[GPUS] < request.gpus:
                return None
        else:
            needs = [(_CPUS, request.cpus), (_MEMORY, request.memory_mib), (GPUS, request.gpus)]
            if request.gpu_type and request.gpus:
                if request.gpu_type not in self._types:
                    return None
                needs.append((self._types[request.gpu_type], request.gpus))
        if any(self.total[slot] < amount for slot, amount in needs):
            return None
        return [(slot, amount) for slot, amount in needs if amount > 0]

    def take(self, start_s: float, end_s: float, amounts: Amounts) -> None:
        """Give `amounts` away from `start_s` to `end_s`."""
        first, last = self._cut(start_s), self._cut(end_s)
        for row in self.free[first:last]:
            for slot, amount in amounts:
                row[slot] -= amount

    def _cut(self, time_s: float) -> int:
        """Return the place of the stretch that begins at `time_s`, made if there is none."""
        if time_s == math.inf:
            return len(self.times)
        place = bisect_left(self.times, time_s)
        if place == len(self.times) or self.times[place] != time_s:
            if place == 0:
                return 0
            self.times.insert(place, time_s)
            self.free.insert(place, self.free[place - 1].copy())
        return place

    def first_start_s(
        self, amounts: Amounts, earliest_s: float, latest_s: float, span_s: float, request: Request
    ) -> float:
        """Return the first time from which `amounts` are free for `span_s`; infinite if that is after `latest_s`.

        No reservation may come within the shortest time of `request`.
        """
        times, free, count = self.times, self.free, len(self.times)
        place = max(bisect_right(times, earliest_s) - 1, 0)
        while place < count and times[place] <= latest_s:
            if not _fits(free[place], amounts):
                place += 1
                continue
            start_s = max(times[place], earliest_s)
            if self.blocks or request.reservation:
                blocked_s = self._blocked_until_s(start_s, request.shortest_s, request.reservation)
                if blocked_s == math.inf:
                    return math.inf
                if blocked_s > start_s:
                    earliest_s = blocked_s
                    place = max(bisect_right(times, earliest_s) - 1, 0)
                    continue
            following, end_s = place + 1, start_s + span_s
            while following < count and times[following] < end_s:
                if not _fits(free[following], amounts):
                    break
                following += 1
            else:
                return start_s if start_s <= latest_s else math.inf
            place = following + 1
        return math.inf

    def free_until_s(self, amounts: Amounts, start_s: float, reservation: str) -> float:
        """Return until when `amounts` are free from `start_s` on; `start_s` itself if they are not."""
        place = max(bisect_right(self.times, start_s) - 1, 0)
        until_s = math.inf
        for i in range(place, len(self.times)):
            if not _fits(self.free[i], amounts):
                until_s = max(self.times[i], start_s)
                break
        begins = [
            max(begin, start_s) for begin, end, name in self.blocks if end > start_s and name != reservation
        ]
        return min([until_s, *begins])

    def free_gpus(self, time_s: float) -> int:
        """Return the GPUs that are free at a time."""
        return self.free[max(bisect_right(self.times, time_s) - 1, 0)][GPUS]

    def _blocked_until_s(self, start_s: float, limit_s: float, reservation: str) -> float:
        """Return the end of the reservation that a job of this limit would run into; `start_s` if there is none."""
        own = [(begin, end) for begin, end, name in self.blocks if name == reservation]
        if reservation and not any(begin <= start_s < end for begin, end in own):
            return min((begin for begin, _ in own if begin > start_s), default=math.inf)
        ends = [
            end
            for begin, end, name in self.blocks
            if name != reservation and begin < start_s + limit_s and end > start_s
        ]
        return max(ends, default=start_s)


def _fits(row: Sequence[int], amounts: Amounts) -> bool:
    for slot, amount in amounts:  # noqa: SIM110  twice as fast, and asked a million times
        if row[slot] < amount:
            return False
    return True


Fitting = dict[
    Request, list[tuple[str, Amounts]]
]  # the nodes that can ever hold a request, and what it takes


class Board:
    """The timelines of all nodes on which jobs may start; boards of the same nodes may share what fits on them."""

    def __init__(
        self,
        nodes: Iterable[Node],
        reservations: Iterable[Reservation],
        now_s: float,
        fitting: Fitting | None = None,
    ) -> None:
        self.now_s = now_s
        self._fitting: Fitting = {} if fitting is None else fitting
        self.nodes: Mapping[str, NodeTimeline] = {
            node.name: NodeTimeline(node, now_s) for node in nodes if node.is_up
        }
        for each in reservations:
            for name in each.nodes & self.nodes.keys():
                self.nodes[name].blocks.append((each.start_s, each.end_s, each.name))

    def fitting(self, request: Request) -> list[tuple[NodeTimeline, Amounts]]:
        """Return the nodes that can ever hold their part of the request, with what it takes of each."""
        if request not in self._fitting:
            names = set(request.partitions)
            self._fitting[request] = [
                (name, amounts)
                for name, line in self.nodes.items()
                if names & line.node.partitions
                and (not request.only_nodes or name in request.only_nodes)
                and request.features <= line.node.features
                and (amounts := line.amounts(request)) is not None
            ]
        return [(self.nodes[name], amounts) for name, amounts in self._fitting[request]]

    def find(
        self, request: Request, earliest_s: float, span_s: float
    ) -> tuple[float, list[tuple[NodeTimeline, Amounts]]] | None:
        """Return when the request fits first on so many nodes at once, and on which; None if it never does.

        `span_s` is how long other jobs must leave room for it; reservations must leave room for its limit.  Of the nodes
        that are free then, those with the fewest free GPUs are taken.
        """
        fitting, time_s, count = self.fitting(request), max(earliest_s, self.now_s), request.nodes
        if len(fitting) < count:
            return None
        starts = [-math.inf] * len(fitting)
        while True:
            earliest = list[float]()  # the first starts so far, ascending, at most `count`
            for i, (line, amounts) in enumerate(fitting):
                if starts[i] < time_s:
                    latest_s = earliest[-1] if len(earliest) == count else math.inf
                    starts[i] = line.first_start_s(amounts, time_s, latest_s, span_s, request)
                if len(earliest) < count or starts[i] < earliest[-1]:
                    insort(earliest, starts[i])
                    del earliest[count:]
            common_s = earliest[-1]
            if common_s == math.inf:
                return None
            free = [each for each, start_s in zip(fitting, starts, strict=True) if start_s == common_s]
            if len(free) >= count:
                free.sort(key=lambda each: each[0].free_gpus(common_s))
                return common_s, free[:count]
            # Before it, too few nodes are free; whether those that were free still are is asked again, and whether
            # those are that were too late for the first starts.
            time_s = common_s
            starts = [-math.inf if start_s == math.inf else start_s for start_s in starts]

    def hole_s(self, request: Request) -> float:
        """Return for how long the request fits from now on; 0 if it does not, infinite if nothing ends it."""
        untils = sorted(
            (
                line.free_until_s(amounts, self.now_s, request.reservation)
                for line, amounts in self.fitting(request)
            ),
            reverse=True,
        )
        return untils[request.nodes - 1] - self.now_s if len(untils) >= request.nodes else 0.0
