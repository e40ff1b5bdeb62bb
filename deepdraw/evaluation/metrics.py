"""The numbers of a classifier, summed batch by batch in fixed memory."""

import torch
from torch import Tensor
from torch.nn import functional as F

_NUM_RANKS = 5  # ranks told apart, from the winner down; all deeper ones share a last column


def chance(num_classes: int) -> float:
    """Top-1 accuracy of a blind guess, in 0..1."""
    return 1.0 / num_classes


def true_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Rank of each true label among `logits` [B, C], int64 [B]; 0 is the winner.

    Equal logits rank by their index, the smaller first, just as argmax takes the first of them.
    """
    labels = labels[:, None]
    true_logits = logits.gather(1, labels)
    indices = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > true_logits) | ((logits == true_logits) & (indices < labels))
    return ahead.sum(dim=1)


class ClassificationMetrics:
    """Top-1, top-5, MAP@3, mean per-class accuracy and loss of a stream of logits.

    The state is three tensors on the logits' device: `rank_counts` int64 [C, 6], how often the true label of
    each class came first, second, ..., fifth or later; `loss_sum`; and `num_non_finite`, drawings with NaN or
    infinity among their logits. All three are plain sums: those of several processes add up.
    """

    def __init__(self, num_classes: int) -> None:
        self.rank_counts = torch.zeros(num_classes, _NUM_RANKS + 1, dtype=torch.int64)
        self.loss_sum = torch.zeros((), dtype=torch.float64)
        self.num_non_finite = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch of `logits` [B, C], any float, and `labels` int64 [B]. Never waits for the device."""
        assert logits.shape == (len(labels), len(self.rank_counts)), (logits.shape, labels.shape)
        self._move_to(logits.device)
        ranks = true_ranks(logits, labels).clamp(max=_NUM_RANKS)
        cells = labels * (_NUM_RANKS + 1) + ranks
        self.rank_counts.view(-1).index_add_(0, cells, torch.ones_like(cells))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        self.loss_sum += F.cross_entropy(logits, labels, reduction="sum")
        self.num_non_finite += (~logits.isfinite().all(dim=1)).sum()

    def compute(self) -> dict[str, float]:
        """`top1`, `top5`, `map3`, `mean_class_accuracy` (all 0..1) and `loss` (nats) of all drawings so far.

        MAP@3 is Kaggle's: 1, 1/2 or 1/3 for the true label in first, second or third place, else 0. Classes
        without a drawing do not enter `mean_class_accuracy`. Raises ValueError when nothing was counted, and
        when any logit was not finite: NaN compares false with everything and would pass for a winner.
        """
        counts = self.rank_counts.cpu().double()
        num_drawings = int(counts.sum())
        if num_drawings == 0:
            raise ValueError("no drawing to score: the split is empty; check data.root and the split's name")
        if self.num_non_finite > 0:
            raise ValueError(
                f"{int(self.num_non_finite)} of {num_drawings} drawings have NaN or infinite logits: "
                "lower optimizer.lr or use precision=fp32"
            )
        shares = counts.sum(dim=0) / num_drawings
        present = counts[counts.sum(dim=1) > 0]
        return {
            "top1": shares[0].item(),
            "top5": shares[:5].sum().item(),
            "map3": (shares[:3] / torch.tensor([1, 2, 3])).sum().item(),
            "mean_class_accuracy": (present[:, 0] / present.sum(dim=1)).mean().item(),
            "loss": self.loss_sum.item() / num_drawings,
        }

    def _move_to(self, device: torch.device) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        self.rank_counts = self.rank_counts.to(device)
        self.loss_sum = self.loss_sum.to(device, exact)
        self.num_non_finite = self.num_non_finite.to(device)
