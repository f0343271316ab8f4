"""The signals by which Slurm, or a user, asks a task to stop."""

import signal

from ..restart_policy import StopCause


class StopSignals:
    """Why the task is to stop.  The first cause counts; a SIGTERM after Slurm's warning is remembered beside it."""

    def __init__(self) -> None:
        self.cause: StopCause | None = None
        self.terminated = False

    def listen(self) -> None:
        """Take USR2, Slurm's warning before its time limit, and TERM and INT, which end the run."""
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: object) -> None:
        if number == signal.SIGUSR2:
            self.note_time_limit()
        else:
            self.note_termination()

    def note_termination(self) -> None:
        """End the run: by a signal, or for a user on another machine, who cannot send one."""
        self.terminated, self.cause = True, self.cause or StopCause.TERMINATED

    def note_time_limit(self) -> None:
        """Stop for the time limit: by Slurm's warning, or for a run on this machine, which nobody warns."""
        self.cause = self.cause or StopCause.TIME_LIMIT

    def note_newer_start(self) -> None:
        """Stand back: a later start of the run owns its checkpoints."""
        self.cause = StopCause.NEWER_START
