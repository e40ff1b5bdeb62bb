"""The running code: the folder of the package and its git commit."""

from __future__ import annotations

from pathlib import Path

COMMIT = "commit.txt"  # lies beside a copied package and names the commit of the copy
PACKAGE = Path(__file__).parents[1]


def scripts_folder() -> Path:
    """The folder of train.py, evaluate.py and conf/: of the clone, or of the copies that were installed."""
    installed = PACKAGE / "scripts"
    return installed if installed.is_dir() else PACKAGE.parent


def git_commit() -> str | None:
    """The git commit of the running code, with `-dirty` if files differ from it; None outside a clone."""
    noted = PACKAGE.parent / COMMIT
    if noted.exists():
        return noted.read_text() or None
    if not (PACKAGE.parent / ".git").exists():  # a repository further up is another project's
        return None
    import subprocess  # slow to import, and --help does not need it

    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
