"""Score predictions of step times on published runs, each source judged as if it were new.

    python benchmarks/accuracy.py FOLDER [--page docs/explanation/accuracy.md] [--json NEW.json]
    python benchmarks/accuracy.py FOLDER --priors 20 --jobs 2
    python benchmarks/accuracy.py --compare OLD.json NEW.json

FOLDER has measured_steps.csv and step_times.csv; measured_runs.py lists their columns, protocols.py says who is given
and asked what.  --page writes the tables into the page, and its pictures beside it.  --priors only scores the model
under that many priors drawn at random, beside its own.  --compare says what changed between two files of --json, by
source.
"""

import argparse
import json
import multiprocessing
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import rivals
from accuracy_report import ON_PAGE, Results, render_page, render_report, scores_by_task
from comparison import Errors, draw_prior, mean_errors, render_comparison, render_priors
from measured_runs import TABLES, TRACES, Run, group_by, read_tables, read_traces
from pictures import write_pictures
from protocols import Episode, configuration, pilot_episodes, source_episodes
from scores import ERNEST, LINEAR, Answer, Array, Predict, Rival, answer
from transfer_episodes import transfer_episodes

from clusterplan.cluster_profiles.gpu import gpu_type
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.errors import NotEnoughHistory
from clusterplan.estimator.job.flops import hidden_size
from clusterplan.estimator.job.workload import Architecture
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.measurements.repeats import learn_spread
from clusterplan.estimator.step_time.model.belief import PRIOR, Prior
from clusterplan.estimator.step_time.model.predict import fit
from clusterplan.estimator.step_time.repeats import measured_range

FIRST_MARK, LAST_MARK = "<!-- make accuracy writes this -->", "<!-- to here -->"
RIVALS = {LINEAR: rivals.linear, ERNEST: rivals.ernest}
PILOT_RIVALS = RIVALS | {"Pollux": rivals.pollux}


def predict_runs(
    runs: Sequence[Run], asked: Sequence[Run], others: Sequence[Run] = (), prior: Prior = PRIOR
) -> Array | None:
    """Return P10, P50 and P90 (s) of each shape, as `clusterplan estimate` predicts them; None where it has no answer.

    No source states its links, so that none are given.
    """
    job = asked[0]
    measurements = [measurement_of(r) for r in (*runs, *others)]
    hidden = hidden_size(Architecture(parameters=job.parameters))
    try:
        model = fit(measurements, hidden_size=hidden, prior=prior, model=job.model)
        predictions = model.predict([measurement_of(r).shape for r in asked])
    except NotEnoughHistory:
        return None
    if not runs and not predictions[0].assumed:  # nothing published leads from the other GPUs to this one
        return None
    return np.array([[p.step_time_s.p10, p.step_time_s.p50, p.step_time_s.p90] for p in predictions])


def predict(
    observations: Sequence[Mapping[str, Any]], queries: Sequence[Mapping[str, Any]]
) -> list[dict[str, float]]:
    """Return step_time, lo80 and hi80 (s) of each query, for other programs that score predictors.

    Keys are model, gpu, num_nodes, num_gpus, gpus_per_node, local_bsz (micro-batch of a replica) and, where they are
    known, accumulation, tensor_parallel, pipeline_parallel, model_parallel, strategy, precision, seq_len and parameters;
    observations have step_time (s) besides.
    """
    ranges = predict_runs([run_of(o) for o in observations], [run_of(q) for q in queries])
    if ranges is None:
        raise NotEnoughHistory("no observation leads to the queries")
    return [{"step_time": p50, "lo80": p10, "hi80": p90} for p10, p50, p90 in ranges.tolist()]


def run_of(row: Mapping[str, Any]) -> Run:
    """Return one row of `predict` as a run; a query takes no time."""
    return Run(
        source="",
        series="",
        model=row["model"],
        gpu=row["gpu"],
        precision=row.get("precision") or "",
        strategy=row.get("strategy") or "",
        nodes=int(row["num_nodes"]),
        gpus=int(row["num_gpus"]),
        gpus_per_node=int(row["gpus_per_node"]),
        batch_size=int(row["local_bsz"]),
        accumulation=int(row.get("accumulation") or 1),
        tensor_parallel=row.get("tensor_parallel") or None,
        pipeline_parallel=row.get("pipeline_parallel") or None,
        model_parallel=int(row.get("model_parallel") or 1),
        seq_len=row.get("seq_len") or None,
        parameters=row.get("parameters") or None,
        step_time_s=float(row.get("step_time") or 0),
    )


