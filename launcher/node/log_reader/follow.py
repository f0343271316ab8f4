"""Follow logs as they grow: every piece is stamped with the time at which it came, and read into progress.jsonl."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from ....estimator.eta.time_left import Start
from ...clock import RunClock, handed_clock
from ...logs.formats.frameworks.catalogue import FORMATS
from ...logs.formats.frameworks.pretraining import MEGATRON
from ...logs.formats.log_format import LogFormat
from ...logs.formats.loop_lines import Intervals
from ...logs.formats.record import LogRecord, RecordKind
from ...logs.formats.stream import StreamReader
from ...logs.formats.user_pattern import user_format
from ...run_folder.launch import Launch
from .followed_log import CommandStart, FollowedLog
from .job_length import read_job_length
from .metric_files import MetricFiles, folders_to_look_in
from .progress_writer import ProgressWriter
from .stall_watch import StallWatch

_POLL_S = 0.05  # also how far a time of arrival may be off
_PIECE_BYTES = 1 << 16
_SHORTEST_S, _LONGEST_S, _SHARE = 1.0, 10.0, 1 / 60  # between two lines of progress, as `track` writes them


class _Follower:
    """One log, and what was read of it."""

    def __init__(
        self,
        log: FollowedLog,
        formats: Sequence[LogFormat],
        folder: Path,
        attempt: str,
        files: ExitStack,
        clock: RunClock,
    ) -> None:
        self._log, self._files, self._clock = log, files, clock
        self._reader = StreamReader(formats, read_job_length(folder))
        self._file: BinaryIO | None = None
        self.intervals = Intervals(attempt, formats)

    def start(self, start: CommandStart) -> None:
        """Take the start of the command for that of the loop."""
        record = LogRecord(RecordKind.START, "", start.time_s, start.monotonic_s, step=start.step)
        self.intervals.add(record)

    def read(self, writer: ProgressWriter) -> bool:
        """Read the next piece; return whether there was one."""
        if self._file is None:
            try:
                self._file = self._files.enter_context(Path(self._log.path).open("rb", buffering=0))  # noqa: SIM115  closed with the stack
                self._file.seek(self._log.offset)
            except FileNotFoundError:
                return False
        data = self._file.read(_PIECE_BYTES)
        if not data:
            return False
        for record in self._reader.feed(data, self._clock.now_s(), time.monotonic()):
            writer.write(self.intervals.add(record), self.intervals.source)
        return True

    def finish(self, writer: ProgressWriter) -> None:
        """Read the line without an end, and write the steps since the last line."""
        for record in self._reader.finish():
            writer.write(self.intervals.add(record), self.intervals.source)
        writer.write(self.intervals.finish(), self.intervals.source)


def follow_logs(
    folder: Path,
    logs: Sequence[FollowedLog],
    start: CommandStart,
    wait_for_stop: Callable[[float], bool],
    environment: Mapping[str, str],
) -> None:
    """Read the logs of a run in `folder` until `wait_for_stop` returns True, and then to their ends.

    It is called with the seconds that it may wait.  Raises OSError where a log cannot be read.
    """
    launch = Launch.read(folder, to_run=True)  # it has the command for a stall
    formats = (user_format(launch.log_pattern), *FORMATS) if launch.log_pattern else FORMATS
    attempt = environment.get("CLUSTERPLAN_ATTEMPT", "")
    is_first = not all(log.last_rank for log in logs)
    command = launch.stall_command if is_first else ()
    clock = handed_clock(environment)
    stalls = StallWatch(folder, command, Start(start.time_s, start.step), environment, launch.umask)
    with ExitStack() as files:
        writer = files.enter_context(ProgressWriter(folder))
        followers = [
            _Follower(
                log,
                MEGATRON if log.last_rank else formats,
                folder,
                attempt,
                files,
                clock,
            )
            for log in logs
        ]
        folders = (
            folders_to_look_in(launch.output, launch.cwd, attempt.rpartition(".")[0]) if is_first else ()
        )
        metric_files = MetricFiles(folders, attempt, start, clock)
        began_s = time.monotonic()
        for follower in followers:
            follower.start(start)
        has_more = is_stopped = False
        while has_more or not is_stopped:
            is_stopped = is_stopped or wait_for_stop(0.0 if has_more else _POLL_S)
            stalls.look(clock.now_s())
            metric_files.look(writer)
            elapsed_s = time.monotonic() - began_s
            for follower in followers:
                follower.intervals.shortest_s = min(max(elapsed_s * _SHARE, _SHORTEST_S), _LONGEST_S)
            has_more = sum(follower.read(writer) for follower in followers) > 0
        for follower in followers:
            follower.finish(writer)
        metric_files.finish(writer)
