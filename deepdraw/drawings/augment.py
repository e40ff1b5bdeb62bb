"""Augmentation: changes each drawing, strokes or an image, to look as if it had been drawn another time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.chance import drawing_chances, stroke_chances
from deepdraw.drawings.image_augment import shrink, warp, widen
from deepdraw.drawings.images import blank, fit_to_square, trace_drawing
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.point_augment import matrices, wave
from deepdraw.drawings.raster import Rasterizer
from deepdraw.drawings.stroke_augment import cut_strokes, drop_strokes, rearrange_strokes, stop_drawings

RANGES = {
    "rotation": (0, 180),
    "shear": (0, 1),
    "stretch": (0, 3),
    "flip": (0, 1),
    "dropout": (0, 1),
    "jitter": (0, 0.25),
    "line_width": (1, 4),
    **dict.fromkeys(("split", "reorder", "reverse", "stop", "stop_from"), (0, 1)),
    "speed": (0, 0.9),
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


@runtime_checkable
class PaceAugmentation(Protocol):
    """An `Augmentation` that also changes where along a stroke its points lie."""

    def paces(self, drawings: Drawings, salt: str) -> NDArray[np.float32] | None:
        """How unevenly the pen draws each stroke of the changed drawings, float32 [S, 2]; None for evenly.

        First by what share its speed rises and falls along the stroke, below 1, then where that begins, 0 to 1.
        """
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

    What a picture does not show, and points do: split: probability that a long stroke is cut into two that meet (the
    smaller its part in the drawing, the less); reorder: probability that the strokes of a drawing come in another
    order; reverse: probability that a stroke is drawn from its end; speed: by what share, at most, the pen is faster
    and slower along a stroke, which moves the points that are taken at equal times (those at equal distances do not
    depend on it). stop: probability that a drawing is not finished: it ends after a share of its line between
    stop_from and 1.

    An image is changed by the same rotation, shear, stretch, flip and line width as strokes with its key id would be;
    the others need strokes. Raises ValueError for a strength out of range.
    """

    rotation: float
    shear: float
    stretch: float
    flip: float
    dropout: float
    jitter: float
    line_width: float
    split: float = 0
    reorder: float = 0
    reverse: float = 0
    stop: float = 0
    stop_from: float = 0.25
    speed: float = 0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"augment.{name}={getattr(self, name)} must lie between {low} and {high}")

    def __call__(self, drawings: Drawings, salt: str) -> tuple[Drawings, NDArray[np.float32]]:
        """The changed drawings, their points float32, and the factors on their line widths, float32 [N].

        The random numbers are a hash of `salt` and the drawing's key id. They do not depend on the batch or the rank.
        """
        kept = drop_strokes(drawings, self.dropout, stroke_chances(drawings, f"{salt} strokes"))
        kept = self._redraw(kept, salt)
        chance = drawing_chances(kept.key_ids, f"{salt} drawings", 11)
        points = wave(kept, self.jitter, chance[:, 5:].reshape(-1, 2, 3))
        maps = np.repeat(matrices(*self._affine(*chance[:, :4].T)), np.diff(kept.drawing_point_starts), axis=0)
        points = np.einsum("pij,pj->pi", maps, points)
        moved = Drawings(points, kept.stroke_lengths, kept.stroke_counts, kept.labels, kept.key_ids)
        return moved, self.line_width ** (2 * chance[:, 4] - 1)

    def change_image(self, image: NDArray[np.uint8], key_id: int, salt: str) -> tuple[NDArray[np.uint8], float]:
        """The changed image, gray uint8 [H, W], and the factor on its line width."""
        chance = drawing_chances(np.array([key_id], np.uint64), f"{salt} drawings", 11)
        angle, slant, width, height = (float(one[0]) for one in self._affine(*chance[:, :4].T))
        return warp(image, angle, slant, width, height), float(self.line_width ** (2 * chance[0, 4] - 1))

    def paces(self, drawings: Drawings, salt: str) -> NDArray[np.float32] | None:
        """By what share the speed of the pen rises and falls along each stroke, and where that begins: float32 [S, 2].

        drawings: as `__call__` changed them with the same salt. None where speed is 0.
        """
        if not self.speed:
            return None
        share, start = (stroke_chances(drawings, f"{salt} {what}") for what in ("speed", "start of speed"))
        return np.stack([np.float32(self.speed) * share, start], axis=1)

    def _redraw(self, drawings: Drawings, salt: str) -> Drawings:
        """The same lines by another pen: not finished, in other strokes, in another order or direction."""
        if not len(drawings):
            return drawings
        unfinished, share, reordered = drawing_chances(drawings.key_ids, f"{salt} pen", 3).T
        if self.stop:
            shares = np.where(unfinished < self.stop, self.stop_from + (1 - self.stop_from) * share, 1)
            drawings = stop_drawings(drawings, shares.astype(np.float64))
        if self.split:
            chances = [stroke_chances(drawings, f"{salt} {what}") for what in ("split", "place of split")]
            drawings = cut_strokes(drawings, self.split, np.stack(chances, axis=1))
        if self.reverse or self.reorder:
            backwards = stroke_chances(drawings, f"{salt} reverse") < self.reverse
            chance, numbers = stroke_chances(drawings, f"{salt} order"), np.arange(len(backwards), dtype=np.float64)
            ranks = np.where(np.repeat(reordered < self.reorder, drawings.stroke_counts), chance, numbers)
            drawings = rearrange_strokes(drawings, backwards, ranks)
        return drawings

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
        vars(self).update(vars(rasterizer))  # all its options, which it has checked
        self._augment, self._salt = augment, salt

    def __call__(self, drawings: Drawings, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Augment and draw every drawing: uint8 [N, *shape], written into `out` if it is given."""
        return self.draw(*self._augment(drawings, self._salt), out)

    def place(self, image: NDArray[np.uint8], key_id: int) -> NDArray[np.uint8]:
        """Augment a gray image [H, W] and fit it into the square: uint8 [*shape].

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
