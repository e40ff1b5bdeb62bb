"""Seen and unseen classes together: accuracies at every offset by a naive loop, and an offset that no query chose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from deepdraw.evaluation.fewshot.generalized import by_kind, generalized_metrics, stacking
from deepdraw.fewshot import Comparison, choose_offset, harmonic_mean, margins, unit_length, without_learning
from deepdraw.fewshot.scorers import prototypes


def naive_accuracies(scores: np.ndarray, labels: np.ndarray, num_seen: int, offset: float) -> tuple[float, float]:
    """Mean per-class accuracy of seen and of unseen classes, by an argmax for each drawing."""
    right: dict[int, list[bool]] = {}
    for row, label in zip(scores, labels.tolist(), strict=True):
        raised = [score + offset * (c >= num_seen) for c, score in enumerate(row)]
        right.setdefault(label, []).append(raised.index(max(raised)) == label)
    seen, unseen = ([np.mean(found) for c, found in right.items() if (c >= num_seen) == kind] for kind in (False, True))
    return float(np.mean(seen)), float(np.mean(unseen))


@given(
    num_seen=st.integers(1, 4),
    num_unseen=st.integers(1, 4),
    number=st.integers(2, 30),
    seed=st.integers(0, 2**32 - 1),
    offsets=st.lists(st.integers(-6, 6), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_accuracies_at_offsets_are_those_of_an_argmax_for_each_drawing(num_seen, num_unseen, number, seed, offsets):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (number, num_seen + num_unseen)).astype(float)  # with many ties
    labels = rng.integers(0, num_seen + num_unseen, number)
    labels[:2] = 0, num_seen  # of either kind there is one
    found = margins(torch.from_numpy(scores), torch.from_numpy(labels), num_seen)
    seen, unseen = found.accuracies(np.array(offsets, float))
    expected = [naive_accuracies(scores, labels, num_seen, offset) for offset in offsets]
    np.testing.assert_allclose(np.stack([seen, unseen], axis=1), expected)


def clusters(num_classes: int = 10, per_class: int = 40, spread: float = 0.8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_classes).repeat(per_class)
    centers = torch.randn(num_classes, 16, generator=generator)
    return centers[labels] + spread * torch.randn(len(labels), 16, generator=generator), labels


def test_the_curve_runs_from_all_seen_to_all_unseen():
    scores, labels = clusters(spread=1.5)
    curve = stacking(margins(scores[:, :10], labels, 6), chosen=0.25)
    assert curve.chosen == 0.25
    assert (np.diff(curve.offsets) >= 0).all()
    assert (np.diff(curve.seen) <= 0).all()
    assert (np.diff(curve.unseen) >= 0).all()
    assert curve.unseen[0] == 0
    assert curve.seen[-1] == pytest.approx(0, abs=1 / 240)  # but for the one drawing that is furthest to that side
    at_0 = naive_accuracies(scores[:, :10].numpy(), labels.numpy(), 6, 0.0)
    assert (np.interp(0, curve.offsets, curve.seen), np.interp(0, curve.offsets, curve.unseen)) == pytest.approx(
        at_0, abs=0.02
    )


def test_harmonic_means_of_a_curve_are_those_of_its_points():
    scores, labels = clusters(spread=1.5)
    curve = stacking(margins(scores[:, :10], labels, 6), chosen=0.0)
    for seen, unseen, harmonic in zip(curve.seen, curve.unseen, curve.harmonic_means, strict=True):
        assert harmonic == pytest.approx(2 / (1 / seen + 1 / unseen) if seen and unseen else 0)


def test_a_harmonic_mean_with_0_is_0():
    seen, unseen = np.array([0.0, 0.0, 0.5, 0.2]), np.array([0.0, 0.7, 0.5, 0.6])
    assert harmonic_mean(seen, unseen).tolist() == pytest.approx([0, 0, 0.5, 0.3])


def test_metrics_are_means_over_tries_each_with_its_own_harmonic_mean():
    accuracies = np.array([[[0.8, 0.6], [0.2, 0.5]], [[0.6, 0.4], [0.4, 0.7]]])
    metrics = generalized_metrics("knn_1shot", accuracies)
    plain, calibrated = [0.32, 0.48], [6 / 11, 5.6 / 11]
    assert metrics == pytest.approx(
        {
            "knn_1shot_seen": 0.7,
            "knn_1shot_unseen": 0.3,
            "knn_1shot_harmonic": np.mean(plain),
            "knn_1shot_harmonic_stderr": np.std(plain, ddof=1) / np.sqrt(2),
            "knn_1shot_calibrated_seen": 0.5,
            "knn_1shot_calibrated_unseen": 0.6,
            "knn_1shot_calibrated_harmonic": np.mean(calibrated),
            "knn_1shot_calibrated_harmonic_stderr": np.std(calibrated, ddof=1) / np.sqrt(2),
        }
    )


def test_kinds_of_a_confusion_matrix_are_means_over_their_classes_that_were_asked_about():
    confusion = np.array([[8, 2, 0, 0], [0, 0, 0, 0], [1, 0, 3, 0], [0, 0, 5, 5]])
    found = by_kind(confusion, num_seen=2)
    assert found == pytest.approx({"seen": 0.8, "unseen": 0.625, "harmonic": 2 * 0.8 * 0.625 / 1.425})


def test_the_offset_raises_classes_of_few_drawings_to_those_of_many():
    # a mean of one drawing is further from others of its class than a mean of twenty
    one, ten = (choose_offset(*clusters(), without_learning(prototypes), shots=shots, seed=0) for shots in (1, 10))
    assert one > ten
    assert one > 0.05


def test_the_offset_is_chosen_alike_for_one_seed():
    first, again = (choose_offset(*clusters(), without_learning(prototypes), shots=1, seed=3) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("num_classes", "folds"), [(3, 3), (12, 5)])
def test_each_class_is_held_back_once_and_what_is_asked_was_neither_learned_from_nor_known(num_classes, folds):
    features = F.normalize(torch.randn(num_classes * 10, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(num_classes).repeat(10)
    number_of = {tuple(row.tolist()): number for number, row in enumerate(features)}
    learned_from: list[set[int]] = []
    held_back: list[set[int]] = []

    def numbers(rows: Tensor) -> set[int]:
        return {number_of[tuple(row.tolist())] for row in rows}

    def fit(learned: Tensor, mapped: Tensor) -> Comparison:
        learned_from.append(numbers(learned))
        assert sorted(set(mapped.tolist())) == list(range(int(mapped.max()) + 1))

        def scorer(queries: Tensor, support: Tensor, of: Tensor, count: int) -> Tensor:
            assert not numbers(queries) & numbers(support)
            assert learned_from[-1] < numbers(support)
            extra = numbers(support) - learned_from[-1]
            classes = {number % num_classes for number in extra}
            assert len(extra) == 2 * len(classes)
            assert not classes & {number % num_classes for number in learned_from[-1]}
            held_back.append(classes)
            return prototypes(queries, support, of, count)

        return Comparison(lambda every: every, scorer)

    choose_offset(features, labels, fit, shots=2, seed=0)
    assert len(held_back) == folds
    assert sorted(c for classes in held_back for c in classes) == list(range(num_classes))


def test_calibration_brings_the_harmonic_mean_up():
    features, labels = clusters(num_classes=20)
    seen, unseen = labels < 15, labels >= 15
    offset = choose_offset(features[seen], labels[seen], without_learning(prototypes), shots=1, seed=0)
    learned = seen & (torch.arange(len(labels)) < 400)
    known = learned | (unseen & (torch.arange(len(labels)) < 20))
    scores = prototypes(unit_length(features[~known]), unit_length(features[known]), labels[known], 20)
    accuracies = margins(scores, labels[~known], 15).accuracies(np.array([0.0, offset]))
    before, after = harmonic_mean(*accuracies)
    assert after > before + 0.02
