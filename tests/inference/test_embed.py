"""python -m deepdraw.embed: features and what is known of each drawing, all of it or nothing."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.inference.embed import main
from tests import refusals


@pytest.fixture
def best(trained):
    return trained / "checkpoints/best.pt"


def read_index(path: Path) -> dict[str, list]:
    """The columns of index.csv, whole numbers as such."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return {name: column if name == "class" else [int(text) for text in column] for name, column in columns.items()}


@pytest.fixture
def embed(best, tmp_path):
    def run(*arguments: object) -> tuple[np.ndarray, dict[str, list]]:
        out = tmp_path / "out"
        main([f"ckpt={best}", f"out={out}", "num_workers=0", "batch_size=32", *map(str, arguments)])
        assert sorted(path.name for path in out.iterdir()) == ["features.npy", "index.csv"]
        return np.load(out / "features.npy"), read_index(out / "index.csv")

    return run


def refusal(*arguments: object) -> str:
    return refusals.refusal(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", ["test", "zeroshot"])
def test_every_drawing_of_a_split_has_its_row_in_stored_order(best, embed, polygon_root, name):
    features, index = embed(f"data={name}")
    split = Shards(str(polygon_root)).split(name)
    (block,) = split
    assert features.dtype == np.float32
    assert list(index) == ["position", "key_id", "label", "class"]
    assert index["position"] == list(range(len(block)))
    assert index["key_id"] == block.key_ids.tolist()
    assert index["label"] == block.labels.tolist()
    assert index["class"] == [split.classes[label] for label in block.labels]
    drawings = [block.strokes(row) for row in range(len(block))]
    assert np.allclose(features, deepdraw.load(best).features(drawings), atol=1e-5)


def test_features_computed_in_bf16_are_written_in_dtype(embed, tmp_path):
    exact, _ = embed("data=val", "precision=fp32")
    shutil.rmtree(tmp_path / "out")
    rounded, _ = embed("data=val", "precision=bf16")
    assert rounded.dtype == np.float32
    assert not np.array_equal(rounded, exact)
    assert np.allclose(rounded, exact, atol=0.05 * np.abs(exact).max())


def test_float16_takes_half_the_disk(embed):
    features, _ = embed("data=val", "dtype=float16")
    assert features.dtype == np.float16
    assert features.shape == (60, 16)


def test_the_data_may_have_moved(embed, polygon_root, tmp_path):
    moved = shutil.copytree(polygon_root, tmp_path / "moved")
    features, _ = embed("data=val", f"root={moved}")
    assert len(features) == 60


def test_a_folder_of_shards_is_embedded_too(embed, polygon_root):
    _, index = embed(f"data={polygon_root / 'zeroshot'}")
    assert set(index["class"]) == {"hexagon", "line"}


def test_an_interrupted_run_leaves_nothing(best, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepdraw.features.outputs", interrupt)
    with pytest.raises(SystemExit, match="^130$"):
        main([f"ckpt={best}", "data=val", f"out={tmp_path / 'deep/out'}", "num_workers=0"])
    assert "nothing was written" in capsys.readouterr().err
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_is_there_is_never_written_over(best, tmp_path):
    (tmp_path / "out").mkdir()
    message = refusal(f"ckpt={best}", "data=val", f"out={tmp_path / 'out'}")
    assert message.endswith("is there already: choose another directory, or delete it")


def test_what_float16_cannot_hold_is_refused(best, tmp_path, monkeypatch):
    def features(self, images):
        return torch.full((len(images), 16), 1e6)

    monkeypatch.setattr("deepdraw.models.classifier.Classifier.features", features)
    out = tmp_path / "out"
    message = refusal(f"ckpt={best}", "data=val", f"out={out}", "num_workers=0", "dtype=float16")
    assert "use dtype=float32" in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("data=test out={out}", "option ckpt is missing"),
        ("ckpt={best} out={out}", "option data is missing"),
        ("ckpt={best} data=test", "option out is missing"),
        (
            "ckpt={best} data=tset out={out}",
            "data=tset is neither a split nor a folder: give one of train, val, test",
        ),
        ("ckpt={best} data=no/where out={out}", "no/where is no folder: check the path"),
        ("ckpt={best} data=test out={out} root=nowhere", "no shards in nowhere"),
        ("ckpt={best} data=test out={best}/out", "choose another directory"),
        ("ckpt={best} data=test out={out} dtype=int8", "choose float32 or float16"),
        ("ckpt={best} data=test out={out} batch_size=0", "batch_size=0 computes nothing"),
        ("ckpt={best} data=test out={out} num_workers=-1", "num_workers=-1 cannot be"),
    ],
)
def test_bad_input_is_answered_in_one_line(best, tmp_path, arguments, message):
    assert message in refusal(*arguments.format(best=best, out=tmp_path / "out").split())
    assert not (tmp_path / "out").exists()


def test_help_names_every_option(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"  {key}=" in printed for key in ("ckpt", "data", "out", "root", "dtype", "batch_size"))
