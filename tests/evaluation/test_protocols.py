"""Protocols: which numbers a model and a split give, under which names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn
from torch.nn import functional as F

from deepdraw.data.loader import Loader
from deepdraw.data.raster import Rasterizer
from deepdraw.data.shards import Shards
from deepdraw.evaluation import protocols
from deepdraw.evaluation.classify import outputs, sample
from deepdraw.evaluation.fewshot import few_shot
from deepdraw.models.backbones import Backbone, LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.prompts import prompts
from deepdraw.runtime.precision import Precision

CPU = torch.device("cpu")
FP32 = Precision("fp32", CPU)
CLASSIFIED = {"top1", "top5", "map3", "mean_class_accuracy", "loss", "images_per_second"}
SHOTS = {"shots": [1, 5], "tries": 4, "seed": 0}


class Ink(Backbone):
    """How dark each of 8 x 8 fields is; with a text tower, prompts by how often their letters come."""

    name, num_features, image_size = "ink", 64, 32
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, text: bool) -> None:
        super().__init__()
        self.text = text

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images[:, 0], 8).flatten(1) - 1

    def load_pretrained(self) -> None:
        pass

    def layer_groups(self) -> list[LayerGroup]:
        return []

    @property
    def has_text(self) -> bool:
        return self.text

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        if not self.text:
            return super().encode_text(texts)
        return torch.tensor([[text.count(chr(60 + i)) - 0.1 for i in range(64)] for text in texts])


@pytest.fixture
def loader(polygon_root):
    def open_split(name: str) -> Loader:
        split = Shards(str(polygon_root)).split(name)
        return Loader(split, Rasterizer(32), batch_size=16, shuffle=False, device=CPU, num_workers=0)

    return open_split


@pytest.fixture
def trained_on(loader) -> list[str]:
    return loader("test").classes


def model(*, text: bool = False, num_classes: int = 3) -> Classifier:
    torch.manual_seed(0)
    return Classifier(Ink(text), nn.Linear(64, num_classes)).eval()


def everything(loader: Loader) -> tuple[Tensor, Tensor]:
    batches = list(loader.epoch())
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def without_time(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith("images_per_second")}


def test_the_head_is_scored_on_its_own_classes(loader, trained_on):
    test = loader("test")
    metrics = protocols.classifier(model(), test, FP32, trained_on, None)
    assert metrics.keys() == CLASSIFIED | {"chance"}
    assert metrics["chance"] == pytest.approx(1 / 3)
    images, labels = everything(test)
    with torch.no_grad():
        logits = model()(images)
    assert metrics["top1"] == pytest.approx(accuracy_score(labels, logits.argmax(1)))
    assert metrics["loss"] == pytest.approx(log_loss(labels, logits.double().softmax(1)), rel=1e-5)


def test_the_head_is_refused_other_classes_even_of_equal_number(loader, trained_on):
    for name, classes in (("zeroshot", trained_on), ("test", ["a", "b", "c"]), ("test", trained_on[::-1])):
        with pytest.raises(ValueError, match="use protocol=auto, prototype, knn or text$"):
            protocols.classifier(model(), loader(name), FP32, classes, None)


def test_text_compares_features_with_prompts_for_the_splits_own_classes(loader, trained_on):
    unseen = loader("zeroshot")
    reader = model(text=True)
    metrics = protocols.text(reader, unseen, FP32, trained_on, None)
    assert metrics.keys() == {f"text_{name}" for name in CLASSIFIED} | {"chance"}
    assert metrics["chance"] == 0.5
    images, labels = everything(unseen)
    words = [F.normalize(reader.backbone.encode_text(prompts(name)), dim=1).mean(0) for name in unseen.classes]
    with torch.no_grad():
        cosines = F.cosine_similarity(reader.features(images)[:, None], torch.stack(words)[None], dim=-1)
    assert metrics["text_top1"] == pytest.approx(accuracy_score(labels, cosines.argmax(1)))
    assert metrics["text_loss"] == pytest.approx(log_loss(labels, (100 * cosines).double().softmax(1)), rel=1e-4)


def test_prompts_are_told_apart_in_fp32_whatever_the_encoder_computes_in(loader, trained_on):
    # Ink computes nothing that autocast would change, so only a comparison in bf16 could change the loss.
    in_bf16 = protocols.text(model(text=True), loader("zeroshot"), Precision("bf16", CPU), trained_on, None)
    in_fp32 = protocols.text(model(text=True), loader("zeroshot"), FP32, trained_on, None)
    assert without_time(in_bf16) == without_time(in_fp32)


def test_text_without_a_text_tower_is_refused(loader, trained_on):
    with pytest.raises(ValueError, match="^ink has no text tower to read prompts with: use backbone=clip$"):
        protocols.text(model(), loader("zeroshot"), FP32, trained_on, None)


def test_few_shots_come_from_the_features_of_the_whole_split(loader, trained_on):
    unseen = loader("zeroshot")
    metrics = protocols.fewshot(model(), unseen, FP32, trained_on, None, **SHOTS)
    assert metrics.pop("images_per_second") > 0
    assert metrics.pop("chance") == 0.5
    images, labels = everything(unseen)
    assert metrics == few_shot(model().features(images), labels, **SHOTS)
    assert not [name for name in metrics if "shot" not in name]


@pytest.mark.parametrize("method", ["prototype", "knn"])
def test_one_method_may_be_asked_for_alone(loader, trained_on, method):
    metrics = protocols.fewshot(model(), loader("test"), FP32, trained_on, None, methods=[method], **SHOTS)
    assert {name.partition("_")[0] for name in without_time(metrics)} == {method, "chance"}


@pytest.mark.parametrize(
    ("split", "text", "kind"),
    [
        ("test", False, "top1"),
        ("test", True, "top1"),
        ("zeroshot", True, "text_top1"),
        ("zeroshot", False, "knn_5shot_top1"),
    ],
)
def test_auto_asks_the_head_where_it_can_else_the_prompts_else_few_shots(loader, trained_on, split, text, kind):
    metrics = protocols.auto(model(text=text), loader(split), FP32, trained_on, None, **SHOTS)
    assert kind in metrics
    assert ("top1" in metrics) == (split == "test")
    assert any("shot" in name for name in metrics) == (kind == "knn_5shot_top1")


def test_a_limit_looks_at_the_first_batches_only(loader):
    test = loader("test")
    limited = list(outputs(model(), test, FP32, title="", limit_batches=2))
    assert torch.equal(torch.cat([batch.images for batch, _ in limited]), everything(test)[0][:32])
    assert len(list(outputs(model(), test, FP32, title="", limit_batches=99))) == len(test)
    with pytest.raises(ValueError, match="^limit_batches=0 must be at least 1"):
        list(outputs(model(), test, FP32, title="", limit_batches=0))


def test_a_sample_is_drawings_with_their_labels_and_logits(loader):
    images, labels, logits = sample(model(), loader("test"), FP32, num_batches=3)
    expected, truth = everything(loader("test"))
    assert (images == expected[:48].numpy()).all()
    assert (labels == truth[:48].numpy()).all()
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), model()(expected[:48]))
