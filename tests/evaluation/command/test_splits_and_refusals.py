"""The split that evaluate.py is given, which may be a folder of images, and what it refuses in one line."""

from __future__ import annotations

import numpy as np
import pytest

from deepdraw.data.shards import Shards, write_shards
from deepdraw.drawings.packed import Drawings
from deepdraw.evaluation.predictions import Predictions
from tests.evaluation.command.conftest import found
from tests.refusals import refusal


def test_the_head_is_not_asked_about_classes_it_never_saw(trained, evaluate):
    message = refusal(evaluate, trained / "checkpoints/best.pt", "split=zeroshot", "protocol=classifier")
    assert message.endswith("use protocol=auto, prototype, knn or text")


def test_prompts_need_a_text_tower(trained, evaluate):
    message = refusal(evaluate, trained / "checkpoints/best.pt", "split=zeroshot", "protocol=text")
    assert message == "error: resnet10t has no text tower to read prompts with: use backbone=clip"


def test_a_folder_of_images_is_a_split_too(trained, evaluate, folder, polygon_root):
    classes = Shards(str(polygon_root)).split("test").classes
    path = folder(*classes[:2])
    evaluate(trained / "checkpoints/best.pt", f"split='{path}'")
    name = f"{path.parent.name}-my sketches"
    metrics = found(trained, name)
    assert metrics[f"{name}/chance"] == pytest.approx(1 / 3)
    assert f"{name}/top1" in metrics
    assert f"{name}/top1_strokes_1" not in metrics  # of images nobody knows
    answers = Predictions.load(trained / f"evaluations/{name}.predictions.npz")
    assert answers.classes == classes
    by_folder = [classes.index(name) for name in sorted(classes[:2]) for _ in range(6)]
    assert answers.labels.tolist() == by_folder


def test_paths_are_taken_as_they_are_typed(trained, evaluate, folder, monkeypatch):
    path = folder("square", "octagon").rename(trained.parent / "sketches à main (1), v=2")
    run = trained.rename(trained.parent / "run, lr=0.1 (é)")
    evaluate(run, f"split={path}")
    name = f"{path.parent.name}-{path.name}"
    assert f"{name}/top1" in found(run, name)
    monkeypatch.setenv("HOME", str(path.parent))
    assert refusal(evaluate, run, "split=~/sketches à main (1), v=3").endswith(f"did you mean {path}?")
    (path / "square").rename(path / "Square")
    (path / "octagon").rename(path / "OCTAGON")
    assert "such as 'OCTAGON' for 'octagon'" in refusal(evaluate, run, "split=~/sketches à main (1), v=2")


def test_shards_of_other_classes_are_never_to_be_removed(trained, evaluate, tmp_path):
    drawings = Drawings.pack([[np.array([[0, 0], [255, 255]])]] * 4, [0, 0, 1, 1], np.arange(4))
    write_shards(tmp_path / "other", {"test": (["square", "star"], drawings)}, metadata={})
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"data.root={tmp_path / 'other'}")
    assert message.startswith("error: 'star' is not among the 3 known classes: rename, or choose a split of known")
    assert not any(word in message for word in ("remove", "delete", "leave out", "take away"))


def test_a_folder_of_one_unknown_class_is_refused_with_the_nearest(trained, evaluate, folder):
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"split='{folder('square', 'octogon')}'")
    assert message.startswith("error: 'octogon' (did you mean 'octagon'?) is not among the 3 known classes")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no image at all", "is no image: fetch it anew or take it away"),
        (b"", "is empty: fetch it anew or take it away"),
        (b"\x89PNG\r\n\x1a\n and then nothing of use", "is no image or is cut short: fetch it anew or take it away"),
    ],
)
def test_an_image_that_is_no_image_is_named(trained, evaluate, folder, content, reason):
    path = folder("square", "octagon")
    broken = path / "square/9999.png"
    broken.write_bytes(content)
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"split='{path}'")
    assert message == f"error: {broken} {reason}"


def test_classes_trained_on_are_not_asked_about_as_unseen(trained, evaluate, polygon_root, tmp_path):
    seen = Shards(str(polygon_root))
    strokes = [[np.array([[0, 0], [255, 255]])]] * 4
    drawings = Drawings.pack(strokes, [0, 0, 1, 1], np.arange(4))
    write_shards(tmp_path / "other", {"zeroshot": (["line", seen.split("test").classes[0]], drawings)}, metadata={})
    arguments = ["split=zeroshot", f"data.root={tmp_path / 'other'}"]
    message = refusal(evaluate, trained / "checkpoints/best.pt", *arguments)
    assert message.startswith("error: 1 of the 2 classes of split zeroshot were trained on")


def test_a_split_without_drawings_is_refused(trained, evaluate, tmp_path):
    write_shards(tmp_path / "none", {"test": (["line"], Drawings.pack([], [], []))}, metadata={})
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"data.root={tmp_path / 'none'}")
    assert message.startswith("error: split test holds no drawing")


def test_a_misspelt_split_is_refused_with_those_there_are(trained, evaluate):
    message = refusal(evaluate, trained / "checkpoints/best.pt", "split=tset")
    assert message.startswith(
        "error: split=tset is neither a split nor a folder: give one of train, val, test, zeroshot"
    )
    assert message.endswith("did you mean split=test?")


def test_a_missing_checkpoint_is_refused(evaluate, tmp_path):
    message = refusal(evaluate, tmp_path / "best.pt")
    assert message.startswith(f"error: there is no checkpoint {tmp_path / 'best.pt'}: correct the path")


def test_the_checkpoint_must_be_given(evaluate):
    assert refusal(evaluate, "???").startswith("error: ckpt is missing: give ckpt=RUN, ")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_batch_is_refused(trained, evaluate, limit):
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"limit_batches={limit}")
    assert message == f"error: limit_batches={limit} must be at least 1, or null for the whole split"


def test_a_refused_evaluation_leaves_the_former_numbers(trained, evaluate):
    best = trained / "checkpoints/best.pt"
    evaluate(best)
    before = (trained / "evaluations/test.json").read_bytes()
    refusal(evaluate, best, "protocol=text")
    assert "k=0" in refusal(evaluate, best, "protocol=knn", "protocol.methods.knn.k=0")
    assert "tries=1" in refusal(evaluate, best, "split=generalized", "protocol=knn", "protocol.tries=1")
    refusal(evaluate, best, "protocol=prototype", "protocol.methods.prototype.shrinkage=0")
    refusal(evaluate, best, "precision.name=fp8")
    refusal(evaluate, best, "device=cuda:99")
    assert (trained / "evaluations/test.json").read_bytes() == before
