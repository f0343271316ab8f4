"""Whether a SIGTERM came to every process of the job, as Slurm sends it, or to this process alone."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ...sampler.beside import ignore_slurm_warning


@contextmanager
def term_witness() -> Iterator["subprocess.Popen[bytes]"]:
    """Keep a process that does nothing while the block runs; a SIGTERM to the whole job ends it.

    Then the command has the signal too.  A second one would interrupt it: torchrun, which passes the signal on, does
    not wait for its workers to save when another one comes.
    """
    process = subprocess.Popen(
        ["sleep", "2147483647"],  # noqa: S607  where the system keeps it: the PATH of a user may lack it
        env={"PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=ignore_slurm_warning,  # noqa: PLW1509  there are no threads here
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_term_come_to_all(witness: "subprocess.Popen[bytes]") -> bool:
    """Return whether the witness was ended by a SIGTERM."""
    return witness.poll() == -signal.SIGTERM
