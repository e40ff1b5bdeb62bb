"""Which of several processes that train one model this one is: the one place that decides it, without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what it tells a process beside WORLD_SIZE
SLURM = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_JOB_ID")  # what srun tells a task beside SLURM_STEP_NUM_TASKS


@dataclass(frozen=True)
class Rank:
    """Process `number` of `size`, number_on_node of those on its machine; step: the SLURM step, empty for torchrun."""

    number: int = 0
    size: int = 1
    number_on_node: int = 0
    step: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone writes."""
        return self.number == 0

    @property
    def awaited(self) -> str:
        """Whom a rank waits for at its start, and how to train in one process, in one line."""
        others = f"the other {self.size - 1}" if self.is_first else "rank 0"
        if self.step:
            start = f"each task of SLURM step {self.step} must run this command"
            alone = "srun --ntasks=1, or in a shell of a larger step `unset SLURM_STEP_NUM_TASKS`"
        else:
            start, alone = "torchrun starts them all", "a start without torchrun, or `unset WORLD_SIZE`"
        return f"rank {self.number} of {self.size} waits for {others}: {start}; for one process: {alone}"


def find_rank() -> Rank:
    """The rank of this process, as torchrun or else a SLURM step says; 0 of 1 where neither started several.

    RANK without a WORLD_SIZE of 2 or more means nothing. Raises ValueError, in one line, where a variable is missing or
    no number of a rank.
    """
    if (size := _whole_number("WORLD_SIZE", 1)) > 1:
        _check("WORLD_SIZE", size, TORCHRUN, "start all processes by torchrun")
        return Rank(_below(size, "RANK"), size, _whole_number("LOCAL_RANK", 0))
    if (size := _whole_number("SLURM_STEP_NUM_TASKS", 1)) > 1:
        _check("SLURM_STEP_NUM_TASKS", size, SLURM, "start all tasks by srun")
        step = f"{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', '?')}"
        return Rank(_below(size, "SLURM_PROCID"), size, _whole_number("SLURM_LOCALID", 0), step)
    return Rank()


def _check(name: str, size: int, needed: tuple[str, ...], fix: str) -> None:
    if missing := [one for one in needed if not os.environ.get(one)]:
        raise ValueError(
            f"{name}={size} says that this is one of several processes, and {missing[0]} is not set: "
            f"{fix}, or unset {name} to use one process"
        )


def _below(size: int, name: str) -> int:
    number = _whole_number(name, 0)
    if number >= size:
        raise ValueError(f"{name}={number} is no rank of {size}: start all processes by torchrun or srun")
    return number


def _whole_number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}={text} in the environment is no number of processes: unset it")
    return int(text)
