"""The folder benchmark trains on the same drawings twice, as files of all forms and as shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from deepdraw.data import Shards
from deepdraw.data.files import Folder
from tests.polygons import polygons

TINY = "train=backbone.image_size=32 backbone.options.channels=[8,8,16,16] data.batch_size=16 optimizer.lr=5e-3 "
TINY += "data.num_workers=0 train.epochs=5 precision=fp32 device=cpu"


def write_official(folder: Path, corners: dict[str, int], number: int) -> Path:
    folder.mkdir()
    for name, count in corners.items():
        drawn = polygons([count], number, seed=count)
        lines = [
            json.dumps(
                {"word": name, "key_id": str(key), "drawing": [stroke.T.tolist() for stroke in drawn.strokes(i)]}
            )
            for i, key in enumerate(drawn.key_ids.tolist())
        ]
        (folder / f"{name}.ndjson").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
def test_files_of_all_forms_are_learned_as_well_as_the_same_drawings_in_shards(tmp_path, capsys):
    source = write_official(tmp_path / "official", {"triangle": 3, "square": 4, "octagon": 8}, 120)
    options = (f"source={source}", "classes=3", "per_class=100", "seeds=1", f"folder={tmp_path}", f"out={tmp_path}")
    main(["folder", TINY, *options])
    figures = json.loads((tmp_path / "folder.json").read_text())
    assert figures["drawings"] == {"shards": 300, "folder": 300}
    forms = {path.suffix for path in (tmp_path / "folder").rglob("*.*")}
    assert forms == {".png", ".jpg", ".svg", ".ndjson"}
    folder, shards = Folder(str(tmp_path / "folder")), Shards(str(tmp_path / "shards"))
    for name in ("train", "val", "test"):
        assert sorted(folder.split(name).labels) == sorted(shards.split(name).labels)
    assert figures["difference"] == figures["mean"]["folder"] - figures["mean"]["shards"]
    assert figures["mean"]["shards"] > 0.6
    assert figures["difference"] > -0.15
    assert f"difference {100 * figures['difference']:+.1f} points" in capsys.readouterr().out


def test_too_little_to_measure_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="less measures nothing"):
        main(["folder", f"source={tmp_path}", "per_class=3"])
    with pytest.raises(SystemExit, match="holds 0 .ndjson files"):
        main(["folder", f"source={tmp_path}"])
