"""Small faults, planted one at a time: where they may stand in a module, and what they look like.

Each replaces one expression or statement of the source by another. Texts, annotations, docstrings
and messages of errors are left alone: nothing should depend on their wording.
"""

import ast
import copy
import itertools
import math
import random
from collections.abc import Iterator
from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault: file, line, what kind, and the text that replaces another."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    new: str
    first: int
    last: int
    """Lines of the statement in which it stands: if none of them is run, neither is the fault."""
    name: str = ""
    """Of a fault that was chosen by hand."""

    def source(self, text: str) -> str:
        """The source of the module with the fault."""
        content = text.encode()
        return (content[: self.start] + self.new.encode() + content[self.end :]).decode()


COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq},
    **{ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot},
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd},
    ast.BitAnd: ast.BitOr,
}
SKIPPED_CALLS = ("logger", "print", "warnings")
"""Calls whose removal changes no more than what is told."""


def mutants(file: str, text: str) -> list[Mutant]:
    """Return every fault of a module, in the order of its lines."""
    tree = ast.parse(text)
    offsets = _offsets(text)
    found = []
    for node, first, last in _nodes(tree, 1, 1):
        for kind, new in _faults(node):
            start = offsets[node.lineno - 1] + node.col_offset
            end = offsets[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            found.append(Mutant(file, node.lineno, kind, start, end, _text(new), first, last))
    return found


def _text(new: ast.AST) -> str:
    written = ast.unparse(new)
    return f"({written})" if isinstance(new, ast.expr) else written


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _offsets(text: str) -> list[int]:
    """Byte at which each line starts: columns of ast count bytes."""
    total, offsets = 0, []
    for line in text.encode().splitlines(keepends=True):
        offsets.append(total)
        total += len(line)
    return offsets


def _nodes(node: ast.AST, first: int, last: int) -> Iterator[tuple[ast.expr | ast.stmt, int, int]]:
    """Go through a node and what stands in it, as far as it may be changed.

    ``first`` and ``last`` are the lines of the statement around it, without a block below it.
    """
    if _is_left_alone(node):
        return
    if isinstance(node, ast.stmt):
        first, last = node.lineno, node.end_lineno or node.lineno
        if isinstance(body := getattr(node, "body", None), list):
            last = max(first, body[0].lineno - 1)
    if isinstance(node, ast.expr | ast.stmt):
        yield node, first, last
    match node:
        case ast.FunctionDef():
            inner = [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]
        case ast.AnnAssign():
            inner = [node.value] if node.value is not None else []
        case ast.Raise():
            inner = []
        case _:
            inner = list(ast.iter_child_nodes(node))
    for child in inner:
        yield from _nodes(child, first, last)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _faults(node: ast.expr | ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """Yield what may stand in the place of a node."""
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    else:
        yield from _operators(node)


def _operators(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in COMPARISONS:
            new = copy.deepcopy(node)
            new.ops[0] = COMPARISONS[type(first)]()
            yield "comparison", new
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "and/or", ast.BoolOp(other, node.values)
            yield "operand", node.values[0]
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield "arithmetic", ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.UnaryOp() if not isinstance(node.operand, ast.Constant):
            yield "sign", node.operand
        case ast.IfExp():
            yield "branch", ast.IfExp(node.test, node.orelse, node.body)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            if node.generators[0].ifs:
                filtered = copy.deepcopy(node)
                filtered.generators[0].ifs = []
                yield "filter", filtered


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    match node.value:
        case bool():
            yield "constant", ast.Constant(not node.value)
        case int():
            yield "constant", ast.Constant(node.value + 1)
        case float():
            yield "constant", ast.Constant(node.value * 2 if node.value else 1.0)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """Arguments swapped or left out, and a method that is not called."""
    plain = not any(isinstance(each, ast.Starred) for each in node.args)
    if len(node.args) == 2 and plain and ast.dump(node.args[0]) != ast.dump(node.args[1]):
        yield "arguments", ast.Call(node.func, node.args[::-1], node.keywords)
    for position, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            rest = [*node.keywords[:position], *node.keywords[position + 1 :]]
            yield "keyword", ast.Call(node.func, node.args, rest)
    if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
        yield "method", node.func.value
    elif isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords and plain:
        yield "call", node.args[0]


def _statements(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Return() if node.value is not None and ast.unparse(node.value) != "None":
            yield "return", ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() as call):
            if not ast.unparse(call).startswith(SKIPPED_CALLS):
                yield "statement", ast.Pass()
        case ast.Raise() | ast.AugAssign():
            yield "statement", ast.Pass()
        case ast.Continue():
            yield "loop", ast.Break()
        case ast.Break():
            yield "loop", ast.Continue()


def sample(
    all_of: dict[str, list[Mutant]], texts: dict[str, str], count: int, seed: int
) -> list[Mutant]:
    """Draw ``count`` faults, from every file at least one, large files more, kinds in turn."""
    rng = random.Random(seed)
    total = sum(map(len, all_of.values()))
    drawn = []
    for file, found in sorted(all_of.items()):
        wanted = max(1, math.ceil(count * len(found) / total))
        valid = (each for each in _by_kind(found, rng) if _parses(each.source(texts[file])))
        drawn += list(itertools.islice(valid, wanted))
    return rng.sample(drawn, len(drawn))


def _by_kind(found: list[Mutant], rng: random.Random) -> list[Mutant]:
    """Shuffle, and put kinds in turn: constants would crowd out the rest."""
    groups: dict[str, list[Mutant]] = {}
    for each in rng.sample(found, len(found)):
        groups.setdefault(each.kind, []).append(each)
    kinds = rng.sample(sorted(groups), len(groups))
    ordered = []
    while any(groups.values()):
        ordered += [groups[kind].pop() for kind in kinds if groups[kind]]
    return ordered


def named(name: str, file: str, text: str, old: str, new: str) -> Mutant | None:
    """A fault chosen by hand; None where the source has no such place any more."""
    at = text.find(old)
    if at < 0 or not _parses(text[:at] + new + text[at + len(old) :]):
        return None
    start = len(text[:at].encode())
    line = text.count("\n", 0, at) + 1
    last = line + old.count("\n")
    return Mutant(file, line, "named", start, start + len(old.encode()), new, line, last, name)
