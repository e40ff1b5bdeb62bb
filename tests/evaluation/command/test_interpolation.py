"""evaluate.py interpolate=...: between the pretrained weights and the fine-tuned ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import timm
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.drawings.raster import Rasterizer
from deepdraw.evaluation.classify import score
from deepdraw.models.classifier import Classifier
from deepdraw.runtime.precision import Precision
from deepdraw.training.checkpoint import load_checkpoint
from tests.evaluation.command.conftest import close, found, without_times
from tests.refusals import refusal


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
