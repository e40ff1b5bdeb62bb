"""Two ranks: they train as one process does, stop and resume together, and fail together."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepdraw.evaluation.predictions import Predictions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
VIT = ["backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false", "backbone.image_size=32"]
TRAIN = """
import os, runpy, sys
rank, run = os.environ["RANK"], sys.argv[1].partition("=")[2]
{before}
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
"""
WATCHED = """
def watch(event, arguments):
    if rank == "1" and event in ("open", "os.mkdir", "os.rename") and str(arguments[0]).startswith(run):
        assert event == "open" and not set(arguments[1] or "r") & set("wax+"), (event, arguments)
sys.addaudithook(watch)
"""
FAILING = """
from deepdraw.training import loop
log = loop.recent_metrics
def fail(training):
    if rank == "1" and training.state.step > 5:
        raise RuntimeError("a fault of rank one")
    return log(training)
loop.recent_metrics = fail
"""

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path, polygon_root) -> Start:
    """Start train.py on two ranks, after the code `before`; small enough for a test."""

    def launch(run: Path, *overrides: str, before: str = "") -> subprocess.Popen:
        script = tmp_path / f"{run.name}.py"
        script.write_text(TRAIN.format(before=before))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
        command += [f"--master-port={port}", str(script), f"hydra.run.dir={run}", "data=quickdraw"]
        command += [f"data.root={polygon_root}", f"features.dir={tmp_path / 'features'}", "data.num_workers=0"]
        command += ["data.batch_size=32", "train.epochs=3", "train.log_every=5", *overrides]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    return launch


def finish(job: subprocess.Popen) -> str:
    """What it said on stderr; it must have gone well."""
    said = job.communicate(timeout=500)[1]
    assert job.returncode == 0, said
    return said


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.pt", weights_only=True)


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v and "per_second" not in k} for row in csv.DictReader(file)]


def test_two_ranks_train_to_the_weights_and_metrics_of_one_and_the_first_alone_writes(train, start, tmp_path):
    overrides = [
        *VIT,
        "optimizer=sgd",
        "optimizer.algorithm.fused=false",
        "precision=fp32",
        "train.ema=0.9",
        "train.grad_accum=2",
    ]
    overrides += ["freeze=gradual", "freeze.blocks_per_epoch=1", "train.epochs=3"]
    job = start(tmp_path / "two", *overrides, before=WATCHED)
    alone = train(*overrides, run_dir=tmp_path / "one", plots=True)
    finish(job)
    for kind in ("model", "averaged"):
        one, two = last(alone)[kind], last(tmp_path / "two")[kind]
        for key in one:
            torch.testing.assert_close(one[key], two[key], atol=1e-5, rtol=1e-5)
    assert rows(tmp_path / "two") == [pytest.approx(row, rel=1e-4) for row in rows(alone)]
    answers = [Predictions.load(run / "evaluations/test.predictions.npz") for run in (alone, tmp_path / "two")]
    for column in ("key_ids", "labels", "strokes"):
        assert np.array_equal(*(getattr(table, column) for table in answers)), column
    names = [sorted(str(path.relative_to(run)) for path in run.rglob("*")) for run in (alone, tmp_path / "two")]
    assert names[0] == names[1]


def test_two_ranks_that_ctrl_c_stopped_and_one_that_was_killed_go_on_to_the_bits_of_two_left_alone(start, tmp_path):
    overrides = ["backbone.image_size=32", "backbone.options.channels=[8,8,16,16]", "head=mlp", "head.dropout=0.3"]
    overrides += ["train.mixup=0.4", "train.checkpoint_every=2", "train.epochs=4"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    alone = start(whole, *overrides)
    job = start(broken, *overrides)
    while not (broken / "checkpoints/last.pt").exists():
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    job.communicate(timeout=400)
    assert not (broken / "summary.json").exists(), "it was over before it was stopped"
    stopped_at = (broken / "checkpoints/last.pt").stat().st_mtime_ns
    job = start(broken, *overrides, before=f"open({str(tmp_path / 'pid')!r} + rank, 'w').write(str(os.getpid()))")
    while (broken / "checkpoints/last.pt").stat().st_mtime_ns == stopped_at:
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.01)
    os.kill(int((tmp_path / "pid1").read_text()), signal.SIGKILL)
    lines = [line for line in job.communicate(timeout=60)[1].splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and lines[0].startswith("error: another rank is gone"), lines
    assert not (broken / "summary.json").exists(), "it was over before its rank was killed"
    finish(start(broken, *overrides))
    finish(alone)
    first, second = last(whole), last(broken)
    assert all(torch.equal(first["model"][key], second["model"][key]) for key in first["model"])
    assert all(
        torch.equal(a["rng"]["cpu"], b["rng"]["cpu"]) for a, b in zip(first["ranks"], second["ranks"], strict=True)
    )
    assert rows(whole) == rows(broken)


def test_a_rank_that_raises_ends_the_job_with_its_own_traceback(start, tmp_path):
    job = start(tmp_path / "run", *VIT, before=FAILING)
    said = job.communicate(timeout=400)[1]
    assert job.returncode != 0
    assert "RuntimeError: a fault of rank one" in said
    assert not (tmp_path / "run/summary.json").exists()
