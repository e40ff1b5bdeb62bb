"""Every backbone that reads points alone: what it may depend on, in any precision and compiled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.models.strokes.encoders import ALL, BOTH, DRAWINGS, close, points, stem, transformer


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
