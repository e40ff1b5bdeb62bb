"""The map of classes: neighbors are alike, and no two share a cell."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.report.feature_map import feature_map, on_grid, project


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 9))
def test_every_class_gets_a_cell_of_its_own(number, seed):
    cells = on_grid(np.random.default_rng(seed).random((number, 2)), 8, 5)
    assert len(np.unique(cells, axis=0)) == number
    assert (cells >= 0).all() and (cells < (8, 5)).all()


def test_a_place_in_a_free_cell_stays_there():
    places = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    assert on_grid(places, 5, 3).tolist() == [[0, 0], [4, 0], [2, 2]]


def test_families_of_classes_lie_together():
    rng = np.random.default_rng(0)
    families = np.arange(60) // 10
    places = project((rng.normal(size=(6, 16))[families] + 0.1 * rng.normal(size=(60, 16))).astype(np.float32))
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(60) * 9
    assert (families[distances.argmin(axis=1)] == families).all()


def test_classes_without_drawings_are_left_out(made_up, scribble):
    evaluation = made_up(num_classes=20, per_class=4)
    evaluation.prototypes[3:5] = np.nan
    assert "18 classes" in feature_map(evaluation.prototypes, evaluation.predictions, scribble).description
    evaluation.prototypes[7:] = np.nan
    assert feature_map(evaluation.prototypes, evaluation.predictions, scribble) is None
