"""Strokes in the place of the first layers of a pretrained network: as tokens of a transformer, as a map for a CNN."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from deepdraw.models import Classifier, Linear
from deepdraw.models.backbones import (
    Backbone,
    FusedBackbone,
    StrokesBackbone,
    StrokeStemBackbone,
    StrokeTransformerBackbone,
    TimmBackbone,
)
from deepdraw.models.backbones.stroke_stem import cells_of, mean_by_cell
from deepdraw.models.freezing import biases, everything, first, freeze, keeps_all, lora, norms
from deepdraw.models.interpolation import pretrained_weights
from deepdraw.training import build_optimizer
from deepdraw.training.checkpoint import save_checkpoint

close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)
STEMS = {  # the modules that make the map in timm's networks
    "resnet10t": ("conv1", "bn1", "act1", "maxpool"),
    "resnetv2_50": ("stem",),
    "regnety_002": ("stem",),
    "convnext_atto": ("stem",),
    "tf_efficientnet_lite0": ("conv_stem", "bn1"),
    "mobilenetv3_small_050": ("conv_stem", "bn1"),
}


def transformer(name: str = "test_vit", pretrained: bool | str = False, **options) -> StrokeTransformerBackbone:
    size = {"strokes": 6, "width": 16, "dilations": [1, 2]} | options
    return StrokeTransformerBackbone(name, pretrained, **size)


def stem(name: str = "resnet10t", pretrained: bool | str = False, **options) -> StrokeStemBackbone:
    size = {"map_size": 16, "width": 16, "dilations": [1, 2]} | options
    return StrokeStemBackbone(name, pretrained, **size)


BOTH = pytest.mark.parametrize("build", [transformer, stem])
ALL = pytest.mark.parametrize("build", [transformer, stem, partial(StrokesBackbone, [8, 16], [1, 1])])


def points(stroke_lengths: list[list[int]], length: int = 40, seed: int = 0) -> Tensor:
    """Random points [B, length, 8] of drawings whose strokes have these numbers of points."""
    generator = torch.Generator().manual_seed(seed)
    sampled = torch.zeros(len(stroke_lengths), length, 8)
    for drawing, lengths in zip(sampled, stroke_lengths, strict=True):
        begin, total = 0, sum(lengths)
        for number, points_of_stroke in enumerate(lengths):
            stroke = drawing[begin : begin + points_of_stroke]
            stroke[:, :2] = torch.rand(points_of_stroke, 2, generator=generator) * 2 - 1
            stroke[0, 2], stroke[:, 5], stroke[:, 7] = 1, 1, number / 16
            stroke[1:, 3:5] = nn.functional.normalize(torch.randn(points_of_stroke - 1, 2, generator=generator))
            begin += points_of_stroke
        drawing[:total, 6] = torch.linspace(0, 1, total)
    return sampled


DRAWINGS = [[3, 9, 1, 5], [40], [1], [2, 2, 2, 2, 2, 2, 2, 2, 2]]


@ALL
def test_features_have_the_width_that_the_head_is_told_and_every_parameter_learns(build):
    backbone = build()
    features = backbone(points(DRAWINGS))
    assert backbone.sees == ("strokes",) and backbone.image_size == 0
    assert features.shape == (4, backbone.num_features)
    features.square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@ALL
def test_every_parameter_is_in_one_layer_group(build):
    backbone = build()
    grouped = [parameter for group in backbone.layer_groups() for parameter in group.parameters]
    assert len(grouped) == len(set(grouped)) and set(grouped) == set(backbone.parameters())


@ALL
@torch.no_grad()
def test_features_do_not_depend_on_what_else_is_in_a_batch(build):
    backbone = build().eval()
    sampled = points(DRAWINGS)
    close(torch.cat([backbone(drawing[None]) for drawing in sampled]), backbone(sampled))


@BOTH
@torch.no_grad()
def test_padding_changes_nothing(build):
    backbone, sampled = build().eval(), points(DRAWINGS)
    close(backbone(nn.functional.pad(sampled, (0, 0, 0, 17))), backbone(sampled))


@BOTH
@torch.no_grad()
def test_a_drawing_without_points_has_finite_features(build):
    assert build().eval()(torch.zeros(2, 40, 8)).isfinite().all()


@ALL
@torch.no_grad()
def test_the_order_of_drawing_matters(build):
    backbone = build().eval()
    forward, backward = points([[4, 4]]), points([[4, 4]])
    backward[:, :, :2] = forward[:, [4, 5, 6, 7, 0, 1, 2, 3, *range(8, 40)], :2]
    assert not torch.allclose(backbone(forward), backbone(backward))


@ALL
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_gives_nearly_the_same(build, dtype):
    backbone, sampled = build().eval(), points(DRAWINGS)
    expected = backbone(sampled)
    with torch.autocast("cpu", dtype=dtype):
        found = backbone(sampled).float()
    assert (found - expected).norm() < 0.05 * expected.norm()


@BOTH
def test_the_same_drawings_give_the_same_gradients(build):
    backbone, sampled = build(), points(DRAWINGS * 8)
    gradients = []
    for _ in range(3):
        backbone.zero_grad()
        backbone.eval()(sampled).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in backbone.parameters()])
    assert all(
        torch.equal(one, other) for later in gradients[1:] for one, other in zip(gradients[0], later, strict=True)
    )


@BOTH
@pytest.mark.slow
def test_a_compiled_network_gives_nearly_the_same(build):
    backbone, sampled = build().eval(), points(DRAWINGS)
    expected = backbone(sampled)
    close(torch.compile(backbone)(sampled), expected, rtol=1e-4, atol=1e-4)


# The transformer


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


# The stem


@pytest.mark.parametrize("name", STEMS)
@torch.no_grad()
def test_above_the_map_the_network_is_that_of_timm(name, tmp_path):
    options = {"layers": [1, 1, 1, 1]} if name.startswith("resnet") else {}
    whole = timm.create_model(name, num_classes=0, **options).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pt")
    backbone = stem(name, str(tmp_path / "whole.pt"), options=options).eval()
    backbone.load_pretrained()
    sampled = points(DRAWINGS)
    drawn = backbone.encoder(sampled)
    begin, *rest = STEMS[name]
    setattr(whole, begin, nn.Identity())
    for layer in rest:
        setattr(whole, layer, nn.Identity())
    close(backbone(sampled), whole(drawn))
    assert drawn.shape[2:] == (16, 16) and backbone.num_features == whole(drawn).shape[1]


@torch.no_grad()
def test_a_cell_has_the_mean_of_the_points_in_it():
    features, sampled = torch.randn(4, 40, 5), points(DRAWINGS)
    present = sampled[..., 5] > 0
    found = mean_by_cell(features, cells_of(sampled[..., :2], 4), present, 4)
    expected = torch.zeros(4, 5, 4, 4)
    for i in range(4):
        for row in range(4):
            for column in range(4):
                inside = [
                    features[i, k]
                    for k in range(40)
                    if present[i, k]
                    and -1 + column / 2 <= sampled[i, k, 0] < -0.5 + column / 2
                    and -1 + row / 2 <= sampled[i, k, 1] < -0.5 + row / 2
                ]
                if inside:
                    expected[i, :, row, column] = torch.stack(inside).mean(dim=0)
    close(found, expected)


def test_the_gradient_of_the_map_is_that_of_the_mean():
    sampled = points([[2, 3], [6]], length=8)
    cells, present = cells_of(sampled[..., :2], 2), sampled[..., 5] > 0
    features = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: mean_by_cell(values, cells, present, 2), features)


def test_places_on_the_edges_of_the_box_and_outside_are_on_the_edges_of_the_map():
    places = torch.tensor([[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [7.0, -9.0], [0.0, 0.0]]])
    assert cells_of(places, 4).tolist() == [[0, 3, 15, 3, 10]]


@pytest.mark.parametrize("name", ["test_vit", "vgg11"])
def test_a_network_without_such_a_stem_is_refused(name):
    with pytest.raises(
        ValueError, match=f"the stem of a ResNet, .* and {name} is none of them: use one such as resnet18"
    ):
        stem(name)


# Both: what starts from random weights beside pretrained ones


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


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (transformer, {"strokes": 0}, "backbone.strokes=0 must be at least 1"),
        (transformer, {"width": 0}, "backbone.width=0 must be at least 1"),
        (stem, {"dilations": [1, 0]}, r"backbone.dilations=\[1, 0\] must be at least 1 each"),
        (stem, {"map_size": 0}, "backbone.map_size=0 must be at least 1"),
        (transformer, {"options": {"patch_drop_rate": 0.1}}, "without patch_drop_rate"),
    ],
)
def test_numbers_out_of_range_are_refused(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
