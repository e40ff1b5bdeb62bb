"""The lock: one holder at a time, set free by its owner's death, on this machine or another."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from deepdraw.runtime import lock as lock_module
from deepdraw.runtime.lock import Lock


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "features.lock"


def wait_until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def hold(path: Path) -> None:
    assert Lock(path).acquire()
    time.sleep(60)


@pytest.fixture
def owner(path):
    """Another process that holds the lock."""
    process = multiprocessing.get_context("fork").Process(target=hold, args=(path,))
    process.start()
    wait_until(lambda: path.exists() and path.read_text())
    yield process
    process.kill()
    process.join()


@pytest.fixture
def elsewhere(monkeypatch):
    """Locks of this machine look, to those that call this, as if they were another's."""
    return lambda: monkeypatch.setattr(lock_module, "_machine", lambda: "elsewhere")


def test_one_at_a_time_holds_it(path):
    first, second = Lock(path), Lock(path)
    assert first.acquire()
    assert not second.acquire()
    assert (first.held, second.held) == (True, False)
    first.release()
    assert second.acquire()
    second.release()
    assert not path.exists()


def test_an_error_sets_it_free(path):
    lock = Lock(path)
    with pytest.raises(ZeroDivisionError):
        assert lock.acquire()
        with lock:
            1 / 0  # noqa: B018
    assert Lock(path).acquire()


def test_it_says_whose_it_is(path, owner):
    assert Lock(path).owner == f"process {owner.pid} on {os.uname().nodename}"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_death_on_this_machine_sets_it_free_at_once(path, owner, number):
    waiting = Lock(path)
    assert not waiting.acquire()
    os.kill(owner.pid, number)
    owner.join()
    assert waiting.acquire()
    waiting.release()
    assert os.listdir(path.parent) == []


def test_a_death_elsewhere_sets_it_free_when_nothing_was_heard_for_long(path, owner, elsewhere):
    elsewhere()
    waiting = Lock(path, silence=0.3)
    assert not waiting.acquire()
    owner.kill()
    start = time.monotonic()
    wait_until(waiting.acquire)
    assert time.monotonic() - start > 0.1
    waiting.release()


def test_an_owner_elsewhere_that_is_alive_keeps_it(path, elsewhere):
    owner = Lock(path, beat=0.02)
    assert owner.acquire()
    elsewhere()
    waiting = Lock(path, silence=1.0)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert not waiting.acquire()
        time.sleep(0.05)
    owner.release()
    assert waiting.acquire()
    waiting.release()


def test_a_lock_that_was_never_written_to_is_that_of_a_dead_owner(path):
    path.touch()
    waiting = Lock(path, silence=0.1)
    assert waiting.owner == "another process"
    assert not waiting.acquire()
    wait_until(waiting.acquire)
    waiting.release()


def test_an_owner_that_was_taken_for_dead_learns_that_it_lost_the_lock(path):
    stopped = Lock(path, beat=0.05)
    assert stopped.acquire()
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    wait_until(lambda: not stopped.held)
    stopped.release()
    assert path.exists(), "the lock of another was removed"


def test_who_comes_late_to_clear_a_dead_owner_away_leaves_the_next_owner_its_lock(path, owner):
    late = Lock(path)
    dead = path.read_text()
    owner.kill()
    owner.join()
    faster = Lock(path)
    assert faster.acquire()
    late._clear_away(dead)
    assert not late.acquire()
    assert faster._read() == faster._own
    assert os.listdir(path.parent) == [path.name]
    faster.release()


def test_what_the_killed_leave_of_a_lock_is_cleared_away(path, owner):
    owner.kill()
    owner.join()
    path.with_name(f"{path.name}.{'0' * 32}").write_text(path.read_text())  # killed while it cleared the lock away
    Lock(path).clear()
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_is_held_is_not_cleared_away(path, owner):
    aside = path.with_name(f"{path.name}.{'0' * 32}")
    aside.write_text(path.read_text())  # about to be put back by whoever took it for another's
    Lock(path).clear()
    assert sorted(path.parent.iterdir()) == [path, aside]
    assert Lock(path).is_taken


