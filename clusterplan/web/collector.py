"""Keep the history fresh beside the pages: a process of its own, so that requests write nothing and wait for nothing.

It collects as every command does, and ends when the server does: then its input is at its end.
"""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..api.history.history import collect, describe_errors
from ..errors import ClusterplanError

EVERY_S = 30.0


def keep_collecting(every_s: float = EVERY_S) -> None:
    """Collect everything new in run folders until the input is at its end; what is wrong is said once on stderr."""
    told = set[str]()
    while True:
        try:
            lines = describe_errors(collect())
        except ClusterplanError as error:
            lines = [f"not collected: {error}"]
        for line in lines:
            if line not in told:
                print(line, file=sys.stderr, flush=True)  # noqa: T201  a program of its own
        told.update(lines)
        if select.select([sys.stdin], [], [], every_s)[0]:
            return


@contextmanager
def collecting() -> Iterator[None]:
    """Run `keep_collecting` in another process for the length of the block."""
    # -P: a module of the folder that we are in must not stand for one of ours.
    command = [sys.executable, "-P", "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603  this program
        yield
        process.communicate()


if __name__ == "__main__":
    keep_collecting()
