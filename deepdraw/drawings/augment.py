"""Augmentation: changes each drawing, strokes or an image, to look as if it had been drawn another time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.image_augment import shrink, warp, widen
from deepdraw.drawings.images import blank, fit_to_square, trace_drawing
from deepdraw.drawings.packed import Drawings, mix
from deepdraw.drawings.raster import Rasterizer

RANGES = {
    "rotation": (0, 180),
    "shear": (0, 1),
    "stretch": (0, 3),
    "flip": (0, 1),
    "dropout": (0, 1),
    "jitter": (0, 0.25),
    "line_width": (1, 4),
}


class Augmentation(Protocol):
    """What changes drawings before they are drawn, in training; `Augment` is one.

    Make it a dataclass of plain values: features of augmented drawings are kept under its fields. One that also changes
    images has a method `change_image`, as `ImageAugmentation` says.
    """

    def __call__(self, drawings: Drawings, salt: str) -> tuple[Drawings, NDArray[np.float32]]:
        """The changed drawings, points uint8 or float32, and the factors on their line widths, float32 [N].

        The same salt gives the same change, another one another; it stands for the seed and the epoch.
        """
        ...


@runtime_checkable
class ImageAugmentation(Protocol):
    """An `Augmentation` that changes images, too."""

    def change_image(self, image: NDArray[np.uint8], key_id: int, salt: str) -> tuple[NDArray[np.uint8], float]:
        """The changed image, gray uint8 [H, W] and dark on light as `image` is, and the factor on its line width."""
        ...


def nothing() -> None:
    """No augmentation: drawings are drawn as they are stored."""


@dataclass(frozen=True)
class Augment:
    """Changes drawings before they are rasterized, but not their position or size, which the rasterizer sets anyway.

    rotation: degrees, at most, either way; shear: share of the height by which the top moves, at most, either
    way; stretch: width against height, a factor between 1 / (1 + stretch) and 1 + stretch; flip: probability
    that left and right change places; dropout: probability that a small stroke is left out (the larger its
    part in the drawing, the less), though one is always kept; jitter: how far points move, root mean square,
    as a share of the drawing's longer side; line_width: a factor between 1 / line_width and line_width.
    An image is changed by the same rotation, shear, stretch, flip and line width as strokes with its key id would be;
    dropout and jitter need strokes. Raises ValueError for a strength out of range.
    """

    rotation: float
    shear: float
    stretch: float
    flip: float
    dropout: float
    jitter: float
    line_width: float

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"augment.{name}={getattr(self, name)} must lie between {low} and {high}")

    def __call__(self, drawings: Drawings, salt: str) -> tuple[Drawings, NDArray[np.float32]]:
        """The changed drawings, their points float32, and the factors on their line widths, float32 [N].

        The random numbers are a hash of `salt` and the drawing's key id. They do not depend on the batch or the rank.
        """
        kept = _drop_strokes(drawings, self.dropout, _uniform(_stroke_seeds(drawings, f"{salt} strokes")))
        chance = _chance(drawings.key_ids, salt)
        points = _wave(kept, self.jitter, chance[:, 5:].reshape(-1, 2, 3))
        matrices = np.repeat(_matrices(*self._affine(*chance[:, :4].T)), np.diff(kept.drawing_point_starts), axis=0)
        points = np.einsum("pij,pj->pi", matrices, points)
        moved = Drawings(points, kept.stroke_lengths, kept.stroke_counts, kept.labels, kept.key_ids)
        return moved, self.line_width ** (2 * chance[:, 4] - 1)

    def change_image(self, image: NDArray[np.uint8], key_id: int, salt: str) -> tuple[NDArray[np.uint8], float]:
        """The changed image, gray uint8 [H, W], and the factor on its line width."""
        chance = _chance(np.array([key_id], np.uint64), salt)
        angle, slant, width, height = (float(one[0]) for one in self._affine(*chance[:, :4].T))
        return warp(image, angle, slant, width, height), float(self.line_width ** (2 * chance[0, 4] - 1))

    def _affine(
        self,
        rotation: NDArray[np.float32],
        shear: NDArray[np.float32],
        stretch: NDArray[np.float32],
        flip: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Angle, slant, width and height that numbers from [0, 1), each [N], stand for: float32 [N] each.

        A drawing is stretched by width (negative where it is flipped) and height, then slanted, then rotated.
        """
        angle = np.deg2rad(self.rotation) * (2 * rotation - 1)
        slant = self.shear * (2 * shear - 1)
        height = (1 + self.stretch) ** (0.5 - stretch)
        width = np.where(flip < self.flip, -1, 1) / height
        return angle, slant, width, height


