"""Teaching: new names by a few drawings of each, told apart exactly as evaluate.py tells them apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.fewshot import support_sets
from deepdraw.inference import learn_known
from deepdraw.inference.predict import main as predict
from tests.refusals import refusal


@pytest.fixture
def best(trained):
    return trained / "checkpoints/best.pt"


def drawings_of(polygon_root, name):
    """The classes of a split, and drawings and labels in stored order."""
    split = Shards(str(polygon_root)).split(name)
    strokes = [block.strokes(index) for block in split for index in range(len(block))]
    return split.classes, strokes, split.labels


def chosen(drawings, indices):
    return [drawings[index] for index in indices]


@pytest.fixture
def unseen(polygon_root):
    return drawings_of(polygon_root, "zeroshot")


@pytest.fixture
def taught(best, unseen):
    """A recognizer that was taught both unseen classes by three drawings each."""
    names, drawings, labels = unseen
    return deepdraw.load(best).teach(
        {name: chosen(drawings, np.flatnonzero(labels == number)[:3]) for number, name in enumerate(names)}
    )


def test_teaching_gives_the_accuracy_that_evaluate_gives_for_the_same_support(
    trained, best, evaluate, unseen, polygon_root
):
    protocol = ["protocol=prototype", "protocol.shots=[1,5]", "protocol.tries=3"]
    expected = {}
    for split in ("zeroshot", "generalized"):
        evaluate(best, f"split={split}", *protocol)
        expected |= json.loads((trained / f"evaluations/{split}.json").read_text())
    recognizer = deepdraw.load(best)
    known = learn_known(recognizer.trained)
    names, drawings, labels = unseen
    _, seen_drawings, seen_labels = drawings_of(polygon_root, "test")
    for shots in (1, 5):
        among_new, of_seen, of_unseen = [], [], []
        for support in support_sets(torch.from_numpy(labels), shots, 3, 0):
            new = {name: chosen(drawings, rows) for name, rows in zip(names, support.tolist(), strict=True)}
            taught = recognizer.teach(new, known)
            asked = np.setdiff1d(np.arange(len(labels)), support.numpy())
            logits, truth = taught.logits(chosen(drawings, asked)), labels[asked]
            among_new.append((logits[:, len(recognizer.classes) :].argmax(axis=1) == truth).mean())
            right = logits.argmax(axis=1) == truth + len(recognizer.classes)
            of_unseen.append(np.mean([right[truth == number].mean() for number in range(len(names))]))
            right = taught.logits(seen_drawings).argmax(axis=1) == seen_labels
            of_seen.append(np.mean([right[seen_labels == number].mean() for number in range(len(recognizer.classes))]))
        key = f"whitened_{shots}shot"
        assert np.mean(among_new) == pytest.approx(expected[f"zeroshot/{key}_top1"], abs=1e-9)
        assert np.mean(of_seen) == pytest.approx(expected[f"generalized/{key}_calibrated_seen"], abs=1e-9)
        assert np.mean(of_unseen) == pytest.approx(expected[f"generalized/{key}_calibrated_unseen"], abs=1e-9)


def test_guesses_are_among_all_names_and_add_up_to_one(taught, unseen):
    names, drawings, _ = unseen
    assert taught.classes == ["triangle", "square", "octagon", *names]
    for guesses in taught.predict(drawings[:10], top=10):
        assert {guess.name for guess in guesses} == set(taught.classes)
        assert sum(guess.probability for guess in guesses) == pytest.approx(1, abs=1e-5)


def test_what_was_taught_is_read_back_as_it_was(taught, best, unseen, tmp_path):
    taught.save(tmp_path / "taught.npz")
    read = deepdraw.load(best, classes=tmp_path / "taught.npz")
    assert read.classes == taught.classes
    assert np.array_equal(read.logits(unseen[1]), taught.logits(unseen[1]))
    with np.load(tmp_path / "taught.npz", allow_pickle=False) as found:
        assert list(found["names"]) == unseen[0]


def test_names_come_and_go(taught, unseen):
    names, drawings, labels = unseen
    without = taught.forget(names[0])
    assert without.classes == [*taught.classes[:3], names[1]]
    again = without.teach({names[0]: chosen(drawings, np.flatnonzero(labels == 0)[:3])})
    order = [again.classes.index(name) for name in taught.classes]
    assert np.allclose(again.logits(drawings)[:, order], taught.logits(drawings), atol=1e-4)
    with pytest.raises(ValueError, match="'wug' was not taught"):
        taught.forget("wug")


def test_predict_and_evaluate_read_the_file(taught, best, trained, evaluate, unseen, polygon_root, tmp_path, capsys):
    taught.save(tmp_path / "taught.npz")
    names, drawings, labels = unseen
    file = tmp_path / "drawing.json"
    lines = [
        json.dumps({"key_id": str(number), "drawing": [stroke.T.tolist() for stroke in drawing]})
        for number, drawing in enumerate(drawings[:4])
    ]
    file = file.with_suffix(".ndjson")
    file.write_text("\n".join(lines) + "\n")
    assert predict([f"ckpt={best}", f"classes={tmp_path}/taught.npz", f"input={file}", "top=1", "device=cpu"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == [guess.name for (guess,) in taught.predict(drawings[:4], top=1)]
    for split in ("zeroshot", "generalized"):
        evaluate(best, f"split={split}", f"classes={tmp_path}/taught.npz")
    found = json.loads((trained / "evaluations/zeroshot.taught.json").read_text())
    right = taught.logits(drawings).argmax(axis=1) == labels + 3
    assert found["zeroshot.taught/taught_top1"] == pytest.approx(right.mean())
    found = json.loads((trained / "evaluations/generalized.taught.json").read_text())
    classes = [right[labels == number].mean() for number in range(len(names))]
    assert found["generalized.taught/taught_unseen"] == pytest.approx(np.mean(classes))


def test_a_class_that_was_not_taught_is_left_out_of_its_split(
    taught, best, trained, evaluate, unseen, tmp_path, capsys
):
    names, _, labels = unseen
    taught.forget(names[0]).save(tmp_path / "taught.npz")
    evaluate(best, "split=zeroshot", f"classes={tmp_path}/taught.npz")
    assert "1 of the 2 classes of split zeroshot were not taught" in capsys.readouterr().out
    found = json.loads((trained / "evaluations/zeroshot.taught.json").read_text())
    assert found["zeroshot.taught/drawings"] == (labels == 1).sum()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Square", "there is a class 'Square' already, as 'square'"),
        ("square", "there is a class 'square' already"),
        ("", "cannot be the name of a class"),
        ("a\nb", "cannot be the name of a class"),
        ("x" * 101, "cannot be the name of a class"),
    ],
    ids=["other-case", "same", "empty", "two-lines", "long"],
)
def test_a_name_that_cannot_be_one_is_refused(best, unseen, name, message):
    with pytest.raises(ValueError, match=message):
        deepdraw.load(best).teach({name: unseen[1][:1]})


def test_a_name_without_drawings_is_refused(best):
    with pytest.raises(ValueError, match="class 'dax' has no drawing: give one to five"):
        deepdraw.load(best).teach({"dax": []})


def test_a_name_may_be_markup(best, unseen, tmp_path):
    taught = deepdraw.load(best).teach({"<script>[/red]": unseen[1][:1]})
    taught.save(tmp_path / "taught.npz")
    assert deepdraw.load(best, classes=tmp_path / "taught.npz").classes[-1] == "<script>[/red]"


def test_names_alone_need_a_text_tower(best):
    with pytest.raises(ValueError, match="has no text tower to read 2 names with: give drawings of each"):
        deepdraw.load(best).teach(["dax", "wug"])


def test_the_data_of_the_training_are_needed_to_teach(best, unseen, tmp_path):
    with pytest.raises(ValueError, match="elsewhere"):
        deepdraw.load(best, root=tmp_path / "elsewhere").teach({"dax": unseen[1][:1]})


def changed(path, **columns):
    """The file with other arrays in the place of some of its own."""
    with np.load(path) as found:
        np.savez(path, **{**found, **columns})


def test_a_file_of_another_checkpoint_is_refused(taught, trained, tmp_path):
    taught.save(tmp_path / "taught.npz")
    with pytest.raises(ValueError, match="was taught to another checkpoint than .*last.pt"):
        deepdraw.load(trained / "checkpoints/last.pt", classes=tmp_path / "taught.npz")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"features": np.zeros((6, 7), np.float32)}, "its features are 7 wide"),
        ({"features": np.zeros((6, 7), np.float64)}, "holds float64, not float32"),
        ({"labels": np.zeros(6, np.uint16)}, "its drawings are not of its names"),
        ({"names": np.array(["dax", "dax"])}, "there is a class 'dax' already"),
        ({"names": np.array(["dax", "square"])}, "there is a class 'square' already"),
        ({"names": np.array(["dax", "\x1b[2J"])}, "cannot be the name of a class"),
        ({"offsets": np.full(5, np.nan)}, "not finite"),
        ({"counts": np.zeros(3, np.int64)}, "counts is not above 0"),
        ({"between": np.ones(1, np.float32)}, "has another shape"),
        ({"more": np.zeros(1)}, "members other than"),
        ({"names": np.array([None, "x"])}, "no file of taught classes"),
    ],
    ids=["width", "dtype", "labels", "twice", "trained-on", "escape", "nan", "counts", "shape", "more", "objects"],
)
def test_a_file_that_teach_did_not_write_is_refused_in_one_line(taught, best, tmp_path, columns, message):
    path = tmp_path / "taught.npz"
    taught.save(path)
    changed(path, **columns)
    with pytest.raises(ValueError, match=message) as caught:
        deepdraw.load(best, classes=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_evaluate_refuses_what_does_not_go_with_taught_classes(taught, best, evaluate, tmp_path):
    taught.save(tmp_path / "taught.npz")
    for other in ("protocol=knn", "average=2"):
        message = refusal(evaluate, best, "split=zeroshot", f"classes={tmp_path}/taught.npz", other)
        assert "leave out protocol, average and interpolate" in message
    taught.forget("hexagon").forget("line").save(tmp_path / "none.npz")
    message = refusal(evaluate, best, "split=zeroshot", f"classes={tmp_path}/none.npz")
    assert "no drawing of split zeroshot is of a class that was taught" in message
    assert "classes=" in refusal(evaluate, best, f"classes={tmp_path}/gone.npz")
    assert "classes=" in refusal(predict, [f"ckpt={best}", f"classes={tmp_path}/gone.npz", f"input={tmp_path}"])
