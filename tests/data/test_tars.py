import bz2
import functools
import gzip
import http.server
import io
import os
import pickle
import shutil
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from braceexpand import braceexpand
from PIL import Image, ImageDraw

from deepdraw.data.quickdraw.categories import SEEN, UNSEEN
from deepdraw.data.tars import index as tar_index
from deepdraw.data.tars.members import tar_members
from deepdraw.data.tars.remote import _num_expanded, fetch
from deepdraw.data.tars.source import BLOCK, ImageTars, TarSplit
from deepdraw.drawings.raster import Rasterizer

NAMES = ("apple", "fish", "light bulb")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "deepdraw"


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def gray(value: int, height: int = 8, width: int = 8) -> bytes:
    return png(np.full((height, width), value, np.uint8))


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def samples(labels: Iterable[str], prefix: str = "k") -> list[tuple[str, bytes]]:
    """Samples in webdataset's order (cls before png); the image of sample i is of gray i."""
    members = []
    for i, label in enumerate(labels):
        members += [(f"{prefix}{i:04}.cls", label.encode()), (f"{prefix}{i:04}.png", gray(i % 256))]
    return members


def read(split: TarSplit, blocks: np.ndarray, rows: np.ndarray, rasterizer: Rasterizer) -> tuple[np.ndarray, ...]:
    images = np.empty((len(rows), rasterizer.size, rasterizer.size), np.uint8)
    return images, *split.read(blocks, rows, rasterizer, images)


def read_all(split: TarSplit, size: int = 8, **options) -> tuple[np.ndarray, ...]:
    rows = np.arange(split.block_sizes.sum())
    return read(split, np.arange(len(split.block_sizes)), rows, Rasterizer(size, line_width=1, **options))


def error(root: Path, split: str = "train") -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_all(ImageTars(str(root)).split(split))
    message = str(caught.value)
    assert "\n" not in message
    return message


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


def classes_of(root: Path, labels: Iterable[str], folder: str = "train", split: str = "train") -> list[str]:
    write_tar(root / folder / "data-00000.tar", samples(labels))
    return ImageTars(str(root)).split(split).classes


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
    ("train", "test", "words"),
    [
        (["apple", "fish", "fihs"], [], ["train/data-00000.tar: k0002.png", "'fihs'", "did you mean 'fish'"]),
        (["apple", "fish"], ["fish", "aple"], ["test/data-00000.tar: k0001.png", "did you mean 'apple'"]),
        (["apple", "fish"], ["2"], ["k0000.png", "'2'", "index below"]),
        (["0", "1"], ["7"], ["'7'", "classes.txt"]),
        (["apple", ""], [], ["k0001.png", "''"]),
        (["0", "99999999"], [], ["neither names nor small indices", "classes.txt"]),
    ],
)
def test_an_unknown_label_is_named_with_its_member_and_the_nearest_class(tmp_path, train, test, words):
    write_tar(tmp_path / "train/data-00000.tar", samples(train))
    if test:
        write_tar(tmp_path / "test/data-00000.tar", samples(test))
    message = error(tmp_path, "test" if test else "train")
    assert all(word in message for word in words), message


def test_classes_listed_twice_are_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("wug\nwug\n")
    write_tar(tmp_path / "train/data-00000.tar", samples(["wug"]))
    assert "names a class twice" in error(tmp_path)


def test_a_tar_cut_at_any_place_is_noticed(tmp_path):
    whole = write_tar(tmp_path / "train/data-00000.tar", samples(NAMES)).read_bytes()
    end = len(samples(NAMES)) * 1024  # each of the small members is a block of header and one of data
    for length in [
        0,
        1,
        511,
        512,
        513,
        1024,
        1536,
        2048,
        2049,
        end - 1024,
        end - 511,
        end - 1,
        end,
        end + 511,
    ]:
        (tmp_path / "train/data-00000.tar").write_bytes(whole[:length])
        message = error(tmp_path)
        assert "data-00000.tar is no tar or is cut short" in message, length
        assert "copy or download it again" in message
    assert "(after k0002.png)" in message
    (tmp_path / "train/data-00000.tar").write_bytes(whole[: end + 1024])
    assert ImageTars(str(tmp_path)).split("train").classes == sorted(NAMES)


