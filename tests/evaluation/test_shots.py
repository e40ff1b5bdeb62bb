"""Prototypes, neighbors and Tip-Adapter as protocols: what is known, what is asked about, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from deepdraw.data.interfaces import Batch
from deepdraw.drawings.packed import Complexity
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.fewshot.methods import NearestNeighbors, Prototypes, TipAdapter
from deepdraw.evaluation.fewshot.protocol import FewShot
from deepdraw.evaluation.task import Task
from deepdraw.fewshot import Comparison, unit_length
from deepdraw.fewshot.offset import harmonic_mean
from deepdraw.fewshot.scorers import neighbors, over_tries, prototypes, support_sets
from deepdraw.runtime.precision import Precision

SEEN = [f"seen {number}" for number in range(8)]
NEW = [f"new {number}" for number in range(5)]
CENTERS = torch.randn(13, 12, generator=torch.Generator().manual_seed(0))
PROTOTYPES = {"prototype": Prototypes(whiten=True, shrinkage=0.3)}
KNN = {"knn": NearestNeighbors(k=5, temperature=0.07)}


class Features:
    """A loader of features, 16 at a time: of `per_class` drawings of each class, or of those given."""

    batch_size = 16

    def __init__(self, classes: list[str], per_class: int = 20, seed: int = 0, spread: float = 1.2) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.classes = classes
        self.labels = torch.randperm(len(classes) * per_class, generator=generator) % len(classes)
        centers = CENTERS[[(SEEN + NEW).index(name) for name in classes]]
        noise = torch.randn(len(self.labels), 12, generator=generator)
        self.features = centers[self.labels] + spread * noise

    @property
    def num_drawings(self) -> int:
        return len(self.labels)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        columns = self.features, self.labels, torch.arange(len(self.labels))
        yield from islice(map(Batch, *(column.split(self.batch_size) for column in columns)), first, None)


def letters(texts: list[str]) -> Tensor:
    return torch.tensor([[text.count(letter) + 0.1 for letter in "0123456789ens"][:12] for text in texts])


def ask(
    methods: dict,
    loader: Features,
    *,
    learn: Features | None = None,
    shots: tuple[int, ...] = (1, 5),
    tries: int = 3,
    seed: int = 0,
    **given,
) -> Evaluation:
    backbone = SimpleNamespace(num_features=12, encode_text=letters)
    task = Task(
        model=SimpleNamespace(backbone=backbone),
        encode=None,
        loader=loader,
        precision=Precision("fp32", torch.device("cpu")),
        classes=SEEN,
        seen=None if learn is None else lambda: learn,
        **given,
    )
    return FewShot(methods, shots, tries, seed)(task)


def without_time(found: Evaluation) -> dict[str, float]:
    return {name: value for name, value in found.metrics.items() if name != "images_per_second"}


@pytest.mark.parametrize(("methods", "names"), [(KNN, ["knn"]), (PROTOTYPES, ["whitened", "prototype"])])
def test_results_on_new_classes_are_named_by_method_and_shots(methods, names):
    found = ask(methods, Features(NEW), learn=Features(SEEN, seed=1))
    values = [f"{name}_{shots}shot_{value}" for name in names for shots in (1, 5) for value in ("top1", "stderr")]
    assert list(found.metrics) == [*values, "chance", "images_per_second"]
    assert found.metrics["chance"] == 0.2
    assert found.metrics["images_per_second"] > 0
    assert found.protocol == names[0]


def test_results_on_new_classes_are_those_over_random_support_sets():
    loader = Features(NEW)
    found = ask(PROTOTYPES | KNN, loader)
    votes = partial(neighbors, k=5, temperature=0.07)
    for name, scorer in (("prototype", prototypes), ("knn", votes)):
        for shots in (1, 5):
            mean, error = over_tries(unit_length(loader.features), loader.labels, scorer, shots=shots, tries=3, seed=0)
            assert found.metrics[f"{name}_{shots}shot_top1"] == mean
            assert found.metrics[f"{name}_{shots}shot_stderr"] == error
    assert not [name for name in found.metrics if "whitened" in name]  # nothing seen is there


def test_whitened_prototypes_beat_plain_ones_where_drawings_of_a_class_spread_alike():
    skew = torch.diag(torch.linspace(0.3, 4, 12))
    loader, learn = Features(NEW, spread=1.0), Features(SEEN, per_class=100, seed=1, spread=1.0)
    for features in (loader, learn):
        centers = CENTERS[[(SEEN + NEW).index(features.classes[label]) for label in features.labels]]
        features.features = centers + (features.features - centers) @ skew
    found = ask(PROTOTYPES, loader, learn=learn, tries=5).metrics
    assert found["whitened_5shot_top1"] > found["prototype_5shot_top1"] + 0.05


def test_the_pictures_show_the_first_method_with_most_shots_in_the_first_try():
    loader = Features(NEW)
    strokes = np.arange(100, dtype=np.uint16) % 3 + 1
    found = ask(PROTOTYPES, loader, complexity=Complexity(strokes, strokes))
    support = next(support_sets(loader.labels, 5, 1, 0)).flatten()
    assert set(found.positions.tolist()) == set(range(100)) - set(support.tolist())
    chosen = unit_length(loader.features)
    scores = prototypes(chosen, chosen[support], loader.labels[support], 5)[found.positions]
    assert (found.predictions.predicted == scores.argmax(dim=1).numpy()).all()
    assert (found.predictions.labels == loader.labels.numpy()[found.positions]).all()
    assert (found.predictions.key_ids == found.positions).all()
    assert (found.predictions.strokes == strokes[found.positions]).all()
    assert found.confusion.sum() == 75
    assert found.reliability is None  # scores are no logits
    assert found.prototypes.shape == (5, 12)


def test_on_classes_trained_on_neighbors_are_looked_for_among_drawings_to_learn_from():
    loader, learn = Features(SEEN), Features(SEEN, seed=1)
    found = ask(KNN, loader, learn=learn)
    reference = KNeighborsClassifier(
        n_neighbors=5,
        metric="cosine",
        weights=lambda distances: np.exp((1 - distances) / 0.07),
    ).fit(learn.features.numpy(), learn.labels.numpy())
    answers = reference.predict(loader.features.numpy())
    assert found.metrics["knn_top1"] == pytest.approx(accuracy_score(loader.labels, answers))
    assert found.metrics["knn_mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(loader.labels, answers))
    assert found.metrics["knn_macro_f1"] == pytest.approx(f1_score(loader.labels, answers, average="macro"))
    assert found.metrics["knn_top1_low"] < found.metrics["knn_top1"] < found.metrics["knn_top1_high"]
    assert not [name for name in found.metrics if "loss" in name or "ece" in name or "shot" in name]
    assert found.positions.tolist() == list(range(160))


def test_on_classes_trained_on_prototypes_are_means_of_drawings_to_learn_from():
    loader, learn = Features(SEEN), Features(SEEN, seed=1)
    scores = prototypes(unit_length(loader.features), unit_length(learn.features), learn.labels, 8)
    found = ask(PROTOTYPES, loader, learn=learn)
    assert found.metrics["prototype_top1"] == pytest.approx(accuracy_score(loader.labels, scores.argmax(dim=1)))
    assert found.protocol == "whitened"


def test_tip_adapter_asks_prompts_too():
    found = ask({"tip": TipAdapter(alpha=1.0, beta=5.5, prompts="plain")}, Features(NEW))
    assert list(found.metrics)[:2] == ["tip_1shot_top1", "tip_1shot_stderr"]
    only_prompts = ask({"tip": TipAdapter(alpha=0.0, beta=5.5, prompts="plain")}, Features(NEW))
    assert found.metrics["tip_5shot_top1"] > only_prompts.metrics["tip_5shot_top1"]


KINDS = [f"{kind}_{name}" for kind in ("1shot", "1shot_calibrated") for name in ("seen", "unseen", "harmonic")]


def test_both_kinds_of_classes_give_seen_unseen_and_harmonic_accuracy_without_and_with_an_offset():
    found = ask(PROTOTYPES, Features(SEEN + NEW), learn=Features(SEEN, seed=1), shots=(1,))
    expected = [f"{name}_{kind}" for name in ("whitened", "prototype") for kind in KINDS]
    errors = [f"{name}_stderr" for name in expected if name.endswith("harmonic")]
    assert found.metrics.keys() == {*expected, *errors, "chance", "images_per_second"}
    assert found.metrics["chance"] == pytest.approx(1 / 13)
    assert found.stacking is not None
    for kind in ("whitened_1shot", "prototype_1shot"):
        assert found.metrics[f"{kind}_calibrated_harmonic"] > found.metrics[f"{kind}_harmonic"] - 0.02


def test_both_kinds_by_prototypes_equal_a_naive_reading():
    loader, learn = Features(SEEN + NEW), Features(SEEN, seed=1)
    found = ask({"prototype": Prototypes(whiten=False, shrinkage=0.3)}, loader, learn=learn, shots=(2,))
    features, known = unit_length(loader.features).double().numpy(), unit_length(learn.features).double().numpy()
    labels = loader.labels.numpy()
    new = np.flatnonzero(labels >= 8)
    seen, unseen = [], []
    for support in support_sets(torch.from_numpy(labels[new] - 8), 2, 3, 0):
        chosen = new[support.numpy()]
        means = [known[learn.labels.numpy() == c].mean(axis=0) for c in range(8)]
        means += [features[row].mean(axis=0) for row in chosen]
        answers = np.array([np.argmax([x @ mean / np.linalg.norm(mean) for mean in means]) for x in features])
        asked = np.setdiff1d(np.arange(len(labels)), chosen)
        recalls = [(answers[asked] == c)[labels[asked] == c].mean() for c in range(13)]
        seen.append(np.mean(recalls[:8]))
        unseen.append(np.mean(recalls[8:]))
    assert found.metrics["prototype_2shot_seen"] == pytest.approx(np.mean(seen))
    assert found.metrics["prototype_2shot_unseen"] == pytest.approx(np.mean(unseen))
    harmonic = harmonic_mean(np.array(seen), np.array(unseen))
    assert found.metrics["prototype_2shot_harmonic"] == pytest.approx(harmonic.mean())
    assert found.metrics["prototype_2shot_harmonic_stderr"] == pytest.approx(harmonic.std(ddof=1) / np.sqrt(3))


def test_the_offset_is_chosen_without_the_drawings_asked_about():
    learn = Features(SEEN, seed=1)
    found = ask(PROTOTYPES, Features(SEEN + NEW), learn=learn)
    others = ask(PROTOTYPES, Features(SEEN + NEW, per_class=9, seed=5, spread=0.3), learn=learn)
    assert found.stacking.chosen == others.stacking.chosen
    assert found.metrics != others.metrics
    elsewhere = ask(PROTOTYPES, Features(SEEN + NEW), learn=Features(SEEN, seed=2))
    assert found.stacking.chosen != elsewhere.stacking.chosen


def test_the_pictures_of_both_kinds_are_of_calibrated_answers():
    found = ask(KNN, Features(SEEN + NEW), learn=Features(SEEN, seed=1), shots=(1,), tries=2)
    assert found.stacking.chosen > 0  # of one drawing votes are few
    unseen = found.predictions.labels >= 8
    shown = [
        np.mean([found.predictions.right[found.predictions.labels == c].mean() for c in range(13) if (c >= 8) == kind])
        for kind in (False, True)
    ]
    curve = found.stacking
    assert shown[0] == pytest.approx(np.interp(curve.chosen, curve.offsets, curve.seen), abs=0.03)
    assert shown[1] == pytest.approx(np.interp(curve.chosen, curve.offsets, curve.unseen), abs=0.03)
    assert unseen.sum() == 5 * 19


class Watched:
    """A method that notes which drawings are known and which are asked about, told by their first feature."""

    needs_seen = False

    def __init__(self) -> None:
        self.overlaps: list[set[float]] = []

    def fits(self, task: Task) -> dict[str, Callable]:
        def scorer(queries: Tensor, support: Tensor, labels: Tensor, num_classes: int) -> Tensor:
            self.overlaps.append(set(queries[:, 0].tolist()) & set(support[:, 0].tolist()))
            return prototypes(queries, support, labels, num_classes)

        return {"watched": lambda features, labels: Comparison(unit_length, scorer)}


def test_drawings_to_learn_from_are_never_asked_about_on_classes_trained_on():
    watched = Watched()
    ask({"watched": watched}, Features(SEEN), learn=Features(SEEN, seed=1))
    assert watched.overlaps == [set()]


def test_support_of_new_classes_beside_seen_ones_is_never_a_query():
    # Each drawing of a new class resembles none but itself, so that only a support drawing would be recognized.
    loader, learn = Features(SEEN + NEW, per_class=8), Features(SEEN, per_class=8, seed=1)
    loader.features, learn.features = torch.eye(104), torch.eye(104)[: len(learn.labels)]
    found = ask({"watched": Watched()}, loader, learn=learn, shots=(2,))
    assert found.metrics["watched_2shot_unseen"] <= 1 / 5
    assert (np.bincount(found.predictions.labels)[8:] == 6).all()


def test_a_limit_asks_about_the_first_batches_only():
    found = ask(KNN, Features(SEEN), learn=Features(SEEN, seed=1), limit_batches=2)
    assert len(found.predictions) == 32


@pytest.mark.parametrize("classes", [SEEN, SEEN + NEW])
def test_classes_trained_on_need_drawings_to_learn_from(classes):
    with pytest.raises(ValueError, match="set data.root to shards with a split train, or use protocol=classifier$"):
        ask(KNN, Features(classes))


@pytest.mark.parametrize("classes", [NEW, SEEN + NEW])
def test_a_new_class_of_too_few_drawings_is_named_before_anything_is_computed(classes, monkeypatch):
    for unread in ("query_features", "seen_features"):
        monkeypatch.delattr(Task, unread)
    labels = np.repeat(np.arange(len(classes)), 6)[:-1]
    with pytest.raises(ValueError, match=r"^class 'new 4' has 5 drawings, but 5-shot needs at least 6: "):
        ask(KNN, Features(classes), learn=Features(SEEN), labels=labels)


@pytest.mark.parametrize(("shots", "tries"), [([], 3), ([1, 5], 1), ([1], 0)])
def test_no_shots_and_too_few_tries_for_a_standard_error_are_refused(shots, tries):
    with pytest.raises(ValueError, match=r"at least one number of shots, and for a standard error .* at least 2 tries"):
        FewShot(KNN, shots, tries, seed=0)


def test_non_finite_features_are_refused():
    loader = Features(NEW)
    loader.features[3, 3] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinity: check the encoder's weights or use precision=fp32$"):
        ask(KNN, loader)


def test_the_same_seed_gives_the_same_numbers():
    first, again, other = (ask(KNN, Features(NEW), seed=seed) for seed in (0, 0, 1))
    assert without_time(first) == without_time(again) != without_time(other)
