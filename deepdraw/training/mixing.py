"""Mixup and cutmix for drawings, where what a part of an image says is measured by its ink."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot


@dataclass(frozen=True)
class Mixing:
    """Mixes each image of a batch, and its label, with another one of the batch.

    mixup, cutmix: the alphas of the Beta(alpha, alpha) that the share of an image comes from, 0 for off; where
    both are on, a coin decides for each batch. Raises ValueError for an alpha below 0.

    The numbers come from torch's global generator on the CPU, whatever the device, and how many there are does
    not depend on the images. torchvision's and timm's mixup takes no bytes, their cutmix shares labels by area.
    """

    mixup: float
    cutmix: float

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise ValueError(f"train.{name}={value} must be a number of at least 0; 0 is off")

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Mixed images, uint8 [B, H, W], and class probabilities, float32 [B, num_classes]; if off, both as they are.

        images: uint8 [B, H, W], on white paper or on black; labels: int64 [B].
        """
        if not (self.mixup or self.cutmix):
            return images, labels
        targets = one_hot(labels, num_classes).float()
        partners = torch.randperm(len(images)).to(images.device)
        heads = torch.rand(()).item() < 0.5
        if self.mixup and (heads or not self.cutmix):
            share = Beta(self.mixup, self.mixup).sample().item()
            return mixup(images, partners, share), torch.lerp(targets[partners], targets, share)
        share = Beta(self.cutmix, self.cutmix).sample().item()
        rows, columns = random_rectangle(images.shape[1], images.shape[2], 1 - share)
        mixed, shares = cutmix(images, partners, rows, columns)
        return mixed, torch.lerp(targets[partners], targets, shares[:, None])


def mixup(images: Tensor, partners: Tensor, share: float) -> Tensor:
    """Blend each image with the one at `partners`, int64 [B], which has 1 - `share` of it (arXiv 1710.09412)."""
    blend = images.index_select(0, partners).float().lerp_(images.float(), share)
    return blend.round_().to(images.dtype)


def cutmix(images: Tensor, partners: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of the image at `partners`, int64 [B], into each image (arXiv 1905.04899).

    Beside the mixed images come the shares, float32 [B], of their ink that are the images' own; of their area
    where there is no ink. Ink is the difference from the paper, which is white where the batch is nearer to
    white than to black on the mean.
    """
    mixed, cut = images.clone(), images[:, rows, columns]
    mixed[:, rows, columns] = images.index_select(0, partners)[:, rows, columns]
    paper = 255 * (images.float().mean() > 127.5)
    # every pixel lies on the same side of the paper, so differences add up to the difference of the sums
    whole, inside = ((paper * part[0].numel() - part.sum(dim=(1, 2))).abs() for part in (images, cut))
    kept, pasted = whole - inside, inside[partners]
    area = cut[0].numel() / images[0].numel()
    return mixed, torch.where(kept + pasted > 0, kept / (kept + pasted), 1 - area)


def random_rectangle(height: int, width: int, area: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle of that share of the area around a random point, less what lies outside."""
    half = math.sqrt(area) / 2
    rows, columns = (
        slice(max(0, round((center - half) * size)), min(size, round((center + half) * size)))
        for center, size in zip(torch.rand(2).tolist(), (height, width), strict=True)
    )
    return rows, columns
