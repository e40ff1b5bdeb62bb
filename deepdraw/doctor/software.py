"""Whether Python and its libraries are there, new enough and fit one another."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from deepdraw.doctor import Finding, Status, first_line

# check: package, module, what it is for ("" where nothing trains without it)
LIBRARIES = {
    "torchvision": ("torchvision", "torchvision", ""),
    "timm": ("timm", "timm", ""),
    "open_clip": ("open_clip_torch", "open_clip", "backbone=clip"),
    "Hydra": ("hydra-core", "hydra", ""),
    "submitit": ("hydra-submitit-launcher", "submitit", "hydra/launcher=slurm"),
    "webdataset": ("webdataset", "webdataset", "data=tars behind a URL"),
    "numba": ("numba", "numba", "data=quickdraw and data=doodles"),
}


def check_python(name: str) -> Finding:
    """Python is new enough."""
    if Version(platform.python_version()) < Version("3.10"):
        return Finding(name, "problem", f"{platform.python_version()} is too old", "use Python 3.10 or newer")
    return Finding(name, "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def check_deepdraw(name: str) -> Finding:
    """deepdraw is installed, so that it runs from any folder and the versions it wants are known."""
    try:
        return Finding(name, "ok", importlib.metadata.version("deepdraw"))
    except importlib.metadata.PackageNotFoundError:
        text = "not installed: it runs in this folder only, and the versions below are not checked"
        return Finding(name, "warning", text, "pip install -e .")


def check_torch(name: str) -> Finding:
    """PyTorch can be imported and is new enough."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of CUDA is missing
        text = f"cannot be imported ({first_line(error)})"
        return Finding(name, "problem", text, "pip install --force-reinstall torch torchvision")
    wanted = _required_versions("torch")
    if torch.__version__ not in wanted:
        return Finding(name, "problem", f"{torch.__version__} is not {wanted}", f"pip install 'torch{wanted}'")
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    return Finding(name, "ok", f"{torch.__version__}, built with {build}")


def check_library(name: str) -> Finding:
    """A library is there, of a version that fits, and works; torchvision was built for this torch."""
    package, module, purpose = LIBRARIES[name]
    status: Status = "warning" if purpose else "problem"
    needed_for = f" ({purpose} needs it)" if purpose else ""
    wanted = _required_versions(package)
    fix = f"pip install '{package}{wanted}'"
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, status, f"not installed{needed_for}", fix)
    if version not in wanted:
        return Finding(name, status, f"{version} is not {wanted}{needed_for}", fix)
    try:
        library = importlib.import_module(module)
        if name == "torchvision":
            import torch

            library.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (ImportError, OSError, AttributeError, RuntimeError) as error:  # all seen of mismatched builds
        text = f"{version} does not work{needed_for}: {first_line(error)}"
        return Finding(name, status, text, f"pip install --force-reinstall torch torchvision {package}")
    return Finding(name, "ok", version)


def check_opencv(name: str) -> Finding:
    """OpenCV draws a line."""
    try:
        import cv2
        import numpy as np
    except ImportError as error:  # opencv-python without libGL
        fix = "pip uninstall -y opencv-python; pip install --force-reinstall opencv-python-headless"
        return Finding(name, "problem", f"cannot be imported ({first_line(error)})", fix)
    canvas = np.zeros((16, 16), np.uint8)
    cv2.line(canvas, (2, 8), (13, 8), 255, 1, cv2.LINE_AA)
    if not canvas[8, 3:13].all():
        fix = "pip install -U opencv-python-headless"
        return Finding(name, "problem", f"{cv2.__version__} does not draw", fix)
    return Finding(name, "ok", f"{cv2.__version__} draws")


def _required_versions(package: str) -> SpecifierSet:
    """The versions that deepdraw's own requirements allow; any, where deepdraw is not installed."""
    try:
        lines = importlib.metadata.requires("deepdraw") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    requirements = map(Requirement, lines)
    return next((wanted.specifier for wanted in requirements if wanted.name == package), SpecifierSet())
