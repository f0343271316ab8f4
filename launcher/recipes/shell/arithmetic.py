"""The arithmetic of the shell, on whole numbers.  Pure."""

import ast
import operator
import re
from collections.abc import Callable

_OPERATORS: dict[type, Callable[[int, int], int | bool]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: int(a / b) if abs(a) < 2**50 else a // b,  # towards 0
    ast.Mod: lambda a, b: a - b * int(a / b),
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LONGEST = 500  # characters


def calculate(text: str, value_of: Callable[[str], str | None]) -> int | None:
    """Return the value of an expression; None if it is not known.  `value_of` gives the text of a variable.

    >>> calculate("(N * 8) / 3", {"N": "2"}.get), calculate("N + M", {"N": "2"}.get)
    (5, None)
    """
    plain = re.sub(r"\$\{?(\w+)\}?", r"\1", text).replace("&&", " and ").replace("||", " or ").strip()
    plain = re.sub(r"\b0+(?=\d)", "", plain)
    if not plain or len(plain) > _LONGEST:
        return None
    try:
        return _value(ast.parse(plain, mode="eval").body, value_of)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError):
        return None


def _value(node: ast.expr, value_of: Callable[[str], str | None]) -> int | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        text = (value_of(node.id) or "").strip()
        return int(text) if re.fullmatch(r"-?\d+", text) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _value(node.operand, value_of)
        return None if inner is None else -inner
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _apply(type(node.ops[0]), node.left, node.comparators[0], value_of)
    if isinstance(node, ast.BinOp):
        return _apply(type(node.op), node.left, node.right, value_of)
    return None


def _apply(kind: type, left: ast.expr, right: ast.expr, value_of: Callable[[str], str | None]) -> int | None:
    a, b = _value(left, value_of), _value(right, value_of)
    if a is None or b is None or kind not in _OPERATORS:
        return None
    return int(_OPERATORS[kind](a, b))