def test_damage_between_members_is_noticed(tmp_path):
    path = write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    damaged = bytearray(path.read_bytes())
    damaged[2048:2100] = bytes(range(52))
    path.write_bytes(damaged)
    assert "(after k0000.png)" in error(tmp_path)


@pytest.mark.parametrize(
    "image",
    [b"", b"\x89PNG", b"no image", gray(3)[:40], gray(3)[:-20]],
    ids=["empty", "signature", "text", "header", "cut short"],
)
def test_an_image_that_does_not_decode_is_named(tmp_path, image):
    write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    write_tar(tmp_path / "test/data-00000.tar", [*samples(NAMES), ("x.png", image), ("x.cls", b"fish")])
    assert "test/data-00000.tar: x.png does not decode" in error(tmp_path, "test")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("x.png", gray(0))], "x has an image but no .cls"),
        ([("sub/x.cls", b"fish"), ("x.png", gray(0))], "sub/x has .cls but no image"),
        ([("x.png", gray(0)), ("x.jpg", gray(0)), ("x.cls", b"fish")], "x.jpg is there twice"),
        ([("x.png", gray(0)), ("x.cls", b"\xff\xfe")], "x.cls is not UTF-8"),
        ([("readme.txt", b"")], "hold no samples"),
        ([("a.photo.png", gray(0)), ("a.sketch.png", gray(0)), ("a.cls", b"fish")], "a has .cls but no image"),
        ([("x.heic", b""), ("x.cls", b"fish")], "x.heic is an image of a form that is not read: convert it to PNG"),
        ([("x.PNG", gray(0)), ("x.png", gray(0)), ("x.cls", b"fish")], "x.png is there twice"),
    ],
)
def test_a_sample_is_one_image_and_one_label(tmp_path, members, words):
    write_tar(tmp_path / "train/data-00000.tar", members)
    assert words in error(tmp_path)


def labels_of(root: Path, members: list[tuple[str, bytes]]) -> dict[int, str]:
    """The gray of each image of a tar -> its label."""
    write_tar(root / "train/data-00000.tar", [("z.png", gray(250)), ("z.cls", b"zebra")])
    write_tar(root / "test/data-00000.tar", members)
    (root / "classes.txt").write_text("ant\nbee\nzebra\n")
    images, labels, _ = read_all(ImageTars(str(root)).split("test"))
    return {int(image[0, 0]): ("ant", "bee", "zebra")[label] for image, label in zip(images, labels, strict=True)}


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


def test_a_packed_tar_is_refused_by_name(tmp_path):
    path = write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    packed = gzip.compress(path.read_bytes())
    (tmp_path / "train/data 1.tar.gz").write_bytes(packed)
    assert f"data 1.tar.gz is packed: unpack it with `gunzip '{tmp_path}/train/data 1.tar.gz'`" in error(tmp_path)
    path.unlink()
    assert "data 1.tar.gz is packed" in error(tmp_path)
    (tmp_path / "train/data 1.tar.gz").unlink()
    path.write_bytes(packed)
    assert "data-00000.tar is a gzip file and no tar: unpack it" in error(tmp_path)
    path.write_bytes(bz2.compress(b"x"))
    assert "data-00000.tar is a bzip2, xz or zstd file and no tar: unpack it" in error(tmp_path)
    (tmp_path / "train/b.tar.zst").touch()
    assert "b.tar.zst is an archive: unpack it" in error(tmp_path)


def test_what_is_taken_and_left_is_told_each_time(tmp_path, caplog):
    write_tar(
        tmp_path / "train/A.TAR", [*samples(NAMES), ("._a.png", b""), ("notes.txt", b"x"), ("k0001.mask.png", b"")]
    )
    for name in ("._A.TAR", "readme.md"):
        (tmp_path / "train" / name).write_bytes(b"\0\5\x16\7")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            ImageTars(str(tmp_path)).split("train")
        assert (
            "3 samples, 3 members left out (1 .txt, 1 further fields of samples, 1 hidden or of the system)"
            in caplog.text
        )
        assert "1 file (1 .tar)" in caplog.text
        assert "1 .md" in caplog.text


