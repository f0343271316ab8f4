"""Begin the forecast of new runs in a process of its own: a submission neither waits for it, nor loads it, nor fails with it."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_MOST_FORECAST = 50  # runs of one sweep


def begin_forecast(folders: Sequence[Path]) -> None:
    """Let another process forecast the start of the runs in `folders`, which are one job; return at once."""
    command = [sys.executable, "-P", "-m", __package__, *map(str, folders[:_MOST_FORECAST])]
    with suppress(OSError):
        process = subprocess.Popen(  # noqa: S603  our own module
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # A notebook that goes on must not keep it as a zombie.
        threading.Thread(target=process.wait, daemon=True).start()
