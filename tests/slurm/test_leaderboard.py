"""Encoders are swept on the SLURM cluster that is up, evaluated in their jobs, and ranked."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.slurm.conftest import ROOT, Submit, run

pytestmark = pytest.mark.slow

SMALL = ("data.source.per_class=25", "data.num_workers=0", "device=cpu", "precision=fp32", "+sweep=encoders")
SLURM = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.mem_gb=2")
LOCAL = ("hydra/launcher=local", "hydra.launcher.n_jobs=2")
TIMES = ("images/s", "CPU hours")
OWN = """\
_target_: deepdraw.models.backbones.TimmBackbone
name: {name}
pretrained: false
image_size: 32
pooling: null
"""


def ranking(sweep: Path) -> list[dict[str, str]]:
    """The rows of the leaderboard of a sweep."""
    done = run(sys.executable, "-m", "deepdraw.compare", "leaderboard", str(sweep), f"out={sweep / 'ranking'}")
    assert done.returncode == 0, done.stderr
    lines = (sweep / "ranking/leaderboard.md").read_text().splitlines()
    headings, _, *rows = [re.split(r" *\| *", line.strip("| ")) for line in lines if line.startswith("|")]
    return [dict(zip(headings, row, strict=True)) for row in rows]


def test_encoders_are_ranked_alike_by_slurm_and_on_one_machine(submit: Submit, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "conf/backbone").mkdir(parents=True)
    for name in ("test_vit", "test_resnet"):
        (tmp_path / f"conf/backbone/{name}.yaml").write_text(OWN.format(name=name))
    words = [*SMALL, "backbone=test_vit,test_resnet", f"data.root={tmp_path / 'doodles'}"]
    found = []
    for where in (SLURM, LOCAL):
        name = where[0].rpartition("=")[2]
        sweep = submit(
            *words,
            *where,
            f"features.dir={tmp_path / name / 'features'}",
            stub=ROOT / "train.py",
            directory=tmp_path / name / "sweep",
            options=["--config-dir", str(tmp_path / "conf")],
        )
        assert sweep.launcher.returncode == 0, sweep.launcher.stderr + sweep.launcher.stdout
        found.append(ranking(sweep.directory))
    on_slurm, here = found
    assert {row["encoder"] for row in on_slurm} == {"test_vit", "test_resnet"}
    assert all(row[name] for row in on_slurm for name in (*TIMES, "k-shot top-1", "generalized harmonic mean", "ECE"))
    for row, other in zip(on_slurm, here, strict=True):
        assert {**row, **dict.fromkeys(TIMES)} == {**other, **dict.fromkeys(TIMES)}
