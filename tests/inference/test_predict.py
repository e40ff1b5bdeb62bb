"""python -m deepdraw.predict: a row for each drawing, whole rows only, and bad input is refused before the first."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import struct
import sys

import numpy as np
import pytest
from PIL import Image

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.inference.predict import main
from deepdraw.inference.recognizer import Recognizer
from tests import refusals

NUMBER = 20


@pytest.fixture
def best(trained):
    return trained / "checkpoints/best.pt"


@pytest.fixture(scope="session")
def strokes(polygon_root):
    (block,) = Shards(str(polygon_root)).split("test")
    return [block.strokes(index) for index in range(NUMBER)]


@pytest.fixture
def ndjson(strokes, tmp_path):
    """Drawings of several words in one file, as one collects them."""
    path = tmp_path / "drawings.ndjson"
    lines = [
        json.dumps({"word": word, "key_id": str(2**63 + k), "drawing": [stroke.T.tolist() for stroke in drawing]})
        for k, (drawing, word) in enumerate(zip(strokes, ["square", "circle"] * NUMBER, strict=False))
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def folder(tmp_path):
    """Three images in a folder and below it, and a file that is none."""
    for name, value in {"b.png": 255, "a.JPG": 200, "deep/er/c.png": 0}.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30), value, np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "images/notes.txt").write_text("not an image")
    return tmp_path / "images"


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def refusal(*arguments: object) -> str:
    return refusals.refusal(main, [str(argument) for argument in arguments])


def test_every_drawing_of_an_ndjson_file_gets_its_row(best, strokes, ndjson, capsys):
    main([f"ckpt={best}", f"input={ndjson}", "top=2", "batch_size=8"])
    rows = table(capsys.readouterr().out)
    assert list(rows[0]) == ["key_id", "name_1", "probability_1", "name_2", "probability_2"]
    assert [row["key_id"] for row in rows] == [str(2**63 + k) for k in range(NUMBER)]
    for row, guesses in zip(rows, deepdraw.load(best).predict(strokes), strict=True):
        assert row["name_1"] == guesses[0].name
        assert float(row["probability_1"]) == pytest.approx(guesses[0].probability, abs=1e-5)
        assert float(row["probability_2"]) == pytest.approx(guesses[1].probability, abs=1e-5)


def test_json_lines_say_the_same(best, ndjson, tmp_path, capsys):
    main([f"ckpt={best}", f"input={ndjson}"])
    rows = table(capsys.readouterr().out)
    main([f"ckpt={best}", f"input={ndjson}", f"output={tmp_path / 'out.jsonl'}"])
    printed = capsys.readouterr()
    assert printed.out == "" and f"written to {tmp_path / 'out.jsonl'}" in printed.err
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["key_id"] for record in records] == [row["key_id"] for row in rows]
    assert [record["names"][0] for record in records] == [row["name_1"] for row in rows]
    assert [record["probabilities"][2] for record in records] == [float(row["probability_3"]) for row in rows]


def test_official_bin_files_are_read_too(best, strokes, ndjson, tmp_path, capsys):
    records = b""
    for k, drawing in enumerate(strokes):
        records += struct.pack("<Q2sbIH", 2**63 + k, b"AT", 1, 0, len(drawing))
        records += b"".join(struct.pack("<H", len(stroke)) + stroke.T.tobytes() for stroke in drawing)
    (tmp_path / "square.bin").write_bytes(records)
    main([f"ckpt={best}", f"input={tmp_path / 'square.bin'}"])
    from_bin = capsys.readouterr().out
    main([f"ckpt={best}", f"input={ndjson}"])
    assert capsys.readouterr().out == from_bin


def test_a_folder_is_all_images_in_and_below_it_in_order(best, folder, capsys):
    main([f"ckpt={best}", f"input={folder}"])
    rows = table(capsys.readouterr().out)
    assert [row["file"] for row in rows] == [str(folder / name) for name in ("a.JPG", "b.png", "deep/er/c.png")]
    main([f"ckpt={best}", f"input={folder / 'deep/er/c.png'}"])
    assert table(capsys.readouterr().out) == rows[2:]


def test_images_of_all_forms_are_taken_and_what_is_left_is_told(best, folder, capsys):
    for suffix in ("webp", "bmp", "gif", "tif", "PPM"):
        Image.fromarray(np.full((20, 30), 255, np.uint8)).save(folder / f"more.{suffix}")
    (folder / "._a.JPG").write_bytes(b"\0\5\x16\7")
    (folder / "deep/up").symlink_to("..")
    (folder / "labels.csv").write_text("path,label")
    main([f"ckpt={best}", f"input={folder}"])
    printed = capsys.readouterr()
    assert len(table(printed.out)) == 8
    assert "8 files (2 .png, 1 .bmp, 1 .gif, 1 .jpg, 1 .ppm, 1 .tif, 1 .webp), 4 left out" in printed.err
    assert "(1 .csv, 1 .txt, 1 folders that links reach again, 1 hidden or of the system)" in printed.err


@pytest.mark.parametrize(
    ("name", "fix"),
    [("a.HEIC", "convert it to PNG"), ("old.zip", "unpack it"), ("cat.ndjson.gz", "give it alone, as input=FILE")],
)
def test_what_may_hold_drawings_but_is_not_read_is_refused_by_name(best, folder, name, fix, capsys):
    (folder / name).write_bytes(b"x")
    message = refusal(f"ckpt={best}", f"input={folder}")
    assert name in message
    assert fix in message
    assert capsys.readouterr().out == ""


def test_a_link_that_leads_nowhere_is_refused_by_name(best, folder):
    (folder / "gone.png").symlink_to("nowhere.png")
    assert f"{folder / 'gone.png'} is a link to nowhere.png" in refusal(f"ckpt={best}", f"input={folder}")


def test_drawings_may_be_gzipped(best, ndjson, capsys):
    main([f"ckpt={best}", f"input={ndjson}"])
    rows = capsys.readouterr().out
    packed = ndjson.with_suffix(".ndjson.gz")
    packed.write_bytes(gzip.compress(ndjson.read_bytes()))
    main([f"ckpt={best}", f"input={packed}"])
    assert capsys.readouterr().out == rows
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "drawings.ndjson.gz is a gzip that is damaged or cut short" in refusal(f"ckpt={best}", f"input={packed}")


def test_a_broken_image_is_refused_by_name_before_anything_is_written(best, folder, tmp_path, capsys):
    whole = (folder / "b.png").read_bytes()
    (folder / "z.png").write_bytes(whole[: len(whole) // 2])
    message = refusal(f"ckpt={best}", f"input={folder}", f"output={tmp_path / 'out.csv'}")
    assert str(folder / "z.png") in message
    assert not list(tmp_path.glob("out.csv*"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"drawing": [[[1, 2], [3', "drawing 21 is broken"),
        ('{"drawing": []}', "has no point: leave it out"),
        ('{"drawing": [[[1, 2], [3, "400"]]]}', "a coordinate is no number"),
    ],
)
def test_a_broken_drawing_is_refused_before_anything_is_written(best, ndjson, line, message, capsys):
    ndjson.write_text(ndjson.read_text() + line + "\n")
    assert message in refusal(f"ckpt={best}", f"input={ndjson}")
    assert capsys.readouterr().out == ""


def test_an_interrupted_file_holds_whole_rows_and_not_its_own_name(best, ndjson, tmp_path, monkeypatch, capsys):
    """The signal comes in the second batch of three."""
    calls = []
    compute = Recognizer.predict

    def predict(self, *arguments):
        calls.append(0)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return compute(self, *arguments)

    monkeypatch.setattr(Recognizer, "predict", predict)
    with pytest.raises(SystemExit, match="^130$"):
        main([f"ckpt={best}", f"input={ndjson}", f"output={tmp_path / 'out.csv'}", "batch_size=8"])
    assert re.search(r"interrupted: .*\.part", capsys.readouterr().err)
    assert not (tmp_path / "out.csv").exists()
    text = (tmp_path / "out.csv.part").read_text()
    assert text.endswith("\n")
    assert len(table(text)) == 16


def test_a_reader_that_has_seen_enough_ends_it_in_silence(best, ndjson, monkeypatch):
    """As `| head` does: nobody is at the other end of the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        main([f"ckpt={best}", f"input={ndjson}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "option ckpt is missing"),
        ("ckpt={best}", "option input is missing"),
        ("ckpt=nowhere.pt input=x", "there is no checkpoint nowhere.pt"),
        ("ckpt={best} input=nowhere.png", "input=nowhere.png does not exist: correct the path"),
        ("ckpt={best} input={empty}", "holds no drawing: give a file or folder of .png, .jpg, .jpeg, .webp"),
        ("ckpt={best} input={text}", "notes.txt is no image"),
        ("ckpt={best} input={folder} output=out.txt", "name it FILE.csv or FILE.jsonl"),
        ("ckpt={best} input={folder} output={folder}/none/out.csv", "choose another file"),
        ("ckpt={best} input={folder} top=0", "top=0 predicts nothing"),
        ("ckpt={best} input={folder} inptu=0", "unknown option 'inptu': did you mean input=...?"),
        ("ckpt={best} input={folder} device=abacus", "use device=auto or device=cpu"),
    ],
)
def test_bad_input_is_answered_in_one_line(best, folder, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    names = {"best": best, "folder": folder, "empty": tmp_path / "empty", "text": folder / "notes.txt"}
    assert message in refusal(*arguments.format(**names).split())


def test_help_names_every_option(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"  {key}=" in printed for key in ("ckpt", "input", "output", "top", "batch_size", "device"))


@pytest.mark.parametrize(
    ("name", "text"), [("t.csv", "name,age\nAda,36\n"), ("t.jsonl", '{"file": "x"}\n'), ("n.csv", "x")]
)
def test_a_file_that_predict_did_not_write_is_not_replaced(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "none.pt").touch()
    message = refusal(f"ckpt={tmp_path / 'none.pt'}", f"input={tmp_path}", f"output={tmp_path / name}")
    assert message == (
        f"error: output={tmp_path / name} is there, and predict did not write it: choose another, or delete it"
    )
    assert (tmp_path / name).read_text() == text
