"""What deepdraw imports is what pyproject.toml asks for, no less and no more; CI pins a version of each."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "deepdraw").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]
SOURCES += [ROOT / "train.py", ROOT / "evaluate.py"]
NOT_IMPORTED = {
    "torchvision",  # timm and open_clip import it; the doctor checks that it was built for this torch
    "hydra-submitit-launcher",  # whose options hydra/launcher=slurm takes over
}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIRED = {normalized(Requirement(line).name) for line in PROJECT["dependencies"]}
BROUGHT = ("tensorboard", "optuna", "export", "draw")  # extras for what deepdraw imports where it is asked for
EXTRA = {normalized(Requirement(line).name) for line in sum((EXTRAS[name] for name in BROUGHT), [])}


def imported() -> dict[str, str]:
    """The distributions whose modules deepdraw imports, each with a file that does."""
    distributions = packages_distributions()
    found: dict[str, str] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            for name in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names):
                if name not in ("deepdraw", "hydra_plugins"):
                    found.update({normalized(one): str(path) for one in distributions.get(name, [name])})
    return found


def test_all_that_is_imported_is_asked_for():
    assert {name: path for name, path in imported().items() if name not in REQUIRED | EXTRA} == {}


def test_all_that_is_asked_for_is_imported():
    assert REQUIRED - set(imported()) - NOT_IMPORTED == set()


def test_a_version_of_each_is_pinned_and_new_enough():
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    pinned = {normalized(name): version for name, version in (line.split("==") for line in lines)}
    asked = [Requirement(line) for line in sum(EXTRAS.values(), PROJECT["dependencies"])]
    for one in asked:
        assert one.name == "deepdraw" or one.specifier.contains(pinned[normalized(one.name)]), one
