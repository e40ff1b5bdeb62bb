"""Heads turn features into logits."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from deepdraw.models.heads import MLP, Cosine, Linear

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("option", ["linear", "mlp", "mlp_original", "cosine", "text"])
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


def test_the_original_projects_mlp_is_an_option():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=["+head=mlp_original"])
    head = instantiate(config.head, num_features=1024, num_classes=275)
    block = ["Linear", "BatchNorm1d", "LeakyReLU", "Dropout"]
    assert [type(layer).__name__ for layer in head] == [*block, *block, "Linear"]
    assert [layer.out_features for layer in list(head)[::4]] == [768, 384, 275]
    assert head[3].p == 0.2


def test_an_mlp_of_no_hidden_layer_or_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="use head=linear"):
        MLP(num_features=8, num_classes=2, hidden=[])
    with pytest.raises(ValueError, match="use one of layer, batch, none"):
        MLP(num_features=8, num_classes=2, norm="group")
    with pytest.raises(ValueError, match=r"head\.activation=tanh is unknown: use one of gelu, leaky_relu"):
        MLP(num_features=8, num_classes=2, activation="tanh")


def test_cosine_logits_are_cosines_over_the_temperature():
    head = Cosine(num_features=5, num_classes=3, scale=8.0)
    features = torch.randn(2, 5)
    expected = 8 * torch.cosine_similarity(features[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(head(features), expected)
    torch.testing.assert_close(head(7 * features), expected)


def test_the_temperature_of_a_cosine_head_is_learned():
    head = Cosine(num_features=5, num_classes=3)
    torch.nn.functional.cross_entropy(head(torch.randn(4, 5)), torch.tensor([0, 1, 2, 0])).backward()
    assert {name for name, p in head.named_parameters() if p.grad.any()} == {"weight", "log_scale"}


def test_cosine_logits_keep_float32_under_autocast():
    head, features = Cosine(num_features=64, num_classes=3), torch.randn(4, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(features)
    assert torch.equal(logits, head(features))