def test_a_lock_appears_with_its_content(path, monkeypatch):
    """A reader that looks at any moment finds no lock, or one that says whose it is."""
    found = set()

    def look() -> None:
        while not found & {"end"}:
            with suppress(FileNotFoundError):
                found.add(path.read_text() and "named")

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        with Lock(path) as lock:
            assert lock.acquire()
    found.add("end")
    reader.join()
    assert found <= {"named", "end"}


def test_without_links_a_lock_is_written_in_one_step(path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first, second = Lock(path), Lock(path)
    assert first.acquire()
    assert not second.acquire()
    assert os.listdir(path.parent) == [path.name]
    first.release()


NOT_OWNERS = ["", "{", "[]", "null", "{}", '{"host": "a"}', '{"host": 1, "pid": 2}', "\0" * 10, "[" * 4000, "9" * 9000]
NOT_OWNERS += [f'{{"host": "a", "pid": {pid}}}' for pid in ("-1", "0", "true", '"1"', "1.5", "1e30", "2147483648")]


@pytest.mark.parametrize("content", NOT_OWNERS, ids=lambda content: content[:20])
def test_a_lock_that_names_no_owner_is_free_once_it_is_a_second_old(path, content):
    path.write_text(content)
    assert Lock(path).is_taken
    assert Lock(path).owner == "another process"
    os.utime(path, (time.time() - 2, time.time() - 2))
    lock = Lock(path)
    assert not lock.is_taken
    assert lock.acquire()
    assert os.listdir(path.parent) == [path.name]
    lock.release()


@pytest.mark.parametrize("target", [None, "/dev/zero", "elsewhere", "missing"])
def test_what_is_no_lock_is_neither_waited_for_nor_followed(path, target):
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_text("mine")
    os.mkfifo(path) if target is None else path.symlink_to(target)
    lock = Lock(path, silence=0.1)
    wait_until(lock.acquire)
    assert not path.is_symlink()
    assert elsewhere.read_text() == "mine"
    lock.release()


def test_a_folder_in_the_place_of_a_lock_is_an_error_that_names_it(path):
    (path / "mine").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"features\.lock"):
        Lock(path).acquire()
    assert (path / "mine").is_dir()


def test_a_lock_that_may_not_be_read_is_its_owners_for_as_long_as_it_lives(path, monkeypatch):
    owner = Lock(path, beat=0.02)
    assert owner.acquire()

    def refuse(*_, **__):
        raise ValueError("no") from PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock_module, "read_bytes", refuse)
    os.utime(path, (1, 1))
    waiting = Lock(path, silence=0.3)
    assert not waiting.acquire()
    assert waiting.owner == "another process"


def test_an_owners_name_is_shown_without_what_a_terminal_obeys(path):
    path.write_text(json.dumps({"host": "\x1b[31m\nhost", "pid": 2, "machine": ""}))
    assert Lock(path).owner == r"process 2 on \x1b[31m\nhost"


def test_a_process_that_got_the_number_of_a_dead_owner_is_not_taken_for_it(path):
    lock = Lock(path)
    assert lock.acquire()
    written = json.loads(path.read_text())
    lock.release()
    if not written["started"]:
        pytest.skip("the system does not tell when a process was started")
    path.write_text(json.dumps({**written, "started": "1", "token": "another"}))
    assert Lock(path).acquire()


def test_an_owner_on_this_machine_that_is_only_stopped_keeps_the_lock(path, owner):
    os.kill(owner.pid, signal.SIGSTOP)
    waiting = Lock(path, silence=0.1)
    assert not waiting.acquire()
    time.sleep(0.3)
    if waiting.owner_runs_here:  # where the system tells when a process was started
        assert not waiting.acquire()
    os.kill(owner.pid, signal.SIGCONT)


def test_an_owner_whose_file_was_replaced_learns_that_it_lost_the_lock(path):
    stopped = Lock(path, beat=0.05, silence=60.0)
    assert stopped.acquire()
    path.unlink()
    other = Lock(path)
    assert other.acquire()
    assert not stopped.held
    stopped.release()
    assert other.held


def test_a_forked_child_neither_holds_nor_frees_the_lock_of_its_parent(path):
    lock = Lock(path)
    assert lock.acquire()
    child = os.fork()
    if not child:
        held = lock.held
        lock.release()
        os._exit(held)
    assert os.waitpid(child, 0)[1] == 0
    assert lock.held
    assert Lock(path).is_taken
    lock.release()
    assert not path.exists()
