"""The benchmark of preparation: files as official ones are, prepared by the command, with their time and memory."""

import json
import sys

import pytest

from benchmarks.preparation import Options, run, write_files
from deepdraw.drawings.bulk import Bulk, read_bulk


def test_the_files_hold_that_many_drawings_of_the_official_form_and_all_are_usual(tmp_path, monkeypatch):
    write_files(Options(num_drawings=1000, num_categories=3), tmp_path)
    monkeypatch.setattr("deepdraw.drawings.bulk.read_line", None)  # what is not usual would fail
    read = [bulk for path in sorted(tmp_path.iterdir()) for bulk in read_bulk(path)]
    drawings = Bulk.concatenate(read).drawings
    assert len(drawings) == 1000 == len(set(drawings.key_ids.tolist()))
    assert 35 < len(drawings.points) / 1000 < 55
    line = json.loads(next(tmp_path.iterdir()).read_text().splitlines()[0])
    assert list(line) == ["word", "countrycode", "timestamp", "recognized", "key_id", "drawing"]


def test_it_tells_rate_and_memory_of_the_command(tmp_path):
    figures = run(Options(num_drawings=300, num_categories=2, folder=str(tmp_path)))
    assert figures["drawings_per_core_second"] > 0
    assert figures["peak_bytes"] > 10_000_000 or not sys.platform.startswith("linux")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"num_drawings": 0}, {"num_categories": 346}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(ValueError, match="measures nothing"):
        Options(**options)
