"""Which files of a folder are taken, which are left and counted, and which are refused by name."""

import gzip
import os
import socket
from pathlib import Path

import pytest

from deepdraw.runtime import open_unpacked, visible, walk

NEVER_TAKEN = [
    *("._a.png", ".a.png", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "__MACOSX/sub/._a.png"),
    *("Thumbs.db", "THUMBS.DB", "desktop.ini", "Desktop.ini", ".DS_Store", "$RECYCLE.BIN/a.png", "@eaDir/a.png"),
]


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(root: Path, *suffixes: str, **options) -> list[str]:
    return [str(path.relative_to(root)) for path in walk(root, suffixes or (".png",), **options).files]


def refusal(root: Path, **options) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        walk(root, (".png",), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_are_taken_by_suffix_in_any_case_from_all_folders_in_order(tmp_path):
    put(tmp_path, "b.PNG", "a.png", "deep/er/c.Png", "deep/b.png", "notes.txt", "png", "x.png.txt")
    assert names(tmp_path) == ["a.png", "b.PNG", "deep/b.png", "deep/er/c.Png"]
    assert names(tmp_path, deeper=False) == ["a.png", "b.PNG"]


@pytest.mark.parametrize("name", NEVER_TAKEN)
def test_what_is_hidden_or_of_a_system_is_never_taken_but_counted(tmp_path, name):
    put(tmp_path, "a.png", name)
    found = walk(tmp_path, (".png", ".db", ".ini"))
    assert found.files == [tmp_path / "a.png"]
    assert str(found) == "1 file (1 .png), 1 left out (1 hidden or of the system)"
    assert visible(tmp_path) == [tmp_path / "a.png"]


def test_what_was_taken_and_left_is_told_by_kind(tmp_path):
    put(tmp_path, "1.png", "2.png", "1.svg", "a.ndjson.gz", "notes.txt", "LICENSE", "b.TXT", ".hidden")
    found = walk(tmp_path, (".png", ".svg", ".gz", ".ndjson.gz"))
    assert str(found) == (
        "4 files (2 .png, 1 .ndjson.gz, 1 .svg), 4 left out (2 .txt, 1 hidden or of the system, 1 without a suffix)"
    )
    assert str(found + found).startswith("8 files (4 .png")
    assert str(walk(put(tmp_path / "one", "1.png"), (".png",))) == "1 file (1 .png)"


def test_links_are_followed_without_an_endless_circle(tmp_path):
    put(tmp_path, "here/a.png", "here/sub/b.png")
    put(tmp_path / "elsewhere", "deep/c.png", "one.png")
    (tmp_path / "here/up").symlink_to("..")
    (tmp_path / "here/sub/self").symlink_to(".")
    (tmp_path / "here/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here/d.png").symlink_to(tmp_path / "elsewhere/one.png")
    (tmp_path / "here/root").symlink_to("/")
    assert names(tmp_path / "here") == ["a.png", "d.png", "linked/deep/c.png", "linked/one.png", "sub/b.png"]
    assert walk(tmp_path / "here", (".png",)).left == {"folders that links reach again": 3}


def test_a_folder_that_many_links_reach_is_read_once(tmp_path):
    put(tmp_path, "30/a.png")
    for level in range(30):  # 2^30 paths
        (tmp_path / str(level)).mkdir()
        for link in "xy":
            (tmp_path / str(level) / link).symlink_to(tmp_path / str(level + 1))
    found = walk(tmp_path / "0", (".png",))
    assert len(found.files) == 1
    assert found.left == {"folders that links reach again": 30}


@pytest.mark.parametrize("target", ["gone.png", "itself.png"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, target):
    put(tmp_path, "a.png")
    (tmp_path / "itself.png").symlink_to(target)
    assert f"{tmp_path / 'itself.png'} is a link to {target}, which cannot be read" in refusal(tmp_path)
    with pytest.raises(ValueError, match=r"itself\.png is a link to"):
        visible(tmp_path)


def test_a_path_that_is_no_file_is_named(tmp_path):
    os.mkfifo(put(tmp_path, "b.png") / "a.png")
    assert f"{tmp_path / 'a.png'} is no regular file" in refusal(tmp_path)
    (tmp_path / "a.png").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.sock"))
        assert str(walk(tmp_path, (".png",))) == "1 file (1 .png), 1 left out (1 .sock)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
def test_a_path_that_may_not_be_read_is_named(tmp_path):
    put(tmp_path, "sub/a.png")
    (tmp_path / "sub/a.png").chmod(0)
    assert f"{tmp_path / 'sub/a.png'} may not be read" in refusal(tmp_path)
    (tmp_path / "sub").chmod(0)
    assert f"{tmp_path / 'sub'} cannot be read (Permission denied)" in refusal(tmp_path)
    (tmp_path / "sub").chmod(0o700)


def test_a_missing_folder_and_a_file_for_a_folder_are_named(tmp_path):
    assert f"{tmp_path / 'no'} cannot be read (No such file or directory)" in refusal(tmp_path / "no")
    assert "a.png cannot be read (Not a directory)" in refusal(put(tmp_path, "a.png") / "a.png")


def test_a_reader_may_refuse_what_it_cannot_leave_out(tmp_path):
    put(tmp_path, "a.png", "b.heic", "c.txt")
    reasons = {".heic": "is an image of a form that is not read: convert it"}
    assert refusal(tmp_path, refuse=lambda path: reasons.get(path.suffix)) == (
        f"{tmp_path / 'b.heic'} is an image of a form that is not read: convert it"
    )


def test_a_gzip_is_unpacked_whatever_its_name(tmp_path):
    content = bytes(range(256)) * 1000
    for name, written in (("a.bin", content), ("b.gz", gzip.compress(content)), ("c.ndjson", gzip.compress(content))):
        (tmp_path / name).write_bytes(written)
        with open_unpacked(tmp_path / name) as file:
            assert file.read(10) == content[:10]
            assert file.tell() == 10
            assert file.read() == content[10:]
    for damaged in (
        gzip.compress(content)[:-9],
        gzip.compress(content)[:-8] + b"12345678",
        b"\x1f\x8b\x08\0\0\0\0\0\0\3x",
    ):
        (tmp_path / "d.gz").write_bytes(damaged)
        with (
            pytest.raises(ValueError, match=r"d\.gz is a gzip that is damaged"),
            open_unpacked(tmp_path / "d.gz") as file,
        ):
            file.read()
