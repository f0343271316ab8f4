"""Advice on speed, and on what the GPUs, the partition and the network allow."""

import math
from collections.abc import Iterator

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_duration, format_significant, join_names, plural
from ..job.flops import fastest_step_s
from ..job.placement import USUAL_GPUS_PER_NODE, is_uneven
from ..job.training import Framework
from ..job.workload import Workload
from ..step_time.links import links_of_job
from ..step_time.source import Source, SourceKind
from ..step_time.throughput import has_stated_rate
from .case import Advice, Case
from .memory import Fit, gigabytes

# Per GPU: 200 Gb/s shared by 8 GPUs is 3.1, 25 Gb/s is 0.4.  Where trouble starts is our judgement; a report of
# 5 times the expected time on two nodes without a fast link is haotian-liu/LLaVA#594.
SLOW_LINK_GB_PER_S = 2.0
_WIDE = 1.3  # P90 over P10 of a step time that is worth another run; our judgement
BF16_FROM = (8, 0)  # compute capability
_LEAST_MFU = (
    0.002  # published training is at 0.08 to 0.52 (see `priors`): a thousandth of that is another unit
)
_WAITS = 0.1  # the share of a step; a loader that keeps up costs a few per cent
ALL_SHARDED = 3  # the ZeRO stage


def speed(case: Case) -> Iterator[Advice]:
    """A throughput that is unknown, suspect, wide or beyond the GPU's peak."""
    source = case.step_time.source
    if source.kind is SourceKind.UNKNOWN:
        yield Advice("throughput-unknown", f"time is unknown: {why_unknown(case.workload, source)}")
    if suspects := case.step_time.suspects:
        remedy = "`clusterplan history remove` takes back what was entered"
        yield Advice("suspect-measurement", f"counts less or not: {join_names(suspects, 3, '; ')}; {remedy}")
    if source.runs and (source.kind is SourceKind.TRANSFERRED or suspects):
        yield from _next_run(case)
    yield from _input(case)
    yield from _runs_differ(case)
    step, fastest = case.step_time.seconds, fastest_step_s(case.workload, case.placement)
    if step and fastest and step.p50 < fastest and case.placement.gpu:
        yield Advice(
            "above-peak",
            f"the rate needs {fastest / step.p50:.1f} times the dense {case.placement.precision} peak of "
            f"{case.placement.gpus:,} {case.placement.gpu.name}: check the rate, its unit, and the GPU count",
        )
    if step and fastest and step.p50 * _LEAST_MFU > fastest and case.placement.gpu:
        yield Advice(
            "far-below-peak",
            f"the rate is {fastest / step.p50:.2g} of the dense {case.placement.precision} peak of "
            f"{case.placement.gpus:,} {case.placement.gpu.name}: are its milliseconds taken for seconds?",
        )


def _next_run(case: Case) -> Iterator[Advice]:
    """The run to make next, where the step time is known within a wide range only."""
    from ..step_time.next_run import next_measurement  # noqa: PLC0415  numpy
    from ..step_time.transfer import complete_shape, select_runs  # noqa: PLC0415  numpy

    step, placement = case.step_time.seconds, case.placement
    if step is None or step.p90 < _WIDE * step.p10:
        return
    runs = select_runs(case.workload, case.measurements)
    query = complete_shape(case.workload, placement, runs)
    links = links_of_job(case.workload, placement, runs)
    best = next_measurement(runs, [query], placement.gpus, placement.nodes, links)
    factor, where = step.p90 / step.p10, plural(best.gpus, "GPU")
    if best.nodes > 1:
        where += f" of {plural(best.nodes, 'node')}"
    if best.gpu and {(m.gpu, m.precision) for m in runs} != {(best.gpu, best.precision)}:
        where += f", {best.gpu} in {best.precision},"
    yield Advice(
        "measure-next",
        f"the step time is known within a factor of {format_significant(factor, 2)}; some 50 steps on {where} with a "
        f"micro-batch of {best.batch_size:,} would narrow it most",
        factor,
    )


def _runs_differ(case: Case) -> Iterator[Advice]:
    """Runs of the model that say something else than the rate that was given."""
    step, model = case.step_time.seconds, case.workload.model
    if step is None or not has_stated_rate(case.workload) or all(m.model != model for m in case.measurements):
        return
    from ..step_time.measured import measured_step_time  # noqa: PLC0415  numpy

    found = measured_step_time(case.workload, case.placement, case.measurements, None)
    told = found and found.seconds
    if found and told and (told.p90 < step.p10 or step.p90 < told.p10):
        yield Advice(
            "runs-differ",
            f"the throughput given makes a step of {format_duration(step.p50)}, runs say {format_duration(told.p10)} to "
            f"{format_duration(told.p90)} ({found.source.origin}): leave it out to go by them",
            abs(math.log(told.p50 / step.p50)),
        )


def _input(case: Case) -> Iterator[Advice]:
    """A step that waits for what it trains on."""
    step, parts = case.step_time.seconds, case.step_time.parts
    if step and parts and parts.input_s > _WAITS * step.p50:
        yield Advice(
            "input-bound",
            f"{parts.input_s / step.p50:.0%} of a step waits for input: no faster GPU shortens that, but more workers of "
            "the data loader or faster storage",
            parts.input_s / step.p50,
        )


