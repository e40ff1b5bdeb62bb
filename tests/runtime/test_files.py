"""Files that are never half written."""

import json
import os
import signal
import time

import pytest

from deepdraw.runtime.files import check_writable, open_growing, whole_file, whole_folder, write_json, write_text


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


def test_a_folder_is_tried_without_a_trace_and_what_killed_tries_left_goes(tmp_path):
    (tmp_path / f".writable.{'0' * 16}.part").touch()
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
