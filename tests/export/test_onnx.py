"""python -m deepdraw.export format=onnx: one file that onnxruntime runs, the same as its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.drawings import Drawings
from deepdraw.export import padded
from deepdraw.export.__main__ import main
from tests.refusals import refusal

onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")


@pytest.fixture(scope="session")
def images_file(trained_once, tmp_path_factory) -> Path:
    """The classifier of `trained` as a file that takes images."""
    file = tmp_path_factory.mktemp("export") / "polygons.onnx"
    main([f"ckpt={trained_once}", f"out={file}", "input=image"])
    return file


@pytest.fixture(scope="session")
def strokes(polygon_root):
    (block,) = Shards(str(polygon_root)).split("test")
    return [block.strokes(index) for index in range(7)]


def test_onnxruntime_gives_the_probabilities_of_the_checkpoint(images_file, trained_once, strokes):
    recognizer = deepdraw.load(trained_once, precision="fp32")
    session = onnxruntime.InferenceSession(images_file)
    for drawings in (strokes, strokes[:1]):
        (found,) = session.run(None, {"images": recognizer.images(drawings)})
        for row, guesses in zip(found, recognizer.predict(drawings, top=3), strict=True):
            assert [recognizer.classes[k] for k in np.argsort(-row)] == [guess.name for guess in guesses]
            np.testing.assert_allclose(np.sort(row)[::-1], [guess.probability for guess in guesses], atol=1e-5)


@pytest.fixture(scope="session")
def strokes_file(trained_once, tmp_path_factory) -> Path:
    """The same as a file that takes strokes."""
    file = tmp_path_factory.mktemp("export") / "polygons.onnx"
    main([f"ckpt={trained_once}", f"out={file}"])
    return file


def test_strokes_are_drawn_in_the_graph(strokes_file, trained_once, strokes):
    recognizer = deepdraw.load(trained_once, precision="fp32")
    session = onnxruntime.InferenceSession(strokes_file)
    for drawings in (strokes, strokes[:1], [[stroke[:1] for stroke in drawing] for drawing in strokes[:2]]):
        points, numbers = padded(Drawings.pack(drawings))
        (found,) = session.run(None, {"points": points, "strokes": numbers})
        for row, guesses in zip(found, recognizer.predict(drawings, top=3), strict=True):
            np.testing.assert_allclose(np.sort(row)[::-1], [guess.probability for guess in guesses], atol=1e-4)


def test_the_file_says_what_the_network_is(strokes_file, trained_once):
    said = onnxruntime.InferenceSession(strokes_file).get_modelmeta().custom_metadata_map
    summary = json.loads((trained_once / "summary.json").read_text())
    assert json.loads(said["classes"]) == deepdraw.load(trained_once).classes
    assert (said["input"], said["precision"]) == ("strokes", "fp32")
    assert json.loads(said["render"])["polarity"] == "white_on_black"
    assert json.loads(said["metrics"])["test/top1"] == summary["test/top1"]
    assert json.loads(said["temperature"]) == pytest.approx(summary["val/temperature"])


@pytest.mark.slow
@pytest.mark.parametrize("channels", ["ink", "shaded"])
def test_a_network_that_sees_pixels_and_strokes_takes_strokes(channels, train, tmp_path):
    small = ["backbone.pixels.image_size=32", "backbone.strokes.widths=[8,8,8]", "input.points=32"]
    run = train("experiment=fused_small", *small, f"render.channels={channels}", "train.limit_steps=3")
    main([f"ckpt={run}", f"out={tmp_path / 'fused.onnx'}"])
    assert json.loads((tmp_path / "fused.onnx.proof.json").read_text())["equal_top1"] == 1
    message = refusal(main, [f"ckpt={run}", f"out={tmp_path / 'other.onnx'}", "input=image"])
    assert "input=image is for networks that see pixels alone" in message


def test_the_proof_lies_beside_it(images_file, polygon_root):
    proof = json.loads(images_file.with_name("polygons.onnx.proof.json").read_text())
    assert proof["drawings"] == len(Shards(str(polygon_root)).split("val").labels)
    assert 0 <= proof["largest_difference"] <= proof["allowed"]["difference"] == 1e-4
    assert proof["equal_top1"] == 1
    assert proof["export_top1"] == proof["checkpoint_top1"]
    assert proof["milliseconds"] > 0


def test_nothing_is_written_over(images_file, trained):
    message = refusal(main, [f"ckpt={trained}", f"out={images_file}"])
    assert f"out={images_file} is there already: choose another" in message


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("format=onyx", "there is no format=onyx: did you mean onnx?"),
        ("formt=onnx", "there is no formt: did you mean format=onnx?"),
        ("drawings=0", "drawings=0 must lie between 1 and"),
        ("drawings=many", "drawings=many must be a whole number or null"),
        ("input=picture", "format.input=picture is unknown: choose"),
        ("backbone=clip", "backbone"),
        ("out=polygons.onxn", "polygons.onxn is to be a file of this format: name it"),
        ("--gpu", "--gpu is no flag"),
        ("somewhere/best.pt", "write ckpt=somewhere/best.pt"),
    ],
)
def test_bad_words_are_refused_in_one_line_and_write_nothing(trained, word, line):
    words = [word] if word.startswith("some") else [f"ckpt={trained}", word]
    assert line in refusal(main, words)
    assert not (trained / "exports").exists()


def test_a_checkpoint_is_needed(tmp_path):
    assert "ckpt is missing: give ckpt=RUN" in refusal(main, [])
    assert str(tmp_path) in refusal(main, [f"ckpt={tmp_path / 'nothing'}"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions_are_smaller_and_held_to_their_tolerance(
    precision, strokes_file, trained_once, strokes, tmp_path
):
    file = tmp_path / "small.onnx"
    main([f"ckpt={trained_once}", f"out={file}", f"precision={precision}"])
    assert json.loads(file.with_name("small.onnx.proof.json").read_text())["precision"] == precision
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().custom_metadata_map["precision"] == precision
    points, numbers = padded(Drawings.pack(strokes))
    (found,) = session.run(None, {"points": points, "strokes": numbers})
    (expected,) = onnxruntime.InferenceSession(strokes_file).run(None, {"points": points, "strokes": numbers})
    np.testing.assert_allclose(found, expected, atol=0.3)
    assert file.stat().st_size < strokes_file.stat().st_size
    graph = onnx.load(file).graph
    (head,) = [node for node in graph.node if node.op_type == "Gemm"]
    kept = {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    assert (head.input[1] in kept) == (precision == "int8")  # whose backbone alone has 8 bits
