"""The code that runs: where it lies and which commit it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

COMMIT = "commit.txt"  # beside a copy of the package: the commit that it is a copy of
PACKAGE = Path(__file__).parents[1]


def git_commit() -> str | None:
    """The commit of the code that runs, with `-dirty` where files differ from it; None outside a clone."""
    noted = PACKAGE.parent / COMMIT
    if noted.exists():
        return noted.read_text() or None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
