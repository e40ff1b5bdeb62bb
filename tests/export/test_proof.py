"""Every format is held to its checkpoint: what differs is refused, and then nothing is left of it."""

from __future__ import annotations

import json
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch

from deepdraw.export import Format
from deepdraw.export.__main__ import main
from tests.refusals import refusal


class Weights(Format):
    """A file of weights, run by the very network, with what a test does to its probabilities."""

    suffix = ".weights"
    change = staticmethod(lambda found: found)
    finished: ClassVar[list] = []

    def __init__(self, precision="fp32"):
        self.precision = precision

    def write(self, trained, place, calibration):
        assert len(calibration) > 0
        with open(place, "xb") as file:
            torch.save(trained.model.state_dict(), file)

    def runner(self, trained, place):
        assert torch.load(place).keys() == trained.model.state_dict().keys()

        def run(examples):
            with torch.no_grad():
                found = torch.softmax(trained.model(examples.inputs) / (trained.temperature or 1), dim=1)
            return type(self).change(found.numpy())

        return run

    def finish(self, trained, place, proof):
        self.finished.append((place.exists(), proof.drawings))


class Folder(Weights):
    suffix = ""

    def write(self, trained, place, calibration):
        (place / "deep").mkdir()
        super().write(trained, place / "deep/weights", calibration)

    def runner(self, trained, place):
        return super().runner(trained, place / "deep/weights")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Formats of one's own, in a config directory of one's own."""
    monkeypatch.setitem(sys.modules, "own_formats", sys.modules[__name__])
    monkeypatch.setattr(Weights, "finished", [])
    (tmp_path / "conf/format").mkdir(parents=True)
    for name, text in {
        "weights": "_target_: own_formats.Weights",
        "int8": "{_target_: own_formats.Weights, precision: int8}",
        "folder": "_target_: own_formats.Folder",
        "other": "_target_: pathlib.Path",
    }.items():
        (tmp_path / f"conf/format/{name}.yaml").write_text(text)
    return ["--config-dir", str(tmp_path / "conf")]


def test_a_format_of_ones_own_is_written_proved_and_finished(own, trained, capsys):
    main([*own, f"ckpt={trained}", "format=weights", "drawings=30"])
    assert sorted(path.name for path in (trained / "exports").iterdir()) == [
        "best.weights",
        "best.weights.md",
        "best.weights.png",
        "best.weights.proof.json",
    ]
    proof = json.loads((trained / "exports/best.weights.proof.json").read_text())
    assert (proof["drawings"], proof["largest_difference"], proof["equal_top1"]) == (30, 0, 1)
    assert Weights.finished == [(True, 30)]
    printed = capsys.readouterr().out
    assert "30 drawings of val" in printed
    assert f"written: {trained / 'exports/best.weights'}" in printed


def test_a_folder_is_one_as_well(own, trained, tmp_path):
    main([*own, f"ckpt={trained}", "format=folder", f"out={tmp_path / 'out'}"])
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert written == ["README.md", "deep", "deep/weights", "drawings.png"]
    assert (tmp_path / "out.proof.json").exists()


def half_right(found):
    """Every second drawing gets the least likely name."""
    found[::2] = 1 - found[::2]
    return found


@pytest.mark.parametrize(
    ("form", "change", "line"),
    [
        ("weights", lambda found: found + 2e-4, "its probabilities differ by up to 0.0002"),
        ("folder", lambda found: np.roll(found, 1, axis=1), "drawings get another name"),
        ("int8", half_right, "less are allowed in int8; use precision=fp32"),
        ("weights", lambda found: found * np.nan, "probabilities: it cannot be used"),
        ("weights", lambda found: found[:, :1], "probabilities: it cannot be used"),
    ],
    ids=["off", "rolled", "half_right", "nan", "narrow"],
)
def test_what_differs_from_the_checkpoint_is_refused_and_nothing_is_left(own, trained, form, change, line, monkeypatch):
    monkeypatch.setattr(Weights, "change", staticmethod(change))
    assert line in refusal(main, [*own, f"ckpt={trained}", f"format={form}"])
    assert list((trained / "exports").iterdir()) == []
    assert Weights.finished == []


def test_int8_may_differ_where_the_accuracy_is_kept(own, trained, monkeypatch):
    monkeypatch.setattr(Weights, "change", staticmethod(lambda found: found / 2))
    main([*own, f"ckpt={trained}", "format=int8"])
    assert (trained / "exports/best.weights").exists()


def test_a_class_that_is_no_format_is_refused(own, trained):
    assert "is no deepdraw.export.Format" in refusal(main, [*own, f"ckpt={trained}", "format=other"])


def test_drawings_that_have_moved_are_found_by_data_root(own, trained, polygon_root, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(polygon_root)
    main([*own, f"ckpt={trained}", "format=weights", f"data.root={moved}"])
    nowhere = tmp_path / "nowhere"
    words = ["format=weights", f"data.root={nowhere}", f"out={tmp_path / 'a.weights'}"]
    assert str(nowhere) in refusal(main, [*own, f"ckpt={trained}", *words])
