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