class AugmentingRasterizer(Rasterizer):
    """A rasterizer that augments each drawing, with `salt`, before it draws it."""

    def __init__(self, rasterizer: Rasterizer, augment: Augmentation, salt: str) -> None:
        super().__init__(
            rasterizer.size, rasterizer.line_width, rasterizer.margin, rasterizer.polarity, rasterizer.images
        )
        self._augment, self._salt = augment, salt

    def __call__(self, drawings: Drawings, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Augment and draw every drawing: uint8 [N, size, size], written into `out` if it is given."""
        return self.draw(*self._augment(drawings, self._salt), out)

    def place(self, image: NDArray[np.uint8], key_id: int) -> NDArray[np.uint8]:
        """Augment a gray image [H, W] and fit it into the square: uint8 [size, size].

        An image that stands for a drawing is augmented as strokes are.

        Raises TypeError where the augmentation has no form for images.
        """
        if self.images == "drawing":
            drawings = trace_drawing(image, key_id)
            return self(drawings)[0] if len(drawings) else blank(self)
        if not isinstance(self._augment, ImageAugmentation):
            raise TypeError(f"{type(self._augment).__name__} has no change_image")
        size = self.size
        if max(image.shape) > 2 * size:  # more pixels would cost time and change nothing
            image = shrink(image, 2 * size)
        changed, factor = self._augment.change_image(image, key_id, self._salt)
        fitted = fit_to_square(changed, Rasterizer(size, self.line_width, self.margin))
        widened = widen(fitted, (factor - 1) * self.line_width)
        return 255 - widened if self.polarity == "white_on_black" else widened


def place_image(image: NDArray[np.uint8], key_id: int, rasterizer: Rasterizer) -> NDArray[np.uint8]:
    """Fit a gray image [H, W], dark on light, into the square of a rasterizer, augmented if it augments."""
    if isinstance(rasterizer, AugmentingRasterizer):
        return rasterizer.place(image, key_id)
    return fit_to_square(image, rasterizer)


def _matrices(
    angle: NDArray[np.float32], slant: NDArray[np.float32], width: NDArray[np.float32], height: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The maps that stretch, then slant, then rotate: float32 [N, 2, 2]."""
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [[cos * width, (cos * slant - sin) * height], [sin * width, (sin * slant + cos) * height]]
    return np.array(rows, np.float32).transpose(2, 0, 1)


def _chance(key_ids: NDArray[np.uint64], salt: str) -> NDArray[np.float32]:
    """Eleven numbers in [0, 1) for each drawing: float32 [N, 11]."""
    return _uniform(np.add.outer(mix(key_ids, f"{salt} drawings"), np.arange(11, dtype=np.uint64)))


def _stroke_seeds(drawings: Drawings, salt: str) -> NDArray[np.uint64]:
    """A seed for each stroke, by its drawing's key id and its number in that drawing: uint64 [S]."""
    seeds = mix(drawings.key_ids, salt) - drawings.stroke_starts[:-1].astype(np.uint64)
    numbers = np.arange(len(drawings.stroke_lengths), dtype=np.uint64)
    return np.add(np.repeat(seeds, drawings.stroke_counts), numbers)


def _uniform(seeds: NDArray[np.uint64]) -> NDArray[np.float32]:
    """A number in [0, 1) for each seed."""
    return (mix(seeds, "uniform") >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def _drop_strokes(drawings: Drawings, dropout: float, chance: NDArray[np.float32]) -> Drawings:
    """Leave out the strokes whose `chance` [S] is below `dropout` times the rest of the drawing's line.

    If this would drop all strokes of a drawing, the stroke with the highest `chance` is kept.
    """
    if not len(drawings):
        return drawings
    starts, counts = drawings.stroke_starts[:-1], drawings.stroke_counts
    steps = np.hypot(*np.diff(drawings.points.astype(np.float32), axis=0, append=np.zeros((1, 2), np.float32)).T)
    steps[drawings.point_starts[1:] - 1] = 0
    lengths = np.add.reduceat(steps, drawings.point_starts[:-1])
    shares = lengths / np.repeat(np.maximum(np.add.reduceat(lengths, starts), 1), counts)
    luckiest = np.repeat(np.maximum.reduceat(chance, starts), counts)
    keep = (chance >= dropout * (1 - shares)) | (chance == luckiest)
    return Drawings(
        points=drawings.points.compress(np.repeat(keep, drawings.stroke_lengths), axis=0),
        stroke_lengths=drawings.stroke_lengths[keep],
        stroke_counts=np.add.reduceat(keep, starts, dtype=np.uint16),
        labels=drawings.labels,
        key_ids=drawings.key_ids,
    )


def _wave(drawings: Drawings, jitter: float, chance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move points along each axis by a plane wave with up to 2 periods along each side: float32 [P, 2].

    chance: [N, 2, 3], which gives each axis of each drawing its wave vector and phase. Neighboring points move
    alike, so strokes that meet still meet. It is a smooth form of the elastic distortions of Simard et al. (2003).
    """
    points = drawings.points.astype(np.float32)
    if not len(drawings):
        return points
    starts = drawings.drawing_point_starts
    sides = np.maximum.reduceat(points, starts[:-1]) - np.minimum.reduceat(points, starts[:-1])
    side = np.maximum(sides.max(axis=1), 1)
    lengths = np.diff(starts)
    vectors = np.repeat((4 * chance[:, :, :2] - 2) / side[:, None, None], lengths, axis=0)
    periods = np.einsum("pij,pj->pi", vectors, points) + np.repeat(chance[:, :, 2], lengths, axis=0)
    amplitude = np.repeat(np.float32(jitter * np.sqrt(2)) * side, lengths)[:, None]
    return points + amplitude * np.sin(2 * np.pi * periods)
