"""The commands of a script with what its own variables hold: `torchrun ${ARGS[@]} train.py` becomes torchrun with them."""

import re
from collections.abc import Mapping, Sequence

# They have a value in a job, so that no default of `${NNODES:-1}` holds.
_OF_A_JOB = re.compile(
    r"\b(?:SLURM_\w+|NNODES|NODE_RANK|NPROC_PER_NODE|MASTER_ADDR|MASTER_PORT|CUDA_VISIBLE_DEVICES|CLUSTERPLAN_\w+)\b"
)


def write_out(text: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> str:
    """Return the commands that a script with these `arguments` would run, one per line; what only a run knows stays.

    >>> write_out('A=(--nproc_per_node $1)\\nexport L="torchrun --nnodes ${NNODES:-1}"\\n$L ${A[@]} train.py', ["4"])
    'export "L=torchrun --nnodes $NNODES"\\ntorchrun --nnodes "$NNODES" --nproc_per_node 4 train.py'
    """
    from .scope import Scope  # noqa: PLC0415  a parser of scripts, for commands with a shell only
    from .state import not_known  # noqa: PLC0415  likewise
    from .trace import trace_script  # noqa: PLC0415  likewise
    from .word import Word  # noqa: PLC0415  likewise

    names = set(_OF_A_JOB.findall(text))
    outside = {name: value for name, value in (environment or {}).items() if name not in names}
    scope = Scope({name: not_known(name) for name in names}, tuple(map(Word.of, arguments)), outside)
    return "\n".join(command.text for command in trace_script(text, scope).commands)
