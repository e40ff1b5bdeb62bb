"""The data benchmark reads the same drawings on every path, from the command to its file of figures."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import data
from benchmarks.__main__ import main
from benchmarks.data import PATHS, Options, jpeg, measure, write_inputs
from deepdraw.data.tars.source import ImageTars

NUM_DRAWINGS = 40


@pytest.fixture
def options(polygon_root: Path) -> Options:
    return Options(root=str(polygon_root), num_drawings=NUM_DRAWINGS, image_size=32, batch_size=8, repeats=2)


@pytest.fixture
def inputs(options: Options, tmp_path: Path) -> Path:
    write_inputs(options, tmp_path)
    return tmp_path


def test_the_originals_picture_fills_the_square_on_both_axes():
    image = np.array(Image.open(io.BytesIO(jpeg([np.array([[10, 20], [40, 20], [40, 220]], np.uint8)]))))
    assert image.shape == (224, 224, 3)
    dark = (image < 128).any(axis=2)
    assert dark[:2].any(axis=0).mean() > 0.95
    assert dark[:, -2:].any(axis=1).mean() > 0.95
    assert dark.mean() < 0.05


def test_every_path_delivers_every_drawing_in_the_form_it_is_known_for(options: Options, inputs: Path):
    forms = {"strokes": (torch.uint8, (32, 32)), "opencv": (torch.uint8, (32, 32))}
    forms["original"] = (torch.float32, (3, 32, 32))
    for name, path in PATHS.items():
        batches = list(path(options, inputs)(1))
        assert [len(images) for images in batches] == [8] * 5
        assert (batches[0].dtype, tuple(batches[0].shape[1:])) == forms[name]


def test_every_path_shuffles_anew_in_every_epoch(options: Options, inputs: Path):
    for path in PATHS.values():
        epochs = path(options, inputs)
        first, again, second = (torch.cat(list(epochs(number))) for number in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, second)


def test_images_are_of_the_same_drawings_as_the_strokes(inputs: Path, tmp_path: Path):
    (inputs / "images").rename(tmp_path / "train")
    images = ImageTars(str(tmp_path)).split("train")
    assert set(images.classes) <= {"triangle", "square", "octagon"}
    assert images.block_sizes.sum() + ImageTars(str(tmp_path)).split("val").block_sizes.sum() == NUM_DRAWINGS


def test_the_command_shows_its_table_and_writes_the_same_figures(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    def pretend(function, options, folder):
        assert function is measure
        assert len(list((folder / "images").iterdir())) == 1
        return {"strokes": [1000.0, 3000.0], "original": [100.0, 60.0], "opencv": [200.0, 600.0]}

    monkeypatch.setattr(data, "in_fresh_process", pretend)
    main(["data", f"root={options.root}", "num_drawings=40", "repeats=2", f"out={tmp_path}"])
    figures = json.loads((tmp_path / "data.json").read_text())
    assert figures["paths"] == {"strokes": 3000, "original": 100, "opencv": 600}
    assert figures["ratio"] == {"original": 30, "opencv": 5}
    shown = capsys.readouterr().out
    for text in ("3,000", "30.0x", "5.0x", "data.json"):
        assert text in shown


def test_every_epoch_of_each_path_is_timed_on_one_core(options: Options, inputs: Path, monkeypatch):
    pinned: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: pinned.append(cores), raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    monkeypatch.setattr(data, "keep_freed_memory", lambda: None)
    speeds = measure(options, inputs)
    assert pinned == [{5}]
    assert {name: len(runs) for name, runs in speeds.items()} == {"strokes": 2, "original": 2, "opencv": 2}
    assert min(min(runs) for runs in speeds.values()) > 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("num_drawings=421", "has 420 to train on, give at most those"),
        ("num_drawings=0", "num_drawings=0 measures nothing"),
        ("root=nowhere", "no shards in nowhere"),
    ],
)
def test_bad_input_is_one_line(argument: str, message: str, options: Options, tmp_path: Path):
    with pytest.raises(SystemExit) as stopped:
        main(["data", f"root={options.root}", argument, f"out={tmp_path}"])
    assert message in str(stopped.value)
    assert "\n" not in str(stopped.value)
