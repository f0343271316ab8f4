"""The check of a stage, at its end, on the node that ends last."""

from contextlib import suppress
from pathlib import Path

from ....errors import SpoolError, UnreadableFile
from ....estimator.stages.check import judge_stage
from ...run_folder.final_status import write_final_status
from ...run_folder.progress.loop_lines import read_progress
from ...run_folder.stages.stage import CHECK_FAILED, read_stage, write_verdict
from ...sampler.spool_reader import read_node_records

FAILED_CODE = 1


def end_stage(folder: Path) -> int:
    """Write the final status of a stage whose command has completed; return the exit code that it gets.

    One whose check fails has failed, so that the stage after it does not begin.
    """
    stage = read_stage(folder)
    if stage and stage.check:
        with suppress(OSError, UnreadableFile):
            lines, _ = read_progress(folder)
            verdict = judge_stage(stage.check, lines, read_memory_peak_bytes(folder))
            write_verdict(folder, verdict)
            if not verdict.passed:
                write_final_status(folder, "failed", FAILED_CODE, f"{CHECK_FAILED}: {verdict.reason}")
                return FAILED_CODE
    write_final_status(folder, "completed", 0)
    return 0


def read_memory_peak_bytes(folder: Path) -> int | None:
    """Return the peak memory of the run's fullest GPU, from what every node sampled; None without a sample."""
    peaks = list[int]()
    with suppress(SpoolError):
        for record in read_node_records(folder):
            for tick in record.ticks():
                peaks += [reading.memory_used_bytes for reading in tick.readings if reading.memory_used_bytes]
                peaks = [max(peaks)] if peaks else peaks
    return max(peaks, default=None)
