"""The lock: one holder at a time, set free by its owner's death, on this machine or another."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
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
