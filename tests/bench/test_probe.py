"""The probe benchmark compares the same heads on the same drawings, from the command to its file of figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.probe import First
from deepdraw.data.shards import Shards

TINY = ("backbone=test_vit", "pretrained=false", "image_size=32", "batch_size=32", "epochs=4", "lrs=[1e-3,3e-2]")


def test_the_command_shows_its_table_and_writes_the_same_figures(polygon_root: Path, tmp_path: Path, capsys):
    arguments = (*TINY, f"root={polygon_root}", f"out={tmp_path}", "measured_epochs=2", "cs=[1e-2,1]")
    main(["probe", *arguments])
    figures = json.loads((tmp_path / "probe.json").read_text())
    assert figures["drawings"] == {"train": 420, "val": 60, "test": 90}
    assert [row["lr"] for row in figures["heads"]] == [1e-3, 3e-2]
    seconds = figures["seconds"]
    assert seconds["kept"] == seconds["encode"] + seconds["heads"]
    assert seconds["recomputed"] == pytest.approx(seconds["measured"] / 2 * 4 * 2)
    assert figures["ratio"] == seconds["recomputed"] / seconds["kept"]
    same = figures["same_head"]
    assert same["kept"] == pytest.approx(same["recomputed"], abs=1 / 60)  # features are kept in half precision
    compared = figures["compared"]
    assert compared["head=logistic"]["test_top1"] == pytest.approx(compared["scikit-learn"]["test_top1"], abs=1 / 90)
    shown = capsys.readouterr().out
    for text in (
        "4 epochs of 2 linear heads",
        f"{figures['ratio']:.1f}x",
        "measured on one head, epochs: 2",
        "probe.json",
    ):
        assert text in shown


def test_a_part_of_a_split_is_its_first_blocks(polygon_root: Path):
    split = Shards(polygon_root).split("train")
    split.block_sizes = split.block_sizes.repeat(3)
    sizes = [len(First(split, number).block_sizes) for number in (1, 420, 421, 9999)]
    assert sizes == [1, 1, 2, 3]
    assert First(split, 1).fingerprint != First(split, 421).fingerprint


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("epochs=0", "epochs=0 measures nothing: give at least 1"),
        ("lrs=[]", r"lrs=[] is no list of numbers above 0: write it as lrs=[1e-3,1e-2]"),
        ("cs=[0]", r"cs=[0] is no list of numbers above 0"),
    ],
)
def test_bad_input_is_one_line(argument: str, message: str):
    with pytest.raises(SystemExit) as stopped:
        main(["probe", argument])
    assert message in str(stopped.value)
