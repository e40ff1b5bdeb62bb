"""Ten parts of a user's own, as docs/extending.md shows them: trained, resumed, evaluated, compared and swept."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from torch.optim.lr_scheduler import LambdaLR

from deepdraw.export.__main__ import main as export
from deepdraw.inference import rebuild
from deepdraw.inference.predict import main as predict
from tests.extending.conftest import PAGE, PARTS, ROOT, SMALL, files, importable, write_project
from tests.hub import hub
from tests.refusals import refusal

KINDS = (
    "Backbone",
    "Head",
    "Freeze policy",
    "Optimizer",
    "Schedule",
    "Augmentation",
    "Data source",
    "Metric",
    "Few-shot method",
    "Logger",
)


def run(monkeypatch: pytest.MonkeyPatch, script: str, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    runpy.run_path(str(ROOT / script), run_name="__main__")


def train(monkeypatch: pytest.MonkeyPatch, project: Path, directory: Path, *words: str) -> Path:
    here = (f"hydra.run.dir={directory}", f"features.dir={directory.parent / 'features'}")
    run(monkeypatch, "train.py", "--config-dir", str(project / "conf"), *here, *SMALL, *PARTS, *words)
    return directory


@pytest.fixture(scope="module")
def trained_once(project_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with importable(project_once) as monkeypatch:
        return train(monkeypatch, project_once, tmp_path_factory.mktemp("trained") / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_is_two_files_of_the_page(kind: str):
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (text,) = (part for part in section if part.splitlines()[0] == kind)
    own = {name: files()[name] for name in re.findall(r"```(?:python|yaml)\n# (\S+)", text)}
    code, config = own
    assert code.startswith("ours/") and config.startswith("conf/")
    assert yaml.safe_load(own[config])
    print(f"{kind}: {len(own)} files, {len(own[code].splitlines())} + {len(own[config].splitlines())} lines")


def test_all_ten_train_at_once_and_say_so_in_what_they_leave(trained_once: Path):
    summary = json.loads((trained_once / "summary.json").read_text())
    assert 0 <= summary["test/overconfident"] <= 1
    assert summary["trainable_parameters"] == summary["parameters"] - 16 * 16 * 25  # the large convolution is frozen
    rows = [json.loads(line) for line in (trained_once / "metrics.jsonl").read_text().splitlines()]
    assert "val/overconfident" in rows[-2] or "val/overconfident" in rows[-1]
    assert "wrong and sure of it" in (trained_once / "report.html").read_text()
    plain = yaml.safe_load((trained_once / "config.yaml").read_text())
    assert plain["backbone"]["_target_"] == "ours.backbone.Strided"


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(trained_once: Path, project, monkeypatch, tmp_path, capsys):
    step, steps = LambdaLR.step, []

    def stop_in_the_second_epoch(self, *arguments):
        steps.append(step(self, *arguments))
        if len(steps) == 7:
            raise KeyboardInterrupt

    with pytest.raises(SystemExit), monkeypatch.context() as interrupted:
        interrupted.setattr(LambdaLR, "step", stop_in_the_second_epoch)
        train(interrupted, project, tmp_path / "run")
    train(monkeypatch, project, tmp_path / "run")
    assert "resumed at step" in capsys.readouterr().out
    first, second = (json.loads((run / "summary.json").read_text()) for run in (trained_once, tmp_path / "run"))
    assert {key: first[key] for key in first if key.startswith("test/top")} == {
        key: second[key] for key in second if key.startswith("test/top")
    }
    assert first["test/overconfident"] == second["test/overconfident"]


def evaluate(monkeypatch, project: Path, directory: Path, *words: str) -> None:
    small = ("data.num_workers=0", "features.dir=null", "pictures=false")
    ckpt = f"ckpt={directory / 'checkpoints/best.pt'}"
    run(monkeypatch, "evaluate.py", "--config-dir", str(project / "conf"), ckpt, *small, *words)


def test_a_checkpoint_is_evaluated_where_the_package_is_trusted(trained_once, project, monkeypatch, capsys):
    evaluate(monkeypatch, project, trained_once, "trust=[ours]", "metric=[overconfident,kappa]")
    found = json.loads((trained_once / "evaluations/test.json").read_text())
    summary = json.loads((trained_once / "summary.json").read_text())
    assert found["test/overconfident"] == summary["test/overconfident"]
    assert "wrong and sure of it" in (printed := capsys.readouterr().out) and "Cohen's kappa" in printed


def test_a_backbone_for_pixels_is_half_of_a_fused_one(project, monkeypatch, tmp_path):
    strokes = ("backbone.strokes.widths=[8]", "backbone.strokes.depths=[1]", "input.points=16")
    halves = ("backbone=fused", "backbone@backbone.pixels=strided", *strokes, "head=weighed", "freeze=halves")
    train(monkeypatch, project, tmp_path / "run", *halves, "freeze@freeze.pixels=large")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["trainable_parameters"] == summary["parameters"] - 16 * 16 * 25
    evaluate(monkeypatch, project, tmp_path / "run", "trust=[ours]")
    found = json.loads((tmp_path / "run/evaluations/test.json").read_text())
    assert found["test/top1"] == summary["test/top1"]


def test_a_few_shot_method_tells_new_classes_apart(trained_once, project, monkeypatch):
    evaluate(monkeypatch, project, trained_once, "trust=[ours]", "split=zeroshot", "protocol=euclidean")
    found = json.loads((trained_once / "evaluations/zeroshot.json").read_text())
    assert found["zeroshot/euclidean_5shot_top1"] > 0.5  # a line and a pentagon


def test_without_trust_it_is_refused_in_one_line(trained_once, project, monkeypatch):
    with pytest.raises(SystemExit) as refused:
        evaluate(monkeypatch, project, trained_once)
    message = str(refused.value)
    assert message.startswith("error: ") and "\n" not in message
    assert "was not run" in message and message.endswith("if you trust it, add trust=[ours]")


def test_a_checkpoint_is_loaded_where_the_package_is_trusted(trained_once, project):
    trained = rebuild(trained_once / "checkpoints/best.pt", device="cpu", trust=["ours"])
    assert trained.classes == ["triangle", "square", "hexagon"]
    assert trained.model.backbone.name == "strided"
    with pytest.raises(ValueError, match=r"add trust=\[ours\]"):
        rebuild(trained_once / "checkpoints/best.pt", device="cpu")


def test_a_checkpoint_goes_to_the_hub_and_back_where_the_package_is_trusted(
    trained_once, project, monkeypatch, tmp_path, capsys
):
    words = [f"ckpt={trained_once}", "format=hub", "hub=someone/ours", f"out={tmp_path / 'out'}", "drawings=4"]
    drawing = tmp_path / "drawing.svg"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0H90V90H0Z" fill="none" stroke="#000"/></svg>'
    )
    with hub(monkeypatch, tmp_path / "cache") as server:
        assert refusal(export, words).endswith("if you trust it, add trust=[ours]")
        assert server.files == {}
        export([*words, "trust=[ours]"])
        assert "deepdraw.load(\"hf-hub:someone/ours\", trust=['ours'])" in (tmp_path / "out/README.md").read_text()
        capsys.readouterr()
        asked = ["ckpt=hf-hub:someone/ours", f"input={drawing}"]
        assert refusal(predict, asked).endswith("if you trust it, add trust=[ours]")
        for trust in ("trust=ours", "trust=[ours]"):
            predict([*asked, trust])
            of_the_hub = capsys.readouterr().out
            predict([f"ckpt={trained_once}", f"input={drawing}", trust])
            assert of_the_hub == capsys.readouterr().out


def command(project: Path, cwd: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(project)])}
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_runs_are_compared_by_a_metric_of_ones_own_the_lowest_first(trained_once, project, monkeypatch, tmp_path):
    other = train(monkeypatch, project, tmp_path / "other", "head.width=4", "seed=1")
    metric = "metric=overconfident"
    printed = command(project, tmp_path, "-m", "deepdraw.compare", f"{trained_once}", f"{other}", metric)
    assert "wrong and sure of it" in printed and "head.width" in printed


def test_a_sweep_takes_the_package_and_the_configs_along(tmp_path):
    """Its jobs run the copy: the project itself is gone when they start."""
    project = write_project(tmp_path / "project")
    words = [*PARTS, *SMALL, "hydra/launcher=local", "hydra.sweep.dir=sweep", "features.dir=null"]
    words += ["hydra.launcher.objective=val/overconfident"]
    script = str(ROOT / "train.py")
    command(project, tmp_path, script, "--config-dir", "project/conf", "-m", "head.width=4,8", "train.epochs=1", *words)
    code = tmp_path / "sweep/code"
    if not code.exists():
        pytest.fail("no copy of the code")
    assert (code / "ours/backbone.py").read_text() == files()["ours/backbone.py"]
    assert list((code / "own_conf").rglob("strided.yaml"))
    (project / "ours/backbone.py").write_text("raise RuntimeError('not the copy')")
    command(project, tmp_path, "-m", "deepdraw.sweep", "collect", "sweep")
    assert json.loads((tmp_path / "sweep/sweep.json").read_text())["better"] == "lower"
    with (tmp_path / "sweep/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [float(row["val/overconfident"]) for row in rows]
    assert len(found) == 2 and found == sorted(found)
    printed = command(project, tmp_path, "-m", "deepdraw.compare", "sweep", "out=compared")
    assert "2 runs by wrong and sure of it on val, their wrong and sure of it on split test" in printed
    with (tmp_path / "compared/comparison.csv").open(newline="") as file:
        assert [row["run"] for row in csv.DictReader(file)] == [row["job"] for row in rows]
