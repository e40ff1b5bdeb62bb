"""The backbone that sees pixels and strokes: its halves, what each is frozen to, starts from and learns by."""

from __future__ import annotations

import copy

import pytest
import torch
from omegaconf import open_dict

from deepdraw.config import compose_config, make
from deepdraw.models import Classifier, Linear, ModelPlan
from deepdraw.models.backbones import Backbone, FusedBackbone, LayerGroup, StrokesBackbone, TimmBackbone
from deepdraw.models.freezing import first, freeze, lora
from deepdraw.models.freezing.policies import layer_rows
from deepdraw.training import Muon, build_optimizer
from tests.models.strokes.conftest import FUSED, STROKES, WEIGHED, inputs, pixels, saved_run, small


def test_fused_features_are_those_of_both_halves():
    fused = FusedBackbone(pixels(), small())
    model = Classifier(fused, Linear(fused.num_features, 3)).eval()
    images, points = inputs()
    alone = Classifier(fused.pixels, torch.nn.Identity()).eval()
    torch.testing.assert_close(model.features((images, points)), torch.cat([alone(images), fused.strokes(points)], 1))
    assert model((images, points)).shape == (4, 3)


def test_each_half_of_a_fused_backbone_must_see_what_it_is_there_for():
    with pytest.raises(ValueError, match="backbone.pixels: strokes sees strokes"):
        FusedBackbone(small(), small())
    with pytest.raises(ValueError, match="backbone.strokes: resnet10t sees pixels"):
        FusedBackbone(pixels(), pixels())


def test_freezing_is_of_the_pixel_half_and_strokes_train_on():
    fused = FusedBackbone(pixels(), small())
    model = Classifier(fused, Linear(fused.num_features, 3))
    freeze(model, first(fused.layer_groups(), n=fused.num_blocks))
    assert not any(parameter.requires_grad for parameter in fused.pixels.parameters())
    assert all(parameter.requires_grad for parameter in fused.strokes.parameters())
    model.train()
    assert fused.strokes.training and not fused.pixels.network.layer1.training


def test_the_strokes_beside_pretrained_pixels_have_the_rate_of_the_head():
    fused = FusedBackbone(pixels(), small())
    model = Classifier(fused, Linear(fused.num_features, 3))
    optimizer = build_optimizer(
        model, algorithm=Muon, lr=1e-2, backbone_lr=None, layer_decay=1.0, weight_decay=0.05, pretrained=True
    )
    rate_of = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rate_of[p] for p in fused.strokes.parameters()} == {1e-2} == {rate_of[p] for p in model.head.parameters()}
    assert {rate_of[p] for p in fused.pixels.parameters()} == {1e-4}
    assert rate_of.keys() == set(model.parameters())


def rates(backbone: Backbone, **options) -> tuple[set[float], set[float], set[float]]:
    """The learning rates of the pixel half, the stroke half and the head."""
    model = Classifier(backbone, Linear(backbone.num_features, 3))
    options = {"backbone_lr": 1e-4, "layer_decay": 1.0, "weight_decay": 0.05, "pretrained": True} | options
    optimizer = build_optimizer(model, algorithm=torch.optim.AdamW, lr=1e-2, **options)
    rate_of = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate_of.keys() == set(model.parameters())
    halves = (model.backbone.pixels, model.backbone.strokes, model.head)
    return tuple({rate_of[parameter] for parameter in half.parameters()} for half in halves)


def test_the_stroke_half_has_a_rate_of_its_own_where_one_is_given():
    assert rates(FusedBackbone(pixels(), small()), strokes_lr=3e-3) == ({1e-4}, {3e-3}, {1e-2})
    assert rates(FusedBackbone(pixels(), small()), strokes_lr=3e-3, layer_decay=0.9)[1:] == ({3e-3}, {1e-2})
    assert rates(FusedBackbone(pixels(), small()), strokes_lr=0.0)[1] == {0.0}
    with pytest.raises(ValueError, match="optimizer.strokes_lr=0.1 is for backbone=fused: set optimizer.backbone_lr"):
        rates(pixels(), strokes_lr=0.1)


def test_pretrained_strokes_have_the_rate_of_a_pretrained_backbone():
    strokes = StrokesBackbone(widths=[8, 16], depths=[1, 1], pretrained="run")
    assert rates(FusedBackbone(pixels(), strokes)) == ({1e-4}, {1e-4}, {1e-2})


def same(one: Backbone, other: Backbone) -> bool:
    weights = other.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("of_fused", [False, True], ids=["of a run of its own", "of a fused run"])
def test_each_half_starts_from_the_weights_of_a_run(of_fused, tmp_path):
    images, strokes = pixels(), small()
    runs = [saved_run(tmp_path / f"run {k}", half) for k, half in enumerate((images, strokes))]
    if of_fused:
        runs = [saved_run(tmp_path / "fused run", FusedBackbone(images, strokes))] * 2
    options = {"channels": [8, 8, 16, 16]}
    found = FusedBackbone(
        TimmBackbone("resnet10t", pretrained=str(runs[0]), image_size=32, options=options),
        small(pretrained=str(runs[1] / "checkpoints/best.pt")),
    )
    found.load_pretrained()
    assert same(found.pixels, images) and same(found.strokes, strokes)


