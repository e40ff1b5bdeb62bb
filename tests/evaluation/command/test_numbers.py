"""evaluate.py: the checkpoint alone says how, and the numbers are those of the run."""

from __future__ import annotations

import shutil

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.drawings.raster import Rasterizer
from deepdraw.evaluation.predictions import Predictions
from deepdraw.models.classifier import Classifier
from deepdraw.report.page import write_report
from deepdraw.training.checkpoint import load_checkpoint
from tests.evaluation.command.conftest import close, found, summary, without_times
from tests.refusals import refusal


def test_the_test_metrics_are_those_of_the_summary(trained, evaluate):
    evaluate(trained / "checkpoints/best.pt", "data.batch_size=32")
    metrics = found(trained)
    expected = without_times({name: value for name, value in summary(trained).items() if name.startswith("test/")})
    assert {name: metrics[name] for name in expected} == close(expected)
    assert {"test/top1", "test/top5", "test/map3", "test/mean_class_accuracy", "test/loss"} <= expected.keys()
    assert metrics["test/chance"] == pytest.approx(1 / 3)


def test_results_say_whether_their_drawings_were_recognized(trained, evaluate, capsys):
    assert summary(trained)["recognition"] == "unknown"  # these shards are of nobody's drawings
    evaluate(trained / "checkpoints/best.pt")
    assert found(trained)["recognition"] == "unknown"
    assert "drawings of 3 classes (recognized or all: unknown)" in capsys.readouterr().out


def test_the_test_metrics_come_with_intervals_and_as_val_calibrates_them(trained, evaluate):
    evaluate(trained / "checkpoints/best.pt")
    metrics = found(trained)
    assert metrics["test/top1_low"] <= metrics["test/top1"] <= metrics["test/top1_high"]
    assert metrics["test/top1_strokes_1"] == pytest.approx(metrics["test/top1"])
    assert {"test/ece_scaled", "test/loss_scaled", "test/aurc", "test/selective_accuracy_80"} <= metrics.keys()
    assert metrics["test/loss_scaled"] != metrics["test/loss"]
    evaluate(trained / "checkpoints/last.pt", "split=val")
    assert "val.last/loss_scaled" not in found(trained, "val.last")  # the temperature is that of the best weights


@pytest.mark.parametrize("split", ["test", "zeroshot", "generalized"])
def test_in_bf16_the_numbers_are_nearly_those_in_fp32(trained, evaluate, split):
    checkpoint = trained / "checkpoints/best.pt"
    evaluate(checkpoint, f"split={split}", "precision=fp32")
    exact = found(trained, split)
    evaluate(checkpoint, f"split={split}", "precision=bf16")
    rounded = found(trained, split)
    assert rounded != exact
    accuracies = [name for name in exact if name.endswith(("top1", "seen"))]
    assert accuracies
    assert [rounded[name] for name in accuracies] == pytest.approx([exact[name] for name in accuracies], abs=0.1)


def test_the_batch_size_does_not_matter(trained, evaluate):
    evaluate(trained / "checkpoints/best.pt")
    expected = without_times(found(trained))
    evaluate(trained / "checkpoints/best.pt", "data.batch_size=7")
    assert without_times(found(trained)) == close(expected)


def test_val_is_scored_as_training_saw_its_best_epoch(trained, evaluate):
    evaluate(trained / "checkpoints/best.pt", "split=val", "data.batch_size=32")
    for name in ("val/loss", "val/top1"):
        assert found(trained, "val")[name] == close(summary(trained)[name])


def test_one_drawing_gives_the_same_logits_wherever_the_checkpoint_goes(trained, polygon_root):
    """What the command does, by hand: every number that makes the image is in the checkpoint."""
    checkpoint = load_checkpoint(trained / "checkpoints/best.pt")
    config = OmegaConf.create(checkpoint["config"])
    backbone = instantiate(config.backbone)
    model = Classifier(backbone, instantiate(config.head, num_features=backbone.num_features, num_classes=3)).eval()
    model.load_state_dict(checkpoint["model"])
    preprocessing = checkpoint["preprocessing"]
    assert preprocessing.pop("mean") == list(backbone.mean)
    assert preprocessing.pop("std") == list(backbone.std)
    drawn = {"size": 32, "line_width": 2.5, "margin": 0.02, "polarity": "white_on_black", "images": "drawing"}
    drawn["channels"] = "ink"
    assert preprocessing == drawn

    def logits(rasterizer: Rasterizer) -> torch.Tensor:
        split = Shards(str(polygon_root)).split("test")
        loader = Loader(split, rasterizer, batch_size=90, shuffle=False, device=torch.device("cpu"), num_workers=0)
        (batch,) = loader.epoch()
        with torch.no_grad():
            return model(batch.inputs)

    assert torch.equal(logits(Rasterizer(**preprocessing)), logits(Rasterizer(**config.render)))
    assert not torch.allclose(logits(Rasterizer(**preprocessing)), logits(Rasterizer(size=32)))


