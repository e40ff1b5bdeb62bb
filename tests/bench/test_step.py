"""The benchmark of a step measures the loop as train.py runs it, against a step that does the same to the weights."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import step
from benchmarks.__main__ import main
from deepdraw.data import Batch


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(step, "in_fresh_process", lambda function, *arguments: function(*arguments))


def test_both_steps_are_measured_and_compared(tmp_path, capsys):
    main(["step", f"out={tmp_path}", "batch_size=2", "steps=3", "repeats=2"])
    figures = json.loads((tmp_path / "step.json").read_text())
    for clock in ("wall", "cpu"):
        assert {way: len(each) for way, each in figures["seconds"][clock].items()} == {"bare": 2, "loop": 2}
        medians = figures["ms"][clock]
        assert figures["overhead_ms"][clock] == pytest.approx(medians["loop"] - medians["bare"])
    assert "difference" in capsys.readouterr().out


def test_what_comes_before_and_after_the_steps_is_no_part_of_one(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

        def process_time(self) -> float:
            return self.now / 2

    clock = Clock()
    monkeypatch.setattr(step, "time", clock)
    drawings = torch.zeros(4, dtype=torch.long)
    batches = step.OneBatch(Batch(drawings, drawings, drawings), steps=5, classes=["bat"])
    for number, _ in enumerate(batches.epoch()):
        is_measured = step.WARM_UP <= number < step.WARM_UP + 5
        clock.now += 2.0 if is_measured else 100.0
    assert batches.seconds() == {"wall": 2.0, "cpu": 1.0}


def test_no_steps_are_refused():
    with pytest.raises(SystemExit, match="steps=0 must be at least 1"):
        main(["step", "steps=0"])
