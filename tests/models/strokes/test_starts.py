"""What an encoder of strokes starts from in a pretrained network, and how it is frozen and learns there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from deepdraw.models import Classifier, Linear
from deepdraw.models.backbones import (
    Backbone,
    FusedBackbone,
    TimmBackbone,
)
from deepdraw.models.freezing import biases, everything, first, freeze, keeps_all, lora, norms
from deepdraw.models.interpolation import pretrained_weights
from deepdraw.training import build_optimizer
from deepdraw.training.checkpoint import save_checkpoint
from tests.models.strokes.encoders import BOTH, stem, transformer


@BOTH
def test_pretrained_weights_are_loaded_into_all_but_the_encoder(build, tmp_path):
    name = build().name
    whole = TimmBackbone(name, pretrained=False)
    torch.save(whole.network.state_dict(), tmp_path / "whole.pt")
    backbone = build(pretrained=str(tmp_path / "whole.pt"))
    encoder = {key: tensor.clone() for key, tensor in backbone.encoder.state_dict().items()}
    backbone.load_pretrained()
    assert all(torch.equal(tensor, encoder[key]) for key, tensor in backbone.encoder.state_dict().items())
    theirs = whole.network.state_dict()
    fresh = set(backbone.fresh_parameters())
    for key, parameter in backbone.network.named_parameters():
        if parameter not in fresh:
            assert torch.equal(parameter, theirs[key][tuple(map(slice, parameter.shape))]), key
    assert fresh == set(backbone.encoder.parameters())


@BOTH
@pytest.mark.parametrize("of_fused", [False, True], ids=["of its own", "of a fused backbone"])
def test_a_run_with_such_a_backbone_gives_the_encoder_too(build, of_fused, tmp_path):
    trained = build()
    fused = FusedBackbone(TimmBackbone("test_vit", pretrained=False), trained)
    model = Classifier(fused if of_fused else trained, Linear((fused if of_fused else trained).num_features, 3))
    file = str(tmp_path / "best.pt")
    save_checkpoint(Path(file), {"config": {}, "classes": ["a", "b", "c"], "model": model.state_dict()})
    started = build(pretrained=file)
    started.load_pretrained()
    for key, tensor in trained.state_dict().items():
        assert torch.equal(started.state_dict()[key], tensor), key
    with pytest.raises(ValueError, match="is of another architecture than"):
        build(pretrained=file, width=8).load_pretrained()


@BOTH
def test_weights_of_another_network_are_refused(build, tmp_path):
    torch.save(TimmBackbone("test_resnet", pretrained=False).network.state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="is of another architecture than"):
        build(pretrained=str(tmp_path / "other.pt")).load_pretrained()


def fused(build) -> FusedBackbone:
    return FusedBackbone(TimmBackbone("resnet10t", pretrained=False, image_size=32), build())


@pytest.mark.parametrize(
    "policy",
    [partial(first, n=2), partial(lora, rank=2, alpha=4), norms, biases],
    ids=["first", "lora", "norms", "biases"],
)
@pytest.mark.parametrize("build", [transformer, stem, partial(fused, stem)])
def test_what_is_new_trains_whole_beside_frozen_blocks(build, policy):
    backbone = build()
    model = Classifier(backbone, Linear(backbone.num_features, 3))
    freeze(model, policy(backbone.layer_groups()))
    assert all(parameter.requires_grad for parameter in backbone.fresh_parameters())
    fresh = set(backbone.fresh_parameters())
    assert not all(parameter.requires_grad for parameter in set(backbone.parameters()) - fresh)
    encoder = backbone.strokes if isinstance(backbone, FusedBackbone) else backbone.encoder
    assert model.train() and encoder.training


@BOTH
def test_freezing_everything_leaves_features_that_can_be_cached(build):
    backbone: Backbone = build()
    assert keeps_all(backbone, everything(backbone.layer_groups()))


@BOTH
def test_what_is_new_has_the_rate_of_the_head(build):
    backbone = build()
    model = Classifier(backbone, Linear(backbone.num_features, 3))
    optimizer = build_optimizer(
        model,
        algorithm=torch.optim.AdamW,
        lr=1e-2,
        backbone_lr=None,
        layer_decay=0.5,
        weight_decay=0.05,
        pretrained=True,
    )
    rate_of = {parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert {rate_of[parameter] for parameter in backbone.encoder.parameters()} == {1e-2}
    assert max(rate_of[parameter] for group in backbone.layer_groups()[:-1] for parameter in group.parameters) < 1e-4


@pytest.mark.parametrize("build", [transformer, stem, partial(fused, stem)])
def test_what_is_new_is_left_out_of_interpolation(build):
    backbone = build()
    model = Classifier(backbone, Linear(backbone.num_features, 3))
    fresh, kept = set(backbone.fresh_parameters()), pretrained_weights(model, ["a", "b", "c"])
    assert not fresh & {parameter for name, parameter in model.named_parameters() if name in kept}
    assert kept
