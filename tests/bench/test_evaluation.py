"""The benchmark of an evaluation: its figures are those of one split, and the parts add up."""

import pytest
import torch
from rich.console import Console

from benchmarks import evaluation


@pytest.mark.parametrize("in_bf16", [False, True])
def test_an_evaluation_is_measured_beside_the_bare_pass(trained, tmp_path, monkeypatch, in_bf16):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: in_bf16)
    options = evaluation.Options(ckpt=str(trained / "checkpoints/best.pt"), out=str(tmp_path), batch_size=32)
    figures = evaluation.run(options)
    assert (figures["num_drawings"], figures["num_classes"]) == (90, 3)
    assert figures["bare_seconds"] > 0
    assert figures["scored_seconds"] <= figures["evaluation_seconds"]
    assert [path.name for path in (trained / "evaluations").iterdir()] == ["test.predictions.npz"]  # of its training
    console = Console(record=True, width=100)
    console.print(evaluation.table(options, figures))
    assert "bare forward pass" in console.export_text()
