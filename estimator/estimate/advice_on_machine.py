"""Advice on speed, and on the limits of GPUs, partition and network."""

import math
from collections.abc import Iterator

from ...cluster_profiles.gpu import match_gpus, nearest_gpus
from ...cluster_profiles.gpu_choice import describe_others
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_duration, format_significant, join_names, plural
from ..job.flops import fastest_step_s
from ..job.framework import STEP_RULES
from ..job.placement import USUAL_GPUS_PER_NODE, Placement, is_uneven
from ..job.workload import Workload
from ..memory.peak import Fit
from ..memory.states import ALL_SHARDED, gigabytes
from ..step_time.input_wait import describe_wait
from ..step_time.links import links_of_job
from ..step_time.source import Source, SourceKind
from ..step_time.throughput import has_stated_rate
from .case import Advice, Case

# Per GPU: 200 Gb/s shared by 8 GPUs is 3.1, 25 Gb/s is 0.4.  The threshold is our judgement; haotian-liu/LLaVA#594
# reports 5 times the expected time on two nodes without a fast link.
SLOW_LINK_GB_PER_S = 2.0
_CALIBRATE = ": `clusterplan calibrate JOB` runs them"
_WIDE = 1.3  # P90 / P10 of a step time from which another run is worth its cost; our judgement
_LEAST_MFU = 0.002  # published training has 0.08 to 0.60 (see `priors`); a thousandth of that is another unit
_INPUT_BOUND_SHARE = 0.1  # of a step; a loader that keeps up costs a few per cent
_LIMIT_TIGHT_SHARE = 0.05  # of the draws: P95 is beyond them


def advise_on_speed(case: Case) -> Iterator[Advice]:
    """Advise on a step time that is unknown, suspect, wide, or beyond the peak of the GPUs."""
    source = case.step_time.source
    if source.kind is SourceKind.UNKNOWN:
        yield Advice("throughput-unknown", f"time is unknown: {why_unknown(case.workload, source)}")
    if suspects := case.step_time.suspects:
        remedy = "`clusterplan history remove` removes an entered one"
        yield Advice("suspect-measurement", f"hard to believe: {join_names(suspects, 3, '; ')}; {remedy}")
    if source.runs and (source.kind is SourceKind.TRANSFERRED or suspects):
        yield from _next_run(case)
    yield from _input(case)
    yield from _runs_differ(case)
    step, fastest = case.step_time.seconds, fastest_step_s(case.workload, case.placement)
    if step and fastest and step.p50 < fastest and case.placement.gpu:
        yield Advice(
            "above-peak",
            f"the step needs {fastest / step.p50:.1f} times the dense {case.placement.precision} peak of "
            f"{case.placement.gpus:,} {case.placement.gpu.name}: check the rate, its unit, and the number of GPUs",
        )
    if step and fastest and step.p50 * _LEAST_MFU > fastest and case.placement.gpu:
        yield Advice(
            "far-below-peak",
            f"the step reaches {fastest / step.p50:.2g} of the dense {case.placement.precision} peak of "
            f"{case.placement.gpus:,} {case.placement.gpu.name}: are milliseconds taken for seconds?",
        )


def _next_run(case: Case) -> Iterator[Advice]:
    """The run to make next, where the range of the step time is wide."""
    from ..step_time.next_run import next_measurement  # noqa: PLC0415  numpy
    from ..step_time.transfer import complete_shape, select_runs  # noqa: PLC0415  numpy

    step, placement = case.step_time.seconds, case.placement
    if step is None or step.p90 < _WIDE * step.p10:
        return
    runs = select_runs(case.workload, case.measurements)
    shape = complete_shape(case.workload, placement, runs)
    links = links_of_job(case.workload, placement, runs)
    per_node = placement.partition.gpus_per_node if placement.partition else None
    best = next_measurement(runs, [shape], placement.gpus, placement.nodes, links, per_node)
    factor = step.p90 / step.p10
    machines = plural(best.gpus, "GPU") + (f" of {plural(best.nodes, 'node')}" if best.nodes > 1 else "")
    if best.gpu and {(m.gpu, m.precision) for m in runs} != {(best.gpu, best.precision)}:
        machines += f", {best.gpu} in {best.precision},"
    yield Advice(
        "measure-next",
        f"the step time is known to a factor of {format_significant(factor, 2)}; 50 steps on {machines} with a "
        f"micro-batch of {best.batch_size:,} would narrow it most{_CALIBRATE if case.workload.run else ''}",
        factor,
    )


