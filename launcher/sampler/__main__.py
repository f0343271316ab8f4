"""The sampler as a process of its own, beside the training job on its node:

    python -P -m clusterplan.launcher.sampler RUN_FOLDER

If the spool cannot be written, it prints one line on stderr and ends with exit code 1.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from ...errors import ClusterplanError
from .loop import PERIOD_S, StopFlagWithParent, run


def main() -> None:
    """Sample until SIGTERM or SIGINT arrives, or until the parent process is gone."""
    parser = argparse.ArgumentParser(
        prog="clusterplan.launcher.sampler",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--period", type=float, default=PERIOD_S, metavar="SECONDS")
    options = parser.parse_args()
    stop = StopFlagWithParent()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(options.folder, options.period, stop, os.environ)
    except ClusterplanError as error:
        print(f"sampling stopped: {error}", file=sys.stderr)  # noqa: T201  sampler.log
        sys.exit(1)


if __name__ == "__main__":
    main()
