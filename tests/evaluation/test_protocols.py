"""Protocols: which numbers a model and a split give, under which names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn
from torch.nn import functional as F

from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.data.subset import JoinedLoader
from deepdraw.drawings.raster import Rasterizer
from deepdraw.evaluation.classify import sample, score
from deepdraw.evaluation.fewshot.methods import NearestNeighbors, Prototypes
from deepdraw.evaluation.fewshot.protocol import FewShot
from deepdraw.evaluation.protocols import Auto, Head, Text
from deepdraw.evaluation.task import Task
from deepdraw.features.passes import gather_features, outputs
from deepdraw.models.backbones.base import Backbone, LayerGroup
from deepdraw.models.classifier import Classifier
from deepdraw.models.prompts import prompts
from deepdraw.runtime.precision import Precision

CPU = torch.device("cpu")
FP32 = Precision("fp32", CPU)
ACCURACIES = {"top1", "top5", "top10", "map3", "mean_class_accuracy", "macro_f1"}
INTERVALS = {f"{name}_{end}" for name in ACCURACIES for end in ("low", "high")}
CLASSIFIED = ACCURACIES | INTERVALS | {"loss", "ece", "temperature", "aurc", "selective_accuracy_80"}
BY_COMPLEXITY = {"top1_strokes_1", "top1_points_1-10"}  # a polygon is one stroke of few points
SHARED = {"chance", "images_per_second"}
FEW_SHOT = FewShot({"prototype": Prototypes(True, 0.3), "knn": NearestNeighbors(20, 0.07)}, [1, 5], 4, 0)
AUTO = Auto(Text("sketch"), FEW_SHOT)


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
    return torch.cat([batch.inputs for batch in batches]), torch.cat([batch.labels for batch in batches])


@pytest.fixture
def task(loader, trained_on):
    """What is asked: a model about a split of the polygons; `generalized` is test and zeroshot together."""

    def build(classifier: Classifier, split: str = "test", precision: Precision = FP32, **given) -> Task:
        asked = JoinedLoader(loader("test"), loader("zeroshot")) if split == "generalized" else loader(split)
        given = {"classes": trained_on, "seen": lambda: loader("train")} | given
        return Task(model=classifier, encode=classifier.features, loader=asked, precision=precision, **given)

    return build


def cosines_with_prompts(reader: Classifier, images: Tensor, classes: Sequence[str], templates="sketch") -> Tensor:
    words = [F.normalize(reader.backbone.encode_text(prompts(name, templates)), dim=1).mean(0) for name in classes]
    with torch.no_grad():
        return F.cosine_similarity(reader.features(images)[:, None], torch.stack(words)[None], dim=-1)


def without_time(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith("images_per_second")}


def test_the_head_is_scored_on_its_own_classes(loader, task, polygon_root):
    test_split = Shards(str(polygon_root)).split("test")
    found = Head()(task(model(), complexity=test_split.complexity()))
    metrics = found.metrics
    assert metrics.keys() == CLASSIFIED | BY_COMPLEXITY | SHARED
    assert metrics["chance"] == pytest.approx(1 / 3)
    images, labels = everything(loader("test"))
    with torch.no_grad():
        logits = model()(images)
    assert metrics["top1"] == pytest.approx(accuracy_score(labels, logits.argmax(1)))
    assert metrics["loss"] == pytest.approx(log_loss(labels, logits.double().softmax(1)), rel=1e-5)
    assert metrics["top1_strokes_1"] == pytest.approx(metrics["top1"])
    assert found.protocol == "classifier"
    assert (found.predictions.predicted == logits.argmax(1).numpy()).all()
    assert found.positions is None
    np.testing.assert_allclose(
        found.prototypes, [model().features(images)[labels == c].mean(dim=0).numpy() for c in range(3)], atol=1e-5
    )


def test_a_temperature_scales_the_heads_logits_and_no_others(task):
    metrics = Head()(task(model(), temperature=2.0)).metrics
    assert metrics.keys() == CLASSIFIED | SHARED | {"loss_scaled", "ece_scaled"}
    text = Text("sketch")(task(model(text=True), "zeroshot", temperature=2.0)).metrics
    assert not [name for name in text if "scaled" in name]


def test_the_numbers_of_training_are_those_of_an_evaluation(loader, task):
    in_training, _ = score(model(), loader("test"), FP32, title="")
    evaluated = Head()(task(model())).metrics
    assert in_training.keys() < evaluated.keys()
    assert without_time(in_training) == pytest.approx({name: evaluated[name] for name in without_time(in_training)})


def test_the_head_is_refused_other_classes_even_of_equal_number(task, trained_on):
    for split, classes in (("zeroshot", trained_on), ("test", ["a", "b", "c"]), ("test", trained_on[::-1])):
        with pytest.raises(ValueError, match="use protocol=auto, prototype, knn or text$"):
            Head()(task(model(), split, classes=classes))


@pytest.mark.parametrize("templates", ["plain", "sketch", "ensemble", ["a scribble of a {}."]])
def test_text_compares_features_with_prompts_for_the_splits_own_classes(loader, task, templates):
    reader, unseen = model(text=True), loader("zeroshot")
    metrics = Text(templates)(task(reader, "zeroshot")).metrics
    assert metrics.keys() == {f"text_{name}" for name in CLASSIFIED} | SHARED
    assert metrics["chance"] == 0.5
    images, labels = everything(unseen)
    cosines = cosines_with_prompts(reader, images, unseen.classes, templates)
    assert metrics["text_top1"] == pytest.approx(accuracy_score(labels, cosines.argmax(1)))
    assert metrics["text_loss"] == pytest.approx(log_loss(labels, (100 * cosines).double().softmax(1)), rel=1e-4)


def test_text_on_both_kinds_of_classes_tells_seen_from_unseen(loader, task):
    reader, both = model(text=True), JoinedLoader(loader("test"), loader("zeroshot"))
    metrics = Text("sketch")(task(reader, "generalized")).metrics
    assert metrics.keys() == {f"text_{name}" for name in CLASSIFIED | {"seen", "unseen", "harmonic"}} | SHARED
    assert metrics["chance"] == 0.2
    images, labels = everything(both)
    right = (cosines_with_prompts(reader, images, both.classes).argmax(1) == labels).double()
    recalls = [right[labels == c].mean().item() for c in range(5)]
    seen, unseen = np.mean(recalls[:3]), np.mean(recalls[3:])
    assert metrics["text_seen"] == pytest.approx(seen)
    assert metrics["text_unseen"] == pytest.approx(unseen)
    assert metrics["text_harmonic"] == pytest.approx(2 * seen * unseen / (seen + unseen))


def test_prompts_for_classes_trained_on_are_zero_shot_only_where_the_encoder_was_not(task):
    reader = model(text=True)
    with pytest.raises(
        ValueError, match=r"^the encoder was trained on 'octagon' and 2 more of these classes"
    ) as refused:
        Text("sketch")(task(reader))
    assert str(refused.value).endswith("use protocol=classifier, or split=zeroshot")
    assert "text_top1" in Text("sketch")(task(reader, trained=False)).metrics


def test_prompts_are_told_apart_in_fp32_whatever_the_encoder_computes_in(task):
    # Ink computes nothing that autocast would change, so only a comparison in bf16 could change the loss.
    in_bf16, in_fp32 = (
        Text("sketch")(task(model(text=True), "zeroshot", precision)).metrics
        for precision in (Precision("bf16", CPU), FP32)
    )
    assert without_time(in_bf16) == without_time(in_fp32)


def test_text_without_a_text_tower_is_refused(task):
    with pytest.raises(ValueError, match="^ink has no text tower to read prompts with: use backbone=clip$"):
        Text("sketch")(task(model(), "zeroshot"))


@pytest.mark.parametrize(
    ("split", "text", "kind"),
    [
        ("test", False, "top1"),
        ("test", True, "top1"),
        ("zeroshot", True, "text_top1"),
        ("zeroshot", False, "whitened_5shot_top1"),
        ("generalized", True, "text_harmonic"),
        ("generalized", False, "whitened_5shot_calibrated_harmonic"),
    ],
)
def test_auto_chooses_the_head_if_it_knows_the_classes_else_prompts_else_few_shots(task, split, text, kind):
    metrics = AUTO(task(model(text=text), split)).metrics
    assert kind in metrics
    assert ("top1" in metrics) == (split == "test")
    assert any("shot" in name for name in metrics) == ("shot" in kind)
    assert any(name.startswith("text_") for name in metrics) == kind.startswith("text_")


def test_few_shots_come_from_the_features_of_the_whole_split(loader, task):
    reader = model()
    asked = task(reader, "zeroshot")
    images, labels = everything(loader("zeroshot"))
    features = asked.query_features()
    torch.testing.assert_close(features.features, reader.features(images))
    assert torch.equal(features.labels, labels)
    assert FEW_SHOT(asked).metrics["prototype_5shot_top1"] > 0.9  # a hexagon is no line


def test_features_kept_of_drawings_are_taken_as_they_are(loader, task):
    asked = task(model())
    features = asked.features(everything(loader("test"))[0])
    assert asked.features(features) is features


def test_features_may_be_gathered_of_the_first_batches_only(loader):
    assert len(gather_features(model().features, loader("test"), FP32, title="", limit_batches=2).features) == 32


def test_a_limit_looks_at_the_first_batches_only(loader):
    test = loader("test")
    limited = list(outputs(model(), test, FP32, title="", limit_batches=2))
    assert torch.equal(torch.cat([batch.inputs for batch, _ in limited]), everything(test)[0][:32])
    assert len(list(outputs(model(), test, FP32, title="", limit_batches=99))) == len(test)
    with pytest.raises(ValueError, match="^limit_batches=0 must be at least 1"):
        list(outputs(model(), test, FP32, title="", limit_batches=0))


def test_a_sample_is_drawings_with_their_labels_and_logits(loader):
    images, labels, logits = sample(model(), loader("test"), FP32, Rasterizer(32), num_batches=3)
    expected, truth = everything(loader("test"))
    assert (images == expected[:48].numpy()).all()
    assert (labels == truth[:48].numpy()).all()
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(logits), model()(expected[:48]))
