"""evaluate.py: the checkpoint alone says how, and the numbers are those of the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards, write_shards
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer
from deepdraw.evaluation.classify import score
from deepdraw.evaluation.predictions import Predictions
from deepdraw.models.classifier import Classifier
from deepdraw.report.page import write_report
from deepdraw.runtime.precision import Precision
from deepdraw.training.checkpoint import load_checkpoint
from tests.refusals import refusal


def found(run: Path, split: str = "test") -> dict[str, float]:
    return json.loads((run / f"evaluations/{split}.json").read_text())


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def close(metrics: dict) -> object:
    """But for rounding: an evaluation on a CPU folds batch norms into convolutions."""
    return pytest.approx(metrics, rel=1e-5, abs=1e-5)


def without_times(metrics: dict) -> dict:
    """And without what is no number."""
    others = ("images_per_second", "recognition", "checkpoint", "checkpoint_sha256", "checkpoint_epoch")
    return {name: value for name, value in metrics.items() if not name.endswith(others)}


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


def test_the_head_is_not_asked_about_classes_it_never_saw(trained, evaluate):
    message = refusal(evaluate, trained / "checkpoints/best.pt", "split=zeroshot", "protocol=classifier")
    assert message.endswith("use protocol=auto, prototype, knn or text")


def test_prompts_need_a_text_tower(trained, evaluate):
    message = refusal(evaluate, trained / "checkpoints/best.pt", "split=zeroshot", "protocol=text")
    assert message == "error: resnet10t has no text tower to read prompts with: use backbone=clip"


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


@pytest.fixture
def folder(tmp_path, polygon_root):
    """Drawings of split test as PNG files, dark on light, in a folder for each of the names."""

    def draw(*names: str) -> Path:
        split = Shards(str(polygon_root)).split("test")
        images = np.empty((90, 64, 64), np.uint8)
        split.read(np.arange(len(split.block_sizes)), np.arange(90), Rasterizer(64), images)
        for label, name in enumerate(names):
            (tmp_path / "my sketches" / name).mkdir(parents=True)
            for i in np.flatnonzero(split.labels == label)[:6]:
                cv2.imwrite(str(tmp_path / "my sketches" / name / f"{i}.png"), images[i])
        return tmp_path / "my sketches"

    return draw


def test_a_folder_of_images_is_a_split_too(trained, evaluate, folder, polygon_root):
    classes = Shards(str(polygon_root)).split("test").classes
    path = folder(*classes[:2])
    evaluate(trained / "checkpoints/best.pt", f"split='{path}'")
    name = f"{path.parent.name}-my sketches"
    metrics = found(trained, name)
    assert metrics[f"{name}/chance"] == pytest.approx(1 / 3)
    assert f"{name}/top1" in metrics
    assert f"{name}/top1_strokes_1" not in metrics  # of images nobody knows
    answers = Predictions.load(trained / f"evaluations/{name}.predictions.npz")
    assert answers.classes == classes
    by_folder = [classes.index(name) for name in sorted(classes[:2]) for _ in range(6)]
    assert answers.labels.tolist() == by_folder


def test_paths_are_taken_as_they_are_typed(trained, evaluate, folder, monkeypatch):
    path = folder("square", "octagon").rename(trained.parent / "sketches à main (1), v=2")
    run = trained.rename(trained.parent / "run, lr=0.1 (é)")
    evaluate(run, f"split={path}")
    name = f"{path.parent.name}-{path.name}"
    assert f"{name}/top1" in found(run, name)
    monkeypatch.setenv("HOME", str(path.parent))
    assert refusal(evaluate, run, "split=~/sketches à main (1), v=3").endswith(f"did you mean {path}?")
    (path / "square").rename(path / "Square")
    (path / "octagon").rename(path / "OCTAGON")
    assert "such as 'OCTAGON' for 'octagon'" in refusal(evaluate, run, "split=~/sketches à main (1), v=2")


def test_shards_of_other_classes_are_never_to_be_removed(trained, evaluate, tmp_path):
    drawings = Drawings.pack([[np.array([[0, 0], [255, 255]])]] * 4, [0, 0, 1, 1], np.arange(4))
    write_shards(tmp_path / "other", {"test": (["square", "star"], drawings)}, metadata={})
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"data.root={tmp_path / 'other'}")
    assert message.startswith("error: 'star' is not among the 3 known classes: rename, or choose a split of known")
    assert not any(word in message for word in ("remove", "delete", "leave out", "take away"))


def test_a_folder_of_one_unknown_class_is_refused_with_the_nearest(trained, evaluate, folder):
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"split='{folder('square', 'octogon')}'")
    assert message.startswith("error: 'octogon' (did you mean 'octagon'?) is not among the 3 known classes")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no image at all", "is no image: fetch it anew or take it away"),
        (b"", "is empty: fetch it anew or take it away"),
        (b"\x89PNG\r\n\x1a\n and then nothing of use", "is no image or is cut short: fetch it anew or take it away"),
    ],
)
def test_an_image_that_is_no_image_is_named(trained, evaluate, folder, content, reason):
    path = folder("square", "octagon")
    broken = path / "square/9999.png"
    broken.write_bytes(content)
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"split='{path}'")
    assert message == f"error: {broken} {reason}"


def test_classes_trained_on_are_not_asked_about_as_unseen(trained, evaluate, polygon_root, tmp_path):
    seen = Shards(str(polygon_root))
    strokes = [[np.array([[0, 0], [255, 255]])]] * 4
    drawings = Drawings.pack(strokes, [0, 0, 1, 1], np.arange(4))
    write_shards(tmp_path / "other", {"zeroshot": (["line", seen.split("test").classes[0]], drawings)}, metadata={})
    arguments = ["split=zeroshot", f"data.root={tmp_path / 'other'}"]
    message = refusal(evaluate, trained / "checkpoints/best.pt", *arguments)
    assert message.startswith("error: 1 of the 2 classes of split zeroshot were trained on")


def test_a_split_without_drawings_is_refused(trained, evaluate, tmp_path):
    write_shards(tmp_path / "none", {"test": (["line"], Drawings.pack([], [], []))}, metadata={})
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"data.root={tmp_path / 'none'}")
    assert message.startswith("error: split test holds no drawing")


def test_a_misspelt_split_is_refused_with_those_there_are(trained, evaluate):
    message = refusal(evaluate, trained / "checkpoints/best.pt", "split=tset")
    assert message.startswith(
        "error: split=tset is neither a split nor a folder: give one of train, val, test, zeroshot"
    )
    assert message.endswith("did you mean split=test?")


def test_a_missing_checkpoint_is_refused(evaluate, tmp_path):
    message = refusal(evaluate, tmp_path / "best.pt")
    assert message.startswith(f"error: there is no checkpoint {tmp_path / 'best.pt'}: correct the path")


def test_the_checkpoint_must_be_given(evaluate):
    assert refusal(evaluate, "???").startswith("error: ckpt is missing: give ckpt=RUN, ")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_batch_is_refused(trained, evaluate, limit):
    message = refusal(evaluate, trained / "checkpoints/best.pt", f"limit_batches={limit}")
    assert message == f"error: limit_batches={limit} must be at least 1, or null for the whole split"


def test_a_refused_evaluation_leaves_the_former_numbers(trained, evaluate):
    best = trained / "checkpoints/best.pt"
    evaluate(best)
    before = (trained / "evaluations/test.json").read_bytes()
    refusal(evaluate, best, "protocol=text")
    assert "k=0" in refusal(evaluate, best, "protocol=knn", "protocol.methods.knn.k=0")
    assert "tries=1" in refusal(evaluate, best, "split=generalized", "protocol=knn", "protocol.tries=1")
    refusal(evaluate, best, "protocol=prototype", "protocol.methods.prototype.shrinkage=0")
    refusal(evaluate, best, "precision.name=fp8")
    refusal(evaluate, best, "device=cuda:99")
    assert (trained / "evaluations/test.json").read_bytes() == before


@pytest.fixture(scope="session")
def fine_tuned_once(train_once, tmp_path_factory) -> Path:
    """A run that started from weights in a file beside its directory."""
    folder = tmp_path_factory.mktemp("fine_tuned")
    torch.manual_seed(1)
    network = timm.create_model("resnet10t", num_classes=0, channels=[8, 8, 16, 16], stem_width=8)
    torch.save(network.state_dict(), folder / "pretrained.pth")
    with pytest.MonkeyPatch.context() as monkeypatch:
        return train_once(monkeypatch, folder / "run", f"backbone.pretrained={folder / 'pretrained.pth'}")


@pytest.fixture
def fine_tuned(fine_tuned_once, tmp_path) -> Path:
    return shutil.copytree(fine_tuned_once, tmp_path / "fine_tuned")


def at_alpha(metrics: dict[str, float], alpha: str) -> dict[str, float]:
    """The metrics of one alpha under the names of an evaluation without."""
    prefix = f"test/interpolate_{alpha}_"
    return {f"test/{name.removeprefix(prefix)}": value for name, value in metrics.items() if name.startswith(prefix)}


def test_alpha_1_is_the_evaluation_without_interpolation(fine_tuned, evaluate):
    best = fine_tuned / "checkpoints/best.pt"
    evaluate(best, "interpolate=[0.5,1,0]")
    interpolated = found(fine_tuned)
    (fine_tuned / "evaluations/test.json").unlink()
    evaluate(best)
    expected = {name: value for name, value in found(fine_tuned).items() if not name.endswith("_scaled")}
    assert without_times(at_alpha(interpolated, "1")) == close(without_times(expected))
    assert len({at_alpha(interpolated, alpha)["test/loss"] for alpha in ("0", "0.5", "1")}) == 3


def test_alpha_0_is_the_pretrained_encoder_under_the_trained_head(fine_tuned, evaluate, polygon_root):
    evaluate(fine_tuned / "checkpoints/best.pt", "interpolate=[0]", "data.batch_size=90")
    checkpoint = load_checkpoint(fine_tuned / "checkpoints/best.pt")
    config = OmegaConf.create(checkpoint["config"])
    pretrained = torch.load(config.backbone.pretrained, weights_only=True)
    backbone = instantiate(config.backbone)
    model = Classifier(backbone, instantiate(config.head, num_features=backbone.num_features, num_classes=3)).eval()
    head = {name: tensor for name, tensor in checkpoint["model"].items() if name.startswith("head.")}
    model.load_state_dict(head | {f"backbone.network.{name}": tensor for name, tensor in pretrained.items()})
    device = torch.device("cpu")
    split = Shards(str(polygon_root)).split("test")
    loader = Loader(split, Rasterizer(**config.render), batch_size=90, shuffle=False, device=device, num_workers=0)
    expected, _ = score(model, loader, Precision("fp32", device), title="by hand")
    metrics = at_alpha(found(fine_tuned), "0")
    assert {name: metrics[f"test/{name}"] for name in without_times(expected)} == close(without_times(expected))


def test_every_alpha_is_a_line_of_one_table(fine_tuned, evaluate, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    evaluate(fine_tuned / "checkpoints/best.pt", "interpolate=[0,0.25,1]")
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    alphas = [cells for cells in lines if cells and cells[0] in ("0", "0.25", "1")]
    top1 = [at_alpha(found(fine_tuned), alpha)["test/top1"] for alpha in ("0", "0.25", "1")]
    assert [cells[:2] for cells in alphas] == [
        [alpha, f"{100 * value:.2f} %"] for alpha, value in zip(("0", "0.25", "1"), top1, strict=True)
    ]


def test_features_are_those_of_the_interpolated_encoder(fine_tuned, evaluate):
    best = fine_tuned / "checkpoints/best.pt"
    few_shot = ["split=zeroshot", "protocol=prototype", "protocol.shots=[1]"]
    evaluate(best, *few_shot, "interpolate=[0,1]")
    evaluate(best, *few_shot)
    metrics = found(fine_tuned, "zeroshot")
    for method in ("whitened", "prototype"):
        name = f"{method}_1shot_top1"
        assert metrics[f"zeroshot/interpolate_1_{name}"] == metrics[f"zeroshot/{name}"]
        assert metrics[f"zeroshot/interpolate_0_{name}"] != metrics[f"zeroshot/{name}"]


def test_the_pretrained_weights_may_have_moved(fine_tuned, evaluate, tmp_path):
    best = fine_tuned / "checkpoints/best.pt"
    config = load_checkpoint(best)["config"]
    moved = shutil.copy(config["backbone"]["pretrained"], tmp_path / "moved.pth")
    content = torch.load(best, weights_only=True)
    content["config"]["backbone"]["pretrained"] = str(tmp_path / "gone.pth")
    torch.save(content, best)
    evaluate(best)  # which does not need them
    message = refusal(evaluate, best, "interpolate=[0]")
    assert message == f"error: no weights file {tmp_path / 'gone.pth'}: correct the path in backbone.pretrained"
    evaluate(best, "interpolate=[0]", f"backbone.pretrained={moved}")
    assert "test/interpolate_0_top1" in found(fine_tuned)


@pytest.mark.parametrize("override", [[], ["backbone.pretrained=some.pth"]])
def test_a_run_from_scratch_has_nothing_to_be_interpolated_with(trained, evaluate, override, tmp_path):
    arguments = ["interpolate=[0,1]", f"data.root={tmp_path / 'not opened'}", *override]
    message = refusal(evaluate, trained / "checkpoints/best.pt", *arguments)
    assert "interpolate needs pretrained weights, and this checkpoint was trained from scratch" in message


def test_alphas_are_checked_before_the_data_is_opened(fine_tuned, evaluate, tmp_path):
    arguments = ["interpolate=[0,1.5]", f"data.root={tmp_path / 'not opened'}"]
    message = refusal(evaluate, fine_tuned / "checkpoints/best.pt", *arguments)
    assert message.startswith("error: interpolate=[0, 1.5] must list different numbers from 0 to 1")


def test_no_code_in_the_weights_that_a_checkpoint_names_is_run(fine_tuned, evaluate, tmp_path):
    best = fine_tuned / "checkpoints/best.pt"
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pickled.pth")
    content = torch.load(best, weights_only=True)
    content["config"]["backbone"]["pretrained"] = str(tmp_path / "pickled.pth")
    torch.save(content, best)
    assert "pickles more than tensors" in refusal(evaluate, best, "interpolate=[0]")


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
