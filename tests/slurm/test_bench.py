"""The benchmark of a sweep on a real SLURM cluster: no job is lost, and its figures are in the table."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main
from tests.slurm.conftest import run

pytestmark = pytest.mark.slow


def test_every_job_is_collected_and_none_is_left(cluster, tmp_path, capsys):
    main(["sweep", "num_jobs=6", f"out={tmp_path}"])
    figures = json.loads((tmp_path / "sweep.json").read_text())
    assert figures["num_collected"] == 6
    seconds = {name: value for name, value in figures.items() if name.endswith("_seconds")}
    assert len(seconds) == 5 and all(value > 0 for value in seconds.values())
    shown = capsys.readouterr().out
    assert "6 jobs, of which 6 were collected" in shown
    assert f"{figures['submission_seconds']:.1f}" in shown
    assert str(tmp_path) not in run("squeue", "--noheader", "--format=%o").stdout
