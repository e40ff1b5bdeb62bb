"""The running average of the weights, against a plain loop."""

from __future__ import annotations

import copy

import torch
from torch import nn

from deepdraw.training.averaging import average


def step(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter)
        model(torch.randn(4, 3))  # which moves BatchNorm's statistics


def test_weights_and_statistics_are_averaged_with_a_decay_that_grows_to_the_given_one():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    averaged = average(model, decay=0.5)
    expected = None
    for update in range(30):
        step(model)
        averaged.update_parameters(model)
        current = {key: value.double() for key, value in model.state_dict().items()}
        kept = min(0.5, (1 + update) / (10 + update))
        if expected is None:
            expected = current
        expected = {key: kept * expected[key] + (1 - kept) * value for key, value in current.items()}
    found = averaged.module.state_dict()
    assert found.pop("1.num_batches_tracked") == 30
    for key, value in found.items():
        torch.testing.assert_close(value.double(), expected[key], atol=1e-5, rtol=1e-5)


def test_weights_that_do_not_change_are_their_average_to_the_bit():
    torch.manual_seed(0)
    model = nn.Linear(7, 5)
    averaged = average(model, decay=0.999)
    before = copy.deepcopy(model.state_dict())
    for _ in range(20):
        averaged.update_parameters(model)
    assert all(torch.equal(before[key], value) for key, value in averaged.module.state_dict().items())
