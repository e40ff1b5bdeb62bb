"""A folder of one's own drawings, swept on the SLURM cluster that is up."""

from __future__ import annotations

import pytest

from tests.slurm.conftest import ROOT
from tests.training.test_own_drawings import CORNERS, write

pytestmark = pytest.mark.slow

JOB = ("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.mem_gb=2")
SMALL = ("device=cpu", "precision=fp32", "data.batch_size=16", "data.num_workers=0", "train.epochs=2")
SMALL += ("backbone.image_size=32", "backbone.options.channels=[8,8,16,16]", "augment=sketch")


def test_a_folder_is_swept(submit, tmp_path):
    root = write(tmp_path / "my drawings", CORNERS, 24)
    folder = ("data=folder", f"data.root={root}")
    sweep = submit(*folder, "data.sampler=null,balanced", *SMALL, *JOB, stub=ROOT / "train.py")
    assert sweep.launcher.returncode == 0, sweep.launcher.stderr
    assert {row["state"] for row in sweep.results} == {"COMPLETED"}
    assert {row["data.sampler"] for row in sweep.results} == {"null", "balanced"}
    for number in range(2):
        assert (sweep.directory / f"{number}/plots/data.png").stat().st_size > 0
        assert (sweep.directory / f"{number}/report.html").stat().st_size > 0
