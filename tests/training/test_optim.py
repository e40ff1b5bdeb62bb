"""Parameter groups and learning-rate schedules, against their closed forms and torch's own."""

from __future__ import annotations

import math
from functools import partial

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from deepdraw.models.backbones.base import LayerGroup
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing.policies import ThawingGroup, freeze, thaw
from deepdraw.training.optim import build_optimizer, constant, cosine, learning_rates, onecycle


class Layers(nn.Sequential):
    """A backbone of two layers below a lone scalar."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.frozen = []

    def fresh_parameters(self):
        return []

    def layer_groups(self) -> list[LayerGroup]:
        layers = [LayerGroup(f"layer {i}", [layer], list(layer.parameters())) for i, layer in enumerate(self)]
        return [*layers, LayerGroup("temperature", [], [self.temperature])]


class Model(nn.Module):
    """Weights of two and more dimensions, biases, a norm and a lone scalar on both sides of the features."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Layers()
        self.head = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))


def build(model: nn.Module, **options):
    defaults = {"lr": 0.1, "backbone_lr": 0.01, "layer_decay": 1.0, "weight_decay": 0.5, "pretrained": False}
    return build_optimizer(model, **{"algorithm": partial(SGD, momentum=0.9), **defaults, **options})


def options(optimizer, model: nn.Module) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter by its name."""
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            (name,) = (name for name, other in model.named_parameters() if other is parameter)
            assert name not in found
            found[name] = (group["lr"], group["weight_decay"])
    return found


def test_each_part_has_its_rate_and_biases_norms_and_scalars_no_decay():
    model = Model()
    assert options(build(model), model) == {
        "backbone.0.weight": (0.01, 0.5),
        "backbone.0.bias": (0.01, 0.0),
        "backbone.1.weight": (0.01, 0.0),
        "backbone.1.bias": (0.01, 0.0),
        "backbone.temperature": (0.01, 0.0),
        "head.0.weight": (0.1, 0.0),
        "head.0.bias": (0.1, 0.0),
        "head.1.weight": (0.1, 0.5),
        "head.1.bias": (0.1, 0.0),
    }


def test_layers_that_thaw_one_after_another_train_by_fused_momentum_as_by_any_other():
    def trained(fused: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = Model()
        layers = enumerate(reversed(model.backbone.layer_groups()))
        freeze(model, [ThawingGroup(layer.name, [], layer.parameters, epoch=epoch) for epoch, layer in layers])
        optimizer = build(model, algorithm=partial(SGD, momentum=0.9, nesterov=True, fused=fused))
        for step in range(6):
            thaw(model, epoch=step // 2)
            sum(parameter.square().sum() for parameter in model.parameters() if parameter.requires_grad).backward()
            optimizer.step()
            optimizer.zero_grad()
        return list(model.parameters())

    torch.testing.assert_close(trained(fused=True), trained(fused=False))


def test_frozen_parameters_are_left_out():
    model = Model()
    model.backbone[0].requires_grad_(False)
    assert not [name for name in options(build(model), model) if name.startswith("backbone.0")]
    model.backbone.requires_grad_(False)
    optimizer = build(model)
    assert set(options(optimizer, model)) == {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
    assert learning_rates(optimizer) == {"optim/lr": 0.1}


@pytest.mark.parametrize(
    ("backbone_lr", "pretrained", "rate"), [(None, False, 0.1), (None, True, 0.001), (0.3, True, 0.3)]
)
def test_the_rate_of_the_backbone_follows_from_its_weights_unless_given(backbone_lr, pretrained, rate):
    optimizer = build(Model(), backbone_lr=backbone_lr, pretrained=pretrained)
    assert learning_rates(optimizer) == pytest.approx({"optim/lr": 0.1, "optim/backbone_lr": rate})


def test_a_rate_of_zero_for_the_backbone_is_zero():
    assert learning_rates(build(Model(), backbone_lr=0.0))["optim/backbone_lr"] == 0.0


def test_each_layer_takes_a_share_of_the_rate_of_the_one_above_it():
    model = Model()
    optimizer = build(model, layer_decay=0.5)
    assert {name: rate for name, (rate, _) in options(optimizer, model).items()} == {
        "backbone.0.weight": 0.0025,
        "backbone.0.bias": 0.0025,
        "backbone.1.weight": 0.005,
        "backbone.1.bias": 0.005,
        "backbone.temperature": 0.01,
        "head.0.weight": 0.1,
        "head.0.bias": 0.1,
        "head.1.weight": 0.1,
        "head.1.bias": 0.1,
    }
    assert learning_rates(optimizer) == {"optim/lr": 0.1, "optim/backbone_lr": 0.01}


def test_layer_decay_is_timms_but_for_the_final_norm_which_counts_as_a_layer():
    torch.manual_seed(0)
    backbone = TimmBackbone("vit_tiny_patch16_224", pretrained=False, image_size=32, options={"depth": 3})
    model = Classifier(backbone, nn.Linear(backbone.num_features, 5))
    found = options(build(model, layer_decay=0.8, backbone_lr=1.0), model)
    reference = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, num_classes=5)
    scales = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(reference, layer_decay=0.8)
        for parameter in group["params"]
    }
    for name, parameter in reference.named_parameters():
        if name.startswith(("blocks", "cls_token", "pos_embed", "patch_embed")):
            assert found[f"backbone.network.{name}"][0] == pytest.approx(scales[id(parameter)]), name


@pytest.mark.parametrize("layer_decay", [0, -0.5, 1.01])
def test_a_layer_decay_that_is_no_share_is_refused(layer_decay):
    with pytest.raises(ValueError, match=r"^optimizer\.layer_decay=.* must lie in \(0, 1\]"):
        build(Model(), layer_decay=layer_decay)


@pytest.mark.parametrize("name", ["lr", "backbone_lr", "weight_decay"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "fast"])
def test_what_cannot_be_a_rate_or_decay_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^optimizer\.{name}={value} must be a number from 0 on$"):
        build(Model(), **{name: value})


def rates(schedule, total_steps: int, **settings) -> tuple[list[float], list[float]]:
    """The head's and the backbone's rate at every step."""
    optimizer = build(Model())
    scheduler = schedule(optimizer, total_steps, **settings)
    found = []
    for _ in range(total_steps):
        found.append(learning_rates(optimizer))
        optimizer.step()
        scheduler.step()
    found.append(learning_rates(optimizer))  # of the step after the last
    return [rate["optim/lr"] for rate in found], [rate["optim/backbone_lr"] for rate in found]


@given(total_steps=st.integers(1, 60))
def test_cosine_without_warmup_is_half_a_cosine_to_zero(total_steps):
    head, backbone = rates(cosine, total_steps, warmup=0)
    closed = [0.1 * (1 + math.cos(math.pi * step / total_steps)) / 2 for step in range(total_steps + 1)]
    assert head == pytest.approx(closed, abs=1e-12)
    assert backbone == pytest.approx([rate / 10 for rate in closed], abs=1e-12)
    assert head[-1] == pytest.approx(0, abs=1e-12)


def test_warmup_rises_by_equal_steps_to_the_full_rate_and_never_begins_at_zero():
    head, _ = rates(cosine, 100, warmup=0.2)
    assert head[:21] == pytest.approx([0.1 * (step + 1) / 21 for step in range(21)])
    assert head[20:] == pytest.approx([0.1 * (1 + math.cos(math.pi * step / 80)) / 2 for step in range(81)], abs=1e-12)


def test_constant_stays_after_its_warmup():
    assert rates(constant, 10, warmup=0.0)[0] == pytest.approx([0.1] * 11)
    assert rates(constant, 10, warmup=0.3)[0] == pytest.approx([0.025, 0.05, 0.075] + [0.1] * 8)


def test_onecycle_is_torchs_own_for_each_rate():
    head, backbone = rates(onecycle, 50, warmup=0.3)
    for found, highest in ((head, 0.1), (backbone, 0.01)):
        optimizer = SGD([nn.Parameter(torch.ones(1))], lr=highest, momentum=0.9)
        reference = OneCycleLR(optimizer, max_lr=highest, total_steps=51, pct_start=0.3)
        expected = reference.get_last_lr()
        for _ in range(50):
            optimizer.step()
            reference.step()
            expected += reference.get_last_lr()
        assert found == pytest.approx(expected)
        assert max(found) == pytest.approx(highest, rel=0.02)
        assert found[0] == pytest.approx(highest / 25)
        assert found[-1] == pytest.approx(highest / 250_000)


@pytest.mark.parametrize("schedule", [cosine, constant, onecycle])
@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_the_shortest_runs_have_positive_rates(schedule, total_steps):
    assert min(rates(schedule, total_steps, warmup=0.3)[0][:-1]) > 0


@pytest.mark.parametrize("schedule", [cosine, constant, onecycle])
@pytest.mark.parametrize("warmup", [-0.1, 1.0, 500])
def test_a_warmup_that_is_no_share_is_refused(schedule, warmup):
    with pytest.raises(ValueError, match=rf"^schedule\.warmup={warmup} must lie in \[0, 1\): it is a share"):
        schedule(build(Model()), 10, warmup=warmup)


@pytest.mark.parametrize("schedule", [cosine, constant, onecycle])
@pytest.mark.parametrize("algorithm", [SGD, AdamW])
def test_optimizer_and_schedule_go_on_from_their_saved_state(schedule, algorithm, tmp_path):
    def start():
        torch.manual_seed(0)
        model = Model()
        momentum = {"momentum": 0.9} if algorithm is SGD else {}
        settings = {"lr": 0.1, "backbone_lr": None, "layer_decay": 0.5, "weight_decay": 0.1, "pretrained": True}
        optimizer = build_optimizer(model, algorithm=partial(algorithm, **momentum), **settings)
        return model, optimizer, schedule(optimizer, 12, warmup=0.25)

    def step(model, optimizer, scheduler):
        images = torch.linspace(-1, 1, 2 * 36).view(2, 1, 6, 6)
        (model.head(model.backbone(images).mean(dim=(2, 3))).square().sum() * model.backbone.temperature).backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()

    alone = start()
    for _ in range(5):
        step(*alone)
    torch.save([part.state_dict() for part in alone], tmp_path / "state.pt")
    again = start()
    for part, state in zip(again, torch.load(tmp_path / "state.pt", weights_only=True), strict=True):
        part.load_state_dict(state)
    for _ in range(7):
        step(*alone)
        step(*again)
        assert learning_rates(again[1]) == learning_rates(alone[1])
    assert all(torch.equal(*pair) for pair in zip(alone[0].parameters(), again[0].parameters(), strict=True))
