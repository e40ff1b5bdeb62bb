"""Features are computed once whatever happens to the processes and the disk, and never stale."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch

from deepdraw.drawings.raster import Rasterizer
from deepdraw.features import cache as features_module
from deepdraw.features import encoder as encoder_module
from deepdraw.features.store import ARRAYS, BLOCK
from deepdraw.runtime.lock import Lock
from deepdraw.runtime.precision import Precision
from tests.training.features.conftest import (
    AUGMENT,
    CPU,
    NUM_DRAWINGS,
    Grays,
    Layer,
    build,
    cache,
    contents,
    count,
    encoding,
    in_another_process,
    wait_for_blocks,
)


def test_they_are_computed_once(tmp_path):
    encoder = encoding()
    first, second = cache(tmp_path, encoder=encoder), cache(tmp_path, encoder=encoder)
    assert torch.equal(first.features, second.features)
    assert encoder.model.backbone.seen == NUM_DRAWINGS


def test_a_pass_that_was_killed_goes_on_at_its_block_to_the_same_bytes(tmp_path):
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    cache(alone)
    process = in_another_process(cache, broken, Grays(seconds=0.1))
    wait_for_blocks(broken, 3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(list(broken.glob("*.part"))) == 1, "it was over before it was killed"
    encoder = encoding()
    cache(broken, encoder=encoder)
    assert contents(broken) == contents(alone)
    assert encoder.model.backbone.seen <= NUM_DRAWINGS - 3 * BLOCK


@pytest.mark.parametrize("name", [*ARRAYS, "checksums"])
@pytest.mark.parametrize("harm", ["cut", "garbled", "missing", "longer"])
def test_whatever_the_disk_kept_of_a_broken_pass_the_bytes_are_the_same(tmp_path, name, harm):
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    cache(alone)
    (whole,) = alone.iterdir()
    part = broken / f"{whole.name}.part"
    shutil.copytree(whole, part)
    content = bytearray((part / name).read_bytes())
    middle = len(content) // 2
    if harm == "garbled":
        content[middle] ^= 1
    (part / name).write_bytes({"cut": content[: middle + 1], "longer": content + bytes(99)}.get(harm, content))
    if harm == "missing":
        (part / name).unlink()
    encoder = encoding()
    cache(broken, encoder=encoder)
    assert contents(broken) == contents(alone)
    block = 3 if name == "checksums" else 2  # that of the byte in the middle
    left = {"cut": NUM_DRAWINGS - block * BLOCK, "garbled": NUM_DRAWINGS - block * BLOCK, "longer": 0}
    assert encoder.model.backbone.seen == left.get(harm, NUM_DRAWINGS)


def test_of_processes_that_want_the_same_one_computes_and_the_others_wait(tmp_path):
    counts = multiprocessing.get_context("fork").SimpleQueue()
    processes = [in_another_process(count, tmp_path / "features", counts) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert sorted(counts.get() for _ in processes) == [0, 0, NUM_DRAWINGS]


def test_a_line_says_whom_it_waits_for_and_how_far_they_are(tmp_path, capsys, monkeypatch):
    cache(tmp_path)
    (folder,) = tmp_path.iterdir()
    os.rename(folder, f"{folder}.part")
    lock = Lock(tmp_path / f"{folder.name}.lock")
    assert lock.acquire()
    monkeypatch.setattr(features_module.time, "sleep", lambda seconds: lock.release())
    capsys.readouterr()
    cache(tmp_path)
    owner = f"process {os.getpid()} on {os.uname().nodename}"
    assert capsys.readouterr().out == f"waiting for {owner}: 6 of 6 blocks of {folder}\n"


def test_one_that_waits_goes_on_where_the_one_that_computes_dies(tmp_path):
    dying = in_another_process(cache, tmp_path, Grays(seconds=0.1))
    wait_for_blocks(tmp_path, 2)
    counts = multiprocessing.get_context("fork").SimpleQueue()
    waiting = in_another_process(count, tmp_path, counts)
    time.sleep(0.1)
    dying.kill()
    dying.join()
    waiting.join(60)
    assert 0 < counts.get() <= NUM_DRAWINGS - 2 * BLOCK
    encoder = encoding()
    cache(tmp_path, encoder=encoder)
    assert encoder.model.backbone.seen == 0


@pytest.mark.parametrize("name", [*ARRAYS, "checksums"])
def test_a_flipped_bit_is_noticed(tmp_path, capsys, name):
    cache(tmp_path)
    before = contents(tmp_path)
    (file,) = tmp_path.glob(f"*/{name}")
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 64
    file.write_bytes(damaged)
    cache(tmp_path)
    assert "is damaged in block 5 of 6: its features are computed anew" in capsys.readouterr().out
    assert contents(tmp_path) == before


def test_the_key_changes_with_all_that_changes_a_feature(tmp_path, monkeypatch):
    folders = set()

    def is_new(**changes) -> bool:
        cache(tmp_path, **changes)
        new = {folder.name for folder in tmp_path.iterdir()} - folders
        folders.update(new)
        return len(new) == 1

    assert is_new()
    assert not is_new(), "nothing has changed"
    assert not is_new(encoder=encoding(config={"name": "layer", "pretrained": "the same weights in another file"}))
    assert not is_new(encoder=encoding(num_workers=1))
    for config in ({"name": "other"}, {"name": "layer", "pooling": "cls"}, {"name": "layer", "options": {"depth": 3}}):
        assert is_new(encoder=encoding(config=config)), config
    for change in ({"weight": 2.0}, {"mean": 0.4}, {"std": 0.4}):
        assert is_new(encoder=encoding(build(Layer(**change)))), change
    for change in ({"line_width": 1.5}, {"margin": 0.1}, {"polarity": "white_on_black"}):
        assert is_new(encoder=encoding(rasterizer=Rasterizer(8, **{"line_width": 1.0, **change}))), change
    assert is_new(encoder=encoding(precision=Precision("bf16", CPU)))
    assert is_new(dtype="fp16")
    assert is_new(split=Grays(fingerprint="other shards"))
    assert is_new(split=Grays(shift=1)), "drawn in another way"
    for change in ({}, {"augment": replace(AUGMENT, flip=0.0)}, {"views": 3}, {"seed": 1}):
        assert is_new(**{"augment": AUGMENT, "views": 2, **change}), change
    for name in encoder_module.LIBRARIES:
        with monkeypatch.context() as patch:
            patch.setattr(encoder_module, "library_versions", lambda libraries, other=name: {other: "another"})
            assert is_new(), name


def test_a_disk_that_refuses_is_one_line_with_the_fix(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written \(.*\): set features.dir to another disk, or to null$"):
        cache(tmp_path / "file")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match=r"needs 0.0 GB more, 0.0 GB are free: set features.dir to a larger disk, or"):
        cache(tmp_path / "full")
