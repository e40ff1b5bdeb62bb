"""The drawing of strokes that is part of an export is that of deepdraw's compiled code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepdraw.drawings import Drawings, PointSampler, Rasterizer
from deepdraw.export import padded
from deepdraw.export.drawing import Lines, segments
from deepdraw.export.sampling import Points


def random_drawings(seed: int, number: int = 40) -> list[list[np.ndarray]]:
    """Drawings of one to nine strokes of one to twelve points, some of which are the same point again."""
    random = np.random.default_rng(seed)
    counts = [random.integers(1, 13, random.integers(1, 10)) for _ in range(number)]
    return [[random.integers(0, 256, (n, 2)).repeat(random.integers(1, 3), axis=0) for n in one] for one in counts]


def drawn(packed: Drawings):
    return segments(*map(torch.from_numpy, padded(packed)))


@pytest.mark.parametrize("channels", ["ink", "shaded", "thirds"])
@pytest.mark.parametrize("polarity", ["black_on_white", "white_on_black"])
def test_lines_differ_from_the_rasterizer_by_a_level_at_most(channels, polarity):
    packed = Drawings.pack(random_drawings(0))
    rasterizer = Rasterizer(24, 1.7, 0.05, polarity, "drawing", channels)
    found, expected = Lines(rasterizer)(drawn(packed)).numpy(), rasterizer(packed)
    assert found.dtype == expected.dtype
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("number", [8, 33, 96])
def test_points_are_those_of_the_point_sampler(number):
    packed = Drawings.pack(random_drawings(1, 200))
    sampler = PointSampler(number)
    np.testing.assert_allclose(Points(sampler)(drawn(packed)).numpy(), sampler(packed), atol=1e-4)


def test_a_drawing_of_one_dot_and_one_of_more_strokes_than_points():
    packed = Drawings.pack([[[(7, 9)]], [[(k, 3), (k, 200)] for k in range(0, 250, 10)]])
    sampler, rasterizer = PointSampler(16), Rasterizer(32)
    np.testing.assert_allclose(Points(sampler)(drawn(packed)).numpy(), sampler(packed), atol=1e-5)
    assert np.abs(Lines(rasterizer)(drawn(packed)).numpy().astype(int) - rasterizer(packed)).max() <= 1


def test_drawings_are_padded_behind_their_last_point():
    points, numbers = padded(Drawings.pack([[[(1, 2), (3, 4)], [(5, 6)]], [[(7, 8)]]]))
    assert points.tolist() == [[[1, 2], [3, 4], [5, 6]], [[7, 8], [0, 0], [0, 0]]]
    assert numbers.tolist() == [[0, 0, 1], [0, -1, -1]]
    assert (points.dtype, numbers.dtype) == (np.float32, np.int32)
