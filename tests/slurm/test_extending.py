"""Parts of a user's own, as docs/extending.md shows them, swept on SLURM by the copy of their package and configs."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from tests.extending.conftest import PARTS, SMALL, files, write_project
from tests.slurm.conftest import ROOT, run

pytestmark = pytest.mark.slow

JOB = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.mem_gb=2")
JOB += ("hydra.launcher.cpus_per_task=2",)
HELD = ("hydra.launcher.wait=false", "+hydra.launcher.additional_parameters={hold: true}")


def test_a_sweep_on_slurm_takes_the_package_and_the_configs_along(submit, tmp_path, monkeypatch):
    """Its jobs wait until the project is gone, and then run the copy."""
    project = write_project(tmp_path / "project")
    monkeypatch.setenv("PYTHONPATH", str(project))
    parts, configs = (*PARTS, *SMALL, "device=cpu", "features.dir=null"), ("--config-dir", str(project / "conf"))
    objective = "hydra.launcher.objective=val/overconfident"
    sweep = submit("head.width=4,8", *parts, *JOB, *HELD, objective, stub=ROOT / "train.py", options=configs)
    assert sweep.launcher.returncode == 0, sweep.launcher.stderr
    code = sweep.directory / "code"
    assert (code / "ours/backbone.py").read_text() == files()["ours/backbone.py"]
    assert list((code / "own_conf").rglob("strided.yaml"))
    shutil.move(project, tmp_path / "gone")
    for job in sweep.ids:
        assert run("scontrol", "release", job).returncode == 0
    for number in range(2):
        sweep.wait_until("", number=number, seconds=300)
    collected = sweep.command("collect")
    assert collected.returncode == 0, collected.stdout + collected.stderr
    found = [float(row["val/overconfident"]) for row in sweep.results]
    assert found == sorted(found)  # lower is better, as the metric says

    evaluate = [sys.executable, str(ROOT / "evaluate.py"), "--config-dir", str(tmp_path / "gone/conf")]
    evaluate += [f"ckpt={sweep.directory / '0'}", "split=zeroshot", "protocol=euclidean", "trust=[ours]"]
    evaluate += ["pictures=false", "features.dir=null", "data.num_workers=0", "device=cpu"]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "gone"))
    done = run(*evaluate)
    assert done.returncode == 0, done.stderr
    results = json.loads((sweep.directory / "0/evaluations/zeroshot.json").read_text())
    assert results["zeroshot/euclidean_5shot_top1"] > 0.5  # a line and a pentagon
