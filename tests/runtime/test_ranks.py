"""What ranks tell each other: two tasks of a SLURM step, as submitit knows them, on this machine."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from deepdraw.runtime import Rank, find_rank, ranks
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


TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
SRUN = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "7"}


@pytest.fixture
def started(monkeypatch):
    """Set these variables of torchrun and SLURM, and none else."""
    for name in (*TORCHRUN, *SRUN, "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    return lambda variables: [monkeypatch.setenv(name, value) for name, value in variables.items()]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Rank(0, 1)),
        ({"RANK": "1"}, Rank(0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "1"}, Rank(0, 1)),
        ({"SLURM_PROCID": "1"}, Rank(0, 1)),
        (TORCHRUN, Rank(1, 2, 1)),
        (SRUN | {"SLURM_STEP_ID": "3"}, Rank(1, 2, 0, "7.3")),
        (TORCHRUN | SRUN | {"SLURM_STEP_NUM_TASKS": "4", "RANK": "0"}, Rank(0, 2, 1)),  # torchrun within a step
    ],
)
def test_one_function_tells_the_rank(started, variables, expected):
    started(variables)
    assert find_rank() == expected


@pytest.mark.parametrize("whole", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
def test_a_rank_of_which_something_is_not_known_is_refused_in_one_line(started, monkeypatch, whole):
    size = "WORLD_SIZE" if whole is TORCHRUN else "SLURM_STEP_NUM_TASKS"
    for name in whole.keys() - {size}:
        started(whole)
        monkeypatch.delenv(name)
        with pytest.raises(ValueError, match=f"^{size}=2 says .*, and {name} is not set: [^\n]*unset {size}[^\n]*$"):
            find_rank()
    for name, value in ((size, "two"), (size, "-2"), (next(iter(whole)), "2")):
        started(whole | {name: value})
        with pytest.raises(ValueError, match=rf"^{name}={value} [^\n]*$"):
            find_rank()


def test_a_variable_that_says_nothing_leaves_a_run_where_it_belongs(monkeypatch, train):
    monkeypatch.setenv("RANK", "1")
    assert (train("train.limit_steps=1") / "summary.json").is_file()


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
def test_a_sweep_of_several_ranks_ends_in_one_line_and_writes_nothing(started, monkeypatch, tmp_path, variables):
    started(variables)
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=1,2"])
    with pytest.raises(SystemExit, match="^error: -m starts .* is rank 1 of 2: start it without torchrun or srun"):
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("number", ["0", "1"])
def test_a_rank_that_waits_in_vain_says_for_whom_and_ends_in_one_line(started, monkeypatch, capsys, number):
    monkeypatch.setattr(ranks, "PATIENCE", 0.1)
    monkeypatch.setattr(ranks, "TIMEOUT", timedelta(seconds=2))
    started(SRUN | {"SLURM_PROCID": number, "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "localhost"})
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    awaited = "the other 1" if number == "0" else "rank 0"
    line = f"rank {number} of 2 waits for {awaited}: each task of SLURM step {os.getpid()}.? must run this command; "
    with pytest.raises(ValueError, match=f"^{re.escape(line)}[^\n]*`unset SLURM_STEP_NUM_TASKS`; none came in 0:00:02"):
        Ranks.join()
    assert line in capsys.readouterr().out
