"""Imitates a hand: changes ideal strokes into what a person in a hurry would draw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from math import dist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from deepdraw.data.doodles.strokes import Stroke


def hand(ideals: Sequence[list[Stroke]], rngs: Sequence[Generator]) -> list[list[Stroke]]:
    """Draw every drawing of ideal strokes as a person would, and scale it to 0..255 from the top-left corner.

    The last stroke may be missing, two strokes may be merged, one may be split. Order and direction change, and closed
    strokes start elsewhere. Each stroke wobbles and drifts (so outlines do not quite close), over- or undershoots at
    its ends, and has more or fewer points. The whole drawing is bowed, stretched, sheared and turned. How careless the
    hand is differs from drawing to drawing.

    Each drawing depends only on its own random generator. All are drawn at once because that is faster.
    """
    drawings = [_rephrase(strokes, rng) for strokes, rng in zip(ideals, rngs, strict=True)]
    num_strokes = [len(strokes) for strokes in drawings]
    num_points = np.array([sum(map(len, strokes)) for strokes in drawings])
    strokes = list(chain.from_iterable(drawings))
    lengths = np.array([len(stroke) for stroke in strokes])
    points = np.concatenate(strokes)

    manners = np.array([rng.uniform(-1, 1, 12) for rng in rngs])
    noise = [rng.standard_normal((num, 9, 2)) for num, rng in zip(num_strokes, rngs, strict=True)]
    luck = np.concatenate([rng.random(num) for num, rng in zip(num_points, rngs, strict=True)])
    manner_of = np.repeat(manners, num_points, axis=0)
    starts = np.cumsum(lengths) - lengths

    points += np.exp(0.6 * manner_of[:, :1]) * _slips(points, starts, lengths, np.concatenate(noise))
    followed = luck < 0.72 + 0.28 * manner_of[:, 1]
    followed[starts] = followed[starts + lengths - 1] = True
    points = _bend(points, manner_of[:, 2:])[followed]
    num_points = np.add.reduceat(followed, np.cumsum(num_points) - num_points, dtype=int)
    ends = np.cumsum(np.add.reduceat(followed, starts, dtype=int))
    drawn = iter(np.split(_fit(points, num_points), ends[:-1]))
    return [list(islice(drawn, num)) for num in num_strokes]


def _rephrase(strokes: list[Stroke], rng: Generator) -> list[Stroke]:
    """The same drawing in other strokes: one missing, two merged, one split, some reversed, reordered."""
    strokes = list(strokes)
    if len(strokes) > 2 and rng.random() < 0.25:
        strokes.pop()
    if len(strokes) > 1 and rng.random() < 0.15:
        second = rng.integers(1, len(strokes))
        strokes[second - 1 : second + 1] = [np.concatenate(strokes[second - 1 : second + 1])]
    if rng.random() < 0.15:
        which = rng.integers(len(strokes))
        cut = rng.integers(2, len(strokes[which]) - 2)
        strokes[which : which + 1] = [strokes[which][: cut + 1], strokes[which][cut:]]
    for i, stroke in enumerate(strokes):
        if dist(stroke[0], stroke[-1]) < 1e-9:
            first = rng.integers(len(stroke) - 1)
            stroke = np.concatenate([stroke[first:], stroke[1 : first + 1]])
        strokes[i] = stroke[::-1] if rng.random() < 0.4 else stroke
    return [strokes[i] for i in rng.permutation(len(strokes))] if rng.random() < 0.5 else strokes


def _slips(
    points: Stroke, starts: NDArray[np.int64], lengths: NDArray[np.int64], noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The displacement of each point [P, 2], from standard normal `noise` [S, 9, 2]."""
    stroke_of = np.repeat(np.arange(len(lengths)), lengths)
    along = ((np.arange(len(points)) - starts[stroke_of]) / (lengths - 1)[stroke_of])[:, None]
    waves = 2 * np.pi * np.array([0.6, 1.3, 2.7]) * along
    shift_drift_and_waves = np.concatenate([np.ones_like(along), along, np.sin(waves), np.cos(waves)], axis=1)
    shares = np.array([0.5, 0.5, 0.45, 0.3, 0.15, 0.45, 0.3, 0.15])[:, None]
    extents = np.maximum.reduceat(points, starts) - np.minimum.reduceat(points, starts)
    sizes = (0.006 + 0.05 * extents.max(axis=1))[:, None, None] * shares * noise[:, :8]
    slips = np.einsum("pk,pkc->pc", shift_drift_and_waves, sizes[stroke_of])
    for tip, before, luck in ((starts, starts + 1, 0), (starts + lengths - 1, starts + lengths - 2, 1)):
        slips[tip] += (0.1 + 0.3 * noise[:, 8, luck, None]) * (points[tip] - points[before])
    return slips


def _bend(points: Stroke, manner_of: NDArray[np.float64]) -> Stroke:
    """Bow, stretch, shear and turn each drawing by ten numbers in -1..1, repeated for each of its points."""
    bow, wave, phase, stretch, (lean, tilt) = manner_of.reshape(-1, 5, 2).transpose(1, 2, 0)
    x, y = points.T
    across, down = 0.05 * bow * np.sin((3.5 + 1.5 * wave) * np.stack([y, x]) + np.pi * phase)
    width, height = np.exp(0.2 * stretch)
    x, y = width * (x + across) + 0.16 * lean * y, height * (y + down)
    cos, sin = np.cos(0.22 * tilt), np.sin(0.22 * tilt)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _fit(points: Stroke, num_points: NDArray[np.int64]) -> Stroke:
    """Move each drawing, of `num_points`, to the top-left corner and scale its longer side to 255."""
    starts = np.cumsum(num_points) - num_points
    least = np.minimum.reduceat(points, starts)
    scale = 255 / (np.maximum.reduceat(points, starts) - least).max(axis=1, keepdims=True)
    return (points - np.repeat(least, num_points, axis=0)) * np.repeat(scale, num_points, axis=0)
