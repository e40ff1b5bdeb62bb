"""Between the pretrained and the fine-tuned weights: both ends exact, what had no start left alone."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from torch import Tensor

from deepdraw.evaluation.versions import versions_of
from deepdraw.models.backbones.open_clip import OpenClipBackbone
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import Linear, Text
from deepdraw.models.interpolation import interpolate, pretrained_weights

NAMES = ["cat", "octopus", "scissors", "unicycle", "hourglass"]


def convolutional(folder: Path, small_clip: str) -> Classifier:
    """With BatchNorm, whose running statistics are floats and whose counts are integers."""
    file = folder / "efficientnet.pth"
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), file)
    backbone = TimmBackbone("test_efficientnet", str(file), image_size=32)
    return Classifier(backbone, Linear(backbone.num_features, len(NAMES)))


def clip(folder: Path, small_clip: str) -> Classifier:
    file = folder / "clip.pth"
    torch.save(open_clip.create_model(small_clip).state_dict(), file)
    backbone = OpenClipBackbone(small_clip, str(file))
    return Classifier(backbone, Text(backbone.num_features, len(NAMES)))


networks = pytest.mark.parametrize("build", [convolutional, clip])
Build = Callable[[Path, str], Classifier]


@pytest.fixture
def fine_tuned(
    tmp_path: Path, small_clip: str, changed_in_three_steps: Callable[[Classifier], set[str]]
) -> Callable[[Build], tuple[Classifier, dict[str, Tensor], dict[str, Tensor]]]:
    """A model as it was built, its state when training began and its state when that ended."""

    def train(build: Build) -> tuple[Classifier, dict[str, Tensor], dict[str, Tensor]]:
        torch.manual_seed(0)
        model = build(tmp_path, small_clip)
        built = copy.deepcopy(model)
        model.load_pretrained(NAMES)
        start = copy.deepcopy(model.state_dict())
        changed_in_three_steps(model)
        return built, start, copy.deepcopy(model.state_dict())

    return train


@networks
def test_the_start_is_read_again_as_training_had_it(build: Build, fine_tuned: Callable):
    model, start, _ = fine_tuned(build)
    pretrained = pretrained_weights(model, NAMES)
    assert pretrained and all(torch.equal(tensor, start[name]) for name, tensor in pretrained.items())


@networks
@pytest.mark.parametrize("alpha", [0, 0.25, 0.5, 0.9, 1])
def test_every_float_lies_between_its_two_ends(build: Build, alpha: float, fine_tuned: Callable):
    model, start, trained = fine_tuned(build)
    interpolate(model, pretrained_weights(model, NAMES), trained, alpha)
    for name, tensor in model.state_dict().items():
        is_interpolated = tensor.is_floating_point() and (build is clip or name.startswith("backbone."))
        expected = trained[name].numpy()
        if is_interpolated:
            expected = (1 - alpha) * start[name].numpy().astype(np.float64) + alpha * expected.astype(np.float64)
        exact = alpha in (0, 1) or not is_interpolated
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)


def test_every_kind_of_tensor_is_among_them(fine_tuned: Callable):
    _, start, trained = fine_tuned(convolutional)
    changed = {name.rpartition(".")[2] for name, tensor in trained.items() if not torch.equal(tensor, start[name])}
    assert changed == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def test_one_alpha_leaves_nothing_behind_for_the_next(fine_tuned: Callable):
    model, _, trained = fine_tuned(convolutional)
    pretrained = pretrained_weights(model, NAMES)
    states = []
    for alpha in (0.3, 1, 0, 0.3):
        interpolate(model, pretrained, trained, alpha)
        states.append(copy.deepcopy(model.state_dict()))
    assert all(torch.equal(tensor, states[-1][name]) for name, tensor in states[0].items())


def test_what_was_frozen_is_the_same_to_the_last_bit_at_every_alpha(fine_tuned: Callable):
    model, start, _ = fine_tuned(convolutional)
    interpolate(model, pretrained_weights(model, NAMES), start, 0.3)
    assert all(torch.equal(tensor, start[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("alphas", [[], [0, 0.0], [0.5, 0.5], [-0.1], [1.5], [float("nan")], ["half"], 0.5, "0.5"])
def test_alphas_that_are_no_different_numbers_from_0_to_1_are_refused(alphas: object):
    with pytest.raises(ValueError, match=r"must list different numbers from 0 to 1: try \[0,0.25,0.5,0.75,1\]"):
        versions_of(alphas, None, None, 1)


def evaluations(run: Path, split: str) -> dict[str, float]:
    return json.loads((run / f"evaluations/{split}.json").read_text())


def test_the_start_of_a_text_head_is_zero_shot_clip(
    small_clip: str, tmp_path: Path, train: Callable[..., Path], evaluate: Callable[..., None]
):
    model = clip(tmp_path, small_clip)
    options = (f"name={small_clip}", f"pretrained={model.backbone.pretrained}", "image_size=32")
    run = train("backbone=open_clip", *(f"backbone.{option}" for option in options), "head=text", "train.epochs=1")
    evaluate(run / "checkpoints/best.pt", "interpolate=[0,1]")
    evaluate(run / "checkpoints/best.pt", "interpolate=[0,1]", "protocol=text", "protocol.prompts=sketch")
    metrics = evaluations(run, "test")
    assert metrics["test/interpolate_0_loss"] == pytest.approx(metrics["test/interpolate_0_text_loss"], rel=1e-5)
    assert metrics["test/interpolate_1_loss"] != pytest.approx(metrics["test/interpolate_1_text_loss"], rel=1e-2)


def test_a_checkpoint_with_adapters_is_interpolated(
    tmp_path: Path, train: Callable[..., Path], evaluate: Callable[..., None]
):
    file = tmp_path / "vit.pth"
    torch.save(timm.create_model("test_vit", num_classes=0, img_size=32).state_dict(), file)
    options = ("name=test_vit", f"pretrained={file}", "image_size=32")
    run = train("backbone=timm", *(f"backbone.{option}" for option in options), "freeze=lora", "train.epochs=1")
    evaluate(run / "checkpoints/best.pt", "interpolate=[0,1]")
    evaluate(run / "checkpoints/best.pt")
    metrics = evaluations(run, "test")
    assert metrics["test/interpolate_1_loss"] == metrics["test/loss"] != metrics["test/interpolate_0_loss"]
