"""The rendering benchmark probes what it says, from the command to its file of figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.rendering import (
    C,
    Options,
    Rendering,
    compare,
    encode,
    first_of_each,
    fit_probe,
    renderings,
    spread,
    standardize,
)
from deepdraw.data.shards import BLOCK, Shards, write_shards
from deepdraw.drawings.raster import Rasterizer
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.runtime.options import parse


@pytest.fixture(scope="module")
def encoder() -> Classifier:
    """A tiny vision transformer with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(TimmBackbone("test_vit", pretrained=False, image_size=32), torch.nn.Identity()).eval()


@pytest.fixture(scope="module")
def tiny(encoder, polygon_root: Path, tmp_path_factory) -> list[str]:
    """The options of a run on that encoder and a few polygons, three renderings in all."""
    weights = tmp_path_factory.mktemp("weights") / "test_vit.pth"
    torch.save(encoder.backbone.network.state_dict(), weights)
    encoded = [f"root={polygon_root}", "backbone=test_vit", f"pretrained={weights}", "image_size=32", "device=cpu"]
    return [*encoded, "classes=3", "train=10", "test=12", "line_width=2", "line_widths=[]", "sizes=[48]"]


@pytest.mark.parametrize("num_features", [5, 120])
def test_the_probe_is_scikit_learns_logistic_regression(num_features: int):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    features = rng.normal(size=(80, num_features)) + rng.normal(size=(4, num_features))[labels]
    reference = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(features, labels)
    weight, bias = fit_probe(torch.from_numpy(features), torch.from_numpy(labels), 4)
    others = rng.normal(size=(50, num_features))
    logits = (torch.from_numpy(others) @ weight.T + bias).numpy()
    np.testing.assert_allclose(logits, reference.decision_function(others), atol=1e-5)
    np.testing.assert_array_equal(logits.argmax(axis=1), reference.predict(others))


def test_standardizing_uses_the_training_drawings_alone_and_survives_a_dead_feature():
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 5, (40, 6)), rng.normal(2, 4, (20, 6))
    train[:, 2] = 0.1
    scaler = StandardScaler().fit(train)
    ours = standardize(torch.from_numpy(train), torch.from_numpy(test))
    np.testing.assert_allclose(ours[0], scaler.transform(train), atol=1e-12)
    np.testing.assert_allclose(ours[1], scaler.transform(test), atol=1e-12)


def test_the_drawings_are_the_first_of_each_class_in_stored_order(polygon_root: Path):
    split = Shards(str(polygon_root)).split("test")
    stored = [(int(label), int(key)) for block in split for label, key in zip(block.labels, block.key_ids, strict=True)]
    chosen = first_of_each(split, np.array([0, 2]), 7)
    assert chosen.labels.tolist() == [0] * 7 + [2] * 7
    expected = [[key for label, key in stored if label == chosen][:7] for chosen in (0, 2)]
    assert chosen.key_ids.tolist() == sum(expected, [])


def test_no_more_is_read_than_it_takes(polygon_root: Path, tmp_path: Path):
    drawings = Shards(str(polygon_root)).split("train").drawings([0])
    drawings = drawings.take(np.arange(4 * BLOCK) % len(drawings))
    write_shards(tmp_path, {"train": (["triangle", "square", "octagon"], drawings)}, metadata={})
    split = Shards(str(tmp_path)).split("train")
    read = []

    class Watched:
        classes = split.classes

        def __iter__(self):
            for block in split:
                read.append(block)
                yield block

    assert len(first_of_each(Watched(), np.arange(3), 10)) == 30
    assert len(read) == 1
    assert len(split.block_sizes) == 4


def test_classes_are_spread_evenly_over_the_sorted_list():
    assert spread(12, 4).tolist() == [0, 3, 6, 9]
    assert spread(5, 5).tolist() == [0, 1, 2, 3, 4]
    steps = np.diff(spread(275, 75))
    assert {3, 4} == set(steps.tolist())


def test_by_default_the_line_width_alone_varies_and_the_polarity_once():
    assert renderings(Options()) == [
        *(Rendering(224, line_width) for line_width in (3.0, 1.0, 2.0, 5.0, 8.0)),
        Rendering(224, 3.0, "white_on_black"),
    ]


