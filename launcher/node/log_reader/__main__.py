"""The reader of logs as a process of its own, beside the training command on its node:

    python -P -m clusterplan.launcher.node.log_reader RUN_FOLDER LOGS

LOGS is JSON, as `beside.log_reader_beside` writes it.  Whatever fails here ends this process alone.
"""

import json
import os
import select
import signal
import sys
from pathlib import Path

from .follow import follow_logs
from .followed_log import CommandStart, FollowedLog


def main() -> None:
    """Read until stdin ends.  Signals are for the training, which may print more until it has ended."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    values = json.loads(sys.argv[2])
    logs, start = [FollowedLog(**log) for log in values["logs"]], CommandStart(**values["start"])
    follow_logs(Path(sys.argv[1]), logs, start, _wait_for_stop, os.environ)


def _wait_for_stop(timeout_s: float) -> bool:
    return bool(select.select([0], [], [], timeout_s)[0])


if __name__ == "__main__":
    main()
