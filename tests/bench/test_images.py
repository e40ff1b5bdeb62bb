"""The benchmark of images draws one drawing in many ways, and tells how many of each a network recognizes."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.images import WAYS, Options, first_drawings


def test_every_way_of_drawing_is_measured_against_strokes(trained, polygon_root, tmp_path, capsys):
    ckpt = trained / "checkpoints/best.pt"
    main(["images", f"ckpt={ckpt}", f"root={polygon_root}", "num_drawings=30", f"out={tmp_path}"])
    figures = json.loads((tmp_path / "images.json").read_text())
    assert figures["num_drawings"] == 30
    assert figures["ways"].keys() == WAYS.keys()
    for way in figures["ways"].values():
        assert abs(way["drawing"]["top1"] - figures["strokes"]) <= 0.1
        assert way["drawing"]["milliseconds"] > 0
    assert "to strokes" in capsys.readouterr().out


@pytest.mark.parametrize("name", WAYS)
def test_a_way_puts_the_whole_drawing_into_its_frame(polygon_root, name):
    drawings = first_drawings(str(polygon_root), 3)
    way = WAYS[name]
    for index in range(3):
        image = way.draw(drawings.strokes(index), np.random.default_rng(index))
        assert image.shape == (way.side, way.side)
        inked = np.argwhere(np.abs(image.astype(int) - np.median(image)) > 80)
        assert (np.ptp(inked, axis=0).max() / way.side == pytest.approx(way.fill, abs=0.1)) or way.light


@pytest.mark.parametrize(("options", "message"), [({}, "give ckpt=RUN"), ({"num_drawings": 0}, "at least 1")])
def test_options_that_measure_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**{"ckpt": "x", "root": "y", **options} if options else {})
