"""Sheets of drawings with what a classifier reads in them: as they come, the worst mistakes, one of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from deepdraw.report.style import BLUE, DPI, FAINT, INK, VERMILION, WIDE, Picture, import_matplotlib
from deepdraw.runtime import shown

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from deepdraw.evaluation import Predictions

Draw = Callable[[NDArray[np.int64], int], NDArray[np.uint8]]  # positions [n] in a split and a size to images [n, S, S]

_NUM_FIRST, _NUM_MISTAKES = 24, 40  # drawings shown
_WIDTH = round(WIDE * DPI)  # pixels
_LONGEST = 200  # characters of a line; many more than there is room for
_GAP, _LINE, _HEADING = 6, 20, 44  # pixels between tiles, of a line of text, of a heading


@dataclass(frozen=True, eq=False)
class Tile:
    """A drawing uint8 [S, S], or [3, S, S] in color, in a frame of `color`, and one or two lines of text below it."""

    image: NDArray[np.uint8]
    color: str
    name: str
    note: str = ""


def mistakes(predictions: Predictions, draw: Draw) -> Picture | None:
    """The 40 most confident mistakes, with the name read, its probability and the true name; None without any."""
    wrong = np.flatnonzero(~predictions.right)
    if not len(wrong):
        return None
    worst = wrong[np.argsort(-predictions.confidences[wrong], kind="stable")][:_NUM_MISTAKES]
    num_columns = 10
    images = draw(worst, tile_size(num_columns))
    names = predictions.classes
    tiles = [
        _prediction_tile(
            image, names[predictions.predicted[i]], names[predictions.labels[i]], predictions.confidences[i]
        )
        for image, i in zip(images, worst, strict=True)
    ]
    i = worst[0]
    about = (
        f"The {len(worst)} most confident of {len(wrong):,} mistakes among {len(predictions):,} drawings. The "
        f"first: {names[predictions.labels[i]]}, read as {names[predictions.predicted[i]]} "
        f"with a probability of {100 * predictions.confidences[i]:.0f} %."
    )
    return sheet({"Most confident mistakes": tiles}, num_columns, about)


def typical(predictions: Predictions, draw: Draw) -> Picture:
    """One drawing of each class: the correct one of highest confidence, else that of the best rank."""
    num_columns = 15 if len(predictions.classes) > 60 else 10
    chosen = most_typical(predictions)
    tiles = [
        Tile(image, BLUE if predictions.right[i] else VERMILION, predictions.classes[predictions.labels[i]])
        for image, i in zip(draw(chosen, tile_size(num_columns)), chosen, strict=True)
    ]
    num_never = int((~predictions.right[chosen]).sum())
    about = f"Of each of {len(chosen)} classes the drawing that was read rightly with the most confidence."
    if num_never:
        about += f" {num_never} classes were never read rightly: they have a vermilion frame."
    return sheet({"A typical drawing of each class": tiles}, num_columns, about)


def most_typical(predictions: Predictions) -> NDArray[np.int64]:
    """The position of the most confident right drawing of each class that has drawings, int64, in class order.

    Where none is right, it is the one with the best rank of the true class.
    """
    uncertainty = predictions.ranks - np.where(predictions.right, predictions.confidences, 0.0)
    order = np.lexsort((uncertainty, predictions.labels))
    _, first = np.unique(predictions.labels[order], return_index=True)
    return order[first]


def plot_sheet(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    logits: NDArray[np.float32],
    class_names: Sequence[str],
    out: Path,
) -> None:
    """Draw what a classifier sees and says: drawings as they come, then its most confident mistakes.

    `images` uint8 [N, S, S], or [N, 3, S, S] in color, in random order, `labels` int [N], `logits` float [N, C]. The
    PNG `out` shows the first 24 and the 24 worst, or as many as there are, each with the predicted name and its
    probability; a mistake also bears the true name.
    """
    predicted = logits.argmax(axis=1)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidences = odds.max(axis=1) / odds.sum(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    first = np.arange(len(images))[:_NUM_FIRST]
    worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:_NUM_FIRST]
    num_right = int((predicted[first] == labels[first]).sum())
    parts = {f"Drawings as they come: {num_right} of {len(first)} read right": first}
    if len(wrong):
        parts[f"Most confident mistakes, of {len(wrong):,} among {len(images):,} drawings"] = worst
    tiles_of = {
        heading: [
            _prediction_tile(images[i], class_names[predicted[i]], class_names[labels[i]], confidences[i])
            for i in shown
        ]
        for heading, shown in parts.items()
    }
    sheet(tiles_of, 8, ". ".join(parts) + ".").save(out)


def sheet(tiles_of: Mapping[str, Sequence[Tile]], num_columns: int, about: str) -> Picture:
    """Tiles in rows of `num_columns` under their headings, the first of which is the title of the picture."""
    parts = []
    for heading, tiles in tiles_of.items():
        num_lines = 1 + any(tile.note for tile in tiles)
        cells = [divmod(i, num_columns)[::-1] for i in range(len(tiles))]
        parts.append(lay_out(heading, tiles, cells, num_columns, num_lines))
    return Picture(_stacked(parts), next(iter(tiles_of)), about)


def lay_out(
    heading: str, tiles: Sequence[Tile], cells: Sequence[tuple[int, int]], num_columns: int, num_lines: int = 1
) -> Image:
    """A page with each tile in its cell (column, row) of a grid, with room for `num_lines` of text below it."""
    from PIL import Image as Images
    from PIL import ImageDraw as Drawing

    width = _WIDTH // num_columns
    height = width + num_lines * _LINE
    num_rows = 1 + max(row for _, row in cells)
    page = Images.new("RGB", (_WIDTH, _HEADING + num_rows * height + _GAP), "white")
    pen = Drawing.Draw(page)
    pen.text((_GAP, 8), shown(heading, _LONGEST), INK, _font(22, bold=True))
    for tile, (column, row) in zip(tiles, cells, strict=True):
        left, top, size = column * width + _GAP // 2, _HEADING + row * height, width - _GAP
        page.paste(_resized(tile.image, size), (left, top))
        pen.rectangle((left, top, left + size - 1, top + size - 1), outline=tile.color, width=2)
        middle, below = left + size // 2, top + size + 2
        _write(pen, middle, below, tile.name, tile.color if tile.note else INK, size + _GAP - 2)
        _write(pen, middle, below + _LINE - 2, tile.note, FAINT, size + _GAP - 2)
    return page


def tile_size(num_columns: int) -> int:
    """Pixels on a side of each drawing of a sheet."""
    return _WIDTH // num_columns - _GAP


def _stacked(pages: Sequence[Image]) -> Image:
    from PIL import Image as Images

    whole = Images.new("RGB", (_WIDTH, sum(page.height for page in pages)), "white")
    top = 0
    for page in pages:
        whole.paste(page, (0, top))
        top += page.height
    return whole


def _resized(image: NDArray[np.uint8], size: int) -> Image:
    from PIL.Image import fromarray

    interpolation = cv2.INTER_AREA if image.shape[-1] > size else cv2.INTER_CUBIC
    pixels = image if image.ndim == 2 else np.ascontiguousarray(image.transpose(1, 2, 0))
    return fromarray(cv2.resize(pixels, (size, size), interpolation=interpolation))


def _write(pen: ImageDraw, middle: int, top: int, text: str, color: str, width: int) -> None:
    """Write a line that keeps within `width` pixels: in a smaller font where it must, else cut short."""
    text = shown(text, _LONGEST)
    font = next((font for font in map(_font, range(15, 9, -1)) if font.getlength(text) <= width), _font(10))
    while font.getlength(text) > width:
        text = text[:-2] + "…"
    pen.text((middle, top + 15 - font.size), text, color, font, anchor="ma")


@cache
def _font(size: int, bold: bool = False) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(
        f"{import_matplotlib().get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf", size
    )


def _prediction_tile(image: NDArray[np.uint8], prediction: str, truth: str, confidence: float) -> Tile:
    right = prediction == truth
    note = f"{100 * confidence:.0f} %" + ("" if right else f", is {truth}")
    return Tile(image, BLUE if right else VERMILION, prediction, note)
