"""Muon, against its definition by the singular value decomposition, AdamW and timm's."""

from __future__ import annotations

import pytest
import timm.optim
import torch
from torch import nn

from deepdraw.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(8, 8), (4, 30), (30, 4), (64, 144)])
def test_an_orthogonalized_matrix_has_its_own_singular_vectors_and_values_near_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    found = orthogonalize(matrix)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ found @ right.T
    singular = turned.diagonal()[values > 0.05 * values.max()]
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    torch.testing.assert_close(turned, turned.diagonal().diag(), atol=1e-5, rtol=0)


def test_a_matrix_without_entries_stays_so():
    assert torch.equal(orthogonalize(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_vectors_move_as_by_adamw():
    torch.manual_seed(0)
    vectors = [nn.Parameter(torch.randn(5)) for _ in range(2)]
    vectors[1].data.copy_(vectors[0])
    options = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.9, 0.95)}
    ours, reference = Muon([vectors[0]], **options), torch.optim.AdamW([vectors[1]], **options)
    for _ in range(20):
        gradient = torch.randn(5)
        for vector, optimizer in zip(vectors, (ours, reference), strict=True):
            vector.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(*vectors)


def test_convolutions_move_as_by_timms_muon_to_the_precision_of_bfloat16():
    torch.manual_seed(0)
    convolutions = [nn.Parameter(torch.randn(16, 8, 3, 3)) for _ in range(2)]
    convolutions[1].data.copy_(convolutions[0])
    start = convolutions[0].detach().clone()
    ours = Muon([convolutions[0]], lr=0.01)
    reference = timm.optim.Muon(
        [convolutions[1]], lr=0.01, momentum=0.95, nesterov=True, ns_steps=5, ns_coefficients="original"
    )
    for _ in range(3):
        gradient = torch.randn(16, 8, 3, 3)
        for convolution, optimizer in zip(convolutions, (ours, reference), strict=True):
            convolution.grad = gradient.clone()
            optimizer.step()
    moved, expected = ((convolution.detach() - start).flatten() for convolution in convolutions)
    assert torch.cosine_similarity(moved, expected, dim=0) > 0.99
    assert moved.norm() == pytest.approx(expected.norm().item(), rel=0.05)


def test_parameters_without_a_gradient_hold_no_state():
    parameters = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))]
    optimizer = Muon(parameters)
    parameters[0].grad = torch.ones(2, 2)
    optimizer.step()
    assert set(optimizer.state) == {parameters[0]}
    assert torch.equal(parameters[1], torch.ones(2, 2))
