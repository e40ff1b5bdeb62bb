"""A classifier reads bytes as they are and does its backbone's preprocessing itself."""

import copy

import pytest
import timm
import torch

from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import Linear
from deepdraw.models.timm_backbone import TimmBackbone


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    backbone = TimmBackbone("resnet10t", False, image_size=32, options={"channels": [8, 16, 24, 32]})
    return Classifier(backbone, Linear(backbone.num_features, num_classes=5)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_features_are_the_backbones_of_three_normalised_channels(model: Classifier, images: torch.Tensor):
    config = timm.data.resolve_model_data_config(model.backbone.network)
    rgb = images[:, None].expand(-1, 3, -1, -1).float() / 255
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = model.backbone((rgb - mean) / std)
    torch.testing.assert_close(model.features(images), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(images), model.head(expected), rtol=1e-4, atol=1e-5)


def test_the_state_dict_holds_the_weights_of_backbone_and_head_alone(model: Classifier):
    backbone = {f"backbone.{key}" for key in model.backbone.state_dict()}
    assert set(model.state_dict()) == backbone | {"head.weight", "head.bias"}


def test_a_copy_computes_the_same_from_the_state_dict(model: Classifier, images: torch.Tensor):
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(images), model(images))


def test_it_runs_under_the_callers_autocast(model: Classifier, images: torch.Tensor):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), model(images), rtol=0.1, atol=0.1)
