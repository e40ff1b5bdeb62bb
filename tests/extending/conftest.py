"""The project of docs/extending.md, written into a directory outside of the repository."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/extending.md").read_text()
# Every part of the project at once.
PARTS = ("backbone=strided", "head=waist", "freeze=large", "optimizer=sign", "schedule=linear", "augment=mirror")
PARTS += ("data=polygons", "metric=[overconfident]", "logger=[csv,jsonlines]")
SMALL = ("train.epochs=2", "train.log_every=1", "precision=fp32")


def files() -> dict[str, str]:
    """The files of the page by their paths, which their first lines name."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    return dict(blocks)


def write_project(folder: Path) -> Path:
    """Write the project into `folder`, and return it."""
    for name, text in {"ours/__init__.py": "", **files()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def project_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


@contextmanager
def importable(project: Path) -> Iterator[pytest.MonkeyPatch]:
    """Python finds the project's package meanwhile, and no other test finds it afterwards."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(project))
        yield monkeypatch
    for name in [name for name in sys.modules if name.partition(".")[0] == "ours"]:
        del sys.modules[name]


@pytest.fixture
def project(project_once: Path) -> Iterator[Path]:
    """The directory of the project, whose package Python finds for as long as the test runs."""
    with importable(project_once):
        yield project_once
