"""Heads turn features into logits."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from deepdraw.models.heads import MLP, Linear

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("option", ["linear", "mlp"])
def test_every_option_gives_a_logit_per_class(option: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+head={option}"])
    head = instantiate(config.head, num_features=32, num_classes=7)
    assert head(torch.randn(4, 32)).shape == (4, 7)


def test_the_linear_head_is_a_matrix_and_a_bias():
    head = Linear(num_features=5, num_classes=3)
    features = torch.randn(2, 5)
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)
    assert sum(parameter.numel() for parameter in head.parameters()) == 5 * 3 + 3


def test_the_mlp_has_the_widths_norm_and_dropout_it_is_given():
    head = MLP(num_features=1024, num_classes=275, hidden=[768, 384], norm="batch", dropout=0.2)
    widths = [layer.weight.shape for layer in head if isinstance(layer, torch.nn.Linear)]
    assert widths == [(768, 1024), (384, 768), (275, 384)]
    assert sum(isinstance(layer, torch.nn.BatchNorm1d) for layer in head) == 2
    assert [layer.p for layer in head if isinstance(layer, torch.nn.Dropout)] == [0.2, 0.2]


def test_an_mlp_of_no_hidden_layer_or_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="use head=linear"):
        MLP(num_features=8, num_classes=2, hidden=[])
    with pytest.raises(ValueError, match="use one of layer, batch, none"):
        MLP(num_features=8, num_classes=2, norm="group")