def test_lines_grow_with_the_further_sizes():
    options = parse(Options, ["image_size=112", "line_width=2", "line_widths=", "sizes=56, 224"])
    assert renderings(options)[2:] == [Rendering(56, 1.0), Rendering(224, 4.0)]


def test_further_channels_have_the_size_and_the_line_width_of_the_first():
    options = parse(Options, ["line_widths=", "channels=[shaded, thirds]"])
    assert renderings(options)[2:] == [Rendering(224, 3.0, channels=kind) for kind in ("shaded", "thirds")]
    assert [rendering.rasterizer().shape for rendering in renderings(options)[1:3]] == [(224, 224), (3, 224, 224)]


def test_features_are_the_encoders_own_batch_by_batch(encoder: Classifier, polygon_root: Path):
    drawings = first_of_each(Shards(str(polygon_root)).split("test"), np.arange(3), 7)
    rasterizer = Rasterizer(32, 2.0, polarity="white_on_black")
    batches: list[int] = []
    features = encode(encoder, rasterizer, drawings, batches.append)
    assert batches == [16, 5]
    with torch.no_grad():
        expected = encoder.features(torch.from_numpy(rasterizer(drawings)))
    torch.testing.assert_close(features, expected.double(), atol=1e-5, rtol=1e-5)


def test_renderings_are_compared_drawing_by_drawing():
    correct, reference = (torch.tensor(hits, dtype=torch.float64) for hits in ([1, 1, 0, 1], [1, 0, 0, 1]))
    figures = compare(correct, reference)
    paired = np.array([0, 1, 0, 0])
    assert figures == pytest.approx(
        {
            "top1": 0.75,
            "top1_stderr": 0.25,
            "difference": 0.25,
            "difference_stderr": paired.std(ddof=1) / 2,
        }
    )


def test_the_command_shows_its_table_and_writes_the_same_figures_each_time(tiny: list[str], tmp_path: Path, capsys):
    written = []
    for name in ("once", "again"):
        main(["rendering", *tiny, f"out={tmp_path / name}"])
        written.append(json.loads((tmp_path / name / "rendering.json").read_text()))
    figures, again = written
    assert figures["renderings"] == again["renderings"]
    assert figures["num_images"] == 3 * 3 * (10 + 12)
    assert figures["classes"] == ["triangle", "square", "octagon"]
    assert [(row["image_size"], row["line_width"], row["polarity"]) for row in figures["renderings"]] == [
        (32, 2.0, "black_on_white"),
        (32, 2.0, "white_on_black"),
        (48, 3.0, "black_on_white"),
    ]
    first, *others = figures["renderings"]
    assert (first["difference"], first["difference_stderr"]) == (0, 0)
    assert first["top1"] > 0.5  # even random weights tell triangles from octagons
    for row in others:
        assert row["difference"] == pytest.approx(row["top1"] - first["top1"])
    shown = capsys.readouterr().out
    for text in ("198 images", "white on black", f"{100 * first['top1']:.1f} ±", "C=0.03", "rendering.json"):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classes=1"], "classes=1 measures nothing: give at least 2"),
        (["classes=4"], "classes=4, but the train split has 3"),
        (["test=40"], "a split has 30 drawings of 'triangle', not 40: lower train= or test="),
        (["line_widths=[1;2]"], "'[1;2]' is no list of numbers: write it as line_widths=[1,2,5]"),
        (["line_widths=[20]"], "line_width=20.0 must lie between 0.5 and a quarter of the size"),
        (["channels=[gray]"], "render.channels='gray' must be ink, shaded or thirds"),
        (["sizes=[50]"], "no multiple of the 16 px patch: use 48 or 64"),
        (["pretrained=absent.pth"], "no weights file absent.pth"),
        (["backbone=test_vit2"], "is of another architecture than test_vit2"),
        (["root=nowhere"], "no shards in nowhere"),
    ],
)
def test_bad_input_is_one_line(tiny: list[str], arguments: list[str], message: str, tmp_path: Path):
    with pytest.raises(SystemExit) as stopped:
        main(["rendering", *tiny, f"out={tmp_path}", *arguments])
    assert str(stopped.value).startswith("error: ")
    assert message in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "rendering.json").exists()