def test_zeroshot_without_a_text_tower_is_named_k_shot(trained, evaluate, capsys):
    evaluate(trained / "checkpoints/best.pt", "split=zeroshot")
    metrics = found(trained, "zeroshot")
    assert metrics.keys() == {
        *(
            f"zeroshot/{method}_{k}shot_{n}"
            for method in ("whitened", "prototype", "knn")
            for k in (1, 5)
            for n in ("top1", "stderr")
        ),
        "zeroshot/chance",
        "zeroshot/drawings",
        "zeroshot/images_per_second",
        "recognition",
        "checkpoint",
        "checkpoint_epoch",
        "checkpoint_sha256",
    }
    assert metrics["zeroshot/chance"] == 0.5
    assert metrics["zeroshot/prototype_5shot_top1"] > 0.8  # a hexagon is no line
    printed = capsys.readouterr().out
    assert "prototype 5-shot top-1" in printed
    assert "zeroshot: 60 drawings of 2 classes" in printed


def test_an_evaluation_adds_its_numbers_to_those_already_there(trained, evaluate):
    best = trained / "checkpoints/best.pt"
    evaluate(best)
    classified = found(trained)
    evaluate(best, "protocol=prototype", "protocol.shots=[2]", "protocol.tries=3")
    assert {name.split("_")[0] for name in found(trained).keys() - classified.keys()} == {
        "test/prototype",
        "test/whitened",
    }
    assert {name: found(trained)[name] for name in without_times(classified)} == without_times(classified)


def test_the_same_command_gives_the_same_numbers(trained, evaluate):
    evaluate(trained / "checkpoints/best.pt", "split=zeroshot")
    first = found(trained, "zeroshot")
    evaluate(trained / "checkpoints/best.pt", "split=zeroshot")
    assert without_times(found(trained, "zeroshot")) == without_times(first)


def test_last_is_a_checkpoint_too(trained, evaluate):
    evaluate(trained / "checkpoints/last.pt")
    assert "test.last/top1" in found(trained, "test.last")


def test_the_data_may_have_moved(trained, evaluate, polygon_root, tmp_path):
    checkpoint = trained / "checkpoints/best.pt"
    moved = shutil.copytree(polygon_root, tmp_path / "moved")
    (moved / "index.json").rename(moved / "index.txt")
    assert f"no shards in {moved}" in refusal(evaluate, checkpoint, f"data.root={moved}")
    (moved / "index.txt").rename(moved / "index.json")
    evaluate(checkpoint, f"data.root={moved}", "data.batch_size=32")
    assert found(trained)["test/loss"] == close(summary(trained)["test/loss"])


def test_both_kinds_of_classes_are_told_apart_together(trained, evaluate, capsys):
    evaluate(trained / "checkpoints/best.pt", "split=generalized", "protocol.fewshot.shots=[2]")
    metrics = found(trained, "generalized")
    for method in ("whitened", "prototype", "knn"):
        for kind in ("2shot", "2shot_calibrated"):
            assert {f"generalized/{method}_{kind}_{name}" for name in ("seen", "unseen", "harmonic")} <= metrics.keys()
    assert metrics["generalized/chance"] == 0.2
    assert "generalized: 150 drawings of 5 classes" in capsys.readouterr().out


def test_every_answer_is_kept_beside_the_numbers(trained, evaluate, polygon_root):
    for split in ("test", "zeroshot"):
        evaluate(trained / "checkpoints/best.pt", f"split={split}")
    answers = Predictions.load(trained / "evaluations/test.predictions.npz")
    split = Shards(str(polygon_root)).split("test")
    assert answers.classes == split.classes
    assert (answers.labels == split.labels).all()
    assert answers.right.mean() == pytest.approx(found(trained)["test/top1"])
    assert (answers.strokes == split.complexity().strokes).all()
    assert len(Predictions.load(trained / "evaluations/zeroshot.predictions.npz")) == 60 - 2 * 5  # without the support


def test_pictures_are_drawn_and_shown_in_one_page(trained, evaluate):
    evaluate(trained / "checkpoints/best.pt", "split=generalized", "pictures=true", "protocol.fewshot.tries=2")
    pictures = {path.stem for path in (trained / "evaluations/generalized").glob("*.png")}
    assert {"confusion", "mistakes", "stacking"} <= pictures
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= len(pictures)
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_trial_on_some_batches_leaves_the_results_of_whole_splits_alone(trained, evaluate):
    checkpoint = trained / "checkpoints/best.pt"
    evaluate(checkpoint)
    files = [*(trained / "evaluations").rglob("test*"), trained / "report.html"]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    evaluate(checkpoint, "limit_batches=1", "data.batch_size=4", "pictures=true")
    assert {file: file.read_bytes() for file in before} == before
    assert found(trained, "test.limited")["test.limited/drawings"] == 4
    write_report(trained)
    assert "limited" not in (trained / "report.html").read_text()