def test_weights_of_a_run_with_adapters_are_taken_with_the_adapters_added(tmp_path):
    model = Classifier(images := pixels(), Linear(images.num_features, 3))
    plain = copy.deepcopy(images)
    freeze(model, lora(images.layer_groups(), rank=2, alpha=4.0))
    run = saved_run(tmp_path / "run", images)
    started = TimmBackbone("resnet10t", pretrained=str(run), image_size=32, options={"channels": [8, 8, 16, 16]})
    started.load_pretrained()
    assert same(started, plain)  # the adapters start at zero


@pytest.mark.parametrize(
    "start, message",
    [
        (lambda run: StrokesBackbone(pretrained=str(run)), "is of another architecture than strokes"),
        (lambda run: TimmBackbone("test_vit", pretrained=str(run)), "is of another architecture than test_vit"),
        (lambda run: StrokesBackbone(pretrained=str(run / "none.pt")), "no weights file"),
        (lambda run: StrokesBackbone(pretrained=True), "has no weights on any hub"),
    ],
)
def test_weights_that_do_not_fit_are_refused(start, message, tmp_path):
    run = saved_run(tmp_path / "run", small())
    with pytest.raises(ValueError, match=message):
        start(run).load_pretrained()


def halved(*overrides: str) -> Classifier:
    """A fused model frozen as freeze=halves with these overrides says."""
    config = compose_config("train", [*FUSED, "freeze=halves", "train.epochs=3", *overrides])
    model = ModelPlan.of(config).build(num_classes=3)
    freeze(model, make(config.freeze, "freeze", model.backbone.layer_groups()))
    return model.train()


def test_each_half_is_frozen_by_a_policy_of_its_own():
    backbone = halved("freeze@freeze.pixels=first", "freeze.pixels.n=2", "freeze@freeze.strokes=all").backbone
    network = backbone.pixels.network
    assert not network.layer2[0].training and network.layer3[0].training
    assert not backbone.strokes.training
    assert not any(parameter.requires_grad for parameter in backbone.strokes.parameters())
    backbone = halved("freeze@freeze.strokes=last", "freeze.strokes.n=1").backbone
    assert not any(parameter.requires_grad for parameter in backbone.pixels.parameters())
    trained = [any(p.requires_grad for p in block.parameters()) for block in backbone.strokes.blocks]
    assert trained == [False, False, False, True]


@pytest.mark.parametrize("policy", ["lora", "norms", "biases"])
def test_a_half_of_which_few_parameters_train_has_their_rate(policy):
    overrides = [f"freeze@freeze.{half}={policy}" for half in ("pixels", "strokes")]
    backbone = halved(*overrides).backbone
    alone = compose_config("train", [*FUSED, f"freeze={policy}"])
    both = compose_config("train", [*FUSED, "freeze=halves", *overrides])
    assert alone.optimizer == both.optimizer and both.optimizer.backbone_lr == 5e-4
    for half in (backbone.pixels, backbone.strokes):
        trained = sum(parameter.numel() for parameter in half.parameters() if parameter.requires_grad)
        assert 0 < trained < sum(parameter.numel() for parameter in half.parameters()) / 2


def test_the_table_of_layers_names_the_strokes():
    def trains(model: Classifier) -> dict[str, str]:
        return {row.name: row.trains for row in layer_rows(model)}

    assert trains(halved("freeze@freeze.strokes=all"))["strokes"] == "frozen"
    gradual = trains(halved("freeze@freeze.pixels=gradual", "freeze.pixels.probe_epochs=2"))
    assert gradual["strokes"] == f"{sum(p.numel() for p in small().parameters()):,}"
    assert gradual["block 3"] == "from epoch 3"


def test_other_backbones_have_no_halves_to_freeze():
    config = compose_config("train", [*STROKES, "freeze=halves"])
    with pytest.raises(ValueError, match="freeze=halves is for backbone=fused"):
        make(config.freeze, "freeze", small().layer_groups())


class Mean(Backbone):
    """A user's own backbone for pixels."""

    name, num_features, image_size = "mean", 3, 32

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))

    def layer_groups(self) -> list[LayerGroup]:
        return [LayerGroup("embeddings"), LayerGroup("block 0"), LayerGroup("final layers")]


def test_strokes_are_fused_with_a_backbone_from_outside():
    config = compose_config("train", FUSED)
    with open_dict(config):
        config.backbone.pixels = {"_target_": f"{__name__}.Mean"}
    model = ModelPlan.of(config).build(num_classes=3)
    assert model(inputs()).shape == (4, 3)
    config.head = compose_config("train", [*FUSED, *WEIGHED]).head
    assert ModelPlan.of(config).build(num_classes=3).train()(inputs()).shape == (4, 3, 3)
