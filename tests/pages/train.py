"""A short training that takes any option: ten steps, and a checkpoint after each where an output is named."""

import os
import sys
import time
from pathlib import Path

from clusterplan import track

STEPS = 10


def train(output: str | None) -> None:
    steps = track(range(STEPS), total=STEPS)
    for step in steps:
        time.sleep(float(os.environ.get("STEP_TIME", "0.05")))
        steps.loss(1 / (step + 1))
        if output:
            folder = Path(output, f"step_{step + 1}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights").write_text(str(step), encoding="utf-8")


if __name__ == "__main__":
    values = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
    train(values.get("--output", values.get("--output_dir")))
