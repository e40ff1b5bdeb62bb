"""The snapshot: the code as it was, known by its digest."""

from __future__ import annotations

import pytest

from deepdraw.sweep.snapshot import check_code, check_import, copy_code, digest


@pytest.fixture
def task(tmp_path):
    (tmp_path / "own/conf").mkdir(parents=True)
    (tmp_path / "own/conf/train.yaml").write_text("seed: 1")
    (tmp_path / "own/train.py").write_text("def main(): ...")
    return tmp_path / "own/train.py"


def test_a_copy_holds_the_package_the_task_and_its_options(task, tmp_path):
    copy = copy_code(task, tmp_path / "code")
    assert copy.read_text() == task.read_text()
    assert (tmp_path / "code/conf/train.yaml").read_text() == "seed: 1"
    assert (tmp_path / "code/deepdraw/sweep/snapshot.py").exists()
    assert digest(copy) == digest(task)


@pytest.mark.parametrize("name", ["train.py", "conf/train.yaml"])
def test_an_edit_of_the_code_or_of_an_option_is_refused(task, name):
    submitted = digest(task)
    check_code(task, submitted)
    (task.parent / name).write_text("seed: 2")
    with pytest.raises(ValueError, match="has changed since this job was submitted"):
        check_code(task, submitted)


def test_a_copy_can_be_imported_from_and_one_that_lacks_a_module_is_refused(task, tmp_path):
    code = copy_code(task, tmp_path / "code").parent
    check_import(code)
    (code / "deepdraw/sweep/reports.py").unlink()
    with pytest.raises(
        ValueError, match=r"could not import deepdraw from .*(No module named .*reports.*): put right what"
    ):
        check_import(code)


def test_another_package_of_that_name_is_not_taken_for_the_copy(tmp_path):
    with pytest.raises(ValueError, match=r"could not import deepdraw from"):
        check_import(tmp_path)
