"""The colour of a run's state, in every table."""

from ..launcher.runs.state import State
from .layout import Style

STATE_STYLES: dict[str, Style] = {
    State.COMPLETED: Style.GOOD,
    State.RUNNING: Style.ANSWER,
    State.PENDING: Style.CODE,
    **dict.fromkeys(
        (State.FAILED, State.OUT_OF_MEMORY, State.TIMED_OUT, State.NODE_FAILURE, State.LOST), Style.BAD
    ),
}
