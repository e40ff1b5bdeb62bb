"""Whitening against its definition, and its likelihoods against those of a joint Gaussian written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import shrunk_covariance
from torch import Tensor

from deepdraw.fewshot import unit_length
from deepdraw.fewshot.scorers import over_tries, prototypes
from deepdraw.fewshot.whitening import Whitening, class_means, fit_whitening, tempered

SPREADS = torch.linspace(0.2, 3.0, 12)  # within a class, in each direction


def drawings(
    num_classes: int, per_class: int = 100, seed: int = 0, apart: float | Tensor = 0.7
) -> tuple[Tensor, Tensor]:
    """Features, before they are tempered, of classes spread alike in a skewed basis and their means lie `apart`."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(99)))[0]
    labels = torch.arange(num_classes).repeat_interleave(per_class)
    centers = apart * torch.randn(num_classes, 12, generator=generator)
    features = (centers[labels] + SPREADS * torch.randn(len(labels), 12, generator=generator)) @ basis
    return features.sign() * features.square(), labels


def within(features: Tensor, labels: Tensor) -> Tensor:
    """The covariance of features about their class means."""
    centered = features - class_means(features, labels, int(labels.max()) + 1)[labels]
    return centered.T @ centered / (len(features) - labels.max() - 1)


def test_drawings_of_a_class_vary_alike_in_all_directions_once_whitened():
    features, labels = drawings(40, apart=0.2 * SPREADS)  # equal lengths take spread from classes further apart
    before = within(tempered(features), labels)
    after = within(fit_whitening(features, labels, shrinkage=1e-3)(features), labels)
    assert torch.linalg.cond(before) > 50
    torch.testing.assert_close(after, torch.eye(len(after)), atol=0.2, rtol=0)
    assert torch.linalg.cond(after) < 2


def test_the_matrix_whitens_the_shrunk_covariance_of_scikit_learn():
    features, labels = drawings(10)
    whitening = fit_whitening(features, labels, shrinkage=0.3)
    centered = tempered(features) - class_means(tempered(features), labels, 10)[labels]
    covariance = torch.from_numpy(shrunk_covariance(np.cov(centered.numpy().T, bias=True), shrinkage=0.3)).float()
    product = whitening.matrix.T @ covariance @ whitening.matrix
    torch.testing.assert_close(product, torch.eye(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(whitening.mean, tempered(features).mean(dim=0))


def test_between_is_how_far_class_means_vary_beyond_the_luck_of_their_drawings():
    features, labels = drawings(40, per_class=25)
    whitening = fit_whitening(features, labels, shrinkage=0.1)
    means = class_means(whitening(features), labels, 40)
    expected = torch.diag(whitening.between + 1 / 25)
    torch.testing.assert_close(torch.cov(means.T), expected, atol=1e-4, rtol=1e-4)


def gaussian(x: np.ndarray, covariance: np.ndarray) -> float:
    """The logarithm of the density of N(0, covariance) at x [n]."""
    return -0.5 * (x @ np.linalg.solve(covariance, x) + np.linalg.slogdet(2 * np.pi * covariance)[1])


def predictive(query: np.ndarray, support: np.ndarray, between: np.ndarray) -> float:
    """log p(query | support) where a class mean is N(0, between) and its drawings lie about it with variance 1."""
    total = 0.0
    for dimension, variance in enumerate(between):
        known = support[:, dimension]
        both = np.append(known, query[dimension])
        covariance = variance * np.ones((len(both), len(both))) + np.eye(len(both))
        total += gaussian(both, covariance) - gaussian(known, covariance[:-1, :-1])
    return total


def test_likelihoods_are_the_predictive_densities_of_textbook_plda():
    rng = np.random.default_rng(0)
    between = np.array([3.0, 0.4, 0.01])
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 0, 2])  # unequal numbers of drawings
    support, queries = rng.normal(size=(9, 3)), rng.normal(size=(5, 3))
    expected = [[predictive(query, support[labels == c], between) for c in range(3)] for query in queries]
    unused = torch.empty(0)
    found = Whitening(unused, unused, unused, torch.from_numpy(between)).log_likelihoods(
        torch.from_numpy(queries), torch.from_numpy(support), torch.from_numpy(labels), 3
    )
    np.testing.assert_allclose(found.numpy() - 1.5 * np.log(2 * np.pi), expected, atol=1e-10)


def test_new_classes_are_told_apart_better_once_whitened():
    whitening = fit_whitening(*drawings(60, apart=0.5), shrinkage=0.1)
    features, labels = drawings(20, seed=1, apart=0.5)
    options = {"shots": 5, "tries": 5, "seed": 0}
    plain, _ = over_tries(unit_length(features), labels, prototypes, **options)
    whitened, _ = over_tries(whitening(features), labels, whitening.log_likelihoods, **options)
    assert whitened > plain + 0.05


def test_neither_the_length_of_a_feature_nor_its_precision_matters():
    features, labels = drawings(5)
    whitening = fit_whitening(features, labels, shrinkage=0.3)
    stretched = features * torch.linspace(0.1, 10, len(features))[:, None]
    torch.testing.assert_close(whitening(stretched), whitening(features), atol=1e-4, rtol=1e-4)
    assert whitening(features.half()).dtype == torch.float32


def test_a_class_without_drawings_has_no_mean():
    means = class_means(torch.ones(2, 3), torch.tensor([0, 2]), 3)
    assert means.isnan().all(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.1])
def test_a_shrinkage_outside_of_0_to_1_is_refused(shrinkage):
    with pytest.raises(ValueError, match=rf"^protocol.shrinkage={shrinkage} must lie in \(0, 1\]: 0.3 suits most"):
        fit_whitening(*drawings(3), shrinkage=shrinkage)


@pytest.mark.parametrize("missing", [99, 100])
def test_a_class_of_fewer_than_two_drawings_is_refused(missing):
    features, labels = drawings(3)
    kept = (labels != 1) | (torch.arange(300) % 100 >= missing)
    with pytest.raises(ValueError, match="^whitening needs 2 drawings or more of each class .*: raise seen_per_class$"):
        fit_whitening(features[kept], labels[kept], shrinkage=0.3)


def test_classes_that_do_not_differ_are_refused():
    features, _ = drawings(1, per_class=50)
    alike = features.repeat(3, 1)
    with pytest.raises(ValueError, match="do not differ in these features: use protocol.whiten=false$"):
        fit_whitening(alike, torch.arange(3).repeat_interleave(50), shrinkage=0.3)