def why_unknown(workload: Workload, source: Source) -> str:
    """Why no throughput is known, and the command that would measure it where none is given."""
    if has_stated_rate(workload):
        return source.text
    if workload.training.framework in (Framework.HF, Framework.HF_4_51):
        how = "run your training command with --max_steps 50, then give its train_samples_per_second as --samples-per-s"
    else:
        how = "time 50 steps of your job after the first 10, then give --step-time SECONDS"
    lasting = (
        "`clusterplan history add` keeps it, and submitted runs that call track() are measured by themselves"
        if workload.model
        else "with --model, what runs of that model measured would inform it"
    )
    return f"{source.text}. To measure: {how}; {lasting}"


def precision(case: Case) -> Iterator[Advice]:
    """A precision the GPU emulates or lacks, or one slower than it has."""
    gpu, precision = case.placement.gpu, case.placement.precision
    if gpu is None:
        return
    best = gpu.best_precision()
    if precision is Precision.FP32 and best is not Precision.FP32:
        yield Advice(
            "fp32-slow",
            f"fp32 on {gpu.name}: {best} is native there; published steps were x1.4 to x4.1 faster (T4 to A100)",
        )
    elif precision is Precision.BF16 and gpu.compute_capability < BF16_FROM:
        yield Advice(
            "precision-emulated", f"{gpu.name} emulates bf16 (native from compute capability 8.0): use {best}"
        )
    elif precision not in gpu.peak_flops:
        needs = ", native from compute capability 8.9" if precision is Precision.FP8 else ""
        yield Advice("precision-missing", f"{gpu.name} has no {precision} hardware{needs}: use {best}")


def memory(case: Case) -> Iterator[Advice]:
    """A job its GPUs hardly hold."""
    memory, gpu = case.memory, case.placement.gpu
    if memory.fits in (None, Fit.YES) or gpu is None:
        return
    has = f"{gpu.name} has {gpu.memory_bytes / 1e9:g} GB"
    needs = f"a GPU needs {gigabytes(memory.peak_bytes)} GB, " if memory.peak_bytes else ""
    verdict = "tight" if memory.fits is Fit.TIGHT else "does not fit"
    yield Advice(
        "memory", f"{verdict}: {needs}{has} ({memory.source.kind}: {memory.source.text}); {_what_fits(case)}"
    )


def _what_fits(case: Case) -> str:
    if largest := case.memory.largest_batch_size:
        return f"a micro-batch of {largest:,} should fit"
    training, architecture = case.workload.training, case.workload.architecture
    shardable = training.data_parallel > 1 and training.zero_stage != ALL_SHARDED
    adapted = case.memory.source.kind is SourceKind.PRIOR and not architecture.trainable_parameters
    ways = [
        *(["say trainable_parameters if not all are"] if adapted else []),
        *(["shard more (zero_stage 3)"] if shardable else []),
        *([] if training.recompute else ["recompute activations"]),
        "use more GPUs (zero_stage, tensor_parallel)",
    ]
    return f"no micro-batch surely fits: {', '.join(ways)}"


def _why_no_progress(case: Case) -> str:
    every, best = case.workload.checkpoint.every_steps, case.clock.checkpoint_interval
    if every is not None and best is not None and (every == 0 or every > best.steps):
        return f"no job gets to a checkpoint; set checkpoint.every_steps to {best.steps:,}"
    return "each job only repeats what the one before lost; use a longer partition"


def limit(case: Case) -> Iterator[Advice]:
    """A run that one job under the partition's limit cannot finish."""
    limit, clock, partition = case.placement.limit_s, case.clock, case.placement.partition
    if limit is not None and partition and case.step_time.seconds:
        shown = f"the {format_duration(limit)} limit of partition {partition.name}"
        if clock.segments is None:
            yield Advice("limit-too-short", f"the run never ends under {shown}: {_why_no_progress(case)}")
        elif clock.segments > 1:
            jobs = f"{clock.segments:,} jobs in a row, each resuming the one before"
            yield Advice("beyond-limit", f"beyond {shown}: {jobs}")
        if clock.segments and clock.p95 and clock.p95 > clock.segments * limit:
            yield Advice(
                "limit-tight", f"P95 is {format_duration(clock.p95)}: {shown} may end the run too early"
            )


def cluster(case: Case) -> Iterator[Advice]:
    """Nodes that are not alike, a network too slow, or a cluster that is not known."""
    if fault := is_uneven(case.workload, case.placement):
        yield Advice("uneven-nodes", fault)
    partition = case.placement.partition
    link = partition.inter_node if partition else None
    if link and case.placement.nodes > 1 and link.gb_per_s < SLOW_LINK_GB_PER_S:
        yield Advice(
            "slow-network",
            f"{case.placement.nodes} nodes over {link.kind} at {link.gb_per_s:g} GB/s: such jobs have run up to 5 times "
            "slower; fewer nodes may finish sooner",
        )
    if not case.has_profile:
        nodes = (
            f", and {USUAL_GPUS_PER_NODE} GPUs a node" if case.placement.gpus > USUAL_GPUS_PER_NODE else ""
        )
        yield Advice(
            "no-profile", f"no cluster profile: no time limit is assumed{nodes}; `clusterplan profiles list`"
        )
