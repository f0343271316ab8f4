"""The GPUs of a job, which scripts state in up to four places: all that are stated have to agree.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..recipe import Question, Recipe, Setting


@dataclass(frozen=True)
class GpuClaim:
    """What one place says: GPUs of all nodes, and nodes; None is what it does not say."""

    gpus: int | None
    nodes: int | None
    source: str


def agree_on_gpus(claims: Sequence[GpuClaim], hint: GpuClaim | None = None) -> Recipe:
    """Return the GPUs and nodes of the job, or a question that names every place if they differ.

    `hint` is proposed where nothing states the GPUs.

    >>> slurm, line = GpuClaim(8, 2, "run.sh line 3: --gres=gpu:4"), GpuClaim(16, 2, "run.sh line 9: --nproc_per_node 8")
    >>> agree_on_gpus([slurm, slurm]).value("training.gpus")
    8
    >>> agree_on_gpus([slurm, line]).questions[0].why
    'run.sh line 3: --gres=gpu:4 makes 8 GPUs, run.sh line 9: --nproc_per_node 8 makes 16 GPUs'
    """
    nodes = [claim for claim in claims if claim.nodes]
    gpus = [claim for claim in claims if claim.gpus]
    recipe = Recipe()
    if len({claim.nodes for claim in nodes}) == 1:
        recipe = Recipe.of(Setting("cluster.nodes", nodes[0].nodes, nodes[0].source))
    elif nodes:
        recipe = Recipe(
            questions=(Question("cluster.nodes", _differ(nodes, "nodes", "node"), nodes[0].nodes),)
        )
    if len({claim.gpus for claim in gpus}) == 1:
        return Recipe.of(Setting("training.gpus", gpus[0].gpus, gpus[0].source)).over(recipe)
    if gpus:
        question = Question("training.gpus", _differ(gpus, "gpus", "GPU"), gpus[0].gpus)
    elif hint:
        question = Question("training.gpus", f"only {hint.source} hints at the GPUs", hint.gpus)
    else:
        question = Question("training.gpus", "nothing states how many GPUs there are")
    return recipe.asking(question)


def _differ(claims: Sequence[GpuClaim], attribute: str, noun: str) -> str:
    counts = {getattr(claim, attribute): claim.source for claim in reversed(claims)}
    return ", ".join(f"{source} makes {count} {noun}s" for count, source in reversed(counts.items()))
