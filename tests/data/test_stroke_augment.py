"""Augmentation that strokes alone allow: the same line by another pen, and drawings that are not finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepdraw.drawings import POINT_NUMBERS, Augment, Drawings, PaceAugmentation, PointSampler, Rasterizer
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint

NONE = {"rotation": 0, "shear": 0, "stretch": 0, "flip": 0, "dropout": 0, "jitter": 0, "line_width": 1}
ALL = {"split": 0.7, "reorder": 0.6, "reverse": 0.5, "stop": 0.5, "stop_from": 0.1, "speed": 0.8}
IS_START, IS_POINT, ORDER = (POINT_NUMBERS.index(name) for name in ("is_start", "is_point", "order"))

strokes = st.integers(1, 9).flatmap(lambda n: arrays(np.uint8, (n, 2)))
packed = st.lists(st.lists(strokes, min_size=1, max_size=6), max_size=6).map(
    lambda drawn: Drawings.pack(drawn, np.arange(len(drawn)), 7 * np.arange(len(drawn)) + 3)
)
LINE = [[0, 0], [100, 0], [100, 100]]


def augment(**strengths: float) -> Augment:
    return Augment(**{**NONE, **strengths})


def changed(drawings: Drawings, **strengths: float) -> Drawings:
    return augment(**strengths)(drawings, "0 1")[0]


def copies(drawing: list, number: int = 2000) -> Drawings:
    return Drawings.pack([drawing] * number, [0] * number, np.arange(number))


def length(drawings: Drawings, index: int) -> float:
    return sum(np.hypot(*np.diff(s.astype(float), axis=0).T).sum() for s in drawings.strokes(index))


def segments(drawings: Drawings, index: int) -> list:
    """The lines of a drawing, whichever way each was drawn, in no order."""
    return sorted(
        sorted([tuple(a), tuple(b)])
        for s in drawings.strokes(index)
        for a, b in zip(s.astype(float), s[1:].astype(float), strict=False)
    )


@settings(max_examples=60, deadline=None)
@given(packed, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_another_pen_draws_the_same_lines(drawings, split, reorder, reverse):
    found = changed(drawings, split=split, reorder=reorder, reverse=reverse)
    for i in range(len(drawings)):
        assert length(found, i) == pytest.approx(length(drawings, i), rel=1e-4)
    rearranged = changed(drawings, reorder=reorder, reverse=reverse)
    assert rearranged.points.shape == drawings.points.shape
    for i in range(len(drawings)):
        assert segments(rearranged, i) == segments(drawings, i)
        assert sorted(map(len, rearranged.strokes(i))) == sorted(map(len, drawings.strokes(i)))
        difference = Rasterizer(32, 2.0)(found)[i].astype(int) - Rasterizer(32, 2.0)(drawings)[i]
        assert np.abs(difference).mean() <= 1


@settings(max_examples=60, deadline=None)
@given(packed, st.randoms())
def test_a_drawing_is_changed_alike_in_any_company(drawings, random):
    chosen = np.array(random.choices(range(len(drawings)), k=4) if len(drawings) else [], np.int64)
    strong = augment(**ALL)
    (all_of_them, _), (alone, _) = strong(drawings, "0 1"), strong(drawings.take(chosen), "0 1")
    assert np.array_equal(all_of_them.take(chosen).points, alone.points)
    assert np.array_equal(all_of_them.take(chosen).stroke_lengths, alone.stroke_lengths)
    seen = PointSampler(32)(all_of_them, paces=strong.paces(all_of_them, "0 1"))
    assert np.array_equal(seen[chosen], PointSampler(32)(alone, paces=strong.paces(alone, "0 1")))


def test_another_salt_is_another_change():
    drawings, strong = copies([LINE, LINE], 50), augment(**ALL)
    one, same, other = (strong(drawings, salt)[0].points for salt in ("0 1", "0 1", "0 2"))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(packed, st.floats(0, 1))
def test_a_drawing_that_stops_is_the_beginning_of_the_whole_one(drawings, stop_from):
    found = changed(drawings, stop=1, stop_from=stop_from)
    for i in range(len(drawings)):
        whole, begun = drawings.strokes(i), found.strokes(i)
        assert begun and stop_from * length(drawings, i) <= length(found, i) * (1 + 1e-5) + 1e-3
        assert length(found, i) <= length(drawings, i) * (1 + 1e-5)
        for full, part in zip(whole, begun[:-1], strict=False):
            assert np.array_equal(full, part)
        full, part = whole[len(begun) - 1], begun[-1]
        assert np.array_equal(full[: len(part) - 1], part[:-1])


def test_so_many_drawings_stop_as_asked_and_after_any_share_from_the_least_on():
    found = changed(copies([LINE]), stop=0.4, stop_from=0.2)
    shares = np.array([length(found, i) for i in range(2000)]) / 200
    assert (shares < 1).mean() == pytest.approx(0.4, abs=0.03)
    stopped = shares[shares < 1]
    assert [stopped.min(), stopped.mean(), stopped.max()] == pytest.approx([0.2, 0.6, 1], abs=0.02)


def test_long_strokes_are_cut_as_often_as_asked_in_two_that_meet_and_short_ones_less():
    found = changed(copies([[[0, 0], [90, 0]], [[0, 9], [10, 9]]]), split=0.5)
    assert (found.stroke_counts - 2).mean() == pytest.approx(0.5 * 0.9 + 0.5 * 0.1, abs=0.03)
    cut_long = [i for i in range(2000) if found.stroke_counts[i] == 3 and np.ptp(found.strokes(i)[0][:, 0]) < 90]
    assert len(cut_long) / 2000 == pytest.approx(0.45, abs=0.03)
    for i in cut_long:
        first, second, _ = found.strokes(i)
        assert np.array_equal(first[-1], second[0]) and 9 - 1e-3 <= second[0, 0] <= 81 + 1e-3


def test_strokes_are_reversed_one_by_one_and_reordered_drawing_by_drawing():
    three = [[[0, 0], [1, 0]], [[0, 5], [1, 5]], [[0, 9], [1, 9]]]
    reversed_ones = changed(copies(three), reverse=0.3).points.reshape(-1, 3, 2, 2)
    assert (reversed_ones[:, :, 0, 0] == 1).mean(axis=0) == pytest.approx([0.3, 0.3, 0.3], abs=0.04)
    assert (reversed_ones[..., 1] == [[0, 0], [5, 5], [9, 9]]).all()
    orders = changed(copies(three), reorder=0.6).points.reshape(-1, 3, 2, 2)[:, :, 0, 1]
    assert (orders == [0, 5, 9]).all(axis=1).mean() == pytest.approx(0.4 + 0.6 / 6, abs=0.03)
    assert (np.sort(orders, axis=1) == [0, 5, 9]).all()


@settings(max_examples=60, deadline=None)
@given(packed, st.floats(0.1, 0.9))
def test_a_pen_of_uneven_speed_draws_as_many_points_of_the_same_line(drawings, speed):
    uneven = augment(speed=speed)
    assert isinstance(uneven, PaceAugmentation)
    paces = uneven.paces(drawings, "0 1")
    even, moved = PointSampler(48)(drawings), PointSampler(48)(drawings, paces=paces)
    assert (np.abs(even[..., IS_POINT].sum(axis=1) - moved[..., IS_POINT].sum(axis=1)) <= drawings.stroke_counts).all()
    assert (even[..., IS_START].sum(axis=1) == moved[..., IS_START].sum(axis=1)).all()
    assert np.isfinite(moved).all() and (np.diff(moved[..., ORDER])[moved[:, 1:, IS_POINT] > 0] >= -1e-5).all()


def test_distances_between_points_rise_and_fall_by_the_share_asked_for():
    paces = np.array([[0.6, 0.0]], np.float32)
    (points,) = PointSampler(96)(copies([[[0, 0], [255, 0]]], 1), paces=paces)
    steps = np.diff(points[points[:, IS_POINT] > 0, 0]) / (2 / 95)
    assert [steps.min(), steps.max()] == pytest.approx([0.4, 1.6], abs=0.02)
    assert steps[0] == pytest.approx(1.6, abs=0.02) and steps[47] == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    "strength", [{"split": 1.1}, {"reorder": -1}, {"reverse": 2}, {"stop": 1.5}, {"stop_from": -0.1}, {"speed": 1}]
)
def test_impossible_strengths_are_refused_by_name(strength):
    with pytest.raises(ValueError, match=f"augment.{next(iter(strength))}="):
        augment(**strength)


SMALL = ["backbone=strokes", "backbone.widths=[8]", "backbone.depths=[1]", "input.points=24", "augment=sketch"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.pt", weights_only=True)["model"]


def test_a_run_with_all_strengths_resumes_bit_for_bit(train, interrupted, tmp_path):
    strong = [*SMALL, *(f"augment.{name}={value}" for name, value in ALL.items()), "train.checkpoint_every=3"]
    whole, plain = train(*strong, run_dir=tmp_path / "whole"), train(*SMALL, run_dir=tmp_path / "plain")
    interrupted(7, *strong, run_dir=tmp_path / "broken")
    resumed = weights(train(*strong, run_dir=tmp_path / "broken"))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in weights(whole).items())
    assert not all(torch.equal(tensor, resumed[name]) for name, tensor in weights(plain).items())


def test_a_run_from_before_these_strengths_goes_on_without_them(train, tmp_path):
    run = train(*SMALL, run_dir=tmp_path / "run")
    path = run / "checkpoints/last.pt"
    content = load_checkpoint(path)
    for name in ALL:
        del content["config"]["augment"][name]
    save_checkpoint(path, content)
    train(*SMALL, run_dir=run)
    with pytest.raises(SystemExit, match=r"augment.split: 0.0 there, 0.5 here"):
        train(*SMALL, "augment.split=0.5", run_dir=run)


def test_images_ignore_what_needs_strokes():
    image = np.full((40, 40), 255, np.uint8)
    image[5:30, 7:20] = 0
    with_all, factor = augment(**ALL).change_image(image, 3, "0 1")
    without, same = augment().change_image(image, 3, "0 1")
    assert np.array_equal(with_all, without) and factor == same
