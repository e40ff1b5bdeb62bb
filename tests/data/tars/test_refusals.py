"""Tars that are damaged or hostile, each refused in one line that names the file."""

import bz2
import gzip
import tarfile

import pytest

from deepdraw.data.tars.source import ImageTars
from tests.data.tars.conftest import NAMES, error, gray, samples, write_tar


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
