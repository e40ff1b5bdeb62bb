"""Which drawings are asked about and which are learned from, and what is refused."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepdraw.data.interfaces import Split
from deepdraw.data.of_each_class import seen_drawings
from deepdraw.data.shards import Shards, write_shards
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer
from deepdraw.evaluation.splits import open_split, redraw, result_name

SEEN, UNSEEN = ["octagon", "square", "triangle"], ["hexagon", "line"]


@pytest.fixture
def source(polygon_root) -> Shards:
    return Shards(str(polygon_root))


@pytest.fixture
def trained_on(source) -> list[str]:
    return source.split("train").classes


@pytest.fixture
def folder(tmp_path):
    def draw(classes: Sequence[str], per_class: int = 2) -> Path:
        for number, name in enumerate(classes):
            (tmp_path / "sketches" / name).mkdir(parents=True)
            for i in range(per_class):
                image = np.full((40, 40), 255, np.uint8)
                cv2.line(image, (5, 5 + 5 * number), (35, 35 - i), 0, 2)
                cv2.imwrite(str(tmp_path / "sketches" / name / f"{i}.png"), image)
        return tmp_path / "sketches"

    return draw


def images(split: Split, size: int = 16) -> np.ndarray:
    out = np.empty((int(split.block_sizes.sum()), size, size), np.uint8)
    split.read(np.arange(len(split.block_sizes)), np.arange(len(out)), Rasterizer(size), out)
    return out


def write_split(root: Path, **splits: tuple[list[str], int]) -> Shards:
    """Shards of splits with so many drawings of each of their classes."""
    drawings = {}
    for number, (name, (classes, per_class)) in enumerate(splits.items()):
        labels = np.arange(len(classes) * per_class) % len(classes)
        strokes = [[np.array([[0, 0], [255, 20 * label]])] for label in labels]
        drawings[name] = classes, Drawings.pack(strokes, labels, 1000 * number + np.arange(len(labels)))
    write_shards(root, drawings, metadata={})
    return Shards(str(root))


@pytest.mark.parametrize("name", ["train", "val", "test", "zeroshot"])
def test_a_split_of_the_source_is_opened_as_it_is(source, trained_on, name):
    split = open_split(name, source, trained_on)
    assert split.classes == source.split(name).classes
    assert split.fingerprint == source.split(name).fingerprint


def test_generalized_is_test_and_zeroshot_with_the_classes_trained_on_first(source, trained_on):
    split = open_split("generalized", source, trained_on)
    test, zeroshot = source.split("test"), source.split("zeroshot")
    assert split.classes == [*trained_on, *zeroshot.classes]
    assert split.labels.tolist() == [*test.labels, *zeroshot.labels + 3]
    assert (images(split) == np.concatenate([images(test), images(zeroshot)])).all()


def test_generalized_numbers_classes_as_the_head_does(source, trained_on):
    backwards = trained_on[::-1]
    split = open_split("generalized", source, backwards)
    assert split.classes == [*backwards, *source.split("zeroshot").classes]
    assert split.labels[:90].tolist() == (2 - source.split("test").labels).tolist()


def test_a_folder_of_known_classes_is_numbered_as_the_head_numbers_them(source, folder):
    classes = ["triangle", "octagon", "square"]
    split = open_split(str(folder(["square", "triangle"])), source, classes)
    assert split.classes == classes
    assert split.labels.tolist() == [2, 2, 0, 0]


def test_a_folder_of_new_classes_has_classes_of_its_own(source, trained_on, folder):
    split = open_split(str(folder(["spiral", "circle"])), source, trained_on)
    assert split.classes == ["circle", "spiral"]
    assert split.labels.tolist() == [0, 0, 1, 1]


def test_one_unknown_class_among_known_ones_is_named_with_the_nearest(source, trained_on, folder):
    path = folder(["square", "tringle"])
    with pytest.raises(ValueError, match=r"^'tringle' \(did you mean 'triangle'\?\) is not among the 3 known classes"):
        open_split(str(path), source, trained_on)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["Square", "TRIANGLE"],
            "2 of the 2 classes of this split are nearly ones that were trained on, such as 'Square'",
        ),
        (["new", "hot_dog"], "1 of the 2 .* such as 'hot_dog' for 'hot dog': write their names as in training$"),
        (["Hot-Dog", "Square"], r"'Hot-Dog' for 'hot dog': .* \('Square' as 'square' too\)$"),
    ],
)
def test_classes_that_are_nearly_known_are_not_scored_as_unseen(source, folder, names, words):
    with pytest.raises(ValueError, match=words):
        open_split(str(folder(names)), source, ["hot dog", "square", "triangle"])


def test_both_unicode_forms_of_a_name_are_one_class(source, folder):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for trained, found in ((composed, decomposed), (decomposed, composed)):
        path = folder([found])
        split = open_split(str(path), source, ["bar", trained])
        assert split.classes == ["bar", trained]
        assert split.labels.tolist() == [1, 1]
        shutil.rmtree(path)


def test_nearly_the_classes_trained_on_are_not_asked_about_as_unseen(source):
    with pytest.raises(ValueError, match="^1 of the 2 classes of split zeroshot were trained on, such as 'line'"):
        open_split("zeroshot", source, ["Line", "oval"])


def test_a_folder_is_found_in_the_home_folder(source, trained_on, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder(["spiral"]).parent))
    assert open_split("~/sketches", source, trained_on).classes == ["spiral"]
    assert result_name("~/sketches", source).endswith("-sketches")


def test_a_folder_of_shards_is_a_split(source, trained_on, polygon_root):
    split = open_split(str(polygon_root / "val"), source, trained_on)
    assert split.labels.tolist() == source.split("val").labels.tolist()


def test_a_split_of_the_source_comes_before_a_folder_of_its_name(source, trained_on, folder, monkeypatch):
    path = folder(["spiral"])
    path.rename(path.with_name("test"))
    monkeypatch.chdir(path.parent)
    assert open_split("test", source, trained_on).classes == trained_on
    assert open_split("./test", source, trained_on).classes == ["spiral"]


def test_what_is_neither_split_nor_folder_is_refused_with_what_there_is(source, trained_on, polygon_root):
    with pytest.raises(ValueError, match="no split 'tset': choose one of train, val, test, zeroshot"):
        open_split("tset", source, trained_on)
    with pytest.raises(ValueError, match="^no/such/folder is no folder: check the path$"):
        open_split("no/such/folder", source, trained_on)
    with pytest.raises(ValueError, match="no split 'vall': choose one of train, val, test, zeroshot"):
        open_split(str(polygon_root / "vall"), source, trained_on)


@pytest.mark.parametrize("name", ["zeroshot", "generalized"])
def test_classes_trained_on_are_not_asked_about_as_unseen(source, name):
    with pytest.raises(ValueError, match="^1 of the 2 classes of split zeroshot were trained on") as refused:
        open_split(name, source, ["line", *source.split("test").classes])
    assert "use split=test, or set data.root to shards that hold these classes out" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "empty"),
    [("test", "test"), ("zeroshot", "zeroshot"), ("generalized", "test"), ("generalized", "zeroshot")],
)
def test_a_split_without_drawings_is_refused(tmp_path, name, empty):
    numbers = {"test": 2, "zeroshot": 2, empty: 0}
    source = write_split(tmp_path, test=(SEEN, numbers["test"]), zeroshot=(UNSEEN, numbers["zeroshot"]))
    with pytest.raises(ValueError, match=f"^split {empty} holds no drawing"):
        open_split(name, source, SEEN)


def test_an_empty_folder_is_refused(source, trained_on, tmp_path):
    with pytest.raises(ValueError, match="has no class folders: lay images out as"):
        open_split(str(tmp_path), source, trained_on)


def test_a_class_without_an_image_is_refused(source, trained_on, folder):
    path = folder(["square", "triangle"])
    for file in (path / "square").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="square holds no image: put PNG, JPG or SVG files there"):
        open_split(str(path), source, trained_on)


@pytest.mark.parametrize(("name", "expected"), [("test", "test"), ("generalized", "generalized"), ("a/b/c", "b-c")])
def test_results_are_called_after_the_split_or_the_end_of_its_path(name, expected, source):
    assert result_name(name, source) == expected


def test_results_of_a_folder_beside_are_not_called_after_a_split(tmp_path, monkeypatch, source):
    (tmp_path / "here/test").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert result_name("./test", source) == "here-test"
    assert result_name("../here/test/", source) == "here-test"
    assert result_name("test", source) == "test"


@pytest.mark.parametrize("per_class", [1, 40, 1000])
def test_the_first_drawings_of_each_class_of_train_are_learned_from(source, trained_on, per_class):
    train = source.split("train")
    seen = seen_drawings(source, trained_on, per_class)
    expected = [i for c in range(3) for i in np.flatnonzero(train.labels == c)[:per_class]]
    assert seen.classes == trained_on
    assert seen.labels.tolist() == train.labels[sorted(expected)].tolist()
    assert (images(seen) == images(train)[sorted(expected)]).all()


def test_without_drawings_of_the_classes_trained_on_nothing_is_learned_from(source, trained_on, tmp_path):
    assert seen_drawings(source, trained_on[::-1], 40) is None
    assert seen_drawings(write_split(tmp_path, test=(SEEN, 2)), SEEN, 40) is None


def test_drawings_are_drawn_again_as_the_classifier_saw_them(source):
    split = source.split("zeroshot")
    rasterizer = Rasterizer(32, line_width=2.5, polarity="white_on_black")
    draw = redraw(split, rasterizer)
    expected = np.empty((60, 32, 32), np.uint8)
    split.read(np.arange(len(split.block_sizes)), np.arange(60), rasterizer, expected)
    positions = np.array([59, 3, 3, 17])
    assert (draw(positions, 32) == expected[positions]).all()
    assert draw(positions[:0], 32).shape == (0, 32, 32)


def test_smaller_drawings_have_thinner_lines(source):
    draw = redraw(source.split("zeroshot"), Rasterizer(64, line_width=4.0))
    ink = [(255 - draw(np.arange(10), size).astype(float)).mean() for size in (64, 32)]
    assert ink[0] == pytest.approx(ink[1], rel=0.05)
