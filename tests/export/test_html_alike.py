"""The page in one file finds the drawings of the training that look most alike, as the page on the server does."""

from __future__ import annotations

import numpy as np
import pytest

import deepdraw
from deepdraw.draw import learn_looks
from deepdraw.export.page_data import of_training
from deepdraw.inference import rebuild
from tests.polygons import polygons

FIND = """async ([file, names, all]) => {
    const { Looks } = await import("./looks.js");
    const looks = new Looks(Uint8Array.from(file).buffer, names);
    return all.map((features) => looks.nearest(features));
}"""


def test_the_nearest_are_those_of_python_within_8_bits(script, trained_once):
    recognizer = deepdraw.load(trained_once, device="cpu", precision="fp32")
    file = of_training(recognizer.trained, teach=False, alike=True)["looks"]
    drawings, features = learn_looks(recognizer)
    own = recognizer.features([polygons([corners], 1, corners).strokes(0) for corners in (3, 4, 8, 6)])
    cosines = features @ own.T / np.linalg.norm(own, axis=1)
    by_strokes = {str(lines(drawings, index)): index for index in range(len(drawings))}
    for number, found in enumerate(script(FIND, [list(file), recognizer.classes, own.tolist()])):
        chosen = [by_strokes[str(look["strokes"])] for look in found]
        assert len({*chosen}) == 6
        assert [look["name"] for look in found] == [recognizer.classes[drawings.labels[index]] for index in chosen]
        assert cosines[chosen, number] == pytest.approx(np.sort(cosines[:, number])[:-7:-1], abs=0.002)


def lines(drawings, index: int) -> list:
    """The strokes of one of the drawings as lists of x and y."""
    return [stroke.T.tolist() for stroke in drawings.strokes(index)]


def test_where_the_drawings_of_the_training_are_gone_one_line_says_what_the_page_lacks(trained_once, tmp_path, capsys):
    trained = rebuild(trained_once, device="cpu", precision="fp32", root=str(tmp_path / "gone"))
    assert of_training(trained, teach=True, alike=True) == {}
    teaching, looking = capsys.readouterr().out.splitlines()
    assert teaching.startswith("no class can be taught on the page: ") and "gone" in teaching
    assert looking.startswith("the page shows no drawings that look alike: ") and "gone" in looking
    assert of_training(trained, teach=False, alike=False) == {}
