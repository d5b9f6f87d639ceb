"""`$((…))` of whole numbers and variables with + - * / % and parentheses; everything else is UNKNOWN."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tokenfactory.inspection.shell.state import State
from tokenfactory.inspection.variables import UNKNOWN

LONGEST = 128
LARGEST = 2**62

_FORM = re.compile(r"[0-9A-Za-z_${}()+*/% \t-]*", re.ASCII)
_NAME = re.compile(r"\$\{([A-Za-z_]\w*)\}|\$?([A-Za-z_]\w*)", re.ASCII)
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_OCTAL = re.compile(r"(?<![0-9A-Za-z_])0[0-9]")
_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = MappingProxyType(
    {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
)


def calculate(expression: str, state: State) -> str:
    """The result as text. Division is followed for numbers from 0 on, where both languages agree."""
    if (
        len(expression) > LONGEST
        or not _FORM.fullmatch(expression)
        or "**" in expression
        or "//" in expression
    ):
        return UNKNOWN
    values: list[str] = []

    def fill(found: re.Match[str]) -> str:
        value = state.scalar(found.group(1) or found.group(2))
        known = value is not None and _NUMBER.fullmatch(value)
        values.append(value if known and value is not None else UNKNOWN)
        return f"({values[-1]})"

    filled = _NAME.sub(fill, expression).strip()
    if UNKNOWN in values or "$" in filled or "{" in filled or _OCTAL.search(filled):
        return UNKNOWN
    try:
        result = _evaluate(ast.parse(filled, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return UNKNOWN
    return UNKNOWN if result is None else str(result)


def _evaluate(node: ast.expr) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int and node.value <= LARGEST:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _evaluate(node.operand)
        return None if value is None else -value
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _evaluate(node.left), _evaluate(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Div | ast.Mod):
        if left < 0 or right <= 0:
            return None
        return left // right if isinstance(node.op, ast.Div) else left % right
    operation = _OPERATIONS.get(type(node.op))
    result = None if operation is None else operation(left, right)
    return result if result is not None and abs(result) <= LARGEST else None
