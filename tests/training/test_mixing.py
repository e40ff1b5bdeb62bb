"""Mixup and cutmix: torchvision's pixels, shares of ink, and the same numbers whatever is drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from deepdraw.training.mixing import Mixing, cutmix, mixup, random_rectangle

alphas = st.sampled_from([0.0, 0.2, 1.0, 5.0])


def sketches(num_images: int = 8, size: int = 12, *, seed: int = 0) -> Tensor:
    """White paper with gray and black specks on a tenth of it."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(256, (num_images, size, size), generator=generator, dtype=torch.uint8)
    return levels.masked_fill(torch.rand(levels.shape, generator=generator) > 0.1, 255)


def shifted(num_images: int) -> Tensor:
    """The partners that torchvision pairs images with."""
    return torch.arange(num_images).roll(1)


def by_torchvision(transform: type, images: Tensor, labels: Tensor, num_classes: int, **params):
    """What its transform makes of the batch with these numbers in place of random ones."""
    reference = transform(num_classes=num_classes)
    reference.make_params = lambda _: params
    mixed, targets = reference(images[:, None].float(), labels)
    return mixed[:, 0], targets


def test_off_leaves_images_and_labels():
    images, labels = sketches(), torch.arange(8) % 3
    before = torch.get_rng_state()
    mixed, targets = Mixing(mixup=0, cutmix=0)(images, labels, 5)
    assert mixed is images
    assert targets is labels
    assert torch.equal(torch.get_rng_state(), before)


@given(
    mixup=alphas,
    cutmix=alphas,
    shape=st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20)),
    num_classes=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_images_stay_bytes_and_targets_are_probabilities(mixup, cutmix, shape, num_classes, seed):
    assume(mixup or cutmix)
    torch.manual_seed(seed)
    images, labels = torch.randint(256, shape, dtype=torch.uint8), torch.randint(num_classes, shape[:1])
    original = images.clone()
    mixed, targets = Mixing(mixup, cutmix)(images, labels, num_classes)
    assert mixed.dtype == torch.uint8
    assert mixed.shape == shape
    assert targets.dtype == torch.float32
    assert targets.shape == (shape[0], num_classes)
    assert targets.min() >= 0
    assert torch.allclose(targets.sum(dim=1), torch.ones(shape[0]))
    assert torch.equal(images, original)


@pytest.mark.parametrize("share", [0.0, 0.123, 0.5, 0.9, 1.0])
def test_mixup_is_torchvisions_rounded(share):
    images, labels = sketches(), torch.arange(8)
    expected, _ = by_torchvision(v2.MixUp, images, labels, 8, lam=share)
    assert (mixup(images, shifted(8), share) - expected).abs().max() <= 0.5 + 1e-4


def test_labels_are_mixed_as_images_are(monkeypatch):
    monkeypatch.setattr(torch, "randperm", shifted)
    images = torch.zeros(8, 1, 8, dtype=torch.uint8)
    images[:, 0] = 255 * torch.eye(8, dtype=torch.uint8)  # so that a mixed image is its own target
    labels = torch.arange(8)
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, targets = Mixing(mixup=1.0, cutmix=0)(images, labels, 8)
        share = targets[0, 0].item()
        assert (mixed[:, 0] - 255 * targets).abs().max() <= 0.5 + 1e-4
        assert torch.allclose(targets, by_torchvision(v2.MixUp, images, labels, 8, lam=share)[1])


@pytest.mark.parametrize("paper", [0, 255])
def test_cutmix_is_torchvisions_but_for_the_shares_which_agree_on_blank_paper(paper):
    labels, rows, columns = torch.arange(8), slice(2, 9), slice(5, 12)
    box = {"box": (5, 2, 12, 9), "lam_adjusted": 1 - 49 / 144}
    images = sketches()
    expected, _ = by_torchvision(v2.CutMix, images, labels, 8, **box)
    assert torch.equal(cutmix(images, shifted(8), rows, columns)[0].float(), expected)

    blank = torch.full_like(images, paper)
    _, targets = by_torchvision(v2.CutMix, blank, labels, 8, **box)
    _, shares = cutmix(blank, shifted(8), rows, columns)
    assert torch.allclose(shares, targets.diag())


def ink_shares(images: Tensor, partners: Tensor, rows: slice, columns: slice) -> list[float]:
    """Pixel by pixel, on white paper."""
    _, height, width = images.shape
    shares = []
    for image, partner in zip(images.tolist(), images[partners].tolist(), strict=True):
        kept = pasted = area = 0
        for y in range(height):
            for x in range(width):
                if y in range(rows.start, rows.stop) and x in range(columns.start, columns.stop):
                    pasted += 255 - partner[y][x]
                    area += 1
                else:
                    kept += 255 - image[y][x]
        shares.append(kept / (kept + pasted) if kept + pasted else 1 - area / (height * width))
    return shares


