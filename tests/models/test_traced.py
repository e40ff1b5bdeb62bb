"""Images for a backbone that sees strokes: refused, or their lines are traced into strokes."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.config import add_later_options
from deepdraw.data import Loader, open_folder
from deepdraw.data.tars import ImageTars
from deepdraw.drawings import Augment, Drawings, PointSampler, Rasterizer, trace
from deepdraw.inference import predict, rebuild

CPU = torch.device("cpu")
STROKES = ["backbone=strokes", "backbone.widths=[8,16]", "backbone.depths=[1,1]", "input.points=32"]
FUSED = ["backbone=fused", "backbone@backbone.pixels=timm", "backbone.pixels.name=resnet10t", "input.points=32"]
FUSED += ["backbone.pixels.pretrained=false", "backbone.pixels.image_size=32"]
FUSED += ["+backbone.pixels.options.channels=[8,8,16,16]", "backbone.strokes.widths=[8,16]"]
FUSED += ["backbone.strokes.depths=[1,1]"]
TRACED = "input.images=traced"


def line(number: int, *, upright: bool) -> np.ndarray:
    """A line of its own place, 40 x 40; the last one of ten is paper without ink."""
    image = np.full((40, 40), 255, np.uint8)
    if number % 10 < 9:
        image[5 + number % 10 : 9 + number % 10, 5 : 30 - number] = 0
    return image.T.copy() if upright else image


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve images of two classes, lines across and upright, in a folder for each class."""
    for name in ("across", "upright"):
        (tmp_path / f"own/{name}").mkdir(parents=True)
        for number in range(12):
            file = tmp_path / f"own/{name}/{number}.png"
            file.write_bytes(cv2.imencode(".png", line(number, upright=name == "upright"))[1].tobytes())
    return tmp_path / "own"


@pytest.fixture
def tars(folder, tmp_path) -> Path:
    """The same images as a tar of the original project's form."""
    (tmp_path / "tars/train").mkdir(parents=True)
    (tmp_path / "tars/test").mkdir()
    for split in ("train", "test"):
        with tarfile.open(tmp_path / f"tars/{split}/data-0.tar", "w") as tar:
            for file in sorted(folder.rglob("*.png")):
                key = f"{file.parent.name}{file.stem}"
                for suffix, content in (("png", file.read_bytes()), ("cls", file.parent.name.encode())):
                    member = tarfile.TarInfo(f"{key}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return tmp_path / "tars"


def batches(split, *, pixels: bool, workers: int = 0, augment=None):
    rasterizer = Rasterizer(24, 1.5, images="drawing") if pixels else None
    points = PointSampler(32, "traced")
    loader = Loader(
        split, rasterizer, points=points, batch_size=5, shuffle=False, device=CPU, augment=augment, num_workers=workers
    )
    read = list(loader.epoch())
    loader.close()
    return read


@pytest.mark.parametrize("kind", ["folder", "tars"])
def test_points_and_pixels_are_those_of_the_traced_strokes(kind, folder, tars):
    split = open_folder(folder) if kind == "folder" else ImageTars(str(tars)).split("test")
    expected = {}
    for name in ("across", "upright"):
        for number in range(12):
            strokes = trace(line(number, upright=name == "upright")) or [np.array([[0, 0]])]
            drawing = Drawings.pack([strokes])
            expected[PointSampler(32)(drawing).tobytes(), Rasterizer(24, 1.5)(drawing).tobytes()] = name
    seen = 0
    for batch in batches(split, pixels=True):
        images, points = batch.inputs
        for image, own, label in zip(images.numpy(), points.numpy(), batch.labels.tolist(), strict=True):
            assert (own[None].tobytes(), image[None].tobytes()) in expected
            seen += 1
            if own[:, 5].sum() > 1:  # not the dot that stands for an image without ink
                assert expected[own[None].tobytes(), image[None].tobytes()] == split.classes[label]
    assert seen == 24


@pytest.mark.parametrize("kind", ["folder", "tars"])
def test_batches_of_images_do_not_depend_on_workers(kind, folder, tars):
    split = open_folder(folder) if kind == "folder" else ImageTars(str(tars)).split("test")
    augment = Augment(20, shear=0.1, stretch=0.1, flip=0.5, dropout=0.3, jitter=0.01, line_width=1.2)
    alone, shared = (batches(split, pixels=True, workers=workers, augment=augment) for workers in (0, 2))
    for one, other in zip(alone, shared, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True))


