"""Ranks: processes that train one model together, each on its share of every batch."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from deepdraw.runtime.rank import Rank, find_rank

TIMEOUT = timedelta(minutes=10)  # for a rank that is alive but silent, such as one that writes to a slow disk
PATIENCE = 5.0  # seconds after which a rank says whom it waits for

Value = TypeVar("Value")

_trainings = count()  # that this process has joined


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model: `number` of `size`, which is 0 of 1 for a single process.

    Only rank 0 writes files, logs and prints. All ranks must call the other methods, in the same order.
    """

    number: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """Join the ranks of torchrun or the tasks of a SLURM step, and wait for all of them; else one process alone.

        Tensors on GPUs are sent with nccl, those on the CPU with gloo. Each rank uses the GPU of its number on its
        node. Only rank 0 prints. One that waits says for whom. Raises ValueError, in one line, if not all come.
        """
        rank = find_rank()
        number, size = rank.number, rank.size
        if size == 1:
            return cls()
        meeting = "env://"
        if rank.step:
            from submitit.slurm.slurm import SlurmJobEnvironment

            task = SlurmJobEnvironment()
            meeting = f"tcp://{task.hostnames[0]}:{20000 + int(task.raw_job_id) % 40000}"  # a port no other job has
        backend = "gloo"
        if torch.cuda.is_available():
            # With --gpus-per-task a rank sees only its own GPU.
            torch.cuda.set_device(rank.number_on_node % torch.cuda.device_count())
            backend = "cpu:gloo,cuda:nccl"
        with _patience(rank):
            store, _, _ = next(distributed.rendezvous(meeting, number, size, timeout=TIMEOUT))
        store.set_timeout(TIMEOUT)
        # A prefix of its own for each training of a process: the addresses of the one before are still in the store.
        store = distributed.PrefixStore(f"training {next(_trainings)}", store)
        with _patience(rank):
            distributed.init_process_group(backend, store=store, rank=number, world_size=size, timeout=TIMEOUT)
        if number > 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return cls(number, size)

    def leave(self) -> None:
        """End the communication between the ranks."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0. Only rank 0 writes results."""
        return self.number == 0

    def broadcast_from_rank0(self, find: Callable[[], Value]) -> Value:
        """The result of `find` on rank 0, for all ranks: two nodes may see different states of a shared disk."""
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
        """Whether the flag is set on any rank. It is sent between CPUs, so that nothing waits for a GPU."""
        if self.size == 1:
            return flag
        number = torch.tensor(int(flag))
        distributed.all_reduce(number)
        return number.item() > 0

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums over all ranks, on the CPU. The tensors of each rank may be on any device."""
        sums = [tensor.to("cpu", copy=True) for tensor in tensors]
        if self.size > 1:
            for tensor in sums:
                distributed.all_reduce(tensor)
        return sums

    def replicate(self, model: nn.Module) -> nn.Module:
        """The model, wrapped for several ranks so that a backward pass leaves the mean gradient of all ranks.

        All ranks get the weights of rank 0. Call it again when other parameters train. Apply `synchronize_batch_norms`
        to the model before, so that batch norms see the drawings of all ranks.
        """
        if self.size == 1:
            return model
        return DistributedDataParallel(model, gradient_as_bucket_view=True)


@contextmanager
def _patience(rank: Rank) -> Iterator[None]:
    """Say after a while whom this rank waits for; ValueError, in one line, if they do not come."""
    told = threading.Timer(PATIENCE, print, [rank.awaited], {"flush": True})
    told.daemon = True
    told.start()
    try:
        yield
    except (distributed.DistStoreError, distributed.DistNetworkError) as error:
        if "timed out" not in str(error).lower():
            raise
        raise ValueError(f"{rank.awaited}; none came in {TIMEOUT}") from error
    finally:
        told.cancel()


ALONE = Ranks()
