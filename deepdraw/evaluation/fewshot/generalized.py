"""Generalized few-shot recognition, among seen and unseen classes together: its curve and its metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.evaluation.evaluation import Stacking
from deepdraw.fewshot import OFFSETS, Margins, harmonic_mean


def stacking(found: Margins, chosen: float) -> Stacking:
    """The curve from all seen to all unseen, and the offset that was chosen."""
    leads = np.sort(found.leads)
    offsets = -np.quantile(leads, np.linspace(1, 0, OFFSETS))
    seen, unseen = found.accuracies(offsets)
    return Stacking(offsets, seen, unseen, chosen)


def by_kind(confusion: NDArray[np.int64], num_seen: int) -> dict[str, float]:
    """`seen`, `unseen` and their `harmonic` mean (0..1) of a confusion matrix [C, C]: means over classes."""
    recalls = confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)
    asked = confusion.sum(axis=1) > 0
    seen, unseen = (recalls[kind][asked[kind]].mean() for kind in (slice(0, num_seen), slice(num_seen, None)))
    return {"seen": float(seen), "unseen": float(unseen), "harmonic": float(harmonic_mean(seen, unseen))}


def generalized_metrics(name: str, accuracies: NDArray[np.float64]) -> dict[str, float]:
    """Means over tries of `accuracies` [tries, 2, 2]: seen and unseen classes, without and with the chosen offset.

    `<name>_seen`, `<name>_unseen`, their harmonic mean `<name>_harmonic` and its `<name>_harmonic_stderr`; with the
    offset `<name>_calibrated_seen` and so on.
    """
    metrics: dict[str, float] = {}
    for number, suffix in enumerate(("", "_calibrated")):
        seen, unseen = accuracies[:, :, number].T
        harmonic = harmonic_mean(seen, unseen)
        metrics |= {
            f"{name}{suffix}_seen": float(seen.mean()),
            f"{name}{suffix}_unseen": float(unseen.mean()),
            f"{name}{suffix}_harmonic": float(harmonic.mean()),
            f"{name}{suffix}_harmonic_stderr": float(harmonic.std(ddof=1) / np.sqrt(len(harmonic))),
        }
    return metrics
