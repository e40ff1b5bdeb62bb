"""The documentation has every page in its contents, and the API reference has every package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def pages(contents: Any) -> Iterator[str]:
    """The pages in the contents of mkdocs.yml, however deep."""
    if isinstance(contents, str):
        yield contents
    else:
        for part in contents.values() if isinstance(contents, dict) else contents:
            yield from pages(part)


def test_every_page_is_in_the_contents_once():
    contents = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(contents) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_every_package_is_in_the_api_reference():
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "deepdraw").rglob("__init__.py")}
    documented = re.findall(r"^::: (\S+)$", "\n".join(page.read_text() for page in DOCS.glob("api/*.md")), re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert packages - set(documented) == set()


def test_links_between_pages_lead_somewhere():
    for page in DOCS.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
