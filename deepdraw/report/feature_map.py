"""The feature map: a typical drawing of each class, placed by t-SNE of the mean features of the classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepdraw.report.sheets import Draw, Tile, lay_out, most_typical, tile_size
from deepdraw.report.style import FAINT, Picture

if TYPE_CHECKING:
    from deepdraw.evaluation import Predictions

_NUM_COLUMNS = 22
_ROOM = 1.3  # cells of the grid for each class: those left empty show where groups end
_PERPLEXITY = 12


def feature_map(prototypes: NDArray[np.float32], predictions: Predictions, draw: Draw) -> Picture | None:
    """A typical drawing of each class on a map of the class prototypes; None with fewer than 8 classes.

    prototypes: float32 [C, D], rows of NaN for classes without drawings.
    """
    chosen = most_typical(predictions)
    labels = predictions.labels[chosen].astype(np.int64)
    shown = np.isfinite(prototypes[labels]).all(axis=1)
    chosen, labels = chosen[shown], labels[shown]
    if len(labels) < 8:
        return None
    cells = on_grid(project(prototypes[labels]), _NUM_COLUMNS, math.ceil(_ROOM * len(labels) / _NUM_COLUMNS))
    images = draw(chosen, tile_size(_NUM_COLUMNS))
    tiles = [Tile(image, FAINT, predictions.classes[label]) for image, label in zip(images, labels, strict=True)]
    title = "Map of the classes' features"
    about = (
        f"A typical drawing of each of {len(labels)} classes, laid out by t-SNE of the classes' mean features and "
        "moved to the nearest free cell of a grid: neighbors are alike to the encoder."
    )
    return Picture(lay_out(title, tiles, [(x, y) for x, y in cells.tolist()], _NUM_COLUMNS), title, about)


def project(prototypes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Places float64 [C, 2] in the unit square: t-SNE of the directions of features (JMLR 9, 2008)."""
    from sklearn.manifold import TSNE

    centered = prototypes - prototypes.mean(axis=0)
    units = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    perplexity = min(_PERPLEXITY, (len(units) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(units)
    return (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-12)


def on_grid(places: NDArray[np.float64], num_columns: int, num_rows: int) -> NDArray[np.int64]:
    """A cell (column, row) for each of `places` [N, 2] in the unit square, int64 [N, 2]; all differ.

    The sum of squared distances to the cells is the least that there is.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = np.divmod(np.arange(num_columns * num_rows), num_columns)
    cells = np.stack([columns, rows], axis=1)
    wanted = places * (num_columns - 1, num_rows - 1)
    costs = np.square(wanted[:, None] - cells).sum(axis=2)
    return cells[linear_sum_assignment(costs)[1]]
