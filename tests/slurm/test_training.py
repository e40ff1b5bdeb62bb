"""train.py itself on the SLURM cluster that is up: swept, disturbed, and on several nodes."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.slurm.conftest import ROOT, Submit, Submitted, disturb, run, wait_for

pytestmark = pytest.mark.slow

SMALL = ["device=cpu", "precision=fp32", "data.source.per_class=25", "data.num_workers=0"]
SMALL += ["backbone.image_size=32", "backbone.options.channels=[8,8,16,16]", "train.log_every=5"]
JOB = ["hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.mem_gb=2"]
WHOLE_NODES = [*JOB, "hydra.launcher.cpus_per_task=8"]
LONG = [
    "train.epochs=4",
    "data.batch_size=8",
    "train.checkpoint_every=3",
    "head=mlp",
    "head.dropout=0.3",
    "train.mixup=0.4",
    "train.ema=0.9",
]
VIT = ["device=cpu", "precision=fp32", "data.source.per_class=25", "data.batch_size=16", "data.num_workers=0"]
VIT += ["backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false", "backbone.image_size=32"]
VIT += ["optimizer=sgd", "optimizer.algorithm.fused=false", "train.epochs=2", "train.checkpoint_every=3"]


@pytest.fixture(scope="session")
def root(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The doodles of these tests, which the first of their runs draws."""
    return tmp_path_factory.mktemp("data") / "doodles"


@pytest.fixture
def sweep(submit: Submit, root: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Sweep train.py from another directory than the project's."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")

    def start(*overrides: str, **how: Any) -> Submitted:
        return submit(f"data.root={root}", *overrides, stub=ROOT / "train.py", **how)

    return start


@pytest.fixture
def alone(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train in one process without SLURM, undisturbed; the run directory."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def train(*overrides: str) -> Path:
        directory = tmp_path / "alone"
        command = [sys.executable, str(ROOT / "train.py"), f"data.root={root}", f"hydra.run.dir={directory}"]
        done = run(*command, *overrides)
        assert done.returncode == 0, done.stderr
        return directory

    return train


def test_a_sweep_over_learning_rates_ends_in_a_table_best_first(sweep):
    done = sweep(
        *SMALL,
        *JOB,
        "hydra.launcher.cpus_per_task=1",
        "data.batch_size=32",
        "train.epochs=2",
        "optimizer.lr=0.0001,0.003,0.01",
    )
    assert done.launcher.returncode == 0, done.launcher.stderr + done.launcher.stdout
    rows = done.results
    assert [row["state"] for row in rows] == ["COMPLETED"] * 3
    objectives = [float(row["val/top1"]) for row in rows]
    assert objectives == sorted(objectives, reverse=True)
    table = done.launcher.stdout.partition("optimizer.lr")[2]
    places = [table.index(f" {row['optimizer.lr']} ") for row in rows]
    assert places == sorted(places)
    assert all(f"{objective:.4f}" in table for objective in objectives)


def test_a_run_that_slurm_disturbs_mid_epoch_ends_in_the_bits_of_one_left_alone(sweep, alone):
    ways = ["requeue", "usr2", "high"]
    disturbed = sweep(*SMALL, *LONG, *WHOLE_NODES, "hydra.launcher.wait=false", "features.dtype=fp16,bf16,fp32")
    assert disturbed.launcher.returncode == 0, disturbed.launcher.stderr

    def disturb_early(number: int) -> None:  # in its first epoch
        wait_for(disturbed.directory / f"{number}/checkpoints/last.pt")
        disturb(ways[number], disturbed.ids[number])

    with ThreadPoolExecutor() as at_once:
        list(at_once.map(disturb_early, range(len(ways))))
    undisturbed = alone(*SMALL, *LONG)
    for number in range(len(ways)):
        disturbed.wait_until("", number=number, seconds=200)
    assert disturbed.command("collect").returncode == 0
    for number in range(len(ways)):
        assert stopped_mid_epoch(disturbed, number)
        assert_same_bits(disturbed.directory / str(number), undisturbed)


def test_at_the_time_limit_a_run_goes_on_to_the_same_bits_and_a_job_that_saves_nothing_fails(
    submit, sweep, alone, tmp_path
):
    long, limit = [*SMALL, *LONG, "train.epochs=10"], ["hydra.launcher.timeout_min=1", "hydra.launcher.wait=false"]
    idle = submit("does=sleep", *limit, directory=tmp_path / "idle")
    limited = sweep(*long, *WHOLE_NODES, *limit)
    assert limited.launcher.returncode == 0, limited.launcher.stderr
    wait_for(limited.directory / "0/checkpoints/last.pt")
    disturb("limit", limited.ids[0])
    undisturbed = alone(*long)
    limited.wait_until("", seconds=300)
    assert limited.command("collect").returncode == 0
    assert stopped_mid_epoch(limited)
    assert_same_bits(limited.directory / "0", undisturbed)
    idle.wait_until("", seconds=120)
    assert idle.command("collect").returncode == 1
    assert "nothing was saved within the time limit: raise hydra.launcher.timeout_min=1" in idle.results[0]["error"]


def test_two_nodes_give_the_metrics_of_one_process_and_requeued_the_bits_of_two_left_alone(sweep, alone):
    two = sweep(
        *VIT, *JOB, "hydra.launcher.cpus_per_task=4", "hydra.launcher.nodes=2", "hydra.launcher.tasks_per_node=1",
        "hydra.launcher.wait=false", "features.dtype=fp16,bf16",
    )  # fmt: skip
    assert two.launcher.returncode == 0, two.launcher.stderr
    wait_for(two.directory / "1/checkpoints/last.pt")
    disturb("requeue", two.ids[1])
    one = alone(*VIT)
    for number in range(2):
        two.wait_until("", number=number, seconds=200)
    assert two.command("collect").returncode == 0
    undisturbed, requeued = two.directory / "0", two.directory / "1"
    assert stopped_mid_epoch(two, 1)
    assert_same_bits(requeued, undisturbed)
    for row, expected in zip(metrics(undisturbed), metrics(one), strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)


def stopped_mid_epoch(submitted: Submitted, number: int = 0) -> bool:
    """Whether the job has gone on, and the first time from a step that ends no epoch."""
    log = (submitted.directory / f"logs/{submitted.ids[number]}_0_log.out").read_text()
    found = re.findall(r"resumed at step (\d+) of (\d+)", log)
    assert found, log
    step, steps = map(int, found[0])
    epochs = len({row["epoch"] for row in metrics(submitted.directory / str(number)) if "val/top1" in row})
    return 0 < step < steps and bool(step % (steps // epochs))


def assert_same_bits(run_directory: Path, other: Path) -> None:
    for name, parts in {"last.pt": ("model", "averaged"), "best.pt": ("model",)}.items():
        first, second = (
            torch.load(directory / "checkpoints" / name, weights_only=True) for directory in (run_directory, other)
        )
        for part in parts:
            if first[part] is not None:
                assert all(torch.equal(first[part][key], second[part][key]) for key in second[part]), (name, part)
    assert metrics(run_directory) == metrics(other)


def metrics(run_directory: Path) -> list[dict[str, float]]:
    """What is in metrics.csv, without the times."""
    with (run_directory / "metrics.csv").open() as file:
        return [
            {
                name: float(value)
                for name, value in row.items()
                if value and "per_second" not in name and "time" not in name
            }
            for row in csv.DictReader(file)
        ]
