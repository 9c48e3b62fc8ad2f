"""Who imports whom in a package, read from its files: ``python tests/support/import_graph.py``.

Prints the folders from bottom to top, the imports that run back up, and the circles of files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

#: The folders and single files of raylot, bottom to top: each may import those before it.
FLOORS = (
    "foundation", "datasets", "config", "storage", "tasks", "networks", "training", "masks",
    "tickets", "plasticity", "interventions", "results", "reproductions", "analysis", "terminal",
    "trials", "sweep", "studies", "command", "plugins", "__init__", "__main__",
)  # fmt: skip

#: Module -> the modules that it imports, of the package or not.
Graph = Mapping[str, set[str]]


def read(package: Path) -> Graph:
    """The imports of each file of a package, those in functions and for types included.

    Raises:
        ValueError: an import is relative, so that its text does not name the module.
    """
    names = {_name(file, package.parent): file for file in sorted(package.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for name, file in names.items():
        text = file.read_text()
        graph[name] = set(_imports(ast.parse(text), names))
        if 'import_module(f"{__name__}.' in text:  # imports each of its own files
            graph[name] |= {other for other in names if other.startswith(f"{name}.")}
    return graph


def _name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.AST, modules: Iterable[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"relative import: {ast.unparse(node)}")
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if module in modules else str(node.module)


def floor(module: str) -> str:
    """The folder, or single file, directly below the package that a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def arrows_back(graph: Graph, floors: tuple[str, ...] = FLOORS) -> list[tuple[str, str]]:
    """Imports from a floor of one that lies above it."""
    return [
        (module, imported)
        for module, others in sorted(graph.items())
        for imported in sorted(others)
        if imported in graph and floors.index(floor(module)) < floors.index(floor(imported))
    ]


def circles(graph: Graph) -> list[list[str]]:
    """Groups of two or more modules of which each imports each other, perhaps through others."""
    reached = {module: _reachable(graph, module) for module in graph}
    found = {
        tuple(sorted(other for other in graph if other in of and module in reached[other]))
        for module, of in reached.items()
    }
    return [list(group) for group in sorted(found) if len(group) > 1]


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for other in graph.get(waiting.pop(), ()):
            if other in graph and other not in found:
                found.add(other)
                waiting.append(other)
    return found


def main() -> None:
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "raylot"
    graph = read(package)
    known = [name for name in FLOORS if any(floor(module) == name for module in graph)]
    known += sorted({floor(module) for module in graph} - set(known))
    for name in known:
        modules = [module for module in graph if floor(module) == name]
        used = {floor(i) for module in modules for i in graph[module] if i in graph} - {name}
        print(
            f"{name:<16}{len(modules):>4} files  imports {', '.join(sorted(used, key=known.index))}"
        )
    back = arrows_back(graph, tuple(known))
    print(f"{len(back)} imports run back up")
    for module, imported in back:
        print(f"  {module} -> {imported}")
    groups = circles(graph)
    print(f"{len(groups)} circles")
    for group in groups:
        print(f"  {len(group)} files: {', '.join(group)}")


if __name__ == "__main__":
    main()
