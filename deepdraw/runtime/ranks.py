"""Ranks: processes that train one model together, each on its share of every batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(minutes=10)  # for a rank that is alive but silent, such as one that writes to a slow disk

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model: `number` of `size`, 0 of 1 where it is alone.

    Rank 0 alone writes files, logs and prints. All ranks must call the other methods, in the same order.
    """

    number: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """The ranks of torchrun, or the tasks of a SLURM step, once all of them are there; else this process alone.

        Tensors on GPUs go by nccl, those on the CPU by gloo. Each rank takes the GPU of its number on its node, and
        what all but rank 0 print is dropped.
        """
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            number, size, number_on_node = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
            meeting = "env://"
        elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            from submitit.slurm.slurm import SlurmJobEnvironment

            task = SlurmJobEnvironment()
            number, size, number_on_node = task.global_rank, task.num_tasks, task.local_rank
            meeting = f"tcp://{task.hostnames[0]}:{20000 + int(task.raw_job_id) % 40000}"  # a port no other job has
        else:
            return cls()
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(number_on_node % torch.cuda.device_count())  # with --gpus-per-task it sees its own
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, init_method=meeting, rank=number, world_size=size, timeout=TIMEOUT)
        if number > 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return cls(number, size)

    def leave(self) -> None:
        """End the communication, after the last call that takes all ranks."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone writes results."""
        return self.number == 0

    def broadcast_from_rank0(self, find: Callable[[], Value]) -> Value:
        """What `find` gives on rank 0, on all: two nodes may see a shared disk as it was at different times."""
        if self.size == 1:
            return find()
        found = [find() if self.is_first else None]
        distributed.broadcast_object_list(found, device=torch.device("cpu"))
        return found[0]  # type: ignore[return-value]

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in their order."""
        if self.size == 1:
            return [value]
        values: list[Value] = [value] * self.size
        distributed.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; it goes between the CPUs, so that no GPU is waited for."""
        if self.size == 1:
            return flag
        number = torch.tensor(int(flag))
        distributed.all_reduce(number)
        return number.item() > 0

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums over all ranks, on the CPU; a rank that has counted nothing may hold its zeros on any device."""
        sums = [tensor.to("cpu", copy=True) for tensor in tensors]
        if self.size > 1:
            for tensor in sums:
                distributed.all_reduce(tensor)
        return sums

    def replicate(self, model: nn.Module) -> nn.Module:
        """The model; among several ranks, one that leaves the mean of all ranks' gradients after a backward pass.

        It starts with the weights of rank 0, and is to be made anew when other parameters train. Batch norms must have
        been made to see the drawings of all ranks (`synchronize_batch_norms`).
        """
        if self.size == 1:
            return model
        return DistributedDataParallel(model, gradient_as_bucket_view=True)


ALONE = Ranks()
