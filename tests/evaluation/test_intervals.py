"""Intervals against scipy's bootstrap, drawing by drawing, and McNemar's test against its definition."""

from math import comb

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from sklearn.metrics import f1_score, recall_score

from deepdraw.evaluation.intervals import intervals
from deepdraw.evaluation.metrics import Counts
from deepdraw.evaluation.scores import Scores, true_ranks
from deepdraw.evaluation.significance import mcnemar

torch.set_num_threads(1)
NAMES = ("top1", "top5", "top10", "map3", "mean_class_accuracy", "macro_f1")


def random_split(num_drawings: int, num_classes: int) -> tuple[Counts, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(num_classes, (num_drawings,), generator=generator) ** 2 % num_classes  # uneven classes
    logits = torch.randn(num_drawings, num_classes, generator=generator)
    logits[torch.arange(num_drawings), labels] += 1.5
    return count(logits, labels), logits, labels


def count(logits: torch.Tensor, labels: torch.Tensor) -> Counts:
    scores = Scores(list(map(str, range(logits.shape[1]))))
    scores.add(logits, labels, labels)
    return Counts.of(scores.predictions())


def test_the_number_itself_lies_in_its_interval():
    counts, _, _ = random_split(2000, 30)
    values, bounds = counts.accuracies(), intervals(counts, resamples=300)
    assert list(bounds) == [f"{name}_{end}" for name in NAMES for end in ("low", "high")]
    for name in NAMES:
        assert bounds[f"{name}_low"] < values[name] < bounds[f"{name}_high"]


def test_resampling_counts_is_resampling_drawings():
    counts, logits, labels = random_split(400, 6)
    bounds = intervals(counts, resamples=20_000)
    ranks, predicted, labels = true_ranks(logits, labels).numpy(), logits.argmax(dim=1).numpy(), labels.numpy()
    statistics = {
        "top1": lambda rows: np.mean(ranks[rows] == 0),
        "top5": lambda rows: np.mean(ranks[rows] < 5),
        "map3": lambda rows: np.mean(np.array([1, 1 / 2, 1 / 3, 0, 0, 0])[ranks[rows]]),
        "mean_class_accuracy": lambda rows: recall_score(
            labels[rows], predicted[rows], labels=np.unique(labels[rows]), average="macro"
        ),
        "macro_f1": lambda rows: f1_score(labels[rows], predicted[rows], average="macro", zero_division=0),
    }
    for name, statistic in statistics.items():
        drawn = bootstrap(
            (np.arange(400),), statistic, vectorized=False, method="percentile", n_resamples=800, random_state=1
        )
        low, high = drawn.confidence_interval
        # Three times the spread of such a quantile over 800 resamples, and one drawing at the least.
        tolerance = max(0.3 * drawn.standard_error, 1.01 / 400)
        assert bounds[f"{name}_low"] == pytest.approx(low, abs=tolerance)
        assert bounds[f"{name}_high"] == pytest.approx(high, abs=tolerance)


def test_the_same_seed_gives_the_same_intervals():
    counts, _, _ = random_split(200, 5)
    assert intervals(counts, 50, seed=3) == intervals(counts, 50, seed=3) != intervals(counts, 50, seed=4)


def test_a_classifier_never_wrong_has_an_interval_of_a_point():
    assert set(intervals(count(torch.eye(4), torch.arange(4)), 100).values()) == {1.0}


def test_mcnemar_is_the_chance_of_a_split_as_uneven():
    first = np.array([True] * 9 + [False] * 2 + [True] * 30)
    second = np.array([False] * 9 + [True] * 2 + [True] * 30)
    as_uneven = [k for k in range(12) if abs(k - 5.5) >= 3.5]
    assert mcnemar(first, second) == pytest.approx(sum(comb(11, k) for k in as_uneven) / 2**11)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_models_that_agree_do_not_differ():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == 1.0


def test_drawings_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="3 and 2 drawings cannot be paired: evaluate both models on one split"):
        mcnemar(np.ones(3, bool), np.ones(2, bool))
