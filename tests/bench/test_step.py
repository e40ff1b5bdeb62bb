"""The benchmark of a step measures the loop as train.py runs it, against a step that does the same to the weights."""

from __future__ import annotations

import json

import pytest

from benchmarks import step
from benchmarks.__main__ import main


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(step, "in_fresh_process", lambda function, *arguments: function(*arguments))


def test_both_steps_are_measured_and_compared(tmp_path, capsys):
    main(["step", f"out={tmp_path}", "batch_size=2", "steps=3", "repeats=2"])
    figures = json.loads((tmp_path / "step.json").read_text())
    assert {way: len(each) for way, each in figures["seconds"].items()} == {"bare": 2, "loop": 2}
    assert figures["overhead_ms"] == pytest.approx(figures["ms"]["loop"] - figures["ms"]["bare"])
    assert "difference" in capsys.readouterr().out


def test_no_steps_are_refused():
    with pytest.raises(SystemExit, match="steps=0 must be at least 1"):
        main(["step", "steps=0"])
