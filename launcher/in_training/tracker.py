"""Report the steps of a training loop.  Training code imports this, so it loads the standard library alone.

    from clusterplan import track

    for batch in track(loader, total=10_000):
        ...

Outside a clusterplan job, and on every rank but 0, items pass through and nothing is written.  In a job, rank 0
appends lines to progress.jsonl in the run folder, which docs/reference/run-folder.md describes.  Lines that cannot be
written wait for a minute at a time, and training goes on.
"""

import atexit
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Generic, SupportsFloat, TypeVar

from ..clock import handed_clock
from .autograd_dtype import find_autograd_dtype
from .loss_record import LossRecord
from .progress_file import LineWriter, open_progress_file, read_number

T = TypeVar("T")

# Steps share a line for this long: a week of fast steps makes a file of megabytes.
MIN_INTERVAL_S, MAX_INTERVAL_S = 1.0, 10.0
_DTYPE_STEPS = 3  # the first steps, in which the number format is looked for
_OUTLIER = 3.0  # times the mean: a longer step may hold an evaluation that nobody marked


def track(
    iterable: Iterable[T] | None = None,
    start: int = 0,
    total: int | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    per_step: int = 1,
) -> "Tracker[T]":
    """Return an iterable over the items of `iterable` that counts them as steps from `start` on.

    `per_step` items make one step; `total` is the number of steps at which the training ends.  `batch_size` (samples
    per GPU and item) and `dtype` are written down, to be compared with the plan.  Iterating again, for the next
    epoch, goes on counting.  Without an iterable, call `advance` after each step.

    Raises ValueError if `per_step` is less than 1.

    Examples:
        >>> steps = track("abcdef", start=100, per_step=3)
        >>> len(list(steps)), steps.step
        (6, 102)
    """
    if per_step < 1:
        raise ValueError(f"per_step: {per_step} items cannot make a step; give 1 or more")
    facts = {
        "total": None if total is None else int(total),
        "attempt": os.environ.get("CLUSTERPLAN_ATTEMPT", ""),
        "batch_size": None if batch_size is None else int(batch_size),
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
    }
    return Tracker(iterable, int(start), facts, per_step)


