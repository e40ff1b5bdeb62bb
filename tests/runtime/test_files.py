"""Files that are never half written."""

import json

import pytest

from deepdraw.runtime.files import write_json


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
