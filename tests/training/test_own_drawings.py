"""Training on drawings of one's own, from files of any form to a report, as on shards."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from deepdraw.evaluation.predictions import Predictions
from deepdraw.training import balanced_weights
from tests.polygons import encode, polygons
from tests.training.test_loop import assert_same_run, summary, weights

CORNERS = {"triangle": 3, "square": 4, "octagon": 8}
SMALL = ["data.batch_size=16", "optimizer.lr=5e-3"]


def write(root: Path, corners: dict[str, int], number: int, seed: int = 0) -> Path:
    """Shaky polygons, `number` of each class, as PNG, JPEG, SVG and ndjson in turns."""
    for name, count in corners.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        drawings = polygons([count], number, seed + count)
        for i in range(number):
            form = ("png", "jpg", "svg", "ndjson")[i % 4]
            (root / name / f"{seed}-{i}.{form}").write_bytes(encode(drawings.strokes(i), form, width=20))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = write(tmp_path_factory.mktemp("own") / "my drawings", CORNERS, 60)
    write(folder / "zeroshot", {"hexagon": 6, "line": 2}, 12)
    return folder


def test_a_folder_is_trained_on_tested_evaluated_and_reported(root, train, evaluate, capsys):
    run = train("data=folder", f"data.root={root}", *SMALL, "train.epochs=8", "augment=sketch", "augment.rotation=5")
    printed = capsys.readouterr().out
    assert "204 drawings in 204 files (51 .jpg, 51 .ndjson, 51 .png, 51 .svg); 24 drawings are held out" in printed
    assert ["square", "42", "6", "12"] in [line.split()[1::2] for line in printed.splitlines()]
    assert (run / "plots/data.png").stat().st_size > 10_000
    assert summary(run)["test/top1"] > 0.6
    assert "What the network will see" in (run / "report.html").read_text()
    evaluate(run / "checkpoints/best.pt")
    found = json.loads((run / "evaluations/test.json").read_text())
    assert found["test/top1"] == summary(run)["test/top1"]
    evaluate(run / "checkpoints/best.pt", "split=zeroshot", "protocol=prototype", "protocol.shots=[1,2]")
    few = Predictions.load(run / "evaluations/zeroshot.predictions.npz")
    assert few.classes == ["hexagon", "line"]


def test_a_run_on_files_resumes_to_the_same_bits(root, train, interrupted, tmp_path):
    overrides = ["data=folder", f"data.root={root}", *SMALL, "augment=strong", "train.checkpoint_every=3"]
    overrides += ["data.sampler=balanced"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    assert_same_run(train(*overrides, run_dir=tmp_path / "broken"), alone)


def test_a_run_does_not_go_on_with_other_drawings(root, train, interrupted, tmp_path):
    here = shutil.copytree(root, tmp_path / "here")
    overrides = ["data=folder", f"data.root={here}", *SMALL, "train.checkpoint_every=3"]
    interrupted(7, *overrides, run_dir=tmp_path / "run")
    write(here, {"square": 4}, 4, seed=99)
    with pytest.raises(SystemExit, match="the drawings of split train are not those that the run in .* began with"):
        train(*overrides, run_dir=tmp_path / "run")


@pytest.mark.slow
def test_a_job_that_was_killed_goes_on_to_the_same_bits(root, train, killed, tmp_path):
    overrides = ["data=folder", f"data.root={root}", *SMALL, "augment=sketch", "train.checkpoint_every=3"]
    overrides += ["train.epochs=6", "data.num_workers=1"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    run = killed(signal.SIGKILL, tmp_path / "killed")
    assert_same_run(train(*overrides, run_dir=run), alone)


def test_a_frozen_backbone_reads_the_files_once(root, train, tmp_path, capsys):
    overrides = ["data=folder", f"data.root={root}", *SMALL, "freeze=all"]
    first = train(*overrides, run_dir=tmp_path / "first")
    caches = {path.name for path in (tmp_path / "features").iterdir()}
    assert len(caches) == 3
    moved = shutil.copytree(root, tmp_path / "moved")
    second = train(*overrides, f"data.root={moved}", run_dir=tmp_path / "second")
    assert {path.name for path in (tmp_path / "features").iterdir()} == caches
    assert all(map(torch.equal, weights(first).values(), weights(second).values()))


def test_a_table_is_trained_on_and_may_move(root, train, evaluate, tmp_path):
    files = sorted(path for path in root.rglob("*") if path.is_file() and "zeroshot" not in path.parts)
    here = tmp_path / "here"
    shutil.copytree(root, here / "files")
    lines = [f'"{Path("files") / path.relative_to(root)}",{path.parent.name}' for path in files]
    (here / "labels.csv").write_text("\n".join(["path,label", *lines]))
    run = train("data=csv", f"data.file={here / 'labels.csv'}", "data.unseen=[square]", *SMALL, "train.epochs=1")
    here.rename(tmp_path / "there")
    evaluate(run / "checkpoints/best.pt", f"data.root={tmp_path / 'there/labels.csv'}")
    assert json.loads((run / "evaluations/test.json").read_text())["test/top1"] == summary(run)["test/top1"]
    assert Predictions.load(run / "evaluations/test.predictions.npz").classes == ["octagon", "triangle"]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("uneven")
    return write(write(root, {"triangle": 3, "square": 4}, 60), {"octagon": 8}, 5)


def test_very_uneven_classes_are_told_of(uneven, root, train, capsys):
    train("data=folder", f"data.root={uneven}", *SMALL, "train.limit_steps=1")
    assert "42 drawings of" in (line := next(x for x in capsys.readouterr().out.splitlines() if "very uneven" in x))
    assert "3 of octagon: train.class_weights=balanced or data.sampler=balanced" in line


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 3], [50, 7, 1])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert balanced_weights(labels, 4)[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    assert balanced_weights(labels, 4)[2] == 0


def test_class_weights_weigh_what_is_rare(uneven, root, train, tmp_path):
    overrides = [*SMALL, "train.epochs=2", "data=folder"]
    plain, weighted = (
        train(*overrides, f"data.root={uneven}", option, run_dir=tmp_path / f"uneven-{option[20:]}")
        for option in ("train.class_weights=null", "train.class_weights=balanced")
    )
    rare = [float((bias := weights(run)["head.bias"])[0] - bias.mean()) for run in (plain, weighted)]
    assert rare[0] < 0 < rare[1]
    even, same = (
        train(*overrides, f"data.root={root}", option, run_dir=tmp_path / f"even-{option[20:]}")
        for option in ("train.class_weights=null", "train.class_weights=balanced")
    )
    for one, other in zip(weights(even).values(), weights(same).values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.class_weights=balanced", "data.sampler=balanced"], "weigh classes twice"),
        (["train.class_weights=rare"], "train.class_weights=rare"),
        (["data.sampler=even"], "data.sampler=even must be balanced or null"),
        (["train.class_weights=balanced", "freeze=all", "head=grid"], "train.class_weights=null"),
        (["data.sampler=balanced", "freeze=all", "head=logistic"], "set data.sampler=null"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(train, overrides, words):
    with pytest.raises(SystemExit, match=words):
        train(*overrides)
