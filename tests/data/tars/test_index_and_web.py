"""The index of tars, made once, and tars behind an address, fetched once."""

import os
import shutil

import pytest
from braceexpand import braceexpand

from deepdraw.data.tars import index as tar_index
from deepdraw.data.tars.remote import _num_expanded, fetch
from deepdraw.data.tars.source import ImageTars
from tests.data.tars.conftest import NAMES, samples, write_tar


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
