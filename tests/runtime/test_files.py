"""Files that are never half written, and links that lead to nobody's files."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepdraw.runtime import files
from deepdraw.runtime.files import (
    check_writable,
    create_file,
    scratch_folder,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)
from deepdraw.runtime.growing import append_text, name_grown, open_growing
from deepdraw.runtime.parts import remove_parts


def test_json_is_sorted_and_read_back(tmp_path):
    path = tmp_path / "evaluations" / "test.json"
    write_json(path, {"test/top5": 0.9, "test/top1": 0.1 + 0.2})
    assert list(json.loads(path.read_text()).items()) == [("test/top1", 0.1 + 0.2), ("test/top5", 0.9)]


@pytest.mark.parametrize("unwritable", [float("nan"), object()])
def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path, unwritable):
    path = tmp_path / "summary.json"
    write_json(path, {"val/top1": 0.5})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"val/top1": unwritable})
    assert json.loads(path.read_text()) == {"val/top1": 0.5}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("writing", [whole_file, whole_folder])
def test_a_killed_writer_leaves_nothing_for_good_though_a_child_of_it_lives(writing, tmp_path):
    path, child = tmp_path / "path", tmp_path / "child"
    writer = os.fork()
    if writer == 0:
        with writing(path):
            forked = os.fork()
            if forked:
                write_text(child, str(forked))
            time.sleep(60)
        os._exit(1)
    try:
        while not child.exists():
            time.sleep(0.01)
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        assert len(list(tmp_path.glob(".path.*.part"))) == 1
        with writing(path):
            pass
        assert sorted(tmp_path.iterdir()) == [child, path]
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)


def test_a_forked_child_holds_no_lock_of_its_parents_file(tmp_path):
    with open_growing(tmp_path / "log") as file:
        child = os.fork()
        if child == 0:
            (tmp_path / "child").touch()
            time.sleep(60)
            os._exit(1)
        file.write(b"written")
    try:
        while not (tmp_path / "child").exists():
            time.sleep(0.01)
        open_growing(tmp_path / "log").close()
        assert (tmp_path / "log").read_bytes() == b"written"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_check_writable_leaves_no_file_and_removes_those_of_killed_checks(tmp_path):
    (tmp_path / f".writable.{'0' * 16}.part").touch()
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def victim(tmp_path):
    """A file of somebody else, which must stay as it is."""
    file = tmp_path / "victim.txt"
    file.write_text("precious")
    yield file
    assert file.read_text() == "precious"


def killed(code: str, folder: Path) -> None:
    """Run code that kills itself."""
    start = "import os, signal; from pathlib import Path; from deepdraw.runtime.files import *\n"
    done = subprocess.run([sys.executable, "-c", start + code], cwd=folder, check=False)
    assert done.returncode == -signal.SIGKILL


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_writer_that_is_killed_leaves_the_old_file_and_the_next_removes_its_part(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    killed(f"with whole_file(Path('a.txt')) as file: file.write(b'new'); file.flush(); {KILL}", tmp_path)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "a.txt", "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_of_a_killed_writer_goes_away(tmp_path):
    code = "with whole_folder(Path('out')) as folder: (folder / 'half').write_text('x'); "
    killed(code + KILL, tmp_path)
    assert [path.name.endswith(".part") for path in tmp_path.iterdir()] == [True]
    with whole_folder(tmp_path / "out") as folder:
        (folder / "features.npy").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["features.npy"]


def test_the_part_of_a_running_writer_is_not_removed(tmp_path):
    with whole_file(tmp_path / "a.txt") as first:
        first.write(b"first")
        remove_parts(tmp_path)
        write_text(tmp_path / "a.txt", "second")
    assert (tmp_path / "a.txt").read_text() == "first"


def test_a_folder_takes_the_place_of_an_empty_one_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as folder:
        (folder / "a").touch()
    with pytest.raises(OSError, match="empty"), whole_folder(tmp_path / "empty") as folder:
        (folder / "b").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["empty", "a"]


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path, victim):
    (tmp_path / "a.txt").symlink_to(victim)
    write_text(tmp_path / "a.txt", "own")
    assert not (tmp_path / "a.txt").is_symlink()
    (tmp_path / "b.txt").hardlink_to(victim)
    write_text(tmp_path / "b.txt", "own")


@pytest.mark.parametrize("write", [open_growing, create_file, lambda path: append_text(path, "mine")])
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_file_that_grows_is_nobody_elses(tmp_path, victim, write, link):
    getattr(tmp_path / "log", link)(victim)
    with pytest.raises(OSError, match="log"):
        write(tmp_path / "log")


def test_a_link_with_the_name_of_a_part_is_left_alone(tmp_path, victim, monkeypatch):
    monkeypatch.setattr(files.os, "urandom", bytes)
    part = tmp_path / f".a.txt.{'0' * 16}.part"
    part.symlink_to(victim)
    remove_parts(tmp_path)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a.txt", "own")
    assert part.is_symlink()


def test_a_pipe_is_no_file_to_grow(tmp_path):
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match=r"no regular file.*log"):
        open_growing(tmp_path / "log")


def test_a_file_grows_by_one_process_at_a_time(tmp_path):
    with open_growing(tmp_path / "part") as file:
        file.write(b"abc")
        with pytest.raises(OSError) as busy:
            open_growing(tmp_path / "part")
        assert busy.value.errno == errno.EBUSY
    with open_growing(tmp_path / "part", end=2) as file:
        file.write(b"z")
    name_grown(tmp_path / "part", tmp_path / "whole")
    assert (tmp_path / "whole").read_text() == "abz"


@pytest.fixture
def largest_file():
    """A limit on what a file may have, as a full disk has it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_leaves_the_old_file_and_names_the_new(tmp_path, largest_file):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(OSError, match=r"a\.txt"):
        write_text(tmp_path / "a.txt", "x" * 10 * largest_file)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_line_that_does_not_fit_is_not_there_at_all(tmp_path, largest_file):
    append_text(tmp_path / "a.csv", "x" * (largest_file - 2) + "\n")
    with pytest.raises(OSError, match=r"a\.csv"):
        append_text(tmp_path / "a.csv", "longer\n")
    assert (tmp_path / "a.csv").stat().st_size == largest_file - 1


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file/run"):
        check_writable(tmp_path / "file/run")
    check_writable(tmp_path / "new/run")
    assert list((tmp_path / "new/run").iterdir()) == []


def test_a_scratch_folder_is_there_for_its_block_alone_and_a_killed_one_for_the_next(tmp_path):
    path = tmp_path / "shards" / "sorted"
    writer = os.fork()
    if writer == 0:
        with scratch_folder(path) as folder:
            (folder / "file").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(writer, 0)
    (left,) = path.parent.iterdir()
    assert (left / "file").exists()
    with scratch_folder(path) as folder:
        assert list(path.parent.iterdir()) == [folder]
        (folder / "file").write_text("x")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("file", [None, "inside"])
def test_a_full_disk_under_a_scratch_folder_names_the_path_that_was_asked_for(tmp_path, file):
    with (
        pytest.raises(OSError, match="No space left on device") as raised,
        scratch_folder(tmp_path / "sorted") as folder,
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([str(folder / file)] if file else []))
    assert raised.value.filename == str(tmp_path / "sorted")
