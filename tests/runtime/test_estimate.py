"""What a sweep will cost, estimated by the earlier run that is most like it."""

from __future__ import annotations

import copy
import json
import os

import pytest
import yaml

from deepdraw.sweep.estimate import estimate
from deepdraw.sweep.record import Job

CONFIG = {
    "seed": 42,
    "backbone": {"name": "tiny"},
    "data": {"root": "data/doodles", "batch_size": 100},
    "optimizer": {"lr": 0.1},
    "features": {"dir": "features", "dtype": "fp16"},
    "train": {"epochs": 2, "limit_steps": None, "grad_accum": 1, "log_every": 50},
}
LAUNCHER = {"gpus_per_node": 1, "nodes": 1, "tasks_per_node": 1}


def changed(**settings) -> dict:
    """CONFIG with settings such as train={"epochs": 3}."""
    config = copy.deepcopy(CONFIG)
    for key, value in settings.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    return config


@pytest.fixture
def estimated(tmp_path):
    """What is said of a sweep of these configs."""

    def say(*configs: dict, **resources: int) -> str | None:
        sweep = tmp_path / "sweeps/day/now"
        (sweep / "jobs").mkdir(parents=True, exist_ok=True)
        for number, config in enumerate(configs):
            (sweep / f"jobs/{number}.yaml").write_text(yaml.safe_dump(config | {"hydra": {"job": number}}))
        jobs = [Job(number, [], sweep / str(number)) for number in range(len(configs))]
        return estimate(sweep, jobs, LAUNCHER | resources, tmp_path)

    return say


@pytest.fixture
def past_run(tmp_path):
    """Write a run that has ended: 12,000 steps of 100 drawings in 2 epochs."""

    def write(run: str, speed: float, config: dict = CONFIG, age: int = 0, **summary) -> None:
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "config.yaml").write_text(yaml.safe_dump(config))
        said = {"train/images_per_second": speed, "steps": 12000, "device": "cuda:0", "ranks": 1, **summary}
        file = tmp_path / run / "summary.json"
        file.write_text(json.dumps(said))
        os.utime(file, (1e9 - age, 1e9 - age))

    return write


def test_the_latest_earlier_run_tells_how_long_each_job_and_all_of_them_take(estimated, past_run, tmp_path):
    past_run("outputs/day/then", 2000)
    past_run("sweeps/day/then/0", 1000, age=60)
    expected = f"3 jobs of about 10 min each (former run {tmp_path}/outputs/day/then made 2,000 images/s)"
    jobs = [changed(optimizer={"lr": lr}, seed=lr, features={"dir": "x"}) for lr in (1, 2, 3)]
    assert estimated(*jobs) == f"{expected}: 30 min of GPU time"
    assert estimated(*jobs, gpus_per_node=2).endswith(": 1 h 00 min of GPU time")


def test_more_epochs_take_longer_and_fewer_steps_less(estimated, past_run):
    past_run("outputs/day/then", 2000)
    said = estimated(changed(train={"epochs": 4}), changed(train={"limit_steps": 600}))
    assert said.startswith("2 jobs of about 30 s to 20 min (")


def test_of_jobs_that_nothing_is_known_of_nothing_is_said(estimated, past_run):
    past_run("outputs/day/then", 2000)
    assert estimated(changed(backbone={"name": "clip"})) is None
    assert estimated(CONFIG, changed(backbone={"name": "clip"})).startswith("1 of 2 jobs of about 10 min each")


@pytest.mark.parametrize(
    "summary", [{"device": "cpu"}, {"ranks": 2}, {"config": changed(train={"limit_steps": 50}), "steps": 50}]
)
def test_a_run_on_another_machine_or_cut_short_tells_nothing(estimated, past_run, summary):
    past_run("outputs/day/then", 2000, **summary)
    assert estimated(CONFIG) is None


def test_without_earlier_runs_nothing_is_said(estimated):
    assert estimated(CONFIG) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", "[]"),
        ("summary.json", '{"train/images_per_second": "fast", "steps": 1, "device": "cuda"}'),
        ("summary.json", '{"train/images_per_second": 0, "steps": 1, "device": "cuda"}'),
        ("config.yaml", "[1"),
        ("config.yaml", "- 1"),
        ("config.yaml", "a: &a [1]\nb: *a"),
        ("config.yaml", "train: 1"),
        ("config.yaml", "data: 1\nfeatures: []"),
    ],
)
def test_a_earlier_run_that_is_damaged_tells_nothing(estimated, past_run, tmp_path, name, content):
    past_run("outputs/day/a", speed=1000)
    (tmp_path / "outputs/day/a" / name).write_text(content)
    assert estimated(CONFIG) is None


@pytest.mark.parametrize("epochs", [0, -1, "2", None, [1]])
def test_a_earlier_run_without_a_number_of_epochs_tells_nothing(estimated, past_run, epochs):
    past_run("outputs/day/a", speed=1000, config=changed(train={"epochs": epochs}))
    assert estimated(CONFIG) is None
