"""The directory of a sweep: written, moved, claimed once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from deepdraw.sweep.claim import claim
from deepdraw.sweep.record import Job, read_sweep, write_sweep
from tests.runtime.sweeps.conftest import sweep_of


def test_a_written_sweep_is_read_again_after_its_directory_was_moved(tmp_path):
    write_sweep(tmp_path / "a", "slurm", "val/top1", [Job(0, ["x=1"], tmp_path / "a/0", ["3_0"])], task="train.py")
    (tmp_path / "a").rename(tmp_path / "b")
    read = read_sweep(tmp_path / "b")
    assert read.jobs == [Job(0, ["x=1"], tmp_path / "b/0", ["3_0"])]
    assert (read.launcher, read.objective, read.task) == ("slurm", "val/top1", "train.py")


def test_a_later_batch_and_a_resumed_job_join_the_others(tmp_path):
    first = sweep_of(tmp_path, ["x=1"], ["x=2"])
    later = [Job(1, ["x=2"], tmp_path / "1", ["7_1", "8_1"]), Job(2, ["x=3"], tmp_path / "2", ["8_2"])]
    now = write_sweep(tmp_path, "slurm", "val/top1", later)
    assert [job.ids for job in now.jobs] == [["7_0"], ["7_1", "8_1"], ["8_2"]]
    assert (now.task, now.submitted) == (first.task, first.submitted)


def test_a_directory_is_claimed_once(tmp_path):
    claim(tmp_path / "sweep")
    with pytest.raises(ValueError, match=r"holds a sweep.*choose another hydra.sweep.dir"):
        claim(tmp_path / "sweep")


def test_where_nothing_can_be_written_another_directory_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"nothing can be written in .*file/sweep \(Not a directory\): choose as hydra"
    ):
        claim(tmp_path / "file/sweep")

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("deepdraw.runtime.lock.create_whole", refuse)
    with pytest.raises(ValueError, match=r"\(Permission denied\): choose as hydra.sweep.dir"):
        claim(tmp_path / "sweep")


def test_a_directory_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no sweep: give the directory that the launcher printed"):
        read_sweep(tmp_path)


def test_the_swept_keys_are_those_that_differ(tmp_path):
    sweep = sweep_of(tmp_path, ["backbone=tiny", "freeze=all", "+seed=1"], ["backbone=tiny", "freeze=none", "+seed=2"])
    assert sweep.swept == ["freeze", "+seed"]


def claim_and_die(directory: Path) -> None:
    claim(directory)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_claim_dies_with_its_process(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=claim_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert (tmp_path / "claim.lock").exists()
    claim(tmp_path).release()


def test_a_claim_says_whose_it_is(tmp_path):
    claimed = claim(tmp_path)
    with pytest.raises(ValueError, match=rf"that process {os.getpid()} on .* is starting \(if it is gone, remove "):
        claim(tmp_path)
    claimed.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jobs", "code", "logs", "multirun.yaml"])
def test_a_directory_in_which_links_lead_elsewhere_is_not_claimed(tmp_path, name):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / name).symlink_to("../elsewhere")
    with pytest.raises(ValueError, match=rf"{name} is a link: remove it, or choose another hydra\.sweep\.dir"):
        claim(tmp_path / "sweep")
    assert os.listdir(tmp_path / "sweep") == [name]