@pytest.mark.parametrize("overrides", [STROKES, FUSED], ids=["strokes", "fused"])
def test_a_run_on_images_is_trained_resumed_evaluated_and_used(
    overrides, folder, train, interrupted, evaluate, tmp_path, capsys
):
    overrides = ["data=folder", f"data.root={folder}", "data.batch_size=4", "data.num_workers=0", TRACED, *overrides]
    overrides += ["optimizer.lr=1e-2", "augment=sketch", "train.epochs=4", "train.checkpoint_every=3"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    train(*overrides, run_dir=tmp_path / "broken")
    one, other = (
        torch.load(run / "checkpoints/best.pt", weights_only=True)["model"] for run in (alone, tmp_path / "broken")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    evaluate(alone / "checkpoints/best.pt", f"split={folder}")
    found = json.loads((alone / f"evaluations/{folder.parent.name}-own.json").read_text())
    assert rebuild(alone).points.images == "traced"  # the checkpoint keeps it
    assert predict.main([f"ckpt={alone}", f"input={folder}", f"output={tmp_path / 'rows.csv'}", "top=1"]) in (0, None)
    rows = [row.split(",") for row in (tmp_path / "rows.csv").read_text().splitlines()[1:]]
    right = [Path(file).parent.name == name for file, name, _ in rows]
    assert len(rows) == 24
    assert sum(right) / 24 == pytest.approx(found[f"{folder.parent.name}-own/top1"])
    image = line(3, upright=True)
    (guess,) = deepdraw.load(alone).predict(image, top=1)
    (same,) = deepdraw.load(alone).predict([[stroke.T.tolist() for stroke in trace(image)]], top=1)
    assert guess == same
    with pytest.raises(ValueError, match="give strokes or SVG, or images=traced"):
        deepdraw.load(alone, images="refused").predict(image)


def test_who_uses_a_checkpoint_can_have_images_traced_that_training_never_saw(train, evaluate, folder, tmp_path):
    run = train(*STROKES, "train.epochs=1", run_dir=tmp_path / "run")
    with pytest.raises(SystemExit, match="this backbone sees strokes: try backbone=tiny, or .*input.images=traced"):
        evaluate(run / "checkpoints/best.pt", f"split={folder}")
    evaluate(run / "checkpoints/best.pt", f"split={folder}", TRACED)
    with pytest.raises(SystemExit, match="0.png is an image.*images=traced"):
        predict.main([f"ckpt={run}", f"input={folder}"])
    predict.main([f"ckpt={run}", f"input={folder}", f"output={tmp_path / 'rows.csv'}", "images=traced"])
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 25
    with pytest.raises(ValueError, match="must be refused or traced"):
        deepdraw.load(run, images="vectorized")


def test_images_option_is_refused_where_it_would_do_nothing(trained):
    with pytest.raises(ValueError, match="images=traced is for networks that see strokes"):
        rebuild(trained, images="traced")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["input.images=vectorized"], "input.images=vectorized is unknown: choose refused or traced"),
        (
            [TRACED, *FUSED, "render.images=canvas"],
            "input.images=traced draws the pixels .*: set render.images=drawing",
        ),
        ([], "this backbone sees strokes: try backbone=tiny, or have their lines traced with input.images=traced"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_training(overrides, message, train, folder):
    overrides = overrides if "backbone=fused" in overrides else [*STROKES, *overrides]
    with pytest.raises(SystemExit, match=message) as refused:
        train("data=folder", f"data.root={folder}", "data.batch_size=4", *overrides)
    assert "\n" not in str(refused.value.code)


def test_checkpoints_from_before_refuse_images():
    config = {"input": {"points": 48}}
    add_later_options(config)
    assert config["input"] == {"points": 48, "images": "refused"}