def _runs_differ(case: Case) -> Iterator[Advice]:
    """Runs of the model that contradict the given rate."""
    step, model = case.step_time.seconds, case.workload.model
    if step is None or not has_stated_rate(case.workload) or all(m.model != model for m in case.measurements):
        return
    from ..step_time.measured import measured_step_time  # noqa: PLC0415  numpy

    measured = measured_step_time(case.workload, case.placement, case.measurements, None)
    range_s = measured and measured.seconds
    if measured and range_s and (range_s.p90 < step.p10 or step.p90 < range_s.p10):
        yield Advice(
            "runs-differ",
            f"the given throughput means {format_duration(step.p50)} per step, but runs took {format_duration(range_s.p10)} to "
            f"{format_duration(range_s.p90)} ({measured.source.origin}): leave it out to use the runs",
            abs(math.log(range_s.p50 / step.p50)),
        )


def _input(case: Case) -> Iterator[Advice]:
    """A step that waits for its input."""
    step, parts = case.step_time.seconds, case.step_time.parts
    if step and parts and parts.input_s > _INPUT_BOUND_SHARE * step.p50:
        samples = case.workload.training.step_samples
        text = describe_wait(step.p50, parts.input_s, samples, case.step_time.loaders)
        yield Advice("input-bound", text, parts.input_s / step.p50)


def why_unknown(workload: Workload, source: Source) -> str:
    """Return why no throughput is known, and how to measure it if none is given."""
    if has_stated_rate(workload):
        return source.text
    if workload.run and workload.model:
        return f"{source.text}. `clusterplan calibrate JOB` measures it by short runs of the job itself"
    if STEP_RULES[workload.training.framework].is_trainer:
        way = "run it with --max_steps 50 --eval_strategy no --save_strategy no, and give its train_samples_per_second as --samples-per-s"
    else:
        way = "time 50 steps after the first 10, and give --step-time SECONDS"
    memory = (
        "`clusterplan history add` keeps it" if workload.model else "runs of the same --model inform it too"
    )
    return f"{source.text}. To measure: {way}; {memory}"


def advise_on_precision(case: Case) -> Iterator[Advice]:
    """Advise on a precision that the GPU emulates or lacks, or that is slower than another."""
    gpu, precision = case.placement.gpu, case.placement.precision
    if gpu is None:
        return
    best = gpu.best_precision()
    if precision is Precision.FP32 and best is not Precision.FP32:
        yield Advice(
            "fp32-slow",
            f"{gpu.name} has native {best}: published steps in 16 bit were x1.4 to x4.1 faster than in fp32 (T4 to A100)",
        )
    elif precision is Precision.BF16 and precision not in gpu.peak_flops:
        yield Advice(
            "precision-emulated", f"{gpu.name} emulates bf16 (native from compute capability 8.0): use {best}"
        )
    elif precision not in gpu.peak_flops:
        needs = (
            ", native from compute capability 8.9"
            if precision is Precision.FP8 and gpu.compute_capability
            else ""
        )
        yield Advice("precision-missing", f"{gpu.name} has no {precision} hardware{needs}: use {best}")


def advise_on_memory(case: Case) -> Iterator[Advice]:
    """Advise on a job that may not fit into the memory of its GPUs."""
    memory, gpu = case.memory, case.placement.gpu
    if memory.fits in (None, Fit.YES) or gpu is None:
        return
    capacity = f"{gpu.name} has {gpu.memory_bytes / 1e9:g} GB"
    needs = f"a GPU needs {gigabytes(memory.peak_bytes)} GB, " if memory.peak_bytes else ""
    yield Advice(
        "memory",
        f"{memory.verdict}: {needs}{capacity} ({memory.source.kind}: {memory.source.text}); {_what_fits(case)}",
    )


