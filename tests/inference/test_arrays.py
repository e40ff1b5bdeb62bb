"""Arrays, tensors and folders stand for many drawings; a shape that could mean two things is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from deepdraw.drawings import Rasterizer
from deepdraw.inference.inputs import draw, listed

RASTERIZER = Rasterizer(16)
GRAY = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
COLOR = np.repeat(GRAY[..., None], 3, axis=3)


def images(given) -> np.ndarray:
    return draw(listed(given), RASTERIZER)


@pytest.mark.parametrize(
    "given",
    [
        GRAY,
        COLOR,
        GRAY[..., None],
        COLOR.transpose(0, 3, 1, 2),
        GRAY.astype(np.float32),
        (GRAY / 255).astype(np.float64),
        torch.from_numpy(GRAY),
        torch.from_numpy(GRAY)[:, None],
        torch.from_numpy(GRAY)[:, None].float() / 255,
        torch.from_numpy(COLOR.transpose(0, 3, 1, 2).copy()).float().requires_grad_(),
        list(torch.from_numpy(GRAY)[:, None]),
        list(torch.from_numpy(COLOR.transpose(0, 3, 1, 2).copy())),
        list(GRAY),
    ],
    ids=[
        *("gray", "color", "one channel", "channels first", "floats to 255", "floats to 1"),
        *("tensor", "a channel", "floats", "color tensor of floats", "list of tensors", "list in color", "list"),
    ],
)
def test_an_array_or_tensor_of_many_images_is_that_many(given):
    found = images(given)
    assert len(found) == 5
    assert np.abs(found.astype(int) - GRAY).max() <= 1


@pytest.mark.parametrize("given", [GRAY[0], COLOR[0], torch.from_numpy(GRAY[0]), torch.from_numpy(GRAY[:1])])
def test_a_single_image_is_one(given):
    assert np.abs(images(given).astype(int) - GRAY[0]).max() <= 1
    assert len(images(given)) == 1


def test_floats_of_many_images_share_one_scale():
    given = np.stack([np.full((16, 16), 255.0), np.ones((16, 16))])
    assert images(given)[:, 0, 0].tolist() == [255, 1]


def test_bfloat16_is_read():
    assert np.abs(images(torch.from_numpy(GRAY).to(torch.bfloat16) / 256).astype(int) - GRAY).max() <= 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(3, 16, 16), r"tensor \[3, 16, 16\] may be 3 images in gray or one in color: give \[N, C, H, W\]"),
        (np.zeros((9, 784), np.uint8), r"bitmaps, white on black: give 255 - array\.reshape\(-1, 28, 28\)"),
        (np.zeros((2, 5, 16, 16)), "colors nowhere, or in two places"),
        (np.zeros((2, 3, 16, 4)), "colors nowhere, or in two places"),
        (np.zeros((1, 2, 3, 4, 5)), "cannot be read: give"),
        (np.zeros((0, 16, 16)), "cannot be read: give"),
        (np.full((2, 16, 16), 300.0), "give uint8, or floats from 0 to 1, or from 0 to 255"),
        (torch.zeros(2, 16, 16, dtype=torch.complex64), "of another kind"),
    ],
    ids=["a tensor of three", "bitmaps", "no colors", "two colors", "five axes", "none", "too large", "complex"],
)
def test_what_could_mean_two_things_is_refused_with_what_to_give(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        images(given)
    assert "\n" not in str(caught.value)


def test_a_folder_stands_for_the_images_in_it(tmp_path):
    (tmp_path / "a folder").mkdir()
    for number, suffix in enumerate(("png", "bmp", "webp")):
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(GRAY[number]).save(tmp_path / "a folder" / f"{number}.{suffix}", **options)
    (tmp_path / "a folder" / ".hidden.png").write_bytes(b"x")
    for folder in (tmp_path / "a folder", str(tmp_path)):
        assert np.abs(images(folder).astype(int) - GRAY[:3]).max() <= 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no drawing"):
        images(tmp_path / "empty")
