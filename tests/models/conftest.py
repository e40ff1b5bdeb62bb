"""A small vision transformer, a small CLIP and a small convolutional network, frozen as an option says."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

from deepdraw.models.backbones.base import Backbone
from deepdraw.models.backbones.open_clip import OpenClipBackbone
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing.policies import freeze
from deepdraw.models.heads import Linear

CONF = Path(__file__).parents[2] / "conf"
NETWORKS: dict[str, Callable[[], Backbone]] = {
    "vit": lambda: TimmBackbone(
        "test_vit", False, image_size=32, options={"drop_path_rate": 0.5, "pos_drop_rate": 0.5}
    ),
    "clip": lambda: OpenClipBackbone("small-clip", False),
    "convolutional": lambda: TimmBackbone("test_efficientnet", False, image_size=32, options={"drop_path_rate": 0.5}),
}


@pytest.fixture
def frozen_model(small_clip: str) -> Callable[[str, str], Classifier]:
    """Build one of `NETWORKS` with a head of 5 classes and freeze it as an option of conf/freeze says."""

    def build(network: str, option: str) -> Classifier:
        torch.manual_seed(0)
        backbone = NETWORKS[network]()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(overrides=["+train.epochs=9", f"+{option.split()[0]}", *option.split()[1:]])
        groups = instantiate(config.freeze, backbone.layer_groups())
        model = Classifier(backbone, Linear(backbone.num_features, num_classes=5))
        freeze(model, groups)
        return model

    return build


@pytest.fixture
def loss_of_a_batch() -> Callable[[Classifier], Tensor]:
    """The loss of a model of 5 classes on 4 random images."""

    def loss(model: Classifier) -> Tensor:
        images = torch.randint(0, 256, (4, 32, 32), dtype=torch.uint8)
        return nn.functional.cross_entropy(model(images), torch.randint(0, 5, (4,)))

    return loss


@pytest.fixture
def changed_in_three_steps(
    loss_of_a_batch: Callable[[Classifier], Tensor],
) -> Callable[[Classifier], set[str]]:
    """Train a model for three steps and name the tensors that are others than before."""

    def train(model: Classifier) -> set[str]:
        before = copy.deepcopy(model.state_dict())
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=0.01)
        model.train()
        for _ in range(3):
            optimizer.zero_grad()
            loss_of_a_batch(model).backward()
            optimizer.step()
        assert all(parameter.grad is None for parameter in set(model.parameters()).difference(trained))
        assert set(optimizer.state) == set(trained)
        return {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}

    return train
