"""The line that a run prints after each epoch, in a terminal and elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from deepdraw.runtime import duration

_SHARES = (
    "top1",
    "top5",
    "top10",
    "map3",
    "accuracy",
    "f1",
    "ece",
)  # ends of names of shares in 0..1, shown in percent


def epoch_line(epoch: int, epochs: int, metrics: Mapping[str, float], *, is_best: bool, seconds: float) -> str:
    """Such as `epoch 2/5  train loss 1.06  val loss 0.38  val top1 95.2 %  (best)  21 s`.

    epoch: the one that has ended, from 1; metrics: as `split/name`; is_best: whether its weights are the best so far.
    """
    shown = [show_metric(key, value) for key, value in metrics.items()]
    best = ["(best)"] if is_best else []
    return "  ".join([f"epoch {epoch}/{epochs}", *shown, *best, duration(seconds)])


def show_metric(key: str, value: float) -> str:
    """A metric by its split and name, a share in percent: `val top1 95.2 %`, `val loss 0.38`."""
    text = f"{100 * value:.1f} %" if key.endswith(_SHARES) else f"{value:.3g}"
    return f"{key.replace('/', ' ').replace('_', ' ')} {text}"
