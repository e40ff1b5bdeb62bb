"""Strokes to points: what a backbone sees that reads drawings in their order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import Joined, Loader, MemorySplit, Relabeled, Subset
from deepdraw.drawings import POINT_NUMBERS, Augment, Drawings, PointSampler, Rasterizer, drawings_of_points

CPU = torch.device("cpu")
X, Y, IS_START, DX, DY, IS_POINT, ORDER, STROKE = range(len(POINT_NUMBERS))
STRONG = Augment(rotation=30, shear=0.2, stretch=0.3, flip=0.5, dropout=0.3, jitter=0.02, line_width=1.5)

strokes = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=12)
drawings = st.lists(st.lists(strokes, min_size=1, max_size=20), min_size=1, max_size=4)


def packed(several: list[list[list[tuple[int, int]]]]) -> Drawings:
    return Drawings.pack(several, np.arange(len(several)) % 3, list(range(len(several))))


def reference(drawing: list[np.ndarray], most: int) -> np.ndarray:
    """Points [n, 8] of one drawing, by plain Python in double precision: walk along each stroke in equal steps."""
    corners = np.concatenate(drawing)
    middle, side = (corners.min(axis=0) + corners.max(axis=0)) / 2, max(np.ptp(corners, axis=0).max(), 1e-6)
    lengths = [np.hypot(*np.diff(stroke, axis=0).T).sum() for stroke in drawing]
    room = most - len(drawing)
    step = max(sum(lengths) / room * (1 + 1e-4), 1e-6) if room > 0 else np.inf
    rows = []
    for number, (stroke, length) in enumerate(list(zip(drawing, lengths, strict=True))[:most]):
        before, along = sum(lengths[:number]), np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
        for distance in np.arange(0, length, step) if length and np.isfinite(step) else [0.0]:
            place = [np.interp(distance, along, stroke[:, axis]) for axis in (0, 1)]
            segment = min(max(np.searchsorted(along, distance) - 1, 0), len(stroke) - 2)
            direction = np.diff(stroke[segment : segment + 2], axis=0)[0] if distance else np.zeros(2)
            unit = direction / np.hypot(*direction) if distance else direction
            share = (before + distance) / sum(lengths) if sum(lengths) else 0
            rows.append([*(np.array(place) - middle) / side * 2, distance == 0, *unit, 1, share, number / 16])
    return np.array(rows)


@given(drawings, st.sampled_from([8, 13, 96]))
@settings(max_examples=150, deadline=None)
def test_points_lie_at_equal_distances_along_the_strokes(several, most):
    found = PointSampler(most)(packed(several))
    assert found.shape == (len(several), most, 8) and found.dtype == np.float32
    for points, drawing in zip(found, several, strict=True):
        expected = reference([np.array(stroke, float) for stroke in drawing], most)
        count = int(points[:, IS_POINT].sum())
        assert not points[count:].any()  # padding
        assert abs(count - len(expected)) <= len(drawing)  # a last step may end a rounding error beyond a stroke
        if count == len(expected):
            np.testing.assert_allclose(points[:count, [X, Y, ORDER]], expected[:, [X, Y, ORDER]], atol=2e-3)
            np.testing.assert_array_equal(points[:count, [IS_START, STROKE]], expected[:, [IS_START, STROKE]])


@given(drawings)
@settings(max_examples=100, deadline=None)
def test_points_fill_the_box_and_the_order_rises(several):
    for points in PointSampler(64)(packed(several)):
        real = points[points[:, IS_POINT] > 0]
        assert np.abs(real[:, [X, Y]]).max() <= 1 + 1e-5
        assert (np.diff(real[:, ORDER]) >= -1e-6).all() and real[:, ORDER].min() >= 0 and real[:, ORDER].max() <= 1.001
        starts = real[:, IS_START] > 0
        assert starts[0] and (np.diff(real[:, STROKE])[~starts[1:]] == 0).all()
        np.testing.assert_allclose(np.hypot(real[~starts, DX], real[~starts, DY]), 1, atol=1e-5)
        assert not real[starts][:, [DX, DY]].any()


@given(drawings, st.integers(1, 7), st.floats(-50, 50))
@settings(max_examples=50, deadline=None)
def test_size_and_place_of_a_drawing_do_not_matter(several, factor, shift):
    plain = packed(several)
    moved = Drawings(
        plain.points.astype(np.float32) * factor + np.float32(round(shift)), *list(vars(plain).values())[1:5]
    )
    one, other = PointSampler(48)(plain), PointSampler(48)(moved)
    same = (one[..., IS_POINT] == other[..., IS_POINT]).all(axis=1)
    np.testing.assert_allclose(one[same], other[same], atol=2e-3)


def test_of_more_strokes_than_points_the_first_are_seen():
    drawing = [[(i, 0), (i, 9)] for i in range(30)]
    (points,) = PointSampler(8)(packed([drawing]))
    assert points[:, IS_START].all() and (points[:, STROKE] * 16 == np.arange(8)).all()


def test_points_can_be_drawn_again_as_they_are_seen():
    square = packed([[[(0, 0), (200, 0), (200, 200), (0, 200), (0, 0)], [(100, 100)]]])
    again = drawings_of_points(PointSampler(256)(square))
    assert again.stroke_counts.tolist() == [2]
    difference = Rasterizer(64)(square).astype(int) - Rasterizer(64)(again)
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("points", [0, 7, 5000])
def test_an_impossible_number_of_points_is_refused(points):
    with pytest.raises(ValueError, match=f"input.points={points} must lie between 8 and 4096"):
        PointSampler(points)


def split(number: int = 40, name: str = "a") -> MemorySplit:
    random = np.random.default_rng(number)
    several = [
        [random.integers(0, 256, (random.integers(2, 9), 2)) for _ in range(random.integers(1, 5))]
        for _ in range(number)
    ]
    return MemorySplit(
        [f"{name}{k}" for k in range(3)], Drawings.pack(several, random.integers(0, 3, number), range(number))
    )


def batches(
    data, *, pixels: bool, workers: int = 0, augment=None, first: int = 0, shuffle: bool = True, epoch: int = 2
):
    loader = Loader(
        data,
        Rasterizer(16) if pixels else None,
        points=PointSampler(24),
        batch_size=8,
        shuffle=shuffle,
        device=CPU,
        augment=augment,
        num_workers=workers,
        seed=5,
    )
    found = list(loader.epoch(epoch, first))
    loader.close()
    return found


def test_a_batch_carries_what_the_backbone_sees_and_no_more():
    (batch, *_) = batches(split(), pixels=False)
    assert isinstance(batch.inputs, torch.Tensor) and batch.inputs.shape == (8, 24, 8)
    images, points = batches(split(), pixels=True)[0].inputs
    assert images.shape == (8, 16, 16) and images.dtype == torch.uint8 and points.shape == (8, 24, 8)


@pytest.mark.parametrize("augment", [None, STRONG])
def test_pixels_are_those_of_a_backbone_that_sees_pixels_alone(augment):
    alone = Loader(
        split(), Rasterizer(16), batch_size=8, shuffle=True, device=CPU, augment=augment, num_workers=0, seed=5
    )
    for both, pixels in zip(batches(split(), pixels=True, augment=augment), alone.epoch(2), strict=True):
        assert torch.equal(both.inputs[0], pixels.inputs) and torch.equal(both.labels, pixels.labels)


def test_pixels_and_points_are_augmented_alike():
    for batch in batches(split(), pixels=True, augment=STRONG):
        images, points = batch.inputs
        again = Rasterizer(16)(drawings_of_points(points.numpy()))
        assert np.corrcoef(again.ravel(), images.numpy().ravel())[0, 1] > 0.8  # lines differ in width


@pytest.mark.parametrize("pixels", [False, True])
def test_batches_do_not_depend_on_workers_and_resume_within_an_epoch(pixels):
    whole = batches(split(), pixels=pixels, augment=STRONG)
    for other in (
        batches(split(), pixels=pixels, augment=STRONG, workers=2),
        whole[:2] + batches(split(), pixels=pixels, augment=STRONG, first=2),
    ):
        for one, two in zip(whole, other, strict=True):
            assert torch.equal(one.key_ids, two.key_ids)
            pairs = zip(one.inputs, two.inputs, strict=True) if pixels else [(one.inputs, two.inputs)]
            assert all(torch.equal(*pair) for pair in pairs)


def test_splits_made_of_others_give_the_strokes_whose_pixels_they_give():
    first, second = split(40), split(30, name="b")
    order = [*first.classes, *reversed(second.classes)]
    made = [
        Subset(first, [3, 3, 17, 0]),
        Joined(Subset(first, range(7)), second),
        Relabeled(Joined(first, second), order),
    ]
    for data in made:
        sizes = data.block_sizes
        rows = np.random.default_rng(0).permutation(int(sizes.sum()))
        images = np.empty((len(rows), 16, 16), np.uint8)
        labels, key_ids = data.read(np.arange(len(sizes)), rows, Rasterizer(16), images)
        read = data.read_strokes(np.arange(len(sizes)), rows)
        assert (Rasterizer(16)(read) == images).all()
        assert (read.labels == labels).all() and (read.key_ids == key_ids).all()


def test_images_are_refused_in_one_line():
    class Images(MemorySplit):
        has_strokes = False

    images = Images(["a"], packed([[[(0, 0), (9, 9)]]]))
    with pytest.raises(ValueError, match="the drawings are images, and this backbone sees strokes"):
        batches(images, pixels=False, shuffle=False)
