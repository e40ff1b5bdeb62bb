"""The benchmark of unfinished drawings tells after which share of the line the right name comes first."""

import json

import pytest

from benchmarks import early
from benchmarks.__main__ import main
from deepdraw.data import Shards


def test_the_share_of_the_line_is_told_of_each_network(trained, polygon_root, tmp_path, capsys):
    main(
        [
            "early",
            f"ckpts={trained},{trained}/checkpoints/last.pt",
            f"root={polygon_root}",
            "num_drawings=40",
            "steps=4",
            f"out={tmp_path}",
        ]
    )
    networks = json.loads((tmp_path / "early.json").read_text())["networks"]
    assert list(networks) == [str(trained), f"{trained}/checkpoints/last.pt"]
    for found in networks.values():
        assert 0 < found["recognized"] <= 1
        assert 0.25 <= found["first"] <= found["stays"] <= 1
    assert "stays after, %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answers", "first", "stays"),
    [([0, 0, 0, 1], 1.0, 1.0), ([1, 1, 1, 1], 0.25, 0.25), ([0, 1, 0, 1], 0.5, 1.0), ([0, 1, 1, 1], 0.5, 0.5)],
)
def test_the_name_may_come_first_and_be_lost_again(monkeypatch, polygon_root, answers, first, stays):
    drawings = Shards(str(polygon_root)).split("test")
    right = iter(answers)
    monkeypatch.setattr(early, "guesses", lambda trained, part, share: drawings.labels + (not next(right)))
    assert early.measured(None, drawings, steps=4) == {"recognized": 1.0, "first": first, "stays": stays}


@pytest.mark.parametrize(("options", "message"), [({}, "give ckpts=RUN"), ({"steps": 0}, "at least 1")])
def test_options_that_measure_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        early.Options(**{"ckpts": "x", "root": "y", **options} if options else {})