@given(seed=st.integers(0, 999), num_blank=st.integers(0, 5), edges=st.lists(st.integers(0, 8), min_size=4, max_size=4))
def test_shares_are_those_of_the_ink(seed, num_blank, edges):
    images = sketches(5, 8, seed=seed)
    images[:num_blank] = 255
    rows, columns = slice(*sorted(edges[:2])), slice(*sorted(edges[2:]))
    partners = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    _, shares = cutmix(images, partners, rows, columns)
    assert shares.tolist() == pytest.approx(ink_shares(images, partners, rows, columns))


@pytest.mark.parametrize("mixing", [Mixing(0.4, 0), Mixing(0, 1.0)])
def test_three_equal_channels_are_mixed_as_one_image(mixing):
    images, labels = sketches(), torch.arange(8)
    torch.manual_seed(0)
    mixed, targets = mixing(images, labels, 8)
    torch.manual_seed(0)
    colored, same = mixing(images[:, None].repeat(1, 3, 1, 1), labels, 8)
    assert torch.equal(colored, mixed[:, None].expand(-1, 3, -1, -1))
    assert torch.allclose(same, targets)


def test_a_rectangle_of_blank_paper_over_blank_paper_leaves_the_label():
    images = sketches()
    images[:, :, 6:] = 255
    mixed, shares = cutmix(images, shifted(8), slice(0, 12), slice(6, 12))
    assert torch.equal(mixed, images)
    assert shares.tolist() == [1.0] * 8


def test_a_rectangle_that_takes_all_ink_takes_the_label():
    images = sketches()
    images[:, :, 6:] = 255
    _, shares = cutmix(images, shifted(8), slice(0, 12), slice(0, 6))
    assert shares.tolist() == [0.0] * 8


@pytest.mark.parametrize("mixing", [Mixing(0.4, 0), Mixing(0, 1.0), Mixing(0.4, 1.0)])
@pytest.mark.parametrize("seed", range(5))
def test_white_on_black_mirrors_black_on_white(mixing, seed):
    images, labels = sketches(), torch.arange(8)
    torch.manual_seed(seed)
    mixed, targets = mixing(images, labels, 8)
    torch.manual_seed(seed)
    mirrored, same = mixing(255 - images, labels, 8)
    assert torch.equal(mirrored, 255 - mixed)
    assert torch.equal(same, targets)


@pytest.mark.parametrize("mixing", [Mixing(0.4, 0), Mixing(0, 1.0), Mixing(0.4, 1.0)])
def test_the_seed_decides_and_what_is_drawn_does_not_move_the_generator(mixing):
    images, labels = sketches(), torch.arange(8)

    def run(images: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        torch.manual_seed(7)
        return [part for _ in range(5) for part in mixing(images, labels, 8)], torch.get_rng_state()

    (first, state), (second, _) = run(images, labels), run(images, labels)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    others = [(sketches(seed=1), labels.flip(0)), (torch.full_like(images, 255), labels), (255 - images, labels)]
    assert all(torch.equal(run(*other)[1], state) for other in others)


def test_a_coin_decides_for_each_batch_where_both_are_on():
    images = torch.where(sketches(16, 16) < 255, 0, 255).to(torch.uint8)
    torch.manual_seed(0)
    batches = [Mixing(mixup=5.0, cutmix=1.0)(images, torch.arange(16), 16)[0] for _ in range(400)]
    blended = sum(bool(((batch > 0) & (batch < 255)).any()) for batch in batches)
    assert 160 < blended < 240


def test_rectangles_are_as_large_as_torchvisions():
    torch.manual_seed(0)
    height, width, num_tries = 400, 600, 3000
    reference, image = v2.CutMix(num_classes=2), torch.zeros(1, 1, height, width)
    expected = sum(1 - reference.make_params([image])["lam_adjusted"] for _ in range(num_tries)) / num_tries
    total = 0
    for area in torch.rand(num_tries).tolist():
        rows, columns = random_rectangle(height, width, area)
        assert 0 <= rows.start <= rows.stop <= height
        assert 0 <= columns.start <= columns.stop <= width
        total += (rows.stop - rows.start) * (columns.stop - columns.start)
    assert total / (num_tries * height * width) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), None])
def test_an_alpha_below_zero_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^train\.{name}={value} must be a number of at least 0; 0 is off$"):
        Mixing(**{"mixup": 0.0, "cutmix": 0.0, name: value})
