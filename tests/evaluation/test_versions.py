"""Evaluations of unfinished drawings, and of several views of each, marked in their keys."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from deepdraw.drawings import Drawings, PointSampler, Rasterizer, View
from deepdraw.evaluation import PLAIN, Version
from deepdraw.evaluation.versions import VIEWS, versions_of
from deepdraw.inference import rebuild

STROKES = [
    "backbone=strokes",
    "backbone.widths=[8,16]",
    "backbone.depths=[1,1]",
    "input.points=32",
    "optimizer.lr=1e-2",
]
FUSED = ["backbone=fused", "backbone@backbone.pixels=timm", "backbone.pixels.name=resnet10t", "input.points=32"]
FUSED += ["backbone.pixels.pretrained=false", "backbone.pixels.image_size=32"]
FUSED += ["+backbone.pixels.options.channels=[8,8,16,16]", "backbone.strokes.widths=[8]", "backbone.strokes.depths=[1]"]
PIXELS = ["render.line_width=2.5"]


def trained_on(kind: list[str], train_once, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return train_once(patch, tmp_path_factory.mktemp("versions") / "run", "train.epochs=2", *kind)


@pytest.fixture(scope="module", params=[PIXELS, FUSED], ids=["pixels", "fused"])
def run(request, train_once, tmp_path_factory) -> Path:
    return trained_on(request.param, train_once, tmp_path_factory)


@pytest.fixture(scope="module")
def strokes_run(train_once, tmp_path_factory) -> Path:
    return trained_on(STROKES, train_once, tmp_path_factory)


def results(run: Path, split: str = "test") -> dict[str, float]:
    return json.loads((run / f"evaluations/{split}.json").read_text())


def without_times(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith(("images_per_second", "_scaled"))}


def of(version: str, metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of a version under the names of the evaluation as such."""
    start = f"test/{version}"
    return without_times({f"test/{k.removeprefix(start)}": x for k, x in metrics.items() if k.startswith(start)})