def measurement_of(run: Run) -> Measurement:
    """Return the run as the history keeps it."""
    return Measurement(
        model=run.model,
        gpu=gpu_type(run.gpu),
        nodes=run.nodes,
        gpus=run.gpus,
        gpus_per_node=run.gpus_per_node,
        batch_size=run.batch_size,
        accumulation=run.accumulation,
        precision=_precision(run.precision),
        seq_len=run.seq_len,
        step_time_s=run.step_time_s,
        model_parallel=run.model_parallel,
        tensor_parallel=run.tensor_parallel,
        pipeline_parallel=run.pipeline_parallel,
        zero_stage=_zero_stage(run.strategy),
        parameters=run.parameters,
        cluster=run.source,
    )


def _precision(text: str) -> Precision:
    if "fp8" in text:  # mxfp8 and fp8 with several scalings
        return Precision.FP8
    return Precision(text) if text in list(Precision) else Precision.AUTO


def _zero_stage(strategy: str) -> int | None:
    """The ZeRO stage of a strategy such as `fsdp+recompute` or `megatron-3d+zero1`; None where it does not tell."""
    if "fsdp" in strategy:
        return 3
    stage = re.search(r"zero(\d)", strategy)
    if stage:
        return int(stage[1])
    return 0 if strategy.startswith(("ddp", "horovod")) else None


def answers_of(
    episodes: Iterable[Episode], by: Predict, beside: Mapping[str, Rival], jobs: int = 1
) -> list[Answer]:
    """Answer the episodes, in their order."""
    ask = partial(answer, predict=by, rivals=beside)
    if jobs == 1:
        every = [ask(e) for e in episodes]
    else:
        with multiprocessing.Pool(jobs) as pool:
            every = pool.map(ask, list(episodes), chunksize=8)
    return [one for one in every if one is not None]


def repeats_held(runs: Sequence[Run]) -> dict[str, tuple[float, int]]:
    """Return by source how often the range from one run of a shape holds another run of it, and of how many."""
    held = dict[str, list[bool]]()
    for repeats in group_by(runs, lambda r: (r.source, r.series, configuration(r))).values():
        for one, other in permutations(repeats, 2):
            span = measured_range([measurement_of(one)], learn_spread([]))
            held.setdefault(one.source, []).append(span.p10 <= other.step_time_s <= span.p90)
    return {source: (float(np.mean(hits)), len(hits)) for source, hits in held.items()}


def errors_by_prior(runs: Sequence[Run], priors: Sequence[Prior], jobs: int = 1) -> list[Errors]:
    """Return our mean errors by task and source of what the page shows, under each prior."""
    episodes = [e for e in source_episodes(runs) if e.task in ON_PAGE]
    return [
        mean_errors(scores_by_task(answers_of(episodes, partial(predict_runs, prior=prior), RIVALS, jobs)))
        for prior in priors
    ]


def results_of(traces: Sequence[Run], tables: Sequence[Run], jobs: int) -> Results:
    """Run both protocols, and what asks whether runs of other series help."""
    runs = [*tables, *traces]
    pilots = list(pilot_episodes(traces))
    return Results(
        by_source=answers_of(source_episodes(runs), predict_runs, RIVALS, jobs),
        pilots=answers_of([e._replace(others=()) for e in pilots], predict_runs, PILOT_RIVALS, jobs),
        pilots_elsewhere=answers_of([e for e in pilots if e.others], predict_runs, RIVALS, jobs),
        transfer=answers_of(transfer_episodes(runs), predict_runs, RIVALS, jobs),
        repeats=repeats_held(runs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help=f"with {TABLES} and {TRACES}")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--priors", type=int, metavar="N", default=0)
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"))
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    if args.compare:
        print("\n".join(render_comparison(*(json.loads(path.read_text()) for path in args.compare))))
        return
    if args.folder is None:
        sys.exit(f"give the folder with {TABLES} and {TRACES}: make accuracy DATA=FOLDER")
    traces, tables = read_traces(args.folder / TRACES), read_tables(args.folder / TABLES)
    if args.priors:
        rng = np.random.default_rng(0)
        priors = [PRIOR, *(draw_prior(rng) for _ in range(args.priors))]
        delivered, *drawn = errors_by_prior([*tables, *traces], priors, args.jobs)
        print("\n".join(render_priors(delivered, drawn)))
        return
    results = results_of(traces, tables, args.jobs)
    print("\n".join(render_report(results)))
    if args.json:
        args.json.write_text(json.dumps(mean_errors(results.scores), indent=1))
    if args.page:
        replace_block(args.page, render_page(results))
        write_pictures(results, args.page.parent)


def replace_block(page: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the two marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, after = text.partition(FIRST_MARK)
    _, _, after = after.partition(LAST_MARK)
    block = "\n".join([FIRST_MARK, "", *lines, LAST_MARK])
    page.write_text(before + block + after, encoding="utf-8")


if __name__ == "__main__":
    main()
