"""What this machine computes with, and where it keeps things."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from pathlib import Path

from deepdraw.doctor import Finding, first_line
from deepdraw.runtime import num_cores

GB = 1e9


def check_device(name: str) -> Finding:
    """What training would run on."""
    import torch

    with warnings.catch_warnings(record=True) as caught:  # a driver too old for this torch is only warned of
        warnings.simplefilter("always")
        found = torch.cuda.is_available()
    if found:
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Finding(name, "ok", ", ".join(f"{gpu.name} ({gpu.total_memory / GB:.0f} GB)" for gpu in gpus))
    if torch.backends.mps.is_available():
        return Finding(name, "ok", "the GPU of this Mac (mps)")
    if shutil.which("nvidia-smi"):
        why = first_line(caught[0].message) if caught else f"torch is {torch.__version__}"
        fix = "install the torch of your driver's CUDA version (pytorch.org), or check CUDA_VISIBLE_DEVICES"
        return Finding(name, "warning", f"nvidia-smi is here, but torch sees no GPU ({why})", fix)
    fix = "train large backbones on a GPU node (hydra/launcher=slurm)"
    return Finding(name, "warning", f"no GPU: training runs on {torch.get_num_threads()} CPU threads", fix)


def check_precision(name: str) -> Finding:
    """Whether a precision runs on the device, and its speed against fp32 (square product, best of five)."""
    import torch

    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[name]
    matrix = torch.rand(256 if kind == "cpu" else 4096, 256 if kind == "cpu" else 4096, device=kind)

    def multiply(enabled: bool) -> torch.Tensor:
        with torch.autocast(kind, dtype, enabled=enabled):
            return matrix @ matrix

    def seconds(enabled: bool) -> float:
        times = []
        for _ in range(6):  # the first warms up
            start = time.perf_counter()
            multiply(enabled).sum().item()  # waits for the device
            times.append(time.perf_counter() - start)
        return min(times[1:])

    try:
        if multiply(enabled=True).dtype != dtype:
            raise RuntimeError("autocast stays at fp32")
        speed = seconds(enabled=False) / seconds(enabled=True)
    except RuntimeError as error:
        text = f"does not run on {kind} ({first_line(error)})"
        return Finding(name, "warning", text, "precision=auto or precision=fp32")
    worth = "worth it" if speed > 1.1 else "not worth it"
    return Finding(name, "ok", f"runs on {kind} at {speed:.2g}x the speed of fp32: {worth}")


def check_disk(name: str) -> Finding:
    """There is room for runs, or for downloaded weights."""
    if name == "disk":
        folder, fix = Path.cwd(), "free some, or run elsewhere (hydra.run.dir=)"
    else:
        folder, fix = _hub_cache(), "free some, or set HF_HOME to another disk"
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free / GB
    if free < 10:
        return Finding(name, "warning", f"only {free:.1f} GB free in {folder}", fix)
    return Finding(name, "ok", f"{free:.0f} GB free in {folder}")


def check_cores(name: str) -> Finding:
    """Cores that this process may use, and memory."""
    cores = num_cores()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB
    text = f"{cores} cores, {memory:.0f} GB of memory"
    if cores < 2 or memory < 4:
        return Finding(name, "warning", f"{text}: too few to load data fast", "ask SLURM for more of them")
    return Finding(name, "ok", text)


def check_shared_memory(name: str) -> Finding:
    """Worker processes can hand over batches."""
    folder = Path("/dev/shm")
    if not folder.exists():
        return Finding(name, "ok", "no /dev/shm on this system, and no need for it")
    free = shutil.disk_usage(folder).free / GB
    if free < 1:
        fix = "docker run --shm-size=8g, or data.num_workers=0"
        return Finding(name, "warning", f"only {free:.2f} GB in {folder}: workers may die", fix)
    return Finding(name, "ok", f"{free:.0f} GB in {folder}")


def _hub_cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
