"""Drawings of one's own: folders of classes or a CSV file, of images, SVG and strokes in any mix."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deepdraw.data import Loader, open_folder
from deepdraw.data.files import Folder, LabeledFiles, store
from deepdraw.drawings import Augment, AugmentingRasterizer, Drawings, Rasterizer, simplify
from tests.polygons import encode

STRONG = Augment(rotation=30, shear=0.2, stretch=0.4, flip=0.5, dropout=0.2, jitter=0.03, line_width=1.8)
FORMS = ("png", "jpg", "svg", "ndjson")


def strokes_of(label: int, number: int) -> list[np.ndarray]:
    """A polygon of `label + 3` corners, different for each number."""
    random = np.random.default_rng([label, number])
    angles = random.uniform(0, 6.3) + np.linspace(0, 2 * np.pi, label + 4)
    corners = 128 + random.uniform(60, 120) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return simplify([corners])


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def mixed(names: str = "abc", number: int = 12, forms: tuple[str, ...] = FORMS, first: int = 0) -> dict[str, bytes]:
    """Files of `number` drawings of each class in turns of all forms."""
    return {
        f"{name}/{i}.{forms[i % len(forms)]}": encode(strokes_of(label, i), forms[i % len(forms)])
        for label, name in enumerate(names)
        for i in range(first, first + number)
    }


def read_all(split, rasterizer: Rasterizer):
    images = np.empty((len(split.labels), rasterizer.size, rasterizer.size), np.uint8)
    blocks = np.arange(len(split.block_sizes))
    return images, *split.read(blocks, np.arange(len(split.labels)), rasterizer, images)


def error(source, *arguments, **options) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        source(*map(str, arguments), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sizes(source) -> dict[str, int]:
    return {name: len(source.split(name).labels) for name in source.splits}


def test_a_folder_of_classes_is_divided_and_all_forms_mix(tmp_path, capsys):
    source = Folder(str(put(tmp_path, mixed(number=20) | {"a/notes.txt": b"x", "a/._1.png": b"x"})))
    assert sizes(source) == {"train": 42, "val": 6, "test": 12}
    for name in source.splits:
        split = source.split(name)
        assert split.classes == ["a", "b", "c"]
        assert np.bincount(split.labels).tolist() == [len(split.labels) // 3] * 3
        images, labels, key_ids = read_all(split, Rasterizer(32, 2.0))
        assert np.array_equal(labels, split.labels)
        assert len(set(key_ids.tolist())) == len(labels)
        assert (images.min(axis=(1, 2)) < 128).all()
    assert not source.has_strokes
    printed = capsys.readouterr().out
    assert "60 drawings in 60 files (15 .jpg, 15 .ndjson, 15 .png, 15 .svg), 2 left out" in printed


def test_strokes_and_svg_are_drawn_and_augmented_as_in_shards(tmp_path):
    source = Folder(str(put(tmp_path, mixed(forms=("svg", "ndjson")))))
    assert source.has_strokes
    split = source.split("train")
    assert split.complexity().strokes.tolist() == [1] * len(split.labels)
    plain = {}
    for label in range(3):
        for number in range(12):
            drawing = Drawings.pack([strokes_of(label, number)], [label], [0])
            plain[Rasterizer(32, 2.0)(drawing).tobytes()] = label, number
    images, labels, key_ids = read_all(split, Rasterizer(32, 2.0))
    assert [plain[image.tobytes()][0] for image in images] == labels.tolist()
    augmented, _, _ = read_all(split, AugmentingRasterizer(Rasterizer(32, 2.0), STRONG, "0 1"))
    drawings = [strokes_of(*plain[image.tobytes()]) for image in images]
    expected = AugmentingRasterizer(Rasterizer(32, 2.0), STRONG, "0 1")(Drawings.pack(drawings, labels, key_ids))
    assert np.array_equal(augmented, expected)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "valid", "Test"), ("train", "validation")])
def test_folders_that_are_named_as_splits_are_the_splits(tmp_path, names):
    for place, name in enumerate(names):
        put(tmp_path / name, mixed(number=12, first=100 * place))
    found = sizes(Folder(str(tmp_path)))
    assert found == ({"train": 36, "val": 36, "test": 36} if len(names) == 3 else {"train": 30, "val": 36, "test": 6})


def test_train_may_be_the_name_of_a_class(tmp_path):
    files = {name.replace("b/", "train/"): content for name, content in mixed().items()}
    assert Folder(str(put(tmp_path, files))).split("train").classes == ["a", "c", "train"]


def test_classes_are_held_out_by_a_folder_or_by_name(tmp_path):
    put(tmp_path, mixed("abcd") | {f"zeroshot/{name}": content for name, content in mixed("e", first=50).items()})
    source = Folder(str(tmp_path), unseen=["d"])
    assert source.split("zeroshot").classes == ["d", "e"]
    assert len(source.split("zeroshot").labels) == 24
    assert source.split("train").classes == source.split("test").classes == ["a", "b", "c"]
    assert "did you mean 'd'" in error(Folder, tmp_path, unseen=["dd"])


def test_files_of_strokes_beside_the_folders_say_the_class_themselves(tmp_path):
    lines = [
        json.dumps({"word": w, "drawing": [s.T.tolist() for s in strokes_of(1, i)]}) for i, w in enumerate("xy" * 9)
    ]
    named = b"\n".join(encode(strokes_of(2, i), "ndjson") for i in range(9))
    put(tmp_path, mixed("a") | {"anything.ndjson": "\n".join(lines).encode(), "full_simplified_cat.ndjson": named})
    source = Folder(str(tmp_path))
    assert source.split("train").classes == ["a", "cat", "x", "y"]
    assert sum(sizes(source).values()) == 12 + 18 + 9


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_lists_files_from_its_own_folder(tmp_path, delimiter):
    put(tmp_path / "my drawings", mixed("ab"))
    rows = [("split", "Path", "label")]
    rows += [
        (("train", "val", "test", "")[i % 4], f"../my drawings/{name}", "class " + name[0])
        for i, name in enumerate(mixed("ab"))
    ]
    text = "\n".join(delimiter.join(row) for row in rows)
    put(tmp_path, {"lists/labels.csv": ("\ufeff" + text).encode()})
    source = LabeledFiles(str(tmp_path / "lists/labels.csv"))
    assert source.split("train").classes == ["class a", "class b"]
    assert sum(sizes(source).values()) == 24
    assert sizes(source)["test"] >= 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column path"),
        ("path,class\na/0.png,a\n", "has no column label but path, class"),
        ("path,label\n", "lists no drawing"),
        ("path,label\na/0.png\n", "line 2 has no label"),
        ("path,label\na/0.png,a\na/77.png,a\n", "line 3 names a/77.png, which is no file"),
        ("path,label,split\na/0.png,a,tset\n", "line 2 has the split 'tset'"),
        ("path,label\nnotes.txt,a\n", "no file of drawings"),
        ("path,label\nlabels.csv,a\n", "labels.csv has no column named drawing"),
    ],
)
def test_a_table_out_of_order_is_told_by_its_line(tmp_path, text, words):
    put(tmp_path, mixed("a") | {"labels.csv": text.encode(), "notes.txt": b"of a"})
    assert words in error(LabeledFiles, tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no drawings"),
        ({"1.png": encode(strokes_of(0, 0), "png")}, "1.png lies in no class folder"),
        (mixed("a") | {"b/.hidden": b""}, "/b holds no drawing"),
        (mixed("a") | {"a/more/1.png": b""}, "a/more is a folder within a class"),
        (mixed("a") | {"a/x.png": encode(strokes_of(0, 0), "png")[:-20]}, "a/x.png is no image or is cut short"),
        (mixed("a") | {"a/x.svg": b"<svg"}, "a/x.svg is broken XML"),
        (mixed("a") | {"a/x.ndjson": b"\n"}, "a/x.ndjson holds no drawing"),
        (mixed("a") | {"a/x.ndjson": b"no\n"}, "a/x.ndjson: 1 of 1 drawings cannot be read"),
        (mixed("a") | {"a/x.zip": b"PK"}, "a/x.zip"),
        (mixed("a", 2), "leave none for the split val"),
        ({f"train/{k}": v for k, v in mixed("a").items()} | {f"test/{k}": v for k, v in mixed("ab", first=20).items()},
         "class 'b' has drawings in test but none in train"),
        ({f"train/{k}": v for k, v in mixed("a").items()} | {f"val/{k}": v for k, v in mixed("a").items()}
         | {f"valid/{k}": v for k, v in mixed("a").items()}, "both mean the split val"),
        (mixed("ab") | {f"zeroshot/{k}": v for k, v in mixed("b", first=20).items()}, "is in train and in zeroshot"),
    ],
)  # fmt: skip
def test_a_folder_out_of_order_is_told_by_the_name_of_what_is_wrong(tmp_path, files, words):
    assert words in error(Folder, put(tmp_path / "root", {"readme.md": b"x"} | files))


def test_a_missing_folder_is_told_of(tmp_path):
    assert "is no folder: check the path" in error(Folder, tmp_path / "nowhere")


def test_a_table_of_labels_beside_the_folders_is_left_out_and_counted(tmp_path, capsys):
    tables = {"labels.csv": b"path,label\na/1.png,a\n", "a/notes.csv": b"who,when\n"}
    source = Folder(str(put(tmp_path, mixed() | tables)))
    assert sum(sizes(source).values()) == 36
    assert "2 left out (2 tables of other files)" in capsys.readouterr().out


@pytest.mark.parametrize("shares", [{"val": 0}, {"test": 0}, {"val": 0.5, "test": 0.5}, {"val": -0.1}])
def test_shares_that_leave_a_split_empty_are_refused(tmp_path, shares):
    assert "must be shares above 0" in error(Folder, put(tmp_path, mixed()), **shares)


def test_copies_are_counted_where_folders_put_them_into_two_splits_or_classes(tmp_path, caplog):
    put(tmp_path, {f"train/{k}": v for k, v in mixed("ab").items()})
    put(tmp_path, {f"test/{k}": v for k, v in mixed("ab", first=20).items()})
    Folder(str(tmp_path))
    assert not caplog.records
    put(tmp_path, {f"test/a/copy{i}.png": (tmp_path / f"train/a/{i}.png").read_bytes() for i in (0, 4)})
    put(tmp_path, {"train/b/copy.svg": (tmp_path / "train/a/2.svg").read_bytes()})
    Folder(str(tmp_path))
    splits, classes = (record.getMessage() for record in caplog.records)
    assert "are in several splits (drawings: 2)" in splits
    assert "are in several classes (drawings: 1)" in classes


def test_renamed_and_touched_files_keep_split_key_and_fingerprint(tmp_path):
    one = Folder(str(put(tmp_path / "one", mixed())))
    renamed = {
        f"{name[0]}/{99 - i}.{name.partition('.')[2]}": content for i, (name, content) in enumerate(mixed().items())
    }
    two = Folder(str(put(tmp_path / "two", renamed)))
    for name in one.splits:
        assert one.split(name).fingerprint == two.split(name).fingerprint
        assert np.array_equal(one.split(name).key_ids, two.split(name).key_ids)


@pytest.mark.parametrize("augment", [None, STRONG])
def test_workers_ranks_and_pickling_change_nothing(tmp_path, augment):
    split = pickle.loads(pickle.dumps(Folder(str(put(tmp_path, mixed(number=20)))).split("train")))
    options = {"batch_size": 8, "shuffle": True, "device": torch.device("cpu"), "augment": augment}
    epochs = []
    for num_workers in (0, 2):
        loader = Loader(split, Rasterizer(32, 2.0), num_workers=num_workers, **options)
        epochs.append(list(loader.epoch(1)))
        assert all(map(torch.equal, next(loader.epoch(1, first=3)), epochs[0][3]))
        loader.close()
    for one, other in zip(*epochs, strict=True):
        assert all(map(torch.equal, one, other))
    ranks = [Loader(split, Rasterizer(32, 2.0), num_workers=0, rank=k, world_size=2, **options) for k in (0, 1)]
    for whole, *parts in zip(epochs[0], *(loader.epoch(1) for loader in ranks), strict=True):
        assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))


def test_an_image_is_augmented_as_strokes_with_its_key_are(tmp_path):
    """The same rotation, shear, stretch and flip: pictures of thick lines overlap far more than unrelated ones."""
    affine = Augment(rotation=40, shear=0.2, stretch=0.3, flip=0.5, dropout=0, jitter=0, line_width=1)
    overlaps, unrelated = [], []
    for number in range(20):
        strokes = [np.array([[40, 30], [200, 60], [190, 220], [90, 200], [150, 120]])]
        image = np.full((256, 256), 255, np.uint8)
        cv2.polylines(image, [strokes[0].astype(np.int32)], False, 0, 12)
        changed, factor = affine.change_image(image, number, "0 1")
        assert factor == 1
        drawn = Rasterizer(64, 3.0)
        expected = AugmentingRasterizer(drawn, affine, "0 1")(Drawings.pack([strokes], [0], [number]))[0] < 128
        rows, columns = np.flatnonzero((changed < 128).any(1)), np.flatnonzero((changed < 128).any(0))
        found = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        side = max(found.shape)
        square = np.full((side, side), 255, np.uint8)
        top, left = (side - found.shape[0]) // 2, (side - found.shape[1]) // 2
        square[top : top + found.shape[0], left : left + found.shape[1]] = found
        seen = cv2.resize(square, (64, 64), interpolation=cv2.INTER_AREA) < 128
        overlaps.append((seen & expected).sum() / (seen | expected).sum())
        unrelated.append((seen[:, ::-1] & expected).sum() / (seen[:, ::-1] | expected).sum())
    assert np.mean(overlaps) > 0.6 > 2 * np.mean(unrelated), (overlaps, unrelated)


def test_an_image_is_changed_by_seed_epoch_and_key_alone_and_by_nothing_where_all_strengths_are_zero():
    image = read_image_of(strokes_of(2, 0))
    nothing = Augment(rotation=0, shear=0, stretch=0, flip=0, dropout=0, jitter=0, line_width=1)
    changed, factor = nothing.change_image(image, 3, "0 1")
    assert np.array_equal(changed, image)
    assert factor == 1
    place = AugmentingRasterizer(Rasterizer(48, 2.0), STRONG, "0 1").place
    assert np.array_equal(place(image, 3), place(image, 3))
    assert not np.array_equal(place(image, 3), place(image, 4))
    assert not np.array_equal(place(image, 3), AugmentingRasterizer(Rasterizer(48, 2.0), STRONG, "0 2").place(image, 3))


def test_line_width_makes_lines_of_an_image_wider_or_thinner():
    image = read_image_of(strokes_of(2, 0))
    wide = Augment(rotation=0, shear=0, stretch=0, flip=0, dropout=0, jitter=0, line_width=2)
    ink = {}
    for key in range(40):
        _, factor = wide.change_image(image, key, "0 1")
        ink[factor] = float((255 - AugmentingRasterizer(Rasterizer(64, 3.0), wide, "0 1").place(image, key)).mean())
    ordered = [ink[factor] for factor in sorted(ink)]
    assert ordered == sorted(ordered)
    assert ordered[-1] > 1.8 * ordered[0]


def read_image_of(strokes: list[np.ndarray]) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encode(strokes, "png"), np.uint8), cv2.IMREAD_GRAYSCALE)


def test_what_was_read_is_kept_until_a_file_or_the_code_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("deepdraw.data.files.store.LEAST_FILES", 10)
    root = put(tmp_path / "root", mixed())
    calls: list[int] = []
    reading = store.read_collection

    def counted(entries, name):
        calls.append(len(entries))
        return reading(entries, name)

    monkeypatch.setattr("deepdraw.data.files.store.read_collection", counted)
    first, again = Folder(str(root)), Folder(str(root))
    assert calls == [36]
    for name in first.splits:
        one, other = first.split(name), again.split(name)
        assert one.fingerprint == other.fingerprint
        assert all(map(np.array_equal, read_all(one, Rasterizer(32, 2.0)), read_all(other, Rasterizer(32, 2.0))))
    (root / "a/0.png").write_bytes(encode(strokes_of(7, 7), "png"))
    Folder(str(root))
    (kept,) = (tmp_path / "cache/deepdraw/collections").iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    Folder(str(root))
    assert calls == [36, 36, 36]
    monkeypatch.setattr("deepdraw.data.files.store._code", lambda: "other")
    Folder(str(root))
    assert calls == [36] * 4


def test_a_folder_with_strokes_is_a_split_for_evaluation(tmp_path):
    split = open_folder(put(tmp_path / "mine", mixed(number=8)))
    assert split.classes == ["a", "b", "c"]
    assert np.bincount(split.labels).tolist() == [8, 8, 8]
    images, labels, _ = read_all(split, Rasterizer(32, 2.0, images="drawing"))
    assert np.array_equal(labels, split.labels)
    assert (images.min(axis=(1, 2)) < 128).all()
    put(tmp_path / "mine", {f"zeroshot/{name}": content for name, content in mixed("d").items()})
    with pytest.raises(ValueError, match="holds a folder of the split zeroshot: choose a split of it"):
        open_folder(tmp_path / "mine")
    assert open_folder(tmp_path / "mine/zeroshot").classes == ["d"]
