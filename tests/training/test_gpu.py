"""On a GPU: what was trained there is read alike there and on a CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest

import deepdraw

TRIANGLE = [[[0, 100, 50, 0], [100, 100, 0, 100]]]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_network_trained_on_a_gpu_has_the_same_features_on_a_cpu(train, precision):
    run = train("device=cuda", f"precision={precision}")
    assert json.loads((run / "summary.json").read_text())["test/top1"] > 0.5
    here, there = (
        deepdraw.load(run / "checkpoints/best.pt", device=device, precision="fp32").features([TRIANGLE])
        for device in ("cpu", "cuda")
    )
    assert np.allclose(here, there, atol=0.02 * np.abs(here).max())
