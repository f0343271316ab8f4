"""Runs on the test Slurm in a storm: what is lost by clusterplan, by plain submitit and by plain `sbatch --requeue`.

    python benchmarks/survival.py [--runs 200] [--seed 0] [--only clusterplan]

Short trainings, each of which saves when it is told to stop and resumes from its newest checkpoint, run on partitions with
and without preemption, with and without a grace, as `python train.py`, behind what people put in front of it, and as four
ranks on two nodes that take each step together.  Meanwhile, every few seconds and drawn by `--seed`, jobs are preempted,
requeued by hand and warned of a limit, and the controller hangs, stops or is killed.  Nodes are lost in three ways: Slurm
ends what runs there; the node is dead at once; or only its slurmd is, and the old processes live on.  A tenth of the runs
have a real limit of one minute.  All ways meet the same kinds of events at the same rate, in turn; only `sbatch`, which asks
for no warning before the limit, gets none.  Each step goes into a ledger, from which is counted afterwards:

    unfinished        runs that would need a person: no last step when nothing runs or waits any more
    resumed too early starts from a step before the newest whole checkpoint
    double writers    runs of which two processes took steps at the same time
    wrong words       runs whose final state does not agree with the ledger
    redone            steps that were taken twice, of all steps

Only root can start the test Slurm.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import slurm_cluster
from markdown_table import table
from slurm_cluster import Cluster, until
from survival_storm import queue, storm
from survival_ways import CLUSTERPLAN, TRAIN, WAYS, Batch, batches_of

EVENTS_PER_RUN = 1.0  # one that strikes a node disturbs several runs
QUIET_S_PER_RUN = 8.0  # after the storm; runs of four ranks wait for two whole nodes
OVERLAP_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """What the ledger of one run says."""

    is_done: bool
    resumed_early: bool
    double_writers: bool
    steps: int
    redone: int
    starts: int


def read_outcome(output: Path, steps: int) -> Outcome:
    lines = (output / "ledger").read_text().splitlines() if (output / "ledger").exists() else []
    entries = [(float(t), who, what, int(step)) for t, who, what, step in (line.split() for line in lines)]
    newest, farthest, redone, early, saved = 0, 0, 0, False, set[int]()
    for _, _, what, step in entries:
        if what == "start":
            early |= step < newest
            redone += max(farthest - step, 0)
        farthest = max(farthest, step)
        if what == "saved":
            newest = max(newest, step)
            saved.add(step)
    spans = dict[str, list[float]]()
    for moment, who, _, _ in entries:
        spans.setdefault(who, [moment, moment])[1] = moment
    ordered = sorted(spans.values())
    double = any(later[0] < earlier[1] - OVERLAP_S for earlier, later in pairwise(ordered))
    taken = sum(what == "step" for _, _, what, _ in entries)
    return Outcome(steps in saved, early, double, taken, redone, len(spans))


def words_of(way: str, cluster: Cluster) -> dict[str, str]:
    """Return the final word on each job, in capitals as Slurm has it: of clusterplan itself, else of Slurm."""
    if way == "clusterplan":
        said = json.loads(subprocess.check_output([CLUSTERPLAN, "status", "storm", "--json"]))
        return {str(run["job_id"]): str(run["state"]).upper() for run in said["runs"]}
    completed = dict[str, str]()
    for line in (cluster.folder / "jobcomp").read_text().splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        completed[fields.get("JobId", "")] = fields.get("JobState", "")
    return completed


def run_way(way: str, runs: int, seed: int, folder: Path) -> list[str]:
    """Put all runs of one way through the storm; return the row of the table."""
    rng = random.Random(seed)
    (folder / "out").mkdir(parents=True)
    os.chdir(folder)
    script = folder / "train.py"
    script.write_text(TRAIN)
    os.environ |= {"CLUSTERPLAN_HISTORY": f"{folder}/history.db", "CLUSTERPLAN_RUNS": f"{folder}/runs"}
    (folder / "slurm").mkdir()
    with slurm_cluster.running(folder / "slurm") as cluster:
        os.environ["SLURM_CONF"] = str(cluster.conf)
        began_s = time.monotonic()
        jobs = dict[str, tuple[Batch, Path]]()
        for batch in batches_of(runs, folder, rng):
            jobs |= {job: (batch, output) for job, output in WAYS[way](batch, script)}
        counts = storm(cluster, way, list(jobs), round(runs * EVENTS_PER_RUN), rng)
        words_of(way, cluster)  # somebody looks: `clusterplan status` releases jobs that Slurm holds
        with suppress(TimeoutError):
            until(lambda: not queue(cluster, list(jobs)), "the end of all runs", QUIET_S_PER_RUN * runs)
        left = queue(cluster, list(jobs))
        words = words_of(way, cluster)
        seconds = time.monotonic() - began_s
    outcomes = {job: read_outcome(output, batch.steps) for job, (batch, output) in jobs.items()}
    wrong = [job for job, o in outcomes.items() if (words.get(job) == "COMPLETED") != o.is_done]
    for job, outcome in outcomes.items():
        if not outcome.is_done or outcome.resumed_early or outcome.double_writers or job in wrong:
            batch, output = jobs[job]
            print(
                f"# {way}: {output} job {job} {batch.partition} {batch.wrapper}: {outcome} {words.get(job)} {left.get(job, '')}"
            )
    print(f"# {way}: {seconds:.0f} s; {', '.join(f'{name} {n}' for name, n in counts.items())}", flush=True)
    taken, redone = sum(o.steps for o in outcomes.values()), sum(o.redone for o in outcomes.values())
    return [
        way,
        str(len(jobs)),
        f"{sum(o.starts for o in outcomes.values()) / len(jobs):.1f}",
        *(
            str(n)
            for n in (
                sum(not o.is_done for o in outcomes.values()),
                sum(o.resumed_early for o in outcomes.values()),
                sum(o.double_writers for o in outcomes.values()),
                len(wrong),
            )
        ),
        f"{100 * redone / max(taken, 1):.1f} %",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(WAYS))
    parser.add_argument("--folder", type=Path, help="Keep everything here, to look at.")
    options = parser.parse_args()
    if reason := slurm_cluster.missing():
        sys.exit(reason)
    header = [
        "way",
        "runs",
        "starts per run",
        "unfinished",
        "resumed too early",
        "double writers",
        "wrong words",
        "redone",
    ]
    rows = []
    for way in [options.only] if options.only else WAYS:
        with tempfile.TemporaryDirectory() as temporary:
            base = options.folder or Path(temporary)
            rows.append(run_way(way, options.runs, options.seed, base / way.split()[0]))
    print("\n".join(table(header, rows)))


if __name__ == "__main__":
    main()
