"""Whitening: the covariance of features within and between seen classes, as a metric for unseen classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Whitening:
    """Features seen so that all classes spread alike in all directions, and how far apart the classes themselves lie.

    After the map, drawings of one class have about the variance 1 in each of K directions and class means the
    variances `between` [K]: probabilistic linear discriminant analysis (Ioffe, 2006), with the lengths of features
    made equal after whitening (Garcia-Romero and Espy-Wilson, 2011).

    mean: [D]; matrix: [D, D], whitens; axes: [D, K], the directions in which seen classes differ.
    """

    mean: Tensor
    matrix: Tensor
    axes: Tensor
    between: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """features [N, D] as the encoder gives them to [N, K]."""
        return F.normalize((tempered(features) - self.mean) @ self.matrix, dim=-1) @ self.axes

    def log_likelihoods(self, queries: Tensor, support: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        """The log-likelihood [N, C] of each query [N, K] under each class, given a support [M, K]."""
        counts = torch.bincount(labels, minlength=num_classes)
        return self.log_likelihoods_of_means(queries, class_means(support, labels, num_classes), counts)

    def log_likelihoods_of_means(self, queries: Tensor, means: Tensor, counts: Tensor) -> Tensor:
        """The same of classes with these means [C, K] of so many drawings, int64 [C].

        The mean of n drawings is drawn towards that of all classes as far as n and `between` ask for, so classes of
        few and of many drawings may stand side by side.
        """
        counts = counts[:, None]
        shrunk = self.between / (self.between + 1 / counts) * means
        variances = 1 + self.between / (1 + counts * self.between)
        precisions = 1 / variances
        constants = (shrunk.square() * precisions + variances.log()).sum(dim=1)
        return queries @ (shrunk * precisions).T - 0.5 * (queries.square() @ precisions.T + constants)


def fit_whitening(features: Tensor, labels: Tensor, shrinkage: float) -> Whitening:
    """The map that the drawings of seen classes teach: features [N, D], labels int64 [N], two or more of each class.

    Their covariance within classes is drawn towards a multiple of the identity by `shrinkage` in (0, 1], since D is
    large and drawings are few (Ledoit and Wolf, 2004). Raises ValueError for fewer, and where no class differs from
    another.
    """
    if not 0 < shrinkage <= 1:
        raise ValueError(f"protocol.shrinkage={shrinkage} must lie in (0, 1]: 0.3 suits most encoders")
    features = tempered(features)
    num_classes = int(labels.max()) + 1
    if labels.bincount().min() < 2:
        raise ValueError("whitening needs 2 drawings or more of each class trained on: raise seen_per_class")
    mean = features.mean(dim=0)
    centered = features - class_means(features, labels, num_classes)[labels]
    covariance = centered.T @ centered / len(features)
    identity = torch.eye(len(covariance), device=features.device)
    covariance = torch.lerp(covariance, covariance.diagonal().mean() * identity, shrinkage)
    # under x @ matrix the covariance becomes matrix.T @ covariance @ matrix, the identity
    matrix = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), identity, upper=False).T.contiguous()

    whitened = F.normalize((features - mean) @ matrix, dim=-1)
    means = class_means(whitened, labels, num_classes)
    counts = torch.bincount(labels, minlength=num_classes)
    within = (whitened - means[labels]).square().sum() / (len(features) - num_classes) / features.shape[1]
    _, singular_values, axes = torch.linalg.svd(means - means.mean(dim=0), full_matrices=False)
    # a mean of n drawings varies by within / n more than the class it stands for
    variances = singular_values.square() / max(num_classes - 1, 1) - within * (1 / counts).mean()
    differing = variances > 1e-6 * variances[0]
    if not differing.any():
        raise ValueError("the seen classes do not differ in these features: use protocol.whiten=false")
    scale = within.rsqrt()
    return Whitening(mean, matrix, axes[differing].T * scale, variances[differing] * scale**2)


def tempered(features: Tensor) -> Tensor:
    """The signed square roots of features [N, D], of unit length: a few large ones no longer speak for all.

    Power normalization, Perronnin et al., 2010.
    """
    return F.normalize(features.float().sign() * features.float().abs().sqrt(), dim=-1)


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The mean of the features [N, D] of each class [num_classes, D]; not a number where a class has none."""
    sums = features.new_zeros(num_classes, features.shape[1]).index_add_(0, labels, features)
    return sums / torch.bincount(labels, minlength=num_classes)[:, None]