def logits(run: Path, changes: list) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean log-probabilities [N, C] of all test drawings after each change, and labels, by plain means."""
    trained = rebuild(run, device="cpu", precision="fp32")
    split = trained.source().split("test")
    number = int(split.block_sizes.sum())
    drawings = split.read_strokes(np.arange(len(split.block_sizes)), np.arange(number))
    found = []
    for change in changes:
        seen = change(drawings)
        parts = []
        if "pixels" in trained.sees:
            parts.append(torch.from_numpy(trained.rasterizer(seen)))
        if "strokes" in trained.sees:
            parts.append(torch.from_numpy(trained.points(seen)))
        with torch.inference_mode():
            found.append(trained.model(tuple(parts) if len(parts) > 1 else parts[0]).log_softmax(1))
    return torch.stack(found).mean(dim=0), torch.from_numpy(drawings.labels.astype(np.int64))


def halves(drawings: Drawings) -> Drawings:
    """The first half of the line of each drawing, in plain Python."""
    begun = []
    for i in range(len(drawings)):
        strokes, kept = [s.astype(float) for s in drawings.strokes(i)], []
        left = sum(np.hypot(*np.diff(s, axis=0).T).sum() for s in strokes) / 2
        for stroke in strokes:
            if left <= 0 and kept:
                break
            part = [stroke[0]]
            for a, b in pairwise(stroke):
                step = np.hypot(*(b - a))
                part.append(b if step <= left else a + (b - a) * left / step)
                left -= step
                if left <= 0:
                    break
            kept.append(np.array(part))
        begun.append(kept)
    points = np.concatenate([s for kept in begun for s in kept]).astype(np.float32)
    lengths = np.array([len(s) for kept in begun for s in kept], np.uint16)
    return Drawings(points, lengths, np.array(list(map(len, begun)), np.uint16), drawings.labels, drawings.key_ids)


def test_unfinished_drawings_are_scored_as_if_the_rest_had_never_been_drawn(run, evaluate, capsys):
    evaluate(run, "drawn=[0.5,1]")
    assert "drawn" in capsys.readouterr().out
    metrics = results(run)
    expected, labels = logits(run, [halves])
    assert metrics["test/drawn_0.5_top1"] == pytest.approx((expected.argmax(1) == labels).float().mean().item())
    loss = torch.nn.functional.nll_loss(expected, labels).item()
    assert metrics["test/drawn_0.5_loss"] == pytest.approx(loss, rel=1e-3)
    assert "test/top1" not in metrics and not (run / "evaluations/test").exists()
    page = (run / "report.html").read_text()
    assert "drawn 0.5 top-1" in page
    evaluate(run)
    both = results(run)
    assert without_times(of("drawn_1_", both)) == pytest.approx({key: both[key] for key in of("drawn_1_", both)})
    assert both["test/drawn_0.5_loss"] == metrics["test/drawn_0.5_loss"]


def test_the_scores_of_views_are_averaged(run, evaluate):
    evaluate(run, "tta=2", "data.batch_size=50")

    def view(number: int):
        return lambda drawings: VIEWS[number](drawings, "")[0]

    expected, labels = logits(run, [view(0), view(1)])
    metrics = of("tta_2_", results(run))
    assert metrics["test/top1"] == pytest.approx((expected.argmax(1) == labels).float().mean().item())
    loss = torch.nn.functional.cross_entropy(expected, labels).item()
    assert metrics["test/loss"] == pytest.approx(loss, rel=1e-3)
    evaluate(run, "tta=2", "data.batch_size=32", "data.num_workers=2")
    for name in ("test/top1", "test/loss", "test/ece"):
        assert of("tta_2_", results(run))[name] == pytest.approx(metrics[name], rel=1e-5)


@pytest.mark.parametrize(
    "split, prefix", [("zeroshot", "prototype_1shot_top1"), ("generalized", "whitened_1shot_harmonic")]
)
def test_few_shot_learns_from_the_same_views_as_it_recognizes(strokes_run, evaluate, split, prefix):
    few = [f"split={split}", "protocol=prototype", "protocol.shots=[1]", "protocol.tries=2"]
    evaluate(strokes_run, *few, "tta=2", "drawn=0.75")
    found = results(strokes_run, split)
    assert f"{split}/drawn_0.75_tta_2_{prefix}" in found
    assert not any(key.startswith((f"{split}/prototype", f"{split}/whitened")) for key in found)


def test_a_trial_of_views_leaves_results_alone(strokes_run, evaluate):
    evaluate(strokes_run)
    before = results(strokes_run)
    evaluate(strokes_run, "tta=2", "drawn=0.3", "limit_batches=1", "data.batch_size=8")
    assert results(strokes_run) == before
    assert results(strokes_run, "test.limited")["test.limited/drawn_0.3_tta_2_drawings"] == 8


def test_versions_are_all_that_was_asked_for_each_by_its_own_name():
    assert versions_of(None, None, None, 1) == [PLAIN] and PLAIN.prefix == "" and PLAIN.views() == []
    found = versions_of([0, 0.5], None, [0.25, 1], 2)
    assert [version.prefix for version in found] == [
        f"interpolate_{alpha}_drawn_{share}_tta_2_" for alpha in ("0", "0.5") for share in ("0.25", "1")
    ]
    assert Version(drawn=0.25, tta=2).views() == [View(drawn=0.25), replace(VIEWS[1], drawn=0.25)]


@pytest.mark.parametrize(
    "wrong", ["drawn=0", "drawn=[0.5,0.5]", "drawn=[]", "drawn=1.5", "drawn=-1", "tta=0", "tta=99"]
)
def test_shares_and_numbers_out_of_range_are_refused_before_the_data_is_opened(strokes_run, evaluate, wrong, tmp_path):
    key = wrong.partition("=")[0]
    with pytest.raises(SystemExit, match=rf"error: {key}=\S.* must "):
        evaluate(strokes_run, wrong, f"data.root={tmp_path / 'nowhere'}")


def test_images_have_no_beginning(trained, evaluate, tmp_path):
    import cv2

    for name in rebuild(trained).classes:
        (tmp_path / f"own/{name}").mkdir(parents=True)
        image = np.full((40, 40), 255, np.uint8)
        image[5:9, 5:30] = 0
        cv2.imwrite(str(tmp_path / f"own/{name}/a.png"), image)
    with pytest.raises(SystemExit, match="drawn=0.5 ends drawings early, and those of split .* are images"):
        evaluate(trained, f"split={tmp_path / 'own'}", "drawn=0.5")


def test_a_mirrored_view_of_an_image_is_its_mirror_image():
    image = np.full((40, 30), 255, np.uint8)
    image[5:30, 7:12] = 0
    mirrored, factor = View(mirrored=True).change_image(image, 3, "")
    assert np.array_equal(mirrored, image[:, ::-1]) and factor == 1


def test_a_view_is_the_same_whatever_the_salt():
    drawings = Drawings.pack([[[[0, 0], [200, 50]], [[9, 9], [80, 90]]]], [0], [5])
    for view in VIEWS:
        assert np.array_equal(view(drawings, "a")[0].points, view(drawings, "b")[0].points)
    assert np.array_equal(Rasterizer(32)(VIEWS[0](drawings, "")[0]), Rasterizer(32)(drawings))
    assert np.array_equal(PointSampler(32)(VIEWS[0](drawings, "")[0]), PointSampler(32)(drawings))
