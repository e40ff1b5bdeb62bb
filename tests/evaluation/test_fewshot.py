"""Few-shot accuracies against a naive reading of their definitions; support kept apart from queries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.evaluation.fewshot import few_shot, knn_accuracy, prototype_accuracy, support_sets

torch.set_num_threads(1)


def clusters(spread: float, num_classes: int = 6, per_class: int = 12, dim: int = 16):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_classes).repeat(per_class)
    centres = torch.randn(num_classes, dim, generator=generator)
    return centres[labels] + spread * torch.randn(len(labels), dim, generator=generator), labels


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def by_prototype(query, support: dict[int, list[np.ndarray]]) -> int:
    means = {c: np.mean([x / np.linalg.norm(x) for x in drawings], axis=0) for c, drawings in support.items()}
    return max(means, key=lambda c: cosine(query, means[c]))


def by_vote(query, support: dict[int, list[np.ndarray]], k: int, temperature: float) -> int:
    neighbours = sorted(((cosine(query, x), c) for c, xs in support.items() for x in xs), reverse=True)[:k]
    votes = dict.fromkeys(support, 0.0)
    for similarity, c in neighbours:
        votes[c] += math.exp(similarity / temperature)
    return max(votes, key=lambda c: votes[c])


def naive_accuracy(features, labels, shots, tries, seed, predict) -> tuple[float, float]:
    features, accuracies = features.double().numpy(), []
    for indices in support_sets(labels, shots, tries, seed):
        support = {c: [features[i] for i in row] for c, row in enumerate(indices.tolist())}
        queries = sorted(set(range(len(labels))) - set(indices.flatten().tolist()))
        accuracies.append(np.mean([predict(features[i], support) == labels[i].item() for i in queries]))
    return np.mean(accuracies), np.std(accuracies, ddof=1) / math.sqrt(tries)


@pytest.mark.parametrize("shots", [1, 3])
def test_prototypes_equal_a_naive_reference(shots):
    features, labels = clusters(spread=1.5)
    expected = naive_accuracy(features, labels, shots, 3, 0, by_prototype)
    assert prototype_accuracy(features, labels, shots, 3, 0) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_knn_equals_a_naive_reference(k):
    features, labels = clusters(spread=1.5)
    expected = naive_accuracy(features, labels, 4, 3, 0, lambda x, support: by_vote(x, support, k, 0.07))
    assert knn_accuracy(features, labels, 4, 3, 0, k=k, temperature=0.07) == pytest.approx(expected)


@given(
    counts=st.lists(st.integers(4, 9), min_size=1, max_size=6),
    shots=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_support_holds_shots_distinct_drawings_of_each_class(counts, shots, seed, order):
    labels = [c for c, count in enumerate(counts) for _ in range(count)]
    order.shuffle(labels)
    labels = torch.tensor(labels)
    for support in support_sets(labels, shots, 2, seed):
        assert support.shape == (len(counts), shots)
        assert support.unique().numel() == support.numel()
        assert (labels[support] == torch.arange(len(counts))[:, None]).all()


@pytest.mark.parametrize("accuracy", [prototype_accuracy, knn_accuracy])
@given(per_class=st.integers(5, 9), shots=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_support_is_never_a_query(accuracy, per_class, shots, seed):
    # Each drawing resembles none but itself, so that only a support drawing among the queries beats chance.
    labels = torch.arange(5).repeat(per_class)
    mean, standard_error = accuracy(torch.eye(len(labels)), labels, shots, 2, seed)
    assert (mean, standard_error) == pytest.approx((1 / 5, 0))


def test_fewer_shots_are_the_first_of_more():
    labels = torch.arange(4).repeat(8)
    for one, five in zip(support_sets(labels, 1, 3, 7), support_sets(labels, 5, 3, 7), strict=True):
        assert torch.equal(one, five[:, :1])


def test_tries_differ_and_the_seed_repeats_them():
    labels = torch.arange(4).repeat(8)
    first, again, other = (torch.stack(list(support_sets(labels, 3, 4, seed))) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_separate_clusters_are_told_apart_from_one_drawing():
    results = few_shot(*clusters(spread=0.01))
    assert all(value == 1.0 for name, value in results.items() if name.endswith("top1"))
    assert all(value == 0.0 for name, value in results.items() if name.endswith("stderr"))


def test_noise_is_told_apart_by_chance():
    features = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    results = few_shot(features, torch.arange(2000) % 10, tries=5)
    assert all(0.07 < value < 0.13 for name, value in results.items() if name.endswith("top1"))


def test_results_are_named_by_method_and_shots():
    assert list(few_shot(*clusters(spread=1.0), shots=(1, 5), tries=2)) == [
        f"{method}_{shots}shot_{value}"
        for method in ("prototype", "knn")
        for shots in (1, 5)
        for value in ("top1", "stderr")
    ]


def test_with_one_shot_the_nearest_neighbour_is_the_nearest_prototype():
    results = few_shot(*clusters(spread=1.5), shots=(1,))
    assert results["knn_1shot_top1"] == pytest.approx(results["prototype_1shot_top1"])


def test_the_length_of_a_feature_does_not_matter():
    features, labels = clusters(spread=1.5)
    stretched = features * torch.linspace(0.1, 10, len(features))[:, None]
    assert few_shot(stretched, labels) == pytest.approx(few_shot(features, labels))


def test_a_class_without_a_query_is_named():
    features, labels = clusters(spread=1.0, num_classes=4)
    with pytest.raises(ValueError, match="class 3 has 5 drawings, but 5-shot needs at least 6"):
        few_shot(features[:-7], torch.cat([labels[labels < 3], labels[labels == 3][:5]]), shots=(5,))


def test_non_finite_features_are_refused():
    features, labels = clusters(spread=1.0)
    features[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinity"):
        few_shot(features, labels)


def test_one_try_has_no_standard_error():
    with pytest.raises(ValueError, match="at least 2 tries"):
        few_shot(*clusters(spread=1.0), tries=1)
