"""What a colleague would point out: each piece of advice has a stable code and one line of text.

The codes are public (docs/reference/advice.md lists them, made from `CODES`).
"""

from collections.abc import Callable, Iterator

from . import advice_on_machine, advice_on_steps
from .case import Advice, Case

CODES = {
    "throughput-unknown": "No throughput is given or measured, and no prior applies: time is unknown.",
    "suspect-measurement": "A run that informs the estimate is hard to believe, and counts less or not.",
    "runs-differ": "Runs of the model contradict the throughput that is given, which is used all the same.",
    "measure-next": "The run that would narrow the range of a step time most.",
    "input-bound": "A good part of a step waits for its input.",
    "no-profile": "No cluster profile is given, so no limits are assumed.",
    "above-peak": "The throughput given is beyond the GPU's dense peak.",
    "far-below-peak": "The throughput is so far below the GPU's dense peak that its unit may be wrong.",
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
    "uneven-nodes": "The GPUs do not divide over the nodes: `submit` refuses such a job.",
    "slow-network": "Nodes are joined by a link too slow for data-parallel training.",
}


def advise(case: Case) -> tuple[Advice, ...]:
    """Every piece of advice that applies, the ones that change the answer first."""
    return tuple(advice for rule in _RULES for advice in rule(case))


_RULES: tuple[Callable[[Case], Iterator[Advice]], ...] = (
    advice_on_machine.speed,
    advice_on_steps.identity,
    advice_on_machine.limit,
    advice_on_steps.data,
    advice_on_machine.precision,
    advice_on_machine.memory,
    advice_on_steps.checkpoints,
    advice_on_steps.evaluation,
    advice_on_machine.cluster,
)
