"""What is needed when the last epoch is over is tried before the first one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import cv2
import pytest

import deepdraw
from deepdraw.report import trial
from deepdraw.report.page import page_template
from tests.refusals import refusal

ROOT = Path(__file__).parents[2]
AFTER_FIT = """
import runpy, sys
import deepdraw.experiment
test = deepdraw.experiment.Experiment.test
def remember(self):
    global before
    before = set(sys.modules)
    return test(self)
deepdraw.experiment.Experiment.test = remember
runpy.run_path("train.py", run_name="__main__")
print("NEW", *sorted(set(sys.modules) - before))
"""
OF_PICTURES = {"matplotlib", "mpl_toolkits", "sklearn", "scipy", "PIL"}


def test_a_run_ends_where_no_package_tells_its_version(train, monkeypatch):
    def version(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    run = train("train.limit_steps=1", "freeze=all")  # whose features are cached under the versions of libraries
    versions = json.loads((run / "summary.json").read_text())["versions"]
    assert versions["deepdraw"] == deepdraw.__version__
    assert versions["opencv-python-headless"] == cv2.__version__
    assert (run / "report.html").is_file()


@pytest.mark.parametrize("name", ["report.html", "summary.json", "metrics.json"])
def test_a_folder_in_the_place_of_a_result_ends_a_command_before_its_work(trained, resume, evaluate, monkeypatch, name):
    (trained / name).unlink(missing_ok=True)
    (trained / name).mkdir()
    monkeypatch.setattr("deepdraw.evaluation.Session.versions", None)  # which is not reached
    monkeypatch.setattr("deepdraw.experiment.score", None)
    expected = f"error: {trained / name} is a folder, where results are written to a file: move it elsewhere"
    assert refusal(resume) == expected
    assert refusal(evaluate, trained / "checkpoints/best.pt") == expected


def test_a_folder_of_results_that_is_a_file_ends_a_run_before_its_first_step(trained, resume):
    shutil.rmtree(trained / "plots", ignore_errors=True)
    (trained / "plots").write_text("")
    assert str(trained / "plots") in refusal(resume)


def test_without_the_library_of_the_page_no_step_is_made(train, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page_template.cache_clear()
    assert refusal(train).startswith("error: report.html cannot be written (")
    assert not (tmp_path / "run").exists()


def test_a_library_of_pictures_that_is_missing_is_told_of_and_costs_no_result(train, monkeypatch, capsys):
    monkeypatch.setattr(trial, "find_spec", lambda name: None)
    run = train("train.limit_steps=1")
    assert "warning: matplotlib is not installed, and pictures that need it will be missing" in capsys.readouterr().out
    assert (run / "report.html").is_file()


def test_what_an_evaluation_after_training_would_refuse_is_refused_before(train, monkeypatch, tmp_path):
    def refuse(*arguments) -> None:
        raise ValueError("no checkpoint may name this")

    monkeypatch.setattr("deepdraw.own_evaluations.check_config", refuse)
    assert refusal(train, "evaluate=[test]") == "error: no checkpoint may name this"
    assert not (tmp_path / "run").exists()


def test_a_disk_too_small_for_the_checkpoints_is_told_of(train, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10_000))
    train("train.limit_steps=1")
    assert "warning: checkpoints may take 0.0 GB, and 0.0 GB are free at " in capsys.readouterr().out


@pytest.mark.slow
def test_no_code_but_that_of_pictures_is_read_after_the_last_epoch(polygon_root, tmp_path):
    words = ["data=quickdraw", f"data.root={polygon_root}", "data.num_workers=0", "train.epochs=1"]
    words += ["backbone.image_size=32", "backbone.options.channels=[8,8,16,16]", "evaluate=[zeroshot]"]
    words += [f"hydra.run.dir={tmp_path / 'run'}", f"features.dir={tmp_path / 'features'}"]
    command, environment = [sys.executable, "-c", AFTER_FIT, *words], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()[1:]
    assert {name for name in modules if name.startswith("deepdraw.")} == set()
    missed = set()
    for name in {name.partition(".")[0] for name in modules} - OF_PICTURES - sys.stdlib_module_names:
        owners = importlib.metadata.packages_distributions().get(name, [])
        needed = {one for owner in OF_PICTURES for one in _requirements(owner)}
        missed |= {name} - ({name} if any(owner.lower() in needed for owner in owners) or name[0] == "_" else set())
    assert missed == set()


def _requirements(module: str) -> set[str]:
    """The packages that the package of a module needs, itself included."""
    found: set[str] = set()
    for owner in importlib.metadata.packages_distributions().get(module, []):
        needed = [line.partition(";")[0] for line in importlib.metadata.requires(owner) or [] if "extra" not in line]
        found |= {owner.lower(), *(re.match(r"[\w.-]+", line)[0].lower() for line in needed)}
    return found
