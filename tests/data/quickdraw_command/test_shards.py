"""The command from official files to shards: which drawing lands where, and what the shards say."""

import json
import random
import struct

import numpy as np
import pytest

from deepdraw.data.quickdraw import __main__ as quickdraw
from deepdraw.data.quickdraw.__main__ import main
from deepdraw.data.recognition import recognition_of_index
from deepdraw.data.shards import Shards
from tests.data.quickdraw_command.conftest import CATEGORIES, NUM_EACH, key_ids, line, run, write


def test_every_drawing_lands_in_one_split_under_its_own_label(source, tmp_path):
    splits = run(f"source={source}", f"root={tmp_path / 'shards'}")
    assert list(splits) == ["train", "val", "test", "zeroshot"]
    classes = {split: Shards(str(tmp_path / "shards")).split(split).classes for split in splits}
    for split, drawings in splits.items():
        assert classes[split] == (["airplane", "ambulance"] if split == "zeroshot" else ["yoga", "zebra"])
        words = [CATEGORIES[key_id // 1000] for key_id in drawings.key_ids.tolist()]
        assert [classes[split][label] for label in drawings.labels] == words
        assert all(drawings.strokes(i)[0][0, 0] == drawings.key_ids[i] % 256 for i in range(len(drawings)))
    assert sum(map(len, splits.values())) == len(set.union(*key_ids(splits).values())) == 4 * NUM_EACH


def test_neither_the_order_of_lines_nor_per_class_moves_a_drawing(source, tmp_path):
    everything = key_ids(run(f"source={source}", f"root={tmp_path / 'all'}"))
    some = key_ids(run(f"source={source}", f"root={tmp_path / 'some'}", "per_class=40"))
    for path in source.iterdir():
        lines = path.read_text().splitlines(keepends=True)
        random.Random(0).shuffle(lines)
        write(path, lines)
    shuffled = key_ids(run(f"source={source}", f"root={tmp_path / 'shuffled'}", "per_class=40"))
    assert shuffled == some
    assert sum(map(len, some.values())) == 4 * 40
    assert all(some[split] <= everything[split] for split in some)


def test_quickdraw414k_takes_all_categories_into_train_val_and_test(source, tmp_path):
    splits = run(f"source={source}", f"root={tmp_path / 'shards'}", "split_rule=quickdraw414k")
    assert list(splits) == ["train", "val", "test"]
    assert all(set(drawings.labels.tolist()) == {0, 1, 2, 3} for drawings in splits.values())


def test_kaggle340_reads_no_file_of_a_category_that_the_challenge_did_not_have(source, tmp_path):
    (source / "rifle.ndjson").write_text("no drawing")
    splits = run(f"source={source}", f"root={tmp_path / 'shards'}", "split_rule=kaggle340")
    assert list(splits) == ["train", "val", "test"]
    assert Shards(str(tmp_path / "shards")).split("test").classes == sorted(CATEGORIES)
    alone = tmp_path / "alone"
    alone.mkdir()
    write(alone / "knife.ndjson", [line(1, "knife")])
    with pytest.raises(ValueError, match=r"kaggle340 takes none of these categories: knife$"):
        run(f"source={alone}", f"root={tmp_path / 'none'}", "split_rule=kaggle340")


def test_sketchrnn_refuses_a_source_of_another_form_before_any_file_is_read(source, tmp_path):
    with pytest.raises(ValueError, match=r"airplane\.ndjson does not say the splits"):
        run(f"source={source}", f"root={tmp_path / 'shards'}", "split_rule=sketchrnn")
    assert not (tmp_path / "shards" / "index.json").exists()


@pytest.mark.parametrize(("rule", "number", "suffix"), [("kaggle340", 340, ".bin"), ("sketchrnn", 345, ".npz")])
def test_only_the_files_that_a_rule_takes_are_downloaded(tmp_path, monkeypatch, rule, number, suffix):
    asked = {}

    def download(names, directory, base_url="", suffix=".bin"):
        asked.update(number=len(names), suffix=suffix)
        raise ValueError("stopped here")

    monkeypatch.setattr(quickdraw, "download", download)
    with pytest.raises(ValueError, match="stopped here"):
        run(f"root={tmp_path / 'shards'}", f"split_rule={rule}")
    assert asked == {"number": number, "suffix": suffix}


@pytest.mark.parametrize(
    ("said", "option", "recognition"),
    [(True, "true", "recognized"), (True, "any", "all"), (None, "true", "unknown"), (None, "any", "unknown")],
)
def test_shards_say_whether_they_hold_recognized_drawings_or_all(source, tmp_path, capsys, said, option, recognition):
    for number, word in enumerate(CATEGORIES):
        write(source / f"{word}.ndjson", [line(1000 * number + k, word, recognized=said) for k in range(40)])
    main([f"source={source}", f"root={tmp_path / 'shards'}", f"recognized={option}"])
    assert Shards(str(tmp_path / "shards")).recognition == recognition
    assert f"{recognition})" in capsys.readouterr().out


def test_a_few_drawings_that_do_not_say_it_leave_shards_recognized(source, tmp_path):
    write(source / "yoga.ndjson", [line(9000 + k, "yoga", recognized=True if k else None) for k in range(NUM_EACH)])
    run(f"source={source}", f"root={tmp_path / 'shards'}")
    assert Shards(str(tmp_path / "shards")).recognition == "recognized"


@pytest.mark.parametrize("index", [{}, {"recognized": ["any"]}, {"recognized": "true", "counts": {"kept": "many"}}])
def test_an_index_of_anyone_else_leaves_it_unknown(index):
    assert recognition_of_index(index) == "unknown"


def test_the_same_drawings_as_bin_and_as_ndjson_give_the_same_shards(source, tmp_path):
    run(f"source={source}", f"root={tmp_path / 'ndjson'}")
    binary = tmp_path / "binary"
    binary.mkdir()
    for path in source.iterdir():
        records = b""
        for text in path.open():
            (x, y), key_id = json.loads(text)["drawing"][0], int(json.loads(text)["key_id"])
            records += struct.pack("<Q2sbIHH4B", key_id, b"DE", 1, 0, 1, 2, *x, *y)
        (binary / f"{path.stem}.bin").write_bytes(records)
    run(f"source={binary}", f"root={tmp_path / 'bin'}")
    for shard in (tmp_path / "ndjson").glob("*.tar"):
        assert shard.read_bytes() == (tmp_path / "bin" / shard.name).read_bytes()


def test_without_source_the_files_are_downloaded_first(source, tmp_path, monkeypatch):
    asked = {}

    def download(names, directory):
        asked[directory] = len(names)
        source.rename(directory)

    monkeypatch.setattr(quickdraw, "download", download)
    (tmp_path / "shards").mkdir()
    assert run(f"root={tmp_path / 'shards'}")
    assert asked == {tmp_path / "shards" / "official": 345}


def test_help_names_every_option(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"{key}=" in printed for key in ("root", "source", "download", "per_class", "recognized", "split_rule"))


def test_real_drawings_raw_and_simplified_become_shards(shared, tmp_path, capsys):
    for form in ("raw", "simplified_official"):
        main([f"source={shared / 'data/quickdraw' / form}", f"root={tmp_path / form}", "per_class=20"])
        index = Shards(str(tmp_path / form)).index
        counts = index["counts"]
        assert counts["kept"] == sum(split["num_drawings"] for split in index["splits"].values())
        assert counts["read"] == counts["kept"] + counts["not_recognized"] + counts["beyond_limit"]
        assert counts["not_recognized"] > 0
    assert "drawings read" in capsys.readouterr().out
    assert np.all(Shards(str(tmp_path / "raw")).split("zeroshot").drawings([0]).stroke_lengths > 0)
