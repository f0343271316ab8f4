"""Watch whether the run gets on, and start the user's command when it stalls: once for each stall."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ....cluster_profiles.modes import open_file
from ....estimator.eta.stall import Stall, find_stall
from ....estimator.eta.time_left import Start
from ...run_folder.progress.loop_lines import read_first_and_latest

LOOK_S = 30.0
_LOG = "stall.log"


class StallWatch:
    """The stalls of one start of the run in `folder`, whatever tells its steps; `command` may be empty.

    `running` are the commands that have not ended.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        start: Start,
        environment: Mapping[str, str],
        umask: int = -1,
    ) -> None:
        self._folder, self._command, self._start, self._environment = folder, command, start, environment
        self._umask = umask
        self._next_s = 0.0
        self._told: Stall | None = None
        self.running = list[subprocess.Popen[bytes]]()

    def look(self, now_s: float) -> None:
        """Look at `now_s` (Unix), if it is time, and start the command at a stall that is new."""
        self.running = [process for process in self.running if process.poll() is None]
        if not self._command or now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        stall = None
        with suppress(OSError):  # the next look may read it
            stall = find_stall(read_first_and_latest(self._folder), now_s, self._start)
        if stall and (self._told is None or stall.since_s != self._told.since_s):
            self._told = stall
            self._run(now_s - stall.since_s)

    def _run(self, stalled_s: float) -> None:
        """Start the command; its output goes to stall.log in the run folder.  A command that fails is not tried again."""
        variables = {
            **self._environment,
            "CLUSTERPLAN_RUN": self._folder.name,
            "CLUSTERPLAN_STALLED_S": str(round(stalled_s)),
        }
        with suppress(OSError), os.fdopen(open_file(self._folder / _LOG, os.O_APPEND), "ab") as log:
            self.running.append(
                subprocess.Popen(  # noqa: S603  the user's command, no shell
                    list(self._command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=variables,
                    umask=self._umask,
                )
            )
