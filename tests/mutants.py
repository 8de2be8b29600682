"""Every way of changing one token of a short program, of the kinds by which answers go wrong."""

import ast
import io
import keyword
import token
import tokenize
from collections.abc import Iterator

# An operator is changed to each of the others in its group. Nothing is changed to **: that makes giant numbers only.
GROUPS = (
    ("+", "-", "*", "/", "//", "@"),
    ("<", "<=", ">", ">=", "==", "!="),
    ("&", "|"),
    ("+=", "-="),
    ("True", "False"),
    ("and", "or"),
)
SIBLINGS = {one: [other for other in group if other != one] for group in GROUPS for one in group}
SIBLINGS |= {"**": ["*"], "not": [""]}
UNARY = ("-", "~")  # these are dropped


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """(the changed line, stripped; the whole changed source) for each change after which the source still compiles."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    others = _other_names(source)
    for before, this in zip([None, *tokens], tokens, strict=False):
        for new in _changes(before, this, others):
            (row, start), (_, end) = this.start, this.end
            line = lines[row - 1]
            changed = line[:start] + new + line[end:]
            mutant = "".join([*lines[: row - 1], changed, *lines[row:]])
            try:
                compile(mutant, "<mutant>", "exec")
            except SyntaxError:
                continue
            yield changed.strip(), mutant


def _changes(before: tokenize.TokenInfo | None, this: tokenize.TokenInfo, others: dict) -> list[str]:
    if this.type == token.NUMBER:
        return [repr(ast.literal_eval(this.string) + 1)]
    if this.type == token.OP and not _ends_an_operand(before):
        return [""] if this.string in UNARY else []
    if this.start in others:
        return [others[this.start]]
    return SIBLINGS.get(this.string, [])


def _ends_an_operand(before: tokenize.TokenInfo | None) -> bool:
    """Whether an operator behind this token stands between two operands, rather than in front of one."""
    if before is None:
        return False
    if before.type == token.NAME:
        return not keyword.iskeyword(before.string) or before.string in ("True", "False", "None")
    return before.type in (token.NUMBER, token.STRING) or before.string in (")", "]", "}")


def _other_names(source: str) -> dict[tuple[int, int], str]:
    """Where a function reads one of its parameters or variables: the one that comes next in that function."""
    others = {}
    for function in ast.walk(ast.parse(source)):  # outer functions first, so that inner ones have the last word
        if isinstance(function, ast.FunctionDef):
            nodes = [node for node in ast.walk(function) if isinstance(node, (ast.arg, ast.Name))]
            nodes.sort(key=lambda node: (node.lineno, node.col_offset))
            names = list(dict.fromkeys(_name(node) for node in nodes if _binds(node)))
            for node in nodes:
                if not _binds(node) and node.id in names and len(names) > 1:
                    others[node.lineno, node.col_offset] = names[(names.index(node.id) + 1) % len(names)]
    return others


def _binds(node: ast.arg | ast.Name) -> bool:
    return isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store)


def _name(node: ast.arg | ast.Name) -> str:
    return node.arg if isinstance(node, ast.arg) else node.id
