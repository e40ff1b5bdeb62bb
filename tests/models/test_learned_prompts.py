"""head=prompts learns the vectors before the names of classes, and reads names that it never saw with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import text_global_pool
from torch import Tensor
from torch.nn import functional as F

from deepdraw.models import ModelPlan, Prompts
from deepdraw.models.backbones import OpenClipBackbone, TimmBackbone
from deepdraw.models.classifier import Classifier

NAMES = ["bee", "umbrella", "The Eiffel Tower", "t-shirt", "bottlecap"]
SPOKEN = ["bee", "umbrella", "the Eiffel Tower", "t-shirt", "bottle cap"]


def by_hand(clip: Any, tokenizer: Any, context: Tensor, names: list[str]) -> Tensor:
    """Unit text features by open_clip's own modules, put together as the authors of CoOp do it."""
    tokens = tokenizer([" ".join(["X"] * len(context)) + f" {name}." for name in names])
    words = clip.token_embedding(tokens)
    words = torch.cat([words[:, :1], context.expand(len(names), -1, -1), words[:, 1 + len(context) :]], dim=1)
    hidden = clip.transformer(words + clip.positional_embedding, attn_mask=clip.attn_mask)
    pooled = text_global_pool(clip.ln_final(hidden), tokens, clip.text_pool_type)
    return F.normalize(pooled @ clip.text_projection, dim=-1)


@pytest.fixture
def clip(small_clip: str) -> open_clip.CLIP:
    torch.manual_seed(0)
    return open_clip.create_model(small_clip).eval()


@pytest.fixture
def clip_file(clip: open_clip.CLIP, tmp_path: Path) -> str:
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    return str(tmp_path / "clip.pt")


def classifier(name: str, pretrained: str | bool, **options: Any) -> Classifier:
    backbone = OpenClipBackbone(name, pretrained)
    head = Prompts(backbone.num_features, len(NAMES), backbone.build_text_tower, **options)
    return Classifier(backbone, head)


def test_logits_and_gradient_are_those_of_the_towers_own_modules(clip, clip_file, small_clip):
    model = classifier(small_clip, clip_file, length=4)
    model.load_pretrained(NAMES)
    features, labels = torch.randn(5, 16), torch.tensor([0, 1, 2, 0, 1])

    context = model.head.context.detach().clone().requires_grad_()
    text = by_hand(clip, open_clip.get_tokenizer(small_clip), context, SPOKEN)
    expected = clip.logit_scale.exp() * F.normalize(features, dim=-1) @ text.T
    F.cross_entropy(expected, labels).backward()

    logits = model(features)
    F.cross_entropy(logits, labels).backward()
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.head.context.grad, context.grad, rtol=1e-4, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(features), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["pooled-last", "pooled-by-a-class-token"])
def test_towers_that_pool_and_mask_otherwise_read_the_context_at_its_place(name, tmp_path):
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    text |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    if name == "pooled-by-a-class-token":
        text |= {"embed_cls": True, "no_causal_mask": False, "proj_bias": False}
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8}
    config = {"embed_dim": 16, "custom_text": True, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    backbone = OpenClipBackbone(name, False)
    tower = backbone.build_text_tower()
    phrase = tower.phrase_tokens("a sketch of a")
    learned = tower(tower.tokens(["cat."], learned=len(phrase)), tower.embed(phrase))
    read = tower(open_clip.get_tokenizer(name)(["a sketch of a cat."]))
    torch.testing.assert_close(learned, read)


def test_a_phrase_starts_as_the_prompt_of_that_phrase(clip, clip_file, small_clip):
    model = classifier(small_clip, clip_file, init="a sketch of")
    model.load_pretrained(NAMES)
    assert model.head.length == 3
    text = clip.encode_text(open_clip.get_tokenizer(small_clip)([f"a sketch of {name}." for name in SPOKEN]))
    features = torch.randn(5, 16)
    expected = clip.logit_scale.exp() * F.normalize(features, dim=-1) @ F.normalize(text, dim=-1).T
    torch.testing.assert_close(model(features), expected, rtol=1e-4, atol=1e-4)


def test_only_the_context_trains(clip_file, small_clip, changed_in_three_steps: Callable[[Classifier], set[str]]):
    model = classifier(small_clip, clip_file, length=4)
    model.load_pretrained(NAMES)
    assert {name for name in changed_in_three_steps(model) if name.startswith("head.")} == {"head.context"}


def test_logits_follow_a_context_that_was_changed_in_place_or_loaded(clip_file, small_clip):
    model = classifier(small_clip, clip_file, length=4).eval()
    model.load_pretrained(NAMES)
    features = torch.randn(2, 16)
    with torch.no_grad():
        saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        first = model(features)
        model.head.context.mul_(40)
        second = model(features)
        model.load_state_dict(saved)
        assert not torch.equal(first, second)
        assert torch.equal(model(features), first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, r"^head\.length=0 must lie in 1 to 13 for this text tower$"),
        ({"length": 14}, r"^head\.length=14 must lie in 1 to 13 for this text tower$"),
        ({"length": 5, "init": "a sketch of"}, r"^head\.init='a sketch of' has 3 tokens: leave head\.length=5 out"),
        ({"init": " "}, r"^head\.init=' ' has 0 tokens"),
    ],
)
def test_contexts_that_cannot_be_are_refused(options, message, small_clip):
    with pytest.raises(ValueError, match=message):
        classifier(small_clip, False, **options)


