"""Augmentation: another drawing of the same thing, told by seed, epoch and key id alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepdraw.data.doodles.source import SEEN, draw_all
from deepdraw.data.interfaces import Batch
from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.drawings.augment import RANGES, Augment, AugmentingRasterizer
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer

NONE = {"rotation": 0, "shear": 0, "stretch": 0, "flip": 0, "dropout": 0, "jitter": 0, "line_width": 1}
CONF = Path(__file__).parents[2] / "conf/augment"

strokes = st.integers(1, 9).flatmap(lambda n: arrays(np.uint8, (n, 2)))
packed = st.lists(st.lists(strokes, min_size=1, max_size=6), max_size=6).map(
    lambda drawn: Drawings.pack(drawn, np.arange(len(drawn)), 7 * np.arange(len(drawn)) + 3)
)
strengths = st.fixed_dictionaries({name: st.floats(*bounds) for name, bounds in RANGES.items()})


def augment(**strengths) -> Augment:
    return Augment(**{**NONE, **strengths})


def option(name: str) -> Augment:
    options = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert options.pop("_target_") == "deepdraw.drawings.Augment"
    return Augment(**options)


def copies(drawing: list, number: int = 2000) -> Drawings:
    return Drawings.pack([drawing] * number, [0] * number, np.arange(number))


def ink(images: np.ndarray) -> float:
    return (255.0 - images).mean()


@settings(max_examples=50, deadline=None)
@given(packed, strengths, st.text(max_size=5))
def test_no_drawing_comes_out_empty_and_labels_and_keys_stay(drawings, strengths, salt):
    changed, factors = Augment(**strengths)(drawings, salt)
    assert np.array_equal(changed.labels, drawings.labels)
    assert np.array_equal(changed.key_ids, drawings.key_ids)
    assert len(changed) == len(factors) == len(drawings)
    assert ((changed.stroke_counts >= 1) & (changed.stroke_counts <= 2 * drawings.stroke_counts)).all()  # cut in two
    assert changed.stroke_counts.sum() == len(changed.stroke_lengths)
    assert changed.stroke_lengths.sum() == len(changed.points)
    assert np.isfinite(changed.points).all()


@settings(max_examples=30, deadline=None)
@given(packed)
def test_zero_strengths_leave_every_pixel(drawings):
    rasterizer = Rasterizer(32, 1.7)
    assert np.array_equal(AugmentingRasterizer(rasterizer, augment(), "0 1")(drawings), rasterizer(drawings))


@settings(max_examples=40, deadline=None)
@given(packed, strengths, st.randoms())
def test_a_drawing_is_changed_alike_in_any_company(drawings, strengths, random):
    chosen = np.array(random.choices(range(len(drawings)), k=4) if len(drawings) else [], np.int64)
    changed, factors = Augment(**strengths)(drawings, "0 1")
    again, factors_again = Augment(**strengths)(drawings.take(chosen), "0 1")
    assert np.array_equal(changed.take(chosen).points, again.points)
    assert np.array_equal(changed.take(chosen).stroke_lengths, again.stroke_lengths)
    assert np.array_equal(factors[chosen], factors_again)


@settings(max_examples=40, deadline=None)
@given(packed)
def test_dropout_leaves_out_whole_strokes(drawings):
    kept, _ = augment(dropout=0.7)(drawings, "0 1")
    for i in range(len(drawings)):
        given_strokes = iter([stroke.tolist() for stroke in drawings.strokes(i)])
        assert all(stroke.tolist() in given_strokes for stroke in kept.strokes(i))  # in the same order


def test_small_strokes_are_left_out_as_often_as_asked_and_long_ones_less():
    long, small = [[0, 0], [180, 0]], [[[0, y], [2, y]] for y in range(10)]
    kept, _ = augment(dropout=0.2)(copies([long, *small]), "0 1")
    long_ones = np.ptp(kept.points.reshape(-1, 2, 2)[:, :, 0], axis=1) > 100
    assert long_ones.mean() * len(long_ones) / 2000 == pytest.approx(1 - 0.2 * 0.1, abs=0.015)
    assert (~long_ones).sum() / 20_000 == pytest.approx(1 - 0.2 * 0.99, abs=0.015)


def test_a_line_turns_by_as_many_degrees_as_asked_either_way():
    turned, _ = augment(rotation=30)(copies([[[0, 9], [200, 9]]]), "0 1")
    x, y = np.diff(turned.points.reshape(-1, 2, 2), axis=1)[:, 0].T
    angles = np.degrees(np.arctan2(y, x))
    assert np.hypot(x, y) == pytest.approx(200, rel=1e-5)
    assert [angles.min(), angles.mean(), angles.max()] == pytest.approx([-30, 0, 30], abs=1)


def test_a_square_is_stretched_and_slanted_as_far_as_asked():
    square = copies([[[0, 0], [0, 100], [100, 100]]])
    stretched = augment(stretch=0.5)(square, "0 1")[0].points.reshape(-1, 3, 2)
    (width, height) = np.ptp(stretched, axis=1).T
    assert [(width / height).min(), (width / height).max()] == pytest.approx([1 / 1.5, 1.5], rel=0.01)
    slanted = augment(shear=0.2)(square, "0 1")[0].points.reshape(-1, 3, 2)
    shift = (slanted[:, 1] - slanted[:, 0]) / 100
    assert [shift[:, 0].min(), shift[:, 0].max()] == pytest.approx([-0.2, 0.2], abs=0.01)
    assert np.ptp(slanted, axis=1)[:, 1] == pytest.approx(100)


def test_a_flip_changes_left_and_right_as_often_as_asked():
    flipped = augment(flip=0.3)(copies([[[10, 20], [200, 90]]]), "0 1")[0].points.reshape(-1, 2, 2)
    mirrored = flipped[:, 0, 0] < 0
    assert mirrored.mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(np.abs(flipped), np.broadcast_to([[10, 20], [200, 90]], flipped.shape))


def test_jitter_moves_points_smoothly_by_the_share_of_the_size_asked_for():
    outline = np.array([[0, 0], [200, 0], [200, 100], [0, 100], [1, 100]])
    moves = augment(jitter=0.02)(copies([outline]), "0 1")[0].points.reshape(-1, 5, 2) - outline
    assert np.sqrt((moves**2).mean(axis=(0, 1))) == pytest.approx([4, 4], rel=0.05)
    assert np.abs(moves[:, 4] - moves[:, 3]).max() < 0.5


def test_strokes_that_meet_still_meet():
    changed, _ = option("strong")(copies([[[0, 0], [90, 60]], [[90, 60], [255, 9]]], 50), "0 1")
    for i in np.flatnonzero(changed.stroke_counts == 2):
        first, second = changed.strokes(i)
        assert np.array_equal(first[-1], second[0])


@pytest.mark.parametrize("line_width", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_a_factor_on_the_line_width_draws_as_that_line_width_does(line_width, factor):
    drawings = Drawings.pack([[[[3, 7], [200, 90]], [[9, 200]]]] * 3, [0] * 3, [0] * 3)
    images = Rasterizer(48, line_width).draw(drawings, np.array([1, factor, 1], np.float64))
    assert np.array_equal(images[:1], Rasterizer(48, line_width)(drawings)[:1])
    assert np.array_equal(images[1:2], Rasterizer(48, line_width * factor)(drawings)[1:2])


def test_line_widths_vary_between_the_factor_and_its_inverse():
    _, factors = augment(line_width=2)(copies([[[0, 0], [9, 9]]]), "0 1")
    assert [factors.min(), np.median(factors), factors.max()] == pytest.approx([0.5, 1, 2], rel=0.05)


@pytest.mark.parametrize(("name", "loss"), [("sketch", 0.1), ("strong", 0.2)])
def test_options_keep_the_ink_on_average_and_every_drawing_in_sight(name, loss):
    drawings, rasterizer = draw_all(SEEN[:12], 40, seed=0), Rasterizer(48, 1.5)
    images = AugmentingRasterizer(rasterizer, option(name), "0 1")(drawings)
    assert 1 - loss < ink(images) / ink(rasterizer(drawings)) < 1 + loss
    assert (255 - images).reshape(len(images), -1).max(axis=1).min() > 60


def batches(root: Path, number: int, **options) -> list[Batch]:
    defaults = {"batch_size": 60, "shuffle": True, "num_workers": 0, "seed": 1, "augment": option("sketch")}
    rasterizer, split = Rasterizer(32, 1.5), Shards(str(root)).split("train")
    loader = Loader(split, rasterizer, device=torch.device("cpu"), **{**defaults, **options})
    return list(loader.epoch(number))


def alike(batches: list[Batch], others: list[Batch]) -> bool:
    return all(torch.equal(a, b) for pair in zip(batches, others, strict=True) for a, b in zip(*pair, strict=True))


def test_images_change_with_epoch_and_seed_and_labels_do_not(polygon_root):
    plain, changed = batches(polygon_root, 1, augment=None), batches(polygon_root, 1)
    assert alike(changed, batches(polygon_root, 1))
    for plain_batch, batch in zip(plain, changed, strict=True):
        assert torch.equal(plain_batch.labels, batch.labels)
        assert torch.equal(plain_batch.key_ids, batch.key_ids)
        assert (plain_batch.inputs != batch.inputs).flatten(1).any(dim=1).all()
    image_of_key = [
        {int(key): image for batch in epoch for key, image in zip(batch.key_ids, batch.inputs, strict=True)}
        for epoch in (changed, batches(polygon_root, 2), batches(polygon_root, 1, seed=2))
    ]
    assert len(image_of_key[0]) == 420
    for other in image_of_key[1:]:
        assert not any(torch.equal(image, other[key]) for key, image in image_of_key[0].items())


def test_workers_and_ranks_see_the_same_images(polygon_root):
    alone = batches(polygon_root, 1)
    assert alike(alone, batches(polygon_root, 1, num_workers=2))
    parts = [batches(polygon_root, 1, rank=rank, world_size=2) for rank in (0, 1)]
    assert alike(alone, [Batch(*map(torch.cat, zip(*halves, strict=True))) for halves in zip(*parts, strict=True)])


def test_training_alone_is_augmented(train, monkeypatch):
    augmented = []

    class Recorded(Loader):
        def __init__(self, *arguments, **options):
            augmented.append((options["shuffle"], options["augment"]))
            super().__init__(*arguments, **options)

    monkeypatch.setattr("deepdraw.training_data.Loader", Recorded)
    train("augment=sketch", "train.limit_steps=1")
    assert augmented == [(True, option("sketch")), (False, None), (False, None)]


@dataclass(frozen=True)
class OfStrokesAlone:
    """An augmentation of one's own that has no form for images."""

    def __call__(self, drawings, salt):
        return drawings, np.ones(len(drawings), np.float32)


def test_images_are_not_augmented_by_what_has_no_form_for_them_and_nothing_is_read_to_say_so(train):
    own = f"augment={{_target_:{__name__}.OfStrokesAlone}}"
    with pytest.raises(SystemExit, match="OfStrokesAlone.*set augment=none"):
        train("data=tars", "data.root=http://nowhere.invalid/tars", own, "render.images=canvas")


@pytest.mark.parametrize("strength", [{"rotation": -1}, {"dropout": 1.1}, {"line_width": 0.7}, {"jitter": 1}])
def test_impossible_strengths_are_refused_by_name(strength):
    with pytest.raises(ValueError, match=f"augment.{next(iter(strength))}="):
        augment(**strength)
