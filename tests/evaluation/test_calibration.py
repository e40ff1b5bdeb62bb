"""Calibration against torchmetrics, and the temperature against a minimiser that sees every drawing."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F
from torchmetrics.classification import MulticlassCalibrationError

from deepdraw.evaluation.metrics import Counts
from deepdraw.evaluation.scores import Scores
from deepdraw.models.temperature import losses_by_temperature

torch.set_num_threads(1)


def count(logits: torch.Tensor, labels: torch.Tensor, batch_size: int = 128) -> Scores:
    scores = Scores(list(map(str, range(logits.shape[1]))))
    for batch in zip(logits.split(batch_size), labels.split(batch_size), strict=True):
        scores.add(*batch, torch.arange(len(batch[1])))
    return scores


def score(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    scores = count(logits, labels)
    return scores.metrics(Counts.of(scores.predictions()))


def random_logits(num_classes: int, scale: float, bonus: float, num_drawings: int = 3000):
    """float32 logits of that spread, the true one higher by `bonus`."""
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(num_drawings, num_classes, generator=generator)
    labels = torch.randint(num_classes, (num_drawings,), generator=generator)
    logits[torch.arange(num_drawings), labels] += bonus
    return logits, labels


def torchmetrics_error(logits: torch.Tensor, labels: torch.Tensor) -> float:
    error = MulticlassCalibrationError(logits.shape[1], n_bins=15, norm="l1")
    return error(logits, labels).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_classes, scale, bonus", [(2, 1, 1), (345, 3, 6), (10, 20, 15)])
def test_the_calibration_error_is_torchmetrics(num_classes, scale, bonus, dtype):
    logits, labels = random_logits(num_classes, scale, bonus)
    logits = logits.to(dtype)
    assert score(logits, labels)["ece"] == pytest.approx(torchmetrics_error(logits, labels), abs=1e-6)


@pytest.mark.parametrize("num_classes", [3, 5, 15])
def test_confidences_on_the_edges_of_bins_fall_as_torchmetrics_has_it(num_classes):
    # Equal logits give 1/3, 1/5 and 1/15, edges all; a winner by 200 gives exactly 1.
    logits = torch.zeros(600, num_classes)
    logits[:200] += 2.0
    logits[200:400, 1] += 200.0
    logits[400:, :2] += 3.0
    labels = torch.randint(num_classes, (600,), generator=torch.Generator().manual_seed(0))
    assert score(logits, labels)["ece"] == pytest.approx(torchmetrics_error(logits, labels), abs=1e-6)


def test_the_reliability_curve_is_the_mean_of_each_bin():
    logits, labels = random_logits(5, 1.5, 1.0)
    logits[0, 2] = 300.0  # full certainty, part of the last bin
    curve = Counts.of(count(logits, labels).predictions()).reliability()
    confidences, predicted = logits.softmax(dim=1).max(dim=1)
    np.testing.assert_allclose(curve.edges, np.arange(16) / 15)
    bins = np.clip(np.digitize(confidences, curve.edges) - 1, 0, 14)
    for number in range(15):
        inside = torch.from_numpy(bins == number)
        assert curve.counts[number] == inside.sum()
        assert curve.confidences[number] == pytest.approx(confidences[inside].mean().item(), abs=1e-6, nan_ok=True)
        right = (predicted == labels)[inside].double().mean().item()
        assert curve.accuracies[number] == pytest.approx(right, nan_ok=True)
    assert curve.counts.sum() == len(labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_classes, scale, bonus", [(2, 1, 0.5), (345, 1, 6), (345, 4, 10), (10, 20, 15), (7, 2, 2)])
def test_the_temperature_has_the_least_loss(num_classes, scale, bonus, dtype):
    logits, labels = random_logits(num_classes, scale, bonus)
    temperature = score(logits.to(dtype), labels)["temperature"]

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits.double() / np.exp(log_temperature), labels).item()

    best = minimize_scalar(loss, bounds=(-4, 3.5), method="bounded", options={"xatol": 1e-9})
    assert temperature == pytest.approx(np.exp(best.x), rel=1e-3)
    assert loss(np.log(temperature)) == pytest.approx(best.fun, abs=1e-6)


def test_logits_that_are_always_right_are_sharpened_to_the_end_of_the_range():
    logits, labels = random_logits(10, 0.001, 0.1)
    assert score(logits, labels)["temperature"] == pytest.approx(1 / 54, rel=0.01)


def test_logits_that_are_always_wrong_are_flattened_to_the_end_of_the_range():
    logits, labels = random_logits(10, 0.001, -5)
    assert score(logits, labels)["temperature"] == pytest.approx(32, rel=0.01)


def test_where_no_temperature_matters_it_is_one():
    labels = torch.arange(8) % 4
    assert score(torch.full((8, 4), 3.0), labels)["temperature"] == 1.0


@pytest.mark.parametrize("scale", [0.1, 3, 300])
def test_the_losses_that_are_squared_up_are_cross_entropies(scale):
    logits, labels = random_logits(50, scale, scale, num_drawings=200)
    expected = [F.cross_entropy(logits.double() * 2 ** (-5 + step / 4), labels, reduction="sum") for step in range(44)]
    np.testing.assert_allclose(losses_by_temperature(logits, labels), expected, rtol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_calibrated_in_single_precision(dtype):
    logits, labels = random_logits(20, 2, 3)
    logits = logits.to(dtype)
    half, single = score(logits, labels), score(logits.float(), labels)
    assert half == pytest.approx(single, rel=1e-6)
