"""The ablation trains each network of a part for as long, and hides numbers of points from it where it says so."""

from __future__ import annotations

import json

import pytest

from benchmarks import ablation
from benchmarks.__main__ import main
from benchmarks.ablation import NETWORKS, Options, rate
from deepdraw.drawings import POINT_NUMBERS

SMALL = "train=input.points=16 backbone.widths=[8] backbone.depths=[1] data.batch_size=8"


def test_networks_of_a_part_are_trained_and_compared(polygon_root, tmp_path, capsys, monkeypatch):
    chosen = ("without the direction", "none")
    monkeypatch.setattr(ablation, "NETWORKS", [network for network in NETWORKS if network[1] in chosen])
    words = ["ablation", f"root={polygon_root}", "parts=numbers", "minutes=0.01", SMALL, f"out={tmp_path}"]
    assert main(words) in (0, None)
    (row,) = json.loads((tmp_path / "ablation.json").read_text())["networks"]
    assert row["name"] == "without the direction"
    assert 0 <= row["val_top1"] <= 1 and row["epochs"] > 0
    assert "without the direction" in capsys.readouterr().out


def test_each_number_of_a_point_is_left_out_once():
    assert sorted(number for *_, hidden in NETWORKS for number in hidden) == sorted(POINT_NUMBERS)


def test_the_rate_rises_and_ends_at_zero():
    assert rate(0) < rate(0.02) < rate(0.05) > rate(0.5) > rate(1.0) == 0


@pytest.mark.parametrize("words, message", [({"minutes": 0}, "minutes=0"), ({"parts": "hue"}, "parts=")])
def test_what_trains_nothing_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        Options(**words)
