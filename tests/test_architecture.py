"""docs/architecture.md leads to every file that it names, and its floors are those that the imports are held to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_floors import FLOORS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()
SOUGHT = {
    "line width": "drawings/lines.py",
    "learning-rate schedule": "training/optim.py",
    "kNN": "fewshot/scorers.py",
    "cause of a job's failure": "sweep/job_state.py",
    "confusion picture": "report/confusion.py",
    "cache key": "features/encoder.py",
    "275/70 split": "data/quickdraw/categories.py",
}


def rows(heading: str) -> list[str]:
    """The rows of the table under a heading, without those of its head."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


def test_the_table_of_floors_is_the_order_that_imports_are_held_to():
    assert tuple(re.findall(r"^\| `(\w+)/`", "\n".join(rows("The floors")), re.MULTILINE)) == FLOORS[::-1]


def test_the_picture_shows_the_same_floors():
    picture = (ROOT / "docs/architecture.svg").read_text()
    assert tuple(re.findall(r'id="floor-(\w+)"', picture)) == FLOORS[::-1], "run python docs/architecture.py"


def test_every_file_that_the_page_names_exists():
    named = re.findall(r"`((?:deepdraw|conf|docs|tests)/[\w./]+\.\w+)`", PAGE)
    assert len(named) > 40
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize(("subject", "file"), SOUGHT.items(), ids=list(SOUGHT))
def test_whoever_looks_for_a_subject_is_led_to_its_file(subject, file):
    (row,) = (row for row in rows("Where do I find ...") if subject in row)
    assert f"`deepdraw/{file}`" in row


def test_every_package_is_mentioned():
    inner = {path.parent.name for path in (ROOT / "deepdraw").glob("*/*/__init__.py")}
    assert not {name for name in inner | set(FLOORS) if f"{name}/" not in PAGE}
