"""`make pictures`: the pictures of README and pages, from the estimates that the text speaks of."""

import json
import subprocess
import sys
from pathlib import Path

from clusterplan.estimator.ranges import Range
from clusterplan.render.charts.figure import render_picture
from clusterplan.render.charts.range_chart import ScalingPoint, draw_scaling

FOLDER = Path(__file__).parent / "pictures"
PROGRAM = Path(sys.executable).with_name("clusterplan")
DAY_S = 86_400


def draw_gpus() -> str:
    """Return the days that a training takes by GPUs, as `clusterplan estimate` answers."""
    job = "--samples 30e6 --batch-size 32 --samples-per-s-per-gpu 11 --profile slurm-a100 --gpus 8,16,32,64"
    done = subprocess.run(  # noqa: S603  our own program
        [PROGRAM, "estimate", *job.split(), "--json"], capture_output=True, text=True, check=True
    )
    points = [
        ScalingPoint(
            row["shape"]["gpus"], Range(*(row["wall_clock_s"][key] / DAY_S for key in ("p10", "p50", "p90")))
        )
        for row in json.loads(done.stdout)["shapes"]
    ]
    return render_picture(draw_scaling("scaling", "30 million samples: time by GPUs", points, "days"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "scaling.svg").write_text(draw_gpus(), encoding="utf-8")
