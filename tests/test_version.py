"""The version number stands in one place, deepdraw.__version__; what must repeat it says the same."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import deepdraw

ROOT = Path(__file__).parents[1]


def test_the_installed_version_is_read_from_the_package():
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert 'version = { attr = "deepdraw.__version__" }' in project
    assert not re.search(r'^version = "', project, re.MULTILINE)


def test_a_citation_names_this_version():
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]) == deepdraw.__version__


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == deepdraw.__version__
    assert len(set(versions)) == len(versions)


def test_files_that_the_changelog_and_the_guide_name_exist():
    for page in ("CHANGELOG.md", "CONTRIBUTING.md"):
        named = re.findall(r"`((?:deepdraw|conf|docs|tests|\.ci)/[\w./]*)`", (ROOT / page).read_text())
        assert not [name for name in named if not (ROOT / name).exists()], page
