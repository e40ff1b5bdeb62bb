"""Adapters change nothing at first, learn, and disappear into the weights they belong to."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from deepdraw.models.backbones.base import LayerGroup
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import efficient
from deepdraw.models.freezing.adapters import AdaptedGroup, matrices
from deepdraw.models.freezing.policies import freeze
from deepdraw.models.heads import Linear
from deepdraw.models.layers import merged

Frozen = Callable[[str, str], Classifier]

every_kind = pytest.mark.parametrize("network", ["vit", "clip", "convolutional"])


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_an_adapted_layer_is_the_papers_sum_of_two_paths():
    layer = nn.Linear(6, 4)
    group = LayerGroup("block 0", [layer])
    AdaptedGroup("block 0", weights=list(matrices(group)), rank=2, alpha=6.0).adapt()
    adapter = layer.parametrizations.weight[0]
    nn.init.normal_(adapter.up)
    x = torch.randn(5, 6)
    expected = nn.functional.linear(x, layer.parametrizations.weight.original, layer.bias)
    expected = expected + 6 / 2 * (x @ adapter.down.T) @ adapter.up.T
    torch.testing.assert_close(layer(x), expected)


def test_an_adapted_convolution_is_pefts_sum_of_two_paths():
    layer = nn.Conv2d(6, 4, kernel_size=(3, 5), stride=2, padding=1)
    AdaptedGroup("block 0", weights=list(matrices(LayerGroup("block 0", [layer]))), rank=2, alpha=6.0).adapt()
    adapter = layer.parametrizations.weight[0]
    nn.init.normal_(adapter.up)
    x = torch.randn(5, 6, 9, 9)
    # peft's: a convolution of the same kernel to `rank` channels, then one of 1 x 1
    narrow = nn.functional.conv2d(x, adapter.down.view(2, 6, 3, 5), stride=2, padding=1)
    expected = nn.functional.conv2d(x, layer.parametrizations.weight.original, layer.bias, stride=2, padding=1)
    expected = expected + 6 / 2 * nn.functional.conv2d(narrow, adapter.up[:, :, None, None])
    torch.testing.assert_close(layer(x), expected)


@every_kind
def test_features_are_unchanged_at_the_start(network: str, frozen_model: Frozen, images: torch.Tensor):
    plain, adapted = (frozen_model(network, f"freeze={option}").eval() for option in ("none", "lora"))
    assert torch.equal(adapted.features(images), plain.features(images))


@every_kind
def test_merged_weights_fit_the_plain_network_and_compute_the_same(
    network: str, frozen_model: Frozen, changed_in_three_steps: Callable, images: torch.Tensor
):
    plain, adapted = (frozen_model(network, f"freeze={option}").eval() for option in ("none", "lora"))
    before = plain(images)
    changed_in_three_steps(adapted)
    plain.load_state_dict(merged(adapted.state_dict()))
    torch.testing.assert_close(plain(images), adapted.eval()(images))
    assert not torch.allclose(plain(images), before, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet10t", {"zero_init_last": False}), ("tf_efficientnet_lite0", {})],  # zeroed branches have no gradient
)
def test_every_ungrouped_convolution_of_a_block_learns_and_the_adapters_merge(
    name: str, options: dict, changed_in_three_steps: Callable, images: torch.Tensor
):
    torch.manual_seed(0)
    backbone = TimmBackbone(name, False, image_size=32, options=options)
    plain = Classifier(backbone, Linear(backbone.num_features, num_classes=5)).eval()
    adapted = copy.deepcopy(plain)
    freeze(adapted, efficient.lora(adapted.backbone.layer_groups(), rank=4, alpha=8))
    assert torch.equal(adapted.features(images), plain.features(images))

    blocks = [module for group in plain.backbone.layer_groups()[1:-1] for module in group.modules]
    convolutions = {m for block in blocks for m in block.modules() if isinstance(m, nn.Conv2d) and m.groups == 1}
    names = {name for name, module in plain.named_modules() if module in convolutions}
    learned = {f"{name}.parametrizations.weight.0.{thin}" for name in names for thin in ("down", "up")}
    assert changed_in_three_steps(adapted) == learned | {"head.weight", "head.bias"}

    before = plain.features(images)
    plain.load_state_dict(merged(adapted.state_dict()))
    torch.testing.assert_close(plain.features(images), adapted.eval().features(images))
    assert not torch.allclose(plain.features(images), before, atol=1e-3)


def test_a_state_dict_without_adapters_is_merged_to_itself():
    network = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    state_dict = network.state_dict()
    assert merged(state_dict) == state_dict


def test_a_copy_learns_by_itself(frozen_model: Frozen, changed_in_three_steps: Callable, images: torch.Tensor):
    model = frozen_model("clip", "freeze=lora").eval()
    before = model(images)
    changed_in_three_steps(copy.deepcopy(model))
    assert torch.equal(model(images), before)


def test_a_checkpoint_with_adapters_resumes_and_evaluates(train: Callable, evaluate: Callable):
    backbone = [f"backbone.{option}" for option in ("name=test_vit", "pretrained=false", "image_size=32")]
    options = ["backbone=timm", *backbone, "freeze=lora", "train.epochs=1"]
    run: Path = train(*options)
    train(*options, run_dir=run)
    by_training = json.loads((run / "summary.json").read_text())["test/top1"]
    for checkpoint, name in (("best.pt", "test"), ("last.pt", "test.last")):
        evaluate(run / "checkpoints" / checkpoint)
        assert json.loads((run / f"evaluations/{name}.json").read_text())[f"{name}/top1"] == by_training