def test_a_name_that_does_not_fit_behind_the_context_is_refused(small_clip):
    model = classifier(small_clip, False, length=11)
    with pytest.raises(ValueError, match=r"11 learned vectors before 'the Eiffel Tower\.' are more than the 16 tokens"):
        model.load_pretrained(NAMES)


def test_encoders_without_a_text_tower_are_refused_in_one_line(train, small_clip):
    backbone = TimmBackbone("test_vit", False, image_size=32)
    with pytest.raises(ValueError, match="^test_vit has no text tower to read prompts with: use backbone=clip$"):
        Prompts(backbone.num_features, 3, backbone.build_text_tower)
    with pytest.raises(SystemExit, match=r"small-clip places prompts among projected features only"):
        train("backbone=open_clip", f"backbone.name={small_clip}", "backbone.pretrained=false", "head=prompts",
              "backbone.pooling=mean", "backbone.image_size=32")  # fmt: skip


def overrides(small_clip: str, pretrained: str) -> list[str]:
    backbone = [f"backbone.{option}" for option in (f"name={small_clip}", f"pretrained={pretrained}", "image_size=32")]
    return ["backbone=open_clip", *backbone, "head=prompts", "head.length=4", "train.epochs=2"]


def found(run: Path, split: str) -> float:
    return json.loads((run / f"evaluations/{split}.json").read_text())[f"{split}/text_top1"]


def test_unseen_classes_are_read_with_the_context_without_the_file_of_weights(
    clip_file, clip, small_clip, train, evaluate, polygon_root
):
    run = train(*overrides(small_clip, clip_file), "freeze=all", "optimizer.lr=0.1")
    Path(clip_file).unlink()
    best = run / "checkpoints/best.pt"
    evaluate(best)
    by_training = json.loads((run / "summary.json").read_text())["test/top1"]
    assert json.loads((run / "evaluations/test.json").read_text())["test/top1"] == by_training
    for split in ("zeroshot", "generalized"):
        evaluate(best, f"split={split}", "protocol=text")
        text = found(run, split)
        evaluate(best, f"split={split}")
        assert found(run, split) == text
    with pytest.raises(SystemExit, match=r"the context was trained on .*, so this would not be zero-shot"):
        evaluate(best, "protocol=text")


def test_other_names_are_read_as_by_hand(clip, clip_file, small_clip):
    model = classifier(small_clip, clip_file, length=4).eval()
    model.load_pretrained(NAMES)
    features, others = torch.randn(5, 16), ["cat", "octopus"]
    text = by_hand(clip, open_clip.get_tokenizer(small_clip), model.head.context, ["cat", "octopus"])
    expected = clip.logit_scale.exp() * F.normalize(features, dim=-1) @ text.T
    torch.testing.assert_close(model.head.classifier(others)(features), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("freeze", ["all", "none"])
def test_a_run_with_random_towers_resumes_with_the_same_bits(freeze, small_clip, train, interrupted, tmp_path):
    options = [*overrides(small_clip, "false"), f"freeze={freeze}", "train.ema=0.9"]
    whole = train(*options, run_dir=tmp_path / "whole")
    interrupted(3, *options, run_dir=tmp_path / "parts")
    parts = train(*options, run_dir=tmp_path / "parts")
    first, second = (torch.load(run / "checkpoints/best.pt")["model"] for run in (whole, parts))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_plan_of_a_config_builds_the_head(small_clip):
    from omegaconf import OmegaConf

    target = {"_target_": "deepdraw.models.backbones.OpenClipBackbone", "name": small_clip, "pretrained": False}
    head = {"_target_": "deepdraw.models.Prompts", "length": 2, "init": None}
    plan = ModelPlan.of(OmegaConf.create({"backbone": target, "head": head}))
    assert isinstance(plan.build(num_classes=3).head, Prompts)
