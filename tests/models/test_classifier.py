"""A classifier reads bytes as they are and does its backbone's preprocessing itself."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import timm
import torch

from deepdraw.models.backbones.open_clip import OpenClipBackbone
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import Cosine, Linear, Text
from deepdraw.models.prompts import PROMPTS, prompts


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    backbone = TimmBackbone("resnet10t", False, image_size=32, options={"channels": [8, 16, 24, 32]})
    return Classifier(backbone, Linear(backbone.num_features, num_classes=5)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_features_are_the_backbones_of_three_normalized_channels(model: Classifier, images: torch.Tensor):
    config = timm.data.resolve_model_data_config(model.backbone.network)
    rgb = images[:, None].expand(-1, 3, -1, -1).float() / 255
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = model.backbone((rgb - mean) / std)
    torch.testing.assert_close(model.features(images), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(images), model.head(expected), rtol=1e-4, atol=1e-5)


def test_the_state_dict_holds_the_weights_of_backbone_and_head_alone(model: Classifier):
    backbone = {f"backbone.{key}" for key in model.backbone.state_dict()}
    assert set(model.state_dict()) == backbone | {"head.weight", "head.bias"}


def test_a_copy_computes_the_same_from_the_state_dict(model: Classifier, images: torch.Tensor):
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(images), model(images))


def test_it_runs_under_the_callers_autocast(model: Classifier, images: torch.Tensor):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), model(images), rtol=0.1, atol=0.1)


NAMES = ["bee", "umbrella", "scissors", "The Eiffel Tower", "t-shirt"]


@pytest.fixture
def clip(small_clip: str) -> open_clip.CLIP:
    torch.manual_seed(0)
    return open_clip.create_model(small_clip).eval()


@pytest.fixture
def text_model(clip: open_clip.CLIP, small_clip: str, tmp_path: Path) -> Classifier:
    file = tmp_path / "clip.pt"
    torch.save(clip.state_dict(), file)
    backbone = OpenClipBackbone(small_clip, str(file))
    return Classifier(backbone, Text(backbone.num_features, len(NAMES))).eval()


def test_a_text_head_starts_as_open_clips_zero_shot_classifier(
    text_model: Classifier, clip: open_clip.CLIP, small_clip: str, images: torch.Tensor
):
    templates = [lambda name, i=i: prompts(name)[i] for i in range(len(PROMPTS["sketch"]))]
    weights = open_clip.build_zero_shot_classifier(clip, open_clip.get_tokenizer(small_clip), NAMES, templates)
    features = clip.encode_image(images[:, None] * text_model.scale + text_model.shift, normalize=True)
    text_model.load_pretrained(NAMES)
    torch.testing.assert_close(text_model(images), 100 * features @ weights, rtol=1e-4, atol=1e-4)


def test_a_text_head_trains_from_its_start(
    text_model: Classifier, changed_in_three_steps: Callable[[Classifier], set[str]]
):
    text_model.load_pretrained(NAMES)
    assert {"head.weight", "head.log_scale"} <= changed_in_three_steps(text_model)


def test_a_trained_text_head_is_rebuilt_without_the_text_tower(
    text_model: Classifier, small_clip: str, train: Callable[..., Path], evaluate: Callable[..., None]
):
    file = Path(text_model.backbone.pretrained)
    backbone = [f"backbone.{option}" for option in (f"name={small_clip}", f"pretrained={file}", "image_size=32")]
    run = train("backbone=open_clip", *backbone, "head=text", "freeze=all", "train.epochs=1")
    file.unlink()
    evaluate(run / "checkpoints/best.pt")
    by_training = json.loads((run / "summary.json").read_text())["test/top1"]
    assert json.loads((run / "evaluations/test.json").read_text())["test/top1"] == by_training


@pytest.mark.parametrize("freeze", ["all", "none"])
def test_a_text_tower_answers_about_names_trained_on_only_while_its_backbone_is_frozen(
    text_model: Classifier, small_clip: str, train: Callable[..., Path], evaluate: Callable[..., None], freeze: str
):
    file = Path(text_model.backbone.pretrained)
    backbone = [f"backbone.{option}" for option in (f"name={small_clip}", f"pretrained={file}", "image_size=32")]
    run = train("backbone=open_clip", *backbone, f"freeze={freeze}", "train.epochs=1")
    best = run / "checkpoints/best.pt"

    if freeze == "all":
        evaluate(best, "protocol=text", "protocol.prompts=plain")
        assert "test/text_top1" in json.loads((run / "evaluations/test.json").read_text())
    else:
        with pytest.raises(SystemExit, match="the encoder was trained on '.*' and 2 more of these classes"):
            evaluate(best, "protocol=text", "protocol.prompts=plain")
    evaluate(best, "split=generalized")
    metrics = json.loads((run / "evaluations/generalized.json").read_text())
    seen, unseen = metrics["generalized/text_seen"], metrics["generalized/text_unseen"]
    assert metrics["generalized/text_harmonic"] == pytest.approx(2 * seen * unseen / max(seen + unseen, 1e-12))
    evaluate(best, "split=zeroshot", "protocol=tip", "protocol.shots=[2]")
    assert "zeroshot/tip_2shot_top1" in json.loads((run / "evaluations/zeroshot.json").read_text())


@pytest.mark.parametrize("encoder", ["timm", "untrained CLIP"])
def test_a_text_head_without_a_text_tower_is_refused_before_weights_are_read(encoder: str, small_clip: str):
    backbone = (
        TimmBackbone("test_vit", "a file that is not there", image_size=32)
        if encoder == "timm"
        else OpenClipBackbone(small_clip, False)
    )
    with pytest.raises(ValueError, match=r"cannot read: use backbone=clip .*, or head=cosine"):
        Classifier(backbone, Text(backbone.num_features, num_classes=5))


def test_a_head_is_tried_out_on_the_device_meta_without_a_trace(model: Classifier):
    before = torch.get_rng_state()
    with torch.device("meta"):
        Classifier(model.backbone, Cosine(model.backbone.num_features, num_classes=1))
        with pytest.raises(ValueError, match="head=text starts from prompts"):
            Classifier(model.backbone, Text(model.backbone.num_features, num_classes=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
