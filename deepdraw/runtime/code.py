"""The running code: the folder of the package and its git commit."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

COMMIT = "commit.txt"  # lies beside a copied package and names the commit of the copy
PACKAGE = Path(__file__).parents[1]
LIBRARIES = {  # whose versions a run notes, by the module of each
    "deepdraw": "deepdraw",
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "open_clip_torch": "open_clip",
    "hydra-core": "hydra",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
}


def scripts_folder() -> Path:
    """The folder of train.py, evaluate.py and conf/: of the clone, or of the copies that were installed."""
    installed = PACKAGE / "scripts"
    return installed if installed.is_dir() else PACKAGE.parent


def library_versions(libraries: Mapping[str, str] = LIBRARIES) -> dict[str, str]:
    """The version of each library, given by the name of its package and of its module.

    Where no package of this name is installed, as in a checkout or with opencv-python, it is what the loaded module
    says of itself, or unknown.
    """
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and --help does not need it

    def find(package: str, module: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return str(getattr(sys.modules.get(module), "__version__", "unknown"))

    return {package: find(package, module) for package, module in libraries.items()}


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
