"""Late fusion: the logits of both halves, weighed for each drawing, and a loss for each half."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

from deepdraw.config import compose_config
from deepdraw.models import ModelPlan
from deepdraw.models.backbones import FusedBackbone
from deepdraw.training.loop import losses
from tests.models.strokes.conftest import FUSED, pixels, small, weighed


def test_weighed_logits_start_as_the_sum_of_those_of_both_halves():
    fused = FusedBackbone(pixels(), small())
    head, features = weighed(fused).eval(), torch.randn(4, fused.num_features)
    images, points = features.split(fused.feature_widths, dim=1)
    torch.testing.assert_close(head(features), head.classifiers[0](images) + head.classifiers[1](points))


def test_each_drawing_weighs_the_halves_for_itself():
    torch.manual_seed(0)
    fused = FusedBackbone(pixels(), small())
    head, features = weighed(fused), torch.randn(4, fused.num_features)
    torch.nn.init.normal_(head.weigh[-1].weight)
    logits, first_half, second_half = head.train()(features).unbind(1)
    weight = (logits - 2 * second_half) / (first_half - second_half)  # a first + (2 - a) second = logits
    torch.testing.assert_close(weight, weight[:, :1].expand_as(weight), rtol=1e-3, atol=1e-3)
    assert (weight > 0).all() and (weight < 2).all() and weight[:, 0].std() > 0.01
    torch.testing.assert_close(head.eval()(features), logits)


@pytest.mark.parametrize("apart", [False, True])
def test_halves_that_learn_apart_learn_nothing_from_the_weighed_logits(apart):
    fused = FusedBackbone(pixels(), small())
    head, features = weighed(fused, apart=apart).train(), torch.randn(4, fused.num_features, requires_grad=True)
    cross_entropy(head(features)[:, 0], torch.tensor([0, 2, 1, 1])).backward()
    assert features.grad.any() != apart
    assert head.weigh[-1].bias.grad.abs().sum() > 0


def test_the_loss_is_that_of_the_weighed_logits_and_of_each_half_times_its_weight():
    fused = FusedBackbone(pixels(), small())
    head, features, labels = weighed(fused, part_loss=0.5).train(), torch.randn(4, 48), torch.tensor([0, 2, 1, 1])
    every, recipe = head(features[:, : fused.num_features]), SimpleNamespace(label_smoothing=0.1)
    class_weights = torch.tensor([1.0, 2.0, 0.5])
    one, *halves = (cross_entropy(every[:, k], labels, class_weights, label_smoothing=0.1) for k in range(3))
    logits, loss, shown = losses(every, labels, recipe, class_weights, head)
    assert torch.equal(logits, every[:, 0]) and torch.equal(shown, one)
    torch.testing.assert_close(loss, one + 0.5 * sum(halves))
    probabilities = torch.eye(3)[labels]
    torch.testing.assert_close(
        losses(every, probabilities, recipe, class_weights, head)[1], loss * class_weights[labels].mean()
    )


def test_a_half_whose_loss_is_not_finite_shows_in_the_loss_that_is_watched():
    fused = FusedBackbone(pixels(), small())
    every = weighed(fused).train()(torch.randn(2, fused.num_features)).detach()
    every[:, 2] = torch.nan
    recipe = SimpleNamespace(label_smoothing=0.0)
    assert losses(every, torch.tensor([0, 1]), recipe, None, weighed(fused))[2].isnan()


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["head=weighed"], "head=weighed weighs the halves of a backbone, and this one has none: use head=linear"),
        ([*FUSED, "head=weighed", "head.hidden=0"], "head.hidden=0 must be at least 1"),
        ([*FUSED, "head=weighed", "head.part_loss=-1"], "head.part_loss=-1"),
        ([*FUSED, "head=weighed", "+head.feature_widths=[1,2]"], "head.feature_widths is set by deepdraw itself"),
    ],
)
def test_an_impossible_weighed_head_is_refused(overrides, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ModelPlan.of(compose_config("train", overrides))