class Tracker(Generic[T]):
    """The steps of one loop; made by `track`."""

    def __init__(
        self, iterable: Iterable[T] | None, start: int, facts: Mapping[str, Any], per_step: int
    ) -> None:
        self._iterable, self._per_step, self._step = iterable, per_step, start
        self._facts: Mapping[str, Any] | None = facts  # None once they are written
        self._file, self._clock = open_progress_file(), handed_clock(os.environ)
        self._lines = LineWriter(self._file)
        self._record = LossRecord(facts["total"])
        self._latest: dict[str, SupportsFloat] = {}  # not written yet
        self._dtype_steps_left = 0 if self._file is None else _DTYPE_STEPS
        self._dtype: str | None = None
        if self._file is not None:
            self._close = weakref.finalize(self, os.close, self._file)
        self._created_s, self._every_s = time.perf_counter(), MIN_INTERVAL_S
        self._steps, self._seconds, self._wait_s, self._longest_s = 0, 0.0, 0.0, 0.0  # not written yet
        if iterable is None:
            self._enter()

    @property
    def step(self) -> int:
        """Return the steps done in all, the first `start` included."""
        return self._step

    def __iter__(self) -> Iterator[T]:
        self._enter()
        clock, per_step, items = time.perf_counter, self._per_step, 0
        request_s = clock()
        try:
            for item in () if self._iterable is None else self._iterable:
                self._waited_s += clock() - request_s
                yield item
                request_s = clock()
                items += 1
                if items == per_step:
                    items = 0
                    self._count(request_s)
        finally:
            self.end()

    def advance(self) -> None:
        """Count one more step, in a loop that does not iterate over this object."""
        self._count(time.perf_counter())

    def loss(self, value: SupportsFloat) -> None:
        """Take the loss.  A tensor is read only when a line is written, so the step does not wait for the GPU."""
        if self._file is not None and self._dtype_steps_left:
            self._find_dtype(value)
        self._latest["loss"] = value.detach() if hasattr(value, "detach") else value
        if self._latest["loss"] is value:  # a tensor is read later, and the script may change it in place
            self._record.log(self._step, loss=value)

    def log(
        self,
        *,
        loss: SupportsFloat | None = None,
        learning_rate: SupportsFloat | None = None,
        eval_loss: SupportsFloat | None = None,
    ) -> None:
        """Take what the script logs; `loss` as in `loss()`.  `eval_loss`, of a validation set, gets a line at once."""
        if loss is not None:
            self.loss(loss)
        if learning_rate is not None:
            self._latest["learning_rate"] = learning_rate
        if eval_loss is not None and (value := read_number(eval_loss)) is not None:
            self._append("evaluation", loss=value)
        self._record.log(self._step, learning_rate=learning_rate, evaluation=eval_loss)

    def should_stop(
        self, min_gain: float = 0.01, band: tuple[float, float] | None = None, *, constant_lr: bool = False
    ) -> bool:
        """Return whether what was logged confirms that the rest would gain less than `min_gain`, as `clusterplan advise`.

        Ask after a validation, on one rank for all: the others have other losses, and would answer otherwise.
        """
        self._record.log(self._step, loss=read_number(self._latest.get("loss")))
        return self._record.may_stop(min_gain, band, constant_lr=constant_lr)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Mark an evaluation: its time does not count as part of the step."""
        with self._pause("evaluation"):
            yield

    @contextmanager
    def checkpoint(self) -> Iterator[None]:
        """Mark the time that training waits for a checkpoint: it does not count as part of the step."""
        with self._pause("checkpoint"):
            yield

    @contextmanager
    def _pause(self, kind: str) -> Iterator[None]:
        before_s, began_s = self._paused_s, time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began_s - (self._paused_s - before_s)  # less the pauses inside
            self._paused_s += seconds
            self._append("pause", what=kind, seconds=round(seconds, 6))

    def _enter(self) -> None:
        """Begin the loop, or begin it again."""
        if self._file is not None:
            if self._facts is not None:
                self._append("start", **self._facts)
                self._facts = None
            atexit.register(self.end)  # an uncaught exception keeps the loop's frame alive until then
        self._fresh = True
        self._paused_s = self._waited_s = 0.0  # in the step under way
        self._began_s = self._written_s = time.perf_counter()

    def _count(self, now_s: float) -> None:
        """Count a step that ended at `now_s`, and write the steps since the last line if it is time."""
        if self._file is None:
            self._step += 1
            return
        seconds, wait_s = now_s - self._began_s - self._paused_s, self._waited_s
        self._began_s, self._paused_s, self._waited_s = now_s, 0.0, 0.0
        since_s = now_s - self._written_s
        alone = (
            self._fresh
            or seconds > self._every_s
            or (seconds * self._steps > _OUTLIER * self._seconds and since_s > MIN_INTERVAL_S)
        )
        if alone:
            self._flush()
        self._fresh = False
        self._step += 1
        self._steps += 1
        self._seconds += seconds
        self._wait_s += wait_s
        self._longest_s = max(seconds, self._longest_s)
        if self._dtype_steps_left:
            self._find_dtype(None)
            self._dtype_steps_left = max(self._dtype_steps_left - 1, 0)
        if alone or since_s > self._every_s:
            self._flush()
            self._written_s = now_s
            self._every_s = min(MAX_INTERVAL_S, max(MIN_INTERVAL_S, (now_s - self._created_s) / 60))

    def _find_dtype(self, loss: object) -> None:
        """Find the number format that the step computes in, if it can be found; no error may disturb training."""
        with suppress(Exception):
            self._dtype = find_autograd_dtype(loss)
        if self._dtype:
            self._dtype_steps_left = 0

    def _flush(self) -> None:
        if not self._steps:
            return
        self._record.log(self._step, loss=(loss := read_number(self._latest.get("loss"))))
        self._append(
            "steps",
            steps=self._steps,
            seconds=round(self._seconds, 6),
            wait_s=None if self._iterable is None else round(self._wait_s, 6),
            longest_s=round(self._longest_s, 6),
            loss=loss,
            learning_rate=read_number(self._latest.get("learning_rate")),
        )
        self._steps, self._seconds, self._wait_s, self._longest_s = 0, 0.0, 0.0, 0.0
        self._latest.clear()
        if self._dtype:
            self._append("dtype", dtype=self._dtype)
            self._dtype = None

    def end(self) -> None:
        """End the loop, however it ended; it may be entered again."""
        if self._file is not None:
            self._flush()
            self._append("end")
            self._lines.write_all()
            atexit.unregister(self.end)

    def _append(self, kind: str, **values: object) -> None:
        if self._file is None:
            return
        line = {"kind": kind, "time_s": round(self._clock.now_s(), 3), "step": self._step, **values}
        self._lines.write(json.dumps(line).encode() + b"\n", self._clock.now_s())
