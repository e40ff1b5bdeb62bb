"""Strokes as tokens of a pretrained vision transformer."""

from __future__ import annotations

import pytest
import timm
import torch

from tests.models.strokes.encoders import DRAWINGS, close, points, transformer


@pytest.mark.parametrize(
    "name", ["test_vit", "vit_tiny_patch16_224", "deit3_small_patch16_224", "vit_small_patch14_reg4_dinov2"]
)
@torch.no_grad()
def test_the_blocks_are_those_of_timm(name, tmp_path):
    options = {"depth": 2, "embed_dim": 64, "num_heads": 2}
    whole = timm.create_model(name, num_classes=0, **options).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pt")
    backbone = transformer(name, str(tmp_path / "whole.pt"), options=options).eval()
    backbone.load_pretrained()
    sampled = points([[2, 3, 4, 5, 6, 7]] * 2)
    tokens, present = backbone.encoder(sampled)
    assert present.all()
    prefix = [whole.cls_token] if whole.reg_token is None else [whole.cls_token, whole.reg_token]
    first_tokens = torch.cat(prefix, dim=1)
    if not whole.no_embed_class:
        first_tokens = first_tokens + whole.pos_embed[:, : whole.num_prefix_tokens]
    theirs = whole.norm(whole.blocks(whole.norm_pre(torch.cat([first_tokens.expand(2, -1, -1), tokens], dim=1))))
    close(backbone.tokens(sampled), theirs)
    close(backbone(sampled), whole.forward_head(theirs))


@torch.no_grad()
def test_tokens_without_a_stroke_are_not_seen():
    torch.manual_seed(0)
    few, many = transformer(strokes=3).eval(), transformer(strokes=6).eval()
    weights = few.state_dict()
    order = many.encoder.order.clone()
    order[:3] = weights["network.patch_embed.order"]
    many.load_state_dict(weights | {"network.patch_embed.order": order})
    sampled = points([[3, 4, 5], [7]])
    close(many(sampled), few(sampled))


@torch.no_grad()
def test_the_token_of_a_stroke_knows_its_own_points_alone():
    encoder = transformer().eval().encoder
    one, other = points([[3, 9, 5]]), points([[3, 9, 5]], seed=1)
    mixed = torch.where(torch.arange(40)[:, None].ge(3) & torch.arange(40)[:, None].lt(12), one, other)
    tokens = [encoder(sampled)[0][0] for sampled in (one, other, mixed)]
    close(tokens[2][1], tokens[0][1])
    close(tokens[2][[0, 2]], tokens[1][[0, 2]])


@torch.no_grad()
def test_the_shape_of_a_stroke_does_not_change_where_it_lies():
    encoder = transformer().eval().encoder
    sampled = points([[3, 9, 5]])
    moved = sampled.clone()
    moved[:, 3:12, :2] += 0.25
    place = encoder.place(torch.cat([sampled[:, 3, :2], moved[:, 3, :2]]))
    tokens = [encoder(drawings)[0][0] for drawings in (sampled, moved)]
    close(tokens[1][1] - tokens[0][1], place[1] - place[0], atol=1e-5)


@torch.no_grad()
def test_the_last_token_is_of_all_strokes_that_remain():
    encoder = transformer(strokes=3).eval().encoder
    sampled = points([[3, 4, 5, 6]])
    tokens, present = encoder(sampled)
    assert tokens.shape[1] == 3 and present.all()
    changed = sampled.clone()
    changed[:, 14:16, :2] += 0.1  # of the fourth stroke
    others = encoder(changed)[0]
    close(others[:, :2], tokens[:, :2])
    assert not torch.allclose(others[:, 2], tokens[:, 2])


@pytest.mark.parametrize("pooling", ["cls", "mean", "cls+mean"])
@torch.no_grad()
def test_pooling_is_of_the_class_token_and_of_the_strokes_that_are_there(pooling):
    backbone = transformer(pooling=pooling).eval()
    sampled = points([[3, 4], [9]])
    tokens = backbone.tokens(sampled)
    means = torch.stack([tokens[0, 1:3].mean(dim=0), tokens[1, 1:2].mean(dim=0)])
    expected = {"cls": tokens[:, 0], "mean": means, "cls+mean": torch.cat([tokens[:, 0], means], dim=1)}
    close(backbone(sampled), backbone.network.fc_norm(expected[pooling]))
    assert backbone.num_features == expected[pooling].shape[1]


@torch.no_grad()
def test_a_transformer_that_pools_by_attention_pools_by_the_mean_of_the_strokes():
    backbone = transformer("vit_base_patch16_siglip_224", options={"depth": 1, "embed_dim": 64, "num_heads": 2}).eval()
    sampled = points(DRAWINGS[:1])
    close(backbone(sampled), backbone.tokens(sampled)[:, :4].mean(dim=1))


def test_activations_that_are_computed_again_give_the_same_gradients():
    backbone, sampled = transformer(), points(DRAWINGS)
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            backbone.checkpoint_activations()
        backbone.zero_grad()
        backbone(sampled).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in backbone.parameters()])
    for one, other in zip(*gradients, strict=True):
        close(one, other)


@pytest.mark.parametrize("name", ["resnet18", "deit_tiny_distilled_patch16_224"])
def test_what_is_no_plain_vision_transformer_is_refused(name):
    with pytest.raises(ValueError, match=f"needs a plain vision transformer, and {name}.*: use one such as vit_"):
        transformer(name)
