"""Images of three channels that tell the order of drawing, against a slow reference, and where they are refused."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepdraw.data import Loader, open_folder
from deepdraw.data.doodles import open_doodles
from deepdraw.data.doodles.source import SEEN, draw_all
from deepdraw.drawings import Augment, AugmentingRasterizer, Drawings, PointSampler, Rasterizer, draw_image, place_image

strokes = arrays(np.uint8, st.tuples(st.integers(1, 7), st.just(2)))
AUGMENT = Augment(rotation=20, shear=0.1, stretch=0.1, flip=0.5, dropout=0.2, jitter=0.02, line_width=1.3)


def drawings(*strokes_of_each) -> Drawings:
    return Drawings.pack([[np.array(stroke) for stroke in drawn] for drawn in strokes_of_each])


def rasterizer(channels: str, size: int = 32, width: float = 2.0, **options) -> Rasterizer:
    return Rasterizer(size, width, images="drawing", channels=channels, **options)


class Reference:
    """The segments of a drawing in pixels, their places in its line, and their ink, in double precision."""

    def __init__(self, drawn: list[np.ndarray], size: int, width: float) -> None:
        points = np.concatenate(drawn).astype(float)
        low, high = points.min(axis=0), points.max(axis=0)
        scale = (size * 0.96 - width) / max((high - low).max(), 1)
        self.pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) + 0.5
        self.width, self.segments, self.done = width, [], [0.0]
        for stroke in drawn:
            placed = (stroke - (low + high) / 2) * scale + size / 2
            for a, b in pairwise(placed) if len(placed) > 1 else [(placed[0], placed[0])]:
                self.segments.append((a, b))
                self.done.append(self.done[-1] + np.linalg.norm(b - a))
        self.total = self.done[-1]

    def cover(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cover of every pixel in [0, 1], and the share of the segment at which it is nearest to the pixel."""
        share = ((self.pixels - a) @ (b - a) / max((b - a) @ (b - a), 1e-12)).clip(0, 1)
        distance = np.linalg.norm(self.pixels - a - share[..., None] * (b - a), axis=-1)
        return (self.width / 2 + 0.5 - distance).clip(0, 1), share

    def shaded(self) -> np.ndarray:
        """Ink; ink less 85 % of the share of the line that was drawn before; ink by the direction."""
        image = np.zeros((3, *self.pixels.shape[:2]))
        for (a, b), before, after in zip(self.segments, self.done, self.done[1:], strict=False):
            cover, share = self.cover(a, b)
            order = (before + share * (after - before)) / self.total if self.total else 0
            angle = np.arctan2(*(b - a)[::-1])
            lean = 0.6 + 0.4 * np.cos(2 * angle) if (a != b).any() else 0.6
            image = np.maximum(image, [cover, cover * (1 - 0.85 * order), cover * lean])
        return 255 * image

    def thirds(self) -> np.ndarray:
        """What is drawn after a third, two thirds, and all of the length."""
        image = np.zeros((3, *self.pixels.shape[:2]))
        for (a, b), before, after in zip(self.segments, self.done, self.done[1:], strict=False):
            for third in range(3):
                room = (third + 1) / 3 * self.total - before
                if room >= 0 or third == 2:
                    end = b if third == 2 or after - before <= room else a + (b - a) * room / (after - before)
                    image[third] = np.maximum(image[third], self.cover(a, end)[0])
        return 255 * image


@settings(max_examples=40, deadline=None)
@given(st.lists(strokes, min_size=1, max_size=4), st.sampled_from([16, 31, 64]), st.floats(0.5, 2))
def test_shaded_is_ink_and_ink_by_order_and_by_direction(drawn, size, width):
    image = rasterizer("shaded", size, width, polarity="white_on_black")(drawings(drawn))[0]
    assert np.abs(image - Reference(drawn, size, width).shaded()).max() <= 1.5


@pytest.mark.parametrize("size", [16, 31, 64])
def test_thirds_are_the_drawing_after_each_third_of_its_line(size):
    doodles = draw_all(SEEN[:10], 3, seed=0)
    images = rasterizer("thirds", size, 1.5, polarity="white_on_black")(doodles)
    for i, image in enumerate(images):
        assert np.abs(image - Reference(doodles.strokes(i), size, 1.5).thirds()).max() <= 1.5


def test_thirds_of_one_line_end_at_a_third_and_two_thirds():
    image = rasterizer("thirds", 100, 2.0, margin=0, polarity="white_on_black")(drawings([[[0, 5], [255, 5]]]))[0]
    ends = [np.flatnonzero(channel[50] > 127).max() + 1 for channel in image]
    assert ends == pytest.approx([1 + 98 / 3 + 1, 1 + 98 * 2 / 3 + 1, 100], abs=1)


