"""nanoGPT: plain assignments in Python, then `--key=value`.  Pure; the file is parsed and never run.

Names and defaults were read in nanoGPT at 3adf61e (https://github.com/karpathy/nanoGPT, train.py, configurator.py).
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...arguments import Argument, Arguments, find_number
from ...recipe import Question, Recipe, Setting
from ..surroundings import Surroundings

_NAME = "nanoGPT"
_SIGNS = {
    *("block_size", "max_iters", "n_layer", "n_embd", "eval_iters", "eval_interval", "lr_decay_iters"),
    *("always_save_checkpoint", "init_from", "gradient_accumulation_steps"),
}
_FEWEST_SIGNS = 3
_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}


def is_nanogpt(_: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of nanoGPT."""
    return len(_SIGNS & arguments.keys()) >= _FEWEST_SIGNS and "output_dir" not in arguments


def placeholders_of(_: Arguments) -> Mapping[str, str]:
    """Return the placeholders; the accumulation is that of all GPUs, and so stays as it is."""
    return {"batch_size": "{batch_size}", "out_dir": "{output}"}


def parse_assignments(text: str, name: str) -> dict[str, Argument]:
    """Return the assignments of a file that has nothing else; empty if it has, or is no Python.

    >>> arguments = parse_assignments("batch_size = 12 # each\\ngradient_accumulation_steps = 5 * 8\\n", "gpt2.py")
    >>> [(a.name, a.value, a.source) for a in arguments.values()]
    [('batch_size', 12, 'gpt2.py line 1: batch_size'), ('gradient_accumulation_steps', 40, 'gpt2.py line 2: gradient_accumulation_steps')]
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return {}
    arguments: dict[str, Argument] = {}
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            return {}
        key = statement.targets[0].id
        value = _value(statement.value, arguments)
        if value is not None:
            arguments[key] = Argument(key, value, f"{name} line {statement.lineno}: {key}")
    return arguments


def _value(node: ast.expr, known: Arguments) -> Any:
    """The value of a constant, an earlier name, or arithmetic on both; None if it is anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known[node.id].value if node.id in known else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _value(node.operand, known)
        return -inner if isinstance(inner, int | float) else None
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _value(node.left, known), _value(node.right, known)
        if isinstance(left, int | float) and isinstance(right, int | float):
            try:
                return _OPERATIONS[type(node.op)](left, right)
            except ZeroDivisionError:
                return None
    return None


def read_nanogpt(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the settings say, and the defaults of those that are absent.

    >>> arguments = parse_assignments("batch_size = 12\\ngradient_accumulation_steps = 5 * 8\\nmax_iters = 600_000", "gpt2.py")
    >>> recipe = read_nanogpt(arguments, Surroundings(gpus=8))
    >>> [recipe.value(key) for key in ("training.batch_size", "training.accumulation", "training.max_steps", "data.seq_len")]
    [12, 5, 600001, 1024]
    """
    batch, batch_source = _number(arguments, "batch_size", 12)
    accumulation, accumulation_source = _number(arguments, "gradient_accumulation_steps", 40)
    steps, steps_source = _number(arguments, "max_iters", 600_000)
    length = _number(arguments, "block_size", 1024)
    interval = _number(arguments, "eval_interval", 2000)
    settings = [
        Setting("training.batch_size", batch, batch_source),
        Setting("training.max_steps", int(steps) + 1, f"{steps_source}, and one more"),
        Setting("data.seq_len", *length),
        _precision(arguments),
        Setting("evaluation.every_steps", *interval),
        Setting("checkpoint.every_steps", interval[0], f"{interval[1]}: it saves as it evaluates"),
        Setting("training.framework", "torch", f"{_NAME} has a loop of its own"),
        Setting("run.resume", ("--init_from=resume",), f"{_NAME} reads ckpt.pt in out_dir"),
    ]
    if folder := arguments.get("out_dir"):
        settings.append(Setting("checkpoint.folder", folder.value, folder.source))
    recipe = Recipe.of(*settings, remarks=tuple(_remarks(arguments)))
    if around.config:
        recipe = recipe.over(Recipe.of(Setting("run.bootstrap", "torchrun", f"as {_NAME}'s configs say")))
    total = f"{accumulation_source} of all GPUs"
    if around.gpus is None:
        whole = Setting("training.global_batch", int(batch * accumulation), f"{total} x batch_size")
        return recipe.set(whole)
    if accumulation % around.gpus:
        why = f"{total} ({accumulation}) is no multiple of {around.gpus} GPUs, which {_NAME} refuses"
        return recipe.asking(Question("training.gpus", why))
    each = int(accumulation // around.gpus)
    return recipe.set(Setting("training.accumulation", each, f"{total} ({accumulation}) / {around.gpus}"))


def _number(arguments: Arguments, name: str, default: int) -> tuple[int | float, str]:
    return find_number(arguments, name) or (default, f"{_NAME}'s default: {name} is not given")


def _precision(arguments: Arguments) -> Setting:
    dtype = arguments.get("dtype")
    precision = {"float16": "fp16", "float32": "fp32"}.get(
        str(dtype.value).strip("'\"") if dtype else "", "bf16"
    )
    return Setting("training.precision", precision, dtype.source if dtype else f"{_NAME}'s default of dtype")


def _remarks(arguments: Arguments) -> Iterator[str]:
    saves = arguments.get("always_save_checkpoint")
    if saves and saves.is_off:
        yield f"{saves.source}: it saves only where the loss is better"
    iterations = _number(arguments, "eval_iters", 200)
    yield f"{iterations[1]}: an evaluation is 2 x {iterations[0]} micro-batches on rank 0, while the others wait"
