"""Changes of one place in a program, of the kinds by which machine-learning code goes wrong without an error.

A general mutation tool changes operators, numbers and conditions. These are the changes that it does not know.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

# Where these methods and functions of tensors take an axis, as `dim=` or at this position.
AXIS_AT = {
    **dict.fromkeys(("all", "any", "argmax", "argmin", "cumsum", "flatten", "max", "mean", "min", "size", "std"), 0),
    **dict.fromkeys(("squeeze", "sum", "transpose", "unbind", "unsqueeze"), 0),
    **dict.fromkeys(("chunk", "split"), 1),
}
OTHER_AXIS = {0: 1, 1: 0, 2: 1, -1: 0, -2: -1}
OTHER_MODE = {"eval": "train", "train": "eval", "no_grad": "enable_grad", "inference_mode": "enable_grad"}
DROPPED_CALLS = ("detach", "clone", "zero_grad", "contiguous", "item", "abs", "exp", "sqrt", "log", "flip")


def mutations(source: str) -> Iterator[tuple[str, int, str]]:
    """(kind, line number, the whole changed source) for each place and kind."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]  # the positions of `ast` count bytes

    def text(part: ast.AST) -> str:  # as `ast.get_source_segment`, which splits the source into lines each time
        *whole, last = lines[part.lineno - 1 : part.end_lineno]
        return b"".join([*whole, last[: part.end_col_offset]])[part.col_offset :].decode()

    for node in ast.walk(ast.parse(source)):
        for kind, part, new in _changes(node, text):
            yield kind, part.lineno, _replaced(lines, part, new)


def _changes(node: ast.AST, text: Callable[[ast.AST], str]) -> Iterator[tuple[str, ast.AST, str]]:
    """(kind, the part of the program to replace, its replacement)."""
    if isinstance(node, ast.Call):
        yield from _changed_calls(node, text)
    elif isinstance(node, ast.Attribute) and node.attr in OTHER_MODE:
        yield "another mode", node, f"{text(node.value)}.{OTHER_MODE[node.attr]}"
    elif isinstance(node, ast.Slice) and node.step is None:
        if _is_one(node.lower) and node.upper is None:
            yield "a shifted slice", node, ":-1"
        elif node.lower is None and isinstance(node.upper, ast.UnaryOp) and _is_one(node.upper.operand):
            yield "a shifted slice", node, "1:"
        elif node.lower is None and node.upper is not None:
            yield "the other end of a slice", node, f"{text(node.upper)}:"
        elif node.upper is None and node.lower is not None:
            yield "the other end of a slice", node, f":{text(node.lower)}"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "a call left out", node, "pass"
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
        first, second = node.value.elts
        yield "swapped results", node.value, f"{text(second)}, {text(first)}"


def _changed_calls(node: ast.Call, text: Callable[[ast.AST], str]) -> Iterator[tuple[str, ast.AST, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    for keyword in node.keywords:
        if keyword.arg in ("dim", "axis"):
            yield from _another_axis(keyword.value)
    if name in AXIS_AT and len(node.args) > AXIS_AT[name]:
        yield from _another_axis(node.args[AXIS_AT[name]])
    if name in DROPPED_CALLS and not node.args:
        yield "a method left out", node, text(node.func.value)
    for one, other in zip(node.args, node.args[1:], strict=False):
        if not any(isinstance(part, ast.Starred) for part in (one, other)) and text(one) != text(other):
            rest = [text(part) for part in (*node.args, *node.keywords)]
            at = node.args.index(one)
            rest[at], rest[at + 1] = rest[at + 1], rest[at]
            yield "swapped arguments", node, f"{text(node.func)}({', '.join(rest)})"
    for keyword in node.keywords:
        if keyword.arg is not None:
            rest = [text(part) for part in (*node.args, *node.keywords) if part is not keyword]
            yield "an argument left out", node, f"{text(node.func)}({', '.join(rest)})"


def _another_axis(part: ast.expr) -> Iterator[tuple[str, ast.AST, str]]:
    try:
        axis = ast.literal_eval(part)
    except ValueError:
        return
    if axis in OTHER_AXIS and not isinstance(axis, bool):
        yield "another axis", part, str(OTHER_AXIS[axis])


def _is_one(part: ast.expr | None) -> bool:
    return isinstance(part, ast.Constant) and part.value == 1


def _replaced(lines: list[bytes], part: ast.AST, new: str) -> str:
    before = b"".join(lines[: part.lineno - 1]) + lines[part.lineno - 1][: part.col_offset]
    after = lines[part.end_lineno - 1][part.end_col_offset :] + b"".join(lines[part.end_lineno :])
    return (before + new.encode() + after).decode()
