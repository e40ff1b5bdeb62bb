"""The logits of a split, batch by batch: the prediction of each drawing, and sums that need the logits themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from deepdraw.evaluation.calibration import (
    NUM_BINS,
    calibration_error,
    confidence_sums,
)
from deepdraw.evaluation.metrics import Counts
from deepdraw.evaluation.predictions import Predictions
from deepdraw.models import NUM_TEMPERATURES, best_temperature, losses_by_temperature
from deepdraw.runtime import Ranks


def true_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Rank of each true label among `logits` [B, C], int64 [B]; 0 is the winner.

    Equal logits rank by their index, the smaller first, just as argmax takes the first of them.
    """
    labels = labels[:, None]
    true_logits = logits.gather(1, labels)
    indices = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > true_logits) | ((logits == true_logits) & (indices < labels))
    return ahead.sum(dim=1)


class Scores:
    """Takes logits batch by batch and gives the predictions and metrics of a split.

    With a `temperature`, fitted on other drawings, the logits divided by it have a loss and a calibration error, too.
    The predictions take 40 bytes a drawing, on the logits' device, which is never waited for. The sums beside them are:

    num_non_finite: int64, drawings with NaN or infinity among their logits;
    losses: [2], of the logits as given and of those divided by `temperature`;
    losses_by_temperature: [NUM_TEMPERATURES];
    scaled_confidences: [3, bins + 1], of the logits divided by `temperature`.
    """

    def __init__(self, classes: Sequence[str], temperature: float | None = None) -> None:
        assert len(classes) <= 2**16, len(classes)
        assert temperature is None or temperature > 0, temperature
        self.classes, self.temperature = list(classes), temperature
        self.num_non_finite = torch.zeros((), dtype=torch.int64)
        self.losses = torch.zeros(2, dtype=torch.float64)
        self.losses_by_temperature = torch.zeros(NUM_TEMPERATURES, dtype=torch.float64)
        self.scaled_confidences = torch.zeros(3, NUM_BINS + 1, dtype=torch.float64)
        self._batches: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def add(self, logits: Tensor, labels: Tensor, key_ids: Tensor) -> None:
        """Take a batch of `logits` [B, C], any float, and as a batch has them `labels` and `key_ids`, int64 [B]."""
        assert logits.shape == (len(labels), len(self.classes)), (logits.shape, labels.shape)
        self._move(logits.device)
        ranks = true_ranks(logits, labels)
        integers = torch.stack([key_ids, labels, logits.argmax(dim=1), ranks])
        self._batches.append((integers, _confidences(logits)))
        self.num_non_finite += (~logits.isfinite().all(dim=1)).sum()
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        self.losses_by_temperature += losses_by_temperature(logits, labels)
        self.losses[0] += F.cross_entropy(logits, labels, reduction="sum")
        if self.temperature is not None:
            scaled = logits / self.temperature
            self.losses[1] += F.cross_entropy(scaled, labels, reduction="sum")
            self.scaled_confidences += confidence_sums(_confidences(scaled), ranks == 0)

    def merge(self, ranks: Ranks) -> None:
        """Add what all ranks have taken. Predictions come in stored order: a batch of each rank, then the next."""
        of_ranks = ranks.gather([(integers.cpu(), confidences.cpu()) for integers, confidences in self._batches])
        self._batches = [batch for turn in zip_longest(*of_ranks) for batch in turn if batch is not None]
        self.num_non_finite, self.losses, self.losses_by_temperature, self.scaled_confidences = ranks.sum(self.sums())

    def sums(self) -> list[Tensor]:
        """All but the predictions. Every tensor is a plain sum."""
        return [self.num_non_finite, self.losses, self.losses_by_temperature, self.scaled_confidences]

    def predictions(self) -> Predictions:
        """The prediction of each drawing so far.

        Raises ValueError where there is none, and where a logit is not finite: NaN compares false with everything and
        would pass for a winner.
        """
        if not self._batches:
            raise ValueError("no drawing to score: the split is empty; check data.root and the split's name")
        parts, confidences = zip(*self._batches, strict=True)
        key_ids, *integers = torch.cat(parts, dim=1).cpu().numpy()
        if self.num_non_finite > 0:
            raise ValueError(
                f"{int(self.num_non_finite)} of {len(key_ids)} drawings have NaN or infinite logits: "
                "lower optimizer.lr or use precision=fp32"
            )
        labels, predicted, ranks = (column.astype(np.uint16) for column in integers)
        return Predictions(
            self.classes,
            np.ascontiguousarray(key_ids).view(np.uint64),
            labels,
            predicted,
            torch.cat(confidences).cpu().numpy(),
            ranks,
        )

    def metrics(self, counts: Counts) -> dict[str, float]:
        """The metrics of all drawings so far, given the `counts` of their predictions.

        Those of `Counts.accuracies`; `loss`, the mean negative log-likelihood (nats); `ece`, the expected calibration
        error (0..1); `temperature`, by which the logits of these drawings would have to be divided for the lowest
        loss; and given a temperature, `loss_scaled` and `ece_scaled`.
        """
        num_drawings = int(counts.ranks.sum())
        metrics = counts.accuracies()
        metrics["temperature"] = best_temperature(self.losses_by_temperature.cpu().double().numpy())
        metrics["loss"] = self.losses[0].item() / num_drawings
        metrics["ece"] = counts.calibration_error()
        if self.temperature is not None:
            metrics["loss_scaled"] = self.losses[1].item() / num_drawings
            metrics["ece_scaled"] = calibration_error(self.scaled_confidences)
        return metrics

    def _move(self, device: torch.device) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        self.num_non_finite = self.num_non_finite.to(device)
        self.losses = self.losses.to(device, exact)
        self.losses_by_temperature = self.losses_by_temperature.to(device, exact)
        self.scaled_confidences = self.scaled_confidences.to(device, exact)


def _confidences(logits: Tensor) -> Tensor:
    """The probability of the winner of each row of `logits` [B, C], float32 [B]."""
    return logits.float().softmax(dim=1).amax(dim=1)
