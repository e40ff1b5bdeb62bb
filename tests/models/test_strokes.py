"""Backbones that see strokes: alone, and fused with one that sees pixels."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import open_dict
from torch.nn.functional import batch_norm, cross_entropy

import deepdraw
from deepdraw.config import compose_config, make
from deepdraw.inference import rebuild
from deepdraw.models import Classifier, Linear, ModelPlan, Weighed
from deepdraw.models.backbones import Backbone, FusedBackbone, LayerGroup, StrokesBackbone, TimmBackbone
from deepdraw.models.backbones.strokes import Attention
from deepdraw.models.freezing import first, freeze, lora
from deepdraw.models.freezing.policies import layer_rows
from deepdraw.training import Muon, build_optimizer, load_checkpoint
from deepdraw.training.checkpoint import save_checkpoint
from deepdraw.training.loop import losses

STROKES = ["backbone=strokes", "backbone.widths=[8,16]", "backbone.depths=[1,1]", "input.points=32"]
FUSED = ["backbone=fused", "backbone@backbone.pixels=timm", "backbone.pixels.name=resnet10t", "input.points=32"]
FUSED += ["backbone.pixels.pretrained=false", "backbone.pixels.image_size=32"]
FUSED += [
    "+backbone.pixels.options.channels=[8,8,16,16]",
    "backbone.strokes.widths=[8,16]",
    "backbone.strokes.depths=[1,1]",
]
TRANSFORMER = ["backbone=stroke_transformer", "backbone.name=test_vit", "backbone.pretrained=false", "input.points=32"]
TRANSFORMER += ["+backbone.options.depth=2", "backbone.strokes=4", "backbone.width=16", "backbone.dilations=[1]"]
TRANSFORMER += ["optimizer=muon", "optimizer.lr=1e-2", "train.epochs=9"]
STEM = ["backbone=stroke_stem", "backbone.name=resnet10t", "backbone.pretrained=false", "input.points=32"]
STEM += [
    "+backbone.options.channels=[8,8,16,16]",
    "backbone.map_size=8",
    "backbone.width=16",
    "backbone.dilations=[1,2]",
]
FUSED_STEM = [*FUSED[:7], "backbone@backbone.strokes=stroke_stem"]
FUSED_STEM += [option.replace("backbone.", "backbone.strokes.") for option in STEM[1:] if "input" not in option]
EACH = {
    "strokes": STROKES,
    "stroke_transformer": TRANSFORMER,
    "stroke_stem": STEM,
    "fused": FUSED,
    "fused with a stem": FUSED_STEM,
}


def pixels() -> TimmBackbone:
    return TimmBackbone("resnet10t", pretrained=False, image_size=32, options={"channels": [8, 8, 16, 16]})


def small(pretrained: bool | str = False) -> StrokesBackbone:
    return StrokesBackbone(widths=[8, 16], depths=[1, 1], attention=2, stem_stride=2, pretrained=pretrained)


def inputs(number: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (number, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randn(number, 24, 8, generator=generator)


def test_features_are_the_mean_and_the_maximum_over_the_points():
    backbone = small().eval()
    _, points = inputs()
    features = backbone(points)
    assert features.shape == (4, backbone.num_features) == (4, 32)
    assert (features[:, :16] <= features[:, 16:] + 1e-6).all()


def test_a_block_starts_as_its_shortcut_so_that_only_the_stem_is_seen_at_first():
    backbone = StrokesBackbone(widths=[8], depths=[3]).eval()
    _, points = inputs()
    stem = backbone.stem(points.transpose(1, 2)[:, :, None]).squeeze(2)
    torch.testing.assert_close(backbone(points)[:, 8:], stem.amax(dim=2))


def test_the_order_in_which_points_were_drawn_matters():
    backbone, (_, points) = small().eval(), inputs()
    assert not torch.allclose(backbone(points), backbone(points.flip(1)))


def test_layer_groups_are_the_stem_and_the_blocks():
    groups = StrokesBackbone().layer_groups()
    assert [group.name for group in groups] == ["stem", *(f"block {k}" for k in range(7)), "final layers"]
    assert sum(group.num_parameters for group in groups) == sum(p.numel() for p in StrokesBackbone().parameters())


def test_attention_ends_the_last_stages_and_starts_as_nothing():
    plain, attentive = StrokesBackbone([8, 16], [1, 1]), StrokesBackbone([8, 16], [1, 1], attention=1)
    assert [type(block).__name__ for block in attentive.blocks] == ["ResidualBlock", "ResidualBlock", "Attention"]
    assert [group.name for group in attentive.layer_groups()][1:-1] == ["block 0", "block 1", "block 2"]
    attentive.load_state_dict(plain.state_dict(), strict=False)
    _, points = inputs()
    assert torch.equal(plain.eval()(points), attentive.eval()(points))


def test_attention_is_that_of_torch():
    layer, rows = Attention(16).train(), torch.randn(3, 16, 1, 10)
    torch.nn.init.ones_(layer.after.weight)
    reference = torch.nn.MultiheadAttention(16, 8, bias=False, batch_first=True)
    reference.in_proj_weight.data = layer.queries_keys_values.weight.data
    reference.out_proj.weight.data = layer.project.weight.data
    points = batch_norm(rows, None, None, training=True).squeeze(2).transpose(1, 2)
    mixed = reference(points, points, points)[0].transpose(1, 2)[:, :, None]
    torch.testing.assert_close(layer(rows), rows + batch_norm(mixed, None, None, training=True))


def test_a_stem_of_stride_2_halves_the_points():
    shapes = [
        StrokesBackbone([8], [1], stem_stride=stride).stem(torch.randn(2, 8, 1, 11)).shape[-1] for stride in (1, 2)
    ]
    assert shapes == [11, 6]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"attention": -1}, "backbone.attention=-1 must be at least 0"),
        ({"attention": 1, "widths": [8, 12]}, "backbone.widths: 12 with attention must be a multiple of its 8 heads"),
        ({"stem_stride": 3}, "backbone.stem_stride=3 must be 1 or 2"),
    ],
)
def test_impossible_attention_and_strides_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        StrokesBackbone(**{"widths": [8, 16], "depths": [1, 1]} | options)


@pytest.mark.parametrize("widths, depths", [([], []), ([8, 16], [1]), ([8], [0])])
def test_an_impossible_network_is_refused(widths, depths):
    with pytest.raises(ValueError, match="make no network: give both for each stage"):
        StrokesBackbone(widths, depths)


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


WEIGHED = ["head=weighed", "head.hidden=8"]


def weighed(backbone: Backbone, num_classes: int = 3, **options) -> Weighed:
    return Weighed(backbone.num_features, num_classes, backbone.feature_widths, **options)


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


def saved_run(folder: Path, backbone: Backbone) -> Path:
    """The directory of a run with this backbone."""
    weights = Classifier(backbone, Linear(backbone.num_features, 3)).state_dict()
    content = {"config": {}, "classes": ["a", "b", "c"], "model": weights}
    (folder / "checkpoints").mkdir(parents=True)
    save_checkpoint(folder / "checkpoints/best.pt", content)
    return folder


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


def test_both_halves_frozen_are_encoded_once_and_evaluated_from_the_same_features(train, evaluate, tmp_path, capsys):
    frozen = ["freeze=halves", "freeze@freeze.strokes=all", "train.epochs=1"]
    run = train(*FUSED, *WEIGHED, *frozen, run_dir=tmp_path / "run")
    assert "it encodes the drawings once" in capsys.readouterr().out
    evaluate(run / "checkpoints/best.pt", f"features.dir={tmp_path / 'features'}")
    assert len(list((tmp_path / "features").glob("test-*"))) == 1


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


@pytest.mark.parametrize("overrides", [*EACH.values(), [*FUSED, *WEIGHED]], ids=[*EACH, "fused, with weighed logits"])
def test_a_run_is_trained_resumed_evaluated_and_used_as_any_other(overrides, train, interrupted, evaluate, tmp_path):
    overrides = ["augment=sketch", "optimizer.lr=1e-2", "train.epochs=4", "train.checkpoint_every=3", *overrides]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    found = json.loads((alone / "summary.json").read_text())
    assert found["test/top1"] > 0.5
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    train(*overrides, run_dir=tmp_path / "broken")
    one, other = (
        torch.load(run / "checkpoints/best.pt", weights_only=True)["model"] for run in (alone, tmp_path / "broken")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    evaluate(alone / "checkpoints/best.pt")
    evaluated = json.loads((alone / "evaluations/test.json").read_text())
    assert evaluated["test/top1"] == pytest.approx(found["test/top1"])
    evaluate(alone / "checkpoints/best.pt", "split=zeroshot")
    recognizer = deepdraw.load(alone)
    test = rebuild(alone).source().split("test")
    drawings = test.drawings([0])
    guesses = recognizer.predict([drawings.strokes(k) for k in range(len(drawings))], top=1)
    right = [guess.name == recognizer.classes[label] for (guess,), label in zip(guesses, drawings.labels, strict=True)]
    assert sum(right) / len(right) == pytest.approx(found["test/top1"], abs=1e-6) or len(test.block_sizes) > 1
    with pytest.raises(ValueError, match="drawing 0 is an image, and this network sees strokes"):
        recognizer.predict(torch.zeros(40, 40, dtype=torch.uint8).numpy())


@pytest.mark.parametrize(
    "overrides, head",
    [
        *((overrides, "linear") for overrides in EACH.values()),
        *((overrides, head) for overrides in (STROKES, FUSED) for head in ("grid", "logistic")),
        (FUSED, "weighed"),
    ],
)
def test_a_frozen_backbone_encodes_once_whatever_it_sees(overrides, head, train, evaluate, tmp_path, capsys):
    run = train(*overrides, "freeze=all", f"head={head}", "train.epochs=2", run_dir=tmp_path / "run")
    assert "it encodes the drawings once" in capsys.readouterr().out
    evaluate(run / "checkpoints/best.pt", f"features.dir={tmp_path / 'features'}")
    found = [json.loads((run / file).read_text())["test/top1"] for file in ("summary.json", "evaluations/test.json")]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_features_of_other_points_are_not_taken_from_the_cache(train, tmp_path):
    for points in (32, 33):
        train(
            *STROKES[:-1], f"input.points={points}", "freeze=all", "train.epochs=1", run_dir=tmp_path / f"run{points}"
        )
    assert len(list((tmp_path / "features").glob("train-*"))) == 2


@pytest.mark.parametrize("option", ["train.mixup=0.2", "train.cutmix=1"])
def test_strokes_are_not_mixed(option, train):
    with pytest.raises(SystemExit, match="train.mixup and train.cutmix mix images, and strokes sees strokes"):
        train(*STROKES, option)


@pytest.mark.parametrize("overrides", EACH.values(), ids=EACH)
def test_images_are_refused_before_training(overrides, train, tmp_path):
    import cv2
    import numpy as np

    for name in ("a", "b"):
        for k in range(12):
            (tmp_path / f"own/{name}").mkdir(parents=True, exist_ok=True)
            image = np.full((40, 40), 255, np.uint8)
            image[5 + k : 9 + k, 5:30] = 0
            cv2.imwrite(str(tmp_path / f"own/{name}/{k}.png"), image)
    with pytest.raises(SystemExit, match="the drawings are images, and this backbone sees strokes: try backbone=tiny"):
        train("data=folder", f"data.root={tmp_path / 'own'}", "data.batch_size=4", *overrides)


def test_a_run_that_froze_strokes_with_the_pixels_of_a_fused_backbone_is_refused(
    interrupted, train, tmp_path, monkeypatch
):
    """As freeze=norms, biases and lora did at first."""
    overrides = [*FUSED, "freeze=norms", "train.checkpoint_every=3"]
    with monkeypatch.context() as before:
        before.setattr(LayerGroup, "without_fresh", lambda self: self)
        interrupted(4, *overrides, run_dir=tmp_path / "run")
    with pytest.raises(SystemExit, match="error: the run trained [0-9]+ tensors where this version .* train again in"):
        train(*overrides, run_dir=tmp_path / "run")


def test_a_run_from_before_backbones_saw_strokes_is_resumed(trained, resume):
    for name in ("best.pt", "last.pt"):
        file = trained / "checkpoints" / name
        content = load_checkpoint(file)
        del content["config"]["input"], content["config"]["render"]["images"]
        save_checkpoint(file, content)
    resume()
    assert rebuild(trained).points is None
