"""Images in tars: each comes with its own label, in any order, in every form that people pack."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deepdraw.data.quickdraw.categories import SEEN, UNSEEN
from deepdraw.data.tars.members import tar_members
from deepdraw.data.tars.source import BLOCK, ImageTars
from deepdraw.drawings.raster import Rasterizer
from tests.data.tars.conftest import NAMES, classes_of, error, gray, labels_of, png, read, read_all, samples, write_tar


def test_train_and_val_share_out_the_train_folder_by_key_alone(tmp_path):
    labels = [NAMES[i % 3] for i in range(1600)]
    write_tar(tmp_path / "one/train/data-00000.tar", samples(labels))
    write_tar(tmp_path / "two/train/data-00000.tar", reversed(samples(labels)[:1600]))
    write_tar(tmp_path / "two/train/data-00001.tar", samples(labels)[1600:])
    one, two = ImageTars(str(tmp_path / "one")), ImageTars(str(tmp_path / "two"))
    keys = {name: set(read_all(one.split(name))[2].tolist()) for name in ("train", "val")}
    assert one.splits == ["train", "val"]
    assert not keys["train"] & keys["val"]
    assert len(keys["train"] | keys["val"]) == 1600
    assert 70 <= len(keys["val"]) <= 130  # 5/80 of 1600 is 100, its standard deviation 10
    assert set(read_all(two.split("val"))[2].tolist()) == keys["val"]


def test_every_image_comes_with_its_own_label_in_any_order(tmp_path):
    labels = [NAMES[i * i % 3] for i in range(50)]
    write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    write_tar(tmp_path / "test/data-00000.tar", samples(labels[:20]))
    write_tar(tmp_path / "test/data-00001.tar", [(n, d) for n, d in samples(labels) if int(n[1:5]) >= 20])
    split = ImageTars(str(tmp_path)).split("test")
    assert split.classes == sorted(NAMES)
    assert split.block_sizes.dtype == np.int64
    assert split.block_sizes.tolist() == [BLOCK, 20 - BLOCK, BLOCK, 30 - BLOCK]  # no block spans two tars
    images, classes, key_ids = read(split, np.array([3, 0]), np.array([14, 0, 13, 0]), Rasterizer(8, line_width=1))
    grays = [0, 20 + BLOCK, 49, 20 + BLOCK]
    assert images.shape == (4, 8, 8)
    assert images.dtype == np.uint8
    assert images[:, 0, 0].tolist() == grays
    assert [split.classes[label] for label in classes] == [labels[i] for i in grays]
    assert classes.dtype == np.int64
    assert key_ids.dtype == np.uint64
    assert key_ids.flags.c_contiguous
    assert split.labels.tolist() == read_all(split)[1].tolist()
    assert split.labels.dtype == np.int64
    assert split.complexity() is None
    assert len(set(key_ids.tolist())) == 3
    again = pickle.loads(pickle.dumps(split))  # as spawned workers receive it
    assert np.array_equal(read_all(again)[0], read_all(split)[0])


def test_shards_made_as_the_original_made_them_are_read(tmp_path):
    strokes = [[(10, 30), (240, 30)], [(128, 30), (128, 250)]]
    canvas = Image.new("L", (256, 256), 255)
    for stroke in strokes:
        ImageDraw.Draw(canvas).line(stroke, fill=0, width=3)
    file = io.BytesIO()
    canvas.resize((224, 224), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    members = [("5201136883597312.jpg", file.getvalue()), ("5201136883597312.cls", b"light bulb")]
    write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    write_tar(tmp_path / "test/data-00000.tar", members)
    split = ImageTars(str(tmp_path)).split("test")
    images, labels, _ = read_all(split, size=224)
    assert split.classes[labels[0]] == "light bulb"
    assert np.array_equal(images[0], np.array(Image.open(file).convert("L")))
    assert read_all(split, size=64)[0].shape == (1, 64, 64)


def test_an_image_keeps_its_aspect_ratio_with_white_around_it(tmp_path):
    wide, tall, small = gray(0, 20, 80), gray(0, 80, 20), gray(0, 4, 4)
    images = {"a": wide, "b": tall, "c": small}
    members = [(f"{k}.{s}", d) for k, image in images.items() for s, d in (("png", image), ("cls", b"fish"))]
    write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    write_tar(tmp_path / "test/data-00000.tar", members)
    split = ImageTars(str(tmp_path)).split("test")
    black = read_all(split, size=16)[0] == 0
    assert black.sum(axis=(1, 2)).tolist() == [64, 64, 256]
    assert black[0, 6:10].all()
    assert black[1, :, 6:10].all()
    inverted = read_all(split, size=16, polarity="white_on_black")[0]
    assert np.array_equal(inverted == 255, black)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparent_paper_is_white(tmp_path, dtype):
    pixels = np.zeros((8, 8, 4), dtype)
    pixels[2:4, :, 3] = np.iinfo(dtype).max
    write_tar(tmp_path / "train/0.tar", [*samples(NAMES), ("ink.png", png(pixels)), ("ink.cls", b"fish")])
    tars = ImageTars(str(tmp_path))
    images = np.concatenate([read_all(tars.split(name))[0] for name in ("train", "val")])
    expected = np.full((8, 8), 255)
    expected[2:4] = 0
    assert any(np.array_equal(image, expected) for image in images)


def test_classes_are_what_the_labels_say(tmp_path):
    assert classes_of(tmp_path / "a", ["cat", "bee\n", " cat"]) == ["bee", "cat"]
    assert classes_of(tmp_path / "b", ["wug", "dax", "blicket"]) == ["blicket", "dax", "wug"]
    assert classes_of(tmp_path / "c", ["10", "2"]) == [str(k) for k in range(11)]
    assert classes_of(tmp_path / "d", [str(k) for k in range(275)]) == list(SEEN)
    assert classes_of(tmp_path / "e", ["tree", "bee"], "quickdraw_zeroshot", "zeroshot") == ["bee", "tree"]
    unseen = classes_of(tmp_path / "f", [str(k) for k in range(70)], "quickdraw_zeroshot", "zeroshot")
    assert unseen == list(UNSEEN)


def test_listed_classes_give_the_indices_their_meaning(tmp_path):
    (tmp_path / "classes.txt").write_text("wug\n\ndax\n")
    write_tar(tmp_path / "train/data-00000.tar", samples(["wug", "dax"]))
    write_tar(tmp_path / "test/data-00000.tar", samples(["1", "0", "wug", "dax"]))
    split = ImageTars(str(tmp_path)).split("test")
    assert split.classes == ["wug", "dax"]
    assert read_all(split)[1].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "members",
    [
        ["x.PNG", "x.cls", "y.Png", "y.CLS"],
        ["./x.png", "./x.cls", "sub/x.png", "sub/x.cls"],
        ["drawing.1.png", "drawing.1.cls", "drawing.2.png", "drawing.2.cls"],
        ["0.5.png", "0.5.cls", "0.25.png", "0.25.cls"],
        ["a.photo.png", "a.cls", "b.png", "b.label.cls"],
        ["a.png", "a.cls", "b.png", "b.cls", "a.mask.png", "a.png.json", "b.fine.cls", "b.txt"],
        ["a.png", "a.cls", "b.png", "b.cls", "._a.png", "./._b.cls", "__MACOSX/._a.png", ".DS_Store"],
        ["home/.local/a.png", "home/.local/a.cls", "../b.png", "../b.cls"],
        ["v1.0/a.png", "v1.0/a.cls", "v1.1/a.png", "v1.1/a.cls"],
    ],
)
def test_an_image_and_its_label_find_each_other(tmp_path, members):
    """Whatever is in the tar beside them: the first image and label are of an ant, the others of a bee."""
    written = {".png": [gray(200), gray(201)], ".cls": [b"ant", b"bee"]}
    content = []
    for member in members:
        of_kind = written.get(Path(member).suffix.lower(), [])
        content.append((member, of_kind.pop(0) if of_kind else b"other"))
    assert labels_of(tmp_path, content) == {200: "ant", 201: "bee"}


def test_images_of_every_form_are_read(tmp_path):
    members = []
    for number, suffix in enumerate(("webp", "bmp", "gif", "TIFF", "pgm")):
        file = io.BytesIO()
        form = {"pgm": "PPM"}.get(suffix, suffix)
        Image.fromarray(np.full((8, 8), 10 * number, np.uint8)).save(file, form, lossless=True)
        members += [(f"{number}.{suffix}", file.getvalue()), (f"{number}.cls", b"bee")]
    assert labels_of(tmp_path, members) == {10 * number: "bee" for number in range(5)}


def test_a_byte_order_mark_and_the_unicode_form_are_no_part_of_a_label(tmp_path):
    names = [name.encode() for name in ("caf\u00e9", "cafe\u0301", "\ufeffcaf\u00e9\r\n")]
    members = [
        (f"{i}.{suffix}", data) for i, name in enumerate(names) for suffix, data in (("cls", name), ("png", gray(i)))
    ]
    write_tar(tmp_path / "train/0.tar", members)
    assert ImageTars(str(tmp_path)).split("train").classes == ["caf\u00e9"]


def test_concatenated_archives_are_read_as_one(tmp_path):
    parts = [
        write_tar(tmp_path / f"{i}.tar", samples([name], prefix=name)).read_bytes() for i, name in enumerate(NAMES)
    ]
    (tmp_path / "train").mkdir()
    path = tmp_path / "train/data-00000.tar"
    path.write_bytes(parts[0] + parts[1] + bytes(512 * 3000) + parts[2] + bytes(512))
    assert ImageTars(str(tmp_path)).split("train").classes == sorted(NAMES)
    path.write_bytes(parts[0] + parts[1][: len(parts[1]) // 10240 * 10240 - 9000])
    assert "is no tar or is cut short" in error(tmp_path)
    path.write_bytes(parts[0] + b"rubbish".ljust(512))
    assert "is no tar or is cut short (after apple0000.png)" in error(tmp_path)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_tars_of_every_form_are_read_as_tarfile_reads_them(tmp_path, form):
    names = ["a.cls", "ä" * 30 + ".cls", "d/" * 60 + "x.png", "f" * 90 + ".png"]
    if form != tarfile.USTAR_FORMAT:
        names += ["n" * 300 + ".png", "d/" * 200 + "y.cls"]
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as tar:
        for number, name in enumerate(names):
            folder = tarfile.TarInfo(f"folder{number}")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            member = tarfile.TarInfo(name)
            member.size = 700 * number
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    with tarfile.open(tmp_path / "x.tar") as tar:
        expected = [(member.name, member.offset_data, member.size) for member in tar if member.isreg()]
    assert [tuple(member) for member in tar_members(tmp_path / "x.tar", "fix")] == expected
