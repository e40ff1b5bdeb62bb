"""A path is a split: shards, image tars, or a folder of images with one sub-folder for each class."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from deepdraw.data.folders import open_folder
from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards, write_shards
from deepdraw.drawings.packed import Drawings, hash_text
from deepdraw.drawings.raster import Rasterizer
from deepdraw.drawings.svg import read_svg

LINES = ("0,0 255,100", "0,0 255,0 255,255", "0,0 100,255 200,0")


def gray(value: int, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.full((16, 16), value, np.uint8))[1].tobytes()


def svg(points: str) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg"><polyline points="{points}"/></svg>'.encode()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


MIXED = {
    "light_bulb/b.png": gray(200),
    "light_bulb/a.svg": svg(LINES[0]),
    "apple/2.JPG": gray(210, ".jpg"),
    "apple/10.jpeg": gray(220, ".jpg"),
    "apple/1.Svg": svg(LINES[1]),
    "apple/.DS_Store": b"x",
    "apple/Thumbs.db": b"x",
    ".git/config": b"x",
}
STORED = ["apple/1.Svg", "apple/10.jpeg", "apple/2.JPG", "light_bulb/a.svg", "light_bulb/b.png"]


def read(split, blocks, rows, rasterizer=None):
    rasterizer = rasterizer or Rasterizer(16, 1.0)
    images = np.zeros((len(rows), rasterizer.size, rasterizer.size), np.uint8)
    return images, *split.read(np.array(blocks), np.array(rows), rasterizer, images)


def read_all(split, rasterizer=None):
    return read(split, range(len(split.block_sizes)), range(split.block_sizes.sum()), rasterizer)


def error(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_all(open_folder(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sub_folder_is_a_class_and_svg_and_pixels_mix(tmp_path):
    split = open_folder(put(tmp_path, MIXED))
    assert split.classes == ["apple", "light_bulb"]
    assert split.labels.tolist() == [0, 0, 0, 1, 1]
    assert split.labels.dtype == np.int64
    for polarity, ink in (("black_on_white", 0), ("white_on_black", 255)):
        rasterizer = Rasterizer(16, 1.0, polarity=polarity)
        images, labels, key_ids = read_all(split, rasterizer)
        assert labels.tolist() == split.labels.tolist()
        assert key_ids.tolist() == [hash_text(name) for name in STORED]
        assert np.abs(images[[1, 2, 4], 8, 8].astype(int) - np.abs(255 - ink - np.array([35, 45, 55]))).max() <= 1
        strokes = [read_svg(tmp_path / name) for name in ("apple/1.Svg", "light_bulb/a.svg")]
        assert np.array_equal(images[[0, 3]], rasterizer(Drawings.pack(strokes, [0, 0], [0, 0])))
    assert split.complexity() is None


def test_any_rows_of_any_blocks_are_read_also_after_pickling(tmp_path):
    files = {f"{'ab'[i > 20]}/{i:02}.png": gray(128 + i) for i in range(41)}
    split = pickle.loads(pickle.dumps(open_folder(put(tmp_path, files))))
    assert split.block_sizes.tolist() == [16, 16, 9]
    images, labels, _ = read(split, [2, 0], [8, 9, 0, 0])
    assert images[:, 0, 0].tolist() == [128 + 40, 128, 128 + 32, 128 + 32]
    assert labels.tolist() == [1, 0, 1, 1]


def test_workers_read_what_one_process_reads(tmp_path):
    split = open_folder(put(tmp_path, MIXED))
    epochs = []
    for num_workers in (0, 2):
        options = {"shuffle": False, "device": torch.device("cpu"), "num_workers": num_workers}
        loader = Loader(split, Rasterizer(16, 1.0), batch_size=2, **options)
        epochs.append(list(loader.epoch()))
        loader.close()
    for one, other in zip(*epochs, strict=True):
        assert all(map(torch.equal, one, other))


def test_complexity_is_known_where_all_files_are_svg(tmp_path):
    files = {f"a/{i}.svg": svg(points) for i, points in enumerate(LINES)}
    complexity = open_folder(put(tmp_path, files)).complexity()
    assert complexity.strokes.tolist() == [1, 1, 1]
    assert complexity.points.tolist() == [2, 3, 3]


def test_the_fingerprint_changes_with_the_files(tmp_path):
    put(tmp_path, MIXED)
    first = open_folder(tmp_path).fingerprint
    assert open_folder(tmp_path).fingerprint == first
    os.utime(tmp_path / "apple/2.JPG", ns=(0, 0))
    second = open_folder(tmp_path).fingerprint
    (tmp_path / "apple/2.JPG").rename(tmp_path / "apple/3.jpg")
    assert len({first, second, open_folder(tmp_path).fingerprint}) == 3


def test_images_that_are_light_on_dark_are_told_of(tmp_path, caplog):
    open_folder(put(tmp_path / "light", {f"a/{i}.png": gray(200) for i in range(50)}))
    assert "light on dark" not in caplog.text
    assert "17 of 17 images looked at" in caplog.text
    assert "are blank" in caplog.text
    open_folder(put(tmp_path / "dark", {f"a/{i}.png": gray(20) for i in range(50)}))
    assert "light on dark" in caplog.text


def test_images_of_every_form_are_read_alike_and_counted(tmp_path, caplog):
    pixels = np.full((16, 16), 200, np.uint8)
    for number, suffix in enumerate(("png", "webp", "BMP", "gif", "tif", "tiff", "pgm")):
        (tmp_path / "cat").mkdir(exist_ok=True)
        Image.fromarray(pixels).convert("L").save(tmp_path / f"cat/{number}.{suffix}", lossless=True)
    put(tmp_path, {"cat/._0.png": b"\0\5\x16\7", "__MACOSX/cat/._0.png": b"x", ".ipynb_checkpoints/x.png": b"x"})
    put(tmp_path, {"README.txt": b"x", "labels.csv": b"path,label"})
    with caplog.at_level("INFO"):
        split = open_folder(tmp_path)
    assert split.classes == ["cat"]
    assert (np.abs(read_all(split)[0].astype(int) - 200) <= 1).all()
    assert "7 files (1 .bmp, 1 .gif, 1 .pgm, 1 .png, 1 .tif, 1 .tiff, 1 .webp), 5 left" in caplog.text
    assert "5 left out (3 hidden or of the system, 1 .csv, 1 .txt)" in caplog.text


def test_links_are_followed_and_one_that_leads_nowhere_is_named(tmp_path):
    put(tmp_path / "real", {"cat/1.png": gray(200)})
    (tmp_path / "linked/dog").mkdir(parents=True)
    (tmp_path / "linked/cat").symlink_to(tmp_path / "real/cat")
    (tmp_path / "linked/dog/2.png").symlink_to(tmp_path / "real/cat/1.png")
    assert open_folder(tmp_path / "linked").labels.tolist() == [0, 1]
    (tmp_path / "linked/dog/3.png").symlink_to("gone.png")
    assert "linked/dog/3.png is a link to gone.png, which cannot be read" in error(tmp_path / "linked")
    (tmp_path / "linked/dog/3.png").unlink()
    (tmp_path / "linked/bee").symlink_to("gone")
    assert "linked/bee is a link to gone, which cannot be read" in error(tmp_path / "linked")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": gray(200)}, ["has no class folders", "<class>/<name>.png"]),
        ({}, ["has no class folders", "<class>/<name>.png"]),
        ({"a.png": gray(200), "b/a.png": gray(200)}, ["a.png lies in no class folder", "<class>/<name>.png"]),
        ({"a.ndjson": b"{}", "b/a.png": gray(200)}, ["a.ndjson holds strokes and lies in no class folder"]),
        ({"a.zip": b"x", "b/a.png": gray(200)}, ["a.zip is an archive: unpack it"]),
        ({"a/1.png": gray(200), "b/.hidden": b""}, ["/b holds no image"]),
        ({"a/1.png": gray(200), "a/notes.txt": b"x"}, ["a/notes.txt is neither PNG, JPG nor SVG"]),
        ({"a/b/1.png": gray(200)}, ["a/b is a folder within a class"]),
        ({"a/1.png": b""}, ["a/1.png is empty"]),
        ({"a/1.png": b"#!/bin/sh"}, ["a/1.png is no image"]),
        ({"a/1.png": b"GIF89a"}, ["a/1.png is no image or is cut short"]),
        ({"a/1.png": gray(200), "a/2.heic": b"x"}, ["a/2.heic is neither PNG", "convert it"]),
        ({"a/1.png": gray(200)[:-20]}, ["a/1.png is no image or is cut short"]),
        ({"a/1.svg": svg("")}, ["a/1.svg has no strokes"]),
        ({"a/1.svg": b"<svg"}, ["a/1.svg is broken XML"]),
    ],
)
def test_a_folder_out_of_order_is_told_by_the_name_of_what_is_wrong(tmp_path, files, words):
    message = error(put(tmp_path, files))
    assert all(word in message for word in words), message


def test_a_missing_path_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "sketches").mkdir()
    assert f"did you mean {tmp_path / 'sketches'}?" in error(tmp_path / "skeches")
    assert "is no folder: check the path" in error(tmp_path / "no" / "where")
    assert error(tmp_path / "SKETCHES_").endswith(f"did you mean {tmp_path / 'sketches'}?")
    assert "did you mean" not in error(tmp_path / "entirely else")


def test_a_file_a_dangling_link_and_an_address_are_told_from_what_is_missing(tmp_path):
    (tmp_path / "cat.png").write_bytes(gray(200))
    assert "cat.png is a file and no folder: give the folder that holds it" in error(tmp_path / "cat.png")
    (tmp_path / "link").symlink_to("gone")
    assert "link is no folder: it is a link to gone, where nothing is" in error(tmp_path / "link")
    assert "is an address (s3) and does not exist here" in error(Path("s3://bucket/sketches"))


@pytest.fixture
def drawings() -> Drawings:
    rng = np.random.default_rng(0)
    return Drawings.pack([[rng.integers(0, 256, (5, 2))] for _ in range(20)], rng.integers(0, 2, 20), np.arange(20))


def test_shards_are_opened_by_split_or_as_the_only_split(tmp_path, drawings):
    write_shards(tmp_path / "one", {"test": (["a", "b"], drawings)}, metadata={})
    write_shards(tmp_path / "two", {"train": (["a", "b"], drawings), "test": (["a", "b"], drawings)}, metadata={})
    expected = Shards(str(tmp_path / "one")).split("test").fingerprint
    for path in ("one", "one/test", "two/test"):
        assert open_folder(tmp_path / path).fingerprint == expected
    assert f"split={tmp_path / 'two' / 'test'}" in error(tmp_path / "two")
    assert "no split 'tset': choose one of train, test" in error(tmp_path / "two/tset")
    (tmp_path / "two/index.json").write_text("{}")
    assert "write the shards again" in error(tmp_path / "two")


def test_images_beside_shards_are_images(tmp_path, drawings):
    write_shards(tmp_path, {"test": (["a", "b"], drawings)}, metadata={})
    assert open_folder(put(tmp_path / "mine", MIXED)).classes == ["apple", "light_bulb"]


def test_an_empty_split_of_shards_is_refused(tmp_path, drawings):
    write_shards(tmp_path, {"test": (["a", "b"], drawings.take(np.arange(0)))}, metadata={})
    assert "holds no drawing" in error(tmp_path / "test")


def write_tar(path: Path, labels: list[str]) -> None:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        for number, label in enumerate(labels):
            for name, content in ((f"{number}.png", gray(200)), (f"{number}.cls", label.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_image_tars_are_opened_by_split_or_by_folder(tmp_path):
    write_tar(tmp_path / "quickdraw_zeroshot/0.tar", ["bee", "ant"])
    assert open_folder(tmp_path).classes == ["ant", "bee"]
    for name in ("train", "test"):
        write_tar(tmp_path / name / "0.tar", ["cat", "dog", "cat"])
    assert open_folder(tmp_path / "test").labels.tolist() == [0, 1, 0]
    for name in ("zeroshot", "quickdraw_zeroshot"):
        assert open_folder(tmp_path / name).classes == ["ant", "bee"]
    assert "choose one of split=" in error(tmp_path)


def test_train_and_test_may_be_the_names_of_classes(tmp_path):
    put(tmp_path, {"train/1.png": gray(200), "test/1.png": gray(200)})
    assert open_folder(tmp_path).classes == ["test", "train"]
