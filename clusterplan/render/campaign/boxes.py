"""Boxes of GPUs x time that hold a campaign, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from ...cluster_profiles.local_time import format_local_time, format_utc
from ...cluster_profiles.units import format_count, format_duration, join_names
from ...estimator.campaign.boxes import Box
from ...estimator.campaign.reservation import Reservation
from ..layout import Page, Style


def write_boxes(page: Page, boxes: Sequence[Box], reservations: Sequence[Reservation], best: int) -> None:
    """Write a row for each box, the one to book, and the line for the administrator."""
    page.table(
        ("nodes", "GPUs", "needs, P50", "P90", "book", "GPU-hours", "used", "deadlines", ""),
        [
            (
                f"{box.nodes:,}",
                f"{box.gpus:,}",
                format_duration(box.p50_s),
                format_duration(box.p90_s),
                format_duration(reserved.duration_s),
                format_count(box.gpus * reserved.duration_s / 3600),
                f"{box.use(reserved.duration_s):.0%}",
                _deadlines(box),
                "<- the line below" if number == best else "",
            )
            for number, (box, reserved) in enumerate(zip(boxes, reservations, strict=True))
        ],
        right=(0, 1, 2, 3, 4, 5, 6),
    )
    page.line()
    chosen, line = boxes[best], reservations[best]
    if chosen.is_in_time:
        why = "of the boxes in which all deadlines are met at P90, it has the fewest GPU-hours"
    else:
        why = f"no box meets all deadlines; in this one {join_names(each.job for each in chosen.plan.late)} would be late"
    starts = format_local_time(line.start_s, chosen.plan.campaign.now_s)
    page.sentence(f"{why}; for the administrator, from {starts} on:")
    page.line()
    page.line(f"    {line.command()}", Style.CODE)
    page.line()
    page.sentence(f"jobs of the campaign then need --slurm reservation={line.name}")


def _deadlines(box: Box) -> str:
    jobs = [each for each in box.plan.planned if box.plan.slack_s(each) is not None]
    return f"{len(jobs) - len(box.plan.late)} of {len(jobs)} met" if jobs else ""


def boxes_as_dict(boxes: Sequence[Box], reservations: Sequence[Reservation], best: int) -> dict[str, Any]:
    """Return the keys of `book --json`."""
    return {
        "best": best,
        "boxes": [
            {
                "cap": box.pool,
                "nodes": box.nodes,
                "gpus": box.gpus,
                "needs_s": {"p50": box.p50_s, "p90": box.p90_s},
                "booked_s": reserved.duration_s,
                "booked_gpu_hours": box.gpus * reserved.duration_s / 3600,
                "used_share": box.use(reserved.duration_s),
                "late": [each.job for each in box.plan.late],
                "start_utc": format_utc(reserved.start_s),
                "command": reserved.command(),
            }
            for box, reserved in zip(boxes, reservations, strict=True)
        ],
    }
