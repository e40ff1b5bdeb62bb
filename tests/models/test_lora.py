"""Adapters change nothing at first, learn, and disappear into the weights they belong to."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from deepdraw.models.backbones import LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.lora import AdaptedGroup, matrices, merged

Frozen = Callable[[str, str], Classifier]

both = pytest.mark.parametrize("network", ["vit", "clip"])


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


@both
def test_features_are_unchanged_at_the_start(network: str, frozen_model: Frozen, images: torch.Tensor):
    plain, adapted = (frozen_model(network, f"freeze={option}").eval() for option in ("none", "lora"))
    assert torch.equal(adapted.features(images), plain.features(images))


@both
def test_merged_weights_fit_the_plain_network_and_compute_the_same(
    network: str, frozen_model: Frozen, changed_in_three_steps: Callable, images: torch.Tensor
):
    plain, adapted = (frozen_model(network, f"freeze={option}").eval() for option in ("none", "lora"))
    before = plain(images)
    changed_in_three_steps(adapted)
    plain.load_state_dict(merged(adapted.state_dict()))
    torch.testing.assert_close(plain(images), adapted.eval()(images))
    assert not torch.allclose(plain(images), before, atol=1e-3)


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
    for checkpoint in ("best.pt", "last.pt"):
        evaluate(run / "checkpoints" / checkpoint)
        assert json.loads((run / "evaluations/test.json").read_text())["test/top1"] == by_training