def test_missing_and_empty_folders_are_named(tmp_path):
    assert "does not exist" in error(tmp_path / "absent")
    assert "holds no train/" in error(tmp_path)
    (tmp_path / "train").mkdir()
    assert "holds no *.tar" in error(tmp_path)
    assert "test does not exist" in error(tmp_path, "test")
    assert "there is no split 'tset'" in error(tmp_path, "tset")
    write_tar(tmp_path / "test/data-00000.tar", samples(NAMES))
    (tmp_path / "train").rmdir()
    assert "train does not exist" in error(tmp_path, "test")  # its classes are told by train/


def test_the_index_is_made_once_and_anew_when_a_tar_changes(tmp_path, monkeypatch):
    scanned: list[str] = []
    scan = tar_index.tar_samples
    monkeypatch.setattr(tar_index, "tar_samples", lambda path: scanned.append(path.name) or scan(path))
    path = write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    for _ in range(2):
        ImageTars(str(tmp_path)).split("train")
    assert scanned == ["data-00000.tar"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["data-00000.tar", "index.npz"]
    write_tar(path, samples(["bee", "tree", "bee"]))
    os.utime(path, ns=(0, 0))
    assert ImageTars(str(tmp_path)).split("train").classes == ["bee", "tree"]
    (path.parent / "index.npz").write_bytes(b"PK\x03\x04 cut")
    assert ImageTars(str(tmp_path)).split("train").classes == ["bee", "tree"]
    assert len(scanned) == 3


def test_tars_that_were_copied_without_their_times_are_the_same_drawings(tmp_path):
    write_tar(tmp_path / "there/train/data-00000.tar", samples(NAMES))
    os.utime(tmp_path / "there/train/data-00000.tar", ns=(0, 0))
    (tmp_path / "here/train").mkdir(parents=True)
    shutil.copyfile(tmp_path / "there/train/data-00000.tar", tmp_path / "here/train/data-00000.tar")
    there, here = (ImageTars(str(tmp_path / name)).split("train") for name in ("there", "here"))
    assert there.fingerprint == here.fingerprint
    write_tar(tmp_path / "here/train/data-00000.tar", samples([*NAMES[1:], NAMES[0]]))
    assert ImageTars(str(tmp_path / "here")).split("train").fingerprint != there.fingerprint


def test_an_index_that_cannot_lie_beside_its_tars_lies_in_the_cache(tmp_path, cache, monkeypatch):
    write_tar(tmp_path / "train/data-00000.tar", samples(NAMES))
    (tmp_path / "train/index.npz").mkdir()  # not even root can replace it by a file
    ImageTars(str(tmp_path)).split("train")
    assert len(list((cache / "indexes").glob("*.npz"))) == 1
    assert not list((tmp_path / "train").glob(".index*"))
    monkeypatch.setattr(tar_index, "tar_samples", lambda path: pytest.fail("indexed again"))
    assert ImageTars(str(tmp_path)).split("train").classes == sorted(NAMES)


@pytest.fixture
def web(tmp_path: Path):
    """The address of a web server of `tmp_path/web`, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *args) -> None:
            asked.append(self.path)

        def log_message(self, *args) -> None: ...

    handler = functools.partial(Handler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.skipif(not shutil.which("curl"), reason="webdataset fetches with curl")
def test_tars_behind_an_address_are_fetched_once(tmp_path, web):
    address, asked = web
    write_tar(tmp_path / "web/train/data-00000.tar", samples(NAMES))
    write_tar(tmp_path / "web/train/data-00001.tar", samples(NAMES, "l"))
    write_tar(tmp_path / "web/test/data-00000.tar", samples(["fish"]))
    root = address + "/{train/data-{00000..00001},test/data-00000}.tar"
    for _ in range(2):
        tars = ImageTars(root)
        assert tars.splits == ["train", "val", "test"]
        assert sum(tars.split(name).block_sizes.sum() for name in tars.splits) == 7
    assert asked == ["/train/data-00000.tar", "/train/data-00001.tar", "/test/data-00000.tar"]


@pytest.mark.skipif(not shutil.which("curl"), reason="webdataset fetches with curl")
def test_a_tar_that_cannot_be_fetched_is_named(tmp_path, web, cache):
    address, _ = web
    (tmp_path / "web").mkdir()
    with pytest.raises(ValueError, match=r"train/data-00000\.tar could not be fetched: see why with `curl -fL"):
        ImageTars(address + "/train/data-00000.tar")
    assert not [path for path in cache.rglob("*") if path.is_file()]
    with pytest.raises(ValueError, match=r"names no train/\*\.tar"):
        fetch(address + "/data-00000.tar")
    with pytest.raises(ValueError, match="would be one file"):
        fetch(address + "/{a,b}/train/data-00000.tar")


@pytest.mark.parametrize("start", ["http://127.0.0.1:9/train/a.tar::pipe:", "http://127.0.0.1:9/';", "gs://b;"])
def test_an_address_cannot_smuggle_a_command_in(tmp_path, monkeypatch, start):
    monkeypatch.delenv("DEEPDRAW_PIPES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="would run a shell command|does not exist"):
        ImageTars(f"{start}touch {tmp_path}/ran; cat train/b.tar")
    assert not (tmp_path / "ran").exists()


def test_a_pipe_runs_only_when_it_is_allowed(tmp_path, monkeypatch):
    source = write_tar(tmp_path / "far/train/data-00000.tar", samples(NAMES))
    root = f"pipe:cat {source}"
    monkeypatch.delenv("DEEPDRAW_PIPES", raising=False)
    with pytest.raises(ValueError, match="export DEEPDRAW_PIPES=1"):
        ImageTars(root)
    monkeypatch.setenv("DEEPDRAW_PIPES", "1")
    assert ImageTars(root).split("train").classes == sorted(NAMES)
    with pytest.raises(ValueError, match="could not be fetched: see why with `cat "):
        ImageTars(f"pipe:cat {source.parent}/absent.tar")


@pytest.mark.parametrize(
    "root",
    [
        "http://127.0.0.1:1/train/{0..999999999}.tar",
        "http://127.0.0.1:1/train/" + "{0..9}" * 9 + ".tar",
        "http://127.0.0.1:1/train/" + "{a,b}" * 40 + ".tar",
        "http://127.0.0.1:1/{" + "{0..99999}" * 3 + ",x}/train/a.tar",
        "http://127.0.0.1:1/train/" + "{x,"[:2] * 4000 + ".tar",
        "http://127.0.0.1:1/train/a{0.." + "9" * 3000 + "}.tar",
        "http://127.0.0.1:1/" + "x" * 20_000 + "/train/a.tar",
    ],
    ids=lambda root: root[:50],
)
def test_braces_without_bound_are_refused_before_they_are_expanded(root):
    with pytest.raises(ValueError, match="names more than 100,000 tars|other numbers of braces") as caught:
        fetch(root)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        ("x", 1),
        ("{a,b}", 2),
        ("{00000..00220}", 221),
        ("{train/{0..2},test/{0..1}}", 5),
        ("{1..9..2}{a,b}", 10),
        ("{a}", 1),
        ("{a{1..3}}", 3),
        (r"\{a,b", 1),
    ],
)
def test_addresses_are_counted_as_they_are_expanded(pattern, number):
    assert _num_expanded(pattern) == number == len(list(braceexpand(pattern)))


def test_members_that_stand_for_more_than_the_tar_holds_are_refused(tmp_path):
    path = tmp_path / "train/data-00000.tar"
    write_tar(path, samples(NAMES))
    whole = path.read_bytes()
    sparse = tarfile.TarInfo("k0009.cls")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(64 << 30)}
    sparse.size = 512
    path.write_bytes(sparse.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n0\n".ljust(512, b"\0") + whole)
    assert "is no tar or is cut short" in error(tmp_path)
    large = tarfile.TarInfo("k0009.cls")
    large.size = 64 << 30
    path.write_bytes(large.tobuf(tarfile.GNU_FORMAT) + whole)
    assert "is no tar or is cut short" in error(tmp_path)
    large.size = -1024
    path.write_bytes(large.tobuf(tarfile.GNU_FORMAT) + whole)
    assert "is no tar or is cut short" in error(tmp_path)


def test_a_label_of_a_page_is_refused(tmp_path):
    write_tar(tmp_path / "train/data-00000.tar", [("a.png", gray(0)), ("a.cls", b"x" * 5000)])
    assert "a.cls has 5,000 bytes, more than the 4,096 of the largest label" in error(tmp_path)


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
