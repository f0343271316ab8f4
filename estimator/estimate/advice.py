"""Advice on a job, as a colleague would give it: each piece has a stable code and one line of text.

The codes are public: docs/reference/advice.md lists them from `ADVICE_CODES`.
"""

from collections.abc import Callable, Iterator

from . import advice_on_counts, advice_on_machine, advice_on_steps
from .case import Advice, Case

ADVICE_CODES = {
    "throughput-unknown": "No throughput is given or measured, and no prior applies: time is unknown.",
    "try-small-first": "The job takes so many GPU-hours that a small part of it should show first that it learns.",
    "suspect-measurement": "A run of the model is hard to believe; it counts less, or not at all.",
    "runs-differ": "Runs of the model contradict the given throughput. The estimate uses the given one.",
    "pauses-in-rate": "The given throughput may hold the evaluations that the estimate adds.",
    "measure-next": "The run that would narrow the range of the step time most.",
    "input-bound": "A large part of a step waits for its input.",
    "gpu-unknown": "The GPU type is not in the catalogue, means several of it, or is a slice: its peak and memory are not known.",
    "gpu-choice": "The partition has several types of GPUs, and the job names none.",
    "no-profile": "No cluster profile is given, so no time limit is assumed.",
    "above-peak": "The given throughput is beyond the dense peak of the GPUs.",
    "far-below-peak": "The throughput is so far below the dense peak of the GPUs that its unit may be wrong.",
    "trainer-steps": "The trainer reports another number of steps than the count.",
    "batch-identity": "The stated global batch is not micro-batch x data parallel x accumulation.",
    "data-end-first": "The data end before max_steps.",
    "mean-tokens": "The time counts each sample by the length of the longest.",
    "token-budget": "The micro-batch is a budget of tokens, so the steps are an estimate.",
    "below-one-batch": "The data has fewer samples than one global batch.",
    "partial-batch": "The last step of an epoch is smaller than the others.",
    "ends-early": "Training ends before the last epoch is over.",
    "precision-emulated": "The GPU emulates the chosen precision.",
    "precision-missing": "The GPU has no hardware for the chosen precision.",
    "memory": "The job may not fit into the memory of its GPUs.",
    "fp32-slow": "The job uses fp32 on a GPU with native 16-bit matrix units.",
    "checkpoint-beyond-end": "The first checkpoint would come after the end of training.",
    "checkpoint-beyond-limit": "The checkpoint interval is longer than the time limit of the partition.",
    "no-checkpoint": "No checkpoint is written.",
    "checkpoint-interval": "The checkpoint interval with the least expected loss, by Young and Daly.",
    "evaluation-length": "The length of an evaluation is unknown, so the time of all of them may be several times as long.",
    "no-evaluation": "The job has no evaluation, so nothing can confirm a plateau.",
    "evaluation-beyond-end": "The first evaluation would come after the end of training.",
    "beyond-limit": "The run needs several jobs under the time limit of the partition.",
    "limit-tight": "The run may be too slow to reach its next checkpoint under the time limit, and more jobs would not help.",
    "limit-too-short": "No job makes progress under the time limit, so the run never ends.",
    "uneven-nodes": "The GPUs do not divide over the nodes: `submit` refuses such a job.",
    "slow-network": "The link between nodes is too slow for data-parallel training.",
}


def advise(case: Case) -> tuple[Advice, ...]:
    """Return every piece of advice that applies, those that change the answer first."""
    return tuple(advice for rule in _RULES for advice in rule(case))


_RULES: tuple[Callable[[Case], Iterator[Advice]], ...] = (
    advice_on_machine.advise_on_speed,
    advice_on_counts.advise_on_size,
    advice_on_counts.advise_on_stated_counts,
    advice_on_machine.advise_on_limit,
    advice_on_steps.advise_on_data,
    advice_on_machine.advise_on_precision,
    advice_on_machine.advise_on_memory,
    advice_on_steps.advise_on_checkpoints,
    advice_on_steps.advise_on_evaluation,
    advice_on_machine.advise_on_cluster,
)