def test_shaded_ink_goes_from_255_to_38_along_the_line_and_by_its_direction():
    horizontal, vertical, dot = (
        rasterizer("shaded", 64, 5.0, polarity="white_on_black")(drawings([stroke]))[0]
        for stroke in ([[0, 9], [255, 9]], [[9, 0], [9, 255]], [[9, 9]])
    )
    row = horizontal[1, 32]
    assert (row[3], row[60]) == (pytest.approx(255, abs=3), pytest.approx(38, abs=3))
    assert (np.diff(row[4:60].astype(int)) < 0).all()
    assert [image[2].max() for image in (horizontal, vertical, dot)] == [255, 51, 153]
    assert dot[1].max() == 255


@pytest.mark.parametrize(("channels", "all_ink"), [("shaded", 0), ("thirds", 2)])
@pytest.mark.parametrize("polarity", ["black_on_white", "white_on_black"])
def test_one_channel_is_the_ink_of_today_and_the_others_have_no_more_of_it(channels, all_ink, polarity):
    doodles = draw_all(SEEN[:10], 5, seed=0)
    ink = Rasterizer(48, 1.5, polarity=polarity)(doodles)
    images = rasterizer(channels, 48, 1.5, polarity=polarity)(doodles)
    assert images.shape == (50, 3, 48, 48)
    assert np.array_equal(images[:, all_ink], ink)
    paper = 255 if polarity == "black_on_white" else 0
    assert (np.abs(images.astype(int) - paper) <= np.abs(ink.astype(int) - paper)[:, None]).all()


@pytest.mark.parametrize("channels", ["shaded", "thirds"])
def test_a_drawing_looks_alike_in_any_company_and_any_memory(channels):
    doodles, draw = draw_all(SEEN[:4], 3, seed=1), rasterizer(channels)
    images = np.full((12, *draw.shape), 99, np.uint8)
    assert draw(doodles, images) is images
    for i in range(12):
        assert np.array_equal(draw(doodles.take(np.array([i])))[0], images[i])
    assert draw(Drawings.pack([])).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("channels", ["shaded", "thirds"])
def test_workers_and_points_beside_them_have_the_same_images(channels, tmp_path):
    split, cpu = open_doodles(str(tmp_path / "doodles"), 3, seed=0).split("train"), torch.device("cpu")
    loading = {"batch_size": 16, "shuffle": True, "device": cpu, "augment": AUGMENT, "seed": 3}
    alone = list(Loader(split, rasterizer(channels), num_workers=0, **loading).epoch())
    workers = Loader(split, rasterizer(channels), num_workers=1, **loading)
    both = Loader(split, rasterizer(channels), points=PointSampler(32), num_workers=0, **loading)
    for one, other, pair in zip(alone, workers.epoch(), both.epoch(), strict=True):
        assert one.inputs.shape == (16, 3, 32, 32)
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.inputs, pair.inputs[0])
    workers.close()


def picture() -> np.ndarray:
    image = np.full((60, 60), 255, np.uint8)
    cv2.polylines(image, [np.array([[8, 8], [50, 12], [30, 50]], np.int32)], False, 0, 3)
    return image


@pytest.mark.parametrize("channels", ["shaded", "thirds"])
def test_the_lines_of_an_image_are_traced_and_their_order_told(channels, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), picture())
    draw = rasterizer(channels, 24)
    image = draw_image(picture(), draw)
    assert image.shape == (3, 24, 24) and len({channel.tobytes() for channel in image}) == 3
    split = open_folder(tmp_path)
    (batch,) = Loader(split, draw, batch_size=2, shuffle=False, device=torch.device("cpu"), num_workers=0).epoch()
    assert all(np.array_equal(found, image) for found in batch.inputs.numpy())
    assert place_image(picture(), 7, AugmentingRasterizer(draw, AUGMENT, "1 1")).shape == image.shape
    blank = draw_image(np.full((60, 60), 255, np.uint8), draw)
    assert blank.shape == image.shape and (blank == 255).all()


@pytest.mark.parametrize("channels", ["shaded", "thirds"])
def test_images_as_they_are_have_no_order(channels):
    with pytest.raises(ValueError, match=rf"^render\.channels={channels} needs lines in an order, .* render\.images="):
        Rasterizer(32, channels=channels, images="canvas")


def test_unknown_channels_are_refused():
    with pytest.raises(ValueError, match=r"^render\.channels='rgb' must be ink, shaded or thirds$"):
        rasterizer("rgb")
