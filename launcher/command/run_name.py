"""The name of a run that has none of its own: that of its script.  Pure."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from .processes.program import find_program, programs_in

_SUFFIXES = {".py", ".sh", ".bash", ".slurm", ".sbatch", ".r", ".jl", ".ipynb"}
_LAUNCHERS = (
    "torch.distributed",
    "accelerate.commands",
    "deepspeed.launcher",
    "coverage",
    "debugpy",
    "cProfile",
    "pdb",
)


def name_of_command(command: tuple[str, ...]) -> str:
    """Return the name of the script or module that a command runs in the end; without one, that of its program.

    >>> [name_of_command(tuple(text.split())) for text in (
    ...     "torchrun --nproc-per-node 2 src/train.py --lr 1", "uv run x.py", "bash finetune.sh 8", "python -m pkg.train")]
    ['train', 'x', 'finetune', 'train']
    """
    program = find_program(command)
    others = (other.words for other in reversed(programs_in(command, {})))
    for words in (program.words, *others):
        if name := next(_script_names(words), None):
            return name
    return program.name or PurePath(command[0]).name


def _script_names(words: Sequence[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        path = PurePath(word)
        if word in ("-m", "--module") and following and not following.startswith(("-", *_LAUNCHERS)):
            yield following.removesuffix(".__main__").rpartition(".")[2]
        elif path.suffix.lower() in _SUFFIXES and not word.startswith("-") and path.stem:
            yield path.stem
