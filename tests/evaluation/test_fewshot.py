"""Scores from few labeled drawings against a naive reading of their definitions; support kept apart from queries."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from deepdraw.fewshot.scorers import (
    is_query,
    neighbors,
    over_tries,
    prototypes,
    score_queries,
    support_sets,
    tip_adapter,
)

NEIGHBORS = partial(neighbors, k=20, temperature=0.07)


def clusters(spread: float, num_classes: int = 6, per_class: int = 12, dim: int = 16):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_classes).repeat(per_class)
    centers = torch.randn(num_classes, dim, generator=generator)
    features = centers[labels] + spread * torch.randn(len(labels), dim, generator=generator)
    return F.normalize(features, dim=1), labels


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def by_prototype(query, support: dict[int, list[np.ndarray]]) -> int:
    means = {c: np.mean([x / np.linalg.norm(x) for x in drawings], axis=0) for c, drawings in support.items()}
    return max(means, key=lambda c: cosine(query, means[c]))


def by_vote(query, support: dict[int, list[np.ndarray]], k: int, temperature: float) -> int:
    neighbors = sorted(((cosine(query, x), c) for c, xs in support.items() for x in xs), reverse=True)[:k]
    votes = dict.fromkeys(support, 0.0)
    for similarity, c in neighbors:
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
    assert over_tries(features, labels, prototypes, shots=shots, tries=3, seed=0) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 5, 100])
def test_knn_equals_a_naive_reference(k):
    features, labels = clusters(spread=1.5)
    expected = naive_accuracy(features, labels, 4, 3, 0, lambda x, support: by_vote(x, support, k, 0.07))
    scorer = partial(neighbors, k=k, temperature=0.07)
    assert over_tries(features, labels, scorer, shots=4, tries=3, seed=0) == pytest.approx(expected)


def test_votes_are_shares_of_the_nearest_alone():
    queries, _ = clusters(spread=1.5, per_class=400)  # more than are compared at once
    support, labels = clusters(spread=1.0)
    votes = neighbors(queries, support, labels, 7, k=5, temperature=0.1)
    assert torch.allclose(votes.sum(dim=1), torch.ones(len(queries)))
    assert (votes[:, 6] == 0).all()  # a class without a drawing
    expected = np.zeros((len(queries), 7))
    for i, cosines in enumerate((queries @ support.T).double().numpy()):
        nearest = np.argsort(-cosines)[:5]
        weights = np.exp(cosines[nearest] / 0.1)
        np.add.at(expected[i], labels.numpy()[nearest], weights / weights.sum())
    np.testing.assert_allclose(votes.numpy(), expected, atol=1e-5)


def test_tip_adapter_equals_the_formula_of_its_paper():
    queries, labels = clusters(spread=1.5)
    support, text = queries[::4], F.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    logits = tip_adapter(queries, support, labels[::4], 6, text=text, alpha=1.3, beta=5.5)
    for i, query in enumerate(queries.double().numpy()):
        expected = [100 * query @ words for words in text.double().numpy()]
        for cached, label in zip(support.double().numpy(), labels[::4].tolist(), strict=True):
            expected[label] += 1.3 * math.exp(-5.5 * (1 - query @ cached))
        np.testing.assert_allclose(logits[i].numpy(), expected, rtol=1e-4, atol=1e-4)


@given(
    counts=st.lists(st.integers(4, 9), min_size=1, max_size=6),
    shots=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_support_holds_shots_distinct_drawings_of_each_class_and_all_others_are_asked(counts, shots, seed, order):
    labels = [c for c, count in enumerate(counts) for _ in range(count)]
    order.shuffle(labels)
    labels = torch.tensor(labels)
    for support in support_sets(labels, shots, 2, seed):
        assert support.shape == (len(counts), shots)
        assert support.unique().numel() == support.numel()
        assert (labels[support] == torch.arange(len(counts))[:, None]).all()
        asked = set(is_query(labels, support).nonzero().flatten().tolist())
        assert asked == set(range(len(labels))) - set(support.flatten().tolist())


@pytest.mark.parametrize("scorer", [prototypes, NEIGHBORS])
@given(per_class=st.integers(5, 9), shots=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_support_is_never_a_query(scorer, per_class, shots, seed):
    # Each drawing resembles none but itself, so that only a support drawing among the queries beats chance.
    labels = torch.arange(5).repeat(per_class)
    found = over_tries(torch.eye(len(labels)), labels, scorer, shots=shots, tries=2, seed=seed)
    assert found == pytest.approx((1 / 5, 0))


def test_the_scorer_sees_only_the_support():
    features, labels = clusters(spread=1.0)
    support = next(support_sets(labels, 2, 1, 0))
    expected = prototypes(features, features[support.flatten()], labels[support.flatten()], 6)
    assert torch.equal(score_queries(features, labels, support, prototypes), expected)


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


@pytest.mark.parametrize("scorer", [prototypes, NEIGHBORS])
def test_separate_clusters_are_told_apart_from_one_drawing(scorer):
    assert over_tries(*clusters(spread=0.01), scorer, shots=1, tries=3, seed=0) == (1.0, 0.0)


@pytest.mark.parametrize("scorer", [prototypes, NEIGHBORS])
def test_noise_is_told_apart_by_chance(scorer):
    features = F.normalize(torch.randn(2000, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    mean, error = over_tries(features, torch.arange(2000) % 10, scorer, shots=5, tries=5, seed=0)
    assert 0.07 < mean < 0.13
    assert 0 < error < 0.02


def test_with_one_shot_the_nearest_neighbor_is_the_nearest_prototype():
    clustered = clusters(spread=1.5)
    by_neighbor, by_mean = (
        over_tries(*clustered, scorer, shots=1, tries=3, seed=0) for scorer in (NEIGHBORS, prototypes)
    )
    assert by_neighbor == pytest.approx(by_mean)


def test_a_class_without_a_query_is_named():
    features, labels = clusters(spread=1.0, num_classes=4)
    few = torch.cat([labels[labels < 3], labels[labels == 3][:5]])
    with pytest.raises(ValueError, match="class 3 has 5 drawings, but 5-shot needs at least 6"):
        over_tries(features[:-7], few, prototypes, shots=5, tries=2, seed=0)


def test_no_shot_is_refused():
    with pytest.raises(ValueError, match="^protocol.shots=0 must be at least 1 labeled drawing of each class$"):
        over_tries(*clusters(spread=1.0), prototypes, shots=0, tries=2, seed=0)


def test_one_try_has_no_standard_error():
    with pytest.raises(ValueError, match="at least 2 tries"):
        over_tries(*clusters(spread=1.0), prototypes, shots=1, tries=1, seed=0)
