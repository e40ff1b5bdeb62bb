"""What docs/data.md says to type for well-known data sets trains on a few files made by hand in the same form."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.polygons import polygons
from tests.training.test_loop import summary

DOCS = Path(__file__).parents[2] / "docs/data.md"
CLASSES = {"alarm clock": 3, "cat": 4, "wrist-watch": 8}
NUMBER = 24
Strokes = list[np.ndarray]


def drawings_of(corners: int) -> list[Strokes]:
    drawn = polygons([corners], NUMBER, seed=corners)
    return [drawn.strokes(i) for i in range(NUMBER)]


def image(strokes: Strokes, size: int, suffix: str = ".png", paper: int = 255, width: int = 4) -> bytes:
    pixels = np.full((size, size, 3), paper, np.uint8)
    lines = [np.rint(stroke * (0.8 * size / 255) + 0.1 * size).astype(np.int32) for stroke in strokes]
    cv2.polylines(pixels, lines, False, (20, 20, 20), width, cv2.LINE_AA)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def put(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def tu_berlin(root: Path) -> None:
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
        '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n<svg viewBox="0 0 800 800" '
        'preserveAspectRatio="xMinYMin meet" xmlns="http://www.w3.org/2000/svg" version="1.1">\n'
        '<g fill="none" stroke="black" stroke-linecap="round" stroke-linejoin="round" stroke-width="0.8">'
        '<g transform="translate(400.5,380.2) scale(1.3) translate(-400.5,-380.2)">\n'
    )
    number = 0
    for name, corners in CLASSES.items():
        for strokes in drawings_of(corners):
            number += 1
            points = (strokes[0] * 2.0 + 150).round(2)
            curves = " ".join(f"C {a[0]},{a[1]} {b[0]},{b[1]} {b[0]},{b[1]}" for a, b in pairwise(points))
            path = f'<path id="0" d="M {points[0][0]},{points[0][1]} {curves}"/>\n'
            put(root / f"svg/{name}/{number}.svg", f"{head}{path}</g></g></svg>\n")
    put(root / "svg/filelist.txt", "alarm clock/1.svg\n")


def sketchy(root: Path) -> None:
    for name, corners in CLASSES.items():
        for i, strokes in enumerate(drawings_of(corners)):
            put(root / f"256x256/sketch/tx_000000000000/{name}/n026911_{i // 5}-{i % 5 + 1}.png", image(strokes, 256))


def kaggle(root: Path) -> None:
    for name, corners in CLASSES.items():
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["countrycode", "drawing", "key_id", "recognized", "timestamp", "word"])
        for i, strokes in enumerate(drawings_of(corners)):
            drawing = json.dumps([stroke.T.tolist() for stroke in strokes])
            rows.writerow(["US", drawing, 5152802093400064 + i, "True", "2017-03-08 21:12:07.266040", name])
        put(root / f"train_simplified/{name}.csv", text.getvalue())


def sketch_rnn(root: Path) -> None:
    for name, corners in CLASSES.items():
        steps = []
        for (stroke,) in drawings_of(corners):
            moves = np.diff(stroke.astype(np.int16), axis=0, prepend=np.zeros((1, 2), np.int16))
            pen = np.zeros((len(moves), 1), np.int16)
            pen[-1] = 1
            steps.append(np.concatenate([moves, pen], axis=1))
        arrays = {"train": steps[:16], "valid": steps[16:20], "test": steps[20:]}
        (root / "sketchrnn").mkdir(exist_ok=True)
        objects = {}
        for split, part in arrays.items():
            objects[split] = np.empty(len(part), object)
            objects[split][:] = part
        np.savez_compressed(root / f"sketchrnn/{name}.npz", **objects)


def bitmaps(root: Path) -> None:
    (root / "numpy_bitmap").mkdir()
    for name, corners in CLASSES.items():
        decoded = [
            cv2.imdecode(np.frombuffer(image(strokes, 28, width=1), np.uint8), cv2.IMREAD_GRAYSCALE)
            for strokes in drawings_of(corners)
        ]
        np.save(root / f"numpy_bitmap/{name}.npy", 255 - np.stack(decoded).reshape(NUMBER, 784))


def domain_net(root: Path) -> None:
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for label, (name, corners) in enumerate(CLASSES.items()):
        for i, strokes in enumerate(drawings_of(corners)):
            path = f"quickdraw/{name.replace(' ', '_')}/{4503626191994880 + i}.png"
            put(root / path, image(strokes, 255))
            lists["test" if i % 4 == 0 else "train"].append(f"{path} {label}")
    for split, lines in lists.items():
        put(root / f"quickdraw_{split}.txt", "\n".join(lines) + "\n")


def scans(root: Path) -> None:
    random = np.random.default_rng(0)
    for name, corners in CLASSES.items():
        for i, strokes in enumerate(drawings_of(corners)):
            clean = cv2.imdecode(np.frombuffer(image(strokes, 640, paper=225, width=7), np.uint8), cv2.IMREAD_COLOR)
            noisy = np.clip(clean + random.normal(0, 4, clean.shape), 0, 255).astype(np.uint8)
            form = (".jpg", ".png", ".webp")[i % 3]
            put(root / f"scans/{name}/IMG_{i:04}{form.upper()}", cv2.imencode(form, noisy)[1].tobytes())


RECIPES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "TU-Berlin": (tu_berlin, set(CLASSES)),
    "Sketchy": (sketchy, set(CLASSES)),
    "Kaggle Quick, Draw! Doodle Recognition": (kaggle, set(CLASSES)),
    "sketch-rnn": (sketch_rnn, set(CLASSES)),
    "Quick, Draw! bitmaps": (bitmaps, set(CLASSES)),
    "DomainNet quickdraw": (domain_net, {"alarm_clock", "cat", "wrist-watch"}),
    "One's own scans": (scans, set(CLASSES)),
}
SPLITS = {"sketch-rnn": (48, 12, 12), "DomainNet quickdraw": (48, 6, 18)}


def written() -> dict[str, str]:
    """The commands of docs/data.md for each data set."""
    text = DOCS.read_text().split("## What to type for well-known data sets")[1].split("\n## ")[0]
    return dict(re.findall(r"^### (.*?)\n.*?```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE))


def test_every_recipe_of_the_docs_is_tried():
    assert written().keys() == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains(name, train, tmp_path, monkeypatch, capsys):
    make, classes = RECIPES[name]
    place = tmp_path / "data"
    place.mkdir()
    make(place)
    monkeypatch.chdir(place)
    *before, command = written()[name].strip().splitlines()
    if before:
        subprocess.run(["bash", "-c", "\n".join(before)], check=True, cwd=place)
    small = ["data.batch_size=8", "train.limit_steps=4", "train.log_every=2"]
    run = train(*shlex.split(command)[2:], *small, run_dir=tmp_path / "run")
    assert summary(run)["steps"] == 4
    printed = capsys.readouterr().out
    totals = next(line for line in printed.splitlines() if f"{len(classes)} classes" in line)
    assert tuple(map(int, re.findall(r"\d+", totals)[1:])) == SPLITS.get(name, (51, 6, 15))
    assert classes <= {cell.strip() for line in printed.splitlines() for cell in line.split("│")}
