"""The processor cores that this process may use, and how many threads it computes on.

Both depend on what the machine, a container or SLURM grants, never on what else is running: the number of threads
changes the order of sums, and the same command gives the same numbers.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def num_cores() -> int:
    """The cores that this process may use: at most those of its affinity, of its cgroup and of SLURM_CPUS_PER_TASK."""
    return min(_granted().values())


def _granted() -> dict[str, int]:
    """How many cores each authority grants, by a name to show; the machine's own come first."""
    granted = {"cores": os.cpu_count() or 1}
    if hasattr(os, "sched_getaffinity"):
        granted["affinity"] = len(os.sched_getaffinity(0))
    if (quota := _cgroup_quota()) is not None:
        granted["cgroup"] = max(1, int(quota))
    if (asked := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdecimal() and int(asked) > 0:
        granted["SLURM_CPUS_PER_TASK"] = int(asked)
    return granted


def choose_threads() -> str:
    """Let torch compute on no more threads than there are cores for this process, and say so in a few words.

    Ranks of torchrun share the cores. A smaller number that the user or a launcher has set (OMP_NUM_THREADS,
    torch.set_num_threads) is kept.
    """
    import torch  # slow to import

    granted, ranks = _granted(), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    cores = min(granted.values())
    threads = min(torch.get_num_threads(), max(1, cores // ranks))
    if threads < torch.get_num_threads():
        torch.set_num_threads(threads)
    limits = [name for name, number in granted.items() if number == cores < granted["cores"]]
    limits += ["OMP_NUM_THREADS"] if threads < cores // ranks and "OMP_NUM_THREADS" in os.environ else []
    of = f"{cores} of {granted['cores']} cores" if cores < granted["cores"] else f"{_counted(cores, 'core')}"
    return f"{_counted(threads, 'thread')}, {of}{f' ({limits[-1]})' if limits else ''}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _cgroup_quota() -> float | None:
    """The cores that the control group of this process, or one above it, grants; None where none sets a limit.

    Control groups of version 2 say it in cpu.max, those of version 1 in cpu.cfs_quota_us and cpu.cfs_period_us.
    """
    quotas: list[float] = []
    for folder in _cgroup_folders():
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))  # "max" is no number and sets no limit
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            quotas.append(int(quota) / int(period))
    return min((quota for quota in quotas if quota > 0), default=None)


def _cgroup_folders() -> list[Path]:
    """The folders of the control groups that this process is in, from its own up to the root."""
    folders = [CGROUPS, CGROUPS / "cpu"]
    with suppress(OSError):
        for line in OWN_CGROUP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "" or "cpu" in controllers.split(","):
                root = CGROUPS / "cpu" if controllers else CGROUPS
                own = Path(path.lstrip("/"))
                folders += [root / part for part in (own, *own.parents)]
    return list(dict.fromkeys(folders))
