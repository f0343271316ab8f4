"""Write lines of a training loop into progress.jsonl, as `track` does, each with its source."""

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ....cluster_profiles.modes import open_file
from ....estimator.measurements.training_loop import LoopLine
from ...in_training.progress_file import PROGRESS_FILE, LineWriter
from ...logs.formats.log_format import LogFormat, Source
from ...run_folder.progress.best_source import BAR, FILE, LOG
from ...run_folder.progress.loop_lines import kind_of

_KINDS = {Source.CLOCKED_FILE: FILE, Source.LINE: LOG, Source.BAR: BAR, Source.STATE_FILE: FILE}
_DIGITS = 6


class ProgressWriter:
    """Append to the progress of the run in `folder`, which is opened with the first line.

    Lines that cannot be written wait, and are tried again as `LineWriter` does; `now_s` is a clock that no step moves.
    """

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now_s = folder / PROGRESS_FILE, now_s
        self._lines = LineWriter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.write_all()
        if self._lines.file is not None:
            os.close(self._lines.file)

    def write(self, lines: Iterable[LoopLine], form: LogFormat | None) -> None:
        """Write lines that follow from the log format `form`."""
        source = f"{_KINDS[form.source]}:{form.name}" if form else LOG
        for line in lines:
            if self._lines.file is None:
                with suppress(OSError):
                    self._lines.file = open_file(self._path, os.O_APPEND)
            values = {field.name: _json(getattr(line, field.name)) for field in fields(line)}
            text = json.dumps({"kind": kind_of(line), **values, "source": source})
            self._lines.write(text.encode() + b"\n", self._now_s())


def _json(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, _DIGITS) if math.isfinite(value) else str(value)
