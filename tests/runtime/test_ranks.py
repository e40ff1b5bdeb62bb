"""What ranks tell each other: two tasks of a SLURM step, as submitit knows them, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepdraw.runtime.ranks import Ranks

ROOT = Path(__file__).parents[2]
TASK = """
import copy
import torch
from timm.layers import BatchNormAct2d
from torch import nn
from deepdraw.models.layers.batch_norm import synchronize_batch_norms
from deepdraw.runtime.ranks import Ranks

ranks = Ranks.join()
rank = ranks.number
print("one line, of the first rank")
assert ranks.size == 2
assert ranks.broadcast_from_rank0(lambda: f"found by {rank}") == "found by 0"
assert ranks.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
assert ranks.any(rank == 1) and not ranks.any(False)
counts, loss = torch.tensor([1, rank]), torch.tensor(0.5, dtype=torch.float64)
assert [tensor.tolist() for tensor in ranks.sum([counts, loss])] == [[2, 1], 1.0] and counts.tolist() == [1, rank]

torch.manual_seed(0)
layers = nn.Conv2d(2, 4, 3), BatchNormAct2d(4), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(80, 3)
whole = nn.Sequential(*layers).double()
parts = copy.deepcopy(whole).float()
images, labels = torch.randn(8, 2, 8, 8) * 3 + 1, torch.arange(8) % 3
nn.functional.cross_entropy(whole(images.double()), labels).backward()
synchronize_batch_norms(parts)
share = slice(4 * rank, 4 * rank + 4)
network = ranks.replicate(parts)  # it averages gradients for as long as it lives
nn.functional.cross_entropy(network(images[share]), labels[share]).backward()
for expected, got in zip(whole.parameters(), parts.parameters(), strict=True):
    torch.testing.assert_close(got.grad.double(), expected.grad, atol=1e-5, rtol=1e-4)
for expected, got in zip(whole.buffers(), parts.buffers(), strict=True):
    torch.testing.assert_close(got.double(), expected.double(), atol=1e-6, rtol=1e-6)
assert parts.state_dict().keys() == whole.state_dict().keys()
torch.testing.assert_close(parts.eval()(images).double(), whole.eval()(images.double()), atol=1e-5, rtol=1e-5)
ranks.leave()
"""


@pytest.mark.slow
def test_two_tasks_of_a_slurm_step_find_each_other_and_normalize_as_one(tmp_path):
    (tmp_path / "task.py").write_text(TASK)
    step = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "localhost", "SLURM_JOB_NUM_NODES": "1"}
    step |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    tasks = [
        subprocess.Popen(
            [sys.executable, tmp_path / "task.py"],
            env={**os.environ, **step, "SLURM_PROCID": number, "SLURM_LOCALID": number, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in "01"
    ]
    said = [task.communicate(timeout=400) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said[0][1][-900:]
    assert [out for out, _ in said] == ["one line, of the first rank\n", ""]


@pytest.mark.parametrize("variable", [None, "SLURM_NTASKS", "SLURM_PROCID"])
def test_a_process_that_nobody_started_as_one_of_several_is_alone(monkeypatch, variable):
    """Also in a batch script, where SLURM names the tasks of a job that has not started them."""
    for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "2")
    ranks = Ranks.join()
    assert (ranks.number, ranks.size, ranks.is_first) == (0, 1, True)
    model, counts = torch.nn.Linear(2, 2), torch.tensor([1, 2])
    assert ranks.broadcast_from_rank0(lambda: 3) == 3
    assert ranks.gather(3) == [3]
    assert not ranks.any(False)
    assert ranks.sum([counts])[0].tolist() == [1, 2]
    assert ranks.replicate(model) is model
