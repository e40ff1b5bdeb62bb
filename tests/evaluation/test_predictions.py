"""The table of predictions: what goes in comes out, and its curves against loops over the drawings."""

from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.drawings.packed import Complexity
from deepdraw.evaluation.evaluation import Stacking
from deepdraw.evaluation.predictions import Predictions
from deepdraw.evaluation.scores import Scores

torch.set_num_threads(1)


def table(confidences, right, strokes=None, points=None) -> Predictions:
    """Drawings of class 0 among two, predicted with these confidences."""
    wrong = (~np.asarray(right, bool)).astype(np.uint16)
    return Predictions(
        classes=["cat", "t-shirt"],
        key_ids=np.arange(len(wrong), dtype=np.uint64),
        labels=np.zeros(len(wrong), np.uint16),
        predicted=wrong,
        confidences=np.asarray(confidences, np.float32),
        ranks=wrong,
        strokes=None if strokes is None else np.asarray(strokes, np.uint16),
        points=None if points is None else np.asarray(points, np.uint16),
    )


def assert_same(first: Predictions, second: Predictions) -> None:
    for name, column in vars(first).items():
        np.testing.assert_array_equal(column, getattr(second, name), strict=name != "classes" and column is not None)


def built(batch_size: int, num_ranks: int = 1) -> tuple[Predictions, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(-3, 4, (50, 6), generator=generator).bfloat16()
    labels = torch.randint(6, (50,), generator=generator)
    key_ids = torch.arange(50) - 25  # the bits of unsigned ids: half of them beyond int64
    of_ranks = [Scores("abcdef") for _ in range(num_ranks)]
    batches = zip(*(tensor.split(batch_size) for tensor in (logits, labels, key_ids)), strict=True)
    for scores, batch in zip(cycle(of_ranks), batches, strict=False):
        scores.add(*batch)
    of_ranks[0].merge(SimpleNamespace(gather=lambda _: [scores._batches for scores in of_ranks], sum=list))
    counts = np.arange(60, dtype=np.uint16)
    return of_ranks[0].predictions().with_complexity(Complexity(counts, counts + 1)), logits, labels


def test_a_row_holds_the_winner_its_probability_and_the_rank_of_the_truth():
    predictions, logits, labels = built(batch_size=8)
    probabilities = logits.float().softmax(dim=1)
    assert predictions.key_ids.dtype == np.uint64
    assert predictions.key_ids[0] == 2**64 - 25
    np.testing.assert_array_equal(predictions.predicted, logits.float().numpy().argmax(axis=1))
    np.testing.assert_allclose(predictions.confidences, probabilities.amax(dim=1), rtol=1e-6)
    np.testing.assert_array_equal(predictions.right, predictions.predicted == predictions.labels)
    for row, label, rank in zip(logits.tolist(), labels.tolist(), predictions.ranks, strict=True):
        assert sorted(range(6), key=lambda c: (-row[c], c)).index(label) == rank
    np.testing.assert_array_equal(predictions.strokes, np.arange(50))
    np.testing.assert_array_equal(predictions.points, np.arange(1, 51))


@pytest.mark.parametrize(("batch_size", "num_ranks"), [(1, 1), (8, 2), (10, 2), (50, 2), (7, 3)])
def test_the_batches_do_not_matter_nor_which_rank_has_them(batch_size, num_ranks):
    assert_same(built(batch_size, num_ranks)[0], built(batch_size=50)[0])


def test_predictions_on_images_have_no_counts_of_strokes_and_points():
    scores = Scores("ab")
    scores.add(torch.eye(2), torch.arange(2), torch.arange(2))
    predictions = scores.predictions().with_complexity(None)
    assert predictions.strokes is None and predictions.points is None


def test_adding_never_waits_for_the_device():
    # A meta tensor holds no values: whatever asked for one, as a wait for the device would, raises.
    labels = torch.zeros(8, dtype=torch.int64, device="meta")
    Scores("abcde").add(torch.zeros(8, 5, device="meta"), labels, labels)


@pytest.mark.parametrize("strokes", [None, [3, 4]])
def test_what_is_saved_is_loaded(tmp_path, strokes):
    predictions = table([0.5, 0.75], [True, False], strokes=strokes)
    path = tmp_path / "evaluations" / "test.predictions.npz"
    predictions.save(path)
    predictions.save(path)
    loaded = Predictions.load(path)
    assert_same(predictions, loaded)
    assert loaded.classes == ["cat", "t-shirt"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_absent_and_foreign_files_are_refused_with_the_fix(tmp_path):
    with pytest.raises(ValueError, match=r"no predictions at .*: run evaluate.py on the run first"):
        Predictions.load(tmp_path / "test.predictions.npz")
    path = tmp_path / "test.predictions.npz"
    table([0.5], [True]).save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    for content in (b"", b"no archive", whole[:-30], (tmp_path / "other.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is no table of predictions \(.*\): run evaluate.py on the run again"):
            Predictions.load(path)


def test_accuracy_by_complexity_has_the_bins_that_have_drawings():
    right = [True, False, True, True, False, False]
    predictions = table([0.5] * 6, right, strokes=[1, 1, 4, 5, 9, 300], points=[10, 11, 20, 2, 40, 81])
    assert predictions.by_complexity() == {
        "top1_strokes_1": 0.5,
        "top1_strokes_4-5": 1.0,
        "top1_strokes_6-9": 0.0,
        "top1_strokes_10+": 0.0,
        "top1_points_1-10": 1.0,
        "top1_points_11-20": 0.5,
        "top1_points_21-40": 0.0,
        "top1_points_81+": 0.0,
    }


def test_images_have_no_complexity():
    assert table([0.5], [True]).by_complexity() == {}


def test_every_drawing_is_in_one_bin_of_strokes_and_one_of_points():
    for number in range(1, 300):
        assert len(table([0.5], [True], strokes=[number], points=[number]).by_complexity()) == 2


rows_with_ties = st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=30)


@given(rows_with_ties)
@settings(deadline=None)
def test_the_area_under_risk_and_coverage_is_the_mean_risk_of_those_as_confident(rows):
    confidences, right = np.array([row[0] for row in rows]) / 8, np.array([row[1] for row in rows])
    predictions = table(confidences, right)
    risks = [np.mean(~right[confidences >= confidence]) for confidence in confidences]
    assert predictions.aurc() == pytest.approx(np.mean(risks))


@given(rows_with_ties)
@settings(deadline=None)
def test_drawings_of_a_confidence_are_answered_together(rows):
    confidences, right = np.array([row[0] for row in rows]) / 8, np.array([row[1] for row in rows])
    coverages, risks = table(confidences, right).risk_coverage()
    thresholds = np.unique(confidences)[::-1]
    np.testing.assert_allclose(coverages, [np.mean(confidences >= threshold) for threshold in thresholds])
    np.testing.assert_allclose(risks, [np.mean(~right[confidences >= threshold]) for threshold in thresholds])
    assert coverages[-1] == 1.0


def test_selective_accuracy_is_of_the_most_confident_share():
    right = [True, True, False, True, False, False, False, True, False, False]
    predictions = table(np.linspace(0.9, 0.1, 10), right)
    assert predictions.selective_accuracy(0.8) == pytest.approx(4 / 8)
    assert predictions.selective_accuracy(0.35) == pytest.approx(3 / 4)
    assert predictions.selective_accuracy(1.0) == pytest.approx(4 / 10)


def test_the_harmonic_mean_of_stacking_is_zero_where_one_side_is():
    stacking = Stacking(np.arange(3.0), np.array([0.6, 0.4, 0.0]), np.array([0.0, 0.4, 0.0]), chosen=1.0)
    np.testing.assert_allclose(stacking.harmonic_means, [0.0, 0.4, 0.0])
