"""What things cost on this machine, measured side by side, by `python -m benchmarks`."""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from deepdraw.runtime import prepare_worker, signals_held

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass
class Options:
    """What every benchmark accepts, each as key=value."""

    out: str = field(default="outputs/bench", metadata={"help": "directory for the figures, <benchmark>.json"})


def in_fresh_process(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call the function in a process that has done nothing before and does nothing after.

    Its exceptions are raised here; ValueError where the process is killed, as it is for want of memory.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), prepare_worker) as pool:
        try:
            with signals_held():
                submitted = pool.submit(function, *args, **kwargs)
            return submitted.result()
        except BrokenProcessPool as error:
            raise ValueError("the measured process was killed, perhaps for want of memory: measure less") from error


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far: on a GPU what torch allocated, else resident memory.

    Linux hands the resident memory of the process that starts another down to it as its first peak, so a benchmark
    measures in processes that it starts and stays smaller than they are.
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        raise ValueError("what a process has held is measured on Linux and macOS only: leave this benchmark out")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux kB


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other work over the minute before."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch_threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "timm")}},
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
