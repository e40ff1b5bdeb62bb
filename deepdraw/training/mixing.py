"""Mixup and cutmix for drawings. Cutmix weights labels by the amount of ink, not by area."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot

from deepdraw.data import Inputs
from deepdraw.training.recipe import check_alpha


@dataclass(frozen=True)
class Mixing:
    """Mixes each image of a batch, and its label, with another one of the batch.

    mixup, cutmix: the alphas of Beta(alpha, alpha), from which the share of an image is drawn; 0 is off. If both are
    on, one of them is chosen at random for each batch. Raises ValueError for an alpha below 0.

    Random numbers come from torch's global CPU generator on every device, and their count does not depend on the
    images. torchvision and timm cannot mix uint8 images, and their cutmix weights labels by area.
    """

    mixup: float
    cutmix: float

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            check_alpha(name, getattr(self, name))

    def __call__(self, images: Inputs, labels: Tensor, num_classes: int) -> tuple[Inputs, Tensor]:
        """Mixed images, uint8 as given, and class probabilities, float32 [B, num_classes]; if off, both unchanged.

        images: uint8 [B, H, W] or [B, 3, H, W], on white paper or on black; labels: int64 [B].
        """
        if not (self.mixup or self.cutmix):
            return images, labels
        assert isinstance(images, Tensor), "the loop refuses to mix anything but images"
        targets = one_hot(labels, num_classes).float()
        partners = torch.randperm(len(images)).to(images.device)
        heads = torch.rand(()).item() < 0.5
        if self.mixup and (heads or not self.cutmix):
            share = Beta(self.mixup, self.mixup).sample().item()
            return mixup(images, partners, share), torch.lerp(targets[partners], targets, share)
        share = Beta(self.cutmix, self.cutmix).sample().item()
        rows, columns = random_rectangle(images.shape[-2], images.shape[-1], 1 - share)
        mixed, shares = cutmix(images, partners, rows, columns)
        return mixed, torch.lerp(targets[partners], targets, shares[:, None])


def mixup(images: Tensor, partners: Tensor, share: float) -> Tensor:
    """Blend each image with the one at `partners`, int64 [B], which has 1 - `share` of it (arXiv 1710.09412)."""
    blend = images.index_select(0, partners).float().lerp_(images.float(), share)
    return blend.round_().to(images.dtype)


def cutmix(images: Tensor, partners: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of the image at `partners`, int64 [B], into each image (arXiv 1905.04899).

    Returns the mixed images and, for each, the share of its ink that comes from the original image, float32 [B]; if
    there is no ink, the share of the area. Ink is the difference from the paper, which is white if the mean of the
    batch is nearer to white than to black. Of several channels it is the sum.
    """
    mixed, cut = images.clone(), images[..., rows, columns]
    mixed[..., rows, columns] = images.index_select(0, partners)[..., rows, columns]
    paper = 255 * (images.float().mean() > 127.5)
    # Paper is the lightest or darkest value, so the sum of differences is the difference of sums.
    whole, inside = ((paper * part[0].numel() - part.flatten(1).sum(dim=1)).abs() for part in (images, cut))
    kept, pasted = whole - inside, inside[partners]
    area = cut[0].numel() / images[0].numel()
    return mixed, torch.where(kept + pasted > 0, kept / (kept + pasted), 1 - area)


def random_rectangle(height: int, width: int, area: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle of this share of the area around a random point, clipped to the image."""
    half = math.sqrt(area) / 2
    rows, columns = (
        slice(max(0, round((center - half) * size)), min(size, round((center + half) * size)))
        for center, size in zip(torch.rand(2).tolist(), (height, width), strict=True)
    )
    return rows, columns
