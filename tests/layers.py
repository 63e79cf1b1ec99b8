"""The packages of graphrec in layers, and every import between two of its modules.

    python -m tests.layers

draws the packages into ``docs/figures/packages.svg``.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DRAWING = ROOT / "docs" / "figures" / "packages.svg"

LAYERS = (
    ("core",),
    ("data",),
    ("graphs", "evaluation"),
    ("nn",),
    ("features", "models"),
    ("training",),
    ("config",),
    ("experiment",),
    ("report", "serving"),
    ("tuning", "papers"),
    ("studies",),
    ("cli",),
)
"""From left to right: a package imports only what stands left of it, and none of its own layer."""

LAYER_OF = {name: index for index, names in enumerate(LAYERS) for name in names}
REFERENCE = re.compile(r"graphrec(?:\.\w+)+(?=:\w+$)")
"""A module named in a string, ``"package.module:name"``, which is imported when it is needed."""


class Import(NamedTuple):
    """One module of graphrec that imports another.

    Attributes:
        late: the statement stands in a function.
    """

    importer: str
    line: int
    imported: str
    late: bool

    @property
    def forbidden(self) -> str:
        """The rule that the import breaks, in one sentence; empty if it breaks none."""
        source, target = package_of(self.importer), package_of(self.imported)
        where = f"{file_of(self.importer)}:{self.line} imports {file_of(self.imported)}"
        if self.late:
            return f"{where} inside a function: import at the top of the file"
        if source == target or source not in LAYER_OF:
            return ""
        if target not in LAYER_OF:
            return f"{where}, the face of graphrec: import the module that defines the name"
        if LAYER_OF[target] < LAYER_OF[source]:
            return ""
        return f"{where}, but {target} does not stand left of {source} in {LAYERS}"


def package_of(module: str) -> str:
    """Return the package below graphrec that a module belongs to; empty for graphrec itself."""
    return module.partition(".")[2].partition(".")[0]


def file_of(module: str) -> str:
    """Return the path of a module below the root of the project."""
    path = ROOT / module.replace(".", "/")
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return str(found.relative_to(ROOT))


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return every module of graphrec by its dotted name."""
    found = {}
    for path in sorted((root / "graphrec").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path = ROOT) -> Iterator[Import]:
    """Find every import of a module of graphrec in another one, those in strings included."""
    known = modules(root)
    for module, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            for imported in _imported(node, known):
                if imported != module:
                    late = id(node) in inside and not isinstance(node, ast.Constant)
                    yield Import(module, getattr(node, "lineno", 0), imported, late)


def _imported(node: ast.AST, known: dict[str, Path]) -> list[str]:
    """Return the modules that a statement, or a reference in a string, imports."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "graphrec":
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in known else name.rpartition(".")[0] for name in names]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in known]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        match = REFERENCE.match(node.value)
        return [match[0]] if match and match[0] in known else []
    return []


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through others."""
    reached = {start: _reachable(start, edges) for start in edges}
    groups = {
        tuple(sorted({start, *(end for end in ends if start in reached.get(end, ()))}))
        for start, ends in reached.items()
    }
    return sorted(list(group) for group in groups if len(group) > 1)


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for end in edges.get(waiting.pop(), ()):
            if end not in found:
                found.add(end)
                waiting.append(end)
    return found


def between_packages() -> dict[str, set[str]]:
    """Return the packages that each package imports."""
    edges: dict[str, set[str]] = {name: set() for name in LAYER_OF}
    for each in imports():
        source, target = package_of(each.importer), package_of(each.imported)
        if source in edges and target and source != target:
            edges[source].add(target)
    return edges


WIDTH, HEIGHT, GAP, BOX, LINE = 1160, 260, 94, 78, 26
BELOW = {"papers": 105.0}
"""Boxes that stand lower than the second row, out of the way of an arrow."""


def drawing() -> str:
    """Draw the packages by layer; an arrow that follows from two others is left out."""
    edges = between_packages()
    place = {}
    for column, names in enumerate(LAYERS):
        for row, name in enumerate(names):
            offset = 0.0 if len(names) == 1 else (row - 0.5) * 120
            y = HEIGHT / 2 - 23 + BELOW.get(name, offset)
            place[name] = (20 + column * GAP, y)
    arrows = []
    for source, targets in sorted(edges.items()):
        implied = {end for target in targets for end in _reachable(target, edges)}
        for target in sorted(targets - implied):
            (x1, y1), (x2, y2) = place[source], place[target]
            ends = f"M{x1},{y1 + 13:g} L{x2 + BOX + 4},{y2 + 13:g}"
            arrows.append(f'<path d="{ends}" marker-end="url(#tip)"/>')
    boxes = [
        f'<rect x="{x}" y="{y:g}" width="{BOX}" height="{LINE}" rx="5"/>'
        f'<text x="{x + BOX / 2:g}" y="{y + 17:g}">{name}</text>'
        for name, (x, y) in place.items()
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" font-size="12" text-anchor="middle">',
            "<title>Packages of graphrec: each imports only what stands left of it</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker>'
            "</defs>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<g stroke="#777" fill="none">{"".join(arrows)}</g>',
            '<g fill="#eef3fb" stroke="#35609b">',
            *(box.partition("<text")[0] for box in boxes),
            "</g>",
            *("<text" + box.partition("<text")[2] for box in boxes),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    DRAWING.write_text(drawing(), encoding="utf-8")
