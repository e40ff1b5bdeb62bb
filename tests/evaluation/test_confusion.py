"""Confusions: what is taken for what, and in which order."""

import numpy as np
import pytest

from deepdraw.report.confusion import class_accuracies, matrix, similar_side_by_side, worst_pairs


def test_classes_that_are_confused_stand_side_by_side():
    shuffled = np.random.default_rng(0).permutation(60)
    families = shuffled // 4
    confusion = 50 * np.eye(60, dtype=np.int64) + 8 * (families[:, None] == families)
    order = similar_side_by_side(confusion)
    assert sorted(order) == list(range(60))
    assert np.count_nonzero(np.diff(families[order])) == 60 // 4 - 1


def test_the_most_frequent_mistake_is_named_with_its_counts():
    confusion = np.array([[8, 2, 0], [5, 5, 0], [0, 1, 9]])
    assert "dog is read as cat: 5 of 10" in worst_pairs(confusion, ["cat", "dog", "fish"]).description


def test_without_mistakes_there_are_no_pairs():
    assert worst_pairs(np.eye(3, dtype=np.int64), ["cat", "dog", "fish"]) is None


def test_classes_without_drawings_have_no_accuracy():
    confusion = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]])
    about = class_accuracies(confusion, ["cat", "dog", "fish"]).description
    assert "each of 2 classes, 87.5 %" in about
    assert "dog" not in about


def test_one_two_and_many_classes_are_drawn():
    for num_classes in (1, 46):
        names = [f"${k}" for k in range(num_classes)]
        confusion = np.random.default_rng(0).integers(0, 9, (num_classes, num_classes))
        for plot in (matrix, class_accuracies):
            assert plot(confusion, names).image.width > 300


@pytest.mark.parametrize(
    "num_right, told", [(0, "worst: cat, dog, fish; best"), (2, "worst: fish; best"), (3, "; best: ")]
)
def test_no_class_that_is_right_throughout_is_among_the_worst(num_right, told):
    confusion = np.eye(3, dtype=np.int64) * 5
    for i in range(num_right, 3):
        confusion[i] = np.roll(confusion[i], 1)
    about = class_accuracies(confusion, ["cat", "dog", "fish"]).description
    assert told in about
    assert ("worst" in about) == (num_right < 3)