def _what_fits(case: Case) -> str:
    memory, training, architecture = case.memory, case.workload.training, case.workload.architecture
    ways = [
        *([f"{join_names(memory.undecided)} may decide, not stated yet"] if memory.undecided else []),
        *([f"a micro-batch of {n:,} should fit"] if (n := memory.largest_batch_size) else []),
    ]
    if ways:
        return "; ".join(ways)
    shardable = training.shards > 1 and training.zero_stage != ALL_SHARDED
    trains_all = memory.source.kind is SourceKind.PRIOR and not architecture.trainable_parameters
    frozen = architecture.trainable_parameters
    ways = [
        *(["set trainable_parameters if not all are trained"] if trains_all else []),
        *(["quantise the base (base_bits 4)"] if frozen and not architecture.base_bits else []),
        *(["shard more (zero_stage 3)"] if shardable else []),
        *([] if training.recompute is True else ["recompute activations"]),
        *([] if training.offload else [f"offload the {'activations' if frozen else 'optimizer'} (offload)"]),
        "use more GPUs (zero_stage, tensor_parallel)",
    ]
    return f"no micro-batch is sure to fit: {', '.join(ways)}"


def _why_no_progress(case: Case) -> str:
    every, best = case.checkpoint_steps, case.clock.checkpoint_interval
    if every is not None and best is not None and (every == 0 or every > best.steps):
        return f"no job reaches a checkpoint; set checkpoint.every_steps to {best.steps:,}"
    return "each job only repeats the work that the one before lost; use a partition with a longer limit"


def advise_on_limit(case: Case) -> Iterator[Advice]:
    """Advise on a run that one job under the partition's limit cannot finish."""
    limit, clock, partition = case.placement.limit_s, case.clock, case.placement.partition
    if limit is not None and partition and case.step_time.seconds:
        limit_text = f"the {format_duration(limit)} limit of partition {partition.name}"
        if clock.segments is None:
            yield Advice(
                "limit-too-short", f"the run never ends under {limit_text}: {_why_no_progress(case)}"
            )
        elif clock.segments > 1:
            every = case.checkpoint_steps
            saves = every is None or 0 < every <= case.steps.total
            how = "resumes the one before" if saves else "begins anew, as no checkpoint comes before the end"
            yield Advice(
                "beyond-limit", f"beyond {limit_text}: {clock.segments:,} jobs in a row, each of which {how}"
            )
        if clock.segments and clock.never_ends > _LIMIT_TIGHT_SHARE:
            yield Advice(
                "limit-tight",
                f"with a probability of {clock.never_ends:.0%} the run is so slow that it never ends under {limit_text}: then "
                f"{_why_no_progress(case)}",
            )


def _why_gpu_unknown(placement: Placement) -> str:
    type_ = placement.gpu_type or ""
    if keys := [gpu.key for gpu in match_gpus(type_)]:
        return f"GPU {type_!r} may be {' or '.join(keys)}: name one, so that its peak and memory are known"
    nearest = f"; is it {' or '.join(keys)}?" if (keys := nearest_gpus(type_)) else ""
    return f"GPU {type_!r} is not in the catalogue: its peak and memory are not known, so neither is checked{nearest}"


def advise_on_cluster(case: Case) -> Iterator[Advice]:
    """Advise on nodes with unequal GPUs, a slow network, or a GPU type or cluster that is not known."""
    if case.placement.gpu_type and not case.placement.gpu:
        yield Advice("gpu-unknown", _why_gpu_unknown(case.placement))
    if fault := is_uneven(case.workload, case.placement):
        yield Advice("uneven-nodes", fault)
    partition = case.placement.partition
    if partition and not case.workload.cluster.gpu and (others := describe_others(partition)):
        yield Advice("gpu-choice", others)
    link = partition.inter_node if partition else None
    if link and case.placement.nodes > 1 and link.gb_per_s < SLOW_LINK_GB_PER_S:
        yield Advice(
            "slow-network",
            f"{case.placement.nodes} nodes over {link.kind} at {link.gb_per_s:g} GB/s: jobs with slow links have run up to 5 "
            "times slower; fewer nodes may finish sooner",
        )
    if not case.has_profile:
        yield Advice(
            "no-profile",
            f"no cluster profile: no time limit, up to {USUAL_GPUS_PER_NODE} GPUs per node assumed; see `clusterplan profiles "
            "list`",
        )
