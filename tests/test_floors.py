"""The plan of the house: what may import what. docs/architecture.md shows it as a picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up: a package imports what stands below it, never what stands above.
FLOORS = (
    "runtime",
    "config",
    "loggers",
    "drawings",
    "data",
    "models",
    "features",
    "fewshot",
    "training",
    "inference",
    "evaluation",
    "report",
    "compare",
    "sweep",
    "draw",
    "export",
    "doctor",
)
SOURCES = sorted((ROOT / "deepdraw").rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The modules of deepdraw that a file imports, wherever in it, and what it takes from each."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names if alias.name.split(".")[0] == "deepdraw")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "deepdraw":
            yield str(node.module), [alias.name for alias in node.names]


def floor(module: str) -> int | None:
    """How high the package of a module stands; None for what stands above all packages, such as deepdraw.api."""
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 and parts[1] in FLOORS else None


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_file_imports_from_a_higher_floor(path):
    own = floor(module_name(path))
    for module, _ in imports(path):
        other = floor(module)
        assert own is None or (other is not None and other <= own), f"{module_name(path)} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_other_packages_are_used_by_their_face(path):
    """But for the main of a command, and what a command must import before all else."""
    own = module_name(path)
    for module, names in imports(path):
        is_package = (ROOT / module.replace(".", "/")).is_dir()
        if not own.startswith(f"{module.rpartition('.')[0]}.") and names not in ([], ["main"]):
            assert is_package, f"{own} imports {module}, not the face of {module.rpartition('.')[0]}"


def resolved(path: Path) -> set[str]:
    """The files that a file imports, each name of a face followed to the file that it comes from."""
    found = set()
    for module, names in imports(path):
        inner = {f"{module}.{name}" for name in names}
        found |= {name for name in inner if (ROOT / f"{name.replace('.', '/')}.py").exists()}
        stub = ROOT / module.replace(".", "/") / "__init__.pyi"
        if not stub.exists():
            found.add(module)
            continue
        for node in ast.parse(stub.read_text()).body:
            if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & set(names):
                found.add(f"{module}.{node.module}")
    return found


def test_there_is_no_circle_between_files():
    graph = {module_name(path): resolved(path) for path in SOURCES}
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in graph.get(module, ()):
                walk(other, (*way, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def test_every_package_has_its_floor():
    packages = {path.name for path in (ROOT / "deepdraw").iterdir() if (path / "__init__.py").exists()}
    assert packages == set(FLOORS)
