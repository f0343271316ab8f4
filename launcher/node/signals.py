"""The signals by which Slurm, or a user, asks a task to stop."""

import signal

from .restart_policy import StopCause


class StopSignals:
    """Why we were asked to stop; the first reason counts, but a cancellation after a warning is remembered."""

    def __init__(self) -> None:
        self.why: StopCause | None = None
        self.terminated = False

    def listen(self) -> None:
        signal.signal(signal.SIGUSR2, self._heard)
        signal.signal(signal.SIGTERM, self._heard)
        signal.signal(signal.SIGINT, self._heard)

    def _heard(self, number: int, _: object) -> None:
        self.terminated = self.terminated or number != signal.SIGUSR2
        self.why = self.why or (StopCause.TIME_LIMIT if number == signal.SIGUSR2 else StopCause.TERMINATED)

    def cancelled(self) -> None:
        """Somebody who could not signal us wants the run to stop."""
        self.terminated, self.why = True, self.why or StopCause.TERMINATED

    def over(self) -> None:
        """The time that a run on this machine was given is over: there is no Slurm to warn it."""
        self.why = self.why or StopCause.TIME_LIMIT
