"""The page's server answers with what `predict` says of the same strokes."""

from __future__ import annotations

import base64
import json

import cv2
import numpy as np
import pytest

import deepdraw
from deepdraw.drawings import drawings_of_points, parse_strokes


@pytest.mark.parametrize("sees", ["pixels", "strokes", "fused"])
def test_a_guess_is_what_predict_says_of_the_same_strokes(serve, runs, drawn, tmp_path, sees):
    recognizer = deepdraw.load(runs(sees))
    page = serve(runs(sees))
    drawings = [drawn(corners, corners) for corners in (3, 4, 8)]
    drawings += [drawings[1][:1], [[row[:5] for row in drawings[2][0]]], [[[700.0], [12.5], [0]]]]  # half done; a dot
    file = tmp_path / "drawn.ndjson"
    file.write_text("".join(json.dumps({"drawing": drawing}) + "\n" for drawing in drawings))
    for drawing, expected in zip(drawings, recognizer.predict(file, top=10), strict=True):
        answer = page.guess(drawing)
        assert answer.status == 200, answer.content
        assert answer.json["names"] == [guess.name for guess in expected]
        assert answer.json["probabilities"] == pytest.approx([guess.probability for guess in expected], abs=1e-5)


def test_what_the_network_sees_is_sent_along(serve, runs, drawn, tmp_path):
    recognizer, drawing = deepdraw.load(runs("fused")), drawn(4)
    seen = serve(runs("fused")).guess(drawing).json["seen"]
    file = tmp_path / "drawn.ndjson"
    file.write_text(json.dumps({"drawing": drawing}))
    (image,), (points,) = recognizer.images(file), recognizer.points(file)
    assert (
        cv2.imdecode(np.frombuffer(base64.b64decode(seen["picture"]), np.uint8), cv2.IMREAD_UNCHANGED) == image
    ).all()
    xy = np.array(seen["points"])
    assert np.abs(xy[:, :2] - drawings_of_points(points[None]).points).max() < 1e-4
    assert xy[:, 2].sum() == len(drawing)


def test_a_network_of_one_kind_tells_only_of_what_it_sees(serve, runs, drawn):
    page = serve(runs("pixels"), runs("strokes"))
    pixels, strokes = page.ask("GET", "/networks").json
    assert (pixels["sees"], strokes["sees"]) == (["pixels"], ["strokes"])
    assert pixels["names"] == ["triangle", "square", "octagon"]
    assert strokes["imageSize"] is None
    assert page.guess(drawn(3), 0).json["seen"]["points"] is None
    assert page.guess(drawn(3), 1).json["seen"]["picture"] is None
    assert page.guess(drawn(3), 2).status == 404


def test_points_of_a_network_that_sees_pixels_alone_are_refused_in_one_line(runs, drawn):
    with pytest.raises(ValueError, match="sees pixels alone"):
        deepdraw.load(runs("pixels")).points(drawn(3))


def test_the_drawings_that_look_most_alike_are_the_nearest_by_their_features(serve, runs, drawn):
    recognizer = deepdraw.load(runs("strokes"))
    train = recognizer.trained.source().split("train")
    drawings = train.read_strokes(np.arange(len(train.block_sizes)), np.arange(len(train.labels)))
    candidates = [drawings.strokes(index) for index in range(len(drawings))]
    own = recognizer.features([parse_strokes(drawn(4))])[0]
    features = recognizer.features(candidates)
    cosines = features @ own / np.linalg.norm(features, axis=1)
    found = serve(runs("strokes")).ask(
        "POST", "/networks/0/alike", json.dumps({"drawing": drawn(4)}).encode(), Content_Type="application/json"
    )
    assert len(found.json["drawings"]) == 6
    for look, index in zip(found.json["drawings"], np.argsort(-cosines), strict=False):
        assert look["name"] == train.classes[train.labels[index]]
        assert look["strokes"] == [stroke.T.tolist() for stroke in candidates[index]]
