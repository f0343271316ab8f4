"""The history behind the pages: read in threads of its own, and each answer kept until the file changes."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from ..errors import HistoryError
from ..estimator.history.browse.browser import HistoryBrowser

T = TypeVar("T")
Stamp = tuple[object, ...]

_MOST_KEPT = 256  # answers
_THREADS = 2
_TICK_S = 0.1  # of a file system's clock: two writes within one may leave the same time


class Site:
    """A history file that pages are made of."""

    def __init__(self, history: Path) -> None:
        self.history = history
        self._pool = ThreadPoolExecutor(_THREADS, "clusterplan")
        self._outside = ThreadPoolExecutor(_THREADS, "clusterplan-outside")
        self._recent: dict[Hashable, tuple[float, asyncio.Future[object]]] = {}
        self._kept: OrderedDict[Hashable, tuple[Stamp, asyncio.Future[object]]] = OrderedDict()

    @property
    def database(self) -> str:
        """Return Datasette's name of the history."""
        return self.history.stem

    async def recent(self, key: Hashable, seconds: float, function: Callable[[], T]) -> T:
        """Return what a function returned in the last `seconds`, an error too; meanwhile nobody calls it again.

        It may ask Slurm, or a disk that does not answer: it runs in other threads than those of the history.
        """
        now = asyncio.get_running_loop().time()
        kept = self._recent.get(key)
        if kept is None or now - kept[0] > seconds:
            kept = self._recent[key] = now, asyncio.ensure_future(self._work_outside(function))
            if len(self._recent) > _MOST_KEPT:
                self._recent.pop(next(iter(self._recent)))
        return cast("T", await asyncio.shield(kept[1]))

    def stamp(self) -> Stamp:
        """Return what changes with the history file, which is not opened: to close it would end SQLite's locks on it.

        Raises HistoryError if it is gone.
        """
        try:
            file, now_s = self.history.stat(), time.time()
        except OSError as error:
            raise HistoryError(f"{self.history}: cannot be read: {error.strerror}") from None
        is_young = abs(now_s - file.st_mtime) < _TICK_S
        return file.st_mtime_ns, file.st_size, file.st_ino, now_s if is_young else None

    async def read(self, key: Hashable, question: Callable[..., T], *values: object) -> T:
        """Return the answer of the history to a question; those who ask the same meanwhile wait for one answer.

        `question` gets the history and the values, and `key` stands for it: an answer is true until the file changes,
        or the values do.
        """
        return await self._keep(key, (*self.stamp(), *values), self._ask, question, *values)

    async def make(self, key: Hashable, function: Callable[..., T], *values: object) -> T:
        """Return what a function makes of values; it is not made again while `key` has the same values."""
        return await self._keep(key, values, function, *values)

    async def _keep(self, key: Hashable, stamp: Stamp, function: Callable[..., T], *values: object) -> T:
        """Return what a function returned when `key` had the same stamp; meanwhile nobody calls it again."""
        kept = self._kept.get(key)
        if kept is None or kept[0] != stamp or (kept[1].done() and kept[1].exception()):
            kept = self._kept[key] = stamp, asyncio.ensure_future(self.work(function, *values))
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return cast("T", await asyncio.shield(kept[1]))

    async def work(self, function: Callable[..., T], *values: object) -> T:
        """Return what a function returns that would keep others waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *values)

    async def _work_outside(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._outside, function)

    def _ask(self, question: Callable[..., T], *values: object) -> T:
        with HistoryBrowser(self.history) as history:
            return question(history, *values)
