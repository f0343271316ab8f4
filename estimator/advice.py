"""What a colleague would point out: each piece of advice has a stable code and one line of text.

The codes are public (docs/reference/advice.md lists them, made from `CODES`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..cluster_profiles.precision import Precision
from ..cluster_profiles.units import counted, format_count, format_duration, format_significant, listed
from ..errors import WorkloadError
from .memory import Fit, Memory, gigabytes
from .placement import USUAL_GPUS_PER_NODE, Placement
from .runs import Measurement
from .steps import StepCount, count_steps
from .throughput import SourceKind, Throughput, fastest_step_s
from .walltime import WallClock
from .workload import Framework, Workload

# Per GPU: 200 Gb/s shared by 8 GPUs is 3.1, 25 Gb/s is 0.4.  Where trouble starts is our judgement; a report of
# 5 times the expected time on two nodes without a fast link is haotian-liu/LLaVA#594.
SLOW_LINK_GB_PER_S = 2.0
_WIDE = 1.3  # P90 over P10 of a step time that is worth another run; our judgement
BF16_FROM = (8, 0)  # compute capability
ALL_SHARDED = 3  # the ZeRO stage

CODES = {
    "throughput-unknown": "No throughput is given or measured, and no prior applies: time is unknown.",
    "suspect-measurement": "A run that informs the estimate is hard to believe, and counts less or not.",
    "measure-next": "The run that would narrow the range of a step time most.",
    "no-profile": "No cluster profile is given, so no limits are assumed.",
    "above-peak": "The throughput given is beyond the GPU's dense peak.",
    "trainer-steps": "The trainer reports other steps than the numbers imply.",
    "batch-identity": "The global batch stated is not micro-batch x data parallel x accumulation.",
    "below-one-batch": "There are fewer samples than one global batch.",
    "partial-batch": "The last step of an epoch is smaller than the others.",
    "ends-early": "Training ends before the epochs asked for are over.",
    "precision-emulated": "The GPU emulates the precision asked for.",
    "precision-missing": "The GPU has no hardware for the precision asked for.",
    "memory": "The job does not fit into the memory of its GPUs, or hardly.",
    "fp32-slow": "fp32 is asked of a GPU with native 16-bit matrix units.",
    "checkpoint-beyond-end": "The first checkpoint would be after the end of training.",
    "checkpoint-beyond-limit": "A checkpoint interval is longer than the partition's time limit.",
    "no-checkpoint": "No checkpoint is written at all.",
    "checkpoint-interval": "The interval with the least expected loss, by Young and Daly.",
    "no-evaluation": "Nothing evaluates the model, so nothing can confirm a plateau.",
    "evaluation-beyond-end": "The first evaluation would be after the end of training.",
    "beyond-limit": "The run does not fit in one job under the partition's limit.",
    "limit-tight": "P95 does not fit under the limit, and more jobs would not help.",
    "limit-too-short": "No job under the limit gets anywhere, so the run never ends.",
    "slow-network": "Nodes are joined by a link too slow for data-parallel training.",
}


@dataclass(frozen=True)
class Advice:
    """One line for the user; `code` is stable."""

    code: str
    text: str


@dataclass(frozen=True)
class Case:
    """Everything the advice may look at."""

    workload: Workload
    placement: Placement
    steps: StepCount
    throughput: Throughput
    clock: WallClock
    memory: Memory
    has_profile: bool
    measurements: Sequence[Measurement] = ()


def advise(case: Case) -> tuple[Advice, ...]:
    """Every piece of advice that applies, the ones that change the answer first."""
    return tuple(advice for rule in _RULES for advice in rule(case))


def _speed(case: Case) -> Iterator[Advice]:
    source = case.throughput.source
    if source.kind is SourceKind.UNKNOWN:
        yield Advice("throughput-unknown", f"time is unknown: {source.text}. {how_to_measure(case.workload)}")
    if suspects := case.throughput.suspects:
        yield Advice("suspect-measurement", f"counts less or not: {listed(suspects, 3)}")
    if source.kind is SourceKind.TRANSFERRED and source.runs:
        yield from _next_run(case)
    step, fastest = case.throughput.step_time_s, fastest_step_s(case.workload, case.placement)
    if step and fastest and step.p50 < fastest and case.placement.gpu:
        yield Advice(
            "above-peak",
            f"the rate needs {fastest / step.p50:.1f} times the dense {case.placement.precision} peak of "
            f"{case.placement.gpus:,} {case.placement.gpu.name}: check the rate, its unit, and the GPU count",
        )


def _next_run(case: Case) -> Iterator[Advice]:
    """The run to make next, where the step time is known within a wide range only."""
    from .learned import asked, informing, links_of  # a fit loads numpy
    from .next_measurement import next_measurement

    step, placement = case.throughput.step_time_s, case.placement
    if step is None or step.p90 < _WIDE * step.p10:
        return
    runs = informing(case.workload, case.measurements)
    query = asked(case.workload, placement, runs)
    links = links_of(case.workload, placement, runs)
    best = next_measurement(runs, [query], placement.gpus, placement.nodes, links)
    where = counted(best.gpus, "GPU") + (f" of {counted(best.nodes, 'node')}" if best.nodes > 1 else "")
    yield Advice(
        "measure-next",
        f"the step time is known within a factor of {step.p90 / step.p10:.1f}; some 50 steps on {where} with a "
        f"micro-batch of {best.batch_size:,} would narrow it most",
    )


def how_to_measure(workload: Workload) -> str:
    """The command that would measure the throughput."""
    if workload.training.framework in (Framework.HF, Framework.HF_4_51):
        return (
            "To measure: run your training command with --max_steps 50, then give its "
            "train_samples_per_second as --samples-per-s"
        )
    return "To measure: time 50 steps of your job after the first 10, then give --step-time SECONDS"


def _identity(case: Case) -> Iterator[Advice]:
    training = case.workload.training
    told = training.trainer_steps
    if told is not None and told != case.steps.total:
        yield Advice(
            "trainer-steps", f"your trainer says {format_count(told)} steps, {_why_other_steps(case, told)}"
        )
    stated = training.global_batch
    if stated is not None and stated != training.step_samples:
        product = f"{training.batch_size} x {training.data_parallel} x {training.accumulation}"
        stops = "; DeepSpeed stops at this" if training.framework is Framework.DEEPSPEED else ""
        yield Advice(
            "batch-identity",
            f"global batch {stated:,} is not micro-batch x data parallel x accumulation = {product} = "
            f"{training.step_samples:,}{stops}",
        )


def _why_other_steps(case: Case, told: int) -> str:
    training, total = case.workload.training, format_count(case.steps.total)
    if training.max_steps is not None:
        return (
            f"max_steps {format_count(training.max_steps)} gives {total}: does the trainer get that setting?"
        )
    for framework in Framework:
        for drop_last in (False, True):
            other = _counted(case, framework=framework, drop_last=drop_last)
            if other and other.total == told:
                rule = f"--framework {framework}{' --drop-last' if drop_last else ''}"
                return f"your numbers give {total}: it rounds otherwise, as {rule} does"
    effective = format_significant(float(case.workload.data.sequences * training.epochs / told))
    ask = "does it get this batch size and accumulation"
    if training.gpus > 1:
        ask = f"are all {training.gpus:,} GPUs in one process group"
    return f"your numbers give {total}; it runs an effective batch of {effective}, not {format_count(training.step_samples)}: {ask}?"


def _data(case: Case) -> Iterator[Advice]:
    steps, training = case.steps, case.workload.training
    samples, batch = case.workload.data.sequences, training.step_samples
    if samples < batch:
        none = "no step is made: " if not steps.total else ""
        yield Advice(
            "below-one-batch", f"{none}{samples:,} samples are fewer than one global batch of {batch:,}"
        )
    elif steps.last_partial_samples:
        each = "the last step of each epoch" if training.epochs > 1 else "the last step"
        yield Advice(
            "partial-batch",
            f"{each} holds {steps.last_partial_samples:,} of {batch:,} samples: {_partial(case)}"
            f"{'; drop_last leaves it out' if _drop_last_helps(case) else ''}",
        )
    early = training.framework is Framework.HF_4_51 and training.max_steps is None
    if early and steps.dropped_samples:
        yield Advice(
            "ends-early",
            f"{steps.dropped_samples:,} of {int(samples * training.epochs):,} samples are never seen: Trainer <= 4.51 "
            "rounds down and ends early; 4.52 and later do not",
        )


def _partial(case: Case) -> str:
    training = case.workload.training
    filled_up = training.framework in (Framework.HF, Framework.HF_4_51, Framework.ACCELERATE)
    if filled_up and training.data_parallel > 1 and training.accumulation == 1:
        return "Accelerate fills it up with samples the epoch has already seen"
    return "its gradient is noisier at the same learning rate"


def _drop_last_helps(case: Case) -> bool:
    if case.workload.training.drop_last:
        return False
    dropping = _counted(case, drop_last=True)
    return dropping is not None and not dropping.last_partial_samples


def _counted(case: Case, **changes: object) -> StepCount | None:
    """The steps with other settings; None where those leave no batch."""
    training = case.workload.training.model_copy(update=changes)
    try:
        return count_steps(case.workload.model_copy(update={"training": training}))
    except WorkloadError:
        return None


def _precision(case: Case) -> Iterator[Advice]:
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


def _memory(case: Case) -> Iterator[Advice]:
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


def _checkpoints(case: Case) -> Iterator[Advice]:
    every, total = case.workload.checkpoint.every_steps, case.steps.total
    step, limit = case.throughput.step_time_s, case.placement.limit_s
    if every == 0:
        yield Advice("no-checkpoint", "no checkpoint is written: whatever stops the job loses all of it")
    elif every is not None and every > total:
        yield Advice(
            "checkpoint-beyond-end",
            f"a checkpoint every {every:,} steps is beyond the end at {total:,}: nothing is saved before the end, and a "
            "time limit loses everything",
        )
    elif every is not None and step and limit and every * step.p50 > limit:
        yield Advice(
            "checkpoint-beyond-limit",
            f"a checkpoint every {every:,} steps is every {format_duration(every * step.p50)}, longer than the limit of "
            f"{format_duration(limit)}: no job would reach one",
        )
    if (best := case.clock.checkpoint_interval) and step and total:
        why = (
            f"a save of {format_duration(best.write_s)}, one interruption in "
            f"{format_duration(best.between_interruptions_s)}, {format_duration(best.restart_s)} to restart"
            if best.between_interruptions_s < float("inf")
            else "no failures are expected"
        )
        if best.steps >= total:
            yield Advice("checkpoint-interval", f"one checkpoint at the end is enough (Young/Daly: {why})")
        else:
            yield Advice(
                "checkpoint-interval",
                f"a checkpoint every {counted(best.steps, 'step')} ({format_duration(best.seconds)}) loses least (Young/Daly: {why})",
            )


def _why_no_progress(case: Case) -> str:
    every, best = case.workload.checkpoint.every_steps, case.clock.checkpoint_interval
    if every is not None and best is not None and (every == 0 or every > best.steps):
        return f"no job gets to a checkpoint; set checkpoint.every_steps to {best.steps:,}"
    return "each job only repeats what the one before lost; use a longer partition"


def _evaluation(case: Case) -> Iterator[Advice]:
    every = case.workload.evaluation.every_steps
    if not every:
        stated = "no evaluation is stated" if every is None else "the job never evaluates"
        yield Advice(
            "no-evaluation",
            f"{stated}: no loss plateau can be confirmed without one; set evaluation.every_steps",
        )
    elif every > case.steps.total:
        yield Advice(
            "evaluation-beyond-end",
            f"an evaluation every {every:,} steps is beyond the end at {case.steps.total:,}",
        )


def _limit(case: Case) -> Iterator[Advice]:
    limit, clock, partition = case.placement.limit_s, case.clock, case.placement.partition
    if limit is not None and partition and case.throughput.step_time_s:
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


def _cluster(case: Case) -> Iterator[Advice]:
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


_RULES: tuple[Callable[[Case], Iterator[Advice]], ...] = (
    _speed,
    _identity,
    _limit,
    _data,
    _precision,
    _memory,
    _checkpoints,
    _evaluation,
    _cluster,
)
