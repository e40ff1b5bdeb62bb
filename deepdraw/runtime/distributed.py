"""Ranks: processes that train one model together, each on its share of every batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(minutes=10)  # with a rank that is alive but silent, such as one that writes to a slow disk

Value = TypeVar("Value")


def join_ranks() -> tuple[int, int]:
    """This process's rank and how many there are: those of torchrun, or the tasks of a Slurm step; else 0 and 1.

    Tensors on GPUs go by nccl, those on the CPU by gloo. Each rank takes the GPU of its number on its node, and what
    all but the first print is dropped.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        number, size, number_on_node = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        meeting = "env://"
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        from submitit.slurm.slurm import SlurmJobEnvironment

        task = SlurmJobEnvironment()
        number, size, number_on_node = task.global_rank, task.num_tasks, task.local_rank
        meeting = f"tcp://{task.hostnames[0]}:{20000 + int(task.raw_job_id) % 40000}"  # a port that no other job has
    else:
        return 0, 1
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(number_on_node % torch.cuda.device_count())  # with --gpus-per-task it sees but its own
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, init_method=meeting, rank=number, world_size=size, timeout=PATIENCE)
    if number > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return number, size


def leave_ranks() -> None:
    """End the conversation, after the last thing that takes all ranks."""
    if world_size() > 1:
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process; 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def from_first(find: Callable[[], Value]) -> Value:
    """What `find` gives on the first rank, on all: two nodes may see a shared disk as it was at different times."""
    if world_size() == 1:
        return find()
    found = [find() if rank() == 0 else None]
    distributed.broadcast_object_list(found, device=torch.device("cpu"))
    return found[0]  # type: ignore[return-value]


def gathered(value: Value) -> list[Value]:
    """The values of all ranks, in their order."""
    if world_size() == 1:
        return [value]
    values: list[Value] = [value] * world_size()
    distributed.all_gather_object(values, value)
    return values


def on_any_rank(flag: bool) -> bool:
    """Whether the flag is up on any rank; it goes between the CPUs, so that no GPU is waited for."""
    if world_size() == 1:
        return flag
    number = torch.tensor(int(flag))
    distributed.all_reduce(number)
    return number.item() > 0


def summed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sums over all ranks, on the CPU; a rank that has counted nothing may hold its zeros on any device."""
    sums = [tensor.to("cpu", copy=True) for tensor in tensors]
    if world_size() > 1:
        for tensor in sums:
            distributed.all_reduce(tensor)
    return sums


def replicated(model: nn.Module) -> nn.Module:
    """The model; among several ranks, one that leaves the mean of all ranks' gradients after a backward pass.

    It starts with the first rank's weights, and is to be made anew when other parameters train. Batch norms must have
    been made to see the drawings of all ranks (`models.batch_norm.synchronise`).
    """
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, gradient_as_bucket_view=True)
